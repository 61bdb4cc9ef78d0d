/* plugin/fake.h: the parts of the fake backend. */
#ifndef FAKE_H
#define FAKE_H

#include <stdbool.h>
#include <tl/backend.h>

#define FAKE_MAX_OPERANDS (TL_MAX_INPUTS + TL_MAX_OUTPUTS)

/* An operation as its arithmetic sees it: data[i] belongs to desc[i], NULL where the operand is absent; inputs first,
 * outputs from data[inputs]. */
typedef struct fake_call {
    const tl_op_desc *op;
    tl_tensor_desc desc[FAKE_MAX_OPERANDS];
    void *data[FAKE_MAX_OPERANDS];
    uint32_t inputs, outputs;
} fake_call;

typedef void (*fake_arithmetic)(const fake_call *call);

#define FAKE_MAX_WAITING 1024

typedef struct fake_device {
    tl_backend_device base;
    tl_device_ops ops;
    tl_kernel_ops kernel_ops;
    const tl_host *host;
    char description[160];
    uint64_t alignment, max_buffer, memory, used; /* memory 0: without end */
    bool host_visible, fail_silent;
    char fail_call[16];
    long fail_at, seen, runs;
    int buffers, queues, kernels;
} fake_device;

struct tl_backend_buffer {
    unsigned char *data;
    uint64_t bytes;
};

typedef struct fake_kernel {
    tl_backend_kernel base;
    fake_device *device;
    fake_arithmetic run;
    fake_call call;
    tl_op_desc op;
    bool constant[FAKE_MAX_OPERANDS], bound;
    int stored[FAKE_MAX_OPERANDS];   /* bytes of an element where those are fewer than the arithmetic's; 0: as they are */
    void *narrow[FAKE_MAX_OPERANDS]; /* where an operand is stored so: its own memory, call.data being f32 */
    char wrong[16]; /* how its results are to be wrong; "" if not */
    long runs;
    int waiting;
} fake_kernel;

struct tl_backend_queue {
    fake_device *device;
    fake_kernel *waiting[FAKE_MAX_WAITING];
    int count;
};

/* ---- fake.c ---- */

const char *fake_option(const tl_host *host, const char *name, const char *otherwise);
bool fake_option_is(const tl_host *host, const char *name, const char *value);
tl_status fake_fail(const tl_host *host, tl_status status, const char *text);
/* Counts a call; true where it is the one that shall fail, *status and the message then being set. */
bool fake_faulty(fake_device *device, const char *call, tl_status *status);
/* libtl did what it must not. */
tl_status fake_wrong(const fake_device *device, const char *text);
/* Memory from the host, unless that shall fail. */
void *fake_take(fake_device *device, size_t bytes, size_t alignment);

/* ---- fake_queue.c ---- */

tl_status fake_buffer_create(tl_backend_device *base, uint64_t bytes, tl_backend_buffer **out);
void fake_buffer_destroy(tl_backend_device *base, tl_backend_buffer *buffer);
void *fake_buffer_host(tl_backend_device *base, tl_backend_buffer *buffer);
const char *fake_view_fault(const fake_device *device, const tl_view *view); /* NULL: none */
tl_status fake_queue_create(tl_backend_device *base, tl_backend_queue **out);
void fake_queue_destroy(tl_backend_device *base, tl_backend_queue *queue);
tl_status fake_queue_write(tl_backend_queue *queue, const tl_view *to, const void *data);
tl_status fake_queue_read(tl_backend_queue *queue, const tl_view *from, void *data);
tl_status fake_queue_zero(tl_backend_queue *queue, const tl_view *what);
tl_status fake_queue_flush(tl_backend_queue *queue);
tl_status fake_queue_finish(tl_backend_queue *queue);

/* ---- fake_kernel.c ---- */

tl_status fake_prepare(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t inputs,
                       uint32_t outputs, tl_backend_kernel **out);
tl_status fake_kernel_bind(tl_backend_kernel *base, const tl_view *views);
tl_status fake_kernel_enqueue(tl_backend_kernel *base, tl_backend_queue *queue);
void fake_kernel_release(tl_backend_kernel *base);
void fake_kernel_run(fake_kernel *kernel);

/* ---- fake_tune.c ---- */

tl_status fake_tune(tl_backend_device *base, const tl_op_desc *op, const tl_operand *operands, uint32_t inputs,
                    uint32_t outputs, const tl_tuning *tuning);
tl_status fake_tuned(const tl_host *host, uint32_t index, int forget, void *user,
                     void (*each)(void *user, const tl_tuned *tuned));

/* ---- fake_ops.c ---- */

/* Slow and obvious arithmetic for this form, or NULL with the reason why there is none. */
fake_arithmetic fake_find(const tl_op_desc *op, const tl_operand *operands, uint32_t inputs, uint32_t outputs,
                          const char **reason);

/* The stem of an operation, "conv2d"; "unknown" for others. */
const char *fake_stem(uint32_t op);

#endif
