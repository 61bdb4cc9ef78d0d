#include "backends/cpu/cpu.h"

#define CPU_ABSENT(stem) const cpu_implementation tl__cpu_##stem##_implementations[] = {{NULL, NULL}};

CPU_ABSENT(normalize)
CPU_ABSENT(batchnorm)
CPU_ABSENT(batchnorm_grad)
CPU_ABSENT(maxpool2d)
CPU_ABSENT(maxpool2d_grad)
CPU_ABSENT(avgpool2d)
CPU_ABSENT(avgpool2d_grad)
CPU_ABSENT(dropout)
CPU_ABSENT(cross_entropy)
CPU_ABSENT(cross_entropy_grad)
CPU_ABSENT(adam)
