/* device.h: what harness.c needs of device.c: the variants of the device under test. */
#ifndef TL_TEST_OPS_DEVICE_H
#define TL_TEST_OPS_DEVICE_H

#include "tests/ops/harness.h"

typedef struct t_variants {
    const char *name;    /* "avx2"; NULL where there is but one */
    t_device *teams[3];  /* the same with more and more threads */
    int team_count;
} t_variants;

int t_variant_count(void);
t_variants *t_variant(int i);
bool t_wanted(const char *name, int64_t work); /* by --filter and --most */
uint64_t t_device_alignment(const t_device *device);

#endif
