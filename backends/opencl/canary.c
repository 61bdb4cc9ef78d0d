/* canary.c: see canary.h. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "backends/half.h"
#include "backends/opencl/cache.h"
#include "backends/opencl/canary.h"

#define MOST_SOURCES 64
#define GUARD 256 /* bytes between operands, which nobody may touch */

bool tl__opencl_canary_trusting(const opencl_device *device) {
    const char *text = device->host->option(device->host->user, "trust");
    return text && strcmp(text, "yes") == 0;
}

/* ---- what was found right before ---- */

static opencl_key key_of(const opencl_device *device, const char *what) {
    const char *parts[MOST_SOURCES + 4] = {"canary", what, device->results, device->vectors ? "vectors" : "lanes"};
    size_t count = 4;
    opencl_key key;
    for (const opencl_source *source = tl__opencl_sources; source->stem && count < MOST_SOURCES + 4; source++)
        parts[count++] = source->text;
    tl__opencl_cache_key(what, parts, count, &key);
    return key;
}

bool tl__opencl_canary_stamped(opencl_device *device, const char *what) {
    opencl_key key = key_of(device, what);
    opencl_blob blob;
    if (!tl__opencl_cache_read(device, &key, &blob))
        return false;
    tl__opencl_release(device, blob.data);
    return true;
}

void tl__opencl_canary_stamp(opencl_device *device, const char *what) {
    opencl_key key = key_of(device, what);
    unsigned char right[] = "right";
    opencl_blob blob = {right, sizeof(right)};
    tl__opencl_cache_write(device, &key, &blob);
}

/* ---- a check's operands ---- */

void *tl__opencl_check_array(opencl_check *check, size_t bytes) {
    void *array = check->array_count < CANARY_ARRAYS ? tl__opencl_allocate(check->device, bytes) : NULL;
    if (array)
        check->arrays[check->array_count++] = array;
    check->starved |= !array;
    return array;
}

void *tl__opencl_check_give(opencl_check *check, int i, int dtype, int rank, const int64_t *shape) {
    tl_tensor_desc *desc = &check->operands[i].desc;
    *desc = (tl_tensor_desc){.dtype = dtype, .rank = rank};
    memcpy(desc->shape, shape, (size_t)rank * sizeof(*shape));
    if (i < (int)check->inputs)
        check->values[i] = tl__opencl_check_array(check, (size_t)form_bytes(&check->operands[i]));
    return check->values[i];
}

void tl__opencl_check_expect(opencl_check *check, int i) {
    size_t bytes = (size_t)form_elements(&check->operands[i]) * sizeof(double);
    check->want[i] = tl__opencl_check_array(check, bytes);
    check->tolerance[i] = tl__opencl_check_array(check, bytes);
}

/* ---- a run ---- */

typedef struct run {
    opencl_check *check;
    tl_backend_kernel *kernel;
    tl_backend_buffer *buffer;
    tl_backend_queue *queue;
    tl_view views[OPENCL_OPERANDS + 1];
    uint64_t bytes;
    unsigned char *image; /* of the buffer */
} run;

typedef struct constant {
    tl_constant base;
    const void *data;
} constant;

static tl_status read_constant(const tl_constant *base, const void **data) {
    *data = ((const constant *)base)->data;
    return TL_OK;
}

static tl_status prepare(run *r) {
    opencl_check *c = r->check;
    constant constants[OPENCL_OPERANDS];
    for (uint32_t i = 0; i < c->inputs; i++) {
        constants[i] = (constant){{sizeof(tl_constant), UINT64_MAX - i, read_constant}, c->values[i]};
        c->operands[i].constant = c->constant[i] ? &constants[i].base : NULL;
    }
    return tl__opencl_prepare_as(&c->device->base, &c->desc, c->operands, c->inputs, c->outputs, c->implementation,
                                 &r->kernel);
}

/* One buffer, as in a plan: every operand, then the workspace, guards between them. */
static tl_status place(run *r) {
    opencl_check *c = r->check;
    const uint32_t count = c->inputs + c->outputs;
    for (uint32_t i = 0; i <= count; i++) {
        uint64_t bytes = i < count ? form_bytes(&c->operands[i]) : r->kernel->workspace;
        if (bytes == 0 || (i < count && c->constant[i]))
            continue;
        r->bytes = (uint64_t)opencl_round_up((int64_t)(r->bytes + GUARD), OPENCL_ALIGNMENT);
        r->views[i] = (tl_view){.offset = r->bytes, .bytes = bytes};
        r->bytes += bytes;
    }
    r->bytes += GUARD;
    r->image = tl__opencl_allocate(c->device, (size_t)r->bytes);
    if (!r->image)
        return TL_ERROR_MEMORY;
    memset(r->image, 0xff, (size_t)r->bytes);
    for (uint32_t i = 0; i < c->inputs; i++)
        if (r->views[i].bytes)
            memcpy(r->image + r->views[i].offset, c->values[i], (size_t)r->views[i].bytes);
    tl_status status = tl__opencl_buffer_create(&c->device->base, r->bytes, &r->buffer);
    for (uint32_t i = 0; i <= count && status == TL_OK; i++)
        r->views[i].buffer = r->views[i].bytes ? r->buffer : NULL;
    return status;
}

static tl_status execute(run *r) {
    tl_view all = {r->buffer, 0, r->bytes};
    tl_status status = tl__opencl_queue_create(&r->check->device->base, &r->queue);
    if (status == TL_OK)
        status = r->kernel->ops->bind(r->kernel, r->views);
    if (status == TL_OK)
        status = tl__opencl_queue_write(r->queue, &all, r->image);
    if (status == TL_OK)
        status = r->kernel->ops->enqueue(r->kernel, r->queue);
    if (status == TL_OK)
        status = tl__opencl_queue_read(r->queue, &all, r->image);
    return status;
}

static float value_of(int dtype, const unsigned char *data, int64_t i) {
    float value;
    uint16_t half;
    if (dtype == TL_DTYPE_F16) {
        memcpy(&half, data + (size_t)i * sizeof(half), sizeof(half));
        return half_value(half);
    }
    memcpy(&value, data + (size_t)i * sizeof(value), sizeof(value));
    return value;
}

/* What is wrong, or "". */
static void compare(const run *r, char *text, size_t size) {
    const opencl_check *c = r->check;
    uint64_t guard = 0;
    for (uint32_t i = 0; i <= c->inputs + c->outputs; i++) {
        const tl_view *view = &r->views[i];
        if (!view->bytes)
            continue;
        for (; guard < view->offset; guard++)
            if (r->image[guard] != 0xff) {
                snprintf(text, size, "%s writes before operand %u", c->what, (unsigned)i);
                return;
            }
        guard = view->offset + view->bytes;
        for (int64_t e = 0; i < c->inputs + c->outputs && c->want[i] && e < form_elements(&c->operands[i]); e++) {
            float got = value_of(c->operands[i].desc.dtype, r->image + view->offset, e);
            double want = c->want[i][e];
            if (isnan(want) ? isnan(got) : fabs(got - want) <= c->tolerance[i][e])
                continue;
            snprintf(text, size, "%s: element %lld of operand %u is %.9g and should be %.9g", c->what, (long long)e,
                     (unsigned)i, (double)got, want);
            return;
        }
    }
    for (; guard < r->bytes; guard++)
        if (r->image[guard] != 0xff)
            snprintf(text, size, "%s writes behind its last operand", c->what);
}

static tl_status look(opencl_check *check, char *text, size_t size) {
    run r = {.check = check};
    tl_status status = check->starved ? TL_ERROR_MEMORY : prepare(&r);
    if (status == TL_OK)
        status = place(&r);
    if (status == TL_OK)
        status = execute(&r);
    if (status == TL_OK)
        compare(&r, text, size);
    /* Nothing may be taken away under a kernel that is still running. */
    if (r.queue && status != TL_OK && tl__opencl_alive(check->device))
        clFinish(r.queue->commands);
    if (r.kernel)
        r.kernel->ops->release(r.kernel);
    tl__opencl_buffer_destroy(&check->device->base, r.buffer);
    tl__opencl_queue_destroy(&check->device->base, r.queue);
    tl__opencl_release(check->device, r.image);
    for (uint32_t i = 0; i < check->array_count; i++)
        tl__opencl_release(check->device, check->arrays[i]);
    return status == TL_UNSUPPORTED ? TL_OK : status;
}

/* ---- an operation ---- */

static bool convolution(uint32_t op) {
    return op == TL_OP_CONV2D || op == TL_OP_CONV2D_GRAD_INPUT || op == TL_OP_CONV2D_GRAD_WEIGHT;
}

int tl__opencl_canary_class(const tl_op_desc *op, const tl_operand *operands, uint32_t count) {
    int which = 0;
    for (uint32_t i = 0; i < count; i++)
        which |= operands[i].desc.dtype == TL_DTYPE_F16 ? CANARY_STORED : 0;
    if (!convolution(op->op))
        return which;
    return which + (op->groups > 1 ? CANARY_GROUPS : 0) + (operands[1].constant ? CANARY_CONSTANT : 0);
}

tl_status tl__opencl_canary(opencl_device *device, uint32_t op, int which) {
    char text[256] = "", name[32], line[320];
    const uint64_t bit = (uint64_t)1 << op % 64;
    if (op >= 64 || (device->looked_at[which] & bit))
        return TL_OK;
    device->looked_at[which] |= bit; /* before, because the checks are kernels too */
    snprintf(name, sizeof(name), "canary-%u-%d", (unsigned)op, which);
    if (tl__opencl_canary_stamped(device, name))
        return TL_OK;
    tl_status status = TL_OK;
    int form = 0;
    for (; status == TL_OK && !text[0]; form++) {
        opencl_check check = {.device = device, .desc = {.size = sizeof(check.desc), .op = op}};
        if (!tl__opencl_canary_form(&check, op, which, form))
            break;
        status = look(&check, text, sizeof(text));
    }
    bool wrong = status == TL_OK && text[0];
    if (status == TL_OK && !wrong && form > 0)
        tl__opencl_canary_stamp(device, name);
    if (wrong && tl__opencl_canary_trusting(device)) {
        snprintf(line, sizeof(line), "computes wrongly and is used all the same: %s", text);
        device->host->log(device->host->user, TL_LOG_WARNING, line);
    } else if (wrong) {
        status = tl__opencl_fail(device, TL_ERROR_DEVICE, "it computes wrongly, so it is not used: %s. Another version of its "
                                 "driver may be right; TL_OPENCL_TRUST=yes uses it all the same", text);
    }
    if (status != TL_OK)
        device->looked_at[which] &= ~bit;
    return status;
}

tl_status tl__opencl_canary_all(opencl_device *device) {
    tl_status status = TL_OK;
    for (uint32_t op = 0; op < TL_OP_COUNT; op++)
        for (int which = 0; which < (convolution(op) ? CANARY_STORED : 1) && status == TL_OK; which++)
            status = tl__opencl_canary(device, op, which);
    return status;
}
