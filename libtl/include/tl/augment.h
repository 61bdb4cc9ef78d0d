/* tl/augment.h: random changes to training images, and to their masks alike. */
#ifndef TL_AUGMENT_H
#define TL_AUGMENT_H

#include <tl/context.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum tl_flip {
    TL_FLIP_NONE = 0,
    TL_FLIP_HORIZONTAL = 1, /* left and right change places in one of two images */
    TL_FLIP_VERTICAL = 2,   /* top and bottom */
    TL_FLIP_BOTH = 3,       /* each of the two, independently */
} tl_flip;

/* In this order, with the definitions of torchvision's transforms of Pillow's images:
 * RandomResizedCrop(crop, scale=(random_crop, 1), ratio=(ratio, 1 / ratio)) in the place of Resize and CenterCrop,
 * RandomHorizontalFlip(), RandomVerticalFlip(), RandomRotation(rotate), ColorJitter(brightness, contrast, saturation).
 *
 * Cropping resizes images bilinearly with antialiasing, masks by nearest. Rotation, about the middle, takes nearest pixels
 * of both, as torchvision does by default; where nothing is, an image has zeros and a mask TL_IGNORED. Colours change in
 * images alone, in an order drawn for each. With everything at 0 an image is what it is without, bit for bit.
 *
 * What is drawn depends on the seed, the epoch and the number of the image in the data set, and on nothing else: neither
 * on threads nor on the order of images. Numbers are drawn for every change whether it is wanted or not, so that one
 * more leaves the others as they were. (They are Philox's, not PyTorch's.) */
typedef struct tl_augment {
    size_t size;
    double random_crop; /* the least part of the image's area that is shown, 0 < random_crop <= 1; 0: off.
                         * RandomResizedCrop's own default is 0.08 */
    double ratio;       /* the least width / height of that part, 0 < ratio <= 1; default 0.75 */
    tl_flip flip;
    double rotate;      /* degrees, up to so many to either side; 0 .. 180 */
    double brightness, contrast, saturation; /* >= 0: a factor between max(0, 1 - x) and 1 + x */
    uint64_t seed;
    int views;          /* 0 (default): every epoch draws anew; otherwise 1 .. 65536, so many views of each image are all
                         * there is: epoch e (from 1) shows view e mod views, the one that epoch would have drawn */
} tl_augment;
TL_API void tl_augment_init(tl_augment *augment, size_t size); /* nothing changes */

/* Whether anything is random. NULL: no. */
TL_API bool tl_augment_is_random(const tl_augment *augment);

#ifdef __cplusplus
}
#endif
#endif
