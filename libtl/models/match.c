/* Which tensor of a file belongs to which parameter. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "models/weights.h"

static const char *unread_type(const tl__archive *archive, const char *name) {
    for (size_t i = 0; i < archive->unread_count; i++)
        if (strcmp(archive->unread[i].key, name) == 0)
            return archive->unread[i].value;
    return NULL;
}

static void missing(const tl__archive *archive, const tl__parameter *parameter, tl__findings *findings) {
    const char *type = unread_type(archive, parameter->name);
    if (type)
        tl__find(findings, "%s is of type %s, which is not read", parameter->name, type);
    else
        tl__find(findings, "missing %s", parameter->name);
}

static void misshapen(const tl__parameter *parameter, const char *name, int rank, const int64_t *shape,
                      tl__findings *findings) {
    char theirs[96], ours[96];
    tl__shape_text(rank, shape, theirs);
    tl__shape_text(parameter->rank, parameter->shape, ours);
    if (strcmp(parameter->name, name) == 0)
        tl__find(findings, "%s is %s, not %s", name, theirs, ours);
    else
        tl__find(findings, "%s is %s, %s needs %s", name, theirs, parameter->name, ours);
}

static void read_from(tl__piece *piece, const tl__entry *entry) {
    piece->action = TL__PIECE_READ;
    piece->entry = *entry;
}

/* ---- by name ---- */

/* A segmenter's trunk has its own names in the file of a segmenter, and those of the classifier in a classifier's. */
static const char *name_in(const tl_model *model, const tl__archive *archive, const char *name) {
    const size_t prefix = sizeof "backbone." - 1;
    bool trunk = tl__model_segments(model) && strncmp(name, "backbone.", prefix) == 0;
    return trunk && !tl__archive_find(archive, name) && !unread_type(archive, name) ? name + prefix : name;
}

/* Is it the file of a classifier, whose trunk a segmenter takes? */
static bool is_trunk_of(const tl_model *model, const tl__archive *archive) {
    const tl__parameter *first = model->parameters[0];
    return tl__model_segments(model) && !tl__archive_find(archive, first->name) &&
           tl__archive_find(archive, name_in(model, archive, first->name));
}

/* A trunk's file may have the classifier that a model with another head goes without. */
static bool may_be_extra(const tl_model *model, const tl__archive *archive, const char *name) {
    if (is_trunk_of(model, archive)) {
        char own[160];
        snprintf(own, sizeof own, "backbone.%.140s", name);
        return tl__model_find(model, own) || strncmp(name, "fc.", 3) == 0 ||
               strncmp(name, model->arch->head, strcspn(model->arch->head, ".")) == 0;
    }
    if (tl__model_segments(model))
        return model->options.no_auxiliary && strncmp(name, "aux_classifier.", 15) == 0;
    return model->options.head == TL_HEAD_LINEAR && strcmp(model->arch->head, "fc") != 0 &&
           strncmp(name, "classifier.", 11) == 0;
}

static void find_extra(const tl_model *model, const tl__archive *archive, tl__findings *findings) {
    for (size_t i = 0; i < archive->entry_count; i++) {
        const char *name = archive->entries[i].name;
        if (!tl__model_find(model, name) && !may_be_extra(model, archive, name))
            tl__find(findings, "extra %s", name);
    }
    for (size_t i = 0; i < archive->unread_count; i++) {
        const char *name = archive->unread[i].key;
        if (!tl__model_find(model, name) && !may_be_extra(model, archive, name))
            tl__find(findings, "extra %s", name);
    }
}

/* Where a part of the head does not come from the file, none does. */
static void keep_head(const tl_model *model, tl__piece *pieces) {
    for (size_t i = 0; i < model->parameter_count; i++)
        if (tl__in_head(model, model->parameters[i]))
            pieces[i].action = TL__PIECE_KEEP;
}

void tl__match_names(tl_model *model, tl__archive *archive, const tl_weights_options *options, tl__piece *pieces,
                     tl__findings *findings) {
    const bool trunk = is_trunk_of(model, archive);
    bool new_head = trunk;
    size_t found = 0;
    for (size_t i = 0; i < model->parameter_count; i++) {
        const tl__parameter *parameter = model->parameters[i];
        const tl__entry *entry = tl__archive_find(archive, name_in(model, archive, parameter->name));
        bool head = tl__in_head(model, parameter);
        if (trunk && head)
            continue;
        if (!entry && findings->partial)
            continue;
        if (!entry) {
            if (head && model->options.head == TL_HEAD_LINEAR && !options->keep_head &&
                !unread_type(archive, parameter->name)) {
                tl__log(model->context, TL_LOG_INFO, "%s: has no %s, which stays new", archive->path, parameter->name);
                new_head = true;
            } else if (parameter->kind != TL__PARAMETER_COUNTER) { /* older files have none */
                missing(archive, parameter, findings);
            }
            continue;
        }
        found++;
        if (tl__shape_fits(parameter, entry)) {
            read_from(&pieces[i], entry);
        } else if (head && !options->keep_head) {
            char theirs[96], ours[96];
            tl__log(model->context, TL_LOG_INFO, "%s: %s is %s, not %s, and stays new", archive->path, parameter->name,
                    tl__shape_text(entry->rank, entry->shape, theirs),
                    tl__shape_text(parameter->rank, parameter->shape, ours));
            new_head = true;
        } else {
            misshapen(parameter, entry->name, entry->rank, entry->shape, findings);
        }
    }
    if (new_head)
        keep_head(model, pieces);
    if ((found < archive->entry_count || archive->unread_count) && !archive->layer_count)
        find_extra(model, archive, findings);
}

/* ---- by layers ---- */

/* A convolution or linear layer of the model: places in its parameters. */
typedef struct layer {
    size_t weight;
    bool bias, norm; /* right behind the weight */
} layer;

static bool next_layer(const tl_model *model, size_t *at, layer *out) {
    for (; *at < model->parameter_count; ++*at) {
        if (model->parameters[*at]->kind != TL__PARAMETER_WEIGHT)
            continue;
        *out = (layer){.weight = (*at)++};
        if (*at < model->parameter_count) {
            out->bias = model->parameters[*at]->kind == TL__PARAMETER_BIAS;
            /* VGG's convolutions have both. */
            size_t norm = *at + out->bias;
            out->norm = norm < model->parameter_count && model->parameters[norm]->kind == TL__PARAMETER_SCALE;
        }
        return true;
    }
    return false;
}

/* A segmenter's head is not in such a file. */
static bool skips(const tl_model *model, const layer *l) {
    return tl__model_segments(model) && tl__in_head(model, model->parameters[l->weight]);
}

static void count_layers(const tl_model *model, const tl__archive *archive, size_t ours[2], size_t theirs[2]) {
    ours[0] = ours[1] = theirs[0] = theirs[1] = 0;
    layer l;
    for (size_t at = 0; next_layer(model, &at, &l);)
        if (!skips(model, &l))
            ours[model->parameters[l.weight]->rank == 4]++;
    for (size_t i = 0; i < archive->layer_count; i++)
        theirs[archive->layers[i].convolution]++;
}

/* The file's weight as the model has it: a linear one is [out, in], whatever the file's node did to it. */
static tl__entry weight_of(const tl__archive *archive, const tl__archive_layer *theirs) {
    tl__entry entry = archive->entries[theirs->weight];
    if (theirs->transposed && entry.rank == 2) {
        int64_t shape = entry.shape[0], stride = entry.strides[0];
        entry.shape[0] = entry.shape[1];
        entry.strides[0] = entry.strides[1];
        entry.shape[1] = shape;
        entry.strides[1] = stride;
    }
    return entry;
}

static void match_vector(const tl__parameter *parameter, const tl__entry *entry, tl__piece *piece, tl__findings *findings) {
    if (entry->count != parameter->shape[0])
        misshapen(parameter, entry->name, entry->rank, entry->shape, findings);
    else
        read_from(piece, entry);
}

static void constant(tl__piece *piece, double value) {
    piece->action = TL__PIECE_CONSTANT;
    piece->constant = value;
}

static void match_norm(tl_model *model, const tl__archive *archive, const tl__archive_layer *theirs, size_t first,
                       bool our_bias, tl__piece *pieces, tl__findings *findings) {
    bool folded = theirs->norm[0] == SIZE_MAX;
    const tl__parameter *scale = model->parameters[first];
    const char *weight = archive->entries[theirs->weight].name;
    if (!folded) {
        for (size_t i = 0; i < 4; i++)
            match_vector(model->parameters[first + i], &archive->entries[theirs->norm[i]], &pieces[first + i], findings);
        if (theirs->bias != SIZE_MAX && !our_bias)
            tl__find(findings, "%s has both a bias and a batch-norm, the network has no place for the bias", weight);
        return;
    }
    if (theirs->bias == SIZE_MAX) {
        tl__find(findings, "missing %s: %s has neither a batch-norm nor a bias", scale->name, weight);
        return;
    }
    /* The batch-norm is inside the convolution: ours passes values on, but for the bias. With the eps of 1e-5 that it
     * adds to the variance, the scale that undoes the division is sqrt(1 + eps). */
    constant(&pieces[first], sqrt(1 + 1e-5));
    if (our_bias)
        constant(&pieces[first + 1], 0);
    else
        match_vector(model->parameters[first + 1], &archive->entries[theirs->bias], &pieces[first + 1], findings);
    constant(&pieces[first + 2], 0);
    constant(&pieces[first + 3], 1);
}

static void match_layer(tl_model *model, const tl__archive *archive, const tl__archive_layer *theirs, const layer *ours,
                        tl__piece *pieces, tl__findings *findings) {
    const tl__parameter *weight = model->parameters[ours->weight];
    tl__entry entry = weight_of(archive, theirs);
    if (!tl__shape_fits(weight, &entry)) {
        misshapen(weight, entry.name, entry.rank, entry.shape, findings);
        return;
    }
    read_from(&pieces[ours->weight], &entry);
    size_t next = ours->weight + 1;
    if (ours->bias) {
        if (theirs->bias == SIZE_MAX)
            constant(&pieces[next], 0);
        else
            match_vector(model->parameters[next], &archive->entries[theirs->bias], &pieces[next], findings);
        next++;
    }
    if (ours->norm)
        match_norm(model, archive, theirs, next, ours->bias, pieces, findings);
    else if (theirs->norm[0] != SIZE_MAX)
        tl__find(findings, "%s has a batch-norm, %s has none", entry.name, weight->name);
}

/* Whether the head stays new: where the file's last linear layer, if it is in the same place, has another shape. */
static bool head_differs(const tl_model *model, const tl__archive *archive, const layer *head,
                         const tl__archive_layer *theirs) {
    const tl__parameter *weight = model->parameters[head->weight];
    char text[96], ours[96];
    if (theirs) {
        tl__entry entry = weight_of(archive, theirs);
        if (tl__shape_fits(weight, &entry))
            return false;
        tl__log(model->context, TL_LOG_INFO, "%s: %s is %s, %s is %s and stays new", archive->path, entry.name,
                tl__shape_text(entry.rank, entry.shape, text), weight->name,
                tl__shape_text(weight->rank, weight->shape, ours));
    } else {
        tl__log(model->context, TL_LOG_INFO, "%s: has no layer for %s, which stays new", archive->path, weight->name);
    }
    return true;
}

void tl__match_layers(tl_model *model, tl__archive *archive, const tl_weights_options *options, tl__piece *pieces,
                      tl__findings *findings) {
    size_t ours[2], theirs[2];
    bool linear_head = model->options.head == TL_HEAD_LINEAR || tl__model_segments(model);
    count_layers(model, archive, ours, theirs);
    if (ours[1] != theirs[1])
        tl__find(findings, "%zu convolutions, not %zu", theirs[1], ours[1]);
    if (ours[0] != theirs[0] && (!linear_head || options->keep_head))
        tl__find(findings, "%zu linear layers, not %zu", theirs[0], ours[0]);
    if (findings->count)
        return;

    size_t at = 0, next[2] = {0, 0};
    layer l;
    while (next_layer(model, &at, &l)) {
        const tl__parameter *weight = model->parameters[l.weight];
        bool convolution = weight->rank == 4;
        if (skips(model, &l))
            continue;
        while (next[convolution] < archive->layer_count && archive->layers[next[convolution]].convolution != convolution)
            next[convolution]++;
        const tl__archive_layer *match = NULL;
        if (next[convolution] < archive->layer_count)
            match = &archive->layers[next[convolution]++];
        if (tl__in_head(model, weight) && !options->keep_head) {
            if (ours[0] != theirs[0]) /* another classifier: none of its layers is this one */
                match = NULL;
            if (head_differs(model, archive, &l, match))
                continue;
        }
        match_layer(model, archive, match, &l, pieces, findings);
    }
}
