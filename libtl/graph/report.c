#include "graph/plan_internal.h"

#include <stdio.h>
#include <string.h>

const char *tl__plan_operation(const tl__plan *plan, const tl__step *step) {
    return step->kernel ? tl__op_rule_of(plan->graph->nodes[step->node].op.op)->name : "transfer";
}

const char *tl__plan_bytes_text(uint64_t bytes, char text[16]) {
    if (bytes < 1 << 20)
        snprintf(text, 16, "%.1f KiB", (double)bytes / 1024);
    else
        snprintf(text, 16, "%.1f MiB", (double)bytes / 1048576);
    return text;
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

#define MOST_NAMED 6

/* How many transfers go one way, how much, and for which nodes: those whose operand is brought, or whose result is. */
static size_t print_transfers(const tl__plan *plan, int from, char *text, size_t size) {
    size_t used = 0, count = 0;
    uint64_t bytes = 0;
    char sum[16];
    for (size_t s = 0; s < plan->step_count; s++)
        if (!plan->steps[s].kernel && plan->slots[plan->steps[s].from].device == from) {
            count++;
            bytes += plan->slots[plan->steps[s].to].bytes;
        }
    if (!count)
        return 0;
#define PRINT(...) used += (size_t)snprintf(text ? text + used : NULL, text ? size - used : 0, __VA_ARGS__)
    PRINT("  %zu transfer%s from %s to %s, %s: ", count, count == 1 ? "" : "s",
          tl_device_name(tl__plan_arena(plan, from)->device), tl_device_name(tl__plan_arena(plan, !from)->device), tl__plan_bytes_text(bytes, sum));
    size_t named = 0;
    int last = -1;
    for (size_t s = 0; s < plan->step_count && named <= MOST_NAMED; s++) {
        const tl__step *step = &plan->steps[s];
        if (step->kernel || plan->slots[step->from].device != from || step->node == last)
            continue;
        last = step->node;
        if (named++ == MOST_NAMED)
            PRINT(", ...");
        else
            PRINT("%s%s", named > 1 ? ", " : "", plan->graph->nodes[step->node].name);
    }
    PRINT("\n");
#undef PRINT
    return used;
}

static size_t print(const tl__plan *plan, const line *lines, size_t count, char *text, size_t size) {
    size_t used = 0, kernels = 0, transfers = 0;
    char sum[16];
    for (size_t s = 0; s < plan->step_count; s++)
        *(plan->steps[s].kernel ? &kernels : &transfers) += 1;
#define PRINT(...) used += (size_t)snprintf(text ? text + used : NULL, text ? size - used : 0, __VA_ARGS__)
    PRINT("%s: %zu nodes, %zu transfers, %s of activations and workspace, %.2f GFLOP\n",
          plan->options.title ? plan->options.title : "plan", kernels, transfers,
          tl__plan_bytes_text(tl__plan_bytes(plan), sum), tl__plan_flops(plan) * 1e-9);
    for (size_t i = 0; i < count; i++)
        PRINT("  %-8s %-20s %3d  %s\n", tl_device_name(tl__plan_arena(plan, lines[i].device)->device), lines[i].operation, lines[i].count, lines[i].implementation);
    for (int from = 0; from < 2; from++)
        used += print_transfers(plan, from, text ? text + used : NULL, text ? size - used : 0);
    for (size_t i = 0; i < plan->refusal_count; i++) {
        const tl__refusal *r = &plan->refusals[i];
        PRINT("  not on %s: %s, %d node%s (%s%s): %s\n", tl_device_name(plan->options.device),
              tl__op_rule_of(r->op)->name, r->count, r->count == 1 ? "" : "s", r->first, r->count == 1 ? "" : ", ...", r->reason);
    }
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
