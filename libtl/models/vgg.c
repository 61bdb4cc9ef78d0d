/* Simonyan and Zisserman 2014, "Very Deep Convolutional Networks for Large-Scale Image Recognition", as torchvision
 * has them. */
#include <stdio.h>

#include "models/families.h"

tl__trunk tl__draw_vgg_trunk(tl__draw *draw, int x, int stride) {
    static const int widths[5] = {64, 128, 256, 512, 512};
    tl__graph *graph = draw->graph;
    const tl_model *model = draw->model;
    char name[32];
    tl__trunk trunk = {.count = 5};
    (void)stride; /* always 32: what is finer comes from the earlier maps */
    int index = 0; /* in torchvision's Sequential, where ReLU and pooling count too */

    for (int stage = 0; stage < 5; stage++) {
        for (int i = 0; i < model->arch->layers[stage]; i++) {
            snprintf(name, sizeof name, "features.%d", index++);
            x = tl__draw_conv2d(draw, x, name, tl__draw_width(draw, widths[stage]), 3, 1, 1, 1, 1, true);
            if (model->arch->norm) {
                snprintf(name, sizeof name, "features.%d", index++);
                x = tl__draw_batchnorm(draw, x, name);
            }
            snprintf(name, sizeof name, "features.%d", index++);
            x = tl__relu(graph, x, name);
        }
        snprintf(name, sizeof name, "features.%d", index++);
        x = tl__maxpool2d(graph, x, name, 2, 2, 0);
        trunk.maps[stage] = x;
    }
    return trunk;
}

int tl__draw_vgg(tl__draw *draw, int x) {
    tl__graph *graph = draw->graph;
    const tl_model *model = draw->model;
    tl__trunk trunk = tl__draw_vgg_trunk(draw, x, 32);
    x = trunk.maps[4];
    if (model->options.head == TL_HEAD_LINEAR) {
        x = tl__avgpool2d(graph, x, "avgpool", 1, 1);
        return tl__draw_linear(draw, x, "fc", model->options.classes);
    }
    x = tl__avgpool2d(graph, x, "avgpool", 7, 7);
    x = tl__draw_linear(draw, x, "classifier.0", tl__draw_width(draw, 4096));
    x = tl__relu(graph, x, "classifier.1");
    x = tl__draw_dropout(draw, x, "classifier.2");
    x = tl__draw_linear(draw, x, "classifier.3", tl__draw_width(draw, 4096));
    x = tl__relu(graph, x, "classifier.4");
    x = tl__draw_dropout(draw, x, "classifier.5");
    return tl__draw_linear(draw, x, "classifier.6", model->options.classes);
}
