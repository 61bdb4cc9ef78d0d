#include "cli/options.h"

#include <getopt.h>
#include <string.h>

static const cli_option common[] = {
    {'q', "quiet", NULL, "no progress and no notes, only errors and warnings"},
    {'v', "verbose", NULL, "say what was chosen; twice: everything"},
    {'h', "help", NULL, "this text"},
    {0, NULL, NULL, NULL},
};

#define MOST_OPTIONS 32

/* The verb's options, then the common ones, as getopt_long wants them. */
static size_t gather(const cli_verb *verb, struct option *longs, char *shorts, const char **names)
{
    size_t count = 0;
    *shorts++ = ':'; /* tell a missing argument from an unknown option */
    for (int part = 0; part < 2; part++)
        for (const cli_option *o = part ? common : verb->options; o && o->letter; o++) {
            if (o->letter < 256) {
                *shorts++ = (char)o->letter;
                if (o->argument)
                    *shorts++ = ':';
            }
            if (!o->name)
                continue;
            names[count] = o->name;
            longs[count].name = o->name;
            longs[count].has_arg = o->argument ? required_argument : no_argument;
            longs[count].flag = NULL;
            longs[count++].val = o->letter;
        }
    *shorts = 0;
    memset(&longs[count], 0, sizeof(longs[count]));
    return count;
}

/* optopt is 0 after a long name that is none, the letter itself after a letter that is none, and an option's own
 * letter or number after a long name with an argument that it does not take. */
static int unknown(const cli_verb *verb, const char *word, const char *const *names, size_t count, const char *shorts)
{
    char name[64];
    if (optopt > 0 && optopt < 256 && !strchr(shorts, optopt))
        return cli_usage(verb->name, "unknown option -%c", optopt);
    snprintf(name, sizeof(name), "%.*s", (int)strcspn(word + 2, "="), word + 2);
    if (optopt)
        return cli_usage(verb->name, "--%s takes no argument", name);
    size_t meant = 0;
    for (size_t i = 0; i < count; i++)
        meant += !strncmp(names[i], name, strlen(name));
    if (meant > 1)
        return cli_usage(verb->name, "--%s may stand for several options", name);
    const char *near = cli_nearest(name, names, count);
    if (near)
        return cli_usage(verb->name, "unknown option --%s; did you mean --%s?", name, near);
    return cli_usage(verb->name, "unknown option --%s", name);
}

int cli_next_option(const cli_verb *verb, int argc, char **argv, const char **value, int *code)
{
    struct option longs[MOST_OPTIONS + 1];
    char shorts[2 * MOST_OPTIONS + 2];
    const char *names[MOST_OPTIONS];
    size_t count = gather(verb, longs, shorts, names);
    for (;;) {
        opterr = 0;
        int letter = getopt_long(argc, argv, shorts, longs, NULL);
        *value = optarg;
        switch (letter) {
        case -1:
            return 0;
        case 'q':
            cli_terminal.quiet = true;
            break;
        case 'v':
            cli_terminal.verbose++;
            break;
        case 'h':
            cli_print_help(verb);
            *code = CLI_DONE;
            return -1;
        case ':':
            *code = cli_usage(verb->name, "%s needs an argument", argv[optind - 1]);
            return -1;
        case '?':
            *code = unknown(verb, argv[optind - 1], names, count, shorts);
            return -1;
        default:
            return letter;
        }
    }
}

static void print_option(const cli_option *option)
{
    char left[64], letter[8] = "    ";
    if (option->letter < 256)
        snprintf(letter, sizeof(letter), "-%c%s", option->letter, option->name ? ", " : "");
    snprintf(left, sizeof(left), "%s%s%s%s%s", letter, option->name ? "--" : "", option->name ? option->name : "",
             option->argument ? " " : "", option->argument ? option->argument : "");
    cli_print("  %-31s %s\n", left, option->help);
}

void cli_print_help(const cli_verb *verb)
{
    cli_print("Usage: tl %s %s\n\n%s\n", verb->name, verb->usage, verb->summary);
    if (verb->details)
        cli_print("\n%s", verb->details);
    cli_print("\n");
    for (const cli_option *o = verb->options; o && o->letter; o++)
        print_option(o);
    for (const cli_option *o = common; o->letter; o++)
        print_option(o);
    cli_print("\nExit codes: 0 done, 1 the work failed, 2 usage or configuration. More: man tl\n");
}

bool cli_option_int(const cli_verb *verb, const char *name, const char *text, int minimum, int maximum, int *value)
{
    int64_t parsed;
    if (!cli_parse_int(text, &parsed) || parsed < minimum || parsed > maximum) {
        cli_usage(verb->name, "--%s: '%s' is not a whole number from %d to %d", name, text, minimum, maximum);
        return false;
    }
    *value = (int)parsed;
    return true;
}

const char *const cli_precisions[4] = {"fp32", "bf16", "fp16", "int8"};

bool cli_option_precision(const cli_verb *verb, const char *text, int *precision)
{
    for (int i = 0; i < (int)CLI_COUNT(cli_precisions); i++)
        if (!strcmp(cli_precisions[i], text)) {
            *precision = i;
            return true;
        }
    cli_usage(verb->name, "--precision: '%s' is none of fp32, bf16, fp16 and int8", text);
    return false;
}

bool cli_tile_option(const cli_verb *verb, int letter, const char *value, cli_tiling *tiling, int *code)
{
    if (letter == CLI_TILE) {
        if (!cli_option_int(verb, "tile", value, 64, 16384, &tiling->tile))
            *code = CLI_USAGE;
        return true;
    }
    if (letter != CLI_TILE_OVERLAP)
        return false;
    if (!cli_parse_real(value, &tiling->overlap) || !(tiling->overlap > 0 && tiling->overlap <= 0.75))
        *code = cli_usage(verb->name, "--tile-overlap: '%s' is not a number above 0, up to 0.75", value);
    return true;
}
