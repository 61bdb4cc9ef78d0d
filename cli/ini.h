/* cli/ini.h: an INI file's lines, read with inih, through a reader that refuses what inih would cut or guess at. */
#ifndef CLI_INI_H
#define CLI_INI_H

#include <stdio.h>

#include "cli/text.h"

#define CLI_INI_LONGEST_LINE 198   /* bytes without the line's end; inih cuts what is longer */
#define CLI_INI_LONGEST_SECTION 48 /* bytes between the brackets; the same */
#define CLI_INI_MOST_LINES 10000

typedef struct cli_ini_entry {
    char *section; /* blanks around it gone, those inside it one space each: "stage head" */
    char *key, *value;
    int line; /* from 1 */
} cli_ini_entry;

typedef struct cli_ini_section {
    char *name;
    int line;
} cli_ini_section;

typedef struct cli_ini {
    cli_ini_entry *entries; /* in the file's order */
    size_t entry_count, entry_capacity;
    cli_ini_section *sections; /* in the file's order, those without a key included */
    size_t section_count, section_capacity;
} cli_ini;

/* Reads a file. `name` is what messages call it. False on the first mistake, with "name:line: what" in
 * error[size]: a line that is too long, a NUL or other control character, bytes that are not UTF-8, a line that is
 * neither "key = value" nor "[section]" nor a comment (';' or '#' first in a line, ';' after a blank anywhere), text
 * after a section's bracket, a key outside of a section, without a value, or twice in a section, a section twice.
 * A byte order mark, CRLF, and a last line without an end are fine; an indented line is not a continuation. */
bool cli_ini_read(FILE *file, const char *name, cli_ini *ini, char *error, size_t size);
void cli_ini_free(cli_ini *ini);

/* Blanks around it gone, those inside it made one space; in place. */
void cli_ini_tidy(char *text);

#endif
