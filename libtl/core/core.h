/* core/core.h: what every part of libtl stands on: memory, messages, tensors, random numbers. */
#ifndef TL__CORE_H
#define TL__CORE_H

#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <tl/backend.h>
#include <tl/context.h>
#include <tl/status.h>

#define TL__COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define TL__LITTLE_ENDIAN 1 /* as files are: f32 in a file is f32 in memory */
#else
#define TL__LITTLE_ENDIAN 0
#endif

#if defined(__GNUC__)
#define TL__PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define TL__PRINTF(at, first)
#endif

/* ---- context.c ---- */

struct tl__registry;

struct tl_context {
    tl_context_options options;
    char *backend_path;
    char message[1024];
    struct tl__registry *registry; /* made when first asked for */
};

/* A context with the same allocator and callbacks for a thread of our own, so that its failures and log lines do
 * not race with the parent's. Its log callback is off: pass messages on with tl__fail on the parent. */
tl_status tl__context_create_child(const tl_context *parent, tl_context **out);

/* All memory of libtl comes from here. alloc returns NULL when out of memory *after* recording the failure, so
 * callers only `return TL_ERROR_MEMORY`. 0 bytes give a valid pointer. Aligned to 64 bytes. free(NULL) is fine. */
void *tl__alloc(tl_context *context, size_t bytes);
void *tl__calloc(tl_context *context, size_t count, size_t size); /* zeroed; checks the product */
void *tl__realloc(tl_context *context, void *memory, size_t old_bytes, size_t new_bytes);
void tl__free(tl_context *context, void *memory);
char *tl__strdup(tl_context *context, const char *text);
char *tl__printf(tl_context *context, const char *format, ...) TL__PRINTF(2, 3); /* NULL: out of memory */

/* A growing array: makes room for one more element of `size` bytes. */
tl_status tl__grow(tl_context *context, void **array, size_t *capacity, size_t count, size_t size);

/* Records the message and returns the status: return tl__fail(context, TL_ERROR_FORMAT, "%s: ...", path). */
tl_status tl__fail(tl_context *context, tl_status status, const char *format, ...) TL__PRINTF(3, 4);
/* Puts words before the message of a failure on its way up: "layer4.0.conv1.weight: " + message. */
tl_status tl__fail_at(tl_context *context, tl_status status, const char *format, ...) TL__PRINTF(3, 4);
void tl__log(tl_context *context, tl_log_level level, const char *format, ...) TL__PRINTF(3, 4);
bool tl__cancelled(tl_context *context);

/* Return on failure. */
#define TL__TRY(call)                                 \
    do {                                              \
        tl_status tl__try_status = (call);            \
        if (tl__try_status != TL_OK)                  \
            return tl__try_status;                    \
    } while (0)

/* ---- tensor.c ---- */

size_t tl__dtype_size(int dtype);      /* bytes of an element; 0 for none or unknown */
const char *tl__dtype_name(int dtype); /* "f32", ... */
tl_tensor_desc tl__desc(int dtype, int rank, const int64_t *shape);
tl_tensor_desc tl__desc4(int dtype, int64_t n, int64_t h, int64_t w, int64_t c);
tl_tensor_desc tl__desc1(int dtype, int64_t n);
int64_t tl__desc_count(const tl_tensor_desc *desc); /* elements; 1 for rank 0 */
uint64_t tl__desc_bytes(const tl_tensor_desc *desc);
bool tl__desc_equal(const tl_tensor_desc *a, const tl_tensor_desc *b);
/* "f32 [32,56,56,64]" into text[size]; returns text. */
const char *tl__desc_text(const tl_tensor_desc *desc, char *text, size_t size);

/* a * b in *product; false on overflow or a negative factor. */
bool tl__multiply(int64_t a, int64_t b, int64_t *product);

float tl__bf16_to_f32(uint16_t x);
uint16_t tl__f32_to_bf16(float x); /* nearest, ties to even; NaN stays NaN */
float tl__f16_to_f32(uint16_t x);
uint16_t tl__f32_to_f16(float x);

/* ---- random.c: Philox4x32-10 (Salmon et al., SC11), the same numbers on every machine ---- */

void tl__philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* A stream: numbers in order from (seed, purpose). Different purposes of one seed are independent. */
typedef struct tl__random {
    uint32_t key[2], counter[4], block[4];
    unsigned used;
} tl__random;
void tl__random_start(tl__random *random, uint64_t seed, uint64_t purpose);
uint32_t tl__random_u32(tl__random *random);
uint32_t tl__random_below(tl__random *random, uint32_t bound); /* uniform in 0 .. bound - 1, unbiased; bound > 0 */
double tl__random_unit(tl__random *random);                    /* [0, 1), 53 bits */
void tl__random_shuffle(tl__random *random, uint32_t *items, size_t count); /* Fisher-Yates, from the end */

/* ---- hash.c ---- */

typedef struct tl__hash {
    uint64_t low, high;
} tl__hash; /* XXH3-128 */
tl__hash tl__hash_bytes(const void *data, size_t bytes, uint64_t seed);
/* The same, with seed 0, of parts of at most `at_once` bytes, one after another: `part` gives the one that begins at
 * `first`, and need not keep the one before; at last it is called with no bytes. */
tl__hash tl__hash_parts(size_t bytes, size_t at_once, const void *(*part)(void *user, size_t first, size_t bytes),
                        void *user);
tl__hash tl__hash_mix(tl__hash a, tl__hash b); /* of a, then b */
void tl__hash_text(tl__hash hash, char text[33]); /* 32 hex digits */
uint64_t tl__fnv1a64(const char *text);

/* Tells that a file is the one that was hashed: a hash of its size, its times and where it is, which any writing to it
 * changes. False: there is no such file any more. */
bool tl__stamp_read(const char *path, uint64_t *stamp);
struct stat;
/* The same, or 0 where it was written to within the last two seconds: writing to it now might leave the same times, which
 * file systems count in steps. Of another stamp, contents that are read from now on are always those that it had then. */
uint64_t tl__stamp_settled(const struct stat *st);
/* Of the contents of a file; false: errno says why not. `buffer` holds TL__HASH_BUFFER bytes. */
#define TL__HASH_BUFFER ((size_t)1 << 18)
bool tl__hash_file(const char *path, void *buffer, tl__hash *hash, uint64_t *stamp);

/* ---- build.c ---- */

/* Of the build of the library or plugin that holds a function: another compiler, other flags or a change in the source give
 * another one, where the version alone would not tell. */
tl__hash tl__build_hash(void (*code)(void));

/* ---- clock.c ---- */

double tl__seconds(void); /* of a clock that never goes back */

/* ---- work.c ---- */

int tl__processors(void); /* that this process may use, 8 at most */
/* Calls each(user, 0 .. count - 1), several at once, in no order, and returns when all are done. What `each` needs of a
 * context, memory and messages included, is not safe there. */
void tl__work(size_t count, void (*each)(void *user, size_t index), void *user);
/* A thread to which no signal is delivered: these are the program's affair. 0, or what pthread_create says. */
int tl__thread_start(pthread_t *thread, void *(*body)(void *), void *argument);

/* ---- file.c ---- */

/* A file mapped read-only. */
typedef struct tl__mapping {
    const uint8_t *data;
    size_t size;
    uint64_t stamp; /* tl__stamp_settled of what was mapped */
} tl__mapping;
tl_status tl__map(tl_context *context, const char *path, tl__mapping *mapping);
void tl__unmap(tl__mapping *mapping);
/* Tells it that they will be read now, all of them: one call in the place of a fault for every few pages. */
void tl__map_expect(const tl__mapping *mapping, size_t offset, size_t size);
/* Tells the system that the pages of this range need not stay in memory (they come back when read). */
void tl__map_forget(const tl__mapping *mapping, size_t offset, size_t size);

/* Writing so that either the whole new file is there or the old one is untouched: create a temporary file beside it, write,
 * fsync, rename. abandon removes the temporary file. */
typedef struct tl__writer {
    tl_context *context;
    char *path, *temporary;
    int fd;
    uint8_t *buffer;
    size_t used;
} tl__writer;
tl_status tl__writer_open(tl_context *context, const char *path, tl__writer *writer);
tl_status tl__writer_write(tl__writer *writer, const void *data, size_t bytes);
tl_status tl__writer_commit(tl__writer *writer); /* also ends the writer, on failure too */
void tl__writer_abandon(tl__writer *writer);
/* All of it; false: errno says why not. */
bool tl__write_at(int fd, const void *data, size_t bytes, uint64_t at);

#endif
