#include "data/dataset.h"

#include <math.h>
#include <string.h>

static void names_release(tl_context *context, tl__names *names) {
    if (!names || --names->users)
        return;
    if (names->masks)
        tl__free(context, names->masks->colours);
    tl__free(context, names->masks);
    tl__free(context, names->pixels);
    tl__free(context, names->class_text);
    tl__free(context, names->classes);
    tl__free(context, names->text);
    tl__free(context, names);
}

/* A data set without images, of the names given or of none yet. */
static tl_status create(tl_context *context, tl__names *names, tl_dataset **out) {
    tl_dataset *d = tl__calloc(context, 1, sizeof *d);
    if (!d)
        return TL_ERROR_MEMORY;
    d->context = context;
    d->names = names ? names : tl__calloc(context, 1, sizeof *names);
    if (!d->names) {
        tl__free(context, d);
        return TL_ERROR_MEMORY;
    }
    d->names->users++;
    *out = d;
    return TL_OK;
}

void tl_dataset_destroy(tl_dataset *dataset) {
    if (!dataset)
        return;
    names_release(dataset->context, dataset->names);
    tl__free(dataset->context, dataset->images);
    tl__free(dataset->context, dataset->class_sizes);
    tl__free(dataset->context, dataset);
}

tl_status tl__dataset_create(tl_context *context, tl_dataset **out) {
    return create(context, NULL, out);
}

tl_status tl_dataset_open(tl_context *context, const char *folder, tl_dataset **out) {
    if (!folder || !*folder || !out)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_dataset_open needs a folder and a place for the data set");
    tl_dataset *d;
    TL__TRY(create(context, NULL, &d));
    tl_status status = tl__dataset_scan(d, folder);
    if (status != TL_OK) {
        tl_dataset_destroy(d);
        return status;
    }
    *out = d;
    return TL_OK;
}

/* ---- splitting: each class apart, images with masks all together ---- */

static size_t group_count(const tl_dataset *d) {
    return d->names->masks ? 1 : d->names->class_count;
}

static size_t group_size(const tl_dataset *d, size_t group) {
    return d->names->masks ? d->count : d->class_sizes[group];
}

/* Room for `count` images and the sizes of the classes. */
static tl_status part_create(tl_context *context, const tl_dataset *of, size_t count, tl_dataset **out) {
    tl_dataset *d;
    TL__TRY(create(context, of->names, &d));
    d->images = tl__calloc(context, count, sizeof *d->images);
    d->class_sizes = tl__calloc(context, of->names->class_count, sizeof *d->class_sizes);
    d->room = count;
    if (!d->images || !d->class_sizes) {
        tl_dataset_destroy(d);
        return TL_ERROR_MEMORY;
    }
    *out = d;
    return TL_OK;
}

static void part_add(tl_dataset *d, const tl__image_entry *image) {
    d->images[d->count++] = *image;
    if (!d->names->masks)
        d->class_sizes[image->label]++;
}

static size_t held_count(size_t images, double fraction) {
    double wanted = floor((double)images * fraction + 0.5);
    size_t count = wanted < 1.0 ? 1 : (size_t)wanted;
    return count < images ? count : images - 1;
}

/* Marks the images of one group, which begin at `first`, that are held out. */
static void draw(const tl_dataset *d, size_t group, size_t first, double fraction, uint64_t seed, uint32_t *order,
                 bool *held) {
    size_t images = group_size(d, group), count = held_count(images, fraction);
    for (size_t i = 0; i < images; i++)
        order[i] = (uint32_t)i;
    tl__random random;
    const char *name = d->names->masks ? "" : d->names->classes[group];
    tl__random_start(&random, seed, tl__fnv1a64("split") ^ tl__fnv1a64(name));
    tl__random_shuffle(&random, order, images);
    for (size_t i = 0; i < count; i++)
        held[first + order[i]] = true;
}

static tl_status split(tl_context *context, const tl_dataset *d, double fraction, uint64_t seed, uint32_t *order,
                       bool *held, tl_dataset **rest, tl_dataset **held_out) {
    size_t first = 0, count = 0;
    for (size_t group = 0; group < group_count(d); first += group_size(d, group++)) {
        draw(d, group, first, fraction, seed, order, held);
        count += held_count(group_size(d, group), fraction);
    }
    tl_dataset *a, *b;
    TL__TRY(part_create(context, d, d->count - count, &a));
    tl_status status = part_create(context, d, count, &b);
    if (status != TL_OK) {
        tl_dataset_destroy(a);
        return status;
    }
    for (size_t i = 0; i < d->count; i++)
        part_add(held[i] ? b : a, &d->images[i]);
    *rest = a;
    *held_out = b;
    return TL_OK;
}

tl_status tl_dataset_split(tl_context *context, const tl_dataset *dataset, double fraction, uint64_t seed,
                           tl_dataset **rest, tl_dataset **held_out) {
    if (!dataset || !rest || !held_out)
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_dataset_split needs a data set and places for both parts");
    if (!(fraction > 0.0 && fraction < 1.0))
        return tl__fail(context, TL_ERROR_ARGUMENT, "the fraction to hold out is %g and must be between 0 and 1",
                        fraction);
    if (dataset->names->masks && dataset->count < 2)
        return tl__fail(context, TL_ERROR_DATA, "one image cannot be split");
    for (size_t label = 0; !dataset->names->masks && label < dataset->names->class_count; label++)
        if (dataset->class_sizes[label] < 2)
            return tl__fail(context, TL_ERROR_DATA, "class \"%s\" has one image, which cannot be split",
                            dataset->names->classes[label]);
    uint32_t *order = tl__calloc(context, dataset->count, sizeof *order);
    bool *held = order ? tl__calloc(context, dataset->count, sizeof *held) : NULL;
    tl_status status = held ? split(context, dataset, fraction, seed, order, held, rest, held_out) : TL_ERROR_MEMORY;
    tl__free(context, held);
    tl__free(context, order);
    return status;
}

/* ---- what is in it ---- */

tl_status tl_dataset_match(tl_context *context, const tl_dataset *dataset, const char *const *classes,
                           size_t class_count) {
    if (!dataset || (!classes && class_count))
        return tl__fail(context, TL_ERROR_ARGUMENT, "tl_dataset_match needs a data set and class names");
    const tl__names *names = dataset->names;
    for (size_t i = 0; i < names->class_count && i < class_count; i++)
        if (strcmp(names->classes[i], classes[i]) != 0)
            return tl__fail(context, TL_ERROR_DATA, "class %zu is \"%s\" in the data set and should be \"%s\"", i,
                            names->classes[i], classes[i]);
    if (names->class_count == class_count)
        return TL_OK;
    bool more = names->class_count > class_count;
    size_t first = more ? class_count : names->class_count;
    return tl__fail(context, TL_ERROR_DATA, "the data set has %zu classes and should have %zu: \"%s\" is %s",
                    names->class_count, class_count, more ? names->classes[first] : classes[first],
                    more ? "too many" : "missing");
}

size_t tl_dataset_size(const tl_dataset *dataset) {
    return dataset->count;
}

size_t tl_dataset_class_count(const tl_dataset *dataset) {
    return dataset->names->class_count;
}

const char *tl_dataset_class(const tl_dataset *dataset, size_t index) {
    return index < dataset->names->class_count ? dataset->names->classes[index] : NULL;
}

const char *const *tl_dataset_classes(const tl_dataset *dataset) {
    return dataset->names->classes;
}

size_t tl_dataset_class_size(const tl_dataset *dataset, size_t index) {
    return !dataset->names->masks && index < dataset->names->class_count ? dataset->class_sizes[index] : 0;
}

const char *tl_dataset_path(const tl_dataset *dataset, size_t index) {
    return index < dataset->count ? dataset->images[index].path : NULL;
}

int tl_dataset_label(const tl_dataset *dataset, size_t index) {
    return index < dataset->count && !dataset->names->masks ? dataset->images[index].label : -1;
}

bool tl_dataset_has_masks(const tl_dataset *dataset) {
    return dataset->names->masks != NULL;
}

const char *tl_dataset_mask(const tl_dataset *dataset, size_t index) {
    return index < dataset->count ? dataset->images[index].mask : NULL;
}
