/* cli/score.h: what a confusion matrix says of each class. */
#ifndef CLI_SCORE_H
#define CLI_SCORE_H

#include <tl/tl.h>

#include "cli/json.h"

/* NaN where there is nothing to divide by: a class that was never predicted has no precision. */
typedef struct cli_class_score {
    int64_t images, predicted, right;
    double precision, recall, f1;
} cli_class_score;

cli_class_score cli_score_class(const int64_t *confusion, size_t classes, size_t index);

/* loss, accuracy, images, "classes" with their scores, and "confusion" (rows: truth), put into `object`. */
void cli_score_json(json_t *object, const tl_score *score, const char *const *names, const int64_t *confusion, size_t classes);

/* The same as tables on stdout. */
void cli_score_print(const tl_score *score, const char *const *names, const int64_t *confusion, size_t classes);

#endif
