/* plugin/fake.c: a backend that does what it is told, also what no backend should do.
 *
 * Its name is that of its file: a copy of fake.so called b2.so is the backend "b2". It keeps its buffers apart from
 * the host's memory, fills new ones with NaN, runs kernels only when it must (flush, finish, read, write, zero), and
 * watches over its use: views beyond a buffer or off the alignment, kernels that are bound or released while they
 * wait. What it finds fails with TL_ERROR_INTERNAL or is logged as an error; so is what was not given back at close.
 *
 * Options of the device, from the environment as TL_NAME_OPTION:
 *   devices=N        how many there are (1)         unusable=I     this one cannot be used
 *   kind=cpu|gpu     (other)                        probe=fail|silent|endless|odd
 *   open=fail|silent|nothing|noops|short|status     lacks=FUNCTION in the device's table
 *   alignment=N      (256)                          max_buffer=N   (2^40)
 *   host_visible=1   (0)                            nodescription=1
 *   only=OP,OP       the operations it takes (all that it has)     refuse=OP,OP   those it does not
 *   refuse_fused=1   no relu, residual, bias inside another operation
 *   fail=CALL:N      the Nth CALL fails: buffer, queue, prepare, bind, enqueue, write, read, zero, finish, memory (an
 *                    allocation from the host), or any of them; CALL:N:silent says nothing of why
 *   kernel=nothing|noops|nobind|noenqueue|norelease|status         what prepare gives
 *   report=1         logs at close how much was done, "N kernels run"
 * Of its table, read when libtl asks for it:
 *   entry=null|why|abi|tiny|short|long|moving|noname|badname|noprobe|noopen        priority=N */
#include "tests/plugin/fake.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define MAX_WAITING 1024

typedef struct fake_device {
    tl_backend_device base;
    tl_device_ops ops;
    tl_kernel_ops kernel_ops;
    const tl_host *host;
    char description[160];
    uint64_t alignment, max_buffer;
    bool host_visible, fail_silent;
    char fail_call[16];
    long fail_at, seen, runs;
    int buffers, queues, kernels;
} fake_device;

struct tl_backend_buffer {
    unsigned char *data;
    uint64_t bytes;
};

typedef struct fake_kernel {
    tl_backend_kernel base;
    fake_device *device;
    fake_arithmetic run;
    fake_call call;
    tl_op_desc op;
    bool constant[FAKE_MAX_OPERANDS], bound;
    int waiting;
} fake_kernel;

struct tl_backend_queue {
    fake_device *device;
    fake_kernel *waiting[MAX_WAITING];
    int count;
};

static struct {
    tl_backend table, other;
    char name[64];
    int asked;
} self;

/* ---- options and faults ---- */

static const char *option(const tl_host *host, const char *name, const char *otherwise) {
    const char *value = host->option(host->user, name);
    return value ? value : otherwise;
}

static bool option_is(const tl_host *host, const char *name, const char *value) {
    return strcmp(option(host, name, ""), value) == 0;
}

/* Is `word` one of "a,b,c"? */
static bool listed(const char *list, const char *word) {
    size_t length = strlen(word);
    for (const char *c = list; c && *c; c = strchr(c, ','), c = c ? c + 1 : NULL)
        if (strncmp(c, word, length) == 0 && (c[length] == ',' || c[length] == '\0'))
            return true;
    return false;
}

static tl_status fail(const tl_host *host, tl_status status, const char *text) {
    return host->fail(host->user, status, text);
}

/* Counts a call; true where it is the one that shall fail, *status and the message then being set. */
static bool faulty(fake_device *device, const char *call, tl_status *status) {
    bool meant = strcmp(device->fail_call, "any") == 0 || strcmp(device->fail_call, call) == 0;
    if (!meant || ++device->seen != device->fail_at)
        return false;
    char text[64];
    snprintf(text, sizeof text, "%s %ld fails on demand", call, device->seen);
    *status = strcmp(call, "memory") == 0 ? TL_ERROR_MEMORY : TL_ERROR_DEVICE;
    if (!device->fail_silent)
        fail(device->host, *status, text);
    return true;
}

static tl_status wrong(const fake_device *device, const char *text) {
    device->host->log(device->host->user, TL_LOG_ERROR, text);
    return fail(device->host, TL_ERROR_INTERNAL, text);
}

static void *take(fake_device *device, size_t bytes, size_t alignment) {
    tl_status status;
    if (device && faulty(device, "memory", &status))
        return NULL;
    return device->host->allocate(device->host->user, bytes, alignment);
}

/* ---- buffers ---- */

static tl_status buffer_create(tl_backend_device *base, uint64_t bytes, tl_backend_buffer **out) {
    fake_device *device = (fake_device *)base;
    tl_status status;
    if (faulty(device, "buffer", &status))
        return status;
    if (bytes > device->max_buffer)
        return wrong(device, "a buffer beyond max_buffer was asked for");
    tl_backend_buffer *buffer = take(device, sizeof *buffer, 16);
    unsigned char *data = buffer ? take(device, bytes, 4096) : NULL;
    if (!data) {
        device->host->release(device->host->user, buffer);
        return TL_ERROR_MEMORY;
    }
    memset(data, 0xff, bytes);
    *buffer = (tl_backend_buffer){data, bytes};
    device->buffers++;
    *out = buffer;
    return TL_OK;
}

static void buffer_destroy(tl_backend_device *base, tl_backend_buffer *buffer) {
    fake_device *device = (fake_device *)base;
    device->buffers--;
    device->host->release(device->host->user, buffer->data);
    device->host->release(device->host->user, buffer);
}

static void *buffer_host(tl_backend_device *base, tl_backend_buffer *buffer) {
    (void)base;
    return buffer->data;
}

static const char *view_fault(const fake_device *device, const tl_view *view) {
    if (!view->buffer)
        return "a view has no buffer";
    if (view->offset % device->alignment)
        return "a view is off the alignment";
    if (view->offset > view->buffer->bytes || view->bytes > view->buffer->bytes - view->offset)
        return "a view reaches beyond its buffer";
    return NULL;
}

/* ---- queues ---- */

static void run_waiting(tl_backend_queue *queue) {
    for (int i = 0; i < queue->count; i++) {
        queue->waiting[i]->run(&queue->waiting[i]->call);
        queue->waiting[i]->waiting--;
        queue->device->runs++;
    }
    queue->count = 0;
}

static tl_status queue_create(tl_backend_device *base, tl_backend_queue **out) {
    fake_device *device = (fake_device *)base;
    tl_status status;
    if (faulty(device, "queue", &status))
        return status;
    tl_backend_queue *queue = take(device, sizeof *queue, 16);
    if (!queue)
        return TL_ERROR_MEMORY;
    queue->device = device;
    queue->count = 0;
    device->queues++;
    *out = queue;
    return TL_OK;
}

static void queue_destroy(tl_backend_device *base, tl_backend_queue *queue) {
    fake_device *device = (fake_device *)base;
    if (queue->count)
        wrong(device, "a queue is destroyed while work waits");
    device->queues--;
    device->host->release(device->host->user, queue);
}

static tl_status begin(tl_backend_queue *queue, const char *call, const tl_view *view) {
    tl_status status;
    if (faulty(queue->device, call, &status))
        return status;
    const char *fault = view ? view_fault(queue->device, view) : NULL;
    if (fault)
        return wrong(queue->device, fault);
    run_waiting(queue);
    return TL_OK;
}

static tl_status queue_write(tl_backend_queue *queue, const tl_view *to, const void *data) {
    tl_status status = begin(queue, "write", to);
    if (status == TL_OK)
        memcpy(to->buffer->data + to->offset, data, to->bytes);
    return status;
}

static tl_status queue_read(tl_backend_queue *queue, const tl_view *from, void *data) {
    tl_status status = begin(queue, "read", from);
    if (status == TL_OK)
        memcpy(data, from->buffer->data + from->offset, from->bytes);
    return status;
}

static tl_status queue_zero(tl_backend_queue *queue, const tl_view *what) {
    tl_status status = begin(queue, "zero", what);
    if (status == TL_OK)
        memset(what->buffer->data + what->offset, 0, what->bytes);
    return status;
}

static tl_status queue_flush(tl_backend_queue *queue) {
    run_waiting(queue);
    return TL_OK;
}

/* A finish that fails has lost what waited. */
static tl_status queue_finish(tl_backend_queue *queue) {
    tl_status status = begin(queue, "finish", NULL);
    for (int i = 0; i < queue->count; i++)
        queue->waiting[i]->waiting--;
    queue->count = 0;
    return status;
}

/* ---- kernels ---- */

static uint64_t desc_bytes(const tl_tensor_desc *desc) {
    static const uint8_t sizes[] = {0, 4, 2, 2, 8, 1, 1, 4, 8};
    uint64_t bytes = desc->dtype >= 0 && desc->dtype < (int)sizeof sizes ? sizes[desc->dtype] : 0;
    for (int i = 0; i < desc->rank; i++)
        bytes *= (uint64_t)desc->shape[i];
    return bytes;
}

static tl_status kernel_bind(tl_backend_kernel *base, const tl_view *views) {
    fake_kernel *kernel = (fake_kernel *)base;
    fake_device *device = kernel->device;
    tl_status status;
    if (faulty(device, "bind", &status))
        return status;
    if (kernel->waiting)
        return wrong(device, "a kernel is bound while it waits");
    for (uint32_t i = 0; i < kernel->call.inputs + kernel->call.outputs; i++) {
        if (kernel->constant[i] || kernel->call.desc[i].dtype == TL_DTYPE_NONE)
            continue;
        const char *fault = view_fault(device, &views[i]);
        if (!fault && views[i].bytes < desc_bytes(&kernel->call.desc[i]))
            fault = "a view is smaller than its operand";
        if (fault)
            return wrong(device, fault);
        kernel->call.data[i] = views[i].buffer->data + views[i].offset;
    }
    kernel->bound = true;
    return TL_OK;
}

static tl_status kernel_enqueue(tl_backend_kernel *base, tl_backend_queue *queue) {
    fake_kernel *kernel = (fake_kernel *)base;
    tl_status status;
    if (faulty(kernel->device, "enqueue", &status))
        return status;
    if (!kernel->bound)
        return wrong(kernel->device, "a kernel is enqueued before it was bound");
    if (queue->count == MAX_WAITING)
        run_waiting(queue);
    kernel->waiting++;
    queue->waiting[queue->count++] = kernel;
    return TL_OK;
}

static void kernel_release(tl_backend_kernel *base) {
    fake_kernel *kernel = (fake_kernel *)base;
    fake_device *device = kernel->device;
    if (kernel->waiting)
        wrong(device, "a kernel is released while it waits");
    for (int i = 0; i < FAKE_MAX_OPERANDS; i++)
        if (kernel->constant[i])
            device->host->release(device->host->user, kernel->call.data[i]);
    device->kernels--;
    device->host->release(device->host->user, kernel);
}

static tl_status keep_constant(fake_kernel *kernel, uint32_t i, const tl_constant *constant) {
    const void *data = NULL;
    tl_status status = constant->read(constant, &data);
    if (status != TL_OK)
        return status;
    uint64_t bytes = desc_bytes(&kernel->call.desc[i]);
    kernel->call.data[i] = take(kernel->device, bytes, 64);
    if (!kernel->call.data[i])
        return TL_ERROR_MEMORY;
    memcpy(kernel->call.data[i], data, bytes);
    kernel->constant[i] = true;
    return TL_OK;
}

static bool is_fused(const tl_op_desc *op, const tl_operand *operands) {
    if (op->op == TL_OP_CONV2D)
        return op->relu || operands[2].desc.dtype || operands[3].desc.dtype;
    if (op->op == TL_OP_BATCHNORM)
        return op->relu || operands[5].desc.dtype;
    return op->op == TL_OP_ADD && op->relu;
}

static tl_status unsupported(const fake_device *device, const char *stem, const char *reason) {
    char text[160];
    snprintf(text, sizeof text, "%s: %s", stem, reason);
    return fail(device->host, TL_UNSUPPORTED, text);
}

static tl_status odd_kernel(fake_device *device, fake_kernel *kernel, tl_backend_kernel **out) {
    const char *what = option(device->host, "kernel", "");
    kernel->base.ops = strcmp(what, "noops") == 0 ? NULL : &device->kernel_ops;
    if (strcmp(what, "nobind") == 0)
        device->kernel_ops.bind = NULL;
    if (strcmp(what, "noenqueue") == 0)
        device->kernel_ops.size = offsetof(tl_kernel_ops, enqueue);
    if (strcmp(what, "norelease") == 0)
        device->kernel_ops.release = NULL;
    if (strcmp(what, "nothing") == 0 || strcmp(what, "status") == 0)
        kernel_release(&kernel->base);
    else
        *out = &kernel->base;
    return strcmp(what, "status") == 0 ? (tl_status)7 : TL_OK;
}

static tl_status prepare(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t inputs,
                         uint32_t outputs, tl_backend_kernel **out) {
    fake_device *device = (fake_device *)base;
    const char *stem = fake_stem(op->op), *only = option(device->host, "only", NULL), *reason;
    tl_status status;
    if (faulty(device, "prepare", &status))
        return status;
    fake_arithmetic run = fake_find(op, operands, inputs, outputs, &reason);
    if (!run)
        return unsupported(device, stem, reason);
    if ((only && !listed(only, stem)) || listed(option(device->host, "refuse", ""), stem))
        return unsupported(device, stem, "refused on demand");
    if (option_is(device->host, "refuse_fused", "1") && is_fused(op, operands))
        return unsupported(device, stem, "fused forms are refused on demand");
    fake_kernel *kernel = take(device, sizeof *kernel, 16);
    if (!kernel)
        return TL_ERROR_MEMORY;
    *kernel = (fake_kernel){
        .base = {.ops = &device->kernel_ops, .implementation = "slow"}, .device = device, .run = run, .op = *op};
    kernel->call = (fake_call){.op = &kernel->op, .inputs = inputs, .outputs = outputs};
    device->kernels++;
    for (uint32_t i = 0; i < inputs + outputs; i++) {
        kernel->call.desc[i] = operands[i].desc;
        status = operands[i].constant ? keep_constant(kernel, i, operands[i].constant) : TL_OK;
        if (status != TL_OK) {
            kernel_release(&kernel->base);
            return status;
        }
    }
    return odd_kernel(device, kernel, out);
}

/* ---- the device ---- */

static tl_status properties(tl_backend_device *base, tl_device_properties *out) {
    fake_device *device = (fake_device *)base;
    const char *kind = option(device->host, "kind", "other");
    tl_device_properties all = {
        .size = out->size,
        .kind = strcmp(kind, "gpu") == 0 ? TL_DEVICE_GPU : strcmp(kind, "cpu") == 0 ? TL_DEVICE_CPU : TL_DEVICE_OTHER,
        .host_visible = device->host_visible,
        .max_buffer = device->max_buffer,
        .alignment = device->alignment,
        .units = 1,
        .description = option_is(device->host, "nodescription", "1") ? NULL : device->description,
    };
    memcpy(out, &all, out->size < sizeof all ? out->size : sizeof all);
    return TL_OK;
}

static void device_close(tl_backend_device *base) {
    fake_device *device = (fake_device *)base;
    char text[160];
    snprintf(text, sizeof text, "not given back: %d buffers, %d queues, %d kernels", device->buffers, device->queues,
             device->kernels);
    if (device->buffers || device->queues || device->kernels)
        device->host->log(device->host->user, TL_LOG_ERROR, text);
    snprintf(text, sizeof text, "%ld kernels run", device->runs);
    if (option_is(device->host, "report", "1"))
        device->host->log(device->host->user, TL_LOG_INFO, text);
    device->host->release(device->host->user, device);
}

static const tl_device_ops all_ops = {
    .size = sizeof all_ops,
    .properties = properties,
    .close = device_close,
    .buffer_create = buffer_create,
    .buffer_destroy = buffer_destroy,
    .buffer_host = buffer_host,
    .queue_create = queue_create,
    .queue_destroy = queue_destroy,
    .queue_write = queue_write,
    .queue_read = queue_read,
    .queue_zero = queue_zero,
    .queue_flush = queue_flush,
    .queue_finish = queue_finish,
    .prepare = prepare,
};

static void spoil_ops(fake_device *device) {
    const struct {
        const char *name;
        size_t offset;
    } functions[] = {
#define FUNCTION(name) {#name, offsetof(tl_device_ops, name)}
        FUNCTION(properties),   FUNCTION(close),         FUNCTION(buffer_create), FUNCTION(buffer_destroy),
        FUNCTION(buffer_host),  FUNCTION(queue_create),  FUNCTION(queue_destroy), FUNCTION(queue_write),
        FUNCTION(queue_read),   FUNCTION(queue_zero),    FUNCTION(queue_flush),   FUNCTION(queue_finish),
        FUNCTION(prepare),
    };
    const char *lacks = option(device->host, "lacks", "");
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(lacks, functions[i].name) == 0)
            memset((char *)&device->ops + functions[i].offset, 0, sizeof(void (*)(void)));
    if (option_is(device->host, "open", "short"))
        device->ops.size = offsetof(tl_device_ops, prepare);
}

static void set_fault(fake_device *device) {
    char call[16] = "", how[16] = "";
    long at = 0;
    if (sscanf(option(device->host, "fail", ""), "%15[a-z]:%ld:%15s", call, &at, how) >= 2) {
        memcpy(device->fail_call, call, sizeof call);
        device->fail_at = at;
        device->fail_silent = strcmp(how, "silent") == 0;
    }
}

static tl_status device_open(const tl_host *host, uint32_t index, tl_backend_device **out) {
    static tl_backend_device bare;
    const char *how = option(host, "open", "");
    if (strcmp(how, "fail") == 0)
        return fail(host, TL_ERROR_DEVICE, "it does not open on demand");
    if (strcmp(how, "silent") == 0)
        return TL_ERROR_DEVICE;
    if (strcmp(how, "status") == 0)
        return (tl_status)7;
    if (strcmp(how, "noops") == 0)
        *out = &bare;
    if (strcmp(how, "nothing") == 0 || strcmp(how, "noops") == 0)
        return TL_OK;
    fake_device *device = host->allocate(host->user, sizeof *device, 16);
    if (!device)
        return TL_ERROR_MEMORY;
    *device = (fake_device){
        .ops = all_ops,
        .kernel_ops = {sizeof(tl_kernel_ops), kernel_bind, kernel_enqueue, kernel_release},
        .host = host,
        .alignment = strtoull(option(host, "alignment", "256"), NULL, 10),
        .max_buffer = strtoull(option(host, "max_buffer", "1099511627776"), NULL, 10),
        .host_visible = option_is(host, "host_visible", "1"),
    };
    device->base.ops = &device->ops;
    snprintf(device->description, sizeof device->description, "fake %u, %s threads, isa %s", (unsigned)index,
             option(host, "threads", "any"), option(host, "isa", "any"));
    set_fault(device);
    spoil_ops(device);
    *out = &device->base;
    return TL_OK;
}

static void describe(const tl_host *host, uint32_t index, tl_backend_device_info *to) {
    const char *kind = option(host, "kind", "other");
    tl_backend_device_info info = {
        .size = to->size,
        .kind = strcmp(kind, "gpu") == 0 ? TL_DEVICE_GPU : strcmp(kind, "cpu") == 0 ? TL_DEVICE_CPU : TL_DEVICE_OTHER,
        .usable = strtol(option(host, "unusable", "-1"), NULL, 10) != (long)index,
        .memory = 1 << 20,
        .units = 1,
    };
    snprintf(info.name, sizeof info.name, "Fake device %u", (unsigned)index);
    snprintf(info.driver, sizeof info.driver, "none");
    if (!info.usable)
        snprintf(info.note, sizeof info.note, "no permission, on demand");
    if (option_is(host, "probe", "odd")) {
        info.kind = 99;
        memset(info.name, 'x', sizeof info.name);
    }
    memcpy(to, &info, to->size < sizeof info ? to->size : sizeof info);
}

static tl_status probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count) {
    if (option_is(host, "probe", "fail"))
        return fail(host, TL_ERROR_DEVICE, "no driver, on demand");
    if (option_is(host, "probe", "silent"))
        return TL_ERROR_IO;
    uint32_t devices = (uint32_t)strtoul(option(host, "devices", "1"), NULL, 10);
    if (option_is(host, "probe", "endless"))
        devices = capacity + 1000000;
    for (uint32_t i = 0; i < devices && i < capacity; i++)
        describe(host, i, (tl_backend_device_info *)((char *)infos + (size_t)i * infos->size));
    *count = devices;
    return TL_OK;
}

/* ---- the entry ---- */

static const char *environment(const char *name) {
    char key[128];
    snprintf(key, sizeof key, "TL_%s_%s", self.name, name);
    for (char *c = key; *c; c++)
        if (*c >= 'a' && *c <= 'z')
            *c = (char)(*c - 32);
    const char *value = getenv(key);
    return value ? value : "";
}

static void take_name(void) {
    Dl_info info;
    const char *path = dladdr(&self, &info) && info.dli_fname ? info.dli_fname : "fake.so";
    const char *base = strrchr(path, '/');
    snprintf(self.name, sizeof self.name, "%s", base ? base + 1 : path);
    self.name[strcspn(self.name, ".")] = '\0';
}

static const tl_backend *spoil_table(const tl_host *host) {
    tl_backend *table = &self.table;
    const char *how = environment("entry");
    if (strcmp(how, "null") == 0)
        return NULL;
    if (strcmp(how, "why") == 0) {
        fail(host, TL_ERROR_ABI, "it wants a newer libtl, on demand");
        return NULL;
    }
    if (strcmp(how, "abi") == 0)
        table->abi = TL_BACKEND_ABI + 1;
    if (strcmp(how, "tiny") == 0)
        table->size = 4;
    if (strcmp(how, "short") == 0)
        table->size = offsetof(tl_backend, open);
    if (strcmp(how, "long") == 0)
        table->size = sizeof *table + 64;
    if (strcmp(how, "noname") == 0)
        table->name = NULL;
    if (strcmp(how, "badname") == 0)
        table->name = "Fake-1";
    if (strcmp(how, "noprobe") == 0)
        table->probe = NULL;
    if (strcmp(how, "noopen") == 0)
        table->open = NULL;
    self.other = *table;
    return strcmp(how, "moving") == 0 && self.asked++ % 2 ? &self.other : table;
}

TL_BACKEND_ENTRY(fake);

TL_BACKEND_ENTRY(fake) {
    (void)abi;
    take_name();
    self.table = (tl_backend){
        .size = sizeof self.table,
        .abi = TL_BACKEND_ABI,
        .name = self.name,
        .version = "1.0",
        .priority = (int32_t)strtol(environment("priority"), NULL, 10),
        .probe = probe,
        .open = device_open,
    };
    return spoil_table(host);
}
