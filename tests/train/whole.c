/* Segmenters judged on whole images: against one image after another, by hand; what is kept; what must fail, and how.
 */
#include "support.h"

#include <math.h>
#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tl/segment.h>

#include "train/evaluate.h"

enum { CLASSES = 3, IMAGES = 9, RESIZE = 48, CROP = 40 };

/* Of more sizes than one, some of them in a row, one smaller than the crop, one that is resized to a strip. */
static const int sizes[IMAGES][2] = {{60, 80},  {60, 80}, {60, 80}, {80, 60}, {35, 36},
                                     {50, 210}, {60, 80}, {80, 60}, {48, 48}};

/* ---- data ---- */

static void write_mask(const char *path, int width, int height, const uint8_t *labels, int depth, bool interlaced) {
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    const size_t bytes = (size_t)depth / 8;
    uint8_t *rows = calloc((size_t)width * (size_t)height, bytes);
    png_bytep *at = malloc((size_t)height * sizeof *at);
    for (int i = 0; i < width * height; i++)
        rows[(size_t)i * bytes + bytes - 1] = labels[i];
    for (int y = 0; y < height; y++)
        at[y] = rows + (size_t)y * (size_t)width * bytes;
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, depth, PNG_COLOR_TYPE_GRAY,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_rows(png, info, at);
    png_write_png(png, info, PNG_TRANSFORM_IDENTITY, NULL);
    png_destroy_write_struct(&png, &info);
    free(at);
    free(rows);
    fclose(file);
}

static char *in(const char *folder, const char *part, int image) {
    static char path[4200];
    snprintf(path, sizeof path, "%.4000s/%s/%d.png", folder, part, image);
    return path;
}

static char *make_folder(void) {
    char *folder = test_masks_folder();
    tl_context *context = test_context(NULL);
    for (int n = 0; n < IMAGES; n++) {
        const int height = sizes[n][0], width = sizes[n][1];
        uint8_t *rgb = malloc((size_t)height * (size_t)width * 3), *labels = malloc((size_t)height * (size_t)width);
        for (int i = 0; i < height * width; i++) {
            const int x = i % width, y = i / width, class = (x / 17 + y / 13 + n) % CLASSES;
            labels[i] = x < 2 || y == height - 1 ? TL_IGNORED : (uint8_t) class;
            for (int c = 0; c < 3; c++)
                rgb[3 * i + c] = (uint8_t)((c == class ? 200 : 50) + (x * 7 + y * 11 + n * 5) % 29);
        }
        ok(tl_image_save(context, in(folder, "images", n), width, height, rgb, NULL, 0), context);
        write_mask(in(folder, "masks", n), width, height, labels, 8, n % 2);
        free(rgb);
        free(labels);
    }
    tl_context_destroy(context);
    return folder;
}

typedef struct fixture {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_dataset *data;
    char *folder;
} fixture;

static fixture begin_in(tl_context *context, tl_head head, char *folder) {
    fixture f = {.context = context, .folder = folder};
    tl_model_options options;
    tl_masks_options masks;
    f.device = test_device(f.context, 2);
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet50";
    options.classes = CLASSES;
    options.head = head;
    options.width = 0.0625;
    options.layers = (const int[]){1, 1, 1, 1};
    ok(tl_model_create(f.context, &options, &f.model), f.context);
    tl_preprocess preprocess = *tl_model_preprocess(f.model);
    preprocess.resize = RESIZE;
    preprocess.crop = CROP;
    ok(tl_model_set_preprocess(f.model, &preprocess), f.context);
    tl_masks_options_init(&masks, sizeof masks);
    masks.class_count = CLASSES;
    ok(tl_dataset_open_masks(f.context, folder, &masks, &f.data), f.context);
    return f;
}

static fixture begin(tl_head head, char *folder) {
    return begin_in(test_context(NULL), head, folder);
}

static void end(fixture *f) {
    tl_dataset_destroy(f->data);
    tl_model_destroy(f->model);
    tl_device_close(f->device);
    tl_context_destroy(f->context);
}

/* ---- scores ---- */

typedef struct scores {
    tl_score score;
    int64_t confusion[CLASSES * CLASSES];
} scores;

/* One image after another, and every pixel by itself. */
static scores slow(const fixture *f) {
    scores s = {.score = {.images = IMAGES}};
    double loss = 0;
    int64_t right = 0;
    for (size_t i = 0; i < IMAGES; i++) {
        tl_picture picture = {.size = sizeof picture};
        tl_mask mask = {.size = sizeof mask};
        tl_predictor *predictor;
        ok(tl_picture_load(f->context, tl_dataset_path(f->data, i), tl_model_preprocess(f->model), &picture),
           f->context);
        ok(tl_mask_load(f->context, f->data, i, &mask), f->context);
        ok(tl_predictor_create(f->model, f->device, 1, picture.height, picture.width, &predictor), f->context);
        const int pixels = mask.width * mask.height;
        float *logits = malloc((size_t)picture.height * (size_t)picture.width * CLASSES * sizeof *logits);
        float *p = malloc((size_t)pixels * CLASSES * sizeof *p);
        ok(tl_predictor_run(predictor, picture.rgb, 1, logits), f->context);
        tl_logits_probabilities(logits, picture.height, picture.width, CLASSES, mask.height, mask.width, p);
        for (int k = 0; k < pixels; k++) {
            int best = 0;
            if (mask.labels[k] == TL_IGNORED)
                continue;
            for (int c = 1; c < CLASSES; c++)
                if (p[c * pixels + k] > p[best * pixels + k])
                    best = c;
            s.score.pixels++;
            right += best == mask.labels[k];
            loss -= log((double)p[mask.labels[k] * pixels + k]);
            s.confusion[mask.labels[k] * CLASSES + best]++;
        }
        free(p);
        free(logits);
        tl_predictor_destroy(predictor);
        tl_mask_release(f->context, &mask);
        tl_picture_release(f->context, &picture);
    }
    s.score.loss = loss / (double)s.score.pixels;
    s.score.accuracy = (double)right / (double)s.score.pixels;
    return s;
}

static scores judge(const fixture *f, tl_extent extent, int batch, int tile) {
    scores s;
    const tl_evaluate_options options = {.size = sizeof options, .batch = batch, .extent = extent, .tile = tile};
    ok(tl_evaluate(f->model, f->device, f->data, &options, &s.score, s.confusion), f->context);
    return s;
}

static int64_t all_pixels(void) {
    int64_t sum = 0;
    for (int n = 0; n < IMAGES; n++)
        sum += (int64_t)(sizes[n][0] - 1) * (sizes[n][1] - 2);
    return sum;
}

/* Float's softmax and logarithm of the one, seven digits of the other. */
static void expect_same(const scores *a, const scores *b) {
    assert_memory_equal(a->confusion, b->confusion, sizeof a->confusion);
    assert_int_equal(a->score.pixels, b->score.pixels);
    assert_int_equal(a->score.images, b->score.images);
    assert_true(fabs(a->score.accuracy - b->score.accuracy) < 1e-12);
    if (!(fabs(a->score.loss - b->score.loss) < 1e-6 * b->score.loss))
        fail_msg("losses %.9f and %.9f", a->score.loss, b->score.loss);
}

static void test_every_pixel_once(void **state) {
    char *folder = make_folder();
    (void)state;
    for (tl_head head = TL_HEAD_FCN; head <= TL_HEAD_LITE; head++) {
        fixture f = begin(head, folder);
        const scores expected = slow(&f), one = judge(&f, TL_EXTENT_WHOLE, 1, 0),
                     many = judge(&f, TL_EXTENT_WHOLE, 8, 0), tiles = judge(&f, TL_EXTENT_WHOLE, 8, 64),
                     crop = judge(&f, TL_EXTENT_CROP, 8, 0);
        assert_int_equal(expected.score.pixels, all_pixels());
        expect_same(&one, &expected);
        expect_same(&many, &expected);
        assert_true(one.score.loss == many.score.loss); /* batches change nothing */
        assert_int_equal(tiles.score.pixels, all_pixels());
        assert_true(tiles.score.loss != expected.score.loss &&
                    fabs(tiles.score.loss - expected.score.loss) < 0.1 * expected.score.loss);
        assert_int_equal(crop.score.pixels, IMAGES * CROP * CROP);
        end(&f);
    }
    free(folder);
}

/* ---- while training ---- */

typedef struct run {
    tl_score val[3];
    int epochs;
    char *plan;
} run;

static tl_status keep_epoch(void *user, const tl_epoch *epoch, tl_model *model) {
    run *r = user;
    (void)model;
    r->val[r->epochs++] = epoch->val;
    return TL_OK;
}

static void keep_stage(void *user, const tl_stage_report *report) {
    run *r = user;
    free(r->plan);
    r->plan = strdup(report->plan);
}

/* Two stages: in the first the trunk is frozen, in the second its last part trains. */
static run train_with(const fixture *f, tl_train_options options, int tile, const char *second) {
    run r = {.epochs = 0};
    tl_stage stages[2];
    for (int i = 0; i < 2; i++) {
        tl_stage_init(&stages[i], sizeof *stages);
        stages[i].epochs = i ? 1 : 2;
        stages[i].lr = 0.01;
        stages[i].train = i ? second : "classifier.*, aux_classifier.*";
    }
    options.batch = 4;
    options.stages = stages;
    options.stage_count = 2;
    options.tile = tile;
    options.user = &r;
    options.on_epoch = keep_epoch;
    options.on_stage = keep_stage;
    ok(tl_train(f->model, f->device, f->data, f->data, &options, NULL), f->context);
    assert_int_equal(r.epochs, 3);
    return r;
}

static run train(const fixture *f, bool cache, uint64_t limit, int tile, const char *second) {
    tl_train_options options;
    tl_train_options_init(&options, sizeof options);
    options.cache_features = cache;
    options.cache_limit = limit;
    return train_with(f, options, tile, second);
}

/* What stays in memory changes nothing, whether all of it has room or a part; nor does where the cut is in the next
 * stage. */
static void test_kept_features(void **state) {
    char *folder = make_folder();
    (void)state;
    static const char *const seconds[] = {"classifier.*, aux_classifier.*, backbone.layer4.*",
                                          "classifier.4.*, aux_classifier.*"};
    for (int s = 0; s < 2; s++)
        for (int tile = s * 64; tile <= 64; tile += 64) {
            tl_score first[3] = {{0}};
            for (int how = 0; how < 3; how++) {
                fixture f = begin(TL_HEAD_FCN, folder);
                /* the last: room for train's features, and a part of val's, which are more */
                run r = train(&f, how > 0, how == 2 ? 300000 : 0, tile, seconds[s]);
                if (how)
                    assert_non_null(strstr(r.plan, "inference from features, 1 image"));
                const scores now = judge(&f, TL_EXTENT_WHOLE, 4, tile);
                assert_true(fabs(now.score.loss - r.val[2].loss) < 1e-5 * now.score.loss &&
                            now.score.mean_iou == r.val[2].mean_iou);
                for (int e = 0; e < 3; e++) {
                    assert_int_equal(r.val[e].pixels, all_pixels());
                    assert_int_equal(r.val[e].images, IMAGES);
                    if (how == 0)
                        first[e] = r.val[e];
                    assert_true(fabs(r.val[e].loss - first[e].loss) < 1e-6 * first[e].loss &&
                                r.val[e].mean_iou == first[e].mean_iou);
                }
                free(r.plan);
                end(&f);
            }
        }
    free(folder);
}

typedef struct told {
    long long found, pieces; /* of whole images, in all stages */
    int warnings;
    char file[4200];
} told;

static void on_log(void *user, tl_log_level level, const char *text) {
    told *t = user;
    long long found, pieces;
    t->warnings += level <= TL_LOG_WARNING;
    if (sscanf(text, "whole images: features of %lld of %lld pieces found in %4199s", &found, &pieces, t->file) == 3) {
        t->found += found;
        t->pieces += pieces;
    }
}

static told told_by(char *folder, const char *cache, uint64_t limit, int tile, run *r) {
    told t = {.found = 0};
    const tl_context_options logging = {
        .size = sizeof logging, .backend_path = "", .user = &t, .log = on_log, .log_level = TL_LOG_INFO};
    tl_context *context;
    tl_train_options options;
    assert_int_equal(tl_context_create(&logging, &context), TL_OK);
    fixture f = begin_in(context, TL_HEAD_FCN, folder);
    tl_train_options_init(&options, sizeof options);
    options.cache_folder = cache;
    options.cache_limit = limit;
    *r = train_with(&f, options, tile, "classifier.*, aux_classifier.*, backbone.layer4.*");
    free(r->plan);
    end(&f);
    return t;
}

static void expect_scores(const run *a, const run *b) {
    for (int e = 0; e < 3; e++)
        assert_true(a->val[e].loss == b->val[e].loss && a->val[e].mean_iou == b->val[e].mean_iou);
}

/* What one run leaves in a folder another finds: by the contents of an image, and whole or not at all. */
static void test_features_for_other_runs(void **state) {
    char *folder = make_folder();
    (void)state;
    for (int tile = 0; tile <= 64; tile += 64) {
        char *cache = test_folder(0, 0, 0);
        run alone, r;
        told none = told_by(folder, NULL, 0, tile, &alone), first = told_by(folder, cache, 0, tile, &r);
        assert_int_equal(none.pieces, 0);
        expect_scores(&r, &alone);
        assert_int_equal(first.found, 0);
        assert_true(first.pieces > 2 * IMAGES || (!tile && first.pieces == 2 * IMAGES)); /* two stages, two cuts */
        told second = told_by(folder, cache, 0, tile, &r);
        expect_scores(&r, &alone);
        assert_int_equal(second.found, first.pieces);
        assert_int_equal(second.pieces, first.pieces);
        assert_int_equal(first.warnings + second.warnings, 0);
        free(cache);
    }
    free(folder);
}

static off_t size_of(int fd) {
    struct stat st;
    assert_int_equal(fstat(fd, &st), 0);
    return st.st_size;
}

/* What is damaged is computed anew, and added; while another process adds, nobody waits, and nothing is added. */
static void test_files_of_whole_images(void **state) {
    char *folder = make_folder(), *cache = test_folder(0, 0, 0);
    (void)state;
    run alone, r;
    const told first = told_by(folder, cache, 0, 0, &alone); /* the last stage's file, half of the pieces */
    const int fd = open(first.file, O_RDWR);
    assert_true(fd >= 0);
    const off_t whole = size_of(fd), half = whole / 2;
    uint8_t byte = 0;
    assert_int_equal(pread(fd, &byte, 1, half), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, half), 1);
    assert_int_equal(told_by(folder, cache, 0, 0, &r).found, first.pieces - 1);
    expect_scores(&r, &alone);
    assert_true(size_of(fd) > whole);
    assert_int_equal(ftruncate(fd, half), 0);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    const long long left = told_by(folder, cache, 0, 0, &r).found;
    expect_scores(&r, &alone);
    assert_true(left >= first.pieces / 2 && left < first.pieces);
    assert_int_equal(size_of(fd), half);
    close(fd);
    assert_int_equal(told_by(folder, cache, 0, 0, &r).found, left);
    assert_int_equal(told_by(folder, cache, 0, 0, &r).found, first.pieces);
    expect_scores(&r, &alone);
    free(folder);
    free(cache);
}

/* Other contents are another image; what has no room is done without. */
static void test_keys_and_limits(void **state) {
    char *folder = make_folder(), *cache = test_folder(0, 0, 0), *small = test_folder(0, 0, 0);
    (void)state;
    run alone, r;
    const told first = told_by(folder, cache, 0, 0, &r);
    uint8_t rgb[48 * 48 * 3] = {0};
    tl_context *context = test_context(NULL);
    ok(tl_image_save(context, in(folder, "images", 8), 48, 48, rgb, NULL, 0), context);
    tl_context_destroy(context);
    told_by(folder, NULL, 0, 0, &alone);
    assert_int_equal(told_by(folder, cache, 0, 0, &r).found, first.pieces - 2);
    expect_scores(&r, &alone);
    const told limited = told_by(folder, small, 400000, 0, &r);
    expect_scores(&r, &alone);
    assert_int_equal(limited.warnings, 2); /* of each stage */
    free(folder);
    free(cache);
    free(small);
}

static tl_status try_dry(const fixture *f, run *r) {
    tl_stage stage;
    tl_train_options options;
    tl_stage_init(&stage, sizeof stage);
    tl_train_options_init(&options, sizeof options);
    options.stages = &stage;
    options.stage_count = 1;
    options.user = r;
    options.on_stage = keep_stage;
    return tl_train_dry_run(f->model, f->device, f->data, f->data, &options);
}

/* A dry run plans for the largest image, which it knows by the headers alone. */
static void test_dry_run(void **state) {
    (void)state;
    char *folder = make_folder();
    fixture f = begin(TL_HEAD_LITE, folder);
    run r = {.epochs = 0};
    assert_int_equal(truncate(in(folder, "images", 5), 100), 0);
    ok(try_dry(&f, &r), f.context);
    assert_non_null(strstr(r.plan, "inference from features, 1 image"));
    assert_int_equal(truncate(in(folder, "images", 5), 10), 0);
    assert_int_equal(try_dry(&f, &r), TL_ERROR_FORMAT);
    assert_non_null(strstr(tl_context_message(f.context), "images/5.png"));
    free(r.plan);
    end(&f);
    free(folder);
}

/* ---- what must fail ---- */

static tl_status try_eval(const fixture *f) {
    tl_score score;
    return tl_evaluate(f->model, f->device, f->data, NULL, &score, NULL);
}

static void expect(const fixture *f, tl_status expected, const char *file, const char *words) {
    const tl_status status = try_eval(f);
    const char *said = tl_context_message(f->context);
    if (status != expected || !strstr(said, file) || !strstr(said, words))
        fail_msg("%s: %s, where %s with %s and \"%s\" was wanted", tl_status_text(status), said,
                 tl_status_text(expected), file, words);
}

static void test_wrong_masks(void **state) {
    (void)state;
    char *folder = make_folder();
    fixture f = begin(TL_HEAD_LITE, folder);
    uint8_t labels[60 * 80] = {0};
    ok(try_eval(&f), f.context);
    write_mask(in(folder, "masks", 2), 60, 80, labels, 8, false);
    expect(&f, TL_ERROR_DATA, "masks/2.png: 60 x 80 pixels, and its image ", "images/2.png has 80 x 60");
    labels[80 * 7 + 9] = CLASSES;
    write_mask(in(folder, "masks", 2), 80, 60, labels, 8, true);
    expect(&f, TL_ERROR_DATA, "masks/2.png", "pixel 9, 7 is 3, and there are 3 classes");
    labels[80 * 7 + 9] = 1;
    write_mask(in(folder, "masks", 2), 80, 60, labels, 16, false);
    expect(&f, TL_ERROR_DATA, "masks/2.png", "16 bits");
    write_mask(in(folder, "masks", 2), 80, 60, labels, 8, true);
    ok(try_eval(&f), f.context);
    /* the first in the order of the images, whichever thread sees it first */
    unlink(in(folder, "images", 8));
    unlink(in(folder, "masks", 3));
    for (int i = 0; i < 5; i++)
        expect(&f, TL_ERROR_IO, "images/8.png", "No such file"); /* its header is looked at first of all */
    ok(tl_image_save(f.context, in(folder, "images", 8), 20, 40, (uint8_t[3 * 800]){0}, NULL, 0), f.context);
    for (int i = 0; i < 5; i++)
        expect(&f, TL_ERROR_IO, "masks/3.png", "No such file");
    end(&f);
    free(folder);
}

static void test_too_small(void **state) {
    (void)state;
    char *folder = make_folder();
    fixture f = begin(TL_HEAD_LITE, folder);
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = "vgg11";
    options.classes = CLASSES;
    options.head = TL_HEAD_FCN;
    options.width = 0.0625;
    tl_preprocess preprocess = *tl_model_preprocess(f.model);
    preprocess.resize = 0;
    tl_model_destroy(f.model);
    ok(tl_model_create(f.context, &options, &f.model), f.context);
    ok(tl_model_set_preprocess(f.model, &preprocess), f.context);
    ok(try_eval(&f), f.context);
    uint8_t zeros[3 * 40 * 20] = {0};
    ok(tl_image_save(f.context, in(folder, "images", 4), 40, 20, zeros, NULL, 0), f.context);
    write_mask(in(folder, "masks", 4), 40, 20, zeros, 8, false);
    expect(&f, TL_ERROR_SHAPE, "images/4.png", "at least 32 x 32 pixels, not 40 x 20");
    end(&f);
    free(folder);
}

static void test_bad_options(void **state) {
    (void)state;
    char *folder = make_folder();
    fixture f = begin(TL_HEAD_LITE, folder);
    tl_score score;
    static const struct {
        tl_evaluate_options options;
        const char *words;
    } wrong[] = {
        {{.size = sizeof(tl_evaluate_options), .extent = (tl_extent)2}, "extent = 2 is unknown"},
        {{.size = sizeof(tl_evaluate_options), .tile = 20}, "tile = 20"},
        {{.size = sizeof(tl_evaluate_options), .overlap = -1}, "overlap = -1"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(tl_evaluate(f.model, f.device, f.data, &wrong[i].options, &score, NULL), TL_ERROR_ARGUMENT);
        assert_non_null(strstr(tl_context_message(f.context), wrong[i].words));
    }
    end(&f);
    free(folder);
}

/* Memory that ends anywhere (here at every 31st place) is a failure, and nothing is left behind. */
static void test_allocations_fail(void **state) {
    (void)state;
    char *folder = make_folder();
    int failures = 0;
    bool failed = true;
    for (long n = 1; failed; n += 31) {
        counter count = {.live = 0};
        fixture f = {.context = test_context(&count)};
        tl_model_options options;
        tl_masks_options masks;
        tl_score score;
        tl_model_options_init(&options, sizeof options);
        options.arch = "resnet18";
        options.classes = CLASSES;
        options.head = TL_HEAD_LITE;
        options.width = 0.0625;
        options.layers = (const int[]){1, 1, 1, 1};
        tl_masks_options_init(&masks, sizeof masks);
        f.device = test_device(f.context, 1);
        ok(tl_model_create(f.context, &options, &f.model), f.context);
        ok(tl_dataset_open_masks(f.context, folder, &masks, &f.data), f.context);
        const tl_evaluate_options evaluate = {.size = sizeof evaluate, .batch = 2, .workers = 1, .tile = 128};
        const long before = count.live;
        count.fail_at = count.made + n;
        const tl_status status = tl_evaluate(f.model, f.device, f.data, &evaluate, &score, NULL);
        failed = count.made >= count.fail_at;
        assert_true(status == TL_OK || (status == TL_ERROR_MEMORY && strstr(tl_context_message(f.context), "memory")));
        assert_true(failed || status == TL_OK);
        failures += status != TL_OK;
        if (count.live < before)
            fail_msg("allocation %ld: %ld pieces of memory where there were %ld", n, count.live, before);
        end(&f);
        if (count.live != 0)
            fail_msg("allocation %ld: %ld pieces of memory were left", n, count.live);
    }
    if (failures <= 20)
        fail_msg("%d failures", failures);
    free(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_pixel_once), cmocka_unit_test(test_kept_features),
        cmocka_unit_test(test_features_for_other_runs), cmocka_unit_test(test_files_of_whole_images),
        cmocka_unit_test(test_keys_and_limits),
        cmocka_unit_test(test_dry_run),          cmocka_unit_test(test_wrong_masks),
        cmocka_unit_test(test_too_small),        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_allocations_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
