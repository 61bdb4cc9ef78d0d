/* train/proof.h: the proof that what is frozen stayed as it was. */
#ifndef TL__PROOF_H
#define TL__PROOF_H

#include "models/models.h"

/* Hashes before and after. What lies in files of weights as it is used is read only after the training where an earlier
 * run left its hashes in the cache's folder, and the files have the same place, length and times since: the hash before
 * says which features are theirs, the one after it is the proof. If they disagree the run fails and what was left is taken
 * away, so that a file that changed without a trace costs a run and nothing else. */
typedef struct tl__proof {
    tl_model *model;
    const bool *changed; /* by parameter: not part of it */
    tl__hash hash;       /* before */
    size_t count;        /* tensors */
    char *path;          /* of what is left for the next run, or NULL */
    bool recalled;       /* the hash comes from there */
} tl__proof;

/* `folder` may be NULL. To be released, on failure too. Errors as tl__frozen_hash. */
tl_status tl__proof_begin(tl_model *model, const bool *changed, const char *folder, tl__proof *proof);
/* Something will be kept under this hash: it must not be hearsay. TL_ERROR_INTERNAL: it was, and wrong. */
tl_status tl__proof_settle(tl__proof *proof);
/* Reads everything again. TL_ERROR_INTERNAL: something changed. */
tl_status tl__proof_end(tl__proof *proof);
void tl__proof_release(tl__proof *proof);

#endif
