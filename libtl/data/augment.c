#include "data/augment.h"

#include <math.h>
#include <string.h>

#include <tl/dataset.h>

#define PURPOSE  0x6175676d00000000ull
#define ATTEMPTS 10 /* torchvision's, at a box that the image can hold */

enum { BRIGHTNESS, CONTRAST, SATURATION };

void tl_augment_init(tl_augment *augment, size_t size) {
    static const tl_augment none = {.size = sizeof none, .ratio = 0.75};
    memset(augment, 0, size);
    memcpy(augment, &none, size < sizeof none ? size : sizeof none);
    augment->size = size;
}

static tl_augment known_part(const tl_augment *augment) {
    tl_augment a;
    tl_augment_init(&a, sizeof a);
    memcpy(&a, augment, augment->size < sizeof a ? augment->size : sizeof a);
    a.size = sizeof a;
    return a;
}

bool tl_augment_is_random(const tl_augment *augment) {
    if (!augment)
        return false;
    tl_augment a = known_part(augment);
    return a.random_crop != 0 || a.flip != TL_FLIP_NONE || a.rotate != 0 || a.brightness != 0 || a.contrast != 0 ||
           a.saturation != 0;
}

static tl_status expect(tl_context *context, const char *name, double value, double least, double most) {
    if (value >= least && value <= most)
        return TL_OK;
    return tl__fail(context, TL_ERROR_ARGUMENT, "%s is %g and must be %g to %g", name, value, least, most);
}

tl_status tl__augment_take(tl_context *context, const tl_augment *augment, tl_augment *out) {
    if (!augment->size)
        return tl__fail(context, TL_ERROR_ARGUMENT, "the augmentation is not initialised");
    tl_augment a = known_part(augment);
    TL__TRY(expect(context, "random_crop", a.random_crop, 0, 1));
    TL__TRY(expect(context, "ratio", a.ratio, 1e-3, 1));
    TL__TRY(expect(context, "flip", (double)(int)a.flip, TL_FLIP_NONE, TL_FLIP_BOTH));
    TL__TRY(expect(context, "rotate", a.rotate, 0, 180));
    TL__TRY(expect(context, "brightness", a.brightness, 0, 100));
    TL__TRY(expect(context, "contrast", a.contrast, 0, 100));
    TL__TRY(expect(context, "saturation", a.saturation, 0, 100));
    TL__TRY(expect(context, "views", a.views, 0, 65536));
    *out = a;
    return TL_OK;
}

/* ---- drawing ---- */

static double between(tl__random *random, double least, double most) {
    return least + (most - least) * tl__random_unit(random);
}

static double factor(tl__random *random, double strength) {
    double f = between(random, strength < 1 ? 1 - strength : 0, 1 + strength);
    return strength == 0 ? 1 : f;
}

void tl__change_draw(const tl_augment *augment, uint64_t epoch, uint32_t image, tl__change *change) {
    tl__random random;
    uint32_t order[3] = {BRIGHTNESS, CONTRAST, SATURATION};
    if (augment->views)
        epoch %= (uint64_t)augment->views;
    tl__random_start(&random, augment->seed, PURPOSE + (epoch << 32) + image);
    bool mirrored = tl__random_unit(&random) < 0.5, upside_down = tl__random_unit(&random) < 0.5;
    double degrees = between(&random, -augment->rotate, augment->rotate);
    change->mirrored = mirrored && (augment->flip & TL_FLIP_HORIZONTAL);
    change->upside_down = upside_down && (augment->flip & TL_FLIP_VERTICAL);
    change->degrees = augment->rotate == 0 ? 0 : degrees;
    tl__random_shuffle(&random, order, 3);
    for (int i = 0; i < 3; i++)
        change->order[i] = (int)order[i];
    change->factor[BRIGHTNESS] = factor(&random, augment->brightness);
    change->factor[CONTRAST] = factor(&random, augment->contrast);
    change->factor[SATURATION] = factor(&random, augment->saturation);
    change->random_crop = augment->random_crop;
    change->ratio = augment->ratio;
    change->boxes = random;
}

static int whole(double x) {
    return (int)floor(x + 0.5);
}

/* As RandomResizedCrop.get_params: where no attempt fits, the middle as far as the ratio allows. */
void tl__change_box(const tl__change *change, int width, int height, int box[4]) {
    memset(box, 0, 4 * sizeof *box);
    if (change->random_crop == 0)
        return;
    tl__random random = change->boxes;
    double area = (double)width * height, wide = log(1 / change->ratio);
    for (int i = 0; i < ATTEMPTS; i++) {
        double part = area * between(&random, change->random_crop, 1), ratio = exp(between(&random, -wide, wide));
        double w = sqrt(part * ratio), h = sqrt(part / ratio);
        if (w > width + 1.0 || h > height + 1.0)
            continue; /* and beyond an int, perhaps */
        box[2] = whole(w);
        box[3] = whole(h);
        if (box[2] < 1 || box[3] < 1 || box[2] > width || box[3] > height)
            continue;
        box[1] = (int)tl__random_below(&random, (uint32_t)(height - box[3] + 1));
        box[0] = (int)tl__random_below(&random, (uint32_t)(width - box[2] + 1));
        return;
    }
    double ratio = (double)width / height;
    box[2] = width;
    box[3] = height;
    if (ratio < change->ratio)
        box[3] = whole(width / change->ratio);
    else if (ratio > 1 / change->ratio)
        box[2] = whole(height / change->ratio);
    box[2] = box[2] < 1 ? 1 : box[2];
    box[3] = box[3] < 1 ? 1 : box[3];
    box[0] = (width - box[2]) / 2;
    box[1] = (height - box[3]) / 2;
}

/* ---- places ---- */

static void swap_pixels(uint8_t *a, uint8_t *b, int bytes) {
    for (int i = 0; i < bytes; i++) {
        uint8_t kept = a[i];
        a[i] = b[i];
        b[i] = kept;
    }
}

static void mirror(uint8_t *pixels, int side, int bytes) {
    for (int y = 0; y < side; y++) {
        uint8_t *left = pixels + (size_t)y * (size_t)side * (size_t)bytes, *right = left + (size_t)(side - 1) * (size_t)bytes;
        for (; left < right; left += bytes, right -= bytes)
            swap_pixels(left, right, bytes);
    }
}

static void turn_over(uint8_t *pixels, int side, int bytes) {
    int line = side * bytes;
    for (int y = 0; y < side / 2; y++)
        swap_pixels(pixels + (size_t)y * (size_t)line, pixels + (size_t)(side - 1 - y) * (size_t)line, line);
}

static int64_t fixed(double x) {
    return (int64_t)floor(x * 65536.0 + 0.5);
}

/* 16 bits behind the point, as Pillow: x is 65536 * (a x + b y + c) of the middle of the first pixel, and so on. */
typedef struct turn {
    int64_t x, y, x_by_x, y_by_x, x_by_y, y_by_y;
} turn;

static turn turn_by(double degrees, int side) {
    const double radians = -degrees * (3.14159265358979323846 / 180), middle = side / 2.0;
    double a = cos(radians), b = sin(radians), c = -a * middle - b * middle + middle, f = b * middle - a * middle + middle;
    return (turn){.x = fixed(c + a * 0.5 + b * 0.5), .y = fixed(f - b * 0.5 + a * 0.5), .x_by_x = fixed(a), .y_by_x = fixed(-b),
                  .x_by_y = fixed(b), .y_by_y = fixed(a)};
}

/* Of both alike, from copies. */
static void rotate(double degrees, int side, uint8_t *rgb, uint8_t *labels, uint8_t *work) {
    const size_t pixels = (size_t)side * (size_t)side;
    const uint8_t *old = memcpy(work, rgb, 3 * pixels), *old_labels = work + 3 * pixels;
    turn t = turn_by(degrees, side);
    if (labels)
        memcpy(work + 3 * pixels, labels, pixels);
    for (int y = 0; y < side; y++, t.x += t.x_by_y, t.y += t.y_by_y) {
        int64_t at_x = t.x, at_y = t.y;
        for (int x = 0; x < side; x++, rgb += 3, at_x += t.x_by_x, at_y += t.y_by_x) {
            bool inside = at_x >= 0 && at_x >> 16 < side && at_y >= 0 && at_y >> 16 < side;
            size_t from = inside ? (size_t)(at_y >> 16) * (size_t)side + (size_t)(at_x >> 16) : 0;
            for (int c = 0; c < 3; c++)
                rgb[c] = inside ? old[3 * from + (size_t)c] : 0;
            if (labels)
                *labels++ = inside ? old_labels[from] : TL_IGNORED;
        }
    }
}

/* ---- colours: Pillow's ImageEnhance, which blends with what has none of the property ---- */

/* factor times what a byte differs from the other by, -255 .. 255, rounded to float before it is added, on every machine. */
static void differences(float by, float table[511]) {
    for (int i = 0; i < 511; i++)
        table[i] = by * (float)(i - 255);
}

static uint8_t blend(const float table[511], int without, int with) {
    float value = (float)without + table[with - without + 255];
    return value <= 0 ? 0 : value >= 255 ? 255 : (uint8_t)value;
}

static int grey(const uint8_t *rgb) {
    return (int)((rgb[0] * 19595u + rgb[1] * 38470u + rgb[2] * 7471u + 0x8000u) >> 16);
}

static void blend_with(uint8_t *rgb, size_t pixels, const float table[511], int level) {
    uint8_t to[256];
    for (int i = 0; i < 256; i++)
        to[i] = blend(table, level, i);
    for (size_t i = 0; i < 3 * pixels; i++)
        rgb[i] = to[rgb[i]];
}

static int mean_grey(const uint8_t *rgb, size_t pixels) {
    uint64_t sum = 0;
    for (size_t i = 0; i < pixels; i++)
        sum += (uint64_t)grey(rgb + 3 * i);
    return (int)((double)sum / (double)pixels + 0.5);
}

static void colour(int which, double by, uint8_t *rgb, size_t pixels) {
    float table[511];
    if (by == 1)
        return;
    differences((float)by, table);
    if (which != SATURATION) {
        blend_with(rgb, pixels, table, which == BRIGHTNESS ? 0 : mean_grey(rgb, pixels));
        return;
    }
    for (size_t i = 0; i < pixels; i++, rgb += 3) {
        int without = grey(rgb);
        for (int c = 0; c < 3; c++)
            rgb[c] = blend(table, without, rgb[c]);
    }
}

void tl__change_apply(const tl__change *change, int side, uint8_t *rgb, uint8_t *labels, uint8_t *work) {
    if (change->mirrored)
        mirror(rgb, side, 3);
    if (change->mirrored && labels)
        mirror(labels, side, 1);
    if (change->upside_down)
        turn_over(rgb, side, 3);
    if (change->upside_down && labels)
        turn_over(labels, side, 1);
    if (change->degrees != 0)
        rotate(change->degrees, side, rgb, labels, work);
    for (int i = 0; i < 3; i++)
        colour(change->order[i], change->factor[change->order[i]], rgb, (size_t)side * (size_t)side);
}
