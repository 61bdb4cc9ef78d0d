/* cli/json.h: JSON by jansson, for texts that may hold any bytes and numbers that may not be finite. */
#ifndef CLI_JSON_H
#define CLI_JSON_H

#include <jansson.h>

#include "cli/term.h"

json_t *cli_json_text(const char *text);   /* bytes that are not UTF-8 become U+FFFD; NULL becomes null */
json_t *cli_json_real(double value);       /* what is not finite becomes null */
json_t *cli_json_ratio(double value);      /* rounded to 6 digits behind the point */
json_t *cli_json_matrix(const int64_t *counts, size_t size);

/* Prints it, indented, with a newline, and releases it. */
void cli_json_print(json_t *value);

#endif
