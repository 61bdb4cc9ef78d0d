/* conv2d_grad_bias.c: the gradient by a convolution's bias: sums of dy over all pixels, in chunks of a number that depends
 * on the shape alone, which are added up in order. */
#include <string.h>

#include "backends/cpu/conv2d.h"

#define CHUNKS 64
#define CHUNK_PIXELS 16 /* the least worth a chunk */

typedef struct job {
    const float *dy;
    float *partial; /* [chunk][channel] */
    int64_t pixels, channels, chunks;
} job;

static int64_t pixels_of(const cpu_conv2d_shape *s) {
    return s->images * s->out_height * s->out_width;
}

static int64_t chunks_of(const cpu_conv2d_shape *s) {
    int64_t pixels = pixels_of(s);
    return pixels < CHUNK_PIXELS * CHUNKS ? (pixels + CHUNK_PIXELS - 1) / CHUNK_PIXELS : CHUNKS;
}

uint64_t tl__cpu_conv2d_grad_bias_bytes(const cpu_kernel *kernel, int dbias, const cpu_conv2d_shape *shape) {
    if (!cpu_present(kernel, dbias))
        return 0;
    return (uint64_t)cpu_round_up(chunks_of(shape) * shape->out_channels * (int64_t)sizeof(float), CPU_ALIGNMENT);
}

/* Items: chunks. */
static void body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    (void)thread;
    for (int64_t chunk = first; chunk < last; chunk++) {
        int64_t pixel = j->pixels * chunk / j->chunks, end = j->pixels * (chunk + 1) / j->chunks;
        const float *dy = j->dy + pixel * j->channels;
        float *restrict sum = j->partial + chunk * j->channels;
        memcpy(sum, dy, (size_t)j->channels * sizeof(float));
        while (++pixel < end) {
            dy += j->channels;
            for (int64_t o = 0; o < j->channels; o++)
                sum[o] += dy[o];
        }
    }
}

void tl__cpu_conv2d_grad_bias(cpu_kernel *kernel, int dy, int dbias, const cpu_conv2d_shape *shape) {
    job j = {kernel->ptr[dy], (float *)kernel->workspace, pixels_of(shape), shape->out_channels, chunks_of(shape)};
    float *sums = kernel->ptr[dbias];
    int64_t grain = (1 << 16) / (j.pixels / j.chunks * j.channels) + 1;
    tl__cpu_parallel(kernel->device, j.chunks, grain, body, &j);
    memcpy(sums, j.partial, (size_t)j.channels * sizeof(float));
    for (int64_t c = 1; c < j.chunks; c++)
        for (int64_t o = 0; o < j.channels; o++)
            sums[o] += j.partial[c * j.channels + o];
}
