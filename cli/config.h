/* cli/config.h: an experiment as the user describes it: INI files, then -s options. One table of keys says what
 * there is; parsing, checking, suggestions, the resolved config.ini, `tl help ini` and tl.ini(5) all come from it. */
#ifndef CLI_CONFIG_H
#define CLI_CONFIG_H

#include <tl/tl.h>

#include "cli/text.h"

typedef enum cli_key_type {
    CLI_KEY_TEXT,   /* any text */
    CLI_KEY_NAME,   /* a file or folder name without a slash, not beginning with a dot */
    CLI_KEY_INT,
    CLI_KEY_SEED,   /* 0 .. 2^64 - 1 */
    CLI_KEY_REAL,
    CLI_KEY_BOOL,   /* yes, no, true, false, on, off, 1, 0 */
    CLI_KEY_CHOICE, /* an int: the position in `words` */
    CLI_KEY_ARCH,   /* one of tl_arch_name */
    CLI_KEY_COLOUR, /* double[3] */
    CLI_KEY_LAYERS, /* int[4], or all 0 */
    CLI_KEY_SIZE,   /* bytes: uint64_t, 0 for a word */
    CLI_KEY_RATE,   /* a cli_rate: a number, or a multiple as in 10x */
    CLI_KEY_CLASS,  /* a cli_class: a number, or a number and a colour */
    CLI_KEY_LATER,  /* known, and not in this version */
} cli_key_type;

typedef struct cli_key {
    const char *section, *name; /* "stage" stands for each [stage NAME]; a name that ends in "*" for all that begin so */
    cli_key_type type;
    double minimum, maximum;  /* of numbers */
    bool above;               /* minimum itself is not in the range */
    const char *words;        /* CHOICE: the words, separated by spaces; others: a word allowed beside the values,
                               * which counts as 0 (numbers) or "" (text) */
    const char *fallback;     /* the default as it would stand in a file; "" : not set */
    size_t offset;            /* in cli_config, or for stages in cli_stage */
    const char *help;         /* a sentence without its full stop */
} cli_key;

extern const cli_key cli_keys[];
extern const size_t cli_key_count;

/* The learning rate of some parameters: one of both is not 0. */
typedef struct cli_rate {
    double lr, factor;
} cli_rate;

/* A class of masks. */
typedef struct cli_class {
    int index;
    bool coloured;
    uint8_t colour[3];
} cli_class;

typedef struct cli_stage {
    char *name;
    const char *train; /* "": the network's head */
    int epochs, optimizer;
    double lr, beta1, beta2, eps, weight_decay;
    int schedule;
    double power;
    int class_weights; /* 0 none, 1 auto */
    double dice;
    tl_rate *rates; /* of lr.PATTERN, in the order in which they came; the patterns are the settings' */
    size_t rate_count;
} cli_stage;

/* A value that some file or option gave; those overridden are gone. */
typedef struct cli_setting {
    char *section; /* "data", "stage head" */
    const cli_key *key;
    char *name;  /* as it was written: "lr.fc.*" of the key "lr.*" */
    char *value;
    char *where; /* "seed.ini:12", "-s data.batch=8" */
} cli_setting;

typedef struct cli_config {
    char *path;
    const char *name, *output;
    int save; /* 0 all, 1 changed */
    uint64_t seed;
    const char *device, *isa; /* "": chosen */
    int threads, fallback, precision;
    const char *train, *val;
    double val_fraction; /* 0: val is a folder, or "" */
    int batch, resize, crop, alpha, decode, workers;
    int masks, ignore; /* masks: 0 auto, otherwise a tl_masks + 1 */
    int eval, tile;    /* eval: a tl_extent; tile 0: auto */
    double overlap;
    double mean[3], std[3];
    bool shuffle;
    const char *cache; /* "": auto */
    uint64_t cache_limit;
    const char *arch, *weights;
    int classes; /* 0: as many as the data has */
    int head, bn, output_stride; /* output_stride 0: the head's own */
    bool auxiliary;
    int layers[4];
    double dropout, width;
    bool bgr;
    struct {
        double random_crop, ratio;
        int flip;
        double rotate, brightness, contrast, saturation;
        int views;
    } augment;
    const char **class_names; /* of [classes], by number; the names are the settings' */
    uint8_t (*class_colours)[3]; /* NULL: there are none */
    size_t class_count;
    bool has_ignore_colour;
    uint8_t ignore_colour[3];
    cli_stage *stages; /* at least one */
    size_t stage_count, stage_capacity;
    cli_setting *settings;
    size_t setting_count, setting_capacity;
    char *derived_name, *derived_output; /* where the file gives none */
} cli_config;

/* Reads `path` with what it includes, then the overrides "section.key=value" ("stage.NAME.key=value"). False with
 * the first mistake, and where it is, in error[size]. */
bool cli_config_load(const char *path, const char *const *overrides, size_t override_count, cli_config *config,
                     char *error, size_t size);
void cli_config_free(cli_config *config);

/* Where a key got its value, for messages: "seed.ini:12"; the file's name where it has its default. `stage` is an
 * index for keys of stages, otherwise -1. */
const char *cli_config_where(const cli_config *config, const char *section, const char *key, int stage);

/* A key's value as it stands in the file, or its default. */
const char *cli_config_text(const cli_config *config, const char *section, const cli_key *key);

/* Everything as an INI file that gives the same again, defaults written out. The caller frees it. */
char *cli_config_resolved(const cli_config *config);

/* The patterns of a stage with the default put in. */
const char *cli_config_patterns(const cli_config *config, const cli_stage *stage);

/* Whether it is about a class for every pixel. */
bool cli_config_segments(const cli_config *config);

/* A value of any type, as it lies in a structure. */
typedef union cli_value {
    const char *text;
    int integer, integers[4];
    uint64_t seed, bytes;
    double real, reals[3];
    bool truth;
    cli_rate rate;
    cli_class class_;
} cli_value;

/* Does the key stand for all names that begin like its own? */
bool cli_key_is_open(const cli_key *key);

/* One value of the key's type, of which cli_key_size bytes count; false where the text is none or out of range. Text
 * is not copied. */
bool cli_key_parse(const cli_key *key, const char *text, cli_value *value);
size_t cli_key_size(const cli_key *key);

/* The values that a key takes, in words: "1 to 4096", "eval, batch or mixed". Into text[size]; returns text. */
const char *cli_key_range(const cli_key *key, char *text, size_t size);
/* The default in words. */
const char *cli_key_default(const cli_key *key);

#endif
