/* Prints the table of keys as tl.ini(5) holds it between its marks. */
#include <stdio.h>
#include <string.h>

#include "cli/config.h"

#define LONGEST_LINE 79

/* A sentence, broken into lines. No word of the table begins with what mdoc takes for a request. */
static void print_sentence(const char *text)
{
    size_t column = 0;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column > 0 && column + 1 + word + (text[word] == 0) > LONGEST_LINE) {
            putchar('\n');
            column = 0;
        } else if (column > 0) {
            putchar(' ');
            column++;
        }
        printf("%.*s", (int)word, text);
        column += word;
        text += word + (text[word] == ' ');
    }
    printf(".\n");
}

static void print_key(const cli_key *key)
{
    char range[256], values[300];
    printf(".It Ic %s\n", key->name);
    print_sentence(key->help);
    if (key->type != CLI_KEY_TEXT && key->type != CLI_KEY_NAME && key->type != CLI_KEY_ARCH) {
        snprintf(values, sizeof(values), "Values: %s", cli_key_range(key, range, sizeof(range)));
        print_sentence(values);
    }
    if (*key->fallback)
        printf("Default:\n.Li %s .\n", key->fallback);
}

int main(void)
{
    const char *section = "";
    for (size_t i = 0; i < cli_key_count; i++) {
        const cli_key *key = &cli_keys[i];
        if (key->type == CLI_KEY_LATER)
            continue;
        if (strcmp(section, key->section)) {
            if (*section)
                printf(".El\n");
            printf(".Ss Section %s%s\n.Bl -tag -width weight_decay\n", key->section,
                   !strcmp(key->section, "stage") ? " NAME" : "");
        }
        section = key->section;
        print_key(key);
    }
    printf(".El\n");
    return 0;
}
