/* cpu.c: the CPU backend: its entry, its device, buffers and queues. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "backends/cpu/cpu.h"
#include "backends/cpu/tune.h"

#ifndef PACKAGE_VERSION
#define PACKAGE_VERSION "0"
#endif

#define LARGE (1u << 20) /* buffers from here on begin on a page */
#define HUGE_PAGE ((size_t)2 << 20) /* bytes of a large page */
#define HUGE_FROM (2 * HUGE_PAGE)

struct tl_backend_queue {
    cpu_device *device;
};

static tl_status fail_text(const tl_host *host, tl_status status, const char *format, va_list arguments) {
    char text[512];
    vsnprintf(text, sizeof(text), format, arguments);
    return host->fail(host->user, status, text);
}

tl_status tl__cpu_fail(const cpu_device *device, tl_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    fail_text(device->host, status, format, arguments);
    va_end(arguments);
    return status;
}

__attribute__((format(printf, 3, 4))) static tl_status fail(const tl_host *host, tl_status status, const char *format,
                                                            ...) {
    va_list arguments;
    va_start(arguments, format);
    fail_text(host, status, format, arguments);
    va_end(arguments);
    return status;
}

/* ---- memory ---- */

/* Whole pages only, so that no more becomes resident than is asked for. */
static void offer_huge_pages(void *memory, uint64_t bytes) {
#ifdef MADV_HUGEPAGE
    madvise(memory, (size_t)(bytes / HUGE_PAGE * HUGE_PAGE), MADV_HUGEPAGE);
#else
    (void)memory, (void)bytes;
#endif
}

static void *allocate(cpu_device *device, uint64_t bytes) {
    size_t alignment = bytes >= LARGE ? 4096 : CPU_ALIGNMENT;
    void *memory = NULL;
    if (bytes >= HUGE_FROM)
        alignment = HUGE_PAGE;
    if (bytes <= PTRDIFF_MAX - CPU_PADDING - CPU_ALIGNMENT) {
        size_t size = ((size_t)bytes + CPU_PADDING + CPU_ALIGNMENT - 1) / CPU_ALIGNMENT * CPU_ALIGNMENT;
        memory = device->host->allocate(device->host->user, size, alignment);
    }
    if (memory && bytes >= HUGE_FROM)
        offer_huge_pages(memory, bytes);
    if (!memory)
        tl__cpu_fail(device, TL_ERROR_MEMORY, "cpu: no memory for %llu bytes", (unsigned long long)bytes);
    return memory;
}

void *tl__cpu_allocate(cpu_device *device, size_t bytes) {
    return allocate(device, bytes);
}

void tl__cpu_release(cpu_device *device, void *memory) {
    device->host->release(device->host->user, memory);
}

static tl_status buffer_create(tl_backend_device *base, uint64_t bytes, tl_backend_buffer **out) {
    cpu_device *device = (cpu_device *)base;
    if (bytes > PTRDIFF_MAX / 2)
        return tl__cpu_fail(device, TL_ERROR_LIMIT, "cpu: a buffer of %llu bytes", (unsigned long long)bytes);
    tl_backend_buffer *buffer = tl__cpu_allocate(device, sizeof(*buffer));
    if (!buffer)
        return TL_ERROR_MEMORY;
    buffer->bytes = bytes;
    buffer->data = allocate(device, bytes);
    if (!buffer->data) {
        tl__cpu_release(device, buffer);
        return TL_ERROR_MEMORY;
    }
    /* Vector loads may reach into the padding: give it a value. */
    memset(buffer->data + bytes, 0, CPU_PADDING);
    *out = buffer;
    return TL_OK;
}

static void buffer_destroy(tl_backend_device *base, tl_backend_buffer *buffer) {
    cpu_device *device = (cpu_device *)base;
    if (!buffer)
        return;
    tl__cpu_release(device, buffer->data);
    tl__cpu_release(device, buffer);
}

static void *buffer_host(tl_backend_device *base, tl_backend_buffer *buffer) {
    (void)base;
    return buffer->data;
}

/* ---- queues: everything happens at once ---- */

static tl_status queue_create(tl_backend_device *base, tl_backend_queue **out) {
    cpu_device *device = (cpu_device *)base;
    tl_backend_queue *queue = tl__cpu_allocate(device, sizeof(*queue));
    if (!queue)
        return TL_ERROR_MEMORY;
    queue->device = device;
    *out = queue;
    return TL_OK;
}

static void queue_destroy(tl_backend_device *base, tl_backend_queue *queue) {
    tl__cpu_release((cpu_device *)base, queue);
}

static tl_status check_view(tl_backend_queue *queue, const tl_view *view) {
    if (view->offset > view->buffer->bytes || view->bytes > view->buffer->bytes - view->offset)
        return tl__cpu_fail(queue->device, TL_ERROR_INTERNAL, "cpu: a view reaches beyond its buffer");
    return TL_OK;
}

static tl_status queue_write(tl_backend_queue *queue, const tl_view *to, const void *data) {
    tl_status status = check_view(queue, to);
    if (status == TL_OK)
        memcpy(to->buffer->data + to->offset, data, (size_t)to->bytes);
    return status;
}

static tl_status queue_read(tl_backend_queue *queue, const tl_view *from, void *data) {
    tl_status status = check_view(queue, from);
    if (status == TL_OK)
        memcpy(data, from->buffer->data + from->offset, (size_t)from->bytes);
    return status;
}

static tl_status queue_zero(tl_backend_queue *queue, const tl_view *what) {
    tl_status status = check_view(queue, what);
    if (status == TL_OK)
        memset(what->buffer->data + what->offset, 0, (size_t)what->bytes);
    return status;
}

static tl_status queue_nothing(tl_backend_queue *queue) {
    (void)queue;
    return TL_OK;
}

/* ---- the device ---- */

static tl_status properties(tl_backend_device *base, tl_device_properties *out) {
    const cpu_device *device = (const cpu_device *)base;
    tl_device_properties all = {
        .size = out->size,
        .kind = TL_DEVICE_CPU,
        .host_visible = 1,
        .memory = device->memory,
        .max_buffer = PTRDIFF_MAX / 2,
        .alignment = CPU_ALIGNMENT,
        .units = (uint32_t)device->threads,
        .description = device->description,
        .identity = device->identity,
    };
    memcpy(out, &all, out->size < sizeof(all) ? out->size : sizeof(all));
    return TL_OK;
}

static void device_close(tl_backend_device *base) {
    cpu_device *device = (cpu_device *)base;
    if (!device)
        return;
    tl__cpu_team_destroy(device, device->team);
    tl__cpu_tuned_release(device);
    device->host->release(device->host->user, device);
}

static const tl_device_ops device_ops = {
    .size = sizeof(device_ops),
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
    .queue_flush = queue_nothing,
    .queue_finish = queue_nothing,
    .prepare = tl__cpu_prepare,
    .tune = tl__cpu_tune,
    .peak = tl__cpu_peak,
};

static tl_status option_threads(const tl_host *host, int *threads) {
    const char *text = host->option(host->user, "threads");
    *threads = (int)tl__cpu_thread_count();
    if (!text)
        return TL_OK;
    char *end;
    long value = strtol(text, &end, 10);
    if (end == text || *end || value < 1 || value > CPU_MAX_THREADS)
        return fail(host, TL_ERROR_ARGUMENT, "cpu: threads = %s: it takes 1 to %d", text, CPU_MAX_THREADS);
    *threads = (int)value;
    return TL_OK;
}

tl_status tl__cpu_option_isa(const tl_host *host, cpu_isa *isa) {
    const char *text = host->option(host->user, "isa"), *source = "isa";
    if (!text) {
        text = getenv("TL_CPU_ISA");
        source = "TL_CPU_ISA";
    }
    *isa = tl__cpu_isa_best();
    if (!text || !*text)
        return TL_OK;
    char names[64] = "";
    for (int i = 0; i < CPU_ISA_COUNT; i++) {
        if (!tl__cpu_isa_available((cpu_isa)i))
            continue;
        if (strcmp(text, tl__cpu_isa_name((cpu_isa)i)) == 0) {
            *isa = (cpu_isa)i;
            return TL_OK;
        }
        size_t used = strlen(names);
        snprintf(names + used, sizeof(names) - used, "%s%s", used ? ", " : "", tl__cpu_isa_name((cpu_isa)i));
    }
    return fail(host, TL_ERROR_ARGUMENT, "cpu: %s = %s: this machine has %s", source, text, names);
}

/* Its rounding errors are several times those of direct convolution, which matters where a training's masks hang on
 * values near 0: libtl says where (tl_op_desc.exact). The option overrules it. */
static tl_status option_winograd(const tl_host *host, cpu_winograd_use *use) {
    const char *text = host->option(host->user, "winograd");
    *use = !text ? CPU_WINOGRAD_AUTO : strcmp(text, "1") == 0 ? CPU_WINOGRAD_ALWAYS : CPU_WINOGRAD_NEVER;
    if (!text || strcmp(text, "1") == 0 || strcmp(text, "0") == 0)
        return TL_OK;
    return fail(host, TL_ERROR_ARGUMENT, "cpu: winograd = %s: it takes 0 or 1", text);
}

void tl__cpu_identify(cpu_device *device) {
    static const char *const uses[] = {
        [CPU_WINOGRAD_NEVER] = "nowhere", [CPU_WINOGRAD_AUTO] = "where it may be", [CPU_WINOGRAD_ALWAYS] = "everywhere"};
    const unsigned long long tuned = tl__cpu_tuned_hash(device);
    int length = snprintf(device->identity, sizeof(device->identity), "%s, Winograd %s", tl__cpu_isa_title(device->isa),
                          uses[device->winograd]);
    if (tuned)
        snprintf(device->identity + length, sizeof(device->identity) - (size_t)length, ", tuned %016llx", tuned);
}

static tl_status device_open(const tl_host *host, uint32_t index, tl_backend_device **out) {
    int threads;
    cpu_isa isa;
    cpu_winograd_use winograd;
    if (index != 0)
        return fail(host, TL_ERROR_NOT_FOUND, "cpu: there is one device, not %u", (unsigned)index + 1);
    tl_status status = option_threads(host, &threads);
    if (status == TL_OK)
        status = tl__cpu_option_isa(host, &isa);
    if (status == TL_OK)
        status = option_winograd(host, &winograd);
    if (status != TL_OK)
        return status;
    cpu_device *device = host->allocate(host->user, sizeof(*device), CPU_ALIGNMENT);
    if (!device)
        return fail(host, TL_ERROR_MEMORY, "cpu: no memory for the device");
    *device = (cpu_device){
        .base.ops = &device_ops,
        .host = host,
        .threads = threads,
        .isa = isa,
        .winograd = winograd,
        .kernels = tl__cpu_isa_kernels(isa),
        .l1 = tl__cpu_cache_size(1),
        .l2 = tl__cpu_cache_size(2),
        .l3 = tl__cpu_cache_size(3),
        .memory = tl__cpu_memory(),
    };
    status = tl__cpu_tuned_begin(device);
    if (status == TL_OK && threads > 1 && !(device->team = tl__cpu_team_create(device, threads)))
        status = fail(host, TL_ERROR_MEMORY, "cpu: no memory for the device");
    if (status != TL_OK) {
        device_close(&device->base);
        return status;
    }
    snprintf(device->description, sizeof(device->description), "%s, %d thread%s", tl__cpu_isa_title(isa), threads,
             threads == 1 ? "" : "s");
    tl__cpu_identify(device);
    *out = &device->base;
    return TL_OK;
}

static tl_status probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count) {
    (void)host;
    if (capacity > 0) {
        tl_backend_device_info info = {
            .size = infos[0].size,
            .kind = TL_DEVICE_CPU,
            .usable = 1,
            .memory = tl__cpu_memory(),
            .units = tl__cpu_thread_count(),
        };
        tl__cpu_model(info.name, sizeof(info.name));
        snprintf(info.driver, sizeof(info.driver), "%s", tl__cpu_isa_title(tl__cpu_isa_best()));
        memcpy(&infos[0], &info, info.size < sizeof(info) ? info.size : sizeof(info));
    }
    *count = 1;
    return TL_OK;
}

static const tl_backend backend = {
    .size = sizeof(backend),
    .abi = TL_BACKEND_ABI,
    .name = "cpu",
    .version = PACKAGE_VERSION,
    .priority = 0,
    .probe = probe,
    .open = device_open,
    .tuned = tl__cpu_tuned_each,
};

TL_BACKEND_ENTRY(cpu);

TL_BACKEND_ENTRY(cpu) {
    return abi == TL_BACKEND_ABI && host->size >= sizeof(*host) ? &backend : NULL;
}
