/* cli/run.h: a training run: what it has learned so far and the files that say so. */
#ifndef CLI_RUN_H
#define CLI_RUN_H

#include <tl/tl.h>

#include "cli/config.h"
#include "cli/term.h"

typedef struct cli_epoch {
    char *stage;
    int number; /* from 1 over all stages */
    tl_score train, val;
    bool best;
    double lr, seconds;
} cli_epoch;

typedef struct cli_stage_line {
    char *name, *patterns, *cache;
    int64_t trainable, parameters;
    int64_t feature_images, feature_images_found; /* the second: left by an earlier run or stage */
    bool cached;
} cli_stage_line;

typedef struct cli_run {
    const cli_config *config;
    char *folder;
    bool started;    /* the folder is ours: files of an earlier run are gone */
    int folders_made;
    bool said;       /* a failure of ours ended the training, and was said */

    cli_epoch *epochs;
    size_t epoch_count, epoch_capacity;
    cli_stage_line *stages;
    size_t stage_count, stage_capacity;
    int best;             /* index into epochs, or -1 */
    int64_t *confusion;   /* of val at the best epoch, or NULL */
    double feature_seconds;
    int64_t feature_images;

    /* what the reports tell beside the configuration; not the run's */
    tl_context *context;
    tl_model *model;
    const char *const *class_names;
    size_t class_count;
    const tl_dataset *train, *val;
    const char *device;
    tl_device *computes; /* that device */
    bool drawn;          /* predictions.png is there */
    const tl_train_result *result; /* once training is over */
    const char *status;            /* "done", "interrupted", "failed" */
    double seconds;                /* of the whole */

    /* what the best epoch left of every tensor that moves, while that is small; otherwise it goes to its file */
    float **kept;
    size_t tensor_count;
    bool keep_in_memory;
    double metrics_written; /* when */
    tl_saving *saving; /* model.safetensors, while it is written; NULL: it will be written at the end */
} cli_run;

/* The files of a run, in its folder. */
#define CLI_RUN_FILES(X)                                                                                              \
    X(CONFIG, "config.ini") X(METRICS, "metrics.csv") X(SUMMARY, "summary.json") X(LAST, "model.safetensors")         \
    X(BEST, "best.safetensors") X(SHEET, "predictions.png") X(REPORT, "report.html") X(LOG, "log.txt")
enum cli_run_file {
#define CLI_RUN_FILE(NAME, text) CLI_RUN_##NAME,
    CLI_RUN_FILES(CLI_RUN_FILE)
#undef CLI_RUN_FILE
    CLI_RUN_FILE_COUNT
};

/* "runs/seed/model.safetensors"; the caller frees it. */
char *cli_run_path(const cli_run *run, enum cli_run_file file);

/* An exit code: CLI_USAGE, after saying so, where the folder holds something and `force` is false, or holds
 * something that no run wrote. */
int cli_run_check(const cli_run *run, bool force);

/* Makes the folder, takes an earlier run's files away, opens the log, writes config.ini. An exit code. */
int cli_run_start(cli_run *run);

/* Whether some stage changes it. */
bool cli_run_moves(const cli_run *run, const tl_parameter_info *info);

/* The model's file is begun, now that training is: what is frozen is written meanwhile. */
void cli_run_begin_model(cli_run *run);

/* Notes an epoch: keeps what is best, writes metrics.csv. */
tl_status cli_run_epoch(cli_run *run, const tl_epoch *epoch, tl_model *model);

/* Writes what the run has learned: the model (unless it is unusable), the best one, summary and report. An exit
 * code; the files that were written are said. With nothing learned: takes away what the run made. */
int cli_run_finish(cli_run *run, bool model_usable);

void cli_run_free(cli_run *run);

/* report.html, with the sheet of predictions in it where there is one; false after saying why. */
bool cli_report_write(const cli_run *run, const char *path);

#endif
