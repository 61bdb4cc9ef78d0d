/* conv.c: how fast the convolutions of a network are, on the CPU or another backend's first device: GFLOP/s of each distinct layer, forward and backward,
 * beside the machine's peak measured next to it.
 *
 *     tests/bench/conv [--net resnet50|vgg16|resnext50] [--batch N] [--threads N] [--isa NAME] [--rounds N]
 *                      [--layer TEXT] [--training] [--plugin FILE]
 *                      [--shared]
 *
 * Each number is the best of the rounds; with one thread it counts the time that the thread was running. --training
 * packs the weights in every run, as where they
 * train. --shared is for a machine that others use too: it counts the process's time, shared evenly by the threads. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/bench/peak.h"
#include "tests/ops/harness.h"

const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);

typedef struct layer {
    const char *name;
    int size, channels, outputs, kernel, stride, groups;
    int count;    /* how often it is in the network */
    int residual; /* one is added at the end */
} layer;

static const layer resnet50[] = {
    {"conv1", 224, 3, 64, 7, 2, 1, 1, 0},
    {"layer1.0.conv1", 56, 64, 64, 1, 1, 1, 1, 0},
    {"layer1.x.conv1", 56, 256, 64, 1, 1, 1, 2, 0},
    {"layer1.x.conv2", 56, 64, 64, 3, 1, 1, 3, 0},
    {"layer1.x.conv3", 56, 64, 256, 1, 1, 1, 3, 1},
    {"layer1.0.down", 56, 64, 256, 1, 1, 1, 1, 0},
    {"layer2.0.conv1", 56, 256, 128, 1, 1, 1, 1, 0},
    {"layer2.0.conv2", 56, 128, 128, 3, 2, 1, 1, 0},
    {"layer2.0.down", 56, 256, 512, 1, 2, 1, 1, 0},
    {"layer2.x.conv1", 28, 512, 128, 1, 1, 1, 3, 0},
    {"layer2.x.conv2", 28, 128, 128, 3, 1, 1, 3, 0},
    {"layer2.x.conv3", 28, 128, 512, 1, 1, 1, 4, 1},
    {"layer3.0.conv1", 28, 512, 256, 1, 1, 1, 1, 0},
    {"layer3.0.conv2", 28, 256, 256, 3, 2, 1, 1, 0},
    {"layer3.0.down", 28, 512, 1024, 1, 2, 1, 1, 0},
    {"layer3.x.conv1", 14, 1024, 256, 1, 1, 1, 5, 0},
    {"layer3.x.conv2", 14, 256, 256, 3, 1, 1, 5, 0},
    {"layer3.x.conv3", 14, 256, 1024, 1, 1, 1, 6, 1},
    {"layer4.0.conv1", 14, 1024, 512, 1, 1, 1, 1, 0},
    {"layer4.0.conv2", 14, 512, 512, 3, 2, 1, 1, 0},
    {"layer4.0.down", 14, 1024, 2048, 1, 2, 1, 1, 0},
    {"layer4.x.conv1", 7, 2048, 512, 1, 1, 1, 2, 0},
    {"layer4.x.conv2", 7, 512, 512, 3, 1, 1, 2, 0},
    {"layer4.x.conv3", 7, 512, 2048, 1, 1, 1, 3, 1},
    {"fc", 1, 2048, 1000, 1, 1, 1, 1, 0},
    {0},
};

static const layer vgg16[] = {
    {"features.0", 224, 3, 64, 3, 1, 1, 1, 0},     {"features.2", 224, 64, 64, 3, 1, 1, 1, 0},
    {"features.5", 112, 64, 128, 3, 1, 1, 1, 0},   {"features.7", 112, 128, 128, 3, 1, 1, 1, 0},
    {"features.10", 56, 128, 256, 3, 1, 1, 1, 0},  {"features.12", 56, 256, 256, 3, 1, 1, 2, 0},
    {"features.17", 28, 256, 512, 3, 1, 1, 1, 0},  {"features.19", 28, 512, 512, 3, 1, 1, 2, 0},
    {"features.24", 14, 512, 512, 3, 1, 1, 3, 0},  {"classifier.0", 7, 512, 4096, 7, 1, 1, 1, 0},
    {"classifier.3", 1, 4096, 4096, 1, 1, 1, 1, 0}, {"classifier.6", 1, 4096, 1000, 1, 1, 1, 1, 0},
    {0},
};

static const layer resnext50[] = {
    {"layer1.x.conv2", 56, 128, 128, 3, 1, 32, 3, 0},   {"layer2.0.conv2", 56, 256, 256, 3, 2, 32, 1, 0},
    {"layer2.x.conv2", 28, 256, 256, 3, 1, 32, 3, 0},   {"layer3.0.conv2", 28, 512, 512, 3, 2, 32, 1, 0},
    {"layer3.x.conv2", 14, 512, 512, 3, 1, 32, 5, 0},   {"layer4.0.conv2", 14, 1024, 1024, 3, 2, 32, 1, 0},
    {"layer4.x.conv2", 7, 1024, 1024, 3, 1, 32, 2, 0},  {0},
};

static const struct {
    const char *name;
    const layer *layers;
} nets[] = {{"resnet50", resnet50}, {"vgg16", vgg16}, {"resnext50", resnext50}};

static int batch = 8, threads = 1, rounds = 5, training, shared_machine;
static const char *isa, *wanted, *plugin;

/* ---- one operation ---- */

static tl_status read_constant(const tl_constant *constant, const void **data) {
    *data = constant + 1;
    return TL_OK;
}

static void check(tl_status status, const char *what) {
    if (status == TL_OK)
        return;
    fprintf(stderr, "bench: %s: %s\n", what, t_failure());
    exit(1);
}

static void write_random(tl_backend_device *handle, tl_backend_queue *queue, const tl_view *view, int64_t elements) {
    float *values = t_allocate((size_t)elements * sizeof(float));
    t_fill(values, elements, -1, 1);
    check(handle->ops->queue_write(queue, view, values), "write");
    free(values);
}

/* Seconds of the best round. Shapes with rank 0 are absent operands; output `shared` is in the place of input
 * `with`. */
static double measure(t_device *device, const tl_op_desc *op, int64_t (*shapes)[5], int inputs, int outputs,
                      int constant, int shared, int with) {
    tl_backend_device *handle = t_device_handle(device);
    tl_operand operands[T_OPERANDS] = {0};
    tl_view views[T_OPERANDS + 1] = {0};
    tl_backend_kernel *kernel;
    tl_backend_queue *queue;
    tl_constant *weights = NULL;
    int count = inputs + outputs;
    check(handle->ops->queue_create(handle, &queue), "queue");
    for (int i = 0; i < count; i++) {
        if (!shapes[i][0])
            continue;
        int64_t elements = 1;
        operands[i].desc = (tl_tensor_desc){.dtype = TL_DTYPE_F32, .rank = (int32_t)shapes[i][0]};
        for (int d = 0; d < shapes[i][0]; d++)
            elements *= operands[i].desc.shape[d] = shapes[i][1 + d];
        if (i == constant) {
            weights = t_allocate(sizeof(*weights) + (size_t)elements * sizeof(float));
            *weights = (tl_constant){sizeof(*weights), 1, read_constant};
            t_fill((float *)(weights + 1), elements, -1, 1);
            operands[i].constant = weights;
            continue;
        }
        if (i == shared) {
            views[i] = views[with];
            continue;
        }
        views[i].bytes = (uint64_t)elements * sizeof(float);
        check(handle->ops->buffer_create(handle, views[i].bytes, &views[i].buffer), "buffer");
        write_random(handle, queue, &views[i], elements);
    }
    check(handle->ops->prepare(handle, op, operands, (uint32_t)inputs, (uint32_t)outputs, &kernel), "prepare");
    if (kernel->workspace) {
        views[count].bytes = kernel->workspace;
        check(handle->ops->buffer_create(handle, kernel->workspace, &views[count].buffer), "workspace");
    }
    check(kernel->ops->bind(kernel, views), "bind");
    double best = 1e9;
    for (int r = 0; r <= rounds; r++) {
        double start = bench_now();
        check(kernel->ops->enqueue(kernel, queue), "enqueue");
        check(handle->ops->queue_finish(queue), "finish");
        double time = (bench_now() - start) / (shared_machine ? threads : 1);
        if (r > 0 && time < best)
            best = time;
    }
    kernel->ops->release(kernel);
    handle->ops->queue_destroy(handle, queue);
    for (int i = 0; i <= count; i++)
        if (views[i].buffer && i != shared)
            handle->ops->buffer_destroy(handle, views[i].buffer);
    free(weights);
    return best;
}

/* ---- a layer ---- */

enum { FORWARD, GRAD_INPUT, GRAD_WEIGHT, WAYS };
static const char *const ways[WAYS] = {"forward", "grad_input", "grad_weight"};

static double measure_layer(t_device *device, const layer *l, int way) {
    int pad = l->kernel == l->size ? 0 : l->kernel / 2, out = (l->size + 2 * pad - l->kernel) / l->stride + 1;
    tl_op_desc op = {.size = sizeof(op), .groups = l->groups};
    for (int i = 0; i < 2; i++) {
        op.kernel[i] = l->kernel;
        op.stride[i] = l->stride;
        op.pad[i] = pad;
        op.dilation[i] = 1;
    }
    const int64_t x[5] = {4, batch, l->size, l->size, l->channels}, y[5] = {4, batch, out, out, l->outputs};
    const int64_t w[5] = {4, l->outputs, l->kernel, l->kernel, l->channels / l->groups}, b[5] = {1, l->outputs};
    int64_t shapes[T_OPERANDS][5] = {0};
#define SHAPE(i, shape) memcpy(shapes[i], shape, sizeof(shape))
    if (way == GRAD_WEIGHT) {
        op.op = TL_OP_CONV2D_GRAD_WEIGHT;
        SHAPE(0, x), SHAPE(1, y), SHAPE(2, w);
        return measure(device, &op, shapes, 2, 2, -1, -1, 0);
    }
    const int constant = training ? -1 : 1;
    SHAPE(1, w);
    if (way == GRAD_INPUT) {
        op.op = TL_OP_CONV2D_GRAD_INPUT;
        SHAPE(0, y), SHAPE(3, x), SHAPE(4, x);
        return measure(device, &op, shapes, 4, 1, constant, -1, 0);
    }
    op.op = TL_OP_CONV2D;
    op.relu = 1;
    SHAPE(0, x), SHAPE(2, b), SHAPE(4, y);
    if (l->residual)
        SHAPE(3, y);
    return measure(device, &op, shapes, 4, 1, constant, l->residual ? 4 : -1, 3);
}

static void measure_net(t_device *device, const layer *layers, const char *variant) {
    double total[WAYS] = {0}, work = 0, skipped = 0, best_peak = 0;
    printf("%-16s %-28s", "layer", "shape");
    for (int way = 0; way < WAYS; way++)
        printf("  %12s", ways[way]);
    printf("  %8s\n", "peak");
    for (const layer *l = layers; l->name; l++) {
        if (wanted && !strstr(l->name, wanted))
            continue;
        char shape[64];
        int pad = l->kernel == l->size ? 0 : l->kernel / 2, out = (l->size + 2 * pad - l->kernel) / l->stride + 1;
        double flops = 2e-9 * batch * out * out * l->outputs * l->kernel * l->kernel * (l->channels / l->groups);
        snprintf(shape, sizeof(shape), "%dx%d %d->%d %dx%d s%d x%d", l->size, l->size, l->channels, l->outputs,
                 l->kernel, l->kernel, l->stride, l->count);
        printf("%-16s %-28s", l->name, shape);
        for (int way = 0; way < WAYS; way++) {
            if (way == GRAD_INPUT && l->channels == 3) { /* pixels need no gradient */
                skipped = flops;
                printf("  %12s", "");
                continue;
            }
            double peak = threads * bench_peak(variant), time = measure_layer(device, l, way);
            best_peak = peak > best_peak ? peak : best_peak;
            total[way] += l->count * time;
            printf("  %6.1f %3.0f %%", flops / time, 100 * flops / time / peak);
            fflush(stdout);
        }
        work += l->count * flops;
        printf("  %8.1f\n", best_peak);
    }
    printf("%-16s %-28s", "all", "");
    for (int way = 0; way < WAYS; way++) {
        double done = way == GRAD_INPUT ? work - skipped : work;
        printf("  %6.1f %3.0f %%", done / total[way], 100 * done / total[way] / best_peak);
    }
    printf("  %8.1f\nimages/s %37s", best_peak, "");
    for (int way = 0; way < WAYS; way++)
        printf("  %12.1f", batch / total[way]);
    printf("\n");
}

static int number(const char *text) {
    int value = text ? atoi(text) : 0;
    if (value < 1) {
        fprintf(stderr, "bench: a number above 0 is needed\n");
        exit(2);
    }
    return value;
}

static const tl_backend *load(const char *file) {
    void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL);
    tl_backend_entry_fn entry = NULL;
    if (library)
        *(void **)&entry = dlsym(library, TL_BACKEND_ENTRY_SYMBOL);
    const tl_backend *backend = entry ? entry(TL_BACKEND_ABI, t_host()) : NULL;
    if (!backend) {
        fprintf(stderr, "bench: %s is not a backend\n", file);
        exit(1);
    }
    return backend;
}

static t_device *open_device(const tl_backend *backend) {
    t_device *device = t_device_open(backend, 0, isa, threads);
    if (!device) {
        fprintf(stderr, "bench: %s\n", t_failure());
        exit(1);
    }
    return device;
}

int main(int argc, char **argv) {
    const layer *layers = resnet50;
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--training") == 0) {
            training = 1;
            continue;
        }
        if (strcmp(argv[i], "--shared") == 0) {
            shared_machine = 1;
            continue;
        }
        if (strcmp(argv[i], "--batch") == 0)
            batch = number(value);
        else if (strcmp(argv[i], "--threads") == 0)
            threads = number(value);
        else if (strcmp(argv[i], "--rounds") == 0)
            rounds = number(value);
        else if (strcmp(argv[i], "--isa") == 0)
            isa = value;
        else if (strcmp(argv[i], "--layer") == 0)
            wanted = value;
        else if (strcmp(argv[i], "--plugin") == 0)
            plugin = value;
        else if (strcmp(argv[i], "--net") == 0 && value) {
            layers = NULL;
            for (size_t n = 0; n < sizeof(nets) / sizeof(nets[0]); n++)
                if (strcmp(nets[n].name, value) == 0)
                    layers = nets[n].layers;
        } else
            layers = NULL;
        if (!layers) {
            fprintf(stderr, "bench: %s is not an option or network\n", argv[i]);
            return 2;
        }
        i++;
    }
    if (shared_machine)
        bench_use_process_time();
    else if (threads == 1)
        bench_use_thread_time();
    t_device *device = open_device(tl__backend_entry_cpu(TL_BACKEND_ABI, t_host()));
    tl_backend_device *handle = t_device_handle(device);
    tl_device_properties properties = {.size = sizeof(properties)};
    check(handle->ops->properties(handle, &properties), "properties");
    const char *variant = isa                                             ? isa
                          : strncmp(properties.description, "AVX-512", 7) == 0 ? "avx512"
                          : strncmp(properties.description, "AVX2", 4) == 0    ? "avx2"
                                                                               : "baseline";
    if (plugin) { /* the peak is still the CPU's */
        t_device_close(device);
        device = open_device(load(plugin));
        handle = t_device_handle(device);
        check(handle->ops->properties(handle, &properties), "properties");
    }
    printf("%s, batch %d, GFLOP/s and share of the peak\n", properties.description, batch);
    measure_net(device, layers, variant);
    return t_device_close(device) != 0;
}
