/* draw FOLDER COUNT CLASS...: draws COUNT small pictures of each class into FOLDER/CLASS, the same ones every time.
 * Classes: disc (red discs), square (blue squares), stripes (green stripes). Every other picture is a JPEG.
 * draw -m FOLDER COUNT CLASS...: the same pictures in FOLDER/images, with masks in FOLDER/masks: palette PNGs in which 0 is
 * the ground, 1 the first class, and 255 the picture's outermost pixels. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <jpeglib.h> /* wants <stdio.h> before it */
#include <png.h>

static uint32_t state;

static int below(int bound)
{
    state = state * 1664525u + 1013904223u;
    return (int)((state >> 8) % (uint32_t)bound);
}

typedef struct picture {
    int width, height;
    uint8_t *rgb;
    uint8_t *in; /* width * height: inside the figure */
} picture;

static int inside(const char *class, int x, int y, int cx, int cy, int radius)
{
    if (!strcmp(class, "disc"))
        return (x - cx) * (x - cx) + (y - cy) * (y - cy) <= radius * radius;
    if (!strcmp(class, "stripes"))
        return (x + cx) / 5 % 2 == 0;
    return abs(x - cx) <= radius && abs(y - cy) <= radius;
}

static void draw(picture *p, const char *class)
{
    int cx = p->width / 2 + below(9) - 4, cy = p->height / 2 + below(9) - 4, radius = 10 + below(7);
    int strong = !strcmp(class, "disc") ? 0 : !strcmp(class, "stripes") ? 1 : 2, ground = 90 + below(80);
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            uint8_t *pixel = p->rgb + 3 * (y * p->width + x);
            int in = inside(class, x, y, cx, cy, radius);
            p->in[y * p->width + x] = (uint8_t)in;
            for (int c = 0; c < 3; c++)
                pixel[c] = (uint8_t)((in ? (c == strong ? 210 : 40) : ground) + below(32));
        }
}

static int write_png(const picture *p, const char *path)
{
    png_image image;
    memset(&image, 0, sizeof(image));
    image.version = PNG_IMAGE_VERSION;
    image.width = (png_uint_32)p->width;
    image.height = (png_uint_32)p->height;
    image.format = PNG_FORMAT_RGB;
    return png_image_write_to_file(&image, path, 0, p->rgb, 0, NULL) ? 0 : -1;
}

static int write_jpeg(const picture *p, const char *path)
{
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, file);
    jpeg.image_width = (JDIMENSION)p->width;
    jpeg.image_height = (JDIMENSION)p->height;
    jpeg.input_components = 3;
    jpeg.in_color_space = JCS_RGB;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 92, TRUE);
    jpeg_start_compress(&jpeg, TRUE);
    while (jpeg.next_scanline < jpeg.image_height) {
        JSAMPROW row = p->rgb + 3 * (size_t)p->width * jpeg.next_scanline;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    return fclose(file);
}

static int make_folder(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return mkdir(path, 0777) != 0 && errno != EEXIST ? -1 : 0;
}

static int write_mask(const picture *p, const char *path, int class)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_color palette[256] = {{0, 0, 0}, {128, 0, 0}, {0, 128, 0}, {128, 128, 0}};
    FILE *file = fopen(path, "wb");
    if (!file)
        return -1;
    palette[255] = (png_color){224, 224, 192};
    png_init_io(png, file);
    png_set_IHDR(png, info, (png_uint_32)p->width, (png_uint_32)p->height, 8, PNG_COLOR_TYPE_PALETTE, PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_set_PLTE(png, info, palette, 256);
    png_write_info(png, info);
    for (int y = 0; y < p->height; y++) {
        uint8_t row[64];
        for (int x = 0; x < p->width; x++)
            row[x] = x == 0 || y == 0 || x == p->width - 1 || y == p->height - 1 ? 255
                     : p->in[y * p->width + x] ? (uint8_t)class : 0;
        png_write_row(png, row);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    return fclose(file);
}

/* class_index 0: pictures alone, in a folder of the class. */
static int draw_class(const char *folder, const char *class, int class_index, int count)
{
    char path[1024];
    if (class_index ? make_folder(folder, "images") || make_folder(folder, "masks") : make_folder(folder, class))
        return -1;
    for (int i = 0; i < count; i++) {
        picture p = {.width = 44 + below(16), .height = 44 + below(16)};
        size_t pixels = (size_t)p.width * (size_t)p.height;
        p.rgb = malloc(4 * pixels);
        if (!p.rgb)
            return -1;
        p.in = p.rgb + 3 * pixels;
        draw(&p, class);
        snprintf(path, sizeof(path), class_index ? "%s/images/%s-%03d.%s" : "%s/%s/%03d.%s", folder, class, i, i % 2 ? "jpg" : "png");
        int failed = i % 2 ? write_jpeg(&p, path) : write_png(&p, path);
        snprintf(path, sizeof(path), "%s/masks/%s-%03d.png", folder, class, i);
        failed |= class_index ? write_mask(&p, path, class_index) : 0;
        free(p.rgb);
        if (failed)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    const int masks = argc > 1 && !strcmp(argv[1], "-m");
    argc -= masks;
    argv += masks;
    if (argc < 4) {
        fputs("usage: draw [-m] FOLDER COUNT CLASS...\n", stderr);
        return 2;
    }
    if (mkdir(argv[1], 0777) != 0 && errno != EEXIST) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        for (const char *c = argv[i]; *c; c++)
            state = state * 31 + (uint32_t)*c;
        if (draw_class(argv[1], argv[i], masks ? i - 2 : 0, atoi(argv[2])) != 0) {
            perror(argv[i]);
            return 1;
        }
    }
    return 0;
}
