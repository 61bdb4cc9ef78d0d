/* abi.c: the layout of what passes between libtl and a backend, on machines with 64-bit pointers. A number here may
 * change only together with TL_BACKEND_ABI; a field that is added at the end of a table changes its SIZE alone. */
#include "tests/plugin/harness.h"

#include <stdio.h>
#include <tl/backend.h>

#define SIZE(type, bytes) {"sizeof " #type, sizeof(type), bytes}
#define FIELD(type, field, bytes) {"offsetof " #type "." #field, offsetof(type, field), bytes}

static const struct {
    const char *what;
    size_t is, was;
} layout[] = {
    SIZE(tl_tensor_desc, 56),
    FIELD(tl_tensor_desc, dtype, 0),
    FIELD(tl_tensor_desc, rank, 4),
    FIELD(tl_tensor_desc, shape, 8),
    SIZE(tl_op_desc, 172),
    FIELD(tl_op_desc, size, 0),
    FIELD(tl_op_desc, op, 4),
    FIELD(tl_op_desc, kernel, 8),
    FIELD(tl_op_desc, stride, 16),
    FIELD(tl_op_desc, pad, 24),
    FIELD(tl_op_desc, dilation, 32),
    FIELD(tl_op_desc, groups, 40),
    FIELD(tl_op_desc, relu, 44),
    FIELD(tl_op_desc, statistics, 48),
    FIELD(tl_op_desc, eps, 52),
    FIELD(tl_op_desc, momentum, 56),
    FIELD(tl_op_desc, p, 60),
    FIELD(tl_op_desc, stream, 64),
    FIELD(tl_op_desc, ignore_index, 68),
    FIELD(tl_op_desc, smoothing, 72),
    FIELD(tl_op_desc, scale, 76),
    FIELD(tl_op_desc, extent, 80),
    FIELD(tl_op_desc, first, 88),
    FIELD(tl_op_desc, count, 92),
    FIELD(tl_op_desc, exact, 96),
    FIELD(tl_op_desc, step, 100),
    FIELD(tl_op_desc, zero, 136),
    SIZE(tl_constant, 24),
    FIELD(tl_constant, size, 0),
    FIELD(tl_constant, id, 8),
    FIELD(tl_constant, read, 16),
    SIZE(tl_operand, 64),
    FIELD(tl_operand, desc, 0),
    FIELD(tl_operand, constant, 56),
    SIZE(tl_host, 56),
    FIELD(tl_host, size, 0),
    FIELD(tl_host, abi, 4),
    FIELD(tl_host, user, 8),
    FIELD(tl_host, allocate, 16),
    FIELD(tl_host, release, 24),
    FIELD(tl_host, log, 32),
    FIELD(tl_host, option, 40),
    FIELD(tl_host, fail, 48),
    SIZE(tl_backend_device_info, 544),
    FIELD(tl_backend_device_info, size, 0),
    FIELD(tl_backend_device_info, kind, 4),
    FIELD(tl_backend_device_info, usable, 8),
    FIELD(tl_backend_device_info, name, 12),
    FIELD(tl_backend_device_info, driver, 140),
    FIELD(tl_backend_device_info, note, 268),
    FIELD(tl_backend_device_info, memory, 528),
    FIELD(tl_backend_device_info, units, 536),
    SIZE(tl_view, 24),
    FIELD(tl_view, buffer, 0),
    FIELD(tl_view, offset, 8),
    FIELD(tl_view, bytes, 16),
    SIZE(tl_device_properties, 64),
    FIELD(tl_device_properties, size, 0),
    FIELD(tl_device_properties, kind, 4),
    FIELD(tl_device_properties, host_visible, 8),
    FIELD(tl_device_properties, memory, 16),
    FIELD(tl_device_properties, max_buffer, 24),
    FIELD(tl_device_properties, alignment, 32),
    FIELD(tl_device_properties, units, 40),
    FIELD(tl_device_properties, description, 48),
    FIELD(tl_device_properties, identity, 56),
    SIZE(tl_device_ops, 128),
    FIELD(tl_device_ops, size, 0),
    FIELD(tl_device_ops, properties, 8),
    FIELD(tl_device_ops, close, 16),
    FIELD(tl_device_ops, buffer_create, 24),
    FIELD(tl_device_ops, buffer_destroy, 32),
    FIELD(tl_device_ops, buffer_host, 40),
    FIELD(tl_device_ops, queue_create, 48),
    FIELD(tl_device_ops, queue_destroy, 56),
    FIELD(tl_device_ops, queue_write, 64),
    FIELD(tl_device_ops, queue_read, 72),
    FIELD(tl_device_ops, queue_zero, 80),
    FIELD(tl_device_ops, queue_flush, 88),
    FIELD(tl_device_ops, queue_finish, 96),
    FIELD(tl_device_ops, prepare, 104),
    FIELD(tl_device_ops, tune, 112),
    FIELD(tl_device_ops, peak, 120),
    SIZE(tl_kernel_ops, 32),
    FIELD(tl_kernel_ops, size, 0),
    FIELD(tl_kernel_ops, bind, 8),
    FIELD(tl_kernel_ops, enqueue, 16),
    FIELD(tl_kernel_ops, release, 24),
    SIZE(struct tl_backend_device, 8),
    FIELD(struct tl_backend_device, ops, 0),
    SIZE(struct tl_backend_kernel, 24),
    FIELD(struct tl_backend_kernel, ops, 0),
    FIELD(struct tl_backend_kernel, workspace, 8),
    FIELD(struct tl_backend_kernel, implementation, 16),
    SIZE(tl_backend, 56),
    FIELD(tl_backend, size, 0),
    FIELD(tl_backend, abi, 4),
    FIELD(tl_backend, name, 8),
    FIELD(tl_backend, version, 16),
    FIELD(tl_backend, priority, 24),
    FIELD(tl_backend, probe, 32),
    FIELD(tl_backend, open, 40),
    FIELD(tl_backend, tuned, 48),
    SIZE(tl_tuning, 32),
    FIELD(tl_tuning, size, 0),
    FIELD(tl_tuning, user, 8),
    FIELD(tl_tuning, candidate, 16),
    FIELD(tl_tuning, chosen, 24),
    SIZE(tl_tuned, 40),
    FIELD(tl_tuned, size, 0),
    FIELD(tl_tuned, device, 8),
    FIELD(tl_tuned, form, 16),
    FIELD(tl_tuned, implementation, 24),
    FIELD(tl_tuned, seconds, 32),
};

static void layouts(void **state) {
    (void)state;
    int wrong = 0;
    for (size_t i = 0; i < sizeof layout / sizeof layout[0]; i++)
        if (layout[i].is != layout[i].was) {
            print_error("%s is %zu, was %zu\n", layout[i].what, layout[i].is, layout[i].was);
            wrong++;
        }
    assert_int_equal(wrong, 0);
}

static void numbers(void **state) {
    (void)state;
    assert_int_equal(TL_BACKEND_ABI, 1);
    assert_int_equal(TL_MAX_RANK, 6);
    assert_int_equal(TL_MAX_INPUTS, 6);
    assert_int_equal(TL_MAX_OUTPUTS, 3);
    assert_string_equal(TL_BACKEND_ENTRY_SYMBOL, "tl_backend_entry");
    static const int dtypes[] = {TL_DTYPE_NONE, TL_DTYPE_F32, TL_DTYPE_BF16, TL_DTYPE_F16, TL_DTYPE_F64,
                                 TL_DTYPE_U8,   TL_DTYPE_I8,  TL_DTYPE_I32,  TL_DTYPE_I64};
    for (int i = 0; i < (int)(sizeof dtypes / sizeof dtypes[0]); i++)
        assert_int_equal(dtypes[i], i);
    assert_int_equal(TL_DEVICE_CPU, 0);
    assert_int_equal(TL_DEVICE_GPU, 1);
    assert_int_equal(TL_DEVICE_OTHER, 2);
    assert_int_equal(TL_DEVICE_REMARK, 3);
    assert_int_equal(TL_STATISTICS_STORED, 0);
    assert_int_equal(TL_STATISTICS_BATCH, 1);
}

/* New operations come at the end: what is here stays where it is. */
static void operations(void **state) {
    (void)state;
    static const int ops[] = {
        TL_OP_NORMALIZE, TL_OP_CONV2D, TL_OP_CONV2D_GRAD_INPUT,
        TL_OP_CONV2D_GRAD_WEIGHT, TL_OP_BATCHNORM, TL_OP_BATCHNORM_GRAD,
        TL_OP_RELU, TL_OP_RELU_GRAD, TL_OP_ADD,
        TL_OP_MAXPOOL2D, TL_OP_MAXPOOL2D_GRAD, TL_OP_AVGPOOL2D,
        TL_OP_AVGPOOL2D_GRAD, TL_OP_DROPOUT, TL_OP_CROSS_ENTROPY,
        TL_OP_CROSS_ENTROPY_GRAD, TL_OP_ADAM, TL_OP_CONCAT,
        TL_OP_SLICE, TL_OP_UPSAMPLE2D, TL_OP_UPSAMPLE2D_GRAD,
        TL_OP_DICE, TL_OP_DICE_GRAD,
    };
    for (int i = 0; i < (int)(sizeof ops / sizeof ops[0]); i++)
        assert_int_equal(ops[i], i);
}

static void statuses(void **state) {
    (void)state;
    static const int values[] = {
        TL_OK, TL_ERROR_MEMORY, TL_ERROR_ARGUMENT, TL_ERROR_IO,
        TL_ERROR_NOT_FOUND, TL_ERROR_EXISTS, TL_ERROR_FORMAT, TL_ERROR_SHAPE,
        TL_ERROR_WEIGHTS, TL_ERROR_DATA, TL_ERROR_LIMIT, TL_ERROR_DEVICE,
        TL_ERROR_ABI, TL_ERROR_NUMERIC, TL_ERROR_INTERNAL, TL_UNSUPPORTED,
        TL_CANCELLED,
    };
    for (int i = 0; i < (int)(sizeof values / sizeof values[0]); i++)
        assert_int_equal(values[i], -i);
}

int main(void) {
    if (sizeof(void *) != 8) {
        puts("1..0 # SKIP pointers have not 64 bits here");
        return 0;
    }
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(layouts),
        cmocka_unit_test(numbers),
        cmocka_unit_test(operations),
        cmocka_unit_test(statuses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
