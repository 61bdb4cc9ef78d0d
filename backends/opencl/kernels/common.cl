/* common.cl: what every program begins with. TL_VECTORS: a CPU's cores behind OpenCL (1) or a GPU (0); TL_LANES: floats in
 * a vector of the hardware (1 on GPUs). Products are added with fma() where one rounding is meant and never contracted
 * otherwise, so that results are the same on every device that follows the standard. */
#pragma OPENCL FP_CONTRACT OFF

/* A buffer's two parameters, and at the top of the body the step to where the operand begins. Absent operands are NULL. */
#define ARG(type, name) global type *name, ulong name##_at
#define AT(name) name += name##_at
