/* Finding images and their masks: in two folders, or in a list. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/dataset.h"

/* What an image and its mask have in common: the path in their folder, without the ending. */
typedef struct stem {
    const char *text;
    size_t length;
    tl__image_entry *entry;
} stem;

static int compare(const stem *a, const stem *b) {
    size_t common = a->length < b->length ? a->length : b->length;
    int order = memcmp(a->text, b->text, common);
    return order ? order : a->length == b->length ? 0 : a->length < b->length ? -1 : 1;
}

/* Of the same stem, by path, so that messages do not depend on the sorting. */
static int by_stem(const void *a, const void *b) {
    const stem *x = a, *y = b;
    int order = compare(x, y);
    return order ? order : strcmp(x->entry->path, y->entry->path);
}

static tl_status stems_of(tl_dataset *d, const char *folder, size_t first, size_t count, stem **out) {
    stem *s = tl__calloc(d->context, count ? count : 1, sizeof *s);
    if (!s)
        return TL_ERROR_MEMORY;
    size_t prefix = strlen(folder) + 1;
    for (size_t i = 0; i < count; i++) {
        const char *text = d->images[first + i].path + prefix;
        s[i] = (stem){text, (size_t)(strrchr(text, '.') - text), &d->images[first + i]};
    }
    qsort(s, count, sizeof *s, by_stem);
    *out = s;
    for (size_t i = 1; i < count; i++)
        if (!compare(&s[i - 1], &s[i]))
            return tl__fail(d->context, TL_ERROR_DATA, "%s: another file, %s, has the same name but for the ending",
                            s[i].entry->path, s[i - 1].entry->path);
    return TL_OK;
}

static tl_status join(tl_dataset *d, const stem *images, size_t image_count, const stem *masks, size_t mask_count,
                      const char *folder) {
    size_t m = 0, alone = 0;
    const char *first_alone = NULL;
    for (size_t i = 0; i < image_count; i++) {
        while (m < mask_count && compare(&masks[m], &images[i]) < 0) {
            first_alone = alone++ ? first_alone : masks[m].entry->path;
            m++;
        }
        if (m == mask_count || compare(&masks[m], &images[i]))
            return tl__fail(d->context, TL_ERROR_DATA, "%s: there is no mask %s/%.*s.png for it", images[i].entry->path, folder,
                            (int)images[i].length, images[i].text);
        images[i].entry->mask = masks[m++].entry->path;
    }
    if (m < mask_count && !alone)
        first_alone = masks[m].entry->path;
    alone += mask_count - m;
    if (alone)
        tl__log(d->context, TL_LOG_WARNING, "%s: there is no image for this mask%s", first_alone,
                alone > 1 ? ", nor for others" : "");
    return TL_OK;
}

static tl_status settle_pairs(tl_dataset *d, const char *images, const char *masks) {
    size_t image_count = d->class_sizes[0], mask_count = d->class_sizes[1];
    stem *of_images = NULL, *of_masks = NULL;
    tl__dataset_settle(d);
    tl_status status = stems_of(d, images, 0, image_count, &of_images);
    if (status == TL_OK)
        status = stems_of(d, masks, image_count, mask_count, &of_masks);
    if (status == TL_OK)
        status = join(d, of_images, image_count, of_masks, mask_count, masks);
    tl__free(d->context, of_images);
    tl__free(d->context, of_masks);
    d->count = image_count;
    return status;
}

static tl_status expect_folder(tl_context *context, const char *path, const char *inside) {
    struct stat st;
    if (stat(path, &st) != 0)
        return tl__fail(context, TL_ERROR_NOT_FOUND, "%s: %s (%s)", path, strerror(errno), inside);
    if (!S_ISDIR(st.st_mode))
        return tl__fail(context, TL_ERROR_NOT_FOUND, "%s: not a folder (%s)", path, inside);
    return TL_OK;
}

static tl_status scan_pairs(tl_dataset *d, const char *images, const char *masks) {
    static const char inside[] = "a folder of images with masks holds images/ and masks/";
    TL__TRY(expect_folder(d->context, images, inside));
    TL__TRY(expect_folder(d->context, masks, inside));
    TL__TRY(tl__dataset_walk(d, images, 0));
    TL__TRY(tl__dataset_walk(d, masks, 1));
    if (!d->class_sizes[0])
        return tl__fail(d->context, TL_ERROR_DATA, "%s: holds no PNG or JPEG", images);
    return settle_pairs(d, images, masks);
}

static tl_status scan_alpha(tl_dataset *d, const char *folder) {
    TL__TRY(expect_folder(d->context, folder, "the folder of images"));
    TL__TRY(tl__dataset_walk(d, folder, 0));
    if (!d->count)
        return tl__fail(d->context, TL_ERROR_DATA, "%s: holds no PNG or JPEG", folder);
    tl__dataset_settle(d);
    for (size_t i = 0; i < d->count; i++)
        d->images[i].mask = d->images[i].path;
    return TL_OK;
}

static tl_status scan_folder(tl_dataset *d, const char *path) {
    tl_context *context = d->context;
    char *images = tl__printf(context, "%s/images", path), *masks = images ? tl__printf(context, "%s/masks", path) : NULL;
    tl_status status = TL_ERROR_MEMORY;
    if (masks && d->names->masks->kind == TL_MASKS_ALPHA)
        status = scan_alpha(d, path);
    else if (masks)
        status = scan_pairs(d, images, masks);
    tl__free(context, images);
    tl__free(context, masks);
    return status;
}

/* ---- lists ---- */

/* A field of a line, ended by 0 in its place; *at goes behind the comma. False: a quote that is not closed, or text behind
 * one. */
static bool field(char **at, char **out) {
    char *from = *at, *to;
    if (*from != '"') {
        *out = from;
        char *comma = strchr(from, ',');
        if (comma)
            *comma = 0;
        *at = comma ? comma + 1 : NULL;
        return true;
    }
    *out = to = ++from;
    for (;; from++) {
        if (!*from)
            return false;
        if (*from == '"' && *++from != '"')
            break;
        *to++ = *from;
    }
    char behind = *from;
    *to = 0;
    *at = behind == ',' ? from + 1 : NULL;
    return behind == ',' || !behind;
}

static tl_status add_listed(tl_dataset *d, const char *folder, const char *name, size_t *at) {
    return tl__dataset_add_text(d->context, d->names, *name == '/' ? "" : folder, name, at);
}

static tl_status add_line(tl_dataset *d, const char *list, const char *folder, int number, char *line) {
    const bool alpha = d->names->masks->kind == TL_MASKS_ALPHA;
    char *image = NULL, *mask = NULL, *at = line;
    bool fine = field(&at, &image) && (alpha ? !at : at && field(&at, &mask) && !at);
    if (!fine || !*image || (mask && !*mask))
        return tl__fail(d->context, TL_ERROR_DATA, "%s:%d: the form of a line is %s", list, number,
                        alpha ? "image" : "image,mask");
    if (number == 1 && !strcasecmp(image, "image") && (!mask || !strcasecmp(mask, "mask")))
        return TL_OK;
    if (d->count == UINT32_MAX)
        return tl__fail(d->context, TL_ERROR_LIMIT, "%s: more than %lu images", list, (unsigned long)UINT32_MAX);
    TL__TRY(tl__grow(d->context, (void **)&d->images, &d->room, d->count, sizeof *d->images));
    tl__image_entry entry = {0};
    TL__TRY(add_listed(d, folder, image, &entry.at));
    entry.mask_at = entry.at;
    if (mask)
        TL__TRY(add_listed(d, folder, mask, &entry.mask_at));
    d->images[d->count++] = entry;
    return TL_OK;
}

static tl_status read_lines(tl_dataset *d, const char *path, const char *folder, char *text) {
    int number = 0;
    if (!strncmp(text, "\xef\xbb\xbf", 3))
        text += 3;
    while (text) {
        char *end = strchr(text, '\n');
        if (end)
            *end = 0;
        size_t length = strlen(text);
        if (length && text[length - 1] == '\r')
            text[length - 1] = 0;
        number++;
        if (*text)
            TL__TRY(add_line(d, path, folder, number, text));
        text = end ? end + 1 : NULL;
    }
    if (!d->count)
        return tl__fail(d->context, TL_ERROR_DATA, "%s: lists no images", path);
    for (size_t i = 0; i < d->count; i++) {
        tl__image_entry *e = &d->images[i];
        e->path = d->names->text + e->at;
        e->mask = d->names->text + e->mask_at;
    }
    return TL_OK;
}

static tl_status scan_list(tl_dataset *d, const char *path) {
    tl_context *context = d->context;
    const char *slash = strrchr(path, '/');
    struct stat st;
    if (stat(path, &st) != 0 && errno == ENOENT)
        return tl__fail(context, TL_ERROR_NOT_FOUND, "%s: %s", path, strerror(errno));
    tl__mapping file;
    TL__TRY(tl__map(context, path, &file));
    char *folder = tl__strdup(context, slash ? path : "");
    char *text = folder ? tl__alloc(context, file.size + 1) : NULL;
    tl_status status = TL_ERROR_MEMORY;
    if (text) {
        folder[slash ? slash - path : 0] = 0;
        memcpy(text, file.data, file.size);
        text[file.size] = 0;
        status = strlen(text) == file.size ? read_lines(d, path, folder, text)
                                           : tl__fail(context, TL_ERROR_DATA, "%s: not a text", path);
    }
    tl__free(context, text);
    tl__free(context, folder);
    tl__unmap(&file);
    return status;
}

/* ---- the whole ---- */

static tl_status set_names(tl_dataset *d, const tl_masks_options *options) {
    tl_context *context = d->context;
    tl__names *names = d->names;
    static const char *const of_alpha[] = {"background", "object"};
    const size_t count = names->masks->classes;
    const char *const *given = options->classes;
    if (!given && names->masks->kind == TL_MASKS_ALPHA)
        given = of_alpha;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += given ? strlen(given[i]) + 1 : 4;
    names->classes = tl__calloc(context, count, sizeof *names->classes);
    names->class_text = tl__alloc(context, bytes);
    if (!names->classes || !names->class_text)
        return TL_ERROR_MEMORY;
    char *at = names->class_text;
    for (size_t i = 0; i < count; i++) {
        names->classes[i] = at;
        at += (given ? sprintf(at, "%s", given[i]) : sprintf(at, "%zu", i)) + 1;
    }
    names->class_count = count;
    return TL_OK;
}

#define MOST_KEPT 65536 /* masks whose counts stay, a kilobyte each */

/* The number of classes is one more than the largest in the masks. What was counted is not counted again for weights. */
static tl_status find_classes(tl_dataset *d) {
    int64_t counts[256];
    tl__mask_rule *rule = d->names->masks;
    rule->classes = 255;
    uint32_t(*each)[256] = d->count <= MOST_KEPT ? tl__alloc(d->context, d->count * sizeof *each) : NULL;
    if (!each && d->count <= MOST_KEPT)
        return TL_ERROR_MEMORY;
    d->names->pixels = each;
    TL__TRY(tl__masks_count(d->context, d, counts, each));
    for (size_t i = 0; each && i < d->count; i++)
        d->images[i].pixels = each[i];
    size_t most = 255;
    while (most && !counts[most - 1])
        most--;
    rule->classes = most;
    return most ? TL_OK : tl__fail(d->context, TL_ERROR_DATA, "all pixels of all masks are ignored: there are no classes");
}

static bool is_list(const char *path) {
    const char *dot = strrchr(path, '.');
    struct stat st;
    return dot && strcasecmp(dot, ".csv") == 0 && (stat(path, &st) != 0 || !S_ISDIR(st.st_mode));
}

tl_status tl__dataset_scan_masks(tl_dataset *dataset, const char *path, const tl_masks_options *options) {
    tl_context *context = dataset->context;
    dataset->class_sizes = tl__calloc(context, 2, sizeof *dataset->class_sizes);
    char *trimmed = dataset->class_sizes ? tl__strdup(context, path) : NULL;
    if (!trimmed)
        return TL_ERROR_MEMORY;
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/';)
        trimmed[--n] = 0;
    tl_status status = is_list(trimmed) ? scan_list(dataset, trimmed) : scan_folder(dataset, trimmed);
    tl__free(context, trimmed);
    if (status == TL_OK && !dataset->names->masks->classes)
        status = find_classes(dataset);
    return status == TL_OK ? set_names(dataset, options) : status;
}
