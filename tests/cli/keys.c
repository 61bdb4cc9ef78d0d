/* Prints the table of keys as tl.ini(5) holds it between its marks. */
#include <stdio.h>
#include <string.h>

#include "cli/config.h"

/* mdoc takes a leading dot or quote for a request, a backslash for an escape; the table has neither. */
static void print_key(const cli_key *key)
{
    char range[256];
    printf(".It Ic %s\n%s.\n", key->name, key->help);
    if (key->type != CLI_KEY_TEXT && key->type != CLI_KEY_NAME && key->type != CLI_KEY_ARCH)
        printf("Values: %s.\n", cli_key_range(key, range, sizeof(range)));
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
            printf(".Ss [%s%s]\n.Bl -tag -width weight_decay\n", key->section, !strcmp(key->section, "stage") ? " NAME" : "");
        }
        section = key->section;
        print_key(key);
    }
    printf(".El\n");
    return 0;
}
