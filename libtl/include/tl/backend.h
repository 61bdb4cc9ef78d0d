/* tl/backend.h: what a compute backend is to libtl.
 *
 * A backend is a shared object that exports one symbol, tl_backend_entry. It imports nothing from libtl: memory,
 * messages and options come through struct tl_host. libtl finds it (in its own folder and in TL_BACKEND_PATH),
 * loads it once for the process and never unloads it. The CPU backend is built into libtl and uses this header
 * and nothing else.
 *
 * Growth: every table starts with its size in bytes and only ever grows at its end. Both sides read only what
 * the other's size covers; what is missing counts as NULL or 0. Another TL_BACKEND_ABI is refused.
 *
 * Threads: a device, and all that was made from it, is used by one thread at a time. Two devices of one backend
 * may be used by two threads at once. probe may be called from any thread.
 *
 * Errors: a function that fails returns a negative tl_status and says why through host->fail. It leaves its
 * outputs untouched. Nothing here may print, abort, exit or raise. */
#ifndef TL_BACKEND_H
#define TL_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include <tl/context.h>
#include <tl/status.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TL_BACKEND_ABI 1u

/* ---- tensors ---------------------------------------------------------------------------------------------- */

typedef enum tl_dtype {
    TL_DTYPE_NONE = 0, /* an operand that is absent */
    TL_DTYPE_F32 = 1,
    TL_DTYPE_BF16 = 2,
    TL_DTYPE_F16 = 3,
    TL_DTYPE_F64 = 4,
    TL_DTYPE_U8 = 5,
    TL_DTYPE_I8 = 6,
    TL_DTYPE_I32 = 7,
    TL_DTYPE_I64 = 8,
} tl_dtype;

#define TL_MAX_RANK 6

/* Dense, C order. Activations are NHWC ([N,C] counts as H = W = 1 and is written [N,1,1,C]), weights of
 * convolutions OHWI: [out, kernel height, kernel width, in / groups]. This struct never changes. */
typedef struct tl_tensor_desc {
    int32_t dtype; /* tl_dtype */
    int32_t rank;  /* 0 (a scalar) .. TL_MAX_RANK */
    int64_t shape[TL_MAX_RANK];
} tl_tensor_desc;

/* ---- operations ------------------------------------------------------------------------------------------- */

/* X(NAME, stem, "inputs", "outputs"): '?' marks an operand that may be absent, '=' one that is updated in place
 * (it is an input whose buffer also receives the result), '~' an output that may share its exact view with one
 * of the inputs named after it. Operands keep this order, absent ones included.
 *
 * All arithmetic is f32 with f32 (or wider) accumulation; reductions are in an order that does not depend on the
 * number of threads, so that results repeat. In the formulas n h w c index NHWC.
 *
 * normalize             y[n,h,w,c] = table[c][x[n,h,w,c]]; x u8, table f32 [C,256].
 * conv2d                y = act(conv(x, w) + bias[o] + residual). x [N,H,W,C], w [O,KH,KW,C/groups],
 *                       y [N,OH,OW,O], OH = (H + 2 pad[0] - dilation[0] (KH-1) - 1) / stride[0] + 1, floor.
 *                       PyTorch's Conv2d; a Linear is a 1x1 one. Padding is zeros. Where x is stored in 16 bits, w may
 *                       be rounded to that type too; where it is in 8 bits, w is rounded to a multiple of a 127th of its
 *                       output channel's largest.
 * conv2d_grad_input     dx = mask > 0 ? grad + addend : 0, grad the transposed convolution of dy [N,OH,OW,O]
 *                       with w; dx, addend, mask [N,H,W,C]. Absent mask: no masking. Absent addend: 0.
 * conv2d_grad_weight    dw[o,i,j,c] = sum over n,oh,ow of dy * x, dbias[o] = sum of dy.
 * batchnorm             y = act((x - m) / sqrt(v + eps) * scale + shift + residual), all [C]. STORED: m, v are mean,
 *                       var. BATCH: m, v are the mean and the biased variance over n,h,w of x; mean and var are
 *                       updated: r = (1 - momentum) r + momentum * (m, or v * count / (count - 1)), count > 1;
 *                       saved_mean = m and saved_invstd = 1 / sqrt(v + eps) are written where present.
 *                       With STORED mean and var are only read.
 * batchnorm_grad        dz = y ? (y > 0 ? dy : 0) : dy. STORED: mean, var are the stored ones and invstd =
 *                       1 / sqrt(var + eps); BATCH: mean is saved_mean and var is saved_invstd itself.
 *                       xhat = (x - mean) * invstd; dshift = sum dz, dscale = sum dz * xhat.
 *                       STORED: dx = dz * scale * invstd.
 *                       BATCH: dx = scale * invstd * (dz - dshift / count - xhat * dscale / count).
 * relu                  y = max(x, 0), NaN stays NaN.         relu_grad  dx = y > 0 ? dy : 0.
 * add                   y = act(a + b), same shapes.
 * maxpool2d             floor mode, padded with -inf; the first maximum in row-major order of the window wins, a
 *                       NaN wins over everything; index (u8) is its position in the window, i * KW + j.
 * maxpool2d_grad        dx[...] = sum of the dy whose index points here; dx is written whole.
 * avgpool2d             PyTorch's AdaptiveAvgPool2d: window of output i is floor(i H / OH) .. ceil((i+1) H / OH).
 * avgpool2d_grad        its transpose.
 * dropout               y = keep ? x / (1 - p) : 0. Bit i of the stream decides element i: keep where
 *                       philox4x32-10(key = {counter[2], attr.stream}, counter = {low and high half of i / 4,
 *                       counter[0], counter[1]})[i % 4] >= p * 2^32 (rounded down). counter i32 [4], taken as u32.
 *                       p in [0, 1). Its gradient is the same operation on dy.
 * cross_entropy         logits [N,H,W,K], target i32 [N,H,W], class_weight [K]. A target equal to ignore_index is
 *                       left out. With w_t the target's weight (1 if absent), p = softmax, s = smoothing:
 *                       loss[0] = sum w_t ((1-s) (-log p_t) + s/K sum_k (w_k / w_t) (-log p_k)), loss[1] = sum w_t,
 *                       loss[2] = number of rows whose first largest logit is the target, loss[3] = number of
 *                       rows counted. (PyTorch's CrossEntropyLoss is loss[0] / loss[1].)
 * cross_entropy_grad    dlogits = scale * d(loss[0]) / dlogits / loss[1]; ignored rows 0.
 * adam                  PyTorch's Adam, per segment s of a flat buffer: elements segments[s] .. segments[s+1] - 1
 *                       (i64 [S+1]) use table[s] = {step_size = lr / (1 - b1^t), sqrt(1 - b2^t), 1 - b1, 1 - b2, eps,
 *                       weight_decay, lr, decoupled != 0}:
 *                       g = grad + decay * param (decoupled: param *= 1 - lr * decay, g = grad)
 *                       m = b1 m + (1 - b1) g,  v = b2 v + (1 - b2) g g
 *                       param -= step_size * m / (sqrt(v) / sqrt(1 - b2^t) + eps).
 * concat                the channels of a, b, ... one after the other; N, H and W are the same.
 * slice                 y = x[..., first .. first + count - 1].
 * upsample2d            PyTorch's interpolate(mode = "bilinear", align_corners = False) to any size: output o of OH reads
 *                       s = max((o + 0.5) H / OH - 0.5, 0), between floor(s) and the next (the last at the edge).
 * upsample2d_grad       its transpose.
 * dice                  logits [N,H,W,K], target i32 [N,H,W]; rows whose target is ignore_index are left out. With
 *                       p = softmax and y_k = 1 where the target is k, else 0, summed over all other rows: sums[0][k] =
 *                       I = sum p_k y_k, sums[1][k] = P = sum p_k, sums[2][k] = Y = sum y_k. With C the classes whose Y is
 *                       above 0: loss[0] = 1 - mean over C of (2 I + eps) / (P + Y + eps), 0 where C is empty; loss[1] is
 *                       their number. A class that no target names has no part in the mean: its score would be
 *                       eps / (P + eps), which says only how sure the others are. eps > 0, usually 1, keeps a class of
 *                       few pixels from jumping. (Drozdzal et al. 2016, "The Importance of Skip Connections in
 *                       Biomedical Image Segmentation"; Milletari et al. 2016, "V-Net", has squares below.)
 * dice_grad             dlogits = scale * d(loss[0]) / dlogits, with sums [3,K] from dice; ignored rows 0. */
#define TL_OP_LIST(X)                                                                                              \
    X(NORMALIZE, normalize, "x table", "y")                                                                        \
    X(CONV2D, conv2d, "x w bias? residual?", "y~residual")                                                         \
    X(CONV2D_GRAD_INPUT, conv2d_grad_input, "dy w addend? mask?", "dx~addend")                                     \
    X(CONV2D_GRAD_WEIGHT, conv2d_grad_weight, "x dy", "dw? dbias?")                                                \
    X(BATCHNORM, batchnorm, "x scale shift mean= var= residual?", "y~x,residual saved_mean? saved_invstd?")        \
    X(BATCHNORM_GRAD, batchnorm_grad, "x dy scale mean var y?", "dx?~dy dscale? dshift?")                          \
    X(RELU, relu, "x", "y~x")                                                                                      \
    X(RELU_GRAD, relu_grad, "dy y", "dx~dy")                                                                       \
    X(ADD, add, "a b", "y~a,b")                                                                                    \
    X(MAXPOOL2D, maxpool2d, "x", "y index?")                                                                       \
    X(MAXPOOL2D_GRAD, maxpool2d_grad, "dy index", "dx")                                                            \
    X(AVGPOOL2D, avgpool2d, "x", "y")                                                                              \
    X(AVGPOOL2D_GRAD, avgpool2d_grad, "dy", "dx")                                                                  \
    X(DROPOUT, dropout, "x counter", "y~x")                                                                        \
    X(CROSS_ENTROPY, cross_entropy, "logits target class_weight?", "loss")                                         \
    X(CROSS_ENTROPY_GRAD, cross_entropy_grad, "logits target class_weight? loss", "dlogits")                       \
    X(ADAM, adam, "param= grad m= v= segments table", "")                                                          \
    X(CONCAT, concat, "a b? c? d? e? f?", "y")                                                                     \
    X(SLICE, slice, "x", "y")                                                                                      \
    X(UPSAMPLE2D, upsample2d, "x", "y")                                                                            \
    X(UPSAMPLE2D_GRAD, upsample2d_grad, "dy", "dx")                                                                \
    X(DICE, dice, "logits target", "loss sums")                                                                    \
    X(DICE_GRAD, dice_grad, "logits target sums", "dlogits")

/* Values are part of the ABI: new operations are added at the end. */
typedef enum tl_op {
#define TL_OP_ENUM(NAME, stem, inputs, outputs) TL_OP_##NAME,
    TL_OP_LIST(TL_OP_ENUM)
#undef TL_OP_ENUM
    TL_OP_COUNT
} tl_op;

#define TL_MAX_INPUTS 6
#define TL_MAX_OUTPUTS 3

typedef enum tl_statistics { TL_STATISTICS_STORED = 0, TL_STATISTICS_BATCH = 1 } tl_statistics;

/* The attributes of an operation; those it does not use are 0. */
typedef struct tl_op_desc {
    uint32_t size;
    uint32_t op; /* tl_op */
    int32_t kernel[2], stride[2], pad[2], dilation[2]; /* height, width */
    int32_t groups;
    int32_t relu;       /* act is max(., 0); otherwise the identity */
    int32_t statistics; /* tl_statistics */
    float eps, momentum;
    float p;
    uint32_t stream;
    int32_t ignore_index;
    float smoothing, scale;
    int32_t extent[2]; /* height, width: avgpool2d, upsample2d: of y; gradients of convolutions, pools, upsample2d: of dx */
    int32_t first, count; /* channels: slice */
    int32_t exact; /* no algorithm with larger rounding errors than direct summation: masks of gradients hang on it */
    /* By operand, in the order of TL_OP_LIST, inputs first. step > 0: the operand is u8 and its elements stand for the
     * numbers (u8 - zero) * step, zero 0 .. 255. What is written so is the result divided by step, plus zero, limited to
     * 0 .. 255 and rounded to nearest. A backend without that answers TL_UNSUPPORTED. 0: as the type says. */
    float step[TL_MAX_INPUTS + TL_MAX_OUTPUTS];
    int32_t zero[TL_MAX_INPUTS + TL_MAX_OUTPUTS];
} tl_op_desc;

/* An operand whose contents never change once the plan is made: frozen weights, tables. `id` names the contents:
 * two constants of one device with the same id hold the same bytes, so what a backend derives from one (packed,
 * converted) can serve every kernel that is prepared with it; keep it as long as a kernel uses it. */
typedef struct tl_constant {
    uint32_t size;
    uint64_t id;
    /* Brings the bytes in; they stay readable until prepare returns. May fail (I/O, memory): pass that on. */
    tl_status (*read)(const struct tl_constant *constant, const void **data);
} tl_constant;

typedef struct tl_operand {
    tl_tensor_desc desc;
    const tl_constant *constant; /* NULL: contents arrive at run time */
} tl_operand;

/* ---- what libtl offers to a backend ----------------------------------------------------------------------- */

/* Lives as long as the device that was opened with it (for probe: as long as the call). */
typedef struct tl_host {
    uint32_t size;
    uint32_t abi; /* TL_BACKEND_ABI of libtl */
    void *user;   /* first argument of all below */
    void *(*allocate)(void *user, size_t bytes, size_t alignment); /* NULL when out of memory */
    void (*release)(void *user, void *memory);                      /* NULL is fine */
    void (*log)(void *user, tl_log_level level, const char *text); /* one line; libtl puts the device's name before it */
    /* An option of the device by name ("threads", "isa", ...) or NULL where the user did not set it. What the program
     * leaves open comes from the environment: TL_FAKE_REFUSE is the option "refuse" of a backend "fake". Copy it. */
    const char *(*option)(void *user, const char *name);
    /* Records the text of a failure (one line, before which libtl puts the device's name) and returns `status`, so
     * that one can `return host->fail(...)`. */
    tl_status (*fail)(void *user, tl_status status, const char *text);
} tl_host;

/* ---- what a backend offers to libtl ----------------------------------------------------------------------- */

typedef enum tl_device_kind {
    TL_DEVICE_CPU = 0,
    TL_DEVICE_GPU = 1,
    TL_DEVICE_OTHER = 2,
    TL_DEVICE_REMARK = 3, /* no device: `note` says why there is none, or not more: no driver, no permission */
} tl_device_kind;

typedef struct tl_backend_device_info {
    uint32_t size;
    int32_t kind;       /* tl_device_kind */
    int32_t usable;     /* 0: it is there but cannot be used, see `note` */
    char name[128];     /* what the vendor calls it */
    char driver[128];   /* driver or instruction set, and version */
    char note[256];     /* why it cannot be used, or a remark; may be "" */
    uint64_t memory;    /* bytes; 0 if unknown */
    uint32_t units;     /* compute units, or hardware threads that this process may use */
} tl_backend_device_info;

typedef struct tl_backend_device tl_backend_device; /* the backend's structs begin with these fields: */
typedef struct tl_backend_buffer tl_backend_buffer; /* opaque to libtl */
typedef struct tl_backend_queue tl_backend_queue;   /* opaque to libtl */
typedef struct tl_backend_kernel tl_backend_kernel;

/* Part of a buffer. Offsets are multiples of properties.alignment. */
typedef struct tl_view {
    tl_backend_buffer *buffer; /* NULL: an absent operand, or a constant */
    uint64_t offset, bytes;
} tl_view;

typedef struct tl_device_properties {
    uint32_t size;
    int32_t kind;              /* tl_device_kind */
    int32_t host_visible;      /* buffer_host works: the host reads and writes buffers in place after finish */
    uint64_t memory;           /* bytes in all; 0 if unknown */
    uint64_t max_buffer;       /* largest buffer in bytes */
    uint64_t alignment;        /* of view offsets, a power of two <= 4096 */
    uint32_t units;            /* threads or compute units in use */
    const char *description;   /* "AVX-512, 2 threads"; lives with the device */
    const char *identity;      /* all that the bits of results depend on beside the plugin's own build: the instruction set,
                                * or the driver and its version, what was chosen by tune; not the number of threads. What is
                                * kept on disk is keyed by it. NULL: the description; lives with the device, and tune may
                                * change what it says */
} tl_device_properties;

/* How measuring goes on. Both functions may be NULL. */
typedef struct tl_tuning {
    uint32_t size;
    void *user;
    /* An implementation was measured: seconds of one run, or below 0 where it does not work and `note` says why. Not 0
     * ends the measuring with TL_CANCELLED. */
    int (*candidate)(void *user, const char *implementation, double seconds, const char *note);
    /* What was chosen for a form, "conv2d 56x56x64 -> 56x56x64 3x3 ...". */
    void (*chosen)(void *user, const char *form, const char *implementation, double seconds);
} tl_tuning;

/* A choice that was remembered. */
typedef struct tl_tuned {
    uint32_t size;
    const char *device; /* its name, driver, version, as the backend tells devices apart */
    const char *form, *implementation;
    double seconds;
} tl_tuned;

#define TL_EVERY_DEVICE UINT32_MAX

/* All are required, but for buffer_host where the device is not host_visible, and what is called optional. */
typedef struct tl_device_ops {
    uint32_t size;

    tl_status (*properties)(tl_backend_device *device, tl_device_properties *properties); /* ->size is set by the caller */
    void (*close)(tl_backend_device *device);

    /* Contents are undefined. TL_ERROR_MEMORY where it does not fit, TL_ERROR_LIMIT beyond max_buffer. */
    tl_status (*buffer_create)(tl_backend_device *device, uint64_t bytes, tl_backend_buffer **buffer);
    void (*buffer_destroy)(tl_backend_device *device, tl_backend_buffer *buffer);
    /* The buffer's memory, or NULL unless properties.host_visible. */
    void *(*buffer_host)(tl_backend_device *device, tl_backend_buffer *buffer);

    /* In order: each command sees the results of those before it on the same queue. */
    tl_status (*queue_create)(tl_backend_device *device, tl_backend_queue **queue);
    void (*queue_destroy)(tl_backend_device *device, tl_backend_queue *queue);
    /* `data` is the caller's again when write returns; read returns with the bytes there. */
    tl_status (*queue_write)(tl_backend_queue *queue, const tl_view *to, const void *data);
    tl_status (*queue_read)(tl_backend_queue *queue, const tl_view *from, void *data);
    tl_status (*queue_zero)(tl_backend_queue *queue, const tl_view *what);
    tl_status (*queue_flush)(tl_backend_queue *queue);  /* starts what waits */
    tl_status (*queue_finish)(tl_backend_queue *queue); /* waits for all; reports what failed since */

    /* Can you, and if so make it ready: the one question. `operands` holds the inputs, then the outputs, in the
     * order of TL_OP_LIST, TL_MAX_... not filled up: input_count + output_count of them. On success *kernel is the
     * caller's. TL_UNSUPPORTED, with a reason, where this backend does not do this form; libtl then splits a
     * fused node or runs it elsewhere. Any other failure ends the plan. */
    tl_status (*prepare)(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands,
                         uint32_t input_count, uint32_t output_count, tl_backend_kernel **kernel);

    /* Optional. Measures the implementations of an operation, given as to prepare, on memory of its own, and remembers
     * beyond the process which is best for its form, which prepare then takes. What was measured since the device was
     * opened is not measured again. TL_UNSUPPORTED: there is nothing to choose. */
    tl_status (*tune)(tl_backend_device *device, const tl_op_desc *op, const tl_operand *operands, uint32_t input_count,
                      uint32_t output_count, const tl_tuning *tuning);

    /* Optional. Multiplications and additions a second that the whole device does at most on numbers of a type
     * (tl_dtype; sums in float, of TL_DTYPE_U8 in integers), measured now on registers alone, in a tenth of a second or so.
     * It is what speeds are compared with. TL_UNSUPPORTED where it has no arithmetic for the type or cannot tell. */
    tl_status (*peak)(tl_backend_device *device, int32_t dtype, double *flops);
} tl_device_ops;

/* All are required. */
typedef struct tl_kernel_ops {
    uint32_t size;
    /* Says once which memory the kernel works on: a view for each operand (absent ones and constants have a NULL
     * buffer), then one for the workspace (NULL buffer if it is 0 bytes). May be called again between runs. */
    tl_status (*bind)(tl_backend_kernel *kernel, const tl_view *views);
    /* Puts the work on the queue. Allocates nothing. */
    tl_status (*enqueue)(tl_backend_kernel *kernel, tl_backend_queue *queue);
    /* Never while its work waits: libtl finishes the queue before, whether that succeeds or not. Nor are a queue or
     * a buffer destroyed before. */
    void (*release)(tl_backend_kernel *kernel);
} tl_kernel_ops;

struct tl_backend_device {
    const tl_device_ops *ops;
};

struct tl_backend_kernel {
    const tl_kernel_ops *ops;
    uint64_t workspace;         /* bytes, known when prepare returns */
    const char *implementation; /* "gemm 6x64", for reports; lives with the kernel */
};

typedef struct tl_backend {
    uint32_t size;
    uint32_t abi;        /* TL_BACKEND_ABI it was built with */
    const char *name;    /* "cpu", "opencl": devices are cpu, opencl:0, opencl:1, ...; [a-z][a-z0-9]*, up to 31
                          * characters, not "auto"; unique: what is built in comes first, then the order of loading */
    const char *version; /* of the backend */
    int32_t priority;    /* among equals, `auto` takes the higher one */

    /* Says what is there. `*count` becomes the number of devices, of which the first `capacity` are written to
     * `infos`: zeroed, each with its size set by the caller, and that many bytes apart, which need not be your
     * sizeof. None is TL_OK with 0. Remarks (TL_DEVICE_REMARK, not usable) count like devices and come after them, so
     * that they do not change the devices' indices. */
    tl_status (*probe)(const tl_host *host, tl_backend_device_info *infos, uint32_t capacity, uint32_t *count);
    tl_status (*open)(const tl_host *host, uint32_t index, tl_backend_device **device);

    /* Optional. Calls `each` for what tune remembered for the index-th device, or with TL_EVERY_DEVICE for all that there
     * ever were, and then forgets it if `forget` is not 0. */
    tl_status (*tuned)(const tl_host *host, uint32_t index, int forget, void *user,
                       void (*each)(void *user, const tl_tuned *tuned));
} tl_backend;

/* The one exported symbol. `host` serves the call only and tells libtl's abi and size. NULL where this backend
 * cannot work with it. The table lives for ever. */
typedef const tl_backend *(*tl_backend_entry_fn)(uint32_t abi, const tl_host *host);
#define TL_BACKEND_ENTRY_SYMBOL "tl_backend_entry"

/* How a backend's source declares it: built into libtl under a name of its own when TL_BACKEND_BUILTIN is
 * defined, exported otherwise. */
#ifdef TL_BACKEND_BUILTIN
#define TL_BACKEND_ENTRY(stem) const tl_backend *tl__backend_entry_##stem(uint32_t abi, const tl_host *host)
#else
#define TL_BACKEND_ENTRY(stem) TL_API const tl_backend *tl_backend_entry(uint32_t abi, const tl_host *host)
#endif

#ifdef __cplusplus
}
#endif
#endif
