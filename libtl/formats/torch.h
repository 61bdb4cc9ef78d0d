/* formats/torch.h: from the object that PyTorch pickled to named tensors. */
#ifndef TL__TORCH_H
#define TL__TORCH_H

#include "formats/pickle.h"

/* The bytes that tensors are views of. */
typedef struct tl__storage {
    tl__slice key;
    const tl__global *type;
    int64_t count; /* elements */
    const uint8_t *data;
} tl__storage;

typedef struct tl__torch {
    tl__archive *archive;
    tl__pickle pickle;
    tl__storage *storages; /* sorted by key */
    size_t storage_count;
} tl__torch;

/* Runs the pickle that lies `offset` bytes into the archive's file, at most `size` bytes long, and lists the storages
 * that it names, without their data. tl__torch_end releases in any case. */
tl_status tl__torch_begin(tl__torch *torch, tl__archive *archive, size_t offset, size_t size);
tl__storage *tl__torch_storage(const tl__torch *torch, tl__slice key); /* or NULL */
uint64_t tl__storage_bytes(const tl__storage *storage);

/* With the data of every storage in place: checks all tensors and puts those of the network into the archive. */
tl_status tl__torch_finish(tl__torch *torch);
void tl__torch_end(tl__torch *torch);

#endif
