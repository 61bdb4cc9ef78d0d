/* What a device leaves to the CPU, and who is told. */
#include "graph/plan_internal.h"

#include <string.h>

/* The context's message without the device's name before it, which is said anyway. */
static const char *reason_of(const tl__plan *plan) {
    const char *message = tl_context_message(plan->context), *name = tl_device_name(plan->options.device);
    size_t length = strlen(name);
    bool named = strncmp(message, name, length) == 0 && strncmp(message + length, ": ", 2) == 0;
    return named ? message + length + 2 : message;
}

tl_status tl__plan_note_refusal(tl__plan *plan, const tl__node *node) {
    const char *reason = reason_of(plan);
    for (size_t i = 0; i < plan->refusal_count; i++)
        if (plan->refusals[i].op == node->op.op && strcmp(plan->refusals[i].reason, reason) == 0) {
            plan->refusals[i].count++;
            return TL_OK;
        }
    char *copy = tl__strdup(plan->context, reason);
    if (!copy)
        return TL_ERROR_MEMORY;
    if (tl__grow(plan->context, (void **)&plan->refusals, &plan->refusal_capacity, plan->refusal_count,
                 sizeof *plan->refusals) != TL_OK) {
        tl__free(plan->context, copy);
        return TL_ERROR_MEMORY;
    }
    plan->refusals[plan->refusal_count++] = (tl__refusal){node->op.op, 1, node->name, copy};
    return TL_OK;
}

tl_status tl__plan_refused(tl__plan *plan, const tl__node *node) {
    char *reason = tl__strdup(plan->context, reason_of(plan));
    if (!reason)
        return TL_ERROR_MEMORY;
    tl__fail(plan->context, TL_UNSUPPORTED, "%s (%s): %s does not do it, and the CPU may not instead: %s", node->name,
             tl__op_rule_of(node->op.op)->name, tl_device_name(plan->options.device), reason);
    tl__free(plan->context, reason);
    return TL_UNSUPPORTED;
}

/* Whether the device gave this reason for this operation before; it did from now on. */
static tl_status remember(tl_device *device, const tl__refusal *refusal, bool *known) {
    char *text = tl__printf(device->context, "%u %s", (unsigned)refusal->op, refusal->reason);
    if (!text)
        return TL_ERROR_MEMORY;
    *known = false;
    for (size_t i = 0; i < device->warned_count && !*known; i++)
        *known = strcmp(device->warned[i], text) == 0;
    tl_status status = TL_OK;
    if (!*known)
        status = tl__grow(device->context, (void **)&device->warned, &device->warned_capacity, device->warned_count,
                          sizeof *device->warned);
    if (*known || status != TL_OK)
        tl__free(device->context, text);
    else
        device->warned[device->warned_count++] = text;
    return status;
}

tl_status tl__plan_warn(tl__plan *plan) {
    tl_device *device = plan->options.device;
    char *list = NULL;
    tl_status status = TL_OK;
    for (size_t i = 0; i < plan->refusal_count && device->fallback == TL_FALLBACK_WARN && status == TL_OK; i++) {
        const tl__refusal *r = &plan->refusals[i];
        bool known;
        status = remember(device, r, &known);
        if (status != TL_OK || known)
            continue;
        char *longer = tl__printf(plan->context, "%s%s%d %s (%s): %s", list ? list : "", list ? "; " : "", r->count,
                                  tl__op_rule_of(r->op)->name, r->first, r->reason);
        tl__free(plan->context, list);
        list = longer;
        status = list ? TL_OK : TL_ERROR_MEMORY;
    }
    if (list && status == TL_OK)
        tl__log(plan->context, TL_LOG_WARNING, "%s leaves to the CPU: %s", tl_device_name(device), list);
    tl__free(plan->context, list);
    return status;
}

void tl__plan_free_refusals(tl__plan *plan) {
    for (size_t i = 0; i < plan->refusal_count; i++)
        tl__free(plan->context, plan->refusals[i].reason);
    tl__free(plan->context, plan->refusals);
}
