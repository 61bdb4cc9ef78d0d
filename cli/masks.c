#include "cli/masks.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/files.h"
#include "cli/session.h"

/* Images of one size, read and not yet looked at. */
typedef struct group {
    tl_picture *pictures; /* [batch] */
    const cli_image **images;
    int count;
    const tl_picture **list;
    uint8_t **labels;
    float **probabilities; /* entries are NULL where nobody wants them */
    tl_segmenter *segmenter;
} group;

/* `where`: NULL where the message names the file. */
static void report_failure(cli_masks *m, const cli_image *image, const char *where)
{
    m->failed++;
    cli_error("%s%s%s", where ? where : "", where ? ": " : "", tl_context_message(m->context));
    if (!m->list)
        return;
    json_t *object = json_object();
    json_object_set_new(object, "path", cli_json_text(image->path));
    json_object_set_new(object, "error", cli_json_text(tl_context_message(m->context)));
    json_array_append_new(m->list, object);
}

/* ---- files ---- */

static char *path_for(const cli_masks *m, const cli_image *image, const char *ending)
{
    return cli_format("%s/%s%s", m->folder, image->name, ending);
}

/* Names may hold folders. */
static bool make_folder(const cli_masks *m, const cli_image *image)
{
    int made = 0;
    char *path = path_for(m, image, ".png"), *slash = strrchr(path, '/');
    *slash = 0;
    bool ok = cli_folder_make(path, &made);
    free(path);
    return ok;
}

/* Half the picture, half the class's colour, but for the first class: it is the background. */
static tl_status write_overlay(const cli_masks *m, const cli_image *image, const tl_picture *seen, const uint8_t *labels)
{
    tl_picture own = {.size = sizeof(own)};
    const tl_picture *from = seen;
    tl_status status = TL_OK;
    if (seen->width != seen->file_width || seen->height != seen->file_height) {
        tl_preprocess whole = *tl_model_preprocess(m->model);
        whole.resize = 0;
        status = tl_picture_load(m->context, image->path, &whole, &own);
        from = &own;
    }
    if (status != TL_OK)
        return status;
    size_t pixels = (size_t)from->width * (size_t)from->height;
    uint8_t *rgb = cli_alloc(3 * pixels);
    for (size_t i = 0; i < pixels; i++) {
        uint8_t colour[3];
        tl_class_colour(labels[i], colour);
        for (size_t c = 0; c < 3; c++) {
            uint8_t value = from->rgb[3 * i + c];
            rgb[3 * i + c] = labels[i] ? (uint8_t)((value + colour[c]) / 2) : value;
        }
    }
    char *path = path_for(m, image, ".overlay.png");
    status = tl_image_save(m->context, path, from->width, from->height, rgb, NULL, 0);
    free(path);
    free(rgb);
    if (from == &own)
        tl_picture_release(m->context, &own);
    return status;
}

static tl_status write_probabilities(const cli_masks *m, const cli_image *image, const tl_picture *seen,
                                     const float *values)
{
    const int classes = tl_model_class_count(m->model), height = seen->file_height, width = seen->file_width;
    char *path = path_for(m, image, ".npy");
    tl_status status = tl_array_save(m->context, path, 3, (const int64_t[]){classes, height, width}, values);
    free(path);
    return status;
}

static tl_status write_mask(const cli_masks *m, const cli_image *image, const tl_picture *seen, const uint8_t *labels)
{
    uint8_t palette[256][3];
    for (int i = 0; i < 256; i++)
        tl_class_colour(i, palette[i]);
    char *path = path_for(m, image, ".png");
    tl_status status = tl_image_save(m->context, path, seen->file_width, seen->file_height, labels, palette[0], 256);
    free(path);
    return status;
}

/* ---- words ---- */

static void set_path(json_t *object, const char *key, const cli_masks *m, const cli_image *image, const char *ending)
{
    char *path = path_for(m, image, ending);
    json_object_set_new(object, key, cli_json_text(path));
    free(path);
}

static json_t *classes_json(const cli_masks *m, const size_t counts[256])
{
    json_t *list = json_array();
    for (int c = 0; c < tl_model_class_count(m->model); c++) {
        if (!counts[c])
            continue;
        char text[16];
        json_t *one = json_object();
        json_object_set_new(one, "class", cli_json_text(cli_class_name(m->model, c, text)));
        json_object_set_new(one, "pixels", json_integer((json_int_t)counts[c]));
        json_array_append_new(list, one);
    }
    return list;
}

static void print_classes(const cli_masks *m, size_t counts[256], size_t pixels)
{
    for (;;) {
        int most = 0;
        char text[16];
        for (int c = 1; c < tl_model_class_count(m->model); c++)
            if (counts[c] > counts[most])
                most = c;
        if (!counts[most])
            break;
        cli_print("\t%s\t%.4f", cli_class_name(m->model, most, text), (double)counts[most] / (double)pixels);
        counts[most] = 0;
    }
    cli_print("\n");
}

static void report(cli_masks *m, const cli_image *image, const tl_picture *seen, const uint8_t *labels)
{
    size_t counts[256] = {0}, pixels = (size_t)seen->file_width * (size_t)seen->file_height;
    for (size_t i = 0; i < pixels; i++)
        counts[labels[i]]++;
    if (!m->list) {
        char *mask = path_for(m, image, ".png");
        cli_print("%s\t%s", image->path, mask);
        print_classes(m, counts, pixels);
        free(mask);
        return;
    }
    json_t *object = json_object();
    json_object_set_new(object, "path", cli_json_text(image->path));
    set_path(object, "mask", m, image, ".png");
    if (m->overlay)
        set_path(object, "overlay", m, image, ".overlay.png");
    if (m->probabilities)
        set_path(object, "probabilities", m, image, ".npy");
    json_object_set_new(object, "width", json_integer(seen->file_width));
    json_object_set_new(object, "height", json_integer(seen->file_height));
    json_object_set_new(object, "classes", classes_json(m, counts));
    json_array_append_new(m->list, object);
}

/* ---- the work ---- */

/* False after saying why: what cannot be written ends it all. */
static bool write_one(cli_masks *m, const cli_image *image, const tl_picture *seen, const uint8_t *labels,
                      const float *probabilities)
{
    bool made = make_folder(m, image);
    tl_status status = made ? write_mask(m, image, seen, labels) : TL_ERROR_IO;
    if (status == TL_OK && m->overlay)
        status = write_overlay(m, image, seen, labels);
    if (status == TL_OK && m->probabilities)
        status = write_probabilities(m, image, seen, probabilities);
    if (status == TL_OK)
        report(m, image, seen, labels);
    else if (made)
        cli_failed(m->context, status, NULL);
    return status == TL_OK;
}

static bool write_results(cli_masks *m, const group *g)
{
    for (int i = 0; i < g->count; i++)
        if (!write_one(m, g->images[i], &g->pictures[i], g->labels[i], g->probabilities[i]))
            return false;
    return true;
}

static bool write_group(cli_masks *m, group *g)
{
    for (int i = 0; i < g->count; i++) {
        size_t pixels = (size_t)g->pictures[i].file_height * (size_t)g->pictures[i].file_width;
        g->list[i] = &g->pictures[i];
        g->labels[i] = cli_alloc(pixels);
        if (m->probabilities)
            g->probabilities[i] = cli_alloc(pixels * (size_t)tl_model_class_count(m->model) * sizeof(float));
    }
    tl_status status = tl_segmenter_run(g->segmenter, g->list, g->count, g->labels, g->probabilities);
    bool ok = true;
    if (status == TL_ERROR_SHAPE) /* too small for the network: the next may be larger */
        for (int i = 0; i < g->count; i++)
            report_failure(m, g->images[i], g->images[i]->path);
    else if (status != TL_OK)
        ok = cli_failed(m->context, status, g->images[0]->path) == CLI_DONE;
    else
        ok = write_results(m, g);
    for (int i = 0; i < g->count; i++) {
        tl_picture_release(m->context, &g->pictures[i]);
        free(g->labels[i]);
        free(g->probabilities[i]);
        g->labels[i] = NULL;
        g->probabilities[i] = NULL;
    }
    g->count = 0;
    return ok;
}

#define GROUP_PIXELS 16e6 /* of the images that are held together */

/* Images of one size, as many as go through the network together. */
static bool joins(const cli_masks *m, const group *g, const tl_picture *next)
{
    if (g->count == 0)
        return true;
    const tl_picture *first = &g->pictures[0];
    return first->width == next->width && first->height == next->height && g->count < m->batch &&
           (double)next->file_width * next->file_height * (g->count + 1) <= GROUP_PIXELS;
}

static bool write_all(cli_masks *m, group *g)
{
    for (size_t i = 0; i < m->count; i++) {
        tl_picture next = {.size = sizeof(next)};
        if (cli_interrupted()) {
            cli_error("interrupted after %zu of %zu images", i, m->count);
            return false;
        }
        if (tl_picture_load(m->context, m->images[i].path, tl_model_preprocess(m->model), &next) != TL_OK) {
            report_failure(m, &m->images[i], NULL);
            continue;
        }
        if (!joins(m, g, &next) && !write_group(m, g)) {
            tl_picture_release(m->context, &next);
            return false;
        }
        g->pictures[g->count] = next;
        g->images[g->count++] = &m->images[i];
    }
    return g->count == 0 || write_group(m, g);
}

static int by_name(const void *a, const void *b)
{
    return strcmp((*(const cli_image *const *)a)->name, (*(const cli_image *const *)b)->name);
}

/* One file for two images would be the second one's alone. */
static bool names_differ(const cli_masks *m)
{
    const cli_image **sorted = cli_alloc(m->count * sizeof(*sorted));
    bool differ = true;
    for (size_t i = 0; i < m->count; i++)
        sorted[i] = &m->images[i];
    qsort(sorted, m->count, sizeof(*sorted), by_name);
    for (size_t i = 1; i < m->count && differ; i++)
        if (!by_name(&sorted[i - 1], &sorted[i])) {
            cli_error("%s and %s would both be %s/%s.png", sorted[i - 1]->path, sorted[i]->path, m->folder, sorted[i]->name);
            differ = false;
        }
    free(sorted);
    return differ;
}

/* ---- what must not be written over ---- */

typedef struct identity {
    dev_t device;
    ino_t number;
    const char *path;
} identity;

static int by_identity(const void *a, const void *b)
{
    const identity *x = a, *y = b;
    if (x->device != y->device)
        return x->device < y->device ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static bool identify(const char *path, identity *out)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return false;
    *out = (identity){st.st_dev, st.st_ino, path};
    return true;
}

/* An image is not the place for a mask, whatever the folder is called. */
static bool images_stay(const cli_masks *m)
{
    static const char *const endings[] = {".png", ".overlay.png"};
    identity *images = cli_alloc(m->count * sizeof(*images)), target;
    size_t count = 0;
    bool stay = true;
    for (size_t i = 0; i < m->count; i++)
        count += identify(m->images[i].path, &images[count]);
    qsort(images, count, sizeof(*images), by_identity);
    for (size_t i = 0; i < 2 * m->count && stay; i++) {
        char *path = path_for(m, &m->images[i / 2], endings[i % 2]);
        const identity *image = NULL;
        if ((i % 2 == 0 || m->overlay) && identify(path, &target))
            image = bsearch(&target, images, count, sizeof(*images), by_identity);
        if (image)
            cli_error("%s is an image itself: another --mask-dir, for nothing is written over images", image->path);
        stay = !image;
        free(path);
    }
    free(images);
    return stay;
}

int cli_masks_write(cli_masks *m)
{
    if (!names_differ(m) || !images_stay(m))
        return CLI_FAILED;
    cli_catch_signals();
    size_t batch = (size_t)m->batch;
    group g = {.pictures = cli_alloc(batch * sizeof(*g.pictures)),
               .images = cli_alloc(batch * sizeof(*g.images)),
               .list = cli_alloc(batch * sizeof(*g.list)),
               .labels = cli_alloc(batch * sizeof(*g.labels)),
               .probabilities = cli_alloc(batch * sizeof(*g.probabilities))};
    memset(g.probabilities, 0, batch * sizeof(*g.probabilities));
    tl_segmenter_options options = {
        .size = sizeof(options), .batch = m->batch, .tile = m->tiling.tile, .overlap = m->tiling.overlap};
    tl_status status = tl_segmenter_create(m->model, m->device, &options, &g.segmenter);
    bool ok = status == TL_OK ? write_all(m, &g) : cli_failed(m->context, status, NULL) == CLI_DONE;
    for (int i = 0; i < g.count; i++)
        tl_picture_release(m->context, &g.pictures[i]);
    tl_segmenter_destroy(g.segmenter);
    free(g.pictures);
    free(g.images);
    free(g.list);
    free(g.labels);
    free(g.probabilities);
    return ok && !m->failed ? CLI_DONE : CLI_FAILED;
}
