#include "cli/masks.h"

#include <stdlib.h>
#include <string.h>

#include "cli/files.h"
#include "cli/session.h"

/* Images of one size, read and not yet looked at. */
typedef struct group {
    tl_picture *pictures; /* [batch] */
    const cli_image **images;
    int count;
    tl_predictor *predictor; /* of the last size */
    int width, height, most; /* that it takes */
} group;

static void report_failure(cli_masks *m, const cli_image *image)
{
    m->failed++;
    cli_error("%s", tl_context_message(m->context));
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

static tl_status write_probabilities(const cli_masks *m, const cli_image *image, const tl_picture *seen, const float *logits)
{
    const int classes = tl_model_class_count(m->model), height = seen->file_height, width = seen->file_width;
    float *values = cli_alloc((size_t)classes * (size_t)height * (size_t)width * sizeof(*values));
    char *path = path_for(m, image, ".npy");
    tl_logits_probabilities(logits, seen->height, seen->width, classes, height, width, values);
    tl_status status = tl_array_save(m->context, path, 3, (const int64_t[]){classes, height, width}, values);
    free(path);
    free(values);
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
static bool write_one(cli_masks *m, const cli_image *image, const tl_picture *seen, const float *logits)
{
    uint8_t *labels = cli_alloc((size_t)seen->file_width * (size_t)seen->file_height);
    tl_logits_label(logits, seen->height, seen->width, tl_model_class_count(m->model), seen->file_height, seen->file_width,
                    labels);
    bool made = make_folder(m, image);
    tl_status status = made ? write_mask(m, image, seen, labels) : TL_ERROR_IO;
    if (status == TL_OK && m->overlay)
        status = write_overlay(m, image, seen, labels);
    if (status == TL_OK && m->probabilities)
        status = write_probabilities(m, image, seen, logits);
    if (status == TL_OK)
        report(m, image, seen, labels);
    else if (made)
        cli_failed(m->context, status, NULL);
    free(labels);
    return status == TL_OK;
}

static tl_status ready(cli_masks *m, group *g)
{
    const tl_picture *first = &g->pictures[0];
    if (g->predictor && g->width == first->width && g->height == first->height && g->most >= g->count)
        return TL_OK;
    tl_predictor_destroy(g->predictor);
    g->predictor = NULL;
    g->width = first->width;
    g->height = first->height;
    g->most = g->count;
    return tl_predictor_create(m->model, m->device, g->count, first->height, first->width, &g->predictor);
}

static bool write_group(cli_masks *m, group *g)
{
    size_t pixels = (size_t)g->pictures[0].width * (size_t)g->pictures[0].height, count = (size_t)g->count;
    size_t logits_each = pixels * (size_t)tl_model_class_count(m->model);
    uint8_t *rgb = cli_alloc(3 * pixels * count);
    float *logits = cli_alloc(logits_each * count * sizeof(*logits));
    for (size_t i = 0; i < count; i++)
        memcpy(rgb + 3 * pixels * i, g->pictures[i].rgb, 3 * pixels);
    tl_status status = ready(m, g);
    bool ok = true;
    if (status == TL_OK)
        status = tl_predictor_run(g->predictor, rgb, g->count, logits);
    if (status == TL_ERROR_SHAPE) /* too small for the network: the next may be larger */
        for (size_t i = 0; i < count; i++)
            report_failure(m, g->images[i]);
    else if (status != TL_OK)
        ok = cli_failed(m->context, status, g->images[0]->path) == CLI_DONE;
    for (size_t i = 0; i < count && status == TL_OK && ok; i++)
        ok = write_one(m, g->images[i], &g->pictures[i], logits + i * logits_each);
    free(logits);
    free(rgb);
    for (size_t i = 0; i < count; i++)
        tl_picture_release(m->context, &g->pictures[i]);
    g->count = 0;
    return ok;
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
            report_failure(m, &m->images[i]);
            continue;
        }
        bool other = g->count > 0 && (g->pictures[0].width != next.width || g->pictures[0].height != next.height);
        if ((other || g->count == m->batch) && !write_group(m, g)) {
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

int cli_masks_write(cli_masks *m)
{
    if (!names_differ(m))
        return CLI_FAILED;
    cli_catch_signals();
    group g = {.pictures = cli_alloc((size_t)m->batch * sizeof(*g.pictures)), .images = cli_alloc((size_t)m->batch * sizeof(*g.images))};
    bool ok = write_all(m, &g);
    for (int i = 0; i < g.count; i++)
        tl_picture_release(m->context, &g.pictures[i]);
    tl_predictor_destroy(g.predictor);
    free(g.pictures);
    free(g.images);
    return ok && !m->failed ? CLI_DONE : CLI_FAILED;
}
