/* isa.c: what the machine is: instruction sets, threads, caches, memory, its name. */
#ifdef HAVE_CONFIG_H
#include "config.h"
#endif

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#ifdef TL_CPU_X86
#include <cpuid.h>
#endif
#if defined(TL_CPU_X86) && defined(__linux__)
#include <sys/syscall.h>
#endif

#include "backends/cpu/bf16.h"
#include "backends/cpu/cpu.h"
#include "backends/cpu/kernels.h"

static const struct {
    const char *name, *title;
} isas[CPU_ISA_COUNT] = {
    [CPU_ISA_BASELINE] = {"baseline", "baseline"},
    [CPU_ISA_AVX2] = {"avx2", "AVX2"},
    [CPU_ISA_AVX512] = {"avx512", "AVX-512"},
    [CPU_ISA_NEON] = {"neon", "NEON"},
    [CPU_ISA_AVX512BF16] = {"avx512bf16", "AVX-512 with bf16"},
    [CPU_ISA_AMX] = {"amx", "AVX-512 with AMX"},
};

const char *tl__cpu_isa_name(cpu_isa isa) {
    return isas[isa].name;
}

const char *tl__cpu_isa_title(cpu_isa isa) {
    return isas[isa].title;
}

#ifdef TL_CPU_X86
/* The operating system must save the wide registers too: XCR0 says whether it does. */
static unsigned enabled_state(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & (1u << 27))) /* OSXSAVE */
        return 0;
    unsigned low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
}

static bool has_avx2(void) {
    unsigned a, b, c, d;
    if ((enabled_state() & 0x6) != 0x6 || !__get_cpuid(1, &a, &b, &c, &d))
        return false;
    bool fma = c & (1u << 12), avx = c & (1u << 28), f16c = c & (1u << 29);
    return fma && avx && f16c && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & (1u << 5));
}

static bool has_avx512(void) {
    const unsigned needed = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    unsigned a, b, c, d;
    return has_avx2() && (enabled_state() & 0xe6) == 0xe6 && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (b & needed) == needed;
}

#ifdef TL_CPU_BF16
static bool has_avx512bf16(void) {
    unsigned a, b, c, d;
    return has_avx512() && __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a & (1u << 5));
}

/* Tiles are large, so that Linux lets a process have them only after it has asked: for all its threads, once. */
static bool has_amx(void) {
    unsigned a, b, c, d;
    const unsigned needed = 1u << 22 | 1u << 24, state = 3u << 17; /* AMX-BF16, AMX-TILE */
    return has_avx512bf16() && (enabled_state() & state) == state && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           (d & needed) == needed && syscall(SYS_arch_prctl, 0x1023 /* ARCH_REQ_XCOMP_PERM */, 18) == 0;
}
#endif
#endif

bool tl__cpu_isa_available(cpu_isa isa) {
    switch (isa) {
    case CPU_ISA_BASELINE: /* what every CPU of the architecture has: on 64-bit ARM, NEON */
        return true;
#ifdef TL_CPU_NEON
    case CPU_ISA_NEON:
        return true;
#endif
#ifdef TL_CPU_X86
    case CPU_ISA_AVX2:
        return has_avx2();
    case CPU_ISA_AVX512:
        return has_avx512();
#ifdef TL_CPU_BF16
    case CPU_ISA_AVX512BF16:
        return has_avx512bf16();
    case CPU_ISA_AMX:
        return has_amx();
#endif
#endif
    default:
        return false;
    }
}

cpu_isa tl__cpu_isa_best(void) {
    static const cpu_isa order[] = {CPU_ISA_AMX, CPU_ISA_AVX512BF16, CPU_ISA_AVX512, CPU_ISA_AVX2, CPU_ISA_NEON};
    for (size_t i = 0; i < sizeof(order) / sizeof(order[0]); i++)
        if (tl__cpu_isa_available(order[i]))
            return order[i];
    return CPU_ISA_BASELINE;
}

const cpu_kernels *tl__cpu_isa_kernels(cpu_isa isa) {
    switch (isa) {
#ifdef TL_CPU_X86
    case CPU_ISA_AVX2:
        return &tl__cpu_kernels_avx2;
    case CPU_ISA_AVX512:
    case CPU_ISA_AVX512BF16:
    case CPU_ISA_AMX:
        return &tl__cpu_kernels_avx512;
#endif
    default:
#ifdef TL_CPU_NEON
        return &tl__cpu_kernels_neon;
#else
        return &tl__cpu_kernels_baseline;
#endif
    }
}

unsigned tl__cpu_thread_count(void) {
    long count = 0;
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0)
        count = CPU_COUNT(&set);
#endif
    if (count < 1)
        count = sysconf(_SC_NPROCESSORS_ONLN);
    if (count < 1)
        count = 1;
    return count > CPU_MAX_THREADS ? CPU_MAX_THREADS : (unsigned)count;
}

uint64_t tl__cpu_memory(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

size_t tl__cpu_cache_size(int level) {
    static const size_t usual[] = {32 << 10, 512 << 10, 4 << 20};
    long size = 0;
#ifdef _SC_LEVEL1_DCACHE_SIZE
    static const int names[] = {_SC_LEVEL1_DCACHE_SIZE, _SC_LEVEL2_CACHE_SIZE, _SC_LEVEL3_CACHE_SIZE};
    size = sysconf(names[level - 1]);
#endif
    return size > 0 ? (size_t)size : usual[level - 1];
}

#ifdef TL_CPU_X86
/* What /proc/cpuinfo has, too, but that may take milliseconds to open: it asks every processor for its clock. */
static bool brand(char *name, size_t size) {
    unsigned words[12];
    char text[sizeof(words) + 1] = "", *from = text;
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002 + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]))
            return false;
    memcpy(text, words, sizeof(words));
    from += strspn(from, " ");
    for (size_t end = strlen(from); end > 0 && from[end - 1] == ' '; end--)
        from[end - 1] = '\0';
    if (*from)
        snprintf(name, size, "%s", from);
    return *from != '\0';
}
#endif

void tl__cpu_model(char *name, size_t size) {
    char line[256];
    snprintf(name, size, "CPU");
#ifdef TL_CPU_X86
    if (brand(name, size))
        return;
#endif
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        char *value = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        if (*value)
            snprintf(name, size, "%s", value);
        break;
    }
    fclose(file);
}
