#include "cli/score.h"

#include <math.h>

tl_class_score cli_score_class(const int64_t *confusion, size_t classes, size_t index)
{
    tl_class_score s = {.size = sizeof(s)};
    tl_confusion_class(confusion, classes, index, &s);
    return s;
}

static tl_confusion_score mean_of(const cli_result *r)
{
    tl_confusion_score s = {.size = sizeof(s)};
    tl_confusion_mean(r->confusion, r->classes, &s);
    return s;
}

static json_t *class_json(const cli_result *r, size_t index)
{
    tl_class_score s = cli_score_class(r->confusion, r->classes, index);
    json_t *one = json_object();
    json_object_set_new(one, "class", cli_json_text(r->names[index]));
    json_object_set_new(one, r->pixels ? "pixels" : "images", json_integer(s.truth));
    json_object_set_new(one, "predicted", json_integer(s.predicted));
    json_object_set_new(one, "precision", cli_json_ratio(s.precision));
    json_object_set_new(one, "recall", cli_json_ratio(s.recall));
    json_object_set_new(one, r->pixels ? "dice" : "f1", cli_json_ratio(s.dice));
    if (r->pixels)
        json_object_set_new(one, "iou", cli_json_ratio(s.iou));
    return one;
}

void cli_score_json(json_t *object, const cli_result *r)
{
    json_t *list = json_array();
    tl_confusion_score all = mean_of(r);
    json_object_set_new(object, "loss", cli_json_real(r->score.loss));
    json_object_set_new(object, r->pixels ? "pixel_accuracy" : "accuracy", cli_json_real(r->score.accuracy));
    if (r->pixels) {
        json_object_set_new(object, "mean_iou", cli_json_ratio(all.mean_iou));
        json_object_set_new(object, "mean_dice", cli_json_ratio(all.mean_dice));
        json_object_set_new(object, "pixels", json_integer(r->score.pixels));
    }
    json_object_set_new(object, "images", json_integer(r->score.images));
    for (size_t i = 0; i < r->classes; i++)
        json_array_append_new(list, class_json(r, i));
    json_object_set_new(object, "classes", list);
    json_object_set_new(object, "confusion", cli_json_matrix(r->confusion, r->classes));
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

static void print_totals(const cli_result *r)
{
    tl_confusion_score all = mean_of(r);
    if (!r->pixels) {
        cli_print("loss      %.4f\naccuracy  %.4f  (%s of %s)\n\n", r->score.loss, r->score.accuracy, cli_grouped(all.right),
                  cli_grouped(r->score.images));
        return;
    }
    cli_print("loss            %.4f\nmean IoU        %.4f\nmean Dice       %.4f\n", r->score.loss, all.mean_iou, all.mean_dice);
    cli_print("pixel accuracy  %.4f  (%s of %s)\n\n", r->score.accuracy, cli_grouped(all.right), cli_grouped(all.count));
}

static void print_classes(const cli_result *r, int width)
{
    print_padded("class", width, false);
    if (r->pixels)
        cli_print("%14s%11s%11s%11s%11s\n", "pixels", "IoU", "Dice", "precision", "recall");
    else
        cli_print("%10s%11s%11s%11s\n", "images", "precision", "recall", "f1");
    for (size_t i = 0; i < r->classes; i++) {
        tl_class_score s = cli_score_class(r->confusion, r->classes, i);
        print_padded(r->names[i], width, false);
        cli_print("%*s", r->pixels ? 14 : 10, cli_grouped(s.truth));
        if (r->pixels) {
            print_ratio(s.iou);
            print_ratio(s.dice);
        }
        print_ratio(s.precision);
        print_ratio(s.recall);
        if (!r->pixels)
            print_ratio(s.dice);
        cli_print("\n");
    }
}

static int column_width(const char *name)
{
    return shown_length(name) + 2 > 8 ? shown_length(name) + 2 : 8;
}

static void print_matrix(const cli_result *r, int width)
{
    cli_print("\nconfusion (rows: the truth, columns: what was predicted%s)\n", r->pixels ? ", in % of the row" : "");
    print_padded("", width, false);
    for (size_t i = 0; i < r->classes; i++)
        print_padded(r->names[i], column_width(r->names[i]), true);
    cli_print("\n");
    for (size_t i = 0; i < r->classes; i++) {
        int64_t truth = cli_score_class(r->confusion, r->classes, i).truth;
        print_padded(r->names[i], width, false);
        for (size_t j = 0; j < r->classes; j++) {
            int64_t count = r->confusion[i * r->classes + j];
            if (!r->pixels)
                cli_print("%*lld", column_width(r->names[j]), (long long)count);
            else if (truth)
                cli_print("%*.1f", column_width(r->names[j]), 100 * (double)count / (double)truth);
            else
                cli_print("%*s", column_width(r->names[j]), "-");
        }
        cli_print("\n");
    }
}

void cli_score_print(const cli_result *r)
{
    int width = 5;
    for (size_t i = 0; i < r->classes; i++) {
        int length = shown_length(r->names[i]);
        width = length > width ? length : width;
    }
    print_totals(r);
    print_classes(r, width);
    if (r->classes > WIDEST_MATRIX)
        cli_print("\n%zu classes: --json prints the confusion matrix\n", r->classes);
    else
        print_matrix(r, width);
}
