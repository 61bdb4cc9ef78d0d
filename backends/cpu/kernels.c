/* kernels.c: the table of the functions of one instruction set; compiled for each. */
#include "backends/cpu/kernels.h"
#include "backends/cpu/vector.h"

#define CPU_ENTRY(result, name, arguments) .name = CPU_NAME(name),

const cpu_kernels CPU_NAME(kernels) = {.lanes = VL, CPU_KERNEL_LIST(CPU_ENTRY)};
