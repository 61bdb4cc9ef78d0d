/* canary_blas.c: the look at CLBlast's matrix products. */
#include <math.h>
#include <stdio.h>

#include "backends/opencl/blas.h"
#include "backends/opencl/canary.h"

#define DIRECT 67
#define LARGEST 2048 /* of the sizes at which the indirect way is looked for */
#define SPOTS 500

typedef struct square {
    int64_t n;
    float *a, *b, *c;
    cl_mem memory[4]; /* a, b, c, temporary */
} square;

static uint32_t next(uint32_t *state) {
    *state = *state * 1664525u + 1013904223u;
    return *state >> 8;
}

/* Integers, of which every sum is exact, or numbers of 24 bits, which show arithmetic of fewer. */
static void fill(float *x, int64_t count, bool integers, uint32_t state) {
    for (int64_t i = 0; i < count; i++)
        x[i] = integers ? (float)(next(&state) % 7) - 3.0f : (float)next(&state) / 8388608.0f - 1.0f;
}

static void square_release(opencl_device *device, square *s) {
    for (int i = 0; i < 4; i++)
        if (s->memory[i] && tl__opencl_alive(device))
            clReleaseMemObject(s->memory[i]);
    tl__opencl_release(device, s->a);
    tl__opencl_release(device, s->b);
    tl__opencl_release(device, s->c);
}

static tl_status memory(opencl_device *device, size_t bytes, void *contents, cl_mem *out) {
    cl_int code;
    cl_mem made = clCreateBuffer(device->context, CL_MEM_READ_WRITE | (contents ? CL_MEM_COPY_HOST_PTR : 0), bytes,
                                 contents, &code);
    if (code != CL_SUCCESS)
        return tl__opencl_check(device, code, "clCreateBuffer", "the check of CLBlast");
    *out = made;
    return TL_OK;
}

static tl_status square_make(opencl_device *device, int64_t n, size_t temporary, square *s) {
    size_t bytes = (size_t)(n * n) * sizeof(float);
    *s = (square){.n = n};
    s->a = tl__opencl_allocate(device, bytes);
    s->b = s->a ? tl__opencl_allocate(device, bytes) : NULL;
    s->c = s->b ? tl__opencl_allocate(device, bytes) : NULL;
    if (!s->c)
        return TL_ERROR_MEMORY;
    fill(s->a, n * n, temporary > 0, 1);
    fill(s->b, n * n, temporary > 0, 2);
    for (int64_t i = 0; i < n * n; i++)
        s->c[i] = NAN;
    tl_status status = memory(device, bytes, s->a, &s->memory[0]);
    if (status == TL_OK)
        status = memory(device, bytes, s->b, &s->memory[1]);
    if (status == TL_OK)
        status = memory(device, bytes, s->c, &s->memory[2]);
    if (status == TL_OK && temporary)
        status = memory(device, temporary, NULL, &s->memory[3]);
    return status;
}

/* Element (i, j) against a sum in double: within what rounding n sums of floats can do, which is nothing for integers. */
static bool right(const square *s, int64_t i, int64_t j, bool integers, char *text, size_t size) {
    double sum = 0, all = 0, got = s->c[i * s->n + j];
    for (int64_t k = 0; k < s->n; k++) {
        double product = (double)s->a[i * s->n + k] * s->b[k * s->n + j];
        sum += product;
        all += fabs(product);
    }
    double tolerance = integers ? 0 : all * (double)s->n / 16777216.0;
    if (fabs(got - sum) <= tolerance)
        return true;
    snprintf(text, size, "a product of two matrices of %lld x %lld: element %lld, %lld is %.9g and should be %.9g",
             (long long)s->n, (long long)s->n, (long long)i, (long long)j, got, sum);
    return false;
}

/* Borders and their neighbours whole, and spots in between. */
static bool all_right(const square *s, bool integers, char *text, size_t size) {
    int64_t n = s->n;
    const int64_t lines[] = {0, 1, n / 2, n - 1};
    uint32_t state = 3;
    for (size_t l = 0; l < sizeof(lines) / sizeof(lines[0]); l++)
        for (int64_t i = 0; i < n; i++)
            if (!right(s, lines[l], i, integers, text, size) || !right(s, i, lines[l], integers, text, size))
                return false;
    for (int i = 0; i < SPOTS; i++) {
        int64_t row = next(&state) % n, column = next(&state) % n;
        if (!right(s, row, column, integers, text, size))
            return false;
    }
    return true;
}

/* `text` is "" where the product is right. */
static tl_status look(opencl_device *device, int64_t n, size_t temporary, char *text, size_t size) {
    square s;
    cl_int code;
    tl_status status = square_make(device, n, temporary, &s);
    cl_command_queue queue = NULL;
    if (status == TL_OK) {
        queue = clCreateCommandQueue(device->context, device->id, 0, &code);
        status = tl__opencl_check(device, code, "clCreateCommandQueue", "the check of CLBlast");
    }
    if (status == TL_OK)
        status = tl__opencl_blas_run(device, queue, n, s.memory[0], s.memory[1], s.memory[2], s.memory[3]);
    if (status == TL_OK)
        status = tl__opencl_check(device, clEnqueueReadBuffer(queue, s.memory[2], CL_TRUE, 0,
                                                              (size_t)(n * n) * sizeof(float), s.c, 0, NULL, NULL),
                                  "clEnqueueReadBuffer", "the check of CLBlast");
    text[0] = '\0';
    if (status == TL_OK)
        all_right(&s, temporary > 0, text, size);
    if (queue && tl__opencl_alive(device))
        clReleaseCommandQueue(queue);
    square_release(device, &s);
    return status;
}

static tl_status look_at_both(opencl_device *device, int *trust, char *text, size_t size) {
    size_t temporary = 0;
    *trust = OPENCL_TRUST_NONE;
    tl_status status = look(device, DIRECT, 0, text, size);
    if (status != TL_OK || text[0])
        return status;
    *trust = OPENCL_TRUST_DIRECT;
    int64_t n = 128;
    while ((status = tl__opencl_blas_temporary(device, n, &temporary)) == TL_OK && temporary == 0 && n < LARGEST)
        n *= 2;
    if (status != TL_OK || temporary == 0)
        return status;
    /* Not a multiple of any tile, so that filling up and cutting off are part of it. */
    status = tl__opencl_blas_temporary(device, n + 3, &temporary);
    if (status == TL_OK && temporary)
        status = look(device, n + 3, temporary, text, size);
    if (status == TL_OK && temporary && !text[0])
        *trust = OPENCL_TRUST_ALL;
    return status;
}

tl_status tl__opencl_canary_blas(opencl_device *device, int *trust) {
    char text[256] = "", line[384];
    int found = OPENCL_TRUST_ALL;
    if (tl__opencl_canary_stamped(device, "clblast")) {
        *trust = found;
        return TL_OK;
    }
    tl_status status = look_at_both(device, &found, text, sizeof(text));
    if (status == TL_ERROR_MEMORY || (status != TL_OK && device->lost))
        return status;
    if (status != TL_OK)
        found = OPENCL_TRUST_NONE;
    if (text[0]) {
        snprintf(line, sizeof(line), "CLBlast is %s: %s", tl__opencl_canary_trusting(device) ? "wrong here" : "not used",
                 text);
        device->host->log(device->host->user, TL_LOG_WARNING, line);
        if (tl__opencl_canary_trusting(device))
            found = OPENCL_TRUST_ALL;
    } else if (status != TL_OK) {
        snprintf(line, sizeof(line), "CLBlast is not used: %.300s", device->failure);
        device->host->log(device->host->user, TL_LOG_WARNING, line);
    } else if (found == OPENCL_TRUST_ALL) {
        tl__opencl_canary_stamp(device, "clblast");
    }
    *trust = found;
    return TL_OK;
}
