/* probe.c: platforms and devices, in the order in which the ICD loader names them.
 *
 * A driver may crash or hang when it is asked for its devices. As long as this process has not made a call of OpenCL, a
 * child makes the first ones; if it does not come back with an answer, this process makes none at all, because the loader
 * would ask that driver again, whichever device is wanted. Once a device was opened here, a child could not use OpenCL
 * (drivers do not survive fork) and need not. The option "probe" = here does without a child. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "backends/opencl/probe.h"

#define MAX_PLATFORMS 32
#define MAX_DEVICES PROBE_DEVICES
#ifndef CL_PLATFORM_NOT_FOUND_KHR
#define CL_PLATFORM_NOT_FOUND_KHR (-1001) /* of the ICD loader: no driver */
#endif
#define PATIENCE 10000 /* ms that all drivers together have to answer */

cl_int tl__opencl_text(cl_device_id id, cl_device_info what, char *text, size_t size) {
    char all[1024] = "";
    cl_int code = clGetDeviceInfo(id, what, sizeof(all) - 1, all, NULL);
    if (code != CL_SUCCESS)
        all[0] = '\0';
    const char *from = all;
    while (*from == ' ')
        from++;
    snprintf(text, size, "%s", from);
    for (size_t n = strlen(text); n > 0 && text[n - 1] == ' '; n--)
        text[n - 1] = '\0';
    return code;
}

typedef struct found {
    cl_platform_id platform;
    cl_device_id id;
} found;

typedef struct listing {
    uint32_t count;
    int rusticl;      /* its devices; -1: it is not there */
    cl_int code;      /* of the first call that failed, though it should not */
    const char *call; /* which */
} listing;

static void note_code(listing *l, cl_int code, const char *call) {
    if (code == CL_SUCCESS || code == CL_DEVICE_NOT_FOUND || code == CL_PLATFORM_NOT_FOUND_KHR || l->code != CL_SUCCESS)
        return;
    l->code = code;
    l->call = call;
}

static listing list(found *all, uint32_t capacity) {
    cl_platform_id platforms[MAX_PLATFORMS];
    cl_uint platform_count = 0;
    listing l = {.rusticl = -1};
    cl_int code = clGetPlatformIDs(MAX_PLATFORMS, platforms, &platform_count);
    note_code(&l, code, "clGetPlatformIDs");
    for (cl_uint p = 0; code == CL_SUCCESS && p < platform_count && p < MAX_PLATFORMS; p++) {
        cl_device_id ids[MAX_DEVICES];
        cl_uint device_count = 0;
        char name[64] = "";
        cl_int own = clGetDeviceIDs(platforms[p], CL_DEVICE_TYPE_ALL, MAX_DEVICES, ids, &device_count);
        note_code(&l, own, "clGetDeviceIDs");
        clGetPlatformInfo(platforms[p], CL_PLATFORM_NAME, sizeof(name) - 1, name, NULL);
        if (own != CL_SUCCESS)
            device_count = 0;
        if (strcmp(name, "rusticl") == 0)
            l.rusticl = (int)device_count;
        for (cl_uint d = 0; d < device_count && d < MAX_DEVICES && l.count < capacity; d++)
            all[l.count++] = (found){platforms[p], ids[d]};
    }
    return l;
}

/* What cannot be used, and why; "" if it can. */
static const char *refusal(cl_device_id id) {
    char version[128];
    cl_bool available = CL_FALSE, compiler = CL_FALSE, little = CL_FALSE;
    int major = 0, minor = 0;
    tl__opencl_text(id, CL_DEVICE_VERSION, version, sizeof(version));
    clGetDeviceInfo(id, CL_DEVICE_AVAILABLE, sizeof(available), &available, NULL);
    clGetDeviceInfo(id, CL_DEVICE_COMPILER_AVAILABLE, sizeof(compiler), &compiler, NULL);
    clGetDeviceInfo(id, CL_DEVICE_ENDIAN_LITTLE, sizeof(little), &little, NULL);
    if (sscanf(version, "OpenCL %d.%d", &major, &minor) != 2 || major * 10 + minor < 12)
        return "it offers less than OpenCL 1.2";
    if (!available)
        return "its driver says that it is not available";
    if (!compiler)
        return "its driver has no compiler";
    return little ? "" : "its bytes are in big-endian order";
}

static tl_device_kind kind_of(cl_device_id id) {
    cl_device_type type = 0;
    clGetDeviceInfo(id, CL_DEVICE_TYPE, sizeof(type), &type, NULL);
    return type & CL_DEVICE_TYPE_GPU ? TL_DEVICE_GPU : type & CL_DEVICE_TYPE_CPU ? TL_DEVICE_CPU : TL_DEVICE_OTHER;
}

static tl_backend_device_info describe(const found *f, uint32_t size) {
    tl_backend_device_info info = {.size = size, .kind = kind_of(f->id)};
    cl_ulong memory = 0;
    cl_uint units = 0;
    char driver[64], version[96], platform[96] = "";
    tl__opencl_text(f->id, CL_DEVICE_NAME, info.name, sizeof(info.name));
    tl__opencl_text(f->id, CL_DRIVER_VERSION, driver, sizeof(driver));
    tl__opencl_text(f->id, CL_DEVICE_VERSION, version, sizeof(version));
    clGetPlatformInfo(f->platform, CL_PLATFORM_NAME, sizeof(platform) - 1, platform, NULL);
    clGetDeviceInfo(f->id, CL_DEVICE_GLOBAL_MEM_SIZE, sizeof(memory), &memory, NULL);
    clGetDeviceInfo(f->id, CL_DEVICE_MAX_COMPUTE_UNITS, sizeof(units), &units, NULL);
    version[strcspn(version, " ") + 4 < sizeof(version) ? strcspn(version, " ") + 4 : 0] = '\0';
    snprintf(info.driver, sizeof(info.driver), "%.60s %.40s, %.16s", platform, driver, version);
    snprintf(info.note, sizeof(info.note), "%s", refusal(f->id));
    info.usable = !info.note[0];
    info.memory = memory;
    info.units = units;
    return info;
}

/* ---- this process or a child ---- */

/* The process that made calls of OpenCL; 0: none yet. */
static atomic_int used_by;

/* What is known of the machine, under the lock. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct {
    bool known;
    bool refused; /* a child did not answer: no calls here */
    probe_report report;
    probe_notes notes;
} machine;

static tl_status forked(const tl_host *host) {
    int user = atomic_load(&used_by);
    if (user == 0 || user == (int)getpid())
        return TL_OK;
    return host->fail(host->user, TL_ERROR_DEVICE, "opencl: the process that this one was forked from has used OpenCL: "
                                                   "drivers do not survive that; fork before, or exec after");
}

void tl__opencl_report(probe_report *report) {
    found all[MAX_DEVICES];
    probe_vendors vendors;
    const char *enabled = getenv("RUSTICL_ENABLE");
    memset(report, 0, sizeof(*report));
    listing there = list(all, MAX_DEVICES);
    report->count = there.count;
    for (uint32_t i = 0; i < report->count; i++)
        report->infos[i] = describe(&all[i], sizeof(report->infos[i]));
    report->idle_rusticl = there.rusticl == 0 && (!enabled || !*enabled);
    tl__opencl_vendors(&vendors);
    tl__opencl_vendors_broken(&vendors, report);
    tl__opencl_nodes("/dev", report);
}

static void look(bool here) {
    static probe_vendors vendors;
    int why = 0;
    probe_end end = PROBE_IMPOSSIBLE;
    tl__opencl_vendors(&vendors);
    /* Where a driver is loaded, someone else of this process uses OpenCL. */
    if (!here && !tl__opencl_vendor_loaded(&vendors))
        end = tl__opencl_report_of_child(NULL, PATIENCE, &machine.report, &why);
    machine.notes.count = 0;
    machine.refused = end == PROBE_CRASHED || end == PROBE_HUNG;
    if (machine.refused) {
        machine.report.count = 0;
        tl__opencl_notes_of_end(end, why, PATIENCE, &vendors, &machine.notes);
    } else {
        if (end == PROBE_IMPOSSIBLE) {
            atomic_store(&used_by, (int)getpid());
            tl__opencl_report(&machine.report);
        }
        tl__opencl_notes(&machine.report, &vendors, &machine.notes);
    }
    machine.known = true;
}

static tl_status asked(const tl_host *host, bool *here) {
    const char *text = host->option(host->user, "probe");
    if (text && strcmp(text, "here") != 0 && strcmp(text, "child") != 0)
        return host->fail(host->user, TL_ERROR_ARGUMENT, "opencl: probe takes child or here");
    *here = text && strcmp(text, "here") == 0;
    return TL_OK;
}

static void put(tl_backend_device_info *infos, uint32_t i, const tl_backend_device_info *info) {
    tl_backend_device_info *to = (tl_backend_device_info *)((char *)infos + i * (size_t)infos->size);
    tl_backend_device_info out = *info;
    out.size = to->size;
    memcpy(to, &out, to->size < sizeof(out) ? to->size : sizeof(out));
}

/* What a usable device is to libtl beside what its driver says. */
static tl_backend_device_info remarked(const tl_host *host, const tl_backend_device_info *info) {
    tl_backend_device_info with = *info;
    const size_t used = strlen(info->note);
    if (info->usable && !tl__opencl_is_vectors(info->kind, info->name, host->option(host->user, "vectors")))
        snprintf(with.note + used, sizeof(with.note) - used, "%sstores the frozen part as fp16 on request (precision = fp16)",
                 used ? "; " : "");
    return with;
}

/* Devices, and then remarks on what is missing. */
tl_status tl__opencl_probe(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count) {
    bool here = false;
    tl_status status = forked(host);
    if (status == TL_OK)
        status = asked(host, &here);
    if (status != TL_OK)
        return status;
    pthread_mutex_lock(&lock);
    if (!machine.known || (here && machine.refused))
        look(here);
    *count = machine.report.count + machine.notes.count;
    for (uint32_t i = 0; i < *count && i < capacity; i++) {
        if (i < machine.report.count) {
            const tl_backend_device_info info = remarked(host, &machine.report.infos[i]);
            put(infos, i, &info);
            continue;
        }
        tl_backend_device_info missing = {.kind = TL_DEVICE_REMARK, .name = "OpenCL"};
        memcpy(missing.note, machine.notes.texts[i - machine.report.count], sizeof(missing.note));
        put(infos, i, &missing);
    }
    pthread_mutex_unlock(&lock);
    return TL_OK;
}

/* A device has its place by the order of all: where a platform fails, others would stand in its place. */
tl_status tl__opencl_find(const tl_host *host, uint32_t index, cl_platform_id *platform, cl_device_id *id) {
    found all[MAX_DEVICES];
    char text[128];
    tl_status status = forked(host);
    if (status != TL_OK)
        return status;
    pthread_mutex_lock(&lock);
    bool refused = machine.known && machine.refused;
    pthread_mutex_unlock(&lock);
    if (refused)
        return host->fail(host->user, TL_ERROR_DEVICE, "opencl: a driver crashes or hangs when it is asked for its devices");
    atomic_store(&used_by, (int)getpid());
    listing there = list(all, MAX_DEVICES);
    if (there.code != CL_SUCCESS) {
        snprintf(text, sizeof(text), "opencl: %s: %s (%d)", there.call, tl__opencl_code_name(there.code), (int)there.code);
        return host->fail(host->user, TL_ERROR_DEVICE, text);
    }
    if (index >= there.count)
        return host->fail(host->user, TL_ERROR_NOT_FOUND, "opencl: there is no such device");
    *platform = all[index].platform;
    *id = all[index].id;
    return TL_OK;
}
