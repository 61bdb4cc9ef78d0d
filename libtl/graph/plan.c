#include "graph/plan_internal.h"

#include <string.h>

void tl__plan_destroy(tl__plan *plan) {
    if (!plan)
        return;
    /* A run that failed half-way has left work on the queues. */
    for (int device = TL__DEVICE; device <= TL__FALLBACK; device++)
        if (tl__plan_arena(plan, device))
            tl__device_queue_settle(tl__plan_arena(plan, device)->device, tl__plan_arena(plan, device)->queue);
    for (size_t i = 0; i < plan->step_count; i++)
        if (plan->steps[i].kernel)
            tl__device_release(tl__plan_arena(plan, plan->steps[i].device)->device, plan->steps[i].kernel);
    tl__free(plan->context, plan->steps);
    tl__free(plan->context, plan->slots);
    tl__free(plan->context, plan->value_slots);
    tl__free(plan->context, plan->staging);
    tl__plan_free_refusals(plan);
    tl__free(plan->context, plan->report);
    tl__graph_destroy(plan->graph);
    tl__free(plan->context, plan);
}

static tl_status check_budget(const tl__plan *plan) {
    uint64_t sum = 0;
    for (int i = 0; i < TL__MAX_CHUNKS; i++) {
        uint64_t there = plan->options.arena->sizes[i], wanted = plan->chunk_bytes[TL__DEVICE][i];
        sum += there > wanted ? there : wanted;
    }
    if (!plan->options.budget || sum <= plan->options.budget)
        return TL_OK;
    char wanted[16], there[16];
    return tl__fail(plan->context, TL_ERROR_MEMORY, "%s: activations and workspace would take %s where %s has "
                    "%s for them", plan->options.title ? plan->options.title : "plan", tl__plan_bytes_text(sum, wanted),
                    tl_device_name(plan->options.device), tl__plan_bytes_text(plan->options.budget, there));
}

/* What depends on how large the plan is. *too_large: that is why it fails, and not a lack of memory on our side. */
static tl_status fit(tl__plan *plan, bool *too_large) {
    tl_status status = tl__plan_layout(plan);
    *too_large = status == TL_ERROR_LIMIT;
    TL__TRY(status);
    status = check_budget(plan);
    *too_large = status != TL_OK;
    if (status != TL_OK || plan->options.measure)
        return status;
    status = tl__arena_reserve(plan->options.arena, plan->chunk_bytes[TL__DEVICE]);
    bool no_room = status == TL_ERROR_MEMORY || status == TL_ERROR_LIMIT;
    *too_large = no_room && !tl__device_is_own_cpu(plan->options.device);
    if (status == TL_OK && plan->options.fallback)
        status = tl__arena_reserve(plan->options.fallback_arena, plan->chunk_bytes[TL__FALLBACK]);
    return status;
}

static tl_status make(tl__plan *plan) {
    TL__TRY(plan->graph->status);
    tl__graph_prune(plan->graph);
    TL__TRY(tl__graph_fold(plan->graph));
    tl__graph_fuse(plan->graph);
    TL__TRY(tl__graph_mark_exact(plan->graph));
    TL__TRY(tl__graph_lower(plan->graph));
    TL__TRY(tl__plan_place(plan));
    bool too_large;
    tl_status status = fit(plan, &too_large);
    if (plan->options.too_large)
        *plan->options.too_large = too_large;
    if (status != TL_OK || plan->options.measure)
        return status;
    if (plan->staging_bytes) {
        plan->staging = tl__alloc(plan->context, plan->staging_bytes);
        if (!plan->staging)
            return TL_ERROR_MEMORY;
    }
    TL__TRY(tl__plan_write_report(plan));
    return tl__plan_warn(plan);
}

tl_status tl__plan_create(tl__graph *graph, const tl__plan_options *options, tl__plan **out) {
    tl_context *context = graph->context;
    tl__plan *plan = tl__calloc(context, 1, sizeof *plan);
    if (!plan) {
        tl__graph_destroy(graph);
        return TL_ERROR_MEMORY;
    }
    plan->context = context;
    plan->graph = graph;
    plan->options = *options;
    tl_status status = make(plan);
    if (status != TL_OK) {
        tl__plan_destroy(plan);
        return status;
    }
    plan->options.title = NULL; /* they live for the call */
    plan->options.too_large = NULL;
    *out = plan;
    return TL_OK;
}

static tl_view slot_view(const tl__plan *plan, int index) {
    if (index < 0)
        return (tl_view){0};
    const tl__slot *slot = &plan->slots[index];
    if (slot->external)
        return slot->view;
    return (tl_view){tl__plan_arena(plan, slot->device)->chunks[slot->chunk], slot->offset, slot->bytes};
}

static tl_status failed_at(const tl__plan *plan, const tl__step *step, tl_status status) {
    return tl__fail_at(plan->context, status, "%s (%s)", plan->graph->nodes[step->node].name, tl__plan_operation(plan, step));
}

/* After another plan made the arena grow, its chunks are other ones. */
static tl_status bind(tl__plan *plan) {
    bool changed = false;
    for (int device = 0; device < 2; device++) {
        const tl__arena *arena = tl__plan_arena(plan, device);
        changed |= arena && arena->generation != plan->generations[device];
    }
    if (!changed)
        return TL_OK;
    for (size_t s = 0; s < plan->step_count; s++) {
        tl__step *step = &plan->steps[s];
        tl_view views[TL_MAX_INPUTS + TL_MAX_OUTPUTS + 1] = {{0}};
        if (!step->kernel)
            continue;
        for (int i = 0; i < step->slot_count; i++)
            views[i] = slot_view(plan, step->slots[i]);
        tl_status status = tl__device_bind(tl__plan_arena(plan, step->device)->device, step->kernel, views);
        if (status != TL_OK)
            return failed_at(plan, step, status);
    }
    for (int device = 0; device < 2; device++)
        if (tl__plan_arena(plan, device))
            plan->generations[device] = tl__plan_arena(plan, device)->generation;
    return TL_OK;
}

static tl_status run_transfer(tl__plan *plan, const tl__step *step) {
    const tl__slot *from = &plan->slots[step->from], *to = &plan->slots[step->to];
    tl__arena *source = tl__plan_arena(plan, from->device), *target = tl__plan_arena(plan, to->device);
    tl_view from_view = slot_view(plan, step->from), to_view = slot_view(plan, step->to);
    uint64_t bytes = from_view.bytes < to_view.bytes ? from_view.bytes : to_view.bytes;
    bytes = bytes < plan->staging_bytes ? bytes : plan->staging_bytes; /* both slots may be rounded up behind the value */
    from_view.bytes = to_view.bytes = bytes;
    TL__TRY(tl__device_queue_read(source->device, source->queue, &from_view, plan->staging));
    return tl__device_queue_write(target->device, target->queue, &to_view, plan->staging);
}

static tl_status run_step(tl__plan *plan, const tl__step *step) {
    const tl__arena *arena = tl__plan_arena(plan, step->device);
    tl_status status = step->kernel ? tl__device_enqueue(arena->device, step->kernel, arena->queue) : run_transfer(plan, step);
    return status == TL_OK ? TL_OK : failed_at(plan, step, status);
}

tl_status tl__plan_run(tl__plan *plan) {
    TL__TRY(bind(plan));
    for (size_t s = 0; s < plan->step_count; s++)
        TL__TRY(run_step(plan, &plan->steps[s]));
    return tl__device_queue_flush(plan->options.device, plan->options.arena->queue);
}

tl_status tl__plan_run_observed(tl__plan *plan, void *user, tl_status (*each)(void *user, int value)) {
    TL__TRY(bind(plan));
    for (size_t s = 0; s < plan->step_count; s++) {
        const tl__step *step = &plan->steps[s];
        const tl__node *node = &plan->graph->nodes[step->node];
        TL__TRY(run_step(plan, step));
        for (int i = 0; step->kernel && i < TL_MAX_OUTPUTS; i++)
            if (node->out[i] >= 0 && plan->graph->values[node->out[i]].observed)
                TL__TRY(each(user, node->out[i]));
    }
    return TL_OK;
}

tl_status tl__plan_run_timed(tl__plan *plan, void *user,
                             void (*each)(void *user, const char *node, const char *op, const char *implementation,
                                          double seconds, double flops)) {
    TL__TRY(bind(plan));
    for (size_t s = 0; s < plan->step_count; s++) {
        const tl__step *step = &plan->steps[s];
        tl__arena *arena = tl__plan_arena(plan, step->device);
        double start = tl__seconds();
        TL__TRY(run_step(plan, step));
        TL__TRY(tl__device_queue_finish(arena->device, arena->queue));
        const tl__node *node = &plan->graph->nodes[step->node];
        each(user, node->name, tl__plan_operation(plan, step), step->kernel ? tl__kernel_implementation(step->kernel) : "transfer", tl__seconds() - start,
             step->kernel ? tl__op_flops(plan->graph, node) : 0);
    }
    return TL_OK;
}

/* Where a value is to be found after a run, or to be put before it: at home, not where a copy was that others replaced. */
static tl_view value_view(const tl__plan *plan, int value, int *device) {
    const int *slots = plan->value_slots[value];
    *device = slots[TL__DEVICE] >= 0 && !plan->slots[slots[TL__DEVICE]].copy ? TL__DEVICE : TL__FALLBACK;
    tl_view view = slot_view(plan, plan->value_slots[value][*device]);
    view.bytes = tl__desc_bytes(&plan->graph->values[value].desc);
    return view;
}

tl_status tl__plan_write(tl__plan *plan, int value, const void *data) {
    int device;
    tl_view view = value_view(plan, value, &device);
    tl__arena *arena = tl__plan_arena(plan, device);
    return tl__device_queue_write(arena->device, arena->queue, &view, data);
}

tl_status tl__plan_read(tl__plan *plan, int value, void *data) {
    int device;
    tl_view view = value_view(plan, value, &device);
    tl__arena *arena = tl__plan_arena(plan, device);
    return tl__device_queue_read(arena->device, arena->queue, &view, data);
}

const tl__value *tl__plan_value(const tl__plan *plan, int value) {
    return &plan->graph->values[value];
}

const tl__graph *tl__plan_graph(const tl__plan *plan) {
    return plan->graph;
}

double tl__plan_flops(const tl__plan *plan) {
    double sum = 0;
    for (size_t s = 0; s < plan->step_count; s++)
        if (plan->steps[s].kernel)
            sum += tl__op_flops(plan->graph, &plan->graph->nodes[plan->steps[s].node]);
    return sum;
}

uint64_t tl__plan_bytes(const tl__plan *plan) {
    uint64_t sum = 0;
    for (int device = 0; device < 2; device++)
        for (int i = 0; i < TL__MAX_CHUNKS; i++)
            sum += plan->chunk_bytes[device][i];
    return sum;
}

uint64_t tl__plan_device_bytes(const tl__plan *plan) {
    uint64_t sum = 0;
    for (int i = 0; i < TL__MAX_CHUNKS; i++)
        sum += plan->chunk_bytes[TL__DEVICE][i];
    return sum;
}

const char *tl__plan_report(const tl__plan *plan) {
    return plan->report ? plan->report : "";
}

void tl__plan_log(const tl__plan *plan) {
    const char *at = tl__plan_report(plan);
    while (*at) {
        int length = (int)strcspn(at, "\n");
        tl__log(plan->context, TL_LOG_INFO, "%.*s", length, at);
        at += length + (at[length] == '\n');
    }
}
