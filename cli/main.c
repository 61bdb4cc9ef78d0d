/* tl: the command line of libtl. */
#include <string.h>
#include <unistd.h>

#include <tl/tl.h>

#include "cli/config.h"
#include "cli/options.h"

static const cli_verb *const verbs[] = {&cli_train, &cli_eval, &cli_predict, &cli_inspect, &cli_convert, &cli_devices,
                                        &cli_features, &cli_selftest, &cli_tune, &cli_bench};

static const cli_verb *find_verb(const char *name)
{
    for (size_t i = 0; i < CLI_COUNT(verbs); i++)
        if (!strcmp(verbs[i]->name, name))
            return verbs[i];
    return NULL;
}

static int unknown(const char *word)
{
    const char *names[CLI_COUNT(verbs) + 1];
    if (word[0] == '-') {
        static const char *const long_names[] = {"--help", "--version"};
        const char *near = cli_nearest(word, long_names, CLI_COUNT(long_names));
        if (near)
            return cli_usage(NULL, "unknown option %s; did you mean %s?", word, near);
        return cli_usage(NULL, "unknown option %s; options follow the verb", word);
    }
    for (size_t i = 0; i < CLI_COUNT(verbs); i++)
        names[i] = verbs[i]->name;
    names[CLI_COUNT(verbs)] = "help";
    const char *near = cli_nearest(word, names, CLI_COUNT(names));
    if (near)
        return cli_usage(NULL, "unknown verb '%s'; did you mean '%s'?", word, near);
    return cli_usage(NULL, "unknown verb '%s'", word);
}

static int print_help(void)
{
    cli_print("Usage: tl VERB [OPTION]... [OPERAND]...\n\n"
              "Fine-tunes pretrained image networks on whatever accelerator the machine has.\n\n");
    for (size_t i = 0; i < CLI_COUNT(verbs); i++)
        cli_print("  %-9s %s\n", verbs[i]->name, verbs[i]->summary);
    cli_print("  %-9s %s\n\n", "help", "'tl help VERB': a verb's options; 'tl help ini': the keys of the INI file.");
    cli_print("  --help    this text\n  --version the version\n\n"
              "Exit codes: 0 done, 1 the work failed, 2 usage or configuration. More: man tl\n");
    return CLI_DONE;
}

static int print_keys(void)
{
    const char *section = "";
    char range[256];
    cli_print("The keys of the INI file. 'tl train' takes a value for a run with -s section.key=value.\n");
    for (size_t i = 0; i < cli_key_count; i++) {
        const cli_key *key = &cli_keys[i];
        if (key->type == CLI_KEY_LATER)
            continue;
        if (strcmp(section, key->section))
            cli_print("\n[%s%s]\n", key->section, !strcmp(key->section, "stage") ? " NAME" : "");
        section = key->section;
        cli_print("  %s = %s\n      %s", key->name, cli_key_default(key), key->help);
        if (key->type == CLI_KEY_TEXT || key->type == CLI_KEY_NAME || key->type == CLI_KEY_ARCH)
            cli_print(".\n");
        else
            cli_print(" (%s).\n", cli_key_range(key, range, sizeof(range)));
    }
    cli_print("\nNetworks:");
    for (size_t i = 0; tl_arch_name(i); i++)
        cli_print(" %s", tl_arch_name(i));
    cli_print("\n");
    return CLI_DONE;
}

static int help(int argc, char **argv)
{
    if (argc < 2)
        return print_help();
    if (!strcmp(argv[1], "ini"))
        return print_keys();
    const cli_verb *verb = find_verb(argv[1]);
    if (!verb)
        return unknown(argv[1]);
    cli_print_help(verb);
    return CLI_DONE;
}

int main(int argc, char **argv)
{
    cli_term_start();
    if (argc < 2) {
        cli_usage(NULL, "which verb? tl VERB [OPTION]... [OPERAND]...");
        return CLI_USAGE;
    }
    const char *word = argv[1];
    if (!strcmp(word, "--version") || !strcmp(word, "-V")) {
        cli_print("tl %s\n", tl_version());
        return cli_finish(CLI_DONE);
    }
    if (!strcmp(word, "--help") || !strcmp(word, "-h"))
        return cli_finish(print_help());
    if (!strcmp(word, "help"))
        return cli_finish(help(argc - 1, argv + 1));
    const cli_verb *verb = find_verb(word);
    if (!verb)
        return unknown(word);
    return cli_finish(verb->run(argc - 1, argv + 1));
}
