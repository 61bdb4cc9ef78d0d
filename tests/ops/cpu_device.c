/* cpu_device.c: the CPU backend's device: what it says of itself, options, buffers, queues, binding, constants. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/ops/harness.h"

const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);

static const tl_backend *backend;

static void test_entry(void) {
    tl_host old = *t_host();
    old.size = 8;
    t_ok(tl__backend_entry_cpu(TL_BACKEND_ABI + 1, t_host()) == NULL, "another ABI is refused");
    t_ok(tl__backend_entry_cpu(TL_BACKEND_ABI, &old) == NULL, "a host without what is needed is refused");
    t_ok(backend->size == sizeof(tl_backend) && backend->abi == TL_BACKEND_ABI && strcmp(backend->name, "cpu") == 0,
         "the table says what it is");
}

static void test_probe(void) {
    tl_backend_device_info info = {.size = sizeof(info)}, small = {.size = 16};
    uint32_t count = 0;
    bool ok = backend->probe(t_host(), &info, 1, &count) == TL_OK && count == 1;
    t_ok(ok && info.kind == TL_DEVICE_CPU && info.usable == 1 && info.units >= 1 && info.name[0] && info.driver[0],
         "probe: %s, %s, %u threads", info.name, info.driver, (unsigned)info.units);
    count = 0;
    t_ok(backend->probe(t_host(), NULL, 0, &count) == TL_OK && count == 1, "probe counts without writing");
    memset(small.name, 'x', sizeof(small.name));
    t_ok(backend->probe(t_host(), &small, 1, &count) == TL_OK && small.name[4] == 'x',
         "probe writes no more than the caller's size");
}

static void refused(const char *isa, const char *environment, int threads, const char *part) {
    char before[32] = "";
    if (getenv("TL_CPU_ISA"))
        snprintf(before, sizeof(before), "%s", getenv("TL_CPU_ISA"));
    if (environment)
        setenv("TL_CPU_ISA", environment, 1);
    t_device *device = t_device_open(backend, 0, isa, threads);
    t_ok(!device && t_failure_status() == TL_ERROR_ARGUMENT && strstr(t_failure(), part), "refused: %s", t_failure());
    if (device)
        t_device_close(device);
    if (before[0])
        setenv("TL_CPU_ISA", before, 1);
    else
        unsetenv("TL_CPU_ISA");
}

static void test_options(void) {
    refused("sse9", NULL, 0, "isa = sse9: this machine has ");
    refused(NULL, "mmx", 0, "TL_CPU_ISA = mmx");
    refused(NULL, NULL, -3, "threads = -3");
    refused(NULL, NULL, 100000, "threads = 100000");
    t_device *device = t_device_open(backend, 1, NULL, 0);
    t_ok(!device && t_failure_status() == TL_ERROR_NOT_FOUND, "there is no second CPU");
    t_allocations_fail_after(0);
    device = t_device_open(backend, 0, NULL, 0);
    t_allocations_fail_after(-1);
    t_ok(!device && t_failure_status() == TL_ERROR_MEMORY, "no memory for the device");

    device = t_device_open(backend, 0, NULL, 3);
    tl_device_properties p = {.size = sizeof(p)};
    tl_backend_device *handle = t_device_handle(device);
    bool ok = handle->ops->properties(handle, &p) == TL_OK;
    t_ok(ok && p.kind == TL_DEVICE_CPU && p.host_visible && p.units == 3 && p.alignment >= 16 &&
             strstr(p.description, ", 3 threads"),
         "properties: %s", p.description);
    double flops = 0, untouched = -1;
    t_ok(handle->ops->peak(handle, TL_DTYPE_F32, &flops) == TL_OK && flops > 0, "the peak is measured: %g", flops);
    static const int32_t narrow[] = {TL_DTYPE_BF16, TL_DTYPE_U8};
    for (int i = 0; i < 2; i++) {
        double more = 0;
        const tl_status status = handle->ops->peak(handle, narrow[i], &more);
        t_ok(status == TL_OK ? more > 0 : status == TL_UNSUPPORTED && more == 0, "that of type %d is %g", (int)narrow[i], more);
    }
    t_ok(handle->ops->peak(handle, TL_DTYPE_F64, &untouched) == TL_UNSUPPORTED && untouched == -1, "of numbers it has kernels for");
    t_ok(t_device_close(device) == 0, "a device gives everything back");
}

static void test_buffers(void) {
    t_device *device = t_device_open(backend, 0, NULL, 0);
    tl_backend_device *d = t_device_handle(device);
    tl_backend_buffer *buffer = NULL;
    tl_backend_queue *queue = NULL;
    bool ok = d->ops->buffer_create(d, 1000, &buffer) == TL_OK && d->ops->queue_create(d, &queue) == TL_OK;
    t_ok(ok, "a buffer and a queue");
    uint8_t in[100], out[100];
    for (int i = 0; i < 100; i++)
        in[i] = (uint8_t)(i + 1);
    tl_view view = {buffer, 128, 100}, part = {buffer, 192, 10}, beyond = {buffer, 960, 100};
    ok = d->ops->queue_write(queue, &view, in) == TL_OK && d->ops->queue_zero(queue, &part) == TL_OK &&
         d->ops->queue_flush(queue) == TL_OK && d->ops->queue_read(queue, &view, out) == TL_OK &&
         d->ops->queue_finish(queue) == TL_OK;
    memset(in + 64, 0, 10);
    t_ok(ok && memcmp(in, out, 100) == 0, "write, zero, read");
    t_ok(memcmp((uint8_t *)d->ops->buffer_host(d, buffer) + 128, in, 100) == 0, "the host sees the buffer");
    t_ok(d->ops->queue_write(queue, &beyond, in) == TL_ERROR_INTERNAL &&
             d->ops->queue_read(queue, &beyond, out) == TL_ERROR_INTERNAL &&
             d->ops->queue_zero(queue, &beyond) == TL_ERROR_INTERNAL,
         "a view beyond its buffer is refused");
    tl_backend_buffer *other = NULL;
    t_ok(d->ops->buffer_create(d, UINT64_MAX, &other) == TL_ERROR_LIMIT && !other, "a buffer beyond the limit");
    for (long n = 0; n < 2; n++) {
        t_allocations_fail_after(n);
        t_ok(d->ops->buffer_create(d, 1 << 20, &other) == TL_ERROR_MEMORY && !other, "allocation %ld of a buffer", n);
        t_allocations_fail_after(-1);
    }
    t_ok(d->ops->buffer_create(d, 0, &other) == TL_OK, "an empty buffer");
    d->ops->buffer_destroy(d, other);
    d->ops->buffer_destroy(d, buffer);
    d->ops->buffer_destroy(d, NULL);
    d->ops->queue_destroy(d, queue);
    t_ok(t_device_close(device) == 0, "buffers and queues give everything back");
}

static tl_operand operand(int64_t count, const tl_constant *constant) {
    return (tl_operand){{TL_DTYPE_F32, 1, {count}}, constant};
}

static void test_binding(void) {
    t_device *device = t_device_open(backend, 0, NULL, 0);
    tl_backend_device *d = t_device_handle(device);
    tl_op_desc op = {.size = sizeof(op), .op = TL_OP_RELU};
    tl_operand operands[2] = {operand(100, NULL), operand(100, NULL)};
    tl_backend_kernel *kernel = NULL;
    tl_backend_buffer *buffer = NULL;
    if (d->ops->prepare(d, &op, operands, 1, 1, &kernel) != TL_OK || d->ops->buffer_create(d, 1024, &buffer) != TL_OK) {
        t_ok(false, "prepare: %s", t_failure());
        return;
    }
    tl_view missing[3] = {{buffer, 0, 400}}, small[3] = {{buffer, 0, 396}, {buffer, 512, 400}};
    tl_view beyond[3] = {{buffer, 0, 400}, {buffer, 704, 400}}, good[3] = {{buffer, 0, 400}, {buffer, 512, 400}};
    t_ok(kernel->ops->bind(kernel, missing) == TL_ERROR_INTERNAL, "an operand that is not bound: %s", t_failure());
    t_ok(kernel->ops->bind(kernel, small) == TL_ERROR_INTERNAL, "a view that is too small: %s", t_failure());
    t_ok(kernel->ops->bind(kernel, beyond) == TL_ERROR_INTERNAL, "a view beyond its buffer: %s", t_failure());
    t_ok(kernel->ops->bind(kernel, good) == TL_OK, "a good binding");
    kernel->ops->release(kernel);
    d->ops->buffer_destroy(d, buffer);
    t_ok(t_device_close(device) == 0, "kernels give everything back");
}

/* ---- constants ---- */

typedef struct counted {
    tl_constant base;
    float values[4];
    int reads;
    tl_status status;
} counted;

static tl_status counted_read(const tl_constant *base, const void **data) {
    counted *c = (counted *)(uintptr_t)base;
    c->reads++;
    *data = c->values;
    return c->status;
}

/* x + constant. */
static tl_status prepare_add(tl_backend_device *d, counted *c, tl_backend_kernel **kernel) {
    tl_op_desc op = {.size = sizeof(op), .op = TL_OP_ADD};
    tl_operand operands[3] = {operand(4, NULL), operand(4, &c->base), operand(4, NULL)};
    return d->ops->prepare(d, &op, operands, 2, 1, kernel);
}

static void test_constants(void) {
    t_device *device = t_device_open(backend, 0, NULL, 0);
    tl_backend_device *d = t_device_handle(device);
    counted a = {{sizeof(tl_constant), 7, counted_read}, {1, 2, 3, 4}, 0, TL_OK}, same = a, other = a, broken = a;
    other.base.id = 8;
    broken.base.id = 9;
    broken.status = TL_ERROR_IO;
    tl_backend_kernel *kernels[4] = {0};
    bool ok = prepare_add(d, &a, &kernels[0]) == TL_OK && prepare_add(d, &same, &kernels[1]) == TL_OK &&
              prepare_add(d, &other, &kernels[2]) == TL_OK;
    t_ok(ok && a.reads == 1 && same.reads == 0 && other.reads == 1, "a constant is read once for a device");
    t_ok(prepare_add(d, &broken, &kernels[3]) == TL_ERROR_IO && !kernels[3], "a constant that cannot be read");
    kernels[0]->ops->release(kernels[0]);

    tl_backend_buffer *buffer = NULL;
    tl_backend_queue *queue = NULL;
    const float x[4] = {10, 20, 30, 40};
    float y[4] = {0};
    ok = d->ops->buffer_create(d, 256, &buffer) == TL_OK && d->ops->queue_create(d, &queue) == TL_OK;
    tl_view views[4] = {{buffer, 0, 16}, {NULL, 0, 0}, {buffer, 64, 16}};
    ok = ok && d->ops->queue_write(queue, &views[0], x) == TL_OK && kernels[1]->ops->bind(kernels[1], views) == TL_OK &&
         kernels[1]->ops->enqueue(kernels[1], queue) == TL_OK && d->ops->queue_read(queue, &views[2], y) == TL_OK;
    t_ok(ok && y[0] == 11 && y[3] == 44, "it outlives the kernel that it was read for");
    kernels[1]->ops->release(kernels[1]);
    ok = prepare_add(d, &same, &kernels[1]) == TL_OK;
    t_ok(ok && same.reads == 1, "and goes with the last");
    kernels[1]->ops->release(kernels[1]);
    kernels[2]->ops->release(kernels[2]);
    d->ops->buffer_destroy(d, buffer);
    d->ops->queue_destroy(d, queue);
    t_ok(t_device_close(device) == 0, "constants are given back");
}

static void cases(void) {
    backend = tl__backend_entry_cpu(TL_BACKEND_ABI, t_host());
    test_entry();
    test_probe();
    test_options();
    test_buffers();
    test_binding();
    test_constants();
}

int main(int argc, char **argv) {
    return t_main(argc, argv, cases);
}
