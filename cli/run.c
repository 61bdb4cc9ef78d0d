#include "cli/run.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/files.h"
#include "cli/score.h"
#include "cli/session.h"
#include "cli/sheet.h"

/* A best epoch's tensors stay in memory up to this size: a head's epoch may take milliseconds, a file does not.
 * Beyond it an epoch takes so long that writing the file each time does not matter. */
#define MOST_KEPT ((uint64_t)64 << 20)

/* Seconds; epochs of a head take milliseconds, and the file is written anew each time. The end writes it anyway. */
#define BETWEEN_METRICS 0.2

static const char *const file_names[] = {
#define CLI_RUN_FILE(NAME, text) text,
    CLI_RUN_FILES(CLI_RUN_FILE)
#undef CLI_RUN_FILE
};

char *cli_run_path(const cli_run *run, enum cli_run_file file)
{
    return cli_format("%s/%s", run->folder, file_names[file]);
}

static bool exists(const cli_run *run, enum cli_run_file file)
{
    char *path = cli_run_path(run, file);
    bool there = access(path, F_OK) == 0;
    free(path);
    return there;
}

int cli_run_check(const cli_run *run, bool force)
{
    if (!cli_folder_used(run->folder))
        return CLI_DONE;
    bool ours = false;
    for (int i = 0; i < CLI_RUN_FILE_COUNT; i++)
        ours |= exists(run, (enum cli_run_file)i);
    if (!ours) {
        cli_error("%s is there already and holds no run of tl; choose another folder with -o", run->folder);
        return CLI_USAGE;
    }
    if (!force) {
        cli_error("%s holds a run already; --force replaces it, -o DIR puts this one elsewhere", run->folder);
        return CLI_USAGE;
    }
    return CLI_DONE;
}

int cli_run_start(cli_run *run)
{
    if (!cli_folder_make(run->folder, &run->folders_made))
        return CLI_FAILED;
    run->started = true;
    for (int i = 0; i < CLI_RUN_FILE_COUNT; i++) {
        char *path = cli_run_path(run, (enum cli_run_file)i);
        if (unlink(path) != 0 && errno != ENOENT)
            cli_warning("%s: %s", path, strerror(errno));
        free(path);
    }
    char *path = cli_run_path(run, CLI_RUN_LOG);
    cli_terminal.log = fopen(path, "we");
    if (!cli_terminal.log)
        cli_error("%s: %s", path, strerror(errno));
    else
        setvbuf(cli_terminal.log, NULL, _IOLBF, 0);
    free(path);
    if (!cli_terminal.log)
        return CLI_FAILED;
    char *text = cli_config_resolved(run->config);
    path = cli_run_path(run, CLI_RUN_CONFIG);
    bool ok = cli_file_write(path, text);
    free(path);
    free(text);
    return ok ? CLI_DONE : CLI_FAILED;
}

/* ---- the best epoch ---- */

bool cli_run_moves(const cli_run *run, const tl_parameter_info *info)
{
    if (info->buffer)
        return run->config->bn != TL_BN_EVAL;
    for (size_t i = 0; i < run->config->stage_count; i++)
        if (cli_matches(cli_config_patterns(run->config, &run->config->stages[i]), info->name))
            return true;
    return false;
}

void cli_run_begin_model(cli_run *run)
{
    if (run->config->save) /* there is little to write, and that changes */
        return;
    size_t count = tl_model_parameter_count(run->model);
    bool *changing = cli_alloc(count * sizeof(*changing));
    for (size_t i = 0; i < count; i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        changing[i] = tl_model_parameter(run->model, i, &info) != TL_OK || cli_run_moves(run, &info);
    }
    char *path = cli_run_path(run, CLI_RUN_LAST);
    if (tl_model_save_begin(run->model, path, changing, &run->saving) != TL_OK)
        run->saving = NULL; /* tried again at the end, which says what is wrong */
    free(path);
    free(changing);
}

/* What was learned is written in any case. */
static tl_status write_model(const cli_run *run, tl_model *model, const char *path)
{
    if (run->config->save) {
        tl_status status = tl_model_save_changed(model, path);
        if (status != TL_ERROR_NOT_FOUND && status != TL_ERROR_LIMIT && status != TL_ERROR_ARGUMENT)
            return status;
        cli_warning("%s; it is written whole", tl_context_message(run->context));
    }
    return tl_model_save(model, path);
}

static tl_status keep_best(cli_run *run, tl_model *model)
{
    if (!run->kept) {
        uint64_t bytes = 0;
        run->tensor_count = tl_model_parameter_count(model);
        run->kept = cli_alloc(run->tensor_count * sizeof(*run->kept));
        for (size_t i = 0; i < run->tensor_count; i++) {
            tl_parameter_info info = {.size = sizeof(info)};
            if (tl_model_parameter(model, i, &info) == TL_OK && cli_run_moves(run, &info))
                bytes += (uint64_t)info.count * sizeof(float);
        }
        run->keep_in_memory = bytes <= MOST_KEPT;
    }
    if (!run->keep_in_memory) {
        char *path = cli_run_path(run, CLI_RUN_BEST);
        tl_status status = write_model(run, model, path);
        free(path);
        return status;
    }
    for (size_t i = 0; i < run->tensor_count; i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        tl_status status = tl_model_parameter(model, i, &info);
        if (status == TL_OK && cli_run_moves(run, &info)) {
            if (!run->kept[i])
                run->kept[i] = cli_alloc((size_t)info.count * sizeof(float));
            status = tl_model_read(model, info.name, run->kept[i]);
        }
        if (status != TL_OK)
            return status;
    }
    return TL_OK;
}

static tl_status restore_best(cli_run *run)
{
    for (size_t i = 0; i < run->tensor_count; i++) {
        tl_parameter_info info = {.size = sizeof(info)};
        if (!run->kept[i])
            continue;
        tl_status status = tl_model_parameter(run->model, i, &info);
        if (status == TL_OK)
            status = tl_model_write(run->model, info.name, run->kept[i]);
        if (status != TL_OK)
            return status;
    }
    return TL_OK;
}

/* ---- metrics.csv ---- */

static void put_real(FILE *out, const char *format, double value)
{
    fputc(',', out);
    if (isfinite(value))
        fprintf(out, format, value);
}

static bool write_metrics(const cli_run *run)
{
    cli_file file;
    char *path = cli_run_path(run, CLI_RUN_METRICS);
    bool ok = cli_file_create(&file, path);
    free(path);
    if (!ok)
        return false;
    const bool pixels = cli_config_segments(run->config);
    fprintf(file.stream, "epoch,stage,lr,train_loss,train_accuracy,val_loss,val_accuracy,%sseconds\n", pixels ? "val_mean_iou," : "");
    for (size_t i = 0; i < run->epoch_count; i++) {
        const cli_epoch *e = &run->epochs[i];
        bool judged = e->val.images > 0;
        fprintf(file.stream, "%d,%s", e->number, e->stage);
        put_real(file.stream, "%.9g", e->lr);
        put_real(file.stream, "%.9g", e->train.loss);
        put_real(file.stream, "%.9g", e->train.accuracy);
        put_real(file.stream, "%.9g", judged ? e->val.loss : NAN);
        put_real(file.stream, "%.9g", judged ? e->val.accuracy : NAN);
        if (pixels)
            put_real(file.stream, "%.9g", judged ? e->val.mean_iou : NAN);
        put_real(file.stream, "%.4f", e->seconds);
        fputc('\n', file.stream);
    }
    return cli_file_commit(&file);
}

tl_status cli_run_epoch(cli_run *run, const tl_epoch *epoch, tl_model *model)
{
    run->epochs = cli_grow(run->epochs, &run->epoch_capacity, run->epoch_count, sizeof(*run->epochs));
    run->epochs[run->epoch_count++] = (cli_epoch){
        .stage = cli_copy(epoch->stage),
        .number = epoch->epoch,
        .train = epoch->train,
        .val = epoch->val,
        .best = epoch->best,
        .lr = epoch->lr,
        .seconds = epoch->seconds,
    };
    if (epoch->best) {
        run->best = (int)run->epoch_count - 1;
        if (epoch->confusion) {
            size_t bytes = run->class_count * run->class_count * sizeof(*run->confusion);
            if (!run->confusion)
                run->confusion = cli_alloc(bytes);
            memcpy(run->confusion, epoch->confusion, bytes);
        }
        tl_status status = keep_best(run, model);
        if (status != TL_OK)
            return status;
    }
    double now = cli_seconds();
    if (run->epoch_count > 1 && now - run->metrics_written < BETWEEN_METRICS)
        return TL_OK;
    run->metrics_written = now;
    run->said = !write_metrics(run);
    return run->said ? TL_ERROR_IO : TL_OK;
}

/* ---- summary.json ---- */

static json_t *epoch_json(const cli_epoch *e)
{
    json_t *object = json_object();
    json_object_set_new(object, "epoch", json_integer(e->number));
    json_object_set_new(object, "stage", cli_json_text(e->stage));
    json_object_set_new(object, "loss", cli_json_real(e->train.loss));
    json_object_set_new(object, "accuracy", cli_json_real(e->train.accuracy));
    if (e->val.images > 0) {
        json_object_set_new(object, "val_loss", cli_json_real(e->val.loss));
        json_object_set_new(object, "val_accuracy", cli_json_real(e->val.accuracy));
        if (isfinite(e->val.mean_iou))
            json_object_set_new(object, "val_mean_iou", cli_json_real(e->val.mean_iou));
    }
    return object;
}

static bool write_summary(const cli_run *run)
{
    const cli_config *config = run->config;
    json_t *object = json_object(), *classes = json_array(), *stages = json_array();
    json_object_set_new(object, "libtl", json_string(tl_version()));
    json_object_set_new(object, "status", json_string(run->status));
    json_object_set_new(object, "name", cli_json_text(config->name));
    json_object_set_new(object, "arch", json_string(config->arch));
    json_object_set_new(object, "head", json_string(cli_head_name((tl_head)config->head)));
    json_object_set_new(object, "weights", cli_json_text(config->weights));
    json_object_set_new(object, "device", cli_json_text(run->device));
    json_object_set_new(object, "seed", json_integer((json_int_t)config->seed));
    for (size_t i = 0; i < run->class_count; i++)
        json_array_append_new(classes, cli_json_text(run->class_names[i]));
    json_object_set_new(object, "classes", classes);
    json_object_set_new(object, "train_images", json_integer((json_int_t)tl_dataset_size(run->train)));
    json_object_set_new(object, "val_images", json_integer(run->val ? (json_int_t)tl_dataset_size(run->val) : 0));
    for (size_t i = 0; i < run->stage_count; i++) {
        const cli_stage_line *s = &run->stages[i];
        json_t *stage = json_object();
        json_object_set_new(stage, "stage", cli_json_text(s->name));
        json_object_set_new(stage, "train", cli_json_text(s->patterns));
        json_object_set_new(stage, "trainable", json_integer(s->trainable));
        json_object_set_new(stage, "parameters", json_integer(s->parameters));
        json_object_set_new(stage, "features_cached", json_boolean(s->cached));
        json_object_set_new(stage, "feature_images", json_integer(s->feature_images));
        json_object_set_new(stage, "feature_images_found", json_integer(s->feature_images_found));
        json_array_append_new(stages, stage);
    }
    json_object_set_new(object, "stages", stages);
    json_object_set_new(object, "epochs", json_integer((json_int_t)run->epoch_count));
    if (run->epoch_count > 0)
        json_object_set_new(object, "last", epoch_json(&run->epochs[run->epoch_count - 1]));
    if (run->best >= 0)
        json_object_set_new(object, "best", epoch_json(&run->epochs[run->best]));
    if (run->confusion)
        json_object_set_new(object, "confusion", cli_json_matrix(run->confusion, run->class_count));
    if (run->result) {
        json_object_set_new(object, "frozen_tensors", json_integer((json_int_t)run->result->frozen_tensors));
        json_object_set_new(object, "frozen_hash", cli_json_text(run->result->frozen_hash));
    }
    json_object_set_new(object, "seconds", cli_json_ratio(run->seconds));
    char *text = json_dumps(object, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    json_decref(object);
    char *path = cli_run_path(run, CLI_RUN_SUMMARY), *line = cli_format("%s\n", text ? text : "{}");
    bool ok = cli_file_write(path, line);
    free(line);
    free(path);
    free(text);
    return ok;
}

/* ---- the end ---- */

static void close_log(void)
{
    FILE *log = cli_terminal.log;
    cli_terminal.log = NULL;
    if (log && (ferror(log) | fclose(log)))
        cli_warning("log.txt is not complete: %s", strerror(errno));
}

static void take_away(cli_run *run)
{
    close_log();
    for (int i = 0; i < CLI_RUN_FILE_COUNT; i++) {
        char *path = cli_run_path(run, (enum cli_run_file)i);
        unlink(path);
        free(path);
    }
    cli_folder_remove(run->folder, run->folders_made);
}

static bool save(cli_run *run, enum cli_run_file file)
{
    char *path = cli_run_path(run, file);
    tl_saving *begun = file == CLI_RUN_LAST ? run->saving : NULL;
    tl_status status = begun ? tl_model_save_end(begun) : write_model(run, run->model, path);
    if (begun)
        run->saving = NULL;
    if (status != TL_OK)
        cli_failed(run->context, status, NULL);
    else if (file == CLI_RUN_LAST)
        cli_verbose("wrote %s", path);
    free(path);
    return status == TL_OK;
}

/* Where the last epoch was the best one both names are one file: half the time and room. */
static bool link_best(const cli_run *run)
{
    if (!run->result || run->best != (int)run->epoch_count - 1)
        return false;
    char *last = cli_run_path(run, CLI_RUN_LAST), *best = cli_run_path(run, CLI_RUN_BEST);
    bool linked = link(last, best) == 0;
    free(last);
    free(best);
    return linked;
}

static bool write_best(cli_run *run, bool last_is_written)
{
    if (run->best < 0 || !run->keep_in_memory || (last_is_written && link_best(run)))
        return true;
    tl_status status = restore_best(run);
    if (status != TL_OK) {
        cli_failed(run->context, status, NULL);
        return false;
    }
    return save(run, CLI_RUN_BEST);
}

/* Of the best model, on whole images of the validation set. What does not work costs the pictures and nothing else. */
static void draw_predictions(cli_run *run)
{
    const cli_config *config = run->config;
    if (run->best < 0 || !run->val || !cli_config_segments(config) || cli_interrupted())
        return;
    char *best = cli_run_path(run, CLI_RUN_BEST), *path = cli_run_path(run, CLI_RUN_SHEET);
    cli_sheet sheet = {.context = run->context, .device = run->computes, .data = run->val,
                       .tiling = {config->tile, config->overlap}};
    if (tl_model_open(run->context, best, &sheet.model) == TL_OK)
        run->drawn = cli_sheet_write(&sheet, path);
    else
        cli_warning("no pictures of predictions: %s", tl_context_message(run->context));
    tl_model_destroy(sheet.model);
    free(best);
    free(path);
}

int cli_run_finish(cli_run *run, bool model_usable)
{
    if (!run->started)
        return CLI_DONE;
    if (!model_usable) {
        tl_model_save_abandon(run->saving);
        run->saving = NULL;
    }
    if (!model_usable && run->best < 0) {
        take_away(run);
        return CLI_DONE;
    }
    /* every file is tried, so that one that fails does not take the others along */
    bool ok = !model_usable || save(run, CLI_RUN_LAST);
    ok &= write_best(run, model_usable && ok);
    ok &= write_metrics(run);
    if (!ok)
        run->status = "failed";
    ok &= write_summary(run);
    draw_predictions(run);
    char *report = cli_run_path(run, CLI_RUN_REPORT);
    ok &= cli_report_write(run, report);
    if (run->best >= 0)
        cli_print("best epoch %d · %s/best.safetensors · %s\n", run->epochs[run->best].number, run->folder, report);
    free(report);
    return ok ? CLI_DONE : CLI_FAILED;
}

void cli_run_free(cli_run *run)
{
    close_log();
    for (size_t i = 0; i < run->epoch_count; i++)
        free(run->epochs[i].stage);
    for (size_t i = 0; i < run->stage_count; i++) {
        free(run->stages[i].name);
        free(run->stages[i].patterns);
        free(run->stages[i].cache);
    }
    for (size_t i = 0; run->kept && i < run->tensor_count; i++)
        free(run->kept[i]);
    free(run->kept);
    free(run->epochs);
    free(run->stages);
    free(run->confusion);
    free(run->folder);
}
