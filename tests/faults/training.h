/* training.h: a small training on opencl:0, whole: from the context to the values it leaves. */
#ifndef TEST_FAULTS_TRAINING_H
#define TEST_FAULTS_TRAINING_H

#include <tl/tl.h>

enum { TRAINING_SIZE = 32, TRAINING_CLASSES = 3, TRAINING_BATCH = 4, TRAINING_STEPS = 3 };

typedef struct training {
    tl_status status;
    char message[1024]; /* of a failure */
    long left;          /* allocations that were not given back */
    float *values;      /* of all parameters after the last step, where it came to that; the caller's */
    size_t count;
    void (*step)(int which); /* told before each step, and with TRAINING_STEPS after the last; may be NULL */
} training;

void training_run(training *t);

#endif
