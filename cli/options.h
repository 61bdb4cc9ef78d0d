/* cli/options.h: a verb's options, from one table: getopt_long's arguments, the help and the suggestions. */
#ifndef CLI_OPTIONS_H
#define CLI_OPTIONS_H

#include "cli/term.h"

typedef struct cli_option {
    int letter;           /* 'o', or a number above 255 where there is only a long name */
    const char *name;     /* "output"; NULL: only a letter */
    const char *argument; /* "DIR"; NULL: takes none */
    const char *help;
} cli_option;

typedef struct cli_verb {
    const char *name;
    const char *usage;         /* what follows "tl VERB " */
    const char *summary;       /* one line */
    const char *details;       /* further text of the help, or NULL */
    const cli_option *options; /* ends with a letter of 0; --help, -q and -v are everywhere */
    int (*run)(int argc, char **argv); /* argv[0] is the verb; returns an exit code */
} cli_verb;

extern const cli_verb cli_train, cli_eval, cli_predict, cli_inspect, cli_convert, cli_devices, cli_features,
    cli_selftest, cli_tune, cli_bench;

/* What the verbs that compute have in common; see cli_device_option. */
#define CLI_DEVICE_OPTIONS                                                                                             \
    {CLI_DEVICE, "device", "DEVICE", "where to compute: auto, cpu, ... ('tl devices' lists them)"},                    \
    {CLI_THREADS, "threads", "N", "threads of the CPU backend"},                                                       \
    {CLI_FALLBACK, "fallback", "HOW", "what the device lacks: the CPU does it, and warn (default), allow; or error"}

/* Of segmenters, on images larger than the device has room for; see cli_tile_option. */
#define CLI_TILE_OPTIONS                                                                                               \
    {CLI_TILE, "tile", "N", "of a segmenter: larger images in overlapping tiles of N x N pixels"},                     \
    {CLI_TILE_OVERLAP, "tile-overlap", "PART", "how much of a tile it shares with the next (default: 0.25)"}

/* Numbers of options that have no letter, shared by the verbs. */
enum {
    CLI_JSON = 256, CLI_DEVICE, CLI_THREADS, CLI_DRY_RUN, CLI_FORCE, CLI_TOP, CLI_ARCH, CLI_CLASSES, CLI_HEAD, CLI_LAYERS,
    CLI_WIDTH, CLI_BGR, CLI_BATCH, CLI_SIZE, CLI_MODE, CLI_FALLBACK, CLI_LIST, CLI_FORGET, CLI_AT, CLI_FORMAT, CLI_PRECISION,
    CLI_CONFIG, CLI_MASK_DIR, CLI_OVERLAY, CLI_PROBABILITIES, CLI_TILE, CLI_TILE_OVERLAP, CLI_CROP, CLI_SHEET
};

/* The next option of argv: its letter or number, with *value its argument; 0 at the end, *value then being unused
 * and optind (of <unistd.h>) at the first operand; -1 where the verb is to return *code at once: an unknown option
 * was reported, or the help was asked for and printed. */
int cli_next_option(const cli_verb *verb, int argc, char **argv, const char **value, int *code);

void cli_print_help(const cli_verb *verb);

typedef struct cli_tiling {
    int tile; /* 0: where there must be */
    double overlap;
} cli_tiling;
/* True where the letter is one of CLI_TILE_OPTIONS; *code is not CLI_DONE where its value is wrong, which was said. */
bool cli_tile_option(const cli_verb *verb, int letter, const char *value, cli_tiling *tiling, int *code);

/* An option's number in minimum .. maximum; false after saying what is wrong. */
bool cli_option_int(const cli_verb *verb, const char *name, const char *text, int minimum, int maximum, int *value);
extern const char *const cli_precisions[4]; /* by tl_precision */
bool cli_option_precision(const cli_verb *verb, const char *text, int *precision);

#endif
