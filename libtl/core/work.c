#include "core/core.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>
#ifdef __linux__
#include <sched.h>
#endif

#define MOST 8

int tl__processors(void) {
    long count = 0;
#ifdef __linux__
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        count = CPU_COUNT(&set);
#endif
    if (count <= 0)
        count = sysconf(_SC_NPROCESSORS_ONLN);
    return count < 1 ? 1 : count > MOST ? MOST : (int)count;
}

typedef struct work {
    atomic_size_t next;
    size_t count;
    void (*each)(void *user, size_t index);
    void *user;
} work;

static void *share(void *argument) {
    work *w = argument;
    for (size_t i; (i = atomic_fetch_add_explicit(&w->next, 1, memory_order_relaxed)) < w->count;)
        w->each(w->user, i);
    return NULL;
}

int tl__thread_start(pthread_t *thread, void *(*body)(void *), void *argument) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(thread, NULL, body, argument);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

void tl__work(size_t count, void (*each)(void *user, size_t index), void *user) {
    work w = {.count = count, .each = each, .user = user};
    pthread_t others[MOST - 1];
    int started = 0, wanted = tl__processors() - 1;
    atomic_init(&w.next, 0);
    while (started < wanted && (size_t)started + 1 < count && tl__thread_start(&others[started], share, &w) == 0)
        started++;
    share(&w);
    for (int i = 0; i < started; i++)
        pthread_join(others[i], NULL);
}
