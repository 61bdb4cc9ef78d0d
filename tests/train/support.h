/* What the tests of training share: small networks, made-up images, a counting allocator. */
#ifndef TEST_TRAIN_SUPPORT_H
#define TEST_TRAIN_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>

#include <tl/tl.h>

#include "models/models.h"

typedef struct counter {
    long made, live;  /* allocations so far, and not released */
    long fail_at;     /* this one fails (counting from 1); 0: none */
} counter;

tl_context *test_context(counter *count); /* NULL: the default allocator */
tl_device *test_device(tl_context *context, int threads);
/* A ResNet of the two-convolution (or, with "resnet50", bottleneck) block, one block a stage, widths 4 to 32; or a
 * VGG at a sixteenth of its width. */
tl_model *test_model(tl_context *context, const char *arch, int classes);
/* count images of size * size * 3 bytes and their labels, told apart by their colours. */
uint8_t *test_images(int count, int size, uint64_t seed);
int32_t *test_labels(int count, int classes);
/* A folder with `classes` class folders of `each` PNG files; its path, to be freed. Removed at exit. */
char *test_folder(int classes, int each, int size);
/* One with empty images/ and masks/ in it, likewise; and image and mask number `number` for it. */
char *test_masks_folder(void);
void test_masks_add(tl_context *context, const char *folder, int number, int width, int height, const uint8_t *rgb,
                    const uint8_t *labels);
/* All values of all parameters one behind the other, to be freed; *count floats. */
float *test_values(tl_model *model, size_t *count);

/* A network and images for it on a device. */
typedef struct test_job {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_dataset *data;
    char *folder;
} test_job;
/* Context and device are there. Images are `drawn` pixels large, and the network sees `size`. */
void test_job_begin(test_job *job, const char *arch, int classes, int each, int drawn, int size);
void test_job_end(test_job *job);

/* What a training said of the features of its last stage. */
typedef struct stage_features {
    int64_t images, found;
    bool cached;
    char cache[128], file[4200];
} stage_features;
/* For tl_train_options' on_stage; `user` begins with a stage_features. */
void test_note_features(void *user, const tl_stage_report *report);

#define ok(call, context) \
    do { \
        tl_status status_ = (call); \
        if (status_ != TL_OK) \
            fail_msg("%s: %s: %s", #call, tl_status_text(status_), tl_context_message(context)); \
    } while (0)

#endif
