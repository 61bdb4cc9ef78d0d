/* cli/job.h: what a configuration names, opened and checked against each other: data, device, network, weights. */
#ifndef CLI_JOB_H
#define CLI_JOB_H

#include <tl/tl.h>

#include "cli/config.h"

typedef struct cli_job {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_dataset *train, *val; /* val: NULL without one */
    float *class_weights;    /* by what train has of each class */
} cli_job;

/* Data first, which is quick to check, then the device, the network and its weights. An exit code; what was opened
 * until then is in `job` and is the caller's to close. */
int cli_job_open(const cli_config *config, cli_job *job);
void cli_job_close(cli_job *job);

/* Every pattern of every stage must match some parameter of the network. An exit code. */
int cli_job_check_stages(const cli_config *config, const cli_job *job);

/* A data set with masks, read as [data] masks and [classes] of the configuration say (NULL: numbers, of which 255 does not
 * count), with `count` classes, unless that is 0, under the names `classes` (NULL: numbers). */
tl_status cli_data_open_masks(tl_context *context, const cli_config *config, const char *const *classes, size_t count,
                              const char *path, tl_dataset **out);

/* The lines that say what is about to happen. */
void cli_job_print(const cli_config *config, const cli_job *job);

/* Elements of the parameters that a stage trains. */
int64_t cli_job_trainable(const cli_config *config, const cli_job *job, const cli_stage *stage);

/* Decodes every image, with a bar. An exit code; each image that cannot be read is said. */
int cli_job_check_images(const cli_config *config, const cli_job *job);

#endif
