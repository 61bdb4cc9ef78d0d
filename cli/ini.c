#include "cli/ini.h"

#include <ctype.h>
#include <errno.h>
#include <ini.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

typedef struct reading {
    FILE *file;
    const char *name;
    cli_ini *ini;
    int line;        /* of the file; inih counts calls of the reader, which are the same */
    bool ended, failed;
    int failed_line;
    char *error;
    size_t size;
} reading;

static void mistake(reading *r, const char *format, ...) CLI_PRINTF(2, 3);
static void mistake(reading *r, const char *format, ...)
{
    char text[256];
    va_list arguments;
    if (r->failed)
        return;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    snprintf(r->error, r->size, "%s:%d: %s", r->name, r->line, text);
    r->failed = true;
    r->failed_line = r->line;
}

void cli_ini_tidy(char *text)
{
    char *to = text;
    for (const char *from = text; *from; from++) {
        bool blank = *from == ' ' || *from == '\t';
        if (blank && (to == text || to[-1] == ' '))
            continue;
        *to++ = blank ? ' ' : *from;
    }
    if (to > text && to[-1] == ' ')
        to--;
    *to = 0;
}

/* Notes the section that this line opens. inih does not tell of sections without keys, cuts their names, and
 * passes over what follows the bracket. */
static void see_section(reading *r, const char *line)
{
    const char *end = strchr(line, ']');
    if (!end)
        return; /* inih reports it */
    const char *after = end + 1 + strspn(end + 1, " \t");
    if (*after && *after != ';' && *after != '#') {
        mistake(r, "'%s' after the section's ']'", after);
        return;
    }
    char *name = cli_format("%.*s", (int)(end - line - 1), line + 1);
    cli_ini_tidy(name);
    if (end - line - 1 > CLI_INI_LONGEST_SECTION)
        mistake(r, "a section's name of more than %d bytes", CLI_INI_LONGEST_SECTION);
    else if (strchr(name, ';')) /* " ;" would be a comment to inih */
        mistake(r, "';' in a section's name");
    for (size_t i = 0; i < r->ini->section_count && !r->failed; i++)
        if (!strcmp(r->ini->sections[i].name, name))
            mistake(r, "section [%s] a second time; the first is in line %d", name, r->ini->sections[i].line);
    if (r->failed) {
        free(name);
        return;
    }
    cli_ini *ini = r->ini;
    ini->sections = cli_grow(ini->sections, &ini->section_capacity, ini->section_count, sizeof(*ini->sections));
    ini->sections[ini->section_count++] = (cli_ini_section){name, r->line};
}

/* A line's bytes without its end into text[CLI_INI_LONGEST_LINE + 2]; false at the end of the file or on a mistake.
 * Bytes are counted before anything is taken off, so that what counts is what the file holds. */
static bool read_bytes(reading *r, char *text, size_t *length)
{
    size_t used = 0;
    int c;
    if (r->ended)
        return false;
    while ((c = getc_unlocked(r->file)) != EOF && c != '\n') {
        if (used == 0)
            r->line++;
        if (c == 0)
            mistake(r, "a NUL byte; is this a text file in UTF-8?");
        else if (used > CLI_INI_LONGEST_LINE)
            mistake(r, "a line of more than %d bytes", CLI_INI_LONGEST_LINE);
        if (r->failed)
            return false;
        text[used++] = (char)c;
    }
    if (used == 0 && c == '\n')
        r->line++;
    if (c == EOF) {
        r->ended = true;
        if (ferror(r->file)) {
            r->line += used == 0;
            mistake(r, "%s", strerror(errno));
            return false;
        }
        if (used == 0)
            return false;
    } else if (used > 0 && text[used - 1] == '\r') {
        used--;
    }
    text[used] = 0;
    *length = used;
    return true;
}

static bool check_bytes(reading *r, const char *text, size_t length)
{
    if (length > CLI_INI_LONGEST_LINE)
        mistake(r, "a line of more than %d bytes", CLI_INI_LONGEST_LINE);
    else if (r->line > CLI_INI_MOST_LINES)
        mistake(r, "more than %d lines", CLI_INI_MOST_LINES);
    else if (cli_utf8_length(text, length) != length)
        mistake(r, "bytes that are not UTF-8");
    for (size_t i = 0; i < length && !r->failed; i++)
        if (((unsigned char)text[i] < 0x20 && text[i] != '\t') || text[i] == 0x7f)
            mistake(r, text[i] == '\r' ? "a carriage return inside a line" : "a control character (0x%02x)", text[i]);
    return !r->failed;
}

/* What inih calls for a line, as it would fgets. An indented line is handed on without its blanks: inih would take
 * it for a continuation of the value before. */
static char *read_line(char *out, int size, void *stream)
{
    reading *r = stream;
    char text[CLI_INI_LONGEST_LINE + 2];
    size_t length;
    if (r->failed || !read_bytes(r, text, &length))
        return NULL;
    const char *start = text;
    if (r->line == 1 && length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
        start += 3;
    if (!check_bytes(r, text, length))
        return NULL;
    start += strspn(start, " \t");
    if (*start == '[')
        see_section(r, start);
    if (strlen(start) + 2 > (size_t)size)
        mistake(r, "a line of more than %d bytes, which is what this build of inih takes", size - 2);
    if (r->failed)
        return NULL;
    snprintf(out, (size_t)size, "%s\n", start);
    return out;
}

static int see_entry(void *user, const char *inih_section, const char *key, const char *value)
{
    reading *r = user;
    cli_ini *ini = r->ini;
    if (r->failed)
        return 0;
    (void)inih_section; /* the reader's own is tidied */
    if (ini->section_count == 0) {
        mistake(r, "'%s' before any [section]", key);
        return 0;
    }
    const char *section = ini->sections[ini->section_count - 1].name;
    if (!*key)
        mistake(r, "no key before the '='");
    else if (!*value)
        mistake(r, "'%s' has no value; leave the line out to have the default", key);
    for (size_t i = ini->entry_count; i > 0 && !r->failed; i--) {
        const cli_ini_entry *other = &ini->entries[i - 1];
        if (!strcmp(other->section, section) && !strcmp(other->key, key))
            mistake(r, "'%s' a second time in [%s]; the first is in line %d", key, section, other->line);
    }
    if (r->failed)
        return 0;
    ini->entries = cli_grow(ini->entries, &ini->entry_capacity, ini->entry_count, sizeof(*ini->entries));
    ini->entries[ini->entry_count++] =
        (cli_ini_entry){cli_copy(section), cli_copy(key), cli_copy(value), r->line};
    return 1;
}

bool cli_ini_read(FILE *file, const char *name, cli_ini *ini, char *error, size_t size)
{
    memset(ini, 0, sizeof(*ini));
    reading r = {.file = file, .name = name, .ini = ini, .error = error, .size = size};
    int first = ini_parse_stream(read_line, &r, see_entry, &r);
    /* inih goes on after a line that it cannot make sense of and returns the first such line's number */
    if (first != 0 && (!r.failed || first < r.failed_line)) {
        r.failed = false;
        r.line = first > 0 ? first : r.line;
        mistake(&r, first > 0 ? "neither 'key = value' nor '[section]'" : "out of memory");
    }
    if (r.failed)
        cli_ini_free(ini);
    return !r.failed;
}

void cli_ini_free(cli_ini *ini)
{
    for (size_t i = 0; i < ini->entry_count; i++) {
        free(ini->entries[i].section);
        free(ini->entries[i].key);
        free(ini->entries[i].value);
    }
    for (size_t i = 0; i < ini->section_count; i++)
        free(ini->sections[i].name);
    free(ini->entries);
    free(ini->sections);
    memset(ini, 0, sizeof(*ini));
}
