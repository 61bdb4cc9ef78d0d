/* conv2d_vectors_tile.cl: what the convolutions for CPUs' cores are written with: vectors of TL_LANES floats, and sums that
 * stay in registers, MR rows by NV vectors of them. */
#define CAT_(a, b) a##b
#define CAT(a, b) CAT_(a, b)
#define vf CAT(float, TL_LANES)
#define v_load CAT(vload, TL_LANES)
#define v_store CAT(vstore, TL_LANES)
#define WIDTH (NV * TL_LANES)
#define LINE 16
#define CHAIN 80
/* Without it the sums are memory, at a quarter of the speed. */
#define UNROLL __attribute__((opencl_unroll_hint))
#define EACH_SUM UNROLL for (int i = 0; i < MR; i++) UNROLL for (int j = 0; j < NV; j++)
