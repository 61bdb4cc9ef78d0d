#include "graph/plan_internal.h"

#include <stdio.h>
#include <string.h>

/* Bytes of a constant, brought in when the backend asks for them and let go when prepare has returned. */
typedef struct loader {
    tl_constant constant; /* first: the backend sees only this */
    tl_context *context;
    const tl__value *value;
    void *data;
} loader;

static tl_status load(const tl_constant *constant, const void **data) {
    loader *l = (loader *)constant;
    if (!l->data) {
        void *bytes = tl__alloc(l->context, tl__desc_bytes(&l->value->desc));
        if (!bytes)
            return TL_ERROR_MEMORY;
        tl_status status = l->value->kind == TL__VALUE_CONSTANT
                               ? l->value->constant->read(l->context, l->value->constant, bytes)
                               : tl__parameter_read(l->context, l->value->parameter, bytes);
        if (status != TL_OK) {
            tl__free(l->context, bytes);
            return status;
        }
        l->data = bytes;
    }
    *data = l->data;
    return TL_OK;
}

static bool is_constant(const tl__value *value) {
    return value->kind == TL__VALUE_CONSTANT || (value->kind == TL__VALUE_PARAMETER && !tl__parameter_live(value->parameter));
}

/* The value's index behind operand `i` of a node, inputs first; -1: absent. */
static int operand_value(const tl__node *node, const tl__op_rule *rule, int i) {
    return i < rule->input_count ? node->in[i] : node->out[i - rule->input_count];
}

/* A kernel for the node, or with `tuning` a choice of what will be one. */
static tl_status prepare(tl__plan *plan, const tl__node *node, int device, const tl_tuning *tuning, tl_backend_kernel **kernel) {
    const tl__op_rule *rule = tl__op_rule_of(node->op.op);
    tl_operand operands[TL_MAX_INPUTS + TL_MAX_OUTPUTS] = {{{0}, NULL}};
    loader loaders[TL_MAX_INPUTS] = {0};
    tl_device *on = device == TL__DEVICE ? plan->options.device : plan->options.fallback;
    for (int i = 0; i < rule->input_count + rule->output_count; i++) {
        int v = operand_value(node, rule, i);
        if (v < 0)
            continue;
        const tl__value *value = &plan->graph->values[v];
        operands[i].desc = value->desc;
        if (i < rule->input_count && is_constant(value)) {
            uint64_t id = value->kind == TL__VALUE_CONSTANT ? value->constant->id : value->parameter->id;
            loaders[i] = (loader){.constant = {sizeof(tl_constant), id, load}, .context = plan->context, .value = value};
            operands[i].constant = &loaders[i].constant;
        }
    }
    uint32_t inputs = (uint32_t)rule->input_count, outputs = (uint32_t)rule->output_count;
    tl_status status = tuning ? tl__device_tune(on, &node->op, operands, inputs, outputs, tuning)
                              : tl__device_prepare(on, &node->op, operands, inputs, outputs, kernel);
    for (int i = 0; i < TL_MAX_INPUTS; i++)
        tl__free(plan->context, loaders[i].data);
    return status;
}

static int add_slot(tl__plan *plan, tl__slot slot) {
    if (tl__grow(plan->context, (void **)&plan->slots, &plan->slot_capacity, plan->slot_count, sizeof slot) != TL_OK)
        return -1;
    plan->slots[plan->slot_count] = slot;
    return (int)plan->slot_count++;
}

static tl__step *add_step(tl__plan *plan) {
    if (tl__grow(plan->context, (void **)&plan->steps, &plan->step_capacity, plan->step_count, sizeof *plan->steps) != TL_OK)
        return NULL;
    tl__step *step = &plan->steps[plan->step_count++];
    *step = (tl__step){.from = -1, .to = -1};
    memset(step->slots, -1, sizeof step->slots);
    return step;
}

/* Splitting nodes adds values while the plan is made. */
static tl_status cover_values(tl__plan *plan) {
    size_t count = plan->graph->value_count;
    if (count <= plan->value_capacity)
        return TL_OK;
    size_t old = plan->value_capacity * sizeof *plan->value_slots, wanted = (count + 64) * sizeof *plan->value_slots;
    void *larger = tl__realloc(plan->context, plan->value_slots, old, wanted);
    if (!larger)
        return TL_ERROR_MEMORY;
    memset((char *)larger + old, -1, wanted - old);
    plan->value_slots = larger;
    plan->value_capacity = count + 64;
    return TL_OK;
}

/* What lies in the trainer's buffers lies on the device, wherever its node runs. */
static bool is_external(const tl__value *value) {
    return value->kind == TL__VALUE_FLAT || value->kind == TL__VALUE_PARAMETER || value->gradient_of;
}

/* The slot where a value has its home: made when the value is. */
static int home_slot(tl__plan *plan, int v, int device) {
    const tl__value *value = &plan->graph->values[v];
    tl__slot slot = {.device = device, .bytes = tl__desc_bytes(&value->desc), .first = (int)plan->step_count, .last = (int)plan->step_count, .same_as = -1};
    if (value->kind == TL__VALUE_INPUT)
        slot.first = -1;
    if (value->keep)
        slot.last = TL__FOREVER;
    if (is_external(value)) {
        slot.external = true;
        if (plan->options.locate(plan->options.user, value, &slot.view) != TL_OK)
            return -1;
    }
    return plan->value_slots[v][device] = add_slot(plan, slot);
}

static tl_status transfer(tl__plan *plan, int node, int from, int to) {
    uint64_t bytes = plan->slots[from].bytes;
    tl__step *step = add_step(plan);
    if (!step)
        return TL_ERROR_MEMORY;
    step->node = node;
    step->from = from;
    step->to = to;
    step->device = plan->slots[to].device;
    int now = (int)plan->step_count - 1;
    for (int i = 0; i < 2; i++) {
        tl__slot *slot = &plan->slots[i ? to : from];
        slot->last = slot->last > now ? slot->last : now;
    }
    plan->staging_bytes = bytes > plan->staging_bytes ? bytes : plan->staging_bytes;
    return TL_OK;
}

/* Makes the input `v` present on `device`; its slot, or -1. */
static int bring(tl__plan *plan, int node, int v, int device) {
    int *slots = plan->value_slots[v];
    if (slots[device] >= 0)
        return slots[device];
    const tl__value *value = &plan->graph->values[v];
    int home = slots[!device];
    if (home < 0) { /* an input, or of the trainer's: not seen before; its home is the device */
        home = home_slot(plan, v, TL__DEVICE);
        if (home < 0 || device == TL__DEVICE)
            return home;
    }
    tl__slot copy = {.device = device, .bytes = tl__desc_bytes(&value->desc), .first = (int)plan->step_count, .same_as = -1, .copy = true};
    int slot = add_slot(plan, copy);
    if (slot < 0 || transfer(plan, node, home, slot) != TL_OK)
        return -1;
    return plan->value_slots[v][device] = slot;
}

/* May the output take the place of one of the node's inputs, which nothing reads any more? Decided when all steps are
 * known, in layout.c; here only the operands are recorded. */
static tl_status add_kernel(tl__plan *plan, int index, int device, tl_backend_kernel *kernel) {
    const tl__node *node = &plan->graph->nodes[index];
    const tl__op_rule *rule = tl__op_rule_of(node->op.op);
    int operands = rule->input_count + rule->output_count, slots[TL_MAX_INPUTS + TL_MAX_OUTPUTS + 1];
    tl_status status = cover_values(plan);
    memset(slots, -1, sizeof slots);
    for (int i = 0; i < rule->input_count && status == TL_OK; i++)
        if (node->in[i] >= 0 && !is_constant(&plan->graph->values[node->in[i]])) {
            slots[i] = bring(plan, index, node->in[i], device);
            status = slots[i] < 0 ? TL_ERROR_MEMORY : TL_OK;
        }
    /* A gradient that the fallback computes is made there and then brought to the trainer's buffer. */
    for (int i = rule->input_count; i < operands && status == TL_OK; i++) {
        int v = operand_value(node, rule, i);
        if (v < 0)
            continue;
        if (device == TL__FALLBACK && is_external(&plan->graph->values[v])) {
            tl__slot local = {.device = device, .bytes = tl__desc_bytes(&plan->graph->values[v].desc), .first = (int)plan->step_count, .same_as = -1, .copy = true};
            slots[i] = plan->value_slots[v][device] = add_slot(plan, local);
        } else {
            slots[i] = home_slot(plan, v, device);
        }
        status = slots[i] < 0 ? TL_ERROR_MEMORY : TL_OK;
    }
    int now = (int)plan->step_count;
    if (status == TL_OK && kernel->workspace) {
        slots[operands] = add_slot(plan, (tl__slot){.device = device, .bytes = kernel->workspace, .first = now, .last = now, .same_as = -1});
        status = slots[operands] < 0 ? TL_ERROR_MEMORY : TL_OK;
    }
    tl__step *step = status == TL_OK ? add_step(plan) : NULL;
    if (!step) {
        tl__device_release(tl__plan_arena(plan, device)->device, kernel);
        return status == TL_OK ? TL_ERROR_MEMORY : status;
    }
    step->node = index;
    step->device = device;
    step->kernel = kernel;
    step->slot_count = operands + 1;
    memcpy(step->slots, slots, sizeof slots);
    for (int i = 0; i <= operands; i++)
        if (slots[i] >= 0 && plan->slots[slots[i]].last < now)
            plan->slots[slots[i]].last = now;
    /* What was updated or made away from home goes back. */
    for (int i = 0; i < operands && device == TL__FALLBACK && status == TL_OK; i++) {
        int v = operand_value(node, rule, i);
        bool changed = i >= rule->input_count || (rule->updated_inputs >> i & 1);
        if (v < 0 || slots[i] < 0 || !changed || !is_external(&plan->graph->values[v]))
            continue;
        int home = plan->value_slots[v][TL__DEVICE];
        home = home < 0 ? home_slot(plan, v, TL__DEVICE) : home;
        status = home < 0 ? TL_ERROR_MEMORY : transfer(plan, index, slots[i], home);
    }
    return status;
}

/* Does the node read or write a value of this type? Parts of it, and the CPU in place of the device, know f32 alone. */
static bool touches(const tl__graph *graph, int index, tl_dtype dtype) {
    const tl__node *node = &graph->nodes[index];
    const tl__op_rule *rule = tl__op_rule_of(node->op.op);
    for (int i = 0; i < rule->input_count + rule->output_count; i++) {
        int v = operand_value(node, rule, i);
        if (v >= 0 && graph->values[v].desc.dtype == (int32_t)dtype)
            return true;
    }
    return false;
}

/* Whole on the device; else in parts on the device; else on the fallback. */
static tl_status place_node(tl__plan *plan, int index, bool split) {
    tl_backend_kernel *kernel = NULL;
    int parts[4];
    tl_status status = prepare(plan, &plan->graph->nodes[index], TL__DEVICE, NULL, &kernel);
    if (status == TL_OK)
        return add_kernel(plan, index, TL__DEVICE, kernel);
    const tl_dtype storage = plan->graph->storage;
    const bool lowered = status == TL_UNSUPPORTED && storage && storage != TL_DTYPE_F32 && !plan->graph->observe &&
                         touches(plan->graph, index, storage);
    if (lowered)
        return tl__fail_at(plan->context, status, "%s (%s) with values stored in %s", plan->graph->nodes[index].name,
                           tl__op_rule_of(plan->graph->nodes[index].op.op)->name,
                           storage == TL_DTYPE_U8 ? "int8" : tl__dtype_name(storage));
    if (status == TL_UNSUPPORTED && split) {
        int count = tl__graph_split(plan->graph, index, parts);
        TL__TRY(plan->graph->status);
        for (int i = 0; i < count; i++)
            TL__TRY(place_node(plan, parts[i], false));
        if (count)
            return TL_OK;
    }
    const tl__node *node = &plan->graph->nodes[index];
    if (status == TL_UNSUPPORTED && plan->options.device->fallback == TL_FALLBACK_ERROR)
        return tl__plan_refused(plan, node);
    if (status != TL_UNSUPPORTED || !plan->options.fallback)
        return tl__fail_at(plan->context, status, "%s (%s)", node->name, tl__op_rule_of(node->op.op)->name);
    TL__TRY(tl__plan_note_refusal(plan, node));
    status = prepare(plan, node, TL__FALLBACK, NULL, &kernel);
    if (status != TL_OK)
        return tl__fail_at(plan->context, status, "%s (%s)", node->name, tl__op_rule_of(node->op.op)->name);
    return add_kernel(plan, index, TL__FALLBACK, kernel);
}

tl_status tl__plan_place(tl__plan *plan) {
    size_t nodes = plan->graph->node_count; /* splitting appends more */
    TL__TRY(cover_values(plan));
    for (size_t n = 0; n < nodes; n++)
        if (!plan->graph->nodes[n].dead)
            TL__TRY(place_node(plan, (int)n, true));
    /* An input that nothing reads can still be written. */
    for (size_t v = 0; v < plan->graph->value_count; v++)
        if (plan->graph->values[v].kind == TL__VALUE_INPUT && plan->value_slots[v][TL__DEVICE] < 0)
            if (home_slot(plan, (int)v, TL__DEVICE) < 0)
                return TL_ERROR_MEMORY;
    return TL_OK;
}

tl_status tl__plan_tune(tl__plan *plan, const tl_tuning *tuning, void *user,
                        void (*at)(void *user, const char *node, const char *operation)) {
    for (size_t s = 0; s < plan->step_count; s++) {
        const tl__step *step = &plan->steps[s];
        const tl__node *node = &plan->graph->nodes[step->node];
        if (!step->kernel || step->device != TL__DEVICE)
            continue;
        at(user, node->name, tl__plan_operation(plan, step));
        tl_status status = prepare(plan, node, TL__DEVICE, tuning, NULL);
        if (status != TL_OK && status != TL_UNSUPPORTED)
            return tl__fail_at(plan->context, status, "%s (%s)", node->name, tl__plan_operation(plan, step));
    }
    return TL_OK;
}
