/* cli/session.h: a context of libtl whose messages reach the terminal, signals that end work in good order, and what
 * several verbs ask of the library. */
#ifndef CLI_SESSION_H
#define CLI_SESSION_H

#include <tl/tl.h>

#include "cli/options.h"

/* A context, or NULL after saying why. */
tl_context *cli_context_create(void);

/* From now on the first SIGINT or SIGTERM only raises a flag, which ends libtl's call in progress with TL_CANCELLED;
 * the second one ends the program. Writing beyond a limit becomes an error instead of a signal. */
void cli_catch_signals(void);
bool cli_interrupted(void);

/* Says what went wrong, from the context, after "what: " if `what` is not NULL; returns CLI_FAILED. */
int cli_failed(const tl_context *context, tl_status status, const char *what);

/* How a device is to be opened; what is 0 is the default. */
typedef struct cli_device_request {
    const char *name; /* "": auto */
    const char *isa;
    int threads;
    tl_fallback fallback;
} cli_device_request;
/* An exit code, CLI_DONE if it is open. */
int cli_device_open(tl_context *context, const cli_device_request *request, tl_device **device);

/* A network by its name with random weights, for verbs that only measure; a segmenter's begins with that of its head, as in
 * deeplabv3_resnet50, and has 21 classes. An exit code; CLI_USAGE: there is none. */
int cli_model_named(tl_context *context, const char *arch, tl_model **model);

/* The options --device, --threads and --fallback of a verb. True if `letter` is one of them; *code is CLI_USAGE then if
 * its value is wrong, which was said. */
bool cli_device_option(const cli_verb *verb, int letter, const char *value, cli_device_request *request, int *code);

/* Opens what tl_model_save wrote; says how to come by such a file where this is another. */
int cli_model_open(tl_context *context, const char *path, tl_model **model);

/* "native", "fcn", ...: as [model] head has them. The second: false where there is none of that name. */
const char *cli_head_name(tl_head head);
bool cli_head_named(const char *name, tl_head *head);

/* The class's name; where it has none, its number, put into text. */
const char *cli_class_name(const tl_model *model, int index, char text[16]);

/* Does the model tell pixels apart, not images? */
bool cli_segments(const tl_model *model);

/* tl_train's, tl_evaluate's progress as a bar; `user` is the label of the training and validating phases. */
void cli_show_progress(void *user, const tl_progress *progress);

/* Seconds since the process started. */
double cli_process_seconds(void);

/* The sum of all parameters' elements, without buffers. */
int64_t cli_model_elements(const tl_model *model);

#endif
