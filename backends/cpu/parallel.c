/* parallel.c: the device's team of threads, which steals.
 *
 * Each thread of a call gets a contiguous range, of which it takes half of what is left at a time; one that has nothing
 * left takes the later half of what another has left. The caller waits for the threads that are at work only, never
 * for one that the system has not yet let run: on a machine that is shared, or whose cores differ, a call takes as
 * long as all its work takes all the threads that there are, where fixed shares would wait for the slowest.
 *
 * A range is one 64-bit word, so that owner and thieves need no lock. A word that was seen never comes back within a
 * call: its items are done once. And no word of an earlier call is seen: a call ends when no thread is in it. */
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <unistd.h>

#include "backends/cpu/cpu.h"

#define SPIN_SECONDS 100e-6 /* about twice what it takes to wake a thread */
#define MOST_UNITS ((int64_t)1 << 31)

/* Words of different threads are in different lines. */
typedef struct slot {
    _Alignas(CPU_ALIGNMENT) _Atomic uint64_t range; /* first << 32 | end, in units */
} slot;

typedef struct worker {
    struct cpu_team *team;
    pthread_t thread;
    int index;
} worker;

struct cpu_team {
    pthread_mutex_t mutex; /* of the two conditions */
    pthread_cond_t called; /* a call has begun, or the team ends */
    pthread_cond_t left;   /* nobody is in the call any more */
    int threads;           /* the caller's too */
    int workers;           /* of them those that run: from the first call on */
    bool begun;
    pid_t process; /* whose the workers are: a fork has none of them */
    atomic_bool ending;
    atomic_int sleepers;
    atomic_bool waiting; /* the caller, for `left` */

    _Alignas(CPU_ALIGNMENT) _Atomic uint64_t call; /* number << 32 | OPEN | threads in it */

    /* Of the call; written while nobody is in it. */
    cpu_range *body;
    void *user;
    int64_t count, unit;
    uint32_t least; /* units that are taken at a time */
    int parts;

    slot *slots;
    worker *list;
};

#define OPEN ((uint64_t)1 << 31)
#define INSIDE (OPEN - 1)

static bool is_fork(const cpu_team *team) {
    return team->begun && team->process != getpid();
}

static void pause_briefly(void) {
    for (int i = 0; i < 8; i++)
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        __asm__ volatile("isb");
#else
        atomic_signal_fence(memory_order_seq_cst);
#endif
}

/* ---- ranges ---- */

static uint64_t range_of(uint32_t first, uint32_t end) {
    return (uint64_t)first << 32 | end;
}

/* Takes the earlier half of what is left there, or all of it where halves were too small. */
static bool take(slot *own, uint32_t least, uint32_t *first, uint32_t *end) {
    uint64_t seen = atomic_load_explicit(&own->range, memory_order_relaxed);
    do {
        uint32_t from = (uint32_t)(seen >> 32), to = (uint32_t)seen, left = to - from;
        if (left == 0)
            return false;
        *first = from;
        *end = left / 2 < least ? to : to - left / 2;
    } while (!atomic_compare_exchange_weak_explicit(&own->range, &seen, range_of(*end, (uint32_t)seen),
                                                    memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Moves the later half of what another has left, or all of it, into one's own slot, which is empty. */
static bool steal(slot *own, slot *other, uint32_t least) {
    uint64_t seen = atomic_load_explicit(&other->range, memory_order_relaxed);
    uint32_t from, to;
    do {
        from = (uint32_t)(seen >> 32);
        to = (uint32_t)seen;
        uint32_t left = to - from;
        if (left == 0)
            return false;
        if (left / 2 >= least)
            from = to - left / 2;
    } while (!atomic_compare_exchange_weak_explicit(&other->range, &seen, range_of((uint32_t)(seen >> 32), from),
                                                    memory_order_relaxed, memory_order_relaxed));
    atomic_store_explicit(&own->range, range_of(from, to), memory_order_relaxed);
    return true;
}

static void work(cpu_team *team, int index) {
    slot *own = &team->slots[index];
    for (bool more = true; more;) {
        uint32_t first, end;
        while (take(own, team->least, &first, &end)) {
            int64_t last = end * team->unit;
            team->body(team->user, first * team->unit, last < team->count ? last : team->count, index);
        }
        more = false;
        for (int i = 1; i < team->parts && !more; i++)
            more = steal(own, &team->slots[(index + i) % team->parts], team->least);
    }
}

/* ---- workers ---- */

/* Enters the open call, unless it is the one numbered *number. */
static bool enter(cpu_team *team, uint32_t *number) {
    uint64_t call = atomic_load_explicit(&team->call, memory_order_acquire);
    do {
        if (!(call & OPEN) || (uint32_t)(call >> 32) == *number)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&team->call, &call, call + 1, memory_order_acquire,
                                                    memory_order_acquire));
    *number = (uint32_t)(call >> 32);
    return true;
}

static void leave(cpu_team *team) {
    uint64_t call = atomic_fetch_sub(&team->call, 1) - 1;
    if ((call & (OPEN | INSIDE)) == 0 && atomic_load(&team->waiting)) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_signal(&team->left);
        pthread_mutex_unlock(&team->mutex);
    }
}

static bool is_new(cpu_team *team, uint32_t number) {
    uint64_t call = atomic_load(&team->call);
    return (call & OPEN) && (uint32_t)(call >> 32) != number;
}

static void sleep_until_called(cpu_team *team, uint32_t number) {
    pthread_mutex_lock(&team->mutex);
    atomic_fetch_add(&team->sleepers, 1);
    while (!is_new(team, number) && !atomic_load(&team->ending))
        pthread_cond_wait(&team->called, &team->mutex);
    atomic_fetch_sub(&team->sleepers, 1);
    pthread_mutex_unlock(&team->mutex);
}

static void *run_worker(void *argument) {
    const worker *w = argument;
    cpu_team *team = w->team;
    uint32_t number = 0; /* of the last call that it was in; they begin at 1 */
    while (!atomic_load(&team->ending)) {
        if (enter(team, &number)) {
            if (w->index < team->parts)
                work(team, w->index);
            leave(team);
        }
        double until = tl__cpu_seconds() + SPIN_SECONDS;
        while (!is_new(team, number) && !atomic_load(&team->ending) && tl__cpu_seconds() < until)
            pause_briefly();
        if (!is_new(team, number))
            sleep_until_called(team, number);
    }
    return NULL;
}

/* Where the system gives fewer threads than asked for, those that there are do the work. Signals are for the program's
 * own threads. */
static void begin_workers(cpu_team *team) {
    sigset_t all, before;
    team->begun = true;
    team->process = getpid();
    sigfillset(&all);
    if (pthread_sigmask(SIG_SETMASK, &all, &before) != 0)
        return;
    for (int i = 1; i < team->threads; i++) {
        worker *w = &team->list[team->workers];
        *w = (worker){.team = team, .index = i};
        if (pthread_create(&w->thread, NULL, run_worker, w) != 0)
            break;
        team->workers++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

/* ---- calls ---- */

static void wait_for_workers(cpu_team *team) {
    double until = tl__cpu_seconds() + SPIN_SECONDS;
    while (atomic_load_explicit(&team->call, memory_order_acquire) & INSIDE) {
        if (tl__cpu_seconds() < until) {
            pause_briefly();
            continue;
        }
        pthread_mutex_lock(&team->mutex);
        atomic_store(&team->waiting, true);
        while (atomic_load(&team->call) & INSIDE)
            pthread_cond_wait(&team->left, &team->mutex);
        atomic_store(&team->waiting, false);
        pthread_mutex_unlock(&team->mutex);
    }
}

static void call(cpu_team *team, int64_t count, int64_t grain, int parts, cpu_range *body, void *user) {
    if (!team->begun)
        begin_workers(team);
    team->body = body;
    team->user = user;
    team->count = count;
    team->unit = (count + MOST_UNITS - 1) / MOST_UNITS;
    team->parts = parts;
    const int64_t units = (count + team->unit - 1) / team->unit, least = grain / team->unit;
    team->least = least < 1 ? 1 : (uint32_t)least;
    for (int i = 0; i < parts; i++)
        atomic_store_explicit(&team->slots[i].range, range_of((uint32_t)(units * i / parts), (uint32_t)(units * (i + 1) / parts)),
                              memory_order_relaxed);
    uint64_t number = (atomic_load_explicit(&team->call, memory_order_relaxed) >> 32) + 1;
    number = (uint32_t)number ? number : 1;
    atomic_store(&team->call, number << 32 | OPEN);
    if (atomic_load(&team->sleepers) > 0) {
        pthread_mutex_lock(&team->mutex);
        pthread_cond_broadcast(&team->called);
        pthread_mutex_unlock(&team->mutex);
    }
    work(team, 0);
    atomic_fetch_and(&team->call, ~OPEN);
    wait_for_workers(team);
}

void tl__cpu_parallel(const cpu_device *device, int64_t count, int64_t grain, cpu_range *body, void *user) {
    if (count <= 0)
        return;
    cpu_team *team = device->team;
    int64_t parts = grain > 1 ? count / grain : count;
    if (parts > device->threads)
        parts = device->threads;
    if (parts <= 1 || !team || is_fork(team))
        body(user, 0, count, 0);
    else
        call(team, count, grain, (int)parts, body, user);
}

/* ---- the team ---- */

cpu_team *tl__cpu_team_create(cpu_device *device, int threads) {
    cpu_team *team = tl__cpu_allocate(device, sizeof(*team));
    if (!team)
        return NULL;
    *team = (cpu_team){.threads = threads};
    team->slots = tl__cpu_allocate(device, (size_t)threads * sizeof(*team->slots));
    team->list = tl__cpu_allocate(device, (size_t)threads * sizeof(*team->list));
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->called, NULL);
    pthread_cond_init(&team->left, NULL);
    if (team->slots && team->list)
        return team;
    tl__cpu_team_destroy(device, team);
    return NULL;
}

/* In a fork nothing may be waited for: those who wait for the conditions are not there to be told. */
static void end_workers(cpu_team *team) {
    pthread_mutex_lock(&team->mutex);
    atomic_store(&team->ending, true);
    pthread_cond_broadcast(&team->called);
    pthread_mutex_unlock(&team->mutex);
    for (int i = 0; i < team->workers; i++)
        pthread_join(team->list[i].thread, NULL);
    pthread_cond_destroy(&team->left);
    pthread_cond_destroy(&team->called);
    pthread_mutex_destroy(&team->mutex);
}

void tl__cpu_team_destroy(cpu_device *device, cpu_team *team) {
    if (!team)
        return;
    if (!is_fork(team))
        end_workers(team);
    tl__cpu_release(device, team->list);
    tl__cpu_release(device, team->slots);
    tl__cpu_release(device, team);
}
