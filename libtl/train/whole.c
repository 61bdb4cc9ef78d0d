#include "train/whole.h"

#include <string.h>

#include "train/features.h"

#define LONGEST_TILE  16384
#define ENOUGH_PIXELS ((int64_t)1 << 20) /* at once, to fill a device */

/* Sides to be tried, where none was asked for. */
static const int sides[] = {8192, 6144, 4096, 3072, 2048, 1536, 1024, 768, 512, 384, 256, 192, 128, 96, 64};

tl_status tl__whole_create(const tl__whole_options *options, tl__whole **out) {
    tl_context *context = options->engine->model->context;
    if (options->tile && (options->tile < sides[TL__COUNT(sides) - 1] || options->tile > LONGEST_TILE))
        return tl__fail(context, TL_ERROR_ARGUMENT, "tile = %d is not %d to %d", options->tile,
                        sides[TL__COUNT(sides) - 1], LONGEST_TILE);
    if (!(options->overlap >= 0 && options->overlap <= 0.75))
        return tl__fail(context, TL_ERROR_ARGUMENT, "overlap = %g is not above 0, up to 0.75", options->overlap);
    tl__whole *whole = tl__calloc(context, 1, sizeof *whole);
    if (!whole)
        return TL_ERROR_MEMORY;
    whole->context = context;
    whole->options = *options;
    whole->options.overlap = options->overlap > 0 ? options->overlap : TL__TILE_OVERLAP;
    if (!options->memory)
        whole->options.memory = tl__feature_memory(0);
    *out = whole;
    return TL_OK;
}

void tl__whole_drop_plans(tl__whole *whole) {
    for (size_t i = 0; i < TL__COUNT(whole->runners); i++) {
        tl__runner_destroy(whole->runners[i].runner);
        whole->runners[i] = (struct tl__whole_runner){0};
    }
    whole->too_large = 0; /* what trains takes room, too */
    whole->count = 0;
}

void tl__whole_destroy(tl__whole *whole) {
    if (!whole)
        return;
    tl__whole_drop_plans(whole);
    tl__free(whole->context, whole->logits);
    tl__free(whole->context, whole->tile);
    tl__free(whole->context, whole);
}

/* ---- plans ---- */

static size_t logits_count(const tl__whole *whole, int height, int width) {
    return (size_t)height * (size_t)width * (size_t)whole->options.engine->model->options.classes;
}

static struct tl__whole_runner *find(tl__whole *whole, tl__part part, int height, int width) {
    struct tl__whole_runner *oldest = &whole->runners[0];
    for (size_t i = 0; i < TL__COUNT(whole->runners); i++) {
        struct tl__whole_runner *r = &whole->runners[i];
        if (r->runner && r->part == part && r->height == height && r->width == width)
            return r;
        if (oldest->runner && (!r->runner || r->used < oldest->used))
            oldest = r;
    }
    return oldest;
}

/* The CPU has as much memory as the machine, of which others want some: results must not depend on how much of it is
 * free at the moment, so that it is a part of all there is, or what training has taken already. */
static tl_status create_runner(tl__whole *whole, tl__part part, int batch, int height, int width, tl__runner **out) {
    tl__engine *engine = whole->options.engine;
    const uint64_t allowed = engine->allowed;
    engine->too_large = false; /* where not even a graph can be drawn */
    tl__draw_options draw = {.batch = batch, .height = height, .width = width};
    if (tl__device_is_own_cpu(engine->device)) {
        tl__memory memory = tl__engine_memory(engine);
        uint64_t there = tl__arena_bytes(engine->arena), logits = logits_count(whole, height, width) * sizeof(float),
                 left = whole->options.memory > logits ? whole->options.memory - logits : 0;
        engine->allowed = memory.frozen + memory.state + (there > left ? there : left);
    }
    tl_status status = tl__runner_create(engine, &draw, part, &whole->cut, out);
    engine->allowed = allowed;
    return status;
}

/* That takes `batch` images of this size, or pieces of larger ones, as far as there is room. */
static tl_status runner_for(tl__whole *whole, tl__part part, int batch, int height, int width, tl__runner **out) {
    struct tl__whole_runner *r = find(whole, part, height, width);
    const bool there = r->runner && r->part == part && r->height == height && r->width == width && r->batch >= batch;
    if (!there) {
        tl__runner *made;
        TL__TRY(create_runner(whole, part, batch, height, width, &made));
        tl__runner_destroy(r->runner);
        *r = (struct tl__whole_runner){.runner = made, .part = part, .height = height, .width = width, .batch = batch};
    }
    r->used = ++whole->clock;
    *out = r->runner;
    return TL_OK;
}

/* ---- how an image is cut ---- */

/* Small ones go together; a large one fills the device by itself. */
static int pieces_at_once(const tl__whole *whole) {
    const int64_t few = ENOUGH_PIXELS / ((int64_t)whole->rows.side * whole->columns.side),
                  all = (int64_t)whole->count * whole->patches;
    const int64_t most = few < 1 ? 1 : few < whole->options.batch ? few : whole->options.batch;
    return (int)(most < all ? most : all);
}

/* Whether pieces of so many pixels have room, as far as can be known before they are run. */
static tl_status try_pieces(tl__whole *whole, int side, bool *fits) {
    const tl__tiles rows = tl__tiles_of(whole->height, side, whole->options.overlap),
                    columns = tl__tiles_of(whole->width, side, whole->options.overlap);
    const int64_t pixels = (int64_t)rows.side * columns.side;
    tl__runner *runner;
    *fits = false;
    whole->rows = rows;
    whole->columns = columns;
    whole->patches = rows.count * columns.count;
    if ((whole->too_large && pixels >= whole->too_large) ||
        logits_count(whole, rows.side, columns.side) > whole->options.memory / sizeof(float))
        return TL_OK;
    tl_status status = TL_OK;
    if (whole->split) {
        status = runner_for(whole, TL__PART_FEATURES, 1, rows.side, columns.side, &runner);
        if (status == TL_OK)
            status = runner_for(whole, TL__PART_REST, 1, rows.side, columns.side, &runner);
    } else {
        status = runner_for(whole, TL__PART_WHOLE, pieces_at_once(whole), rows.side, columns.side, &runner);
    }
    if (status != TL_OK && whole->options.engine->too_large) {
        whole->too_large = pixels;
        return TL_OK;
    }
    *fits = status == TL_OK;
    return status;
}

static void say_tiles(tl__whole *whole) {
    if (whole->said)
        return;
    whole->said = true;
    tl__log(whole->context, TL_LOG_INFO,
            "an image of %d x %d pixels is taken in %d tiles of %d x %d: %s has no room for the whole", whole->width,
            whole->height, whole->patches, whole->columns.side, whole->rows.side,
            tl_device_name(whole->options.engine->device));
}

tl_status tl__whole_begin(tl__whole *whole, int count, int height, int width) {
    const int longer = height > width ? height : width;
    bool fits;
    if (whole->count >= count && whole->height == height && whole->width == width) {
        whole->count = count;
        return TL_OK;
    }
    whole->height = height;
    whole->width = width;
    whole->count = count;
    tl_status status = try_pieces(whole, whole->options.tile ? whole->options.tile : longer, &fits);
    for (size_t i = 0; status == TL_OK && !fits && !whole->options.tile && i < TL__COUNT(sides); i++)
        if (sides[i] < longer) {
            status = try_pieces(whole, sides[i], &fits);
            if (status == TL_OK && fits)
                say_tiles(whole);
        }
    if (status == TL_OK && !fits)
        status = tl__fail(whole->context, TL_ERROR_MEMORY,
                          "%s has no room for an image of %d x %d pixels, not even for tiles of %d x %d",
                          tl_device_name(whole->options.engine->device), width, height, whole->columns.side,
                          whole->rows.side);
    if (status != TL_OK)
        whole->count = 0;
    return status;
}

tl_status tl__whole_each_plan(const tl__whole *whole, void *user, tl_status (*each)(void *user, const tl__plan *plan)) {
    for (size_t i = 0; i < TL__COUNT(whole->runners); i++)
        if (whole->runners[i].runner)
            TL__TRY(each(user, whole->runners[i].runner->plans[0].plan));
    return TL_OK;
}

/* ---- running ---- */

static tl_status room(tl__whole *whole, void **at, size_t *there, size_t bytes) {
    if (bytes <= *there)
        return TL_OK;
    tl__free(whole->context, *at);
    *at = NULL;
    *there = 0;
    void *made = tl__alloc(whole->context, bytes);
    if (!made)
        return TL_ERROR_MEMORY;
    *at = made;
    *there = bytes;
    return TL_OK;
}

static tl_status logits_room(tl__whole *whole, int batch) {
    void *at = whole->logits;
    tl_status status = room(whole, &at, &whole->logits_room,
                            (size_t)batch * logits_count(whole, whole->rows.side, whole->columns.side) * sizeof(float));
    whole->logits = at;
    return status;
}

static tl_status tile_room(tl__whole *whole, int batch) {
    void *at = whole->tile;
    tl_status status = room(whole, &at, &whole->tile_room,
                            (size_t)batch * (size_t)whole->rows.side * (size_t)whole->columns.side * 3);
    whole->tile = at;
    return status;
}

static tl__patch patch_at(const tl__whole *whole, int number, const float *logits) {
    const tl__tiles *rows = &whole->rows, *columns = &whole->columns;
    const int row = number / columns->count, column = number % columns->count;
    return (tl__patch){.logits = logits,
                       .top = tl__tile_begin(rows, row),
                       .left = tl__tile_begin(columns, column),
                       .height = rows->side,
                       .width = columns->side,
                       .core = {tl__tile_core(rows, row), tl__tile_core(columns, column), tl__tile_core(rows, row + 1),
                                tl__tile_core(columns, column + 1)},
                       .whole_height = whole->height,
                       .whole_width = whole->width,
                       .classes = whole->options.engine->model->options.classes};
}

static void cut_out(const tl__whole *whole, const uint8_t *rgb, int number, uint8_t *out) {
    const tl__patch p = patch_at(whole, number, NULL);
    const size_t line = (size_t)p.width * 3;
    for (int y = 0; y < p.height; y++, out += line)
        memcpy(out, rgb + ((size_t)(p.top + y) * (size_t)p.whole_width + (size_t)p.left) * 3, line);
}

static void visit_at(const tl__whole *whole, int image, int number, const float *logits, tl__whole_visit *visit,
                     void *user) {
    const tl__patch patch = patch_at(whole, number, logits);
    visit(user, image, &patch);
}

/* A few patches at once, whatever their images. */
tl_status tl__whole_run(tl__whole *whole, const uint8_t *const *rgb, tl__whole_visit *visit, void *user) {
    const int total = whole->count * whole->patches;
    const size_t pixels = (size_t)whole->rows.side * (size_t)whole->columns.side * 3;
    tl__runner *runner;
    TL__TRY(runner_for(whole, TL__PART_WHOLE, pieces_at_once(whole), whole->rows.side, whole->columns.side, &runner));
    const int batch = runner->draw.batch < total ? runner->draw.batch : total;
    TL__TRY(logits_room(whole, batch));
    if (whole->patches > 1 || batch > 1)
        TL__TRY(tile_room(whole, batch));
    for (int first = 0; first < total; first += batch) {
        const int count = total - first < batch ? total - first : batch;
        const uint8_t *input = whole->tile;
        for (int i = 0; i < count; i++) {
            const int image = (first + i) / whole->patches;
            if (batch == 1 && whole->patches == 1)
                input = rgb[image];
            else
                cut_out(whole, rgb[image], (first + i) % whole->patches, whole->tile + (size_t)i * pixels);
        }
        TL__TRY(tl__runner_run(runner, input, count, whole->logits));
        for (int i = 0; i < count; i++)
            visit_at(whole, (first + i) / whole->patches, (first + i) % whole->patches,
                     whole->logits + (size_t)i * runner->output_count, visit, user);
        if (tl__cancelled(whole->context))
            return tl__fail(whole->context, TL_CANCELLED, "cancelled after %d of %d pieces of images", first + count,
                            total);
    }
    return TL_OK;
}

size_t tl__whole_feature_count(const tl__whole *whole) {
    for (size_t i = 0; i < TL__COUNT(whole->runners); i++) {
        const struct tl__whole_runner *r = &whole->runners[i];
        if (r->runner && r->part == TL__PART_FEATURES && r->height == whole->rows.side &&
            r->width == whole->columns.side)
            return r->runner->output_count;
    }
    return 0;
}

tl_status tl__whole_features(tl__whole *whole, const uint8_t *rgb, int patch, float *features) {
    tl__runner *runner;
    TL__TRY(runner_for(whole, TL__PART_FEATURES, 1, whole->rows.side, whole->columns.side, &runner));
    if (whole->patches == 1)
        return tl__runner_run(runner, rgb, 1, features);
    TL__TRY(tile_room(whole, 1));
    cut_out(whole, rgb, patch, whole->tile);
    return tl__runner_run(runner, whole->tile, 1, features);
}

tl_status tl__whole_rest(tl__whole *whole, const float *features, int patch, tl__whole_visit *visit, void *user) {
    tl__runner *runner;
    TL__TRY(runner_for(whole, TL__PART_REST, 1, whole->rows.side, whole->columns.side, &runner));
    TL__TRY(logits_room(whole, 1));
    TL__TRY(tl__runner_run(runner, features, 1, whole->logits));
    visit_at(whole, 0, patch, whole->logits, visit, user);
    return TL_OK;
}
