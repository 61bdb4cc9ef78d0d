/* models/weights.h: parameters that are read from files. */
#ifndef TL__WEIGHTS_H
#define TL__WEIGHTS_H

#include "models/models.h"

/* Where one parameter's values come from. */
typedef struct tl__piece {
    enum { TL__PIECE_KEEP, TL__PIECE_READ, TL__PIECE_CONSTANT } action; /* KEEP: it stays as it is */
    tl__entry entry; /* READ: a view of the archive's entry, its order changed as needed */
    double constant;
    const tl__mapping *mapping; /* of the entry's bytes; NULL: they were decoded */
} tl__piece;

typedef struct tl__loaded {
    struct tl__loaded *next;
    tl__archive *archive;
    tl__piece *pieces; /* one for each parameter of the model */
} tl__loaded;

/* Gives the model the archive's values, or fails and leaves it as it was. The archive is the model's after success
 * only. Errors as tl_model_load_weights. */
tl_status tl__model_attach(tl_model *model, tl__archive *archive, const tl_weights_options *options);
/* The first half of it: pieces[], one for each parameter, are filled. `partial`: what the archive lacks is elsewhere.
 * TL_ERROR_WEIGHTS: it does not fit. */
tl_status tl__model_match(tl_model *model, tl__archive *archive, const tl_weights_options *options, bool partial,
                          tl__piece *pieces);
void tl__piece_commit(tl_context *context, tl__parameter *parameter, const tl__piece *piece); /* which must stay */
/* The file that a parameter's values lie in, plain and in torchvision's order, and how many bytes behind its beginning;
 * NULL: in none, or otherwise. */
const tl__mapping *tl__parameter_mapping(const tl__parameter *parameter, uint64_t *offset);
void tl__model_detach(tl_model *model, bool all); /* closes those that no parameter reads from any more, or all */

/* Says for every parameter where its values come from. Findings go to the report. */
typedef struct tl__findings tl__findings;
void tl__match_names(tl_model *model, tl__archive *archive, const tl_weights_options *options, tl__piece *pieces,
                     tl__findings *findings);
void tl__match_layers(tl_model *model, tl__archive *archive, const tl_weights_options *options, tl__piece *pieces,
                      tl__findings *findings);
/* What does not fit, one finding after the other: each is logged, the first few are kept for the message. */
struct tl__findings {
    tl_context *context;
    const char *path;
    bool partial;
    char text[700];
    size_t used, shown, count;
};
void tl__find(tl__findings *findings, const char *format, ...) TL__PRINTF(2, 3);

bool tl__in_head(const tl_model *model, const tl__parameter *parameter);
bool tl__shape_fits(const tl__parameter *parameter, const tl__entry *entry);
const char *tl__shape_text(int rank, const int64_t *shape, char text[96]); /* "[64,3,7,7]" */

#endif
