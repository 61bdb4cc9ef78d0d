#include "cli/score.h"

#include <math.h>
#include <string.h>

cli_class_score cli_score_class(const int64_t *confusion, size_t classes, size_t index)
{
    cli_class_score s = {.right = confusion[index * classes + index]};
    for (size_t i = 0; i < classes; i++) {
        s.images += confusion[index * classes + i];
        s.predicted += confusion[i * classes + index];
    }
    s.precision = s.predicted ? (double)s.right / (double)s.predicted : NAN;
    s.recall = s.images ? (double)s.right / (double)s.images : NAN;
    s.f1 = s.images + s.predicted ? 2.0 * (double)s.right / (double)(s.images + s.predicted) : NAN;
    return s;
}

void cli_score_json(json_t *object, const tl_score *score, const char *const *names, const int64_t *confusion, size_t classes)
{
    json_t *list = json_array();
    json_object_set_new(object, "loss", cli_json_real(score->loss));
    json_object_set_new(object, "accuracy", cli_json_real(score->accuracy));
    json_object_set_new(object, "images", json_integer(score->images));
    for (size_t i = 0; i < classes; i++) {
        cli_class_score s = cli_score_class(confusion, classes, i);
        json_t *one = json_object();
        json_object_set_new(one, "class", cli_json_text(names[i]));
        json_object_set_new(one, "images", json_integer(s.images));
        json_object_set_new(one, "predicted", json_integer(s.predicted));
        json_object_set_new(one, "precision", cli_json_ratio(s.precision));
        json_object_set_new(one, "recall", cli_json_ratio(s.recall));
        json_object_set_new(one, "f1", cli_json_ratio(s.f1));
        json_array_append_new(list, one);
    }
    json_object_set_new(object, "classes", list);
    json_object_set_new(object, "confusion", cli_json_matrix(confusion, classes));
}

/* Columns line up by characters, not bytes. */
static int shown_length(const char *text)
{
    int length = 0;
    for (; *text; text++)
        length += ((unsigned char)*text & 0xc0) != 0x80;
    return length;
}

static void print_padded(const char *text, int width, bool right)
{
    int pad = width - shown_length(text);
    cli_print("%*s%s%*s", right && pad > 0 ? pad : 0, "", text, !right && pad > 0 ? pad : 0, "");
}

static void print_ratio(double value)
{
    if (isnan(value))
        cli_print("%11s", "-");
    else
        cli_print("%11.4f", value);
}

#define WIDEST_MATRIX 20 /* classes; a wider one does not fit a terminal, and --json has it */

void cli_score_print(const tl_score *score, const char *const *names, const int64_t *confusion, size_t classes)
{
    int width = 5;
    int64_t right = 0;
    for (size_t i = 0; i < classes; i++) {
        int length = shown_length(names[i]);
        width = length > width ? length : width;
        right += confusion[i * classes + i];
    }
    cli_print("loss      %.4f\naccuracy  %.4f  (%s of %s)\n\n", score->loss, score->accuracy, cli_grouped(right),
              cli_grouped(score->images));
    print_padded("class", width, false);
    cli_print("%10s%11s%11s%11s\n", "images", "precision", "recall", "f1");
    for (size_t i = 0; i < classes; i++) {
        cli_class_score s = cli_score_class(confusion, classes, i);
        print_padded(names[i], width, false);
        cli_print("%10s", cli_grouped(s.images));
        print_ratio(s.precision);
        print_ratio(s.recall);
        print_ratio(s.f1);
        cli_print("\n");
    }
    if (classes > WIDEST_MATRIX) {
        cli_print("\n%zu classes: --json prints the confusion matrix\n", classes);
        return;
    }
    cli_print("\nconfusion (rows: the truth, columns: what was predicted)\n");
    print_padded("", width, false);
    for (size_t i = 0; i < classes; i++)
        print_padded(names[i], shown_length(names[i]) + 2 > 8 ? shown_length(names[i]) + 2 : 8, true);
    cli_print("\n");
    for (size_t i = 0; i < classes; i++) {
        print_padded(names[i], width, false);
        for (size_t j = 0; j < classes; j++) {
            int column = shown_length(names[j]) + 2 > 8 ? shown_length(names[j]) + 2 : 8;
            cli_print("%*lld", column, (long long)confusion[i * classes + j]);
        }
        cli_print("\n");
    }
}
