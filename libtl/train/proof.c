#include "train/proof.h"

#include <string.h>
#include <unistd.h>

#include "data/cache.h"
#include "models/frozen.h"
#include "models/weights.h"

#define FORMAT 1u

/* ---- what is left for the next run: key, hashes, check ---- */

/* The parameters whose contents lie in files that have settled; the key is of where they lie. */
static size_t find_key(const tl__proof *proof, tl__hash *key) {
    uint64_t facts[3] = {FORMAT};
    size_t count = 0;
    *key = tl__hash_bytes(facts, sizeof facts, 0);
    for (size_t i = 0; i < proof->model->parameter_count; i++) {
        const tl__parameter *p = proof->model->parameters[i];
        const tl__mapping *mapping = proof->changed[i] ? NULL : tl__parameter_mapping(p, &facts[1]);
        if (!mapping || !mapping->stamp)
            continue;
        facts[0] = mapping->stamp;
        facts[2] = tl__desc_bytes(&p->desc);
        *key = tl__hash_mix(*key, tl__hash_bytes(facts, sizeof facts, 0));
        count++;
    }
    return count;
}

/* The next one from *at on, or NULL. */
static tl__parameter *next(const tl__proof *proof, size_t *at) {
    uint64_t offset;
    for (; *at < proof->model->parameter_count; ++*at) {
        tl__parameter *p = proof->model->parameters[*at];
        const tl__mapping *mapping = proof->changed[*at] ? NULL : tl__parameter_mapping(p, &offset);
        if (mapping && mapping->stamp) {
            ++*at;
            return p;
        }
    }
    return NULL;
}

static bool recall(tl__proof *proof, tl__hash key, size_t count) {
    tl__mapping file;
    tl__hash stored[2];
    const size_t bytes = (count + 1) * sizeof(tl__hash);
    if (tl__map(proof->model->context, proof->path, &file) != TL_OK)
        return false;
    bool whole = file.size == bytes + sizeof(tl__hash);
    if (whole) {
        const tl__hash check = tl__hash_bytes(file.data, bytes, 0);
        memcpy(&stored[0], file.data, sizeof stored[0]);
        memcpy(&stored[1], file.data + bytes, sizeof stored[1]);
        whole = memcmp(&stored[0], &key, sizeof key) == 0 && memcmp(&stored[1], &check, sizeof check) == 0;
    }
    size_t at = 0;
    for (size_t i = 1; whole && i <= count; i++) {
        tl__parameter *p = next(proof, &at);
        memcpy(&p->hash, file.data + i * sizeof p->hash, sizeof p->hash);
        p->hashed = p->id;
    }
    tl__unmap(&file);
    return whole;
}

/* Not being able to is no failure: the next run reads what this one read. */
static void leave(const tl__proof *proof) {
    tl_context *context = proof->model->context;
    tl__hash key;
    const size_t count = find_key(proof, &key);
    tl__writer writer;
    tl__hash *all = tl__alloc(context, (count + 2) * sizeof *all);
    if (!all)
        return;
    size_t at = 0, used = 0;
    all[used++] = key;
    for (const tl__parameter *p; (p = next(proof, &at));)
        all[used++] = p->hash;
    all[used] = tl__hash_bytes(all, used * sizeof *all, 0);
    if (tl__writer_open(context, proof->path, &writer) == TL_OK) {
        if (tl__writer_write(&writer, all, (used + 1) * sizeof *all) == TL_OK)
            tl__writer_commit(&writer);
        else
            tl__writer_abandon(&writer);
    }
    tl__free(context, all);
}

static tl_status find_kept(tl__proof *proof, const char *folder) {
    tl__hash key;
    char text[33];
    const size_t count = find_key(proof, &key);
    if (!count)
        return TL_OK;
    tl__hash_text(key, text);
    proof->path = tl__printf(proof->model->context, "%s/%s%s", folder, text, TL__CACHE_HASHES);
    if (!proof->path)
        return TL_ERROR_MEMORY;
    proof->recalled = recall(proof, key, count);
    return TL_OK;
}

/* ---- the proof ---- */

tl_status tl__proof_begin(tl_model *model, const bool *changed, const char *folder, tl__proof *proof) {
    *proof = (tl__proof){.model = model, .changed = changed};
    if (folder)
        TL__TRY(find_kept(proof, folder));
    return tl__frozen_hash(model, changed, false, &proof->hash, &proof->count);
}

static tl_status read_again(const tl__proof *proof) {
    tl__hash now;
    size_t count;
    TL__TRY(tl__frozen_hash(proof->model, proof->changed, true, &now, &count));
    if (now.low == proof->hash.low && now.high == proof->hash.high)
        return TL_OK;
    if (!proof->recalled)
        return tl__fail(proof->model->context, TL_ERROR_INTERNAL, "something frozen changed while training");
    unlink(proof->path);
    return tl__fail(proof->model->context, TL_ERROR_INTERNAL,
                    "what is frozen is not what %s says, which was taken away: the file of weights changed without a "
                    "trace; the same run again reads it",
                    proof->path);
}

tl_status tl__proof_settle(tl__proof *proof) {
    if (!proof->recalled)
        return TL_OK;
    TL__TRY(read_again(proof));
    proof->recalled = false;
    return TL_OK;
}

tl_status tl__proof_end(tl__proof *proof) {
    const bool new = !proof->recalled;
    TL__TRY(read_again(proof));
    if (proof->path && new)
        leave(proof);
    return TL_OK;
}

void tl__proof_release(tl__proof *proof) {
    if (proof->model)
        tl__free(proof->model->context, proof->path);
    *proof = (tl__proof){0};
}
