/* device.c: backends, devices and their host for the tests of operations; and main. */
#include "tests/ops/device.h"

#include <ctype.h>
#include <dlfcn.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The backend that is built into libtl, by the name that TL_BACKEND_ENTRY gives it. */
const tl_backend *tl__backend_entry_cpu(uint32_t abi, const tl_host *host);

struct t_device {
    tl_host host;
    tl_backend_device *handle;
    uint64_t alignment;
    long live; /* allocations not given back */
    const char *isa;
    const char *backend; /* whose options come from the environment; NULL: of none */
    char threads[16];
};

tl_backend_entry_fn t_builtin;
static t_variants variants[8];
static int variant_count;
static const char *filter, *equal, *most;
static long left_out; /* as larger than --most */
static char failure[512];
static tl_status failure_status;
static long countdown = -1;
static bool countdown_hit;
static long cases_run, cases_failed;

/* ---- host ---- */

static void *host_allocate(void *user, size_t bytes, size_t alignment) {
    t_device *device = user;
    if (countdown == 0) {
        countdown = -1;
        countdown_hit = true;
        return NULL;
    }
    if (countdown > 0)
        countdown--;
    void *memory = aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (memory) {
        memset(memory, 0xff, bytes);
        if (device)
            device->live++;
    }
    return memory;
}

static void host_release(void *user, void *memory) {
    t_device *device = user;
    if (memory && device)
        device->live--;
    free(memory);
}

static void host_log(void *user, tl_log_level level, const char *text) {
    (void)user;
    (void)level;
    t_note("log: %s", text);
}

static const char *host_option(void *user, const char *name) {
    t_device *device = user;
    if (device && strcmp(name, "isa") == 0)
        return device->isa;
    if (device && strcmp(name, "threads") == 0 && device->threads[0])
        return device->threads;
    if (device && !device->backend && strcmp(name, "winograd") == 0)
        return getenv("TL_CPU_WINOGRAD");
    if ((!device || !device->backend) && strcmp(name, "cache") == 0) /* what a user measured is not to matter here */
        return getenv("TL_CPU_CACHE") ? getenv("TL_CPU_CACHE") : "none";
    if (device && device->backend) {
        char variable[64];
        snprintf(variable, sizeof(variable), "TL_%s_%s", device->backend, name);
        for (char *c = variable; *c; c++)
            *c = (char)toupper((unsigned char)*c);
        return getenv(variable);
    }
    return NULL;
}

static tl_status host_fail(void *user, tl_status status, const char *text) {
    (void)user;
    snprintf(failure, sizeof(failure), "%s", text);
    failure_status = status;
    return status;
}

static tl_host make_host(void *user) {
    return (tl_host){sizeof(tl_host), TL_BACKEND_ABI, user, host_allocate, host_release, host_log, host_option,
                     host_fail};
}

const tl_host *t_host(void) {
    static tl_host host;
    host = make_host(NULL);
    return &host;
}

const char *t_failure(void) {
    return failure;
}

tl_status t_failure_status(void) {
    return failure_status;
}

void t_allocations_fail_after(long count) {
    countdown = count;
    countdown_hit = false;
}

bool t_allocation_failed(void) {
    return countdown_hit;
}

/* ---- devices ---- */

t_device *t_device_open(const tl_backend *backend, uint32_t index, const char *isa, int threads) {
    t_device *device = t_allocate(sizeof(*device));
    device->host = make_host(device);
    device->isa = isa;
    device->backend = strcmp(backend->name, "cpu") != 0 ? backend->name : NULL;
    if (threads)
        snprintf(device->threads, sizeof(device->threads), "%d", threads);
    if (backend->open(&device->host, index, &device->handle) != TL_OK) {
        free(device);
        return NULL;
    }
    tl_device_properties properties = {.size = sizeof(properties)};
    if (device->handle->ops->properties(device->handle, &properties) != TL_OK) {
        t_device_close(device);
        return NULL;
    }
    device->alignment = properties.alignment;
    return device;
}

long t_device_close(t_device *device) {
    device->handle->ops->close(device->handle);
    long live = device->live;
    free(device);
    return live;
}

tl_backend_device *t_device_handle(const t_device *device) {
    return device->handle;
}

uint64_t t_device_alignment(const t_device *device) {
    return device->alignment;
}

int t_variant_count(void) {
    return variant_count;
}

t_variants *t_variant(int i) {
    return &variants[i];
}

bool t_wanted(const char *name, int64_t work) {
    if (filter && !strstr(name, filter))
        return false;
    bool large = most && work > strtoll(most, NULL, 10);
    left_out += large;
    return !large;
}

/* The CPU: every instruction set that TL_CPU_ISA takes here (or the one it names already), in three team sizes; under
 * sanitizers, which are slow, in the smallest and the largest. */
#ifdef __SANITIZE_ADDRESS__
static const int team_sizes[] = {1, 8};
#else
static const int team_sizes[] = {1, 2, 8};
#endif
bool t_every_isa;

static void open_cpu(const tl_backend *backend) {
    static const char *const isas[] = {"baseline", "avx2", "avx512", "neon", "avx512bf16", "amx"};
    const char *only = getenv("TL_CPU_ISA");
    char chosen[32] = "";
    if (only)
        snprintf(chosen, sizeof(chosen), "%s", only);
    for (size_t i = 0; i < sizeof(isas) / sizeof(isas[0]); i++) {
        if (chosen[0] ? strcmp(chosen, isas[i]) != 0 : i >= 4 && !t_every_isa)
            continue;
        setenv("TL_CPU_ISA", isas[i], 1);
        t_variants *v = &variants[variant_count];
        v->name = isas[i];
        for (size_t t = 0; t < sizeof(team_sizes) / sizeof(team_sizes[0]); t++) {
            v->teams[v->team_count] = t_device_open(backend, 0, NULL, team_sizes[t]);
            v->team_count += v->teams[v->team_count] != NULL;
        }
        variant_count += v->team_count > 0;
    }
    if (chosen[0])
        setenv("TL_CPU_ISA", chosen, 1);
    else
        unsetenv("TL_CPU_ISA");
}

const tl_backend *t_backend_load(const char *plugin) {
    void *library = dlopen(plugin, RTLD_NOW | RTLD_LOCAL);
    tl_backend_entry_fn entry = NULL;
    if (library)
        *(void **)&entry = dlsym(library, TL_BACKEND_ENTRY_SYMBOL);
    return entry ? entry(TL_BACKEND_ABI, t_host()) : NULL;
}

/* "opencl:1" from `plugin`, or "cpu". False: there is no such device. */
static bool open_variants(const char *name, const char *plugin) {
    const char *colon = strchr(name, ':');
    uint32_t index = colon ? (uint32_t)strtoul(colon + 1, NULL, 10) : 0;
    tl_host host = make_host(NULL);
    if (!plugin && !t_builtin) {
        if (strcmp(name, "cpu") == 0)
            open_cpu(tl__backend_entry_cpu(TL_BACKEND_ABI, &host));
        return variant_count > 0;
    }
    const tl_backend *backend = plugin ? t_backend_load(plugin) : t_builtin(TL_BACKEND_ABI, &host);
    if (!backend)
        return false;
    t_variants *v = &variants[variant_count++];
    const bool both = equal && strcmp(equal, "cpu") == 0;
    if (both)
        v->teams[v->team_count++] = t_device_open(tl__backend_entry_cpu(TL_BACKEND_ABI, &host), 0, NULL, 1);
    v->teams[v->team_count++] = t_device_open(backend, index, NULL, 0);
    return v->teams[0] && v->teams[v->team_count - 1] && !equal == !both;
}

/* ---- main and TAP ---- */

void t_ok(bool ok, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("%s %ld - ", ok ? "ok" : "not ok", ++cases_run);
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    cases_failed += !ok;
}

void t_note(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    printf("# ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
}

int t_main(int argc, char **argv, void (*cases)(void)) {
    const char *device = "cpu", *plugin = NULL;
    for (int i = 1; i < argc; i++) {
        const char **option = strcmp(argv[i], "--device") == 0   ? &device
                              : strcmp(argv[i], "--plugin") == 0 ? &plugin
                              : strcmp(argv[i], "--filter") == 0 ? &filter
                              : strcmp(argv[i], "--equal") == 0  ? &equal
                              : strcmp(argv[i], "--most") == 0   ? &most
                                                                 : NULL;
        if (!option || i + 1 == argc) {
            fprintf(stderr, "usage: %s [--device NAME] [--plugin FILE] [--equal cpu] [--filter TEXT] [--most N]\n",
                    argv[0]);
            return 2;
        }
        *option = argv[++i];
    }
    if (!open_variants(device, plugin)) {
        printf("Bail out! device %s does not open: %s\n", device, failure);
        return 1;
    }
    cases();
    for (int v = 0; v < variant_count; v++)
        for (int t = 0; t < variants[v].team_count; t++) {
            long live = t_device_close(variants[v].teams[t]);
            if (live != 0)
                t_ok(false, "%ld allocations were not given back", live);
        }
    if (left_out)
        t_note("%ld cases were left out as larger than %s", left_out, most);
    printf("1..%ld\n", cases_run);
    return cases_failed > 0;
}

/* ---- values ---- */

int64_t t_count(const tl_tensor_desc *desc) {
    int64_t count = 1;
    for (int i = 0; i < desc->rank; i++)
        count *= desc->shape[i];
    return count;
}

size_t t_size(int dtype) {
    static const size_t sizes[] = {0, 4, 2, 2, 8, 1, 1, 4, 8};
    return sizes[dtype];
}

uint32_t t_random(void) {
    static uint64_t state = 0x9e3779b97f4a7c15u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 32);
}

double t_uniform(double low, double high) {
    return low + (high - low) * t_random() / 4294967296.0;
}

void t_fill(float *x, int64_t count, double low, double high) {
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)t_uniform(low, high);
}

void t_fill_integers(float *x, int64_t count, int low, int high) {
    for (int64_t i = 0; i < count; i++)
        x[i] = (float)(low + (int)(t_random() % (unsigned)(high - low + 1)));
}

void *t_allocate(size_t bytes) {
    void *memory = calloc(1, bytes + 1);
    if (!memory) {
        printf("Bail out! out of memory\n");
        exit(1);
    }
    return memory;
}

double *t_zeros(int64_t count) {
    return t_allocate((size_t)count * sizeof(double));
}

double *t_f64(const float *x, int64_t count) {
    if (!x)
        return NULL;
    double *y = t_zeros(count);
    for (int64_t i = 0; i < count; i++)
        y[i] = x[i];
    return y;
}
