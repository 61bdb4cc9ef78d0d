/* parallel.c: the team of threads. The only file that knows OpenMP. */
#ifdef _OPENMP
#include <omp.h>
#endif

#include "backends/cpu/cpu.h"

void tl__cpu_parallel(const cpu_device *device, int64_t count, int64_t grain, cpu_range *body, void *user) {
    if (count <= 0)
        return;
    int64_t parts = grain > 1 ? count / grain : count;
    if (parts > device->threads)
        parts = device->threads;
    if (parts <= 1) {
        body(user, 0, count, 0);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel num_threads((int)parts)
    {
        /* The runtime may give fewer threads than were asked for. */
        int64_t thread = omp_get_thread_num(), team = omp_get_num_threads();
        int64_t each = count / team, rest = count % team;
        int64_t first = thread * each + (thread < rest ? thread : rest);
        int64_t last = first + each + (thread < rest);
        if (first < last)
            body(user, first, last, (int)thread);
    }
#else
    body(user, 0, count, 0);
#endif
}
