/* The configuration as the INI file that gives it again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/config.h"

static void write_section(const cli_config *config, FILE *out, const char *section, const cli_stage *stage)
{
    fprintf(out, "\n[%s]\n", section);
    for (size_t i = 0; i < cli_key_count; i++) {
        const cli_key *key = &cli_keys[i];
        if (strcmp(key->section, stage ? "stage" : section) || key->type == CLI_KEY_LATER || !strcmp(key->name, "include"))
            continue;
        if (cli_key_is_open(key)) {
            for (size_t j = 0; j < config->setting_count; j++)
                if (config->settings[j].key == key && !strcmp(config->settings[j].section, section))
                    fprintf(out, "%s = %s\n", config->settings[j].name, config->settings[j].value);
            continue;
        }
        const char *text = cli_config_text(config, section, key);
        if (stage && key->offset == offsetof(cli_stage, train))
            text = cli_config_patterns(config, stage);
        else if (!stage && !*text)
            text = !strcmp(key->name, "name") ? config->name : config->output;
        if (!stage && key->offset == offsetof(cli_config, batch) && config->batch > 0) /* what auto came to */
            fprintf(out, "%s = %d\n", key->name, config->batch);
        else
            fprintf(out, "%s = %s\n", key->name, text);
    }
}

char *cli_config_resolved(const cli_config *config)
{
    static const char *const sections[] = {"experiment", "device", "data", "model", "augment", "classes"};
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (!out)
        return cli_copy("");
    fprintf(out, "; written by tl %s: what the run used, defaults included\n", tl_version());
    for (size_t i = 0; i < CLI_COUNT(sections); i++)
        if (config->class_count > 0 || strcmp(sections[i], "classes"))
            write_section(config, out, sections[i], NULL);
    for (size_t i = 0; i < config->stage_count; i++) {
        char *section = cli_format("stage %s", config->stages[i].name);
        write_section(config, out, section, &config->stages[i]);
        free(section);
    }
    fclose(out);
    return text;
}
