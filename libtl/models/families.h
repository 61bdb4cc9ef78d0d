/* models/families.h: what the families of networks define for the table in arch.c. */
#ifndef TL__FAMILIES_H
#define TL__FAMILIES_H

#include "models/models.h"

int tl__draw_resnet(tl__draw *draw, int x);
int tl__draw_vgg(tl__draw *draw, int x);
tl__trunk tl__draw_resnet_trunk(tl__draw *draw, int x, int stride);
tl__trunk tl__draw_vgg_trunk(tl__draw *draw, int x, int stride);

#endif
