/* elementwise.c: loops over flat arrays; compiled for each instruction set. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

/* `value` is a vector of the result from element i on; the rest below a vector is left to the caller.
 * `ahead` fetches what will be loaded. */
#define FLAT_LOOP(out, ahead, value)                 \
    do {                                             \
        size_t whole = count / VL * VL, i = 0;       \
        if (stream) {                                \
            for (; i < whole; i += VL) {             \
                ahead;                               \
                v_stream((out) + i, (value));        \
            }                                        \
            v_fence();                               \
        } else {                                     \
            for (; i < whole; i += VL)               \
                v_store((out) + i, (value));         \
        }                                            \
    } while (0)

static inline float relu1(float x) {
    return x < 0 ? 0 : x;
}

void CPU_NAME(relu)(float *y, const float *x, size_t count, int stream) {
    FLAT_LOOP(y, (void)0, v_relu(v_load(x + i)));
    for (size_t i = count / VL * VL; i < count; i++)
        y[i] = relu1(x[i]);
}

void CPU_NAME(relu_grad)(float *dx, const float *dy, const float *y, size_t count, int stream) {
    FLAT_LOOP(dx, (v_ahead(y + i), v_ahead(dy + i)), v_keep(v_load(y + i) > 0, v_load(dy + i)));
    for (size_t i = count / VL * VL; i < count; i++)
        dx[i] = y[i] > 0 ? dy[i] : 0;
}

void CPU_NAME(add)(float *y, const float *a, const float *b, size_t count, int relu, int stream) {
    if (relu)
        FLAT_LOOP(y, (void)0, v_relu(v_load(a + i) + v_load(b + i)));
    else
        FLAT_LOOP(y, (void)0, v_load(a + i) + v_load(b + i));
    for (size_t i = count / VL * VL; i < count; i++)
        y[i] = relu ? relu1(a[i] + b[i]) : a[i] + b[i];
}
