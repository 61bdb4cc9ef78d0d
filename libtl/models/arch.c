#include "models/models.h"

#include <string.h>

#include "models/families.h"

#define RESNET(arch, blocks, a, b, c, d, group_count, group_width) \
    {.name = arch, .draw = tl__draw_resnet, .draw_trunk = tl__draw_resnet_trunk, .head = "fc", .min_size = 1, .bottleneck = blocks, .norm = true, \
     .layers = {a, b, c, d}, .groups = group_count, .width_per_group = group_width}
#define VGG(arch, batchnorm, a, b, c, d, e) \
    {.name = arch, .draw = tl__draw_vgg, .draw_trunk = tl__draw_vgg_trunk, .head = "classifier.6", .min_size = 32, .norm = batchnorm, \
     .layers = {a, b, c, d, e}}

static const tl__arch archs[] = {
    RESNET("resnet18", false, 2, 2, 2, 2, 1, 64),
    RESNET("resnet34", false, 3, 4, 6, 3, 1, 64),
    RESNET("resnet50", true, 3, 4, 6, 3, 1, 64),
    RESNET("resnet101", true, 3, 4, 23, 3, 1, 64),
    RESNET("resnet152", true, 3, 8, 36, 3, 1, 64),
    RESNET("resnext50_32x4d", true, 3, 4, 6, 3, 32, 4),
    RESNET("wide_resnet50_2", true, 3, 4, 6, 3, 1, 128),
    VGG("vgg11", false, 1, 1, 2, 2, 2),
    VGG("vgg11_bn", true, 1, 1, 2, 2, 2),
    VGG("vgg13", false, 2, 2, 2, 2, 2),
    VGG("vgg13_bn", true, 2, 2, 2, 2, 2),
    VGG("vgg16", false, 2, 2, 3, 3, 3),
    VGG("vgg16_bn", true, 2, 2, 3, 3, 3),
    VGG("vgg19", false, 2, 2, 4, 4, 4),
    VGG("vgg19_bn", true, 2, 2, 4, 4, 4),
};

const char *tl_arch_name(size_t index) {
    return index < TL__COUNT(archs) ? archs[index].name : NULL;
}

const tl__arch *tl__arch_find(const char *name) {
    for (size_t i = 0; i < TL__COUNT(archs); i++)
        if (strcmp(archs[i].name, name) == 0)
            return &archs[i];
    return NULL;
}

/* Levenshtein's distance; names beyond 31 characters count as far away. */
static int distance(const char *a, const char *b) {
    int row[32], length = (int)strlen(b);
    if (length > 31 || strlen(a) > 31)
        return 1000;
    for (int j = 0; j <= length; j++)
        row[j] = j;
    for (int i = 1; a[i - 1]; i++) {
        int diagonal = row[0];
        row[0] = i;
        for (int j = 1; j <= length; j++) {
            int change = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            int shorter = row[j] < row[j - 1] ? row[j] : row[j - 1];
            row[j] = change < shorter + 1 ? change : shorter + 1;
        }
    }
    return row[length];
}

const char *tl__arch_nearest(const char *name) {
    size_t best = 0;
    for (size_t i = 1; i < TL__COUNT(archs); i++)
        if (distance(name, archs[i].name) < distance(name, archs[best].name))
            best = i;
    return archs[best].name;
}
