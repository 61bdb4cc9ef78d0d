#include "cli/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *cli_json_text(const char *text)
{
    if (!text)
        return json_null();
    size_t length = strlen(text), good = cli_utf8_length(text, length), used = 0;
    if (good == length)
        return json_string(text);
    char *clean = cli_alloc(3 * length + 1);
    while (*text) {
        length = strlen(text);
        good = cli_utf8_length(text, length);
        memcpy(clean + used, text, good);
        used += good;
        text += good;
        if (*text) {
            memcpy(clean + used, "\xef\xbf\xbd", 3);
            used += 3;
            text++;
        }
    }
    json_t *value = json_stringn(clean, used);
    free(clean);
    return value;
}

json_t *cli_json_real(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

json_t *cli_json_ratio(double value)
{
    return cli_json_real(isfinite(value) ? round(value * 1e6) / 1e6 : value);
}

json_t *cli_json_matrix(const int64_t *counts, size_t size)
{
    json_t *rows = json_array();
    for (size_t i = 0; i < size; i++) {
        json_t *row = json_array();
        for (size_t j = 0; j < size; j++)
            json_array_append_new(row, json_integer(counts[i * size + j]));
        json_array_append_new(rows, row);
    }
    return rows;
}

void cli_json_print(json_t *value)
{
    char *text = json_dumps(value, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    cli_print("%s\n", text ? text : "null");
    free(text);
    json_decref(value);
}
