/* team.c: the CPU backend's threads do every item once, whatever their number, and never two at once what one number's
 * scratch is for; what a slow thread leaves, others do; a fork has the caller alone. */
#include "tests/unit/unit.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "backends/cpu/cpu.h"

static long allocations_left;

static void *allocate(void *user, size_t bytes, size_t alignment) {
    (void)user;
    return allocations_left-- == 0 ? NULL : aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
}

static void release(void *user, void *memory) {
    (void)user;
    free(memory);
}

static tl_status refuse(void *user, tl_status status, const char *text) {
    (void)user;
    (void)text;
    return status;
}

static const tl_host host = {.size = sizeof host, .allocate = allocate, .release = release, .fail = refuse};

#define MOST 100000

typedef struct seen {
    atomic_int done[MOST], inside[64], ranges;
    int64_t count, grain;
    int threads, slow; /* the thread that does one range in which the others do all the rest; -1: none */
    atomic_bool all_done, wrong;
} seen;

static void body(void *user, int64_t first, int64_t last, int thread) {
    seen *s = user;
    const int64_t least = s->grain < s->count ? s->grain : s->count;
    if (thread < 0 || thread >= s->threads || first < 0 || last > s->count || last - first < (least > 1 ? least : 1)) {
        atomic_store(&s->wrong, true);
        return;
    }
    if (atomic_fetch_add(&s->inside[thread], 1) != 0)
        atomic_store(&s->wrong, true);
    atomic_fetch_add(&s->ranges, 1);
    for (int64_t i = first; i < last; i++)
        atomic_fetch_add(&s->done[i], 1);
    int64_t all = 0;
    for (int64_t i = 0; i < s->count && s->slow >= 0; i++)
        all += atomic_load(&s->done[i]);
    if (all == s->count)
        atomic_store(&s->all_done, true);
    if (thread == s->slow)
        while (!atomic_load(&s->all_done))
            nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    atomic_fetch_sub(&s->inside[thread], 1);
}

static void run(const cpu_device *device, seen *s, int64_t count, int64_t grain) {
    for (int64_t i = 0; i < count; i++)
        s->done[i] = 0;
    s->count = count;
    s->grain = grain;
    s->ranges = 0;
    tl__cpu_parallel(device, count, grain, body, s);
    assert_false(s->wrong);
    for (int64_t i = 0; i < count; i++)
        assert_int_equal(s->done[i], 1);
}

static cpu_device *open_device(int threads) {
    cpu_device *device = calloc(1, sizeof *device);
    assert_non_null(device);
    device->host = &host;
    device->threads = threads;
    allocations_left = -1;
    device->team = tl__cpu_team_create(device, threads);
    assert_non_null(device->team);
    return device;
}

static void close_device(cpu_device *device) {
    tl__cpu_team_destroy(device, device->team);
    free(device);
}

static void every_item_once(void **state) {
    (void)state;
    static const int64_t counts[] = {1, 2, 3, 7, 64, 1000, 1001, MOST}, grains[] = {0, 1, 2, 5, 64, 999, MOST + 1};
    seen *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->slow = -1;
    for (s->threads = 2; s->threads <= 64; s->threads = s->threads * 2 - 1) {
        cpu_device *device = open_device(s->threads);
        for (size_t i = 0; i < TL__COUNT(counts); i++)
            for (size_t k = 0; k < TL__COUNT(grains); k++)
                run(device, s, counts[i], grains[k]);
        for (int i = 0; i < 2000; i++) /* one after the other, and now and then after a sleep */ {
            run(device, s, 1 + i % 50, 1);
            if (i % 500 == 0)
                nanosleep(&(struct timespec){.tv_nsec = 2000000}, NULL);
        }
        close_device(device);
    }
    free(s);
}

/* The caller's number is 0: whoever is slow, the others finish what it has not begun. */
static void the_slow_are_robbed(void **state) {
    (void)state;
    seen *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->threads = 4;
    cpu_device *device = open_device(s->threads);
    for (int64_t grain = 1; grain <= 8; grain *= 2) {
        atomic_store(&s->all_done, false);
        run(device, s, 4096, grain);
        assert_true(atomic_load(&s->all_done));
    }
    close_device(device);
    free(s);
}

static void beyond_32_bits_body(void *user, int64_t first, int64_t last, int thread) {
    (void)thread;
    atomic_fetch_add((_Atomic int64_t *)user, last - first);
}

static void beyond_32_bits(void **state) {
    (void)state;
    static const int64_t counts[] = {INT32_MAX, (int64_t)UINT32_MAX + 2, (int64_t)1 << 40, ((int64_t)1 << 40) + 12345};
    cpu_device *device = open_device(3);
    for (size_t i = 0; i < TL__COUNT(counts); i++) {
        _Atomic int64_t sum = 0;
        tl__cpu_parallel(device, counts[i], 1, beyond_32_bits_body, &sum);
        assert_true(sum == counts[i]);
    }
    close_device(device);
}

static void a_fork_works_alone(void **state) {
    (void)state;
    seen *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->threads = 4;
    s->slow = -1;
    cpu_device *device = open_device(s->threads);
    run(device, s, 1000, 1);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        run(device, s, 1000, 1);
        close_device(device);
        _exit(s->ranges == 1 ? 0 : 1);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    run(device, s, 1000, 1);
    close_device(device);
    free(s);
}

static void no_memory(void **state) {
    (void)state;
    cpu_device device = {.host = &host};
    for (long n = 0; n < 3; n++) {
        allocations_left = n;
        assert_null(tl__cpu_team_create(&device, 4));
    }
    allocations_left = -1;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_once), cmocka_unit_test(the_slow_are_robbed), cmocka_unit_test(beyond_32_bits),
        cmocka_unit_test(a_fork_works_alone), cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
