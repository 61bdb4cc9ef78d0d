#include "cli/text.h"

#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void out_of_memory(void)
{
    fputs("tl: out of memory\n", stderr);
    exit(1);
}

void *cli_alloc(size_t bytes)
{
    void *memory = calloc(1, bytes ? bytes : 1);
    if (!memory)
        out_of_memory();
    return memory;
}

void *cli_grow(void *array, size_t *capacity, size_t count, size_t size)
{
    if (count < *capacity)
        return array;
    size_t larger = *capacity ? *capacity * 2 : 8;
    void *memory = reallocarray(array, larger, size);
    if (!memory)
        out_of_memory();
    *capacity = larger;
    return memory;
}

char *cli_copy(const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        out_of_memory();
    return copy;
}

char *cli_format(const char *format, ...)
{
    va_list arguments;
    char *text;
    va_start(arguments, format);
    int length = vasprintf(&text, format, arguments);
    va_end(arguments);
    if (length < 0)
        out_of_memory();
    return text;
}

#define LONGEST_WORD 63

static unsigned smaller(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Optimal string alignment: Levenshtein's distance with swaps of neighbours. */
static unsigned distance(const char *a, const char *b)
{
    size_t m = strlen(a), n = strlen(b);
    unsigned rows[3][LONGEST_WORD + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    if (m > LONGEST_WORD || n > LONGEST_WORD)
        return 1000;
    for (size_t j = 0; j <= n; j++)
        last[j] = (unsigned)j;
    for (size_t i = 1; i <= m; i++) {
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = smaller(smaller(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) && tolower((unsigned char)a[i - 2]) == y)
                row[j] = smaller(row[j], before[j - 2] + 1);
        }
        unsigned *oldest = before;
        before = last;
        last = row;
        row = oldest;
    }
    return last[n];
}

const char *cli_nearest(const char *word, const char *const *candidates, size_t count)
{
    const char *best = NULL;
    unsigned least = 1000;
    for (size_t i = 0; i < count; i++) {
        if (!candidates[i])
            continue;
        unsigned d = distance(word, candidates[i]);
        size_t length = strlen(word), other = strlen(candidates[i]);
        unsigned limit = (unsigned)((length > other ? length : other) + 1) / 2;
        /* a beginning of at least two letters counts as near: "learn" for "learning" */
        if (d > limit && length >= 2 && length < other && !strncasecmp(word, candidates[i], length))
            d = limit;
        if (d <= limit && d < other && d < least) {
            least = d;
            best = candidates[i];
        }
    }
    return best;
}

bool cli_parse_int(const char *text, int64_t *value)
{
    char *end;
    if (!*text || isspace((unsigned char)*text))
        return false;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (errno || *end)
        return false;
    *value = parsed;
    return true;
}

bool cli_parse_seed(const char *text, uint64_t *value)
{
    char *end;
    if (!isdigit((unsigned char)*text))
        return false;
    errno = 0;
    unsigned long long parsed = strtoull(text, &end, 10);
    if (errno || *end)
        return false;
    *value = parsed;
    return true;
}

bool cli_parse_real(const char *text, double *value)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789+-.eE")]) /* no hexadecimal, no "nan", no "inf", no blanks */
        return false;
    double parsed = strtod(text, &end);
    if (*end || !isfinite(parsed))
        return false;
    *value = parsed;
    return true;
}

size_t cli_parse_reals(const char *text, double *values, size_t capacity)
{
    char *copy = cli_copy(text), *rest = NULL;
    size_t count = 0;
    for (char *word = strtok_r(copy, ", \t", &rest); word; word = strtok_r(NULL, ", \t", &rest)) {
        if (count == capacity || !cli_parse_real(word, &values[count])) {
            count = 0;
            break;
        }
        count++;
    }
    free(copy);
    return count;
}

static char *static_buffer(void)
{
    static char buffers[8][48];
    static unsigned next;
    return buffers[next++ % CLI_COUNT(buffers)];
}

const char *cli_grouped(int64_t value)
{
    char digits[32], *out = static_buffer(), *to = out;
    int length = snprintf(digits, sizeof(digits), "%llu", value < 0 ? -(unsigned long long)value : (unsigned long long)value);
    if (value < 0)
        *to++ = '-';
    for (int i = 0; i < length; i++) {
        if (i > 0 && (length - i) % 3 == 0)
            *to++ = ',';
        *to++ = digits[i];
    }
    *to = 0;
    return out;
}

const char *cli_bytes(uint64_t bytes)
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB", "PB"};
    char *out = static_buffer();
    double value = (double)bytes;
    size_t unit = 0;
    while (value >= 999.5 && unit + 1 < CLI_COUNT(units)) {
        value /= 1000;
        unit++;
    }
    snprintf(out, 48, unit == 0 || value >= 99.95 ? "%.0f %s" : "%.1f %s", value, units[unit]);
    return out;
}

size_t cli_utf8_length(const char *text, size_t bytes)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t i = 0;
    while (i < bytes) {
        unsigned char c = s[i];
        size_t more = c < 0x80 ? 0 : c >= 0xc2 && c < 0xe0 ? 1 : c >= 0xe0 && c < 0xf0 ? 2 : c >= 0xf0 && c < 0xf5 ? 3 : 4;
        if (more == 4 || more > bytes - i - 1)
            return i;
        for (size_t j = 1; j <= more; j++)
            if ((s[i + j] & 0xc0) != 0x80)
                return i;
        /* overlong forms, surrogates, beyond U+10FFFF */
        if ((c == 0xe0 && s[i + 1] < 0xa0) || (c == 0xed && s[i + 1] >= 0xa0) || (c == 0xf0 && s[i + 1] < 0x90) ||
            (c == 0xf4 && s[i + 1] >= 0x90))
            return i;
        i += more + 1;
    }
    return i;
}

bool cli_matches(const char *patterns, const char *name)
{
    char *copy = cli_copy(patterns), *rest = NULL;
    bool found = false;
    for (char *word = strtok_r(copy, ", \t", &rest); word && !found; word = strtok_r(NULL, ", \t", &rest))
        found = fnmatch(word, name, FNM_NOESCAPE) == 0;
    free(copy);
    return found;
}

bool cli_ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);
    return length >= tail && !strcasecmp(text + length - tail, end);
}
