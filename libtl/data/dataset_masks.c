/* Data sets with masks: their options, and opening them. */
#include <string.h>

#include "data/dataset.h"

/* ---- options ---- */

void tl_masks_options_init(tl_masks_options *options, size_t size) {
    static const tl_masks_options usual = {.size = sizeof usual, .ignore = TL_IGNORED};
    memset(options, 0, size);
    memcpy(options, &usual, size < sizeof usual ? size : sizeof usual);
    options->size = size;
}

static tl_status check_colours(tl_context *context, const tl_masks_options *o) {
    if (!o->colours || !o->class_count)
        return tl__fail(context, TL_ERROR_ARGUMENT, "masks of colours need the classes' colours");
    for (size_t i = 0; i < o->class_count; i++) {
        const uint8_t *c = o->colours[i];
        bool twice = o->ignore_colour && !memcmp(c, o->ignore_colour, 3);
        for (size_t k = 0; k < i; k++)
            twice |= !memcmp(c, o->colours[k], 3);
        if (twice)
            return tl__fail(context, TL_ERROR_ARGUMENT, "#%02x%02x%02x is the colour of two classes", c[0], c[1], c[2]);
    }
    return TL_OK;
}

static tl_status check(tl_context *context, const tl_masks_options *o) {
    if (o->kind != TL_MASKS_INDEX && o->kind != TL_MASKS_COLOUR && o->kind != TL_MASKS_ALPHA)
        return tl__fail(context, TL_ERROR_ARGUMENT, "masks of kind %d are unknown", (int)o->kind);
    if (o->ignore < -1 || o->ignore > 255)
        return tl__fail(context, TL_ERROR_ARGUMENT, "ignore is %d and must be -1 to 255", o->ignore);
    if (o->class_count > 255)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%zu classes, and masks have at most 255", o->class_count);
    if (o->kind == TL_MASKS_ALPHA && o->class_count && o->class_count != 2)
        return tl__fail(context, TL_ERROR_ARGUMENT, "%zu classes, and masks from alpha have 2", o->class_count);
    if (o->classes && !o->class_count && o->kind != TL_MASKS_ALPHA)
        return tl__fail(context, TL_ERROR_ARGUMENT, "class names without their number");
    return o->kind == TL_MASKS_COLOUR ? check_colours(context, o) : TL_OK;
}

static tl_status make_rule(tl_dataset *d, const tl_masks_options *o) {
    tl__mask_rule *rule = d->names->masks = tl__calloc(d->context, 1, sizeof *rule);
    if (!rule)
        return TL_ERROR_MEMORY;
    rule->kind = o->kind;
    rule->ignore = o->ignore;
    rule->classes = o->kind == TL_MASKS_ALPHA ? 2 : o->class_count;
    if (o->kind != TL_MASKS_COLOUR)
        return TL_OK;
    rule->colours = tl__alloc(d->context, o->class_count * sizeof *rule->colours);
    if (!rule->colours)
        return TL_ERROR_MEMORY;
    memcpy(rule->colours, o->colours, o->class_count * sizeof *rule->colours);
    rule->has_ignore_colour = o->ignore_colour != NULL;
    if (o->ignore_colour)
        memcpy(rule->ignore_colour, o->ignore_colour, 3);
    return TL_OK;
}

tl_status tl_dataset_open_masks(tl_context *context, const char *path, const tl_masks_options *options, tl_dataset **out) {
    tl_masks_options o;
    tl_masks_options_init(&o, sizeof o);
    if (!path || !*path || !out)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_dataset_open_masks needs a path and a place for the data set");
    if (options)
        memcpy(&o, options, options->size < sizeof o ? options->size : sizeof o);
    TL__TRY(check(context, &o));
    tl_dataset *d;
    TL__TRY(tl__dataset_create(context, &d));
    tl_status status = make_rule(d, &o);
    if (status == TL_OK)
        status = tl__dataset_scan_masks(d, path, &o);
    if (status != TL_OK) {
        tl_dataset_destroy(d);
        return status;
    }
    *out = d;
    return TL_OK;
}
