/* cli/guess.h: which of libtl's networks a file of weights belongs to, told by names and shapes, or by a
 * file of changes itself. */
#ifndef CLI_GUESS_H
#define CLI_GUESS_H

#include <tl/tl.h>

#include "cli/text.h"

typedef struct cli_guess {
    const char *arch; /* the nearest one; static; NULL: nothing like any of them */
    bool fits;        /* all its tensors are there, and as large as they must be; the head may lack or differ */
    int layers[4];    /* blocks of each stage; all 0: the network's own */
    double width;
    tl_head head;
    int classes;      /* outputs of the head in the file; 0: it has none */
    int output_stride;  /* of segmentation; 0: the head's own, where the file does not tell */
    bool no_auxiliary;
    double dropout;
    bool changes; /* the file holds only what changed since its base was read */
} cli_guess;

/* Looks at the file and, where it seems to be a network that libtl knows, holds it against the very network. `guess`
 * is filled; where the nearest one does not fit, `why` says why not (otherwise it is ""). */
void cli_guess_network(tl_context *context, const tl_weights *weights, cli_guess *guess, char *why, size_t size);

/* The text of the file's metadata `key`, "" where it has none. */
const char *cli_metadata(const tl_weights *weights, const char *key);

/* The model's options that the guess amounts to, with `classes` outputs. */
void cli_guess_options(const cli_guess *guess, int classes, tl_model_options *options);

#endif
