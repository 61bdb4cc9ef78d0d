#include "graph/plan_internal.h"

#include <stdlib.h>

/* May `output` lie where `input` does? Same size, nothing reads the input later, and the node reads it only through
 * operands that allow it. */
static bool may_share(const tl__plan *plan, const tl__step *step, const tl__op_rule *rule, int now, int input, unsigned allowed) {
    const tl__slot *slot = &plan->slots[step->slots[input]];
    if (slot->external || slot->last != now)
        return false;
    for (int i = 0; i < rule->input_count; i++)
        if (i != input && step->slots[i] == step->slots[input] && !(allowed >> i & 1))
            return false;
    return true;
}

static void share_places(tl__plan *plan) {
    for (size_t s = 0; s < plan->step_count; s++) {
        const tl__step *step = &plan->steps[s];
        if (!step->kernel)
            continue;
        const tl__op_rule *rule = tl__op_rule_of(plan->graph->nodes[step->node].op.op);
        for (int o = 0; o < rule->output_count; o++) {
            int out = step->slots[rule->input_count + o];
            if (out < 0 || plan->slots[out].external || plan->slots[out].same_as >= 0)
                continue;
            for (int i = 0; i < rule->input_count; i++) {
                int in = step->slots[i];
                if (!(rule->aliases[o] >> i & 1) || in < 0 || plan->slots[in].bytes != plan->slots[out].bytes ||
                    !may_share(plan, step, rule, (int)s, i, rule->aliases[o]))
                    continue;
                plan->slots[out].same_as = in;
                break;
            }
        }
    }
    /* Chains end at their first slot, which lives as long as the whole chain. Slots were made in the order of steps,
     * so an earlier one is settled before a later one asks. */
    for (size_t i = 0; i < plan->slot_count; i++) {
        tl__slot *slot = &plan->slots[i];
        if (slot->same_as < 0)
            continue;
        tl__slot *root = &plan->slots[slot->same_as];
        if (root->same_as >= 0) {
            slot->same_as = root->same_as;
            root = &plan->slots[slot->same_as];
        }
        root->last = slot->last > root->last ? slot->last : root->last;
    }
}

typedef struct block {
    uint64_t bytes;
    int slot;
} block;

static int larger_first(const void *a, const void *b) {
    const block *x = a, *y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->slot - y->slot;
}

/* The lowest place in a chunk that no slot placed before occupies during the same steps. */
static uint64_t lowest_place(const tl__plan *plan, const block *placed, size_t count, const tl__slot *slot, int chunk) {
    uint64_t offset = 0;
    for (bool moved = true; moved;) {
        moved = false;
        for (size_t i = 0; i < count; i++) {
            const tl__slot *other = &plan->slots[placed[i].slot];
            if (other->device != slot->device || other->chunk != chunk || other->first > slot->last || slot->first > other->last)
                continue;
            if (offset < other->offset + placed[i].bytes && other->offset < offset + slot->bytes) {
                offset = other->offset + placed[i].bytes;
                moved = true;
            }
        }
    }
    return offset;
}

static tl_status place_block(tl__plan *plan, const block *placed, size_t count, tl__slot *slot, uint64_t bytes) {
    const tl_device_properties *limits = &tl__plan_arena(plan, slot->device)->device->properties;
    for (int chunk = 0; chunk < TL__MAX_CHUNKS; chunk++) {
        uint64_t offset = lowest_place(plan, placed, count, slot, chunk);
        if (offset + bytes > limits->max_buffer)
            continue;
        slot->chunk = chunk;
        slot->offset = offset;
        uint64_t *end = &plan->chunk_bytes[slot->device][chunk];
        *end = *end > offset + bytes ? *end : offset + bytes;
        return TL_OK;
    }
    return tl__fail(plan->context, TL_ERROR_LIMIT, "a tensor of %llu bytes does not fit: the largest buffer of %s is %llu bytes",
                    (unsigned long long)bytes, tl_device_name(tl__plan_arena(plan, slot->device)->device), (unsigned long long)limits->max_buffer);
}

/* Largest first, each as low as it fits: within a few percent of the optimum on networks like ours. */
tl_status tl__plan_layout(tl__plan *plan) {
    share_places(plan);
    block *blocks = tl__alloc(plan->context, plan->slot_count * sizeof *blocks);
    if (!blocks)
        return TL_ERROR_MEMORY;
    size_t count = 0;
    for (size_t i = 0; i < plan->slot_count; i++) {
        tl__slot *slot = &plan->slots[i];
        uint64_t alignment = tl__plan_arena(plan, slot->device)->device->properties.alignment;
        if (!slot->external && slot->same_as < 0) {
            slot->bytes = (slot->bytes + alignment - 1) / alignment * alignment;
            blocks[count++] = (block){slot->bytes, (int)i};
        }
    }
    qsort(blocks, count, sizeof *blocks, larger_first);
    tl_status status = TL_OK;
    for (size_t i = 0; i < count && status == TL_OK; i++)
        status = place_block(plan, blocks, i, &plan->slots[blocks[i].slot], blocks[i].bytes);
    tl__free(plan->context, blocks);
    for (size_t i = 0; i < plan->slot_count && status == TL_OK; i++) {
        tl__slot *slot = &plan->slots[i];
        if (slot->same_as >= 0) {
            slot->chunk = plan->slots[slot->same_as].chunk;
            slot->offset = plan->slots[slot->same_as].offset;
        }
    }
    return status;
}
