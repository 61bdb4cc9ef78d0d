#include "formats/torch.h"

#include <string.h>

/* torch.save before 1.6: five pickles (a magic number, the protocol, facts about the machine, the object, the keys of
 * its storages), then each storage as its number of elements and its bytes. */

#define PROTOCOL 1001

static const uint8_t magic[10] = {0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19};

typedef struct tl__legacy {
    tl__archive *archive;
    size_t at;
} tl__legacy;

static tl_status fail(const tl__legacy *legacy, const char *what) {
    return tl__fail(legacy->archive->context, TL_ERROR_FORMAT, "%s: %s", legacy->archive->path, what);
}

static tl_status fail_storage(const tl__legacy *legacy, tl__slice key, const char *what) {
    return tl__fail(legacy->archive->context, TL_ERROR_FORMAT, "%s: storage %.*s %s", legacy->archive->path,
                    TL__SLICE(key), what);
}

static tl_status next_pickle(tl__legacy *legacy, tl__pickle *pickle) {
    const tl__mapping *mapping = &legacy->archive->mapping;
    TL__TRY(tl__pickle_load(legacy->archive->context, legacy->archive->path, mapping->data + legacy->at,
                            mapping->size - legacy->at, pickle));
    legacy->at += pickle->at;
    return TL_OK;
}

/* The magic number is the one object of its pickle, so its bytes stand right before the STOP. */
static tl_status check_magic(tl__legacy *legacy) {
    tl__pickle pickle;
    TL__TRY(next_pickle(legacy, &pickle));
    tl__pickle_free(&pickle);
    size_t end = legacy->at - 1;
    if (end < sizeof magic || memcmp(legacy->archive->mapping.data + end - sizeof magic, magic, sizeof magic) != 0)
        return fail(legacy, "is a pickle, but not PyTorch's");
    return TL_OK;
}

static tl_status check_protocol(tl__legacy *legacy) {
    tl__pickle pickle;
    TL__TRY(next_pickle(legacy, &pickle));
    const tl__node *root = tl__pickle_node(&pickle, pickle.root);
    bool known = root->kind == TL__PICKLE_INTEGER && root->of.integer == PROTOCOL;
    tl__pickle_free(&pickle);
    return known ? TL_OK : fail(legacy, "is of an unknown version of PyTorch's older format");
}

static tl_status check_machine(tl__legacy *legacy) {
    tl__pickle pickle;
    TL__TRY(next_pickle(legacy, &pickle));
    const tl__node *root = tl__pickle_node(&pickle, pickle.root);
    bool dict = root->kind == TL__PICKLE_DICT;
    const tl__node *little = dict ? tl__pickle_value(&pickle, root, "little_endian") : NULL;
    bool big = little && little->kind == TL__PICKLE_BOOL && !little->of.integer;
    tl__pickle_free(&pickle);
    if (big)
        return tl__fail(legacy->archive->context, TL_UNSUPPORTED, "%s: is big endian, only little endian is read",
                        legacy->archive->path);
    return dict ? TL_OK : fail(legacy, "does not say which machine wrote it");
}

static tl_status place_storage(tl__legacy *legacy, tl__torch *torch, tl__slice key) {
    const tl__mapping *mapping = &legacy->archive->mapping;
    tl__storage *storage = tl__torch_storage(torch, key);
    if (!storage || storage->data)
        return fail_storage(legacy, key, storage ? "is there twice" : "belongs to no tensor");
    if (mapping->size - legacy->at < 8)
        return fail(legacy, "is cut off in its storages");
    uint64_t count = tl__read_le(mapping->data + legacy->at, 8), bytes = tl__storage_bytes(storage);
    legacy->at += 8;
    if (count != (uint64_t)storage->count)
        return fail_storage(legacy, key, "does not have the size that its tensors need");
    if (bytes > mapping->size - legacy->at)
        return fail(legacy, "is cut off in its storages");
    storage->data = mapping->data + legacy->at;
    legacy->at += (size_t)bytes;
    return TL_OK;
}

static tl_status place_storages(tl__legacy *legacy, tl__torch *torch, const tl__pickle *keys) {
    const tl__node *root = tl__pickle_node(keys, keys->root);
    if (root->kind != TL__PICKLE_LIST)
        return fail(legacy, "does not list its storages");
    uint32_t at = root->of.items.first;
    for (uint32_t i = 0; i < root->count; i++) {
        const tl__cell *cell = tl__pickle_cell(keys, at);
        const tl__node *key = tl__pickle_node(keys, cell->value);
        if (key->kind != TL__PICKLE_TEXT)
            return fail(legacy, "a storage's key is no text");
        TL__TRY(place_storage(legacy, torch, tl__pickle_text(keys, key)));
        at = cell->next;
    }
    for (size_t i = 0; i < torch->storage_count; i++)
        if (!torch->storages[i].data)
            return fail_storage(legacy, torch->storages[i].key, "is not in it, but its tensors need it");
    return TL_OK;
}

static tl_status read_object(tl__legacy *legacy, tl__torch *torch) {
    tl__pickle keys;
    TL__TRY(tl__torch_begin(torch, legacy->archive, legacy->at, legacy->archive->mapping.size - legacy->at));
    legacy->at += torch->pickle.at;
    TL__TRY(next_pickle(legacy, &keys));
    tl_status status = place_storages(legacy, torch, &keys);
    tl__pickle_free(&keys);
    return status == TL_OK ? tl__torch_finish(torch) : status;
}

tl_status tl__torch_legacy_read(tl__archive *archive) {
    tl__legacy legacy = {.archive = archive};
    TL__TRY(check_magic(&legacy));
    TL__TRY(check_protocol(&legacy));
    TL__TRY(check_machine(&legacy));
    tl__torch torch;
    tl_status status = read_object(&legacy, &torch);
    tl__torch_end(&torch);
    return status;
}
