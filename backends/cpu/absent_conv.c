#include "backends/cpu/cpu.h"

#define CPU_ABSENT(stem) const cpu_implementation tl__cpu_##stem##_implementations[] = {{NULL, NULL}};

CPU_ABSENT(conv2d)
CPU_ABSENT(conv2d_grad_input)
CPU_ABSENT(conv2d_grad_weight)
