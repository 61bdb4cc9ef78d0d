/* models/base.h: files that hold only what changed since another one, their base, was read. */
#ifndef TL__BASE_H
#define TL__BASE_H

#include "models/models.h"
#include "models/weights.h"

#define TL__BASE_DEPTH 8 /* files, each the base of the one before */

/* Opens a file of weights. Where it holds only changes, the archive is what its base and they give together: the
 * tensors that a whole file would have, under the names of the file's own network, whatever the base is. What came
 * from the base is held against its hash. TL_ERROR_NOT_FOUND: the file, or its base wherever it was looked for.
 * TL_ERROR_WEIGHTS: another base. TL_ERROR_LIMIT: TL__BASE_DEPTH. Otherwise as tl__archive_open. */
tl_status tl__model_archive_open(tl_context *context, const char *path, tl__archive **out);

/* Notes that the archive, read so, is what the model comes from: ready makes room, after which set, with the contents
 * that the parameters have then, cannot fail; it replaces what was noted before. */
tl_status tl__base_ready(tl_model *model, const tl__archive *archive, const tl_weights_options *options,
                         tl__base **out);
void tl__base_set(tl_model *model, tl__base *base, const tl__piece *pieces);
void tl__base_release(tl_context *context, tl__base *base); /* NULL is fine */

/* What the metadata "libtl.base" says. */
struct tl__base {
    size_t file_count;
    struct {
        char *path; /* absolute; the file itself, then its base, ... */
        uint64_t stamp;
    } files[TL__BASE_DEPTH + 1];
    bool bgr;          /* how the first was read */
    uint64_t *ids;     /* by parameter: of the contents that it gave; 0: none */
    int64_t *counters; /* what it gave of those; what it does not have is 0 */
};

#endif
