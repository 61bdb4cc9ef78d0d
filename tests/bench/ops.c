/* ops.c: how fast single operations run: memory traffic in GB/s (what must be read and written, once each) and, for
 * convolutions, GFLOP/s. On the CPU, with the instruction set and threads that the arguments or the defaults name, or on
 * the device with that index of the backend in FILE:
 *
 *     tests/bench/ops [--isa NAME] [--threads N] [--plugin FILE] [--index N] [--filter TEXT] [--seconds S] [--batch N]
 *
 * Not a test: it is built by `make check` and run by hand. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/ops/harness.h"

const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);

static t_device *device;
static const char *filter;
static double seconds = 0.3;
static int batch = 32;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Small numbers around zero as floats; as integers small positive ones. */
static void fill(t_operand *o) {
    int64_t count = t_count(&o->desc);
    for (int64_t i = 0; i < count; i++)
        switch (o->desc.dtype) {
        case TL_DTYPE_F32:
            ((float *)o->data)[i] = (float)((i * 2654435761u >> 7 & 1023) / 512.0 - 0.75);
            break;
        case TL_DTYPE_I32:
            ((int32_t *)o->data)[i] = (int32_t)(i % 2);
            break;
        case TL_DTYPE_U8:
            ((uint8_t *)o->data)[i] = (uint8_t)(i % 9);
            break;
        }
}

/* The best of many runs, in seconds; below 0 where it does not work. */
static double measure(tl_backend_device *d, tl_backend_kernel *kernel, tl_backend_queue *queue) {
    double best = 1e9, begin = now();
    for (int runs = 0; runs < 3 || now() - begin < seconds; runs++) {
        double start = now();
        if (kernel->ops->enqueue(kernel, queue) != TL_OK || d->ops->queue_finish(queue) != TL_OK)
            return -1;
        double time = now() - start;
        best = time < best ? time : best;
    }
    return best;
}

static void bench(t_op *op, double gflop, const char *name) {
    tl_operand operands[T_OPERANDS] = {0};
    tl_view views[T_OPERANDS + 1] = {0};
    tl_backend_device *d = t_device_handle(device);
    tl_backend_kernel *kernel = NULL;
    tl_backend_queue *queue = NULL;
    double bytes = 0;
    int count = op->inputs + op->outputs;
    if (filter && !strstr(name, filter))
        return;
    for (int i = 0; i < count; i++)
        operands[i].desc = op->operand[i].desc;
    bool ok = d->ops->queue_create(d, &queue) == TL_OK &&
              d->ops->prepare(d, &op->desc, operands, (uint32_t)op->inputs, (uint32_t)op->outputs, &kernel) == TL_OK;
    for (int i = 0; ok && i <= count; i++) {
        uint64_t size = i == count ? kernel->workspace : 0;
        if (i < count && operands[i].desc.dtype != TL_DTYPE_NONE)
            size = (uint64_t)t_count(&operands[i].desc) * t_size(operands[i].desc.dtype);
        if (size == 0)
            continue;
        int share = i >= op->inputs && i < count ? op->shares[i - op->inputs] : 0;
        bytes += i < count ? (double)size : 0;
        if (share) {
            views[i] = views[share - 1];
            continue;
        }
        views[i].bytes = size;
        ok = d->ops->buffer_create(d, size, &views[i].buffer) == TL_OK;
        if (ok && i < op->inputs) {
            fill(&op->operand[i]);
            ok = d->ops->queue_write(queue, &views[i], op->operand[i].data) == TL_OK;
        }
    }
    double time = ok && kernel->ops->bind(kernel, views) == TL_OK ? measure(d, kernel, queue) : -1;
    if (time < 0)
        printf("%-52s %s\n", name, t_failure());
    else if (gflop > 0)
        printf("%-52s %9.3f ms %8.1f GFLOP/s\n", name, time * 1e3, gflop / time);
    else
        printf("%-52s %9.3f ms %8.1f GB/s\n", name, time * 1e3, bytes * 1e-9 / time);
    for (int i = 0; i <= count; i++)
        if (views[i].buffer && !(i >= op->inputs && i < count && op->shares[i - op->inputs]))
            d->ops->buffer_destroy(d, views[i].buffer);
    if (kernel)
        kernel->ops->release(kernel);
    if (queue)
        d->ops->queue_destroy(d, queue);
}

/* An operation on maps [n,h,w,c]: `operands` has a letter for each: x the maps, c [c], - absent. */
static void maps(tl_op which, const char *operands, int form, int n, int h, int w, int c) {
    static const char *const stems[] = {
#define T_STEM(NAME, stem, inputs, outputs) #stem,
        TL_OP_LIST(T_STEM)
#undef T_STEM
    };
    t_op op;
    char name[128];
    t_begin(&op, which);
    op.desc.eps = 1e-5f;
    op.desc.momentum = 0.1f;
    op.desc.relu = 1;
    op.desc.statistics = form & 1;
    op.desc.p = 0.5f;
    for (int i = 0; operands[i]; i++)
        if (operands[i] == 'x')
            t_give(&op, i, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
        else if (operands[i] == 'c')
            t_give(&op, i, TL_DTYPE_F32, T_SHAPE(c));
        else if (operands[i] == '4')
            t_give(&op, i, TL_DTYPE_I32, T_SHAPE(4));
    op.shares[0] = form >> 1;
    snprintf(name, sizeof(name), "%s%s%s %dx%dx%dx%d %s", stems[which], form & 1 ? " batch" : "",
             form >> 1 ? " in place" : "", n, h, w, c, operands);
    bench(&op, 0, name);
    t_end(&op);
}

static void pools(int n, int h, int w, int c) {
    for (int grad = 0; grad < 2; grad++) {
        t_op op;
        char name[128];
        t_begin(&op, grad ? TL_OP_MAXPOOL2D_GRAD : TL_OP_MAXPOOL2D);
        for (int i = 0; i < 2; i++) {
            op.desc.kernel[i] = 3;
            op.desc.stride[i] = 2;
            op.desc.pad[i] = 1;
        }
        t_give(&op, grad ? 2 : 0, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
        t_give(&op, grad ? 0 : 1, TL_DTYPE_F32, T_SHAPE(n, h / 2, w / 2, c));
        t_give(&op, grad ? 1 : 2, TL_DTYPE_U8, T_SHAPE(n, h / 2, w / 2, c));
        snprintf(name, sizeof(name), "maxpool2d%s 3x3 s2 %dx%dx%dx%d", grad ? "_grad" : "", n, h, w, c);
        bench(&op, 0, name);
        t_end(&op);
        t_begin(&op, grad ? TL_OP_AVGPOOL2D_GRAD : TL_OP_AVGPOOL2D);
        t_give(&op, grad, TL_DTYPE_F32, T_SHAPE(n, 7, 7, 2048));
        t_give(&op, !grad, TL_DTYPE_F32, T_SHAPE(n, 1, 1, 2048));
        snprintf(name, sizeof(name), "avgpool2d%s %dx7x7x2048", grad ? "_grad" : "", n);
        bench(&op, 0, name);
        t_end(&op);
    }
}

static void losses(int n, int h, int w, int k) {
    for (int grad = 0; grad < 2; grad++) {
        t_op op;
        char name[128];
        t_begin(&op, grad ? TL_OP_CROSS_ENTROPY_GRAD : TL_OP_CROSS_ENTROPY);
        op.desc.scale = 1;
        op.desc.ignore_index = -1;
        t_give(&op, 0, TL_DTYPE_F32, T_SHAPE(n, h, w, k));
        t_give(&op, 1, TL_DTYPE_I32, T_SHAPE(n, h, w));
        t_give(&op, 3, TL_DTYPE_F32, T_SHAPE(4));
        if (grad)
            t_give(&op, 4, TL_DTYPE_F32, T_SHAPE(n, h, w, k));
        snprintf(name, sizeof(name), "cross_entropy%s %dx%dx%dx%d", grad ? "_grad" : "", n, h, w, k);
        bench(&op, 0, name);
        t_end(&op);
    }
}

static void others(void) {
    t_op op;
    t_begin(&op, TL_OP_NORMALIZE);
    t_give(&op, 0, TL_DTYPE_U8, T_SHAPE(batch, 224, 224, 3));
    t_give(&op, 1, TL_DTYPE_F32, T_SHAPE(3, 256));
    t_give(&op, 2, TL_DTYPE_F32, T_SHAPE(batch, 224, 224, 3));
    bench(&op, 0, "normalize 224x224x3");
    t_end(&op);
    t_begin(&op, TL_OP_ADAM);
    const int64_t count = 25000000;
    for (int i = 0; i < 4; i++)
        t_give(&op, i, TL_DTYPE_F32, T_SHAPE(count));
    t_give(&op, 4, TL_DTYPE_I64, T_SHAPE(2));
    ((int64_t *)op.operand[4].data)[1] = count;
    t_give(&op, 5, TL_DTYPE_F32, T_SHAPE(1, 8));
    bench(&op, 0, "adam 25 million, read once");
    t_end(&op);
}

static void convolution(int n, int h, int w, int c, int o, int k, int stride, int pad, int groups) {
    static const tl_op ops[] = {TL_OP_CONV2D, TL_OP_CONV2D_GRAD_INPUT, TL_OP_CONV2D_GRAD_WEIGHT};
    static const char *const names[] = {"conv2d", "conv2d_grad_input", "conv2d_grad_weight"};
    static const char *const operands[] = {"xw--y", "yw--x", "xyw-"};
    int oh = (h + 2 * pad - k) / stride + 1, ow = (w + 2 * pad - k) / stride + 1;
    for (int which = 0; which < 3; which++) {
        t_op op;
        char name[128];
        t_begin(&op, ops[which]);
        for (int i = 0; i < 2; i++) {
            op.desc.kernel[i] = k;
            op.desc.stride[i] = stride;
            op.desc.pad[i] = pad;
            op.desc.dilation[i] = 1;
        }
        op.desc.groups = groups;
        for (int i = 0; operands[which][i]; i++)
            if (operands[which][i] == 'x')
                t_give(&op, i, TL_DTYPE_F32, T_SHAPE(n, h, w, c));
            else if (operands[which][i] == 'y')
                t_give(&op, i, TL_DTYPE_F32, T_SHAPE(n, oh, ow, o));
            else if (operands[which][i] == 'w')
                t_give(&op, i, TL_DTYPE_F32, T_SHAPE(o, k, k, c / groups));
        snprintf(name, sizeof(name), "%s %dx%dx%dx%d -> %d %dx%d s%d g%d", names[which], n, h, w, c, o, k, k, stride,
                 groups);
        bench(&op, 2e-9 * n * oh * ow * o * k * k * c / groups, name);
        t_end(&op);
    }
}

static void all(void) {
    static const int sizes[][3] = {{112, 112, 64}, {56, 56, 256}, {28, 28, 512}, {14, 14, 1024}, {7, 7, 2048},
                                   {7, 7, 512}};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const int *s = sizes[i];
        maps(TL_OP_BATCHNORM, "xcccc-x", 0, batch, s[0], s[1], s[2]);
        maps(TL_OP_BATCHNORM, "xcccc-xcc", 1, batch, s[0], s[1], s[2]);
        maps(TL_OP_BATCHNORM, "xccccxxcc", 1, batch, s[0], s[1], s[2]);
        maps(TL_OP_BATCHNORM_GRAD, "xxcccxx", 0, batch, s[0], s[1], s[2]);
        maps(TL_OP_BATCHNORM_GRAD, "xxcccxxcc", 0, batch, s[0], s[1], s[2]);
        maps(TL_OP_BATCHNORM_GRAD, "xxcccxxcc", 1, batch, s[0], s[1], s[2]);
    }
    maps(TL_OP_RELU, "xx", 0, batch, 56, 56, 256);
    maps(TL_OP_RELU, "xx", 2, batch, 56, 56, 256);
    maps(TL_OP_RELU_GRAD, "xxx", 0, batch, 56, 56, 256);
    maps(TL_OP_ADD, "xxx", 0, batch, 56, 56, 256);
    maps(TL_OP_DROPOUT, "x4x", 0, batch, 28, 28, 512);
    pools(batch, 112, 112, 64);
    losses(batch, 224, 224, 21);
    losses(batch, 1, 1, 1000);
    others();
    convolution(batch, 56, 56, 64, 64, 1, 1, 0, 1);
    convolution(batch, 56, 56, 64, 64, 3, 1, 1, 1);
    convolution(batch, 28, 28, 128, 512, 1, 1, 0, 1);
    convolution(batch, 14, 14, 256, 256, 3, 1, 1, 1);
    convolution(batch, 224, 224, 3, 64, 7, 2, 3, 1);
    convolution(batch, 56, 56, 128, 128, 3, 1, 1, 32);
}

int main(int argc, char **argv) {
    const char *isa = NULL, *threads = "0", *plugin = NULL, *index = "0";
    for (int i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--isa") == 0)
            isa = argv[i + 1];
        else if (strcmp(argv[i], "--threads") == 0)
            threads = argv[i + 1];
        else if (strcmp(argv[i], "--plugin") == 0)
            plugin = argv[i + 1];
        else if (strcmp(argv[i], "--index") == 0)
            index = argv[i + 1];
        else if (strcmp(argv[i], "--filter") == 0)
            filter = argv[i + 1];
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = atof(argv[i + 1]);
        else if (strcmp(argv[i], "--batch") == 0)
            batch = atoi(argv[i + 1]);
    const tl_backend *backend = plugin ? t_backend_load(plugin) : tl__backend_entry_cpu(TL_BACKEND_ABI, t_host());
    device = backend ? t_device_open(backend, (uint32_t)atoi(index), isa, atoi(threads)) : NULL;
    if (!device) {
        fprintf(stderr, "%s\n", t_failure());
        return 1;
    }
    all();
    t_device_close(device);
    return 0;
}
