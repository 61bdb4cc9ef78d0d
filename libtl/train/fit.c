/* Which batches fit the device. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "train/trainer.h"

static const int ladder[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256};

/* What is larger than one that does not fit does not fit, so halving finds the border. */
tl_status tl__trainer_largest(tl_trainer *trainer, int limit, int *batch) {
    int low = 0, high = 0; /* of the ladder: what is below low fits, high and above do not */
    bool fits;
    *batch = 0;
    TL__TRY(tl__trainer_fits(trainer, limit, &fits));
    if (fits) {
        *batch = limit;
        return TL_OK;
    }
    while (high < (int)TL__COUNT(ladder) && ladder[high] < limit)
        high++;
    while (low < high) {
        int middle = (low + high) / 2;
        TL__TRY(tl__trainer_fits(trainer, ladder[middle], &fits));
        if (fits)
            low = middle + 1;
        else
            high = middle;
    }
    *batch = low ? ladder[low - 1] : 0;
    return TL_OK;
}

void tl__trainer_say_what_fits(tl_trainer *trainer, int count) {
    char message[sizeof trainer->context->message];
    int batch = 0, smaller = 0;
    for (size_t i = 0; i < TL__COUNT(ladder) && ladder[i] < count; i++)
        smaller = ladder[i];
    memcpy(message, trainer->context->message, sizeof message);
    tl_status status = smaller ? tl__trainer_largest(trainer, smaller, &batch) : TL_OK;
    if (status != TL_OK)
        tl__fail(trainer->context, status, "%s", message);
    else if (batch)
        tl__fail(trainer->context, status, "%.900s; a batch of %d fits", message, batch);
    else
        tl__fail(trainer->context, status, "%.900s; not even one image at a time fits", message);
}

uint64_t tl__free_memory(void) {
    unsigned long long kilobytes = 0;
    long pages = sysconf(_SC_AVPHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    char line[128];
    FILE *file = fopen("/proc/meminfo", "re"); /* what is used for files can be had, too */
    while (file && !kilobytes && fgets(line, sizeof line, file))
        if (sscanf(line, "MemAvailable: %llu kB", &kilobytes) != 1)
            kilobytes = 0;
    if (file)
        fclose(file);
    return kilobytes ? (uint64_t)kilobytes * 1024 : pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}
