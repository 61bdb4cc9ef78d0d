/* formats/pickle.h: an inert machine for Python's pickles. It builds nodes and never calls anything: a "global" is
 * an entry of a fixed list, and what the list lacks is an error that names it. */
#ifndef TL__PICKLE_H
#define TL__PICKLE_H

#include "formats/reader.h"

#define TL__PICKLE_MAX_OPCODES 1000000
#define TL__PICKLE_MAX_DEPTH 64

typedef enum tl__pickle_kind {
    TL__PICKLE_NONE,
    TL__PICKLE_BOOL,
    TL__PICKLE_INTEGER,
    TL__PICKLE_TEXT,       /* str, and Python 2's */
    TL__PICKLE_TUPLE,      /* torch.Size too */
    TL__PICKLE_LIST,       /* sets too */
    TL__PICKLE_DICT,       /* OrderedDict too */
    TL__PICKLE_GLOBAL,
    TL__PICKLE_PERSISTENT, /* a tuple that stands for a storage */
    TL__PICKLE_TENSOR,     /* the arguments of a _rebuild_tensor function */
    TL__PICKLE_OPAQUE,     /* floats, bytes, objects: nothing of it is needed */
} tl__pickle_kind;

/* What a global means when it is called or looked at. */
typedef enum tl__global_kind {
    TL__GLOBAL_OPAQUE,     /* calling it gives an opaque object */
    TL__GLOBAL_NAME,       /* cannot be called */
    TL__GLOBAL_DICT,
    TL__GLOBAL_SIZE,
    TL__GLOBAL_TENSOR,     /* (storage, offset, size, stride, ...) */
    TL__GLOBAL_TENSOR_V3,  /* the same with a dtype at index 6 */
    TL__GLOBAL_PARAMETER,  /* (tensor, ...) */
    TL__GLOBAL_FROM_TYPE,  /* (function, type, arguments, state) */
    TL__GLOBAL_STORAGE,    /* a typed storage class, or a dtype */
} tl__global_kind;

typedef struct tl__global {
    const char *module, *name;
    tl__global_kind kind;
    int dtype;        /* tl_dtype of a STORAGE; NONE: not read */
    int element_size; /* of a STORAGE */
} tl__global;

/* Nodes are numbers. A container's items are a chain of cells. */
typedef struct tl__node {
    uint8_t kind, depth, global;
    bool made_late; /* a Parameter of old files whose tensor arrives with BUILD */
    uint32_t count; /* items, pairs or bytes */
    union {
        int64_t integer;
        uint64_t text; /* offset in the pickle */
        struct {
            uint32_t first, last; /* cells; PERSISTENT, TENSOR: first is the node of the tuple */
        } items;
    } of;
} tl__node;

typedef struct tl__cell {
    uint32_t key, value, next; /* key only in dictionaries */
} tl__cell;

/* Blocks of equal size, so that growing copies nothing. */
typedef struct tl__pool {
    uint8_t **blocks;
    size_t block_count, block_capacity;
    uint32_t count;
} tl__pool;

typedef struct tl__pickle {
    tl_context *context;
    const char *path;
    const uint8_t *data;
    size_t size, at;
    tl__pool nodes, cells;
    uint32_t *stack, *memo;
    size_t stack_count, stack_capacity, memo_count, memo_capacity;
    size_t marks[TL__PICKLE_MAX_DEPTH], mark_count;
    uint32_t root;
} tl__pickle;

/* Runs one pickle from the start of data[size] to its STOP. `pickle->at` is then the number of bytes it took,
 * `pickle->root` the object. The data must stay while the pickle is used. TL_ERROR_FORMAT, TL_ERROR_LIMIT,
 * TL_ERROR_MEMORY; on failure there is nothing to free. */
tl_status tl__pickle_load(tl_context *context, const char *path, const uint8_t *data, size_t size, tl__pickle *pickle);
void tl__pickle_free(tl__pickle *pickle);

const tl__node *tl__pickle_node(const tl__pickle *pickle, uint32_t index);
const tl__cell *tl__pickle_cell(const tl__pickle *pickle, uint32_t index);
tl__slice tl__pickle_text(const tl__pickle *pickle, const tl__node *node); /* of a TEXT */
const tl__global *tl__pickle_global(const tl__node *node);                 /* of a GLOBAL, or a TENSOR's function */

/* Item `at` of a TUPLE or LIST, or NULL. */
const tl__node *tl__pickle_item(const tl__pickle *pickle, const tl__node *sequence, uint32_t at);
/* The value of a text key of a DICT (the last one, as in Python), or NULL. */
const tl__node *tl__pickle_value(const tl__pickle *pickle, const tl__node *dict, const char *key);

/* ---- between pickle.c and pickle_globals.c ---- */

tl_status tl__pickle_fail(tl__pickle *pickle, tl_status status, const char *format, ...) TL__PRINTF(3, 4);
tl_status tl__pickle_make(tl__pickle *pickle, tl__node node, uint32_t *index);
tl__node *tl__pickle_edit(tl__pickle *pickle, uint32_t index);
tl_status tl__pickle_append(tl__pickle *pickle, uint32_t container, uint32_t key, uint32_t value);

/* The node for module.name; what is not on the list is an error. */
tl_status tl__pickle_find_global(tl__pickle *pickle, tl__slice module, tl__slice name, uint32_t *index);
/* function(*arguments), as a node. */
tl_status tl__pickle_call(tl__pickle *pickle, uint32_t function, uint32_t arguments, uint32_t *result);
/* object.__setstate__(state): only old Parameters take anything from it. */
tl_status tl__pickle_build(tl__pickle *pickle, uint32_t object, uint32_t state);

#endif
