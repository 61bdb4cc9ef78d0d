/* measure.c: what the machine's arithmetic can do, for comparison with what the kernels do. */
#include <stdlib.h>
#include <time.h>

#include "backends/cpu/bf16.h"
#include "backends/cpu/int8.h"
#include "backends/cpu/kernels.h"

/* Many short turns, of which each thread's median counts: on a busy machine few are interrupted, and the first, in which the
 * clock still rises or the other threads are not there yet, do not matter. */
#define ROUNDS  40000 /* a tenth of a millisecond */
#define TURNS   512
#define SECONDS 0.1

typedef struct measured {
    cpu_peak *peak;
    double rates[CPU_MAX_THREADS]; /* operations a second */
} measured;

double tl__cpu_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void body(void *user, int64_t first, int64_t last, int thread) {
    measured *m = user;
    (void)thread;
    for (int64_t item = first; item < last; item++) {
        double rates[TURNS], begin = tl__cpu_seconds(), at = begin;
        int turns = 0;
        while (turns < TURNS && (turns == 0 || at - begin < SECONDS)) {
            double operations = m->peak(ROUNDS), now = tl__cpu_seconds();
            rates[turns++] = now > at ? operations / (now - at) : 0;
            at = now;
        }
        qsort(rates, (size_t)turns, sizeof(rates[0]), ascending);
        m->rates[item] = rates[turns / 2];
    }
}

static cpu_peak *peak_of(const cpu_device *device, int32_t dtype) {
    switch (dtype) {
    case TL_DTYPE_F32:
        return device->kernels->peak_f32;
    case TL_DTYPE_BF16:
        return tl__cpu_bf16_peak(device);
    case TL_DTYPE_U8:
        return tl__cpu_int8_peak(device);
    default:
        return NULL;
    }
}

tl_status tl__cpu_peak(tl_backend_device *base, int32_t dtype, double *flops) {
    const cpu_device *device = (const cpu_device *)base;
    measured m = {.peak = peak_of(device, dtype)};
    if (!m.peak || m.peak(1) <= 0)
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: %s has no instructions that multiply numbers of type %d",
                            tl__cpu_isa_title(device->isa), (int)dtype);
    tl__cpu_parallel(device, device->threads, 1, body, &m);
    *flops = 0;
    for (int thread = 0; thread < device->threads; thread++)
        *flops += m.rates[thread];
    return TL_OK;
}
