/* conv2d_grad_weight_spread.c: conv2d_grad_weight for groups of few channels, as many in as out: one group at a time
 * would leave most of a vector empty. Threads share the vectors of channels, and chunks of pixels as in
 * conv2d_grad_weight.c. */
#include <string.h>

#include "backends/cpu/conv2d.h"
#include "backends/cpu/kernels.h"

enum { X, DY, DW, DBIAS };

#define BLOCK 128         /* pixels at a time */
#define ENOUGH 64         /* vectors; so many need no chunks */
#define CHUNK_PIXELS 2048 /* the least worth a chunk */

typedef struct plan {
    cpu_conv2d_shape shape;
    int64_t pixels, taps, depth;
    int64_t vectors;      /* of channels */
    int64_t sums;         /* floats of a vector's sums: [taps][depth][lanes] */
    int64_t chunks;
    size_t scratch_bytes; /* for each thread: pointers to the rows of a block, sums */
    float zeros[];        /* a pixel outside */
} plan;

typedef struct job {
    cpu_kernel *kernel;
    const plan *plan;
    float *partial; /* chunks of dw, or dw itself */
    char *scratch;
    int64_t parts;  /* of the vectors */
} job;

/* rows[tap][pixel] for pixels first .. first + count - 1 of dy. */
static void point(const plan *p, const float *x, int64_t first, int64_t count, const float **rows) {
    const cpu_conv2d_shape *s = &p->shape;
    int64_t out_x = first % s->out_width, out_y = first / s->out_width % s->out_height;
    int64_t n = first / s->out_width / s->out_height;
    for (int64_t i = 0; i < count; i++) {
        const float **row = rows + i;
        for (int64_t a = 0; a < s->kernel[0]; a++)
            for (int64_t b = 0; b < s->kernel[1]; b++, row += BLOCK) {
                int64_t from_y = out_y * s->stride[0] - s->pad[0] + a * s->dilation[0];
                int64_t from_x = out_x * s->stride[1] - s->pad[1] + b * s->dilation[1];
                bool inside = (uint64_t)from_y < (uint64_t)s->height && (uint64_t)from_x < (uint64_t)s->width;
                *row = inside ? x + ((n * s->height + from_y) * s->width + from_x) * s->channels : p->zeros;
            }
        if (++out_x == s->out_width) {
            out_x = 0;
            if (++out_y == s->out_height) {
                out_y = 0;
                n++;
            }
        }
    }
}

/* dw[channel][tap][k] from one vector's sums. */
static void scatter(const plan *p, int64_t lanes, int64_t first, const float *sums, float *dw) {
    for (int64_t l = 0; l < lanes && first + l < p->shape.out_channels; l++)
        for (int64_t i = 0; i < p->taps * p->depth; i++)
            dw[(first + l) * p->taps * p->depth + i] = sums[i * lanes + l];
}

/* Items: (chunk, part of the vectors). */
static void body(void *user, int64_t first, int64_t last, int thread) {
    const job *j = user;
    const plan *p = j->plan;
    const cpu_kernels *kernels = j->kernel->device->kernels;
    const int64_t channels = p->shape.channels, lanes = kernels->lanes;
    const float **rows = (const float **)(j->scratch + (size_t)thread * p->scratch_bytes);
    float *sums = (float *)(rows + p->taps * BLOCK);
    for (int64_t item = first; item < last; item++) {
        int64_t chunk = item / j->parts, part = item % j->parts;
        int64_t begin = p->pixels * chunk / p->chunks, end = p->pixels * (chunk + 1) / p->chunks;
        int64_t vector = p->vectors * part / j->parts, vector_end = p->vectors * (part + 1) / j->parts;
        for (int64_t at = begin; at < end; at += BLOCK) {
            cpu_gemm_spread_outer outer = {
                .rows = rows,
                .rows_step = BLOCK,
                .dy_step = channels,
                .count = end - at < BLOCK ? end - at : BLOCK,
                .taps = p->taps,
                .depth = p->depth,
                .add = at > begin,
            };
            point(p, j->kernel->ptr[X], at, outer.count, rows);
            for (int64_t v = vector; v < vector_end; v++) {
                outer.offset = v * lanes;
                outer.dy = (const float *)j->kernel->ptr[DY] + at * channels + v * lanes;
                outer.sums = sums + (v - vector) * p->sums;
                kernels->gemm_spread_outer(&outer);
            }
        }
        for (int64_t v = vector; v < vector_end; v++)
            scatter(p, lanes, v * lanes, sums + (v - vector) * p->sums,
                    j->partial + chunk * channels * p->taps * p->depth);
    }
}

static void run(cpu_kernel *kernel) {
    const plan *p = kernel->data;
    const cpu_device *device = kernel->device;
    const int64_t count = p->shape.channels * p->taps * p->depth;
    job j = {.kernel = kernel, .plan = p, .partial = kernel->ptr[DW], .scratch = kernel->workspace};
    if (p->chunks > 1)
        j.partial = (float *)(j.scratch + (size_t)device->threads * p->scratch_bytes);
    j.parts = (device->threads + p->chunks - 1) / p->chunks;
    if (j.parts > p->vectors)
        j.parts = p->vectors;
    tl__cpu_parallel(device, p->chunks * j.parts, 1, body, &j);
    float *dw = kernel->ptr[DW];
    if (p->chunks > 1)
        memcpy(dw, j.partial, (size_t)count * sizeof(float));
    for (int64_t c = 1; c < p->chunks; c++)
        for (int64_t i = 0; i < count; i++)
            dw[i] += j.partial[c * count + i];
}

tl_status tl__cpu_conv2d_grad_weight_spread_prepare(cpu_kernel *kernel) {
    cpu_device *device = kernel->device;
    const int64_t lanes = device->kernels->lanes;
    cpu_conv2d_shape s;
    tl_status status = tl__cpu_expect(kernel, "ffff");
    if (status == TL_OK)
        status = tl__cpu_conv2d_shape(kernel, X, DW, DY, &s);
    if (status != TL_OK)
        return status;
    if (s.groups == 1 || s.group_channels != s.group_outputs || lanes % s.group_channels || !cpu_present(kernel, DW) ||
        cpu_present(kernel, DBIAS))
        return tl__cpu_fail(device, TL_UNSUPPORTED, "cpu: conv2d_grad_weight: not groups of few channels");
    const int64_t zeros = cpu_round_up(s.channels, lanes);
    plan *p = kernel->data = tl__cpu_allocate(device, sizeof(*p) + (size_t)zeros * sizeof(float));
    if (!p)
        return TL_ERROR_MEMORY;
    *p = (plan){.shape = s, .pixels = s.images * s.out_height * s.out_width, .depth = s.group_channels};
    memset(p->zeros, 0, (size_t)zeros * sizeof(float));
    p->taps = s.kernel[0] * s.kernel[1];
    p->vectors = zeros / lanes;
    p->sums = p->taps * p->depth * lanes;
    int64_t most = p->pixels / CHUNK_PIXELS;
    p->chunks = (ENOUGH + p->vectors - 1) / p->vectors;
    if (p->chunks > most)
        p->chunks = most < 1 ? 1 : most;
    p->scratch_bytes = (size_t)cpu_round_up(p->taps * BLOCK * (int64_t)sizeof(float *) +
                                            p->vectors * p->sums * (int64_t)sizeof(float), CPU_ALIGNMENT);
    kernel->base.workspace = (uint64_t)device->threads * p->scratch_bytes;
    if (p->chunks > 1)
        kernel->base.workspace += (uint64_t)(p->chunks * s.channels * p->taps * p->depth) * sizeof(float);
    kernel->run = run;
    return TL_OK;
}
