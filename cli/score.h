/* cli/score.h: what a confusion matrix says of each class. */
#ifndef CLI_SCORE_H
#define CLI_SCORE_H

#include <tl/tl.h>

#include "cli/json.h"

/* What a model was found to be worth. */
typedef struct cli_result {
    tl_score score;
    const char *const *names; /* of the classes */
    const int64_t *confusion;
    size_t classes;
    bool pixels;              /* it tells pixels apart, not images */
} cli_result;

tl_class_score cli_score_class(const int64_t *confusion, size_t classes, size_t index);

/* loss, accuracy, images, "classes" with their scores, and "confusion" (rows: truth), put into `object`. */
void cli_score_json(json_t *object, const cli_result *result);

/* The same as tables on stdout. */
void cli_score_print(const cli_result *result);

#endif
