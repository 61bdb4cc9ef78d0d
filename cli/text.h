/* cli/text.h: memory and text of the program. Its functions begin with cli_ so that they never meet libtl's. */
#ifndef CLI_TEXT_H
#define CLI_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CLI_COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__GNUC__)
#define CLI_PRINTF(at, first) __attribute__((format(printf, at, first)))
#else
#define CLI_PRINTF(at, first)
#endif

/* The program, unlike the library, may end when memory does: these say so and exit with 1. */
void *cli_alloc(size_t bytes); /* zeroed */
void *cli_grow(void *array, size_t *capacity, size_t count, size_t size); /* room for one more element */
char *cli_copy(const char *text);
char *cli_format(const char *format, ...) CLI_PRINTF(1, 2);

/* The candidate that `word` most likely stands for, or NULL where none is near. NULL candidates are passed over.
 * Distance: insertions, deletions, replacements and swaps of neighbours, case ignored. */
const char *cli_nearest(const char *word, const char *const *candidates, size_t count);

/* Whole texts only, in the C locale's form. False where the text is not such a number, or not finite. */
bool cli_parse_int(const char *text, int64_t *value);
bool cli_parse_seed(const char *text, uint64_t *value);
bool cli_parse_real(const char *text, double *value);
/* Up to `capacity` numbers separated by commas or blanks; the count, or 0 where one of them is none. */
size_t cli_parse_reals(const char *text, double *values, size_t capacity);

/* "23,512,130" and "94.1 MB", in one of a few static buffers: good for a call to printf. */
const char *cli_grouped(int64_t value);
const char *cli_bytes(uint64_t bytes);

/* The number of leading bytes of `text` that are well-formed UTF-8. */
size_t cli_utf8_length(const char *text, size_t bytes);

/* Whether a name matches one of the patterns, which are separated by commas or blanks: tl_stage's language. */
bool cli_matches(const char *patterns, const char *name);

/* True where the text ends so, case ignored. */
bool cli_ends_with(const char *text, const char *end);

#endif
