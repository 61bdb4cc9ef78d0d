/* compose PHOTOGRAPHS OUT COUNT [SIZE [SEED]]: pictures with masks out of cut-out photographs.
 *
 * PHOTOGRAPHS holds a folder of PNGs with alpha for each class. Each picture is a texture with one to four of them on it,
 * in any size and place; its mask has the number of the class of the uppermost one, 0 where the texture shows. A quarter of
 * the photographs is seen in OUT/val alone, so that what is learned from OUT/train is judged on objects that were not in
 * it. COUNT pictures go to OUT/train, a quarter as many to OUT/val; OUT/classes.txt has the names of the classes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <tl/tl.h>

typedef struct canvas {
    int size;
    uint8_t *rgb, *labels;
} canvas;

static uint64_t state;

static uint32_t random_u32(void)
{
    state += 0x9e3779b97f4a7c15ull; /* Steele et al. 2014, SplitMix */
    uint64_t z = state;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ z >> 27) * 0x94d049bb133111ebull;
    return (uint32_t)((z ^ z >> 31) >> 32);
}

static int between(int low, int high)
{
    return low + (int)(random_u32() % (uint32_t)(high - low + 1));
}

/* ---- textures: noise of several sizes between two colours, along stripes or not ---- */

static float corner(uint32_t seed, int x, int y)
{
    uint32_t h = seed ^ (uint32_t)x * 0x85ebca6bu ^ (uint32_t)y * 0xc2b2ae35u;
    h = (h ^ h >> 15) * 0x2c1b3c6du;
    h = (h ^ h >> 12) * 0x297a2d39u;
    return (float)(h ^ h >> 15) / 4294967296.0f;
}

static float noise(uint32_t seed, float x, float y)
{
    int i = (int)x, j = (int)y;
    float u = x - (float)i, v = y - (float)j;
    float above = corner(seed, i, j) * (1 - u) + corner(seed, i + 1, j) * u;
    float below = corner(seed, i, j + 1) * (1 - u) + corner(seed, i + 1, j + 1) * u;
    return above * (1 - v) + below * v;
}

static void draw_texture(canvas *c)
{
    uint32_t seed = random_u32();
    float coarse = (float)between(8, 60), stretch = (float)between(1, 8), two[2][3];
    bool across = between(0, 1);
    for (int i = 0; i < 6; i++)
        two[i / 3][i % 3] = (float)between(0, 255);
    for (int y = 0; y < c->size; y++)
        for (int x = 0; x < c->size; x++) {
            float u = (float)x / coarse, v = (float)y / coarse, sum = 0, weight = 0.5f;
            *(across ? &u : &v) *= stretch;
            for (uint32_t octave = 0; octave < 4; octave++, weight /= 2, u *= 2, v *= 2)
                sum += weight * noise(seed + octave, u, v);
            for (int k = 0; k < 3; k++)
                c->rgb[3 * (y * c->size + x) + k] = (uint8_t)(two[0][k] * (1 - sum) + two[1][k] * sum);
        }
    memset(c->labels, 0, (size_t)c->size * (size_t)c->size);
}

/* ---- photographs ---- */

/* What lies on white and on black differs by what shines through. */
static void paste(canvas *c, const tl_picture *white, const tl_picture *black, int left, int top, uint8_t label)
{
    for (int y = 0; y < white->height; y++)
        for (int x = 0; x < white->width; x++) {
            int to_x = left + x, to_y = top + y;
            if (to_x < 0 || to_y < 0 || to_x >= c->size || to_y >= c->size)
                continue;
            const uint8_t *w = white->rgb + 3 * (y * white->width + x), *b = black->rgb + 3 * (y * white->width + x);
            uint8_t *to = c->rgb + 3 * (to_y * c->size + to_x);
            for (int k = 0; k < 3; k++)
                to[k] = (uint8_t)(b[k] + (w[k] - b[k]) * to[k] / 255);
            if (w[1] - b[1] < 128)
                c->labels[to_y * c->size + to_x] = label;
        }
}

static tl_status add_photograph(tl_context *context, const tl_dataset *from, canvas *c)
{
    size_t index = random_u32() % tl_dataset_size(from);
    tl_preprocess p;
    tl_picture white = {.size = sizeof(white)}, black = {.size = sizeof(black)};
    tl_preprocess_init(&p, sizeof(p));
    p.resize = between(c->size / 4, c->size * 3 / 5);
    p.alpha = TL_ALPHA_WHITE;
    tl_status status = tl_picture_load(context, tl_dataset_path(from, index), &p, &white);
    p.alpha = TL_ALPHA_BLACK;
    if (status == TL_OK)
        status = tl_picture_load(context, tl_dataset_path(from, index), &p, &black);
    if (status == TL_OK)
        paste(c, &white, &black, between(-white.width / 4, c->size - white.width * 3 / 4),
              between(-white.height / 4, c->size - white.height * 3 / 4), (uint8_t)(tl_dataset_label(from, index) + 1));
    tl_picture_release(context, &white);
    tl_picture_release(context, &black);
    return status;
}

/* ---- files ---- */

static const char *path_of(const char *folder, const char *part, const char *kind, int number)
{
    static char path[4096];
    if (number < 0)
        snprintf(path, sizeof(path), "%s/%s%s%s", folder, part, *kind ? "/" : "", kind);
    else
        snprintf(path, sizeof(path), "%s/%s/%s/%04d.png", folder, part, kind, number);
    return path;
}

static tl_status write_part(tl_context *context, const tl_dataset *from, const char *folder, const char *part, int count, int size)
{
    static const char *const kinds[] = {"", "images", "masks"};
    canvas c = {size, malloc(3 * (size_t)size * (size_t)size), malloc((size_t)size * (size_t)size)};
    uint8_t palette[256][3];
    tl_status status = c.rgb && c.labels ? TL_OK : TL_ERROR_MEMORY;
    for (int i = 0; i < 256; i++)
        tl_class_colour(i, palette[i]);
    for (int i = 0; i < 3 && status == TL_OK; i++)
        if (mkdir(path_of(folder, part, kinds[i], -1), 0777) != 0 && errno != EEXIST)
            status = TL_ERROR_IO;
    for (int number = 0; number < count && status == TL_OK; number++) {
        draw_texture(&c);
        for (int objects = between(1, 4); objects > 0 && status == TL_OK; objects--)
            status = add_photograph(context, from, &c);
        if (status == TL_OK)
            status = tl_image_save(context, path_of(folder, part, "images", number), size, size, c.rgb, NULL, 0);
        if (status == TL_OK)
            status = tl_image_save(context, path_of(folder, part, "masks", number), size, size, c.labels, palette[0], 256);
    }
    free(c.rgb);
    free(c.labels);
    return status;
}

static bool write_classes(const tl_dataset *all, const char *folder)
{
    FILE *file = fopen(path_of(folder, "classes.txt", "", -1), "w");
    if (!file)
        return false;
    fprintf(file, "background\n");
    for (size_t i = 0; i < tl_dataset_class_count(all); i++)
        fprintf(file, "%s\n", tl_dataset_class(all, i));
    return fclose(file) == 0;
}

int main(int argc, char **argv)
{
    tl_context *context = NULL;
    tl_dataset *all = NULL, *train = NULL, *val = NULL;
    int count = argc > 3 ? atoi(argv[3]) : 0, size = argc > 4 ? atoi(argv[4]) : 128;
    if (argc < 4 || argc > 6 || count < 4 || size < 32 || size > 4096) {
        fputs("usage: compose PHOTOGRAPHS OUT COUNT [SIZE [SEED]]\n", stderr);
        return 2;
    }
    errno = 0;
    state = argc > 5 ? strtoull(argv[5], NULL, 10) : 0;
    tl_status status = tl_context_create(NULL, &context);
    if (status == TL_OK)
        status = tl_dataset_open(context, argv[1], &all);
    if (status == TL_OK)
        status = tl_dataset_split(context, all, 0.25, state, &train, &val);
    if (status == TL_OK && mkdir(argv[2], 0777) != 0 && errno != EEXIST)
        status = TL_ERROR_IO;
    if (status == TL_OK)
        status = write_part(context, train, argv[2], "train", count, size);
    if (status == TL_OK)
        status = write_part(context, val, argv[2], "val", count / 4, size);
    if (status == TL_OK && !write_classes(all, argv[2]))
        status = TL_ERROR_IO;
    if (status != TL_OK && context && *tl_context_message(context))
        fprintf(stderr, "compose: %s\n", tl_context_message(context));
    else if (status != TL_OK)
        fprintf(stderr, "compose: %s: %s\n", argv[2], errno ? strerror(errno) : "out of memory");
    tl_dataset_destroy(train);
    tl_dataset_destroy(val);
    tl_dataset_destroy(all);
    tl_context_destroy(context);
    return status == TL_OK ? 0 : 1;
}
