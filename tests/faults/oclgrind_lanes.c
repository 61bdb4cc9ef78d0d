/* oclgrind_lanes.c: preloaded into a program under `oclgrind --uninitialized`, tools/oclgrind.sh.
 *
 * A shuffle of vectors has lanes that are nobody's: Clang joins two float4 by widening the first to eight lanes, of which
 * the last four are undefined. LLVM writes -1 for them. oclgrind 21.10 takes that for a number, in the shadow values of
 * Uninitialized::instructionExecuted alone, and copies from 4 GiB behind the value, which is nowhere: it crashes. Here such
 * a lane becomes what it is, uninitialised; a kernel that uses it is then reported as any other.
 *
 * Where this oclgrind has no such function, nothing is changed. */
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FUNCTION \
    "_ZN8oclgrind13Uninitialized19instructionExecutedEPKNS_8WorkItemEPKN4llvm11InstructionERKNS_10TypedValueE"
#define LANE 16 /* bytes at most */

static uintptr_t begin, end;

static void __attribute__((constructor)) find(void) {
    Dl_info info;
    ElfW(Sym) *symbol = NULL;
    void *function = dlsym(RTLD_DEFAULT, FUNCTION);
    if (!function || !dladdr1(function, &info, (void **)&symbol, RTLD_DL_SYMENT) || !symbol)
        return;
    begin = (uintptr_t)function;
    end = begin + symbol->st_size;
}

/* Two pages that a lane may reach into; asked of the kernel once for each page that is there. */
static bool is_there(uintptr_t at) {
    static __thread uintptr_t known[256];
    const uintptr_t size = (uintptr_t)sysconf(_SC_PAGESIZE), page = at / size * size;
    uintptr_t *slot = &known[at / size % (sizeof(known) / sizeof(known[0]))];
    unsigned char resident;
    if (*slot == page)
        return true;
    if (mincore((void *)page, 1, &resident) != 0)
        return false;
    *slot = page;
    return true;
}

void *memcpy(void *restrict to, const void *restrict from, size_t bytes) {
    const uintptr_t caller = (uintptr_t)__builtin_return_address(0), at = (uintptr_t)from;
    if (caller >= begin && caller < end && bytes > 0 && bytes <= LANE && !(is_there(at) && is_there(at + bytes - 1)))
        return memset(to, 0xff, bytes);
    return memmove(to, from, bytes);
}
