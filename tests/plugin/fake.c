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
 *   wrong=OP:HOW     its results are wrong: a `value` is off by 0.01 or, `slightly`, by 1e-5 of itself, `nothing` is
 *                    written, a byte `beyond` the output is, or it is `unsteady`, other at every second run
 *   bf16=1           it takes bf16 in place of f32
 *   int8=1           it takes bytes in place of f32 in maxpool2d
 *   memory=N         no more than so many bytes in buffers (0: without end)
 *   remark=TEXT      says this besides its devices
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

static struct {
    tl_backend table, other;
    char name[64];
    int asked;
} self;

/* ---- options and faults ---- */

const char *fake_option(const tl_host *host, const char *name, const char *otherwise) {
    const char *value = host->option(host->user, name);
    return value ? value : otherwise;
}

bool fake_option_is(const tl_host *host, const char *name, const char *value) {
    return strcmp(fake_option(host, name, ""), value) == 0;
}

tl_status fake_fail(const tl_host *host, tl_status status, const char *text) {
    return host->fail(host->user, status, text);
}

/* Counts a call; true where it is the one that shall fail, *status and the message then being set. */
bool fake_faulty(fake_device *device, const char *call, tl_status *status) {
    bool meant = strcmp(device->fail_call, "any") == 0 || strcmp(device->fail_call, call) == 0;
    if (!meant || ++device->seen != device->fail_at)
        return false;
    char text[64];
    snprintf(text, sizeof text, "%s %ld fails on demand", call, device->seen);
    *status = strcmp(call, "memory") == 0 ? TL_ERROR_MEMORY : TL_ERROR_DEVICE;
    device->host->log(device->host->user, TL_LOG_DEBUG, text);
    if (!device->fail_silent)
        fake_fail(device->host, *status, text);
    return true;
}

tl_status fake_wrong(const fake_device *device, const char *text) {
    device->host->log(device->host->user, TL_LOG_ERROR, text);
    return fake_fail(device->host, TL_ERROR_INTERNAL, text);
}

void *fake_take(fake_device *device, size_t bytes, size_t alignment) {
    tl_status status;
    if (device && fake_faulty(device, "memory", &status))
        return NULL;
    return device->host->allocate(device->host->user, bytes, alignment);
}

/* ---- the device ---- */

static tl_status properties(tl_backend_device *base, tl_device_properties *out) {
    fake_device *device = (fake_device *)base;
    const char *kind = fake_option(device->host, "kind", "other");
    tl_device_properties all = {
        .size = out->size,
        .kind = strcmp(kind, "gpu") == 0 ? TL_DEVICE_GPU : strcmp(kind, "cpu") == 0 ? TL_DEVICE_CPU : TL_DEVICE_OTHER,
        .host_visible = device->host_visible,
        .memory = device->memory,
        .max_buffer = device->max_buffer,
        .alignment = device->alignment,
        .units = 1,
        .description = fake_option_is(device->host, "nodescription", "1") ? NULL : device->description,
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
    if (fake_option_is(device->host, "report", "1"))
        device->host->log(device->host->user, TL_LOG_INFO, text);
    device->host->release(device->host->user, device);
}

static const tl_device_ops all_ops = {
    .size = sizeof all_ops,
    .properties = properties,
    .close = device_close,
    .buffer_create = fake_buffer_create,
    .buffer_destroy = fake_buffer_destroy,
    .buffer_host = fake_buffer_host,
    .queue_create = fake_queue_create,
    .queue_destroy = fake_queue_destroy,
    .queue_write = fake_queue_write,
    .queue_read = fake_queue_read,
    .queue_zero = fake_queue_zero,
    .queue_flush = fake_queue_flush,
    .queue_finish = fake_queue_finish,
    .prepare = fake_prepare,
    .tune = fake_tune,
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
        FUNCTION(prepare),      FUNCTION(tune),
    };
    const char *lacks = fake_option(device->host, "lacks", "");
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++)
        if (strcmp(lacks, functions[i].name) == 0)
            memset((char *)&device->ops + functions[i].offset, 0, sizeof(void (*)(void)));
    if (fake_option_is(device->host, "open", "short"))
        device->ops.size = offsetof(tl_device_ops, prepare);
}

static void set_fault(fake_device *device) {
    char call[16] = "", how[16] = "";
    long at = 0;
    if (sscanf(fake_option(device->host, "fail", ""), "%15[a-z]:%ld:%15s", call, &at, how) >= 2) {
        memcpy(device->fail_call, call, sizeof call);
        device->fail_at = at;
        device->fail_silent = strcmp(how, "silent") == 0;
    }
}

static tl_status device_open(const tl_host *host, uint32_t index, tl_backend_device **out) {
    static tl_backend_device bare;
    const char *how = fake_option(host, "open", "");
    if (strcmp(how, "fail") == 0)
        return fake_fail(host, TL_ERROR_DEVICE, "it does not open on demand");
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
        .kernel_ops = {sizeof(tl_kernel_ops), fake_kernel_bind, fake_kernel_enqueue, fake_kernel_release},
        .host = host,
        .alignment = strtoull(fake_option(host, "alignment", "256"), NULL, 10),
        .max_buffer = strtoull(fake_option(host, "max_buffer", "1099511627776"), NULL, 10),
        .memory = strtoull(fake_option(host, "memory", "0"), NULL, 10),
        .host_visible = fake_option_is(host, "host_visible", "1"),
    };
    device->base.ops = &device->ops;
    snprintf(device->description, sizeof device->description, "fake %u, %s threads, isa %s", (unsigned)index,
             fake_option(host, "threads", "any"), fake_option(host, "isa", "any"));
    set_fault(device);
    spoil_ops(device);
    *out = &device->base;
    return TL_OK;
}

static void describe(const tl_host *host, uint32_t index, tl_backend_device_info *to) {
    const char *kind = fake_option(host, "kind", "other");
    tl_backend_device_info info = {
        .size = to->size,
        .kind = strcmp(kind, "gpu") == 0 ? TL_DEVICE_GPU : strcmp(kind, "cpu") == 0 ? TL_DEVICE_CPU : TL_DEVICE_OTHER,
        .usable = strtol(fake_option(host, "unusable", "-1"), NULL, 10) != (long)index,
        .memory = 1 << 20,
        .units = 1,
    };
    snprintf(info.name, sizeof info.name, "Fake device %u", (unsigned)index);
    snprintf(info.driver, sizeof info.driver, "none");
    if (!info.usable)
        snprintf(info.note, sizeof info.note, "no permission, on demand");
    if (fake_option_is(host, "probe", "odd")) {
        info.kind = 99;
        memset(info.name, 'x', sizeof info.name);
    }
    memcpy(to, &info, to->size < sizeof info ? to->size : sizeof info);
}

static void remark(const char *text, tl_backend_device_info *to) {
    tl_backend_device_info info = {.size = to->size, .kind = TL_DEVICE_REMARK};
    snprintf(info.note, sizeof info.note, "%s", text);
    memcpy(to, &info, to->size < sizeof info ? to->size : sizeof info);
}

static tl_status probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count) {
    if (fake_option_is(host, "probe", "fail"))
        return fake_fail(host, TL_ERROR_DEVICE, "no driver, on demand");
    if (fake_option_is(host, "probe", "silent"))
        return TL_ERROR_IO;
    uint32_t devices = (uint32_t)strtoul(fake_option(host, "devices", "1"), NULL, 10);
    if (fake_option_is(host, "probe", "endless"))
        devices = capacity + 1000000;
    for (uint32_t i = 0; i < devices && i < capacity; i++)
        describe(host, i, (tl_backend_device_info *)((char *)infos + (size_t)i * infos->size));
    const char *text = fake_option(host, "remark", NULL);
    if (text && devices < capacity)
        remark(text, (tl_backend_device_info *)((char *)infos + (size_t)devices * infos->size));
    *count = devices + (text != NULL);
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
        fake_fail(host, TL_ERROR_ABI, "it wants a newer libtl, on demand");
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
        .tuned = fake_tuned,
    };
    return spoil_table(host);
}
