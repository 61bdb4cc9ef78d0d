#include "graph/plan_internal.h"

#include <stdio.h>
#include <string.h>

const char *tl__plan_operation(const tl__plan *plan, const tl__step *step) {
    return step->kernel ? tl__op_rule_of(plan->graph->nodes[step->node].op.op)->name : "transfer";
}

typedef struct line {
    const char *operation, *implementation;
    int device, count;
} line;

/* One line for each pair of operation and implementation, in the order of their first use. */
static size_t collect(const tl__plan *plan, line *lines) {
    size_t count = 0;
    for (size_t s = 0; s < plan->step_count; s++) {
        const tl__step *step = &plan->steps[s];
        if (!step->kernel)
            continue;
        line l = {tl__plan_operation(plan, step), tl__kernel_implementation(step->kernel), step->device, 0};
        size_t i = 0;
        while (i < count && (lines[i].device != l.device || strcmp(lines[i].operation, l.operation) || strcmp(lines[i].implementation, l.implementation)))
            i++;
        if (i == count)
            lines[count++] = l;
        lines[i].count++;
    }
    return count;
}

static size_t print(const tl__plan *plan, const line *lines, size_t count, char *text, size_t size) {
    size_t used = 0, kernels = 0, transfers = 0;
    for (size_t s = 0; s < plan->step_count; s++)
        *(plan->steps[s].kernel ? &kernels : &transfers) += 1;
#define PRINT(...) used += (size_t)snprintf(text ? text + used : NULL, text ? size - used : 0, __VA_ARGS__)
    PRINT("%zu nodes, %zu transfers, %.1f MiB of activations and workspace, %.2f GFLOP\n", kernels, transfers,
          (double)tl__plan_bytes(plan) / 1048576, tl__plan_flops(plan) * 1e-9);
    for (size_t i = 0; i < count; i++)
        PRINT("  %-8s %-20s %3d  %s\n", tl_device_name(tl__plan_arena(plan, lines[i].device)->device), lines[i].operation, lines[i].count, lines[i].implementation);
    if (plan->refusals)
        PRINT("%s", plan->refusals);
#undef PRINT
    return used;
}

tl_status tl__plan_write_report(tl__plan *plan) {
    line *lines = tl__alloc(plan->context, plan->step_count * sizeof *lines);
    if (!lines)
        return TL_ERROR_MEMORY;
    size_t count = collect(plan, lines), size = print(plan, lines, count, NULL, 0) + 1;
    plan->report = tl__alloc(plan->context, size);
    if (plan->report)
        print(plan, lines, count, plan->report, size);
    tl__free(plan->context, lines);
    return plan->report ? TL_OK : TL_ERROR_MEMORY;
}
