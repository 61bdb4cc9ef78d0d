/* gemm.c: products of matrices through backends/opencl/blas.c. In this program the backend's `add` is a product: a, b and
 * y are a case's a, b and c, laid out as the case says. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "backends/opencl/blas.h"
#include "tests/ops/harness.h"

#define AT 3 /* elements before each matrix */

typedef struct form {
    opencl_gemm gemm;
    int64_t elements[3]; /* of the operands */
} form;

static form now; /* what prepare of the next kernel does */

static tl_status prepare(opencl_kernel *kernel) {
    opencl_gemm gemm = now.gemm;
    tl_status status = TL_OK;
    if (opencl_is_constant(kernel, 1)) {
        opencl_constant *copy;
        status = tl__opencl_constant_derive(kernel, 1, OPENCL_FORM('g', 0, 0, 0), (size_t)form_bytes(&kernel->operands[1]), NULL,
                                            NULL, &copy);
        gemm.b.constant = copy;
    }
    return status == TL_OK ? tl__opencl_gemm(kernel, &gemm) : status;
}

const opencl_implementation tl__opencl_add_implementations[] = {{"product", prepare}, {NULL, NULL}};
const tl_backend *tl__backend_entry_opencl(uint32_t abi, const tl_host *host);

/* Element (row, column) of matrix i of product `which`. */
static int64_t place(const opencl_matrix *matrix, int64_t which, int64_t row, int64_t column) {
    int64_t r = matrix->transposed ? column : row, c = matrix->transposed ? row : column;
    return matrix->at + which * matrix->step + r * matrix->leading + c;
}

static bool verify(const t_op *op, void *user, char *why) {
    const opencl_gemm *g = &now.gemm;
    int64_t count = now.elements[2];
    const float *a = op->operand[0].data, *b = op->operand[1].data, *y = op->operand[2].result;
    double *want = t_zeros(count), *tolerance = t_zeros(count);
    (void)user;
    for (int64_t i = 0; i < count; i++)
        want[i] = NAN; /* as poisoned: gaps between the rows are nobody's */
    for (int64_t which = 0; which < g->count; which++)
        for (int64_t i = 0; i < g->m; i++)
            for (int64_t j = 0; j < g->n; j++) {
                double sum = 0, all = 0;
                for (int64_t k = 0; k < g->k; k++) {
                    double product = (double)a[place(&g->a, which, i, k)] * b[place(&g->b, which, k, j)];
                    sum += product;
                    all += fabs(product);
                }
                int64_t at = place(&g->c, which, i, j);
                want[at] = g->alpha * sum;
                tolerance[at] = fabs(g->alpha) * all * (double)(g->k + 2) * T_UNIT;
            }
    bool ok = t_close(why, "c", y, want, tolerance, count);
    free(want);
    free(tolerance);
    return ok;
}

static void test(int m, int n, int k, bool ta, bool tb, int gap, int count, bool constant, bool integers) {
    const int64_t rows[] = {ta ? k : m, tb ? n : k, m}, columns[] = {ta ? m : k, tb ? k : n, n};
    t_op op;
    now.gemm = (opencl_gemm){.m = m, .n = n, .k = k, .count = count, .alpha = integers ? 1.0f : 0.75f,
                             .a.transposed = ta, .b.transposed = tb};
    opencl_matrix *matrices[] = {&now.gemm.a, &now.gemm.b, &now.gemm.c};
    t_begin(&op, TL_OP_ADD);
    for (int i = 0; i < 3; i++) {
        matrices[i]->operand = i;
        matrices[i]->at = gap ? AT : 0;
        matrices[i]->leading = columns[i] + gap;
        matrices[i]->step = i == 1 ? 0 : rows[i] * matrices[i]->leading + gap;
        now.elements[i] = matrices[i]->at + (count - 1) * matrices[i]->step + rows[i] * matrices[i]->leading;
        float *x = t_give(&op, i, TL_DTYPE_F32, T_SHAPE(1, 1, 1, now.elements[i]));
        if (x && integers)
            t_fill_integers(x, now.elements[i], -4, 4);
        else if (x)
            t_fill(x, now.elements[i], -1, 1);
    }
    op.operand[1].constant = constant;
    t_case(&op, verify, NULL, "%dx%dx%d%s%s gap %d count %d%s%s", m, n, k, ta ? " a'" : "", tb ? " b'" : "", gap, count,
           constant ? " constant" : "", integers ? " integers" : "");
    t_end(&op);
}

static void cases(void) {
    static const int sizes[] = {1, 7, 63, 64, 65, 127, 128, 129};
    for (int s = 0; s < 8; s++)
        for (int how = 0; how < 4; how++)
            test(sizes[s], sizes[(s + 3) % 8], sizes[(s + 5) % 8], how & 1, how >> 1, s % 2, 1, false, s >= 4);
    test(65, 33, 17, false, true, 2, 3, false, false);
    test(64, 64, 64, false, false, 0, 2, true, true);
}

/* The indirect way at sizes that are quickly checked. The parameter is the device's from here on. */
static void indirect(void) {
    static const char *const names[] = {"XGEMM_MIN_INDIRECT_SIZE"};
    static const size_t values[] = {1};
    t_device *device = t_device_open(tl__backend_entry_opencl(TL_BACKEND_ABI, t_host()), 0, NULL, 0);
    t_ok(device && tl__opencl_blas_override((opencl_device *)t_device_handle(device), "GemmRoutine", 1, names, values) == TL_OK,
         "the indirect way from the smallest product on");
    if (device)
        t_ok(t_device_close(device) == 0, "nothing is left of that device");
}

static void both(void) {
    cases();
    indirect();
    cases();
}

int main(int argc, char **argv) {
    t_builtin = tl__backend_entry_opencl;
    return t_main(argc, argv, both);
}
