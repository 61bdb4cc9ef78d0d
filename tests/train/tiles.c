/* Whole images in one piece and in tiles: where tiles lie, and that they give what the whole gives. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <tl/segment.h>

#include "train/whole.h"

static tl__random dice;

static int roll(int bound) {
    return (int)tl__random_below(&dice, (uint32_t)bound);
}

/* ---- geometry ---- */

static void check_tiles(int extent, int side, double overlap) {
    const tl__tiles t = tl__tiles_of(extent, side, overlap);
    const int rounded = (side + 31) / 32 * 32;
    assert_int_equal(t.side, extent < rounded ? extent : rounded);
    assert_int_equal(tl__tile_begin(&t, 0), 0);
    assert_int_equal(tl__tile_core(&t, 0), 0);
    assert_int_equal(tl__tile_begin(&t, t.count - 1) + t.side, extent);
    assert_int_equal(tl__tile_core(&t, t.count), extent);
    const int least = rounded - 32 < (int)(rounded * overlap) ? rounded - 32 : (int)(rounded * overlap);
    for (int i = 0; i < t.count; i++) {
        const int begin = tl__tile_begin(&t, i), end = begin + t.side, core = tl__tile_core(&t, i),
                  core_end = tl__tile_core(&t, i + 1);
        assert_true(core >= begin && core_end <= end && core < core_end);
        if (i < t.count - 1)
            assert_int_equal(begin % 32, 0);
        if (i > 0) {
            assert_true(tl__tile_begin(&t, i - 1) + t.side - begin >= least);
            assert_true(core - begin >= least / 2); /* away from both edges */
            assert_true(tl__tile_begin(&t, i - 1) + t.side - core >= least / 2);
        }
    }
}

static void test_geometry(void **state) {
    (void)state;
    tl__random_start(&dice, 1, 0);
    for (int i = 0; i < 20000; i++)
        check_tiles(1 + roll(3000), 64 + roll(1000), 0.01 + 0.74 * roll(1000) / 999);
    const tl__tiles t = tl__tiles_of(16000, 1024, 0.25);
    assert_true(t.side == 1024 && t.step == 768 && t.count == 21);
}

/* ---- patches of logits that are known ---- */

/* Bilinear interpolation as PyTorch states it, in double. */
static double slow_logit(const float *logits, int height, int width, int classes, int out_height, int out_width, int y,
                         int x, int c) {
    const double at[2] = {fmax((y + 0.5) * height / out_height - 0.5, 0), fmax((x + 0.5) * width / out_width - 0.5, 0)};
    const int size[2] = {height, width};
    int low[2], high[2];
    for (int i = 0; i < 2; i++) {
        low[i] = (int)at[i] < size[i] - 1 ? (int)at[i] : size[i] - 1;
        high[i] = low[i] < size[i] - 1 ? low[i] + 1 : low[i];
    }
    const double down = at[0] - low[0], across = at[1] - low[1];
#define AT(row, column) (double)logits[((size_t)(row) * (size_t)width + (size_t)(column)) * (size_t)classes + (size_t)c]
    return (1 - down) * ((1 - across) * AT(low[0], low[1]) + across * AT(low[0], high[1])) +
           down * ((1 - across) * AT(high[0], low[1]) + across * AT(high[0], high[1]));
#undef AT
}

typedef struct sight {
    int height, width, classes, out_height, out_width;
    float *logits;
    uint8_t *truth;
    size_t pixels;
} sight;

static sight sight_of(int height, int width, int classes, int out_height, int out_width) {
    sight s = {height, width, classes, out_height, out_width, NULL, NULL, (size_t)out_height * (size_t)out_width};
    const int count = height * width * classes;
    s.logits = malloc((size_t)count * sizeof *s.logits);
    for (int i = 0; i < count; i++)
        s.logits[i] = (float)roll(20001) / 1000 - 10;
    s.truth = malloc(s.pixels);
    for (size_t i = 0; i < s.pixels; i++)
        s.truth[i] = roll(10) ? (uint8_t)roll(classes) : TL_IGNORED;
    return s;
}

static void sight_free(sight *s) {
    free(s->logits);
    free(s->truth);
}

/* Cuts the patch of a tile out of the logits of the whole. */
static tl__patch patch_of(const sight *s, const tl__tiles *rows, const tl__tiles *columns, int row, int column,
                          float *room) {
    tl__patch p = {.logits = room,
                   .top = tl__tile_begin(rows, row),
                   .left = tl__tile_begin(columns, column),
                   .height = rows->side,
                   .width = columns->side,
                   .whole_height = s->height,
                   .whole_width = s->width,
                   .classes = s->classes,
                   .out_height = s->out_height,
                   .out_width = s->out_width,
                   .core = {tl__tile_core(rows, row), tl__tile_core(columns, column), tl__tile_core(rows, row + 1),
                            tl__tile_core(columns, column + 1)}};
    const size_t line = (size_t)columns->side * (size_t)s->classes;
    for (int y = 0; y < rows->side; y++)
        memcpy(room + (size_t)y * line,
               s->logits + ((size_t)(p.top + y) * (size_t)s->width + (size_t)p.left) * (size_t)s->classes,
               line * sizeof *room);
    return p;
}

/* Every pixel once, and each as it is in the whole: labels, probabilities and sums. */
static void check_patches(int height, int width, int classes, int out_height, int out_width, int side, double overlap) {
    sight s = sight_of(height, width, classes, out_height, out_width);
    const tl__tiles rows = tl__tiles_of(height, side, overlap), columns = tl__tiles_of(width, side, overlap);
    uint8_t *whole = malloc(s.pixels), *tiled = malloc(s.pixels);
    const size_t cc = (size_t)classes * (size_t)classes, count = (size_t)classes * s.pixels;
    float *p = malloc(count * sizeof *p), *q = malloc(count * sizeof *q);
    float *room = malloc((size_t)rows.side * (size_t)columns.side * (size_t)classes * sizeof *room);
    int64_t *confusion = calloc(cc, sizeof *confusion), *expected = calloc(cc, sizeof *expected);
    tl__tally tally = {.confusion = confusion, .classes = classes, .pixels = true};
    double loss = 0;
    tl_context *context = test_context(NULL);
    memset(tiled, 254, s.pixels);
    for (size_t i = 0; i < count; i++)
        q[i] = NAN;
    tl_logits_label(s.logits, height, width, classes, out_height, out_width, whole);
    tl_logits_probabilities(s.logits, height, width, classes, out_height, out_width, p);
    for (int r = 0; r < rows.count; r++)
        for (int c = 0; c < columns.count; c++) {
            const tl__patch patch = patch_of(&s, &rows, &columns, r, c, room);
            tl__patch_label(&patch, tiled);
            tl__patch_probabilities(&patch, q);
            tl__patch_tally(context, 1 + roll(4), &patch, s.truth, &tally);
        }
    assert_memory_equal(whole, tiled, s.pixels);
    assert_memory_equal(p, q, count * sizeof *p);
    int64_t counted = 0, near = 0;
    for (int y = 0; y < out_height; y++)
        for (int x = 0; x < out_width; x++) {
            const size_t at = (size_t)y * (size_t)out_width + (size_t)x;
            double values[32], most = -INFINITY, second = -INFINITY, sum = 0;
            for (int c = 0; c < classes; c++) {
                values[c] = slow_logit(s.logits, height, width, classes, out_height, out_width, y, x, c);
                if (values[c] > most) {
                    second = most;
                    most = values[c];
                } else if (values[c] > second)
                    second = values[c];
            }
            /* logits up to 10 through four products and sums in float: 10 * 8 * 2^-24 */
            if (most - second < 1e-5)
                near++;
            else
                assert_true(values[whole[at]] == most);
            for (int c = 0; c < classes; c++)
                sum += exp(values[c] - most);
            for (int c = 0; c < classes; c++) /* two such errors and those of float's exp and quotient */
                assert_true(fabs(p[(size_t)c * s.pixels + at] - exp(values[c] - most) / sum) < 2e-5);
            if (s.truth[at] == TL_IGNORED)
                continue;
            counted++;
            expected[s.truth[at] * classes + whole[at]]++;
            loss += log(sum) + most - values[s.truth[at]];
        }
    assert_true(near < (int64_t)s.pixels / 100);
    assert_memory_equal(confusion, expected, cc * sizeof *confusion);
    assert_int_equal((int64_t)tally.sums.counted, counted);
    assert_true(tally.sums.weight == tally.sums.counted);
    assert_true(fabs(tally.sums.loss - loss) <= 1e-5 * (double)counted);
    free(whole);
    free(tiled);
    free(p);
    free(q);
    free(room);
    free(confusion);
    free(expected);
    sight_free(&s);
    tl_context_destroy(context);
}

static void test_patches(void **state) {
    (void)state;
    tl__random_start(&dice, 2, 0);
    check_patches(70, 200, 3, 70, 200, 64, 0.25);  /* its own size */
    check_patches(100, 130, 2, 37, 51, 64, 0.25);  /* smaller */
    check_patches(100, 130, 5, 233, 301, 64, 0.5); /* larger */
    check_patches(20, 300, 21, 31, 299, 96, 0.01); /* a strip, more columns than a stripe has */
    for (int i = 0; i < 12; i++)
        check_patches(1 + roll(150), 1 + roll(150), 2 + roll(5), 1 + roll(200), 1 + roll(200), 64 + roll(64),
                      0.05 + 0.07 * roll(10));
}

/* As many threads as there may be, and one that cannot be had: the same sums to the last bit. */
static void test_threads(void **state) {
    (void)state;
    sight s = sight_of(130, 170, 5, 700, 800);
    const tl__tiles rows = tl__tiles_of(s.height, s.height, 0.25), columns = tl__tiles_of(s.width, s.width, 0.25);
    float *room = malloc((size_t)s.height * (size_t)s.width * 5 * sizeof *room);
    const tl__patch patch = patch_of(&s, &rows, &columns, 0, 0, room);
    int64_t first[25] = {0};
    tl__tally one = {.confusion = first, .classes = 5, .pixels = true};
    counter count = {.live = 0};
    tl_context *context = test_context(&count);
    tl__patch_tally(context, 1, &patch, s.truth, &one);
    for (int threads = 2; threads < 11; threads++) {
        int64_t confusion[25] = {0};
        tl__tally tally = {.confusion = confusion, .classes = 5, .pixels = true};
        const long before = count.live;
        count.fail_at = threads > 7 ? count.made + threads - 6 : 0;
        tl__patch_tally(context, threads, &patch, s.truth, &tally);
        assert_memory_equal(confusion, first, sizeof first);
        assert_memory_equal(&tally.sums, &one.sums, sizeof one.sums);
        assert_int_equal(count.live, before);
    }
    tl_context_destroy(context);
    free(room);
    sight_free(&s);
}

/* Numbers far apart and equal ones: what is said of the loss holds at the ends of the range. */
static void test_lanes(void **state) {
    (void)state;
    static const float values[][2] = {{0, 0},     {1000, -1000},   {-1000, 1000}, {88, 0},
                                      {0, 87.5f}, {-3e38f, 3e38f}, {1e-30f, 0}};
    float logits[2 * TL__TALLY_LANES];
    for (size_t i = 0; i < sizeof values / sizeof *values; i++)
        for (uint8_t label = 0; label < 2; label++) {
            tl__tally tally = {.classes = 2, .pixels = true};
            const double a = (double)values[i][0], b = (double)values[i][1], most = fmax(a, b);
            const double expected = log(exp(a - most) + exp(b - most)) + most - (label ? b : a);
            memset(logits, 0x5a, sizeof logits); /* what is beside counts for nothing */
            logits[0] = values[i][0];
            logits[TL__TALLY_LANES] = values[i][1];
            tl__tally_lanes(&tally, logits, &label, 1);
            assert_true(fabs(tally.sums.loss - expected) <= 1e-7 * fmax(1, fabs(expected)));
            assert_true(tally.sums.counted == 1 && tally.sums.right == (label == (values[i][1] > values[i][0])));
        }
}

/* ---- a network ---- */

enum { CLASSES = 3 };

typedef struct net {
    tl_context *context;
    tl_device *device;
    tl_model *model;
} net;

static net begin(tl_head head, const char *arch) {
    net n = {.context = test_context(NULL)};
    tl_model_options options;
    n.device = test_device(n.context, 2);
    tl_model_options_init(&options, sizeof options);
    options.arch = arch;
    options.classes = CLASSES;
    options.head = head;
    options.width = 0.0625;
    options.layers = strncmp(arch, "resnet", 6) == 0 ? (const int[]){1, 1, 1, 1} : NULL;
    ok(tl_model_create(n.context, &options, &n.model), n.context);
    return n;
}

static void end(net *n) {
    tl_model_destroy(n->model);
    tl_device_close(n->device);
    tl_context_destroy(n->context);
}

static uint8_t *scene(int height, int width) {
    uint8_t *rgb = malloc((size_t)height * (size_t)width * 3), *at = rgb;
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < 3; c++)
                *at++ = (uint8_t)(128 + 100 * sin(0.03 * x * (c + 1) + 0.05 * y) + roll(27));
    return rgb;
}

typedef struct seen {
    uint8_t *labels;
    float *probabilities;
} seen;

static seen look(const net *n, int tile, double overlap, uint8_t *rgb, int height, int width, int out_height,
                 int out_width) {
    const size_t pixels = (size_t)out_height * (size_t)out_width;
    seen s = {malloc(pixels), malloc(pixels * CLASSES * sizeof(float))};
    const tl_segmenter_options options = {.size = sizeof options, .batch = 2, .tile = tile, .overlap = overlap};
    const tl_picture picture = {.size = sizeof picture,
                                .width = width,
                                .height = height,
                                .file_width = out_width,
                                .file_height = out_height,
                                .rgb = rgb};
    const tl_picture *pictures[2] = {&picture, &picture};
    uint8_t *labels[2] = {s.labels, NULL};
    float *probabilities[2] = {NULL, s.probabilities};
    tl_segmenter *segmenter;
    memset(s.labels, 254, pixels);
    ok(tl_segmenter_create(n->model, n->device, &options, &segmenter), n->context);
    ok(tl_segmenter_run(segmenter, pictures, 2, labels, probabilities), n->context);
    tl_segmenter_destroy(segmenter);
    return s;
}

static void seen_free(seen *s) {
    free(s->labels);
    free(s->probabilities);
}

/* How far apart the probabilities are at most. */
static double apart(const seen *a, const seen *b, size_t pixels) {
    double most = 0;
    for (size_t i = 0; i < pixels * CLASSES; i++)
        most = fmax(most, fabs((double)a->probabilities[i] - (double)b->probabilities[i]));
    return most;
}

/* Labels that differ though the two classes' probabilities are farther apart than `tie`. */
static size_t other_labels(const seen *a, const seen *b, size_t pixels, double tie) {
    size_t others = 0;
    for (size_t i = 0; i < pixels; i++)
        others += a->labels[i] != b->labels[i] && (double)a->probabilities[a->labels[i] * pixels + i] -
                                                          (double)a->probabilities[b->labels[i] * pixels + i] >
                                                      tie;
    return others;
}

/* ResNet-18 with one block a stage sees 97 pixels to each side at its last map: 3 by the first convolution, 2 by the
 * pooling that follows it, and by the 3x3 ones of each stage 4 + 4, 4 + 8, 8 + 16, 16 + 32. Interpolation from there
 * adds 32 or less. With tiles of 448 that overlap by 0.75 each pixel has 168 around it (or the image's end), so that
 * tiles must give what the whole gives; with a few pixels of overlap they must not, or this would prove nothing.
 * Kernels are chosen by the size of maps and may add in another order: eleven layers of up to 288 terms, each sum wrong
 * by sqrt(288) * 2^-24 of its size, are 1.1e-5. */
#define ROUNDING 1.1e-5
static void check_network(tl_head head, const char *arch, int height, int width, int out_height, int out_width) {
    net n = begin(head, arch);
    uint8_t *rgb = scene(height, width);
    const size_t pixels = (size_t)out_height * (size_t)out_width;
    seen whole = look(&n, 0, 0, rgb, height, width, out_height, out_width);
    seen tiles = look(&n, 448, 0.75, rgb, height, width, out_height, out_width);
    seen poor = look(&n, 64, 0.01, rgb, height, width, out_height, out_width);
    const double away = apart(&whole, &tiles, pixels);
    if (away > ROUNDING)
        fail_msg("tiles are %g away", away);
    assert_int_equal(other_labels(&whole, &tiles, pixels, 2 * ROUNDING), 0);
    assert_true(apart(&whole, &poor, pixels) > 100 * ROUNDING);
    seen_free(&whole);
    seen_free(&tiles);
    seen_free(&poor);
    free(rgb);
    end(&n);
}

static void test_network(void **state) {
    (void)state;
    tl__random_start(&dice, 3, 0);
    check_network(TL_HEAD_LITE, "resnet18", 480, 640, 480, 640);
    check_network(TL_HEAD_LITE, "resnet18", 640, 448, 333, 411);
}

/* Results do not depend on what was looked at before, nor on the order of sizes, which are more than there are plans
 * kept. */
static void test_many_sizes(void **state) {
    (void)state;
    static const int sizes[][2] = {{64, 64}, {64, 96}, {100, 70}, {33, 32}, {64, 64},
                                   {40, 50}, {50, 40}, {70, 100}, {64, 96}, {90, 90}};
    net n = begin(TL_HEAD_FCN, "resnet50");
    tl_segmenter *one;
    ok(tl_segmenter_create(n.model, n.device, NULL, &one), n.context);
    for (int turn = 0; turn < 2; turn++)
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            const int height = sizes[i][0], width = sizes[i][1];
            tl__random_start(&dice, i, 0);
            uint8_t *rgb = scene(height, width), labels[128 * 128];
            const tl_picture picture = {sizeof picture, width, height, width, height, rgb}, *pictures[] = {&picture};
            seen fresh = look(&n, 0, 0, rgb, height, width, height, width);
            ok(tl_segmenter_run(one, pictures, 1, &(uint8_t *){labels}, NULL), n.context);
            assert_memory_equal(labels, fresh.labels, (size_t)height * (size_t)width);
            seen_free(&fresh);
            free(rgb);
        }
    tl_segmenter_destroy(one);
    end(&n);
}

/* ---- memory ---- */

static void count_pieces(void *user, int image, const tl__patch *patch) {
    int *pixels = user;
    (void)image;
    *pixels += (patch->core[2] - patch->core[0]) * (patch->core[3] - patch->core[1]);
}

/* The less there is, the smaller the tiles, until there is none: then it is said. */
static void test_memory(void **state) {
    (void)state;
    enum { HEIGHT = 300, WIDTH = 500 };
    net n = begin(TL_HEAD_LITE, "resnet18");
    int side = INT32_MAX, refused = 0, sizes = 0;
    uint8_t *rgb = scene(HEIGHT, WIDTH);
    for (uint64_t memory = 64 << 20; memory > 1024; memory /= 2) {
        tl__engine *engine; /* whose arena keeps its memory */
        tl__whole *whole;
        int pixels = 0;
        ok(tl__engine_create(n.model, n.device, &engine), n.context);
        ok(tl__whole_create(&(tl__whole_options){.engine = engine, .batch = 8, .memory = memory}, &whole), n.context);
        tl_status status = tl__whole_begin(whole, 1, HEIGHT, WIDTH);
        if (status == TL_OK) {
            assert_false(refused);
            assert_true(whole->columns.side <= side);
            sizes += whole->columns.side < side;
            side = whole->columns.side;
            ok(tl__whole_run(whole, (const uint8_t *const[]){rgb}, count_pieces, &pixels), n.context);
            assert_int_equal(pixels, HEIGHT * WIDTH);
        } else {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_non_null(strstr(tl_context_message(n.context),
                                   "cpu has no room for an image of 500 x 300 pixels, not even for "
                                   "tiles of 64 x 64"));
            refused++;
        }
        assert_int_equal(engine->allowed, 0); /* others are not held to it */
        tl__whole_destroy(whole);
        tl__engine_destroy(engine);
    }
    assert_true(refused > 0 && sizes > 3);
    free(rgb);
    end(&n);
}

static void test_bad_options(void **state) {
    (void)state;
    net n = begin(TL_HEAD_LITE, "resnet18");
    tl_model *classifier = test_model(n.context, "resnet18", CLASSES);
    tl_segmenter *s = NULL;
    static const struct {
        tl_segmenter_options options;
        const char *words;
    } wrong[] = {
        {{.size = sizeof(tl_segmenter_options), .tile = 63}, "tile = 63 is not 64 to 16384"},
        {{.size = sizeof(tl_segmenter_options), .tile = 16385}, "tile = 16385"},
        {{.size = sizeof(tl_segmenter_options), .overlap = 0.8}, "overlap = 0.8 is not above 0, up to 0.75"},
        {{.size = sizeof(tl_segmenter_options), .overlap = NAN}, "overlap = nan"},
        {{.size = sizeof(tl_segmenter_options), .batch = -1}, "batch = -1"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(tl_segmenter_create(n.model, n.device, &wrong[i].options, &s), TL_ERROR_ARGUMENT);
        assert_non_null(strstr(tl_context_message(n.context), wrong[i].words));
    }
    assert_int_equal(tl_segmenter_create(classifier, n.device, NULL, &s), TL_ERROR_ARGUMENT);
    assert_non_null(strstr(tl_context_message(n.context), "tells images apart"));
    assert_null(s);
    ok(tl_segmenter_create(n.model, n.device, NULL, &s), n.context);
    uint8_t rgb[3 * 8] = {0};
    tl_picture a = {sizeof a, 4, 2, 4, 2, rgb}, b = {sizeof b, 2, 4, 2, 4, rgb};
    const tl_picture *two[] = {&a, &b}, *nine[9] = {&a, &a, &a, &a, &a, &a, &a, &a, &a};
    assert_int_equal(tl_segmenter_run(s, two, 2, NULL, NULL), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_segmenter_run(s, nine, 9, NULL, NULL), TL_ERROR_ARGUMENT);
    assert_int_equal(tl_segmenter_run(s, two, 0, NULL, NULL), TL_ERROR_ARGUMENT);
    a.rgb = NULL;
    assert_int_equal(tl_segmenter_run(s, two, 1, NULL, NULL), TL_ERROR_ARGUMENT);
    tl_segmenter_destroy(s);
    tl_segmenter_destroy(NULL);
    tl_model_destroy(classifier);
    end(&n);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_geometry), cmocka_unit_test(test_patches),     cmocka_unit_test(test_threads),
        cmocka_unit_test(test_lanes),    cmocka_unit_test(test_network),     cmocka_unit_test(test_many_sizes),
        cmocka_unit_test(test_memory),   cmocka_unit_test(test_bad_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
