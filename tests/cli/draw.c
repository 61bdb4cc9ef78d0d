/* draw FOLDER COUNT CLASS...: draws COUNT small pictures of each class into FOLDER/CLASS, the same ones every time.
 * Classes: disc (red discs), square (blue squares), stripes (green stripes). Every other picture is a JPEG. */
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

static int draw_class(const char *folder, const char *class, int count)
{
    char path[1024];
    snprintf(path, sizeof(path), "%s/%s", folder, class);
    if (mkdir(path, 0777) != 0 && errno != EEXIST)
        return -1;
    for (int i = 0; i < count; i++) {
        picture p = {.width = 44 + below(16), .height = 44 + below(16)};
        p.rgb = malloc(3 * (size_t)p.width * (size_t)p.height);
        if (!p.rgb)
            return -1;
        draw(&p, class);
        snprintf(path, sizeof(path), "%s/%s/%03d.%s", folder, class, i, i % 2 ? "jpg" : "png");
        int failed = i % 2 ? write_jpeg(&p, path) : write_png(&p, path);
        free(p.rgb);
        if (failed)
            return -1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc < 4) {
        fputs("usage: draw FOLDER COUNT CLASS...\n", stderr);
        return 2;
    }
    if (mkdir(argv[1], 0777) != 0 && errno != EEXIST) {
        perror(argv[1]);
        return 1;
    }
    for (int i = 3; i < argc; i++) {
        for (const char *c = argv[i]; *c; c++)
            state = state * 31 + (uint32_t)*c;
        if (draw_class(argv[1], argv[i], atoi(argv[2])) != 0) {
            perror(argv[i]);
            return 1;
        }
    }
    return 0;
}
