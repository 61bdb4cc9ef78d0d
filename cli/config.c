#include "cli/config.h"

#include <errno.h>
#include <libgen.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/ini.h"

#define DEEPEST_INCLUDE 8
#define LONGEST_STAGE_NAME 32

typedef struct loading {
    cli_config *config;
    struct {
        dev_t device;
        ino_t file;
    } open[DEEPEST_INCLUDE];
    int depth;
    char *error;
    size_t size;
} loading;

static bool refuse(loading *l, const char *format, ...) CLI_PRINTF(2, 3);
static bool refuse(loading *l, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(l->error, l->size, format, arguments);
    va_end(arguments);
    return false;
}

/* ---- sections and keys ---- */

static bool is_stage(const char *section)
{
    return !strncmp(section, "stage ", 6);
}

static const char *table_section(const char *section)
{
    return is_stage(section) ? "stage" : section;
}

/* Each section's name once; "stage" among them. */
static size_t section_names(const char **names, size_t capacity)
{
    size_t count = 0;
    for (size_t i = 0; i < cli_key_count && count < capacity; i++)
        if (count == 0 || strcmp(names[count - 1], cli_keys[i].section))
            names[count++] = cli_keys[i].section;
    return count;
}

static const cli_key *find_key(const char *section, const char *name)
{
    for (size_t i = 0; i < cli_key_count; i++) {
        const cli_key *key = &cli_keys[i];
        if (strcmp(key->section, table_section(section)))
            continue;
        size_t begin = cli_key_is_open(key) ? strlen(key->name) - 1 : SIZE_MAX;
        if (!strcmp(key->name, name) || (begin < strlen(name) && !strncmp(key->name, name, begin)))
            return key;
    }
    return NULL;
}

static bool check_stage_name(loading *l, const char *where, const char *name)
{
    size_t length = strlen(name);
    if (length == 0 || length > LONGEST_STAGE_NAME)
        return refuse(l, "%s: a stage's name has 1 to %d characters", where, LONGEST_STAGE_NAME);
    for (size_t i = 0; i < length; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", name[i]))
            return refuse(l, "%s: [stage %s]: a stage's name is made of letters, digits, '_' and '-'", where, name);
    return true;
}

static bool check_section(loading *l, const char *where, const char *section)
{
    const char *names[16] = {NULL};
    size_t count = section_names(names, CLI_COUNT(names));
    if (is_stage(section))
        return check_stage_name(l, where, section + 6);
    if (!strcmp(section, "stage"))
        return refuse(l, "%s: [stage] has no name; write [stage head], say", where);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], section))
            continue;
        const cli_key *any = find_key(section, "*");
        if (any && any->type == CLI_KEY_LATER)
            return refuse(l, "%s: [%s] is not supported by this version", where, section);
        return true;
    }
    if (!strncasecmp(section, "stage", 5))
        return refuse(l, "%s: unknown section [%s]; did you mean [stage %s]?", where, section,
                      section[5] ? section + 6 : "head");
    const char *near = cli_nearest(section, names, count);
    if (near)
        return refuse(l, "%s: unknown section [%s]; did you mean [%s]?", where, section, near);
    return refuse(l, "%s: unknown section [%s]", where, section);
}

static bool unknown_key(loading *l, const char *where, const char *section, const char *name)
{
    const char *names[256] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < cli_key_count && count < CLI_COUNT(names); i++) {
        const cli_key *key = &cli_keys[i];
        if (!strcmp(key->section, table_section(section)) && key->type != CLI_KEY_LATER)
            names[count++] = key->name;
    }
    for (size_t i = 0; i < cli_key_count; i++) {
        const cli_key *key = &cli_keys[i];
        if (!strcmp(key->name, name) && key->type != CLI_KEY_LATER)
            return refuse(l, "%s: unknown key '%s' in [%s]; it belongs in [%s%s]", where, name, section, key->section,
                          !strcmp(key->section, "stage") ? " NAME" : "");
    }
    const char *near = cli_nearest(name, names, count);
    if (near)
        return refuse(l, "%s: unknown key '%s' in [%s]; did you mean '%s'?", where, name, section, near);
    for (size_t i = 0; i < cli_key_count && count < CLI_COUNT(names); i++)
        if (cli_keys[i].type != CLI_KEY_LATER)
            names[count++] = cli_keys[i].name;
    near = cli_nearest(name, names, count);
    for (size_t i = 0; near && i < cli_key_count; i++)
        if (!strcmp(cli_keys[i].name, near))
            return refuse(l, "%s: unknown key '%s' in [%s]; did you mean '%s' in [%s%s]?", where, name, section, near,
                          cli_keys[i].section, !strcmp(cli_keys[i].section, "stage") ? " NAME" : "");
    return refuse(l, "%s: unknown key '%s' in [%s]", where, name, section);
}

/* ---- values ---- */

static bool bad_value(loading *l, const char *where, const char *section, const char *name, const cli_key *key, const char *text)
{
    char range[256];
    if (key->type == CLI_KEY_ARCH) {
        const char *names[64] = {NULL};
        size_t count = 0;
        while (count < CLI_COUNT(names) && (names[count] = tl_arch_name(count)))
            count++;
        const char *near = cli_nearest(text, names, count);
        return refuse(l, "%s: unknown network '%s'%s%s%s", where, text, near ? "; did you mean '" : "", near ? near : "",
                      near ? "'?" : "");
    }
    return refuse(l, "%s: [%s] %s = %s: must be %s%s", where, section, name, text,
                  cli_key_range(key, range, sizeof(range)),
                  strstr(text, " #") ? " (a comment after a value begins with ' ;')" : "");
}

/* `val` is a folder or a fraction, which no type of the table says. */
static bool check_val(loading *l, const char *where, const char *text)
{
    double fraction;
    if (cli_parse_real(text, &fraction) && !(fraction > 0 && fraction < 1))
        return refuse(l, "%s: [data] val = %s: a fraction lies between 0 and 1 (a folder of that name: ./%s)", where, text, text);
    return true;
}

static bool set(loading *l, const char *where, const char *section, const char *name, const char *text)
{
    cli_config *config = l->config;
    const cli_key *key = find_key(section, name);
    cli_value v;
    if (!key)
        return unknown_key(l, where, section, name);
    if (key->type == CLI_KEY_LATER)
        return refuse(l, "%s: '%s' in [%s] is not supported by this version", where, name, section);
    if (!cli_key_parse(key, text, &v))
        return bad_value(l, where, section, name, key, text);
    if (!is_stage(section) && key->offset == offsetof(cli_config, val) && !check_val(l, where, text))
        return false;
    cli_setting *setting = NULL;
    for (size_t i = 0; i < config->setting_count && !setting; i++)
        if (!strcmp(config->settings[i].name, name) && !strcmp(config->settings[i].section, section))
            setting = &config->settings[i];
    if (setting) {
        free(setting->section);
        free(setting->name);
        free(setting->value);
        free(setting->where);
    } else {
        config->settings =
            cli_grow(config->settings, &config->setting_capacity, config->setting_count, sizeof(*config->settings));
        setting = &config->settings[config->setting_count++];
    }
    *setting = (cli_setting){cli_copy(section), key, cli_copy(name), cli_copy(text), cli_copy(where)};
    return true;
}

static void add_stage(cli_config *config, const char *name)
{
    for (size_t i = 0; i < config->stage_count; i++)
        if (!strcmp(config->stages[i].name, name))
            return;
    config->stages = cli_grow(config->stages, &config->stage_capacity, config->stage_count, sizeof(*config->stages));
    memset(&config->stages[config->stage_count], 0, sizeof(*config->stages));
    config->stages[config->stage_count++].name = cli_copy(name);
}

/* ---- files and options ---- */

static bool load_file(loading *l, const char *path);

static bool load_include(loading *l, const char *path, const cli_ini_entry *include)
{
    char *copy = cli_copy(path);
    char *included = include->value[0] == '/' ? cli_copy(include->value) : cli_format("%s/%s", dirname(copy), include->value);
    if (included[0] == '.' && included[1] == '/') /* "./base.ini" reads worse than "base.ini" */
        memmove(included, included + 2, strlen(included + 2) + 1);
    bool ok = load_file(l, included);
    if (!ok) {
        size_t used = strlen(l->error);
        if (used < l->size)
            snprintf(l->error + used, l->size - used, " (included by %s:%d)", path, include->line);
    }
    free(included);
    free(copy);
    return ok;
}

static bool apply(loading *l, const char *path, const cli_ini *ini)
{
    const cli_ini_entry *entry = ini->entries, *end = ini->entries + ini->entry_count;
    for (size_t i = 0; i < ini->section_count; i++) {
        const cli_ini_section *section = &ini->sections[i];
        char *where = cli_format("%s:%d", path, section->line);
        bool ok = check_section(l, where, section->name);
        free(where);
        if (!ok)
            return false;
        if (is_stage(section->name))
            add_stage(l->config, section->name + 6);
        for (; entry < end && !strcmp(entry->section, section->name); entry++) {
            where = cli_format("%s:%d", path, entry->line);
            ok = set(l, where, entry->section, entry->key, entry->value);
            free(where);
            if (!ok)
                return false;
        }
    }
    return true;
}

static bool load_file(loading *l, const char *path)
{
    cli_ini ini;
    struct stat status;
    FILE *file = fopen(path, "re");
    if (!file || fstat(fileno(file), &status) != 0) {
        refuse(l, "%s: %s", path, strerror(errno));
        if (file)
            fclose(file);
        return false;
    }
    for (int i = 0; i < l->depth; i++)
        if (l->open[i].device == status.st_dev && l->open[i].file == status.st_ino) {
            fclose(file);
            return refuse(l, "%s: includes itself", path);
        }
    if (l->depth == DEEPEST_INCLUDE) {
        fclose(file);
        return refuse(l, "%s: more than %d files deep", path, DEEPEST_INCLUDE);
    }
    bool ok = cli_ini_read(file, path, &ini, l->error, l->size);
    fclose(file);
    if (!ok)
        return false;
    l->open[l->depth].device = status.st_dev;
    l->open[l->depth].file = status.st_ino;
    l->depth++;
    for (size_t i = 0; i < ini.entry_count && ok; i++)
        if (!strcmp(ini.entries[i].section, "experiment") && !strcmp(ini.entries[i].key, "include"))
            ok = load_include(l, path, &ini.entries[i]);
    l->depth--;
    ok = ok && apply(l, path, &ini);
    cli_ini_free(&ini);
    return ok;
}

static bool override_section(loading *l, const char *where, const char *section)
{
    if (!check_section(l, where, section))
        return false;
    if (!is_stage(section))
        return true;
    cli_config *config = l->config;
    const char *names[32] = {NULL};
    size_t count = 0;
    for (size_t i = 0; i < config->stage_count; i++) {
        if (!strcmp(config->stages[i].name, section + 6))
            return true;
        if (count < CLI_COUNT(names))
            names[count++] = config->stages[i].name;
    }
    if (config->stage_count == 0) {
        add_stage(config, section + 6);
        return true;
    }
    const char *near = cli_nearest(section + 6, names, count);
    return refuse(l, "%s: there is no [%s]; %s [stage %s]", where, section, near ? "did you mean" : "there is",
                  near ? near : names[0]);
}

/* "data.batch=8", "stage.head.lr=1e-4" or "stage head.lr=1e-4". */
static bool apply_override(loading *l, const char *text)
{
    char where[80], *copy = cli_copy(text);
    bool ok = false;
    snprintf(where, sizeof(where), "-s %.*s", 64, text);
    char *equals = strchr(copy, '=');
    char *left = copy, *right = equals ? equals + 1 : NULL;
    if (equals)
        *equals = 0;
    if (!strncmp(left, "stage.", 6))
        left[5] = ' ';
    cli_ini_tidy(left);
    char *dot = equals ? strchr(left, '.') : NULL;
    if (!dot || dot == left || !dot[1]) {
        refuse(l, "%s: the form is section.key=value", where);
    } else {
        *dot = 0;
        cli_ini_tidy(left);
        cli_ini_tidy(dot + 1);
        while (*right == ' ' || *right == '\t')
            right++;
        for (size_t length = strlen(right); length > 0 && (right[length - 1] == ' ' || right[length - 1] == '\t'); length--)
            right[length - 1] = 0;
        /* what an INI line could not hold could not be written to config.ini either */
        size_t length = strlen(right);
        bool odd = cli_utf8_length(right, length) != length || strstr(right, " ;") || right[0] == ';';
        for (size_t i = 0; i < length; i++)
            odd |= (unsigned char)right[i] < 0x20 || right[i] == 0x7f;
        if (!*right)
            refuse(l, "%s: no value", where);
        else if (odd || strlen(dot + 1) + 3 + length > CLI_INI_LONGEST_LINE)
            refuse(l, "%s: a value that an INI file's line cannot hold", where);
        else
            ok = override_section(l, where, left) &&
                 (strcmp(left, "experiment") || strcmp(dot + 1, "include") ||
                  refuse(l, "%s: include is for files", where)) &&
                 set(l, where, left, dot + 1, right);
    }
    free(copy);
    return ok;
}

/* ---- the whole ---- */

static const cli_setting *find_setting(const cli_config *config, const char *section, const char *name)
{
    for (size_t i = 0; i < config->setting_count; i++)
        if (!strcmp(config->settings[i].name, name) && !strcmp(config->settings[i].section, section))
            return &config->settings[i];
    return NULL;
}

const char *cli_config_text(const cli_config *config, const char *section, const cli_key *key)
{
    const cli_setting *setting = find_setting(config, section, key->name);
    return setting ? setting->value : key->fallback;
}

static void fill(const cli_config *config, const char *section, void *target)
{
    for (size_t i = 0; i < cli_key_count; i++) {
        const cli_key *key = &cli_keys[i];
        cli_value v;
        if (strcmp(key->section, table_section(section)) || key->type == CLI_KEY_LATER || cli_key_is_open(key) ||
            !strcmp(key->name, "include"))
            continue;
        if (cli_key_parse(key, cli_config_text(config, section, key), &v))
            memcpy((char *)target + key->offset, &v, cli_key_size(key));
    }
}

/* lr.PATTERN of a stage. */
static void fill_rates(const cli_config *config, const char *section, cli_stage *stage)
{
    size_t capacity = 0;
    for (size_t i = 0; i < config->setting_count; i++) {
        const cli_setting *setting = &config->settings[i];
        cli_value v;
        if (setting->key->type != CLI_KEY_RATE || strcmp(setting->section, section) ||
            !cli_key_parse(setting->key, setting->value, &v))
            continue;
        stage->rates = cli_grow(stage->rates, &capacity, stage->rate_count, sizeof(*stage->rates));
        stage->rates[stage->rate_count++] = (tl_rate){
            .parameters = setting->name + strlen(setting->key->name) - 1, .lr = v.rate.lr, .factor = v.rate.factor};
    }
}

static bool refuse_class(loading *l, const cli_setting *a, const char *what)
{
    return refuse(l, "%s: [classes] %s = %s: %s", a->where, a->name, a->value, what);
}

/* [classes]: every number from 0 on has one name, and all have a colour or none has. */
static bool fill_classes(loading *l)
{
    cli_config *config = l->config;
    const cli_setting *of[256] = {NULL}, *last = NULL;
    cli_class classes[256];
    size_t count = 0, colours = 0;
    for (size_t i = 0; i < config->setting_count; i++) {
        const cli_setting *setting = &config->settings[i];
        cli_value v;
        if (setting->key->type != CLI_KEY_CLASS || !cli_key_parse(setting->key, setting->value, &v))
            continue;
        if (of[v.class_.index])
            return refuse_class(l, setting, "another class has this number");
        of[v.class_.index] = last = setting;
        classes[v.class_.index] = v.class_;
        if (v.class_.index == config->ignore) {
            config->has_ignore_colour = v.class_.coloured;
            memcpy(config->ignore_colour, v.class_.colour, 3);
            continue;
        }
        count++;
        colours += v.class_.coloured;
    }
    if (!count)
        return true;
    config->class_names = cli_alloc(count * sizeof(*config->class_names));
    config->class_colours = colours ? cli_alloc(count * sizeof(*config->class_colours)) : NULL;
    config->class_count = count;
    for (size_t i = 0; i < count; i++) {
        if (!of[i] || (int)i == config->ignore)
            return refuse(l, "%s: [classes]: %zu classes have the numbers 0 to %zu, and none has %zu", last->where, count,
                          count - 1, i);
        if (colours && !classes[i].coloured)
            return refuse(l, "%s: [classes] %s = %s: has no colour, and others have", of[i]->where, of[i]->name, of[i]->value);
        config->class_names[i] = of[i]->name;
        if (colours)
            memcpy(config->class_colours[i], classes[i].colour, 3);
        for (size_t k = 0; colours && k < i; k++)
            if (!memcmp(config->class_colours[k], config->class_colours[i], 3))
                return refuse_class(l, of[i], "another class has this colour");
    }
    if (config->masks - 1 == TL_MASKS_COLOUR && !colours)
        return refuse(l, "%s: masks = colour, and [classes] has no colours", cli_config_where(config, "data", "masks", -1));
    return true;
}

/* The file's name without its ending, as far as it can be a value itself. */
static char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *name = cli_copy(slash ? slash + 1 : path);
    char *dot = strrchr(name, '.');
    if (dot && dot > name)
        *dot = 0;
    for (char *c = name; *c == '.'; c++)
        *c = '_';
    size_t length = strlen(name);
    bool odd = length == 0 || length > 100 || cli_utf8_length(name, length) != length || strchr(name, ';');
    for (const char *c = name; *c; c++)
        odd |= (unsigned char)*c < 0x20 || *c == 0x7f;
    if (odd) {
        free(name);
        name = cli_copy("run");
    }
    return name;
}

static bool finish(loading *l)
{
    static const char *const sections[] = {"experiment", "device", "data", "model", "augment"};
    cli_config *config = l->config;
    if (config->stage_count == 0)
        add_stage(config, "head");
    for (size_t i = 0; i < CLI_COUNT(sections); i++)
        fill(config, sections[i], config);
    for (size_t i = 0; i < config->stage_count; i++) {
        char *section = cli_format("stage %s", config->stages[i].name);
        fill(config, section, &config->stages[i]);
        fill_rates(config, section, &config->stages[i]);
        free(section);
    }
    if (!fill_classes(l))
        return false;
    if (!cli_parse_real(config->val, &config->val_fraction))
        config->val_fraction = 0;
    if (!*config->name)
        config->name = config->derived_name = name_of(config->path);
    if (!*config->output)
        config->output = config->derived_output = cli_format("runs/%s", config->name);
    if (!*config->train)
        return refuse(l, "%s: [data] train is not set: the folder with one folder of images for each class", config->path);
    if (!*config->weights)
        return refuse(l, "%s: [model] weights is not set: a file of pretrained weights, or random", config->path);
    if (config->save && !strcmp(config->weights, "random"))
        return refuse(l, "%s: save = changed: weights = random is no file that something could have changed from",
                      cli_config_where(config, "experiment", "save", -1));
    return true;
}

bool cli_config_load(const char *path, const char *const *overrides, size_t override_count, cli_config *config,
                     char *error, size_t size)
{
    loading l = {.config = config, .error = error, .size = size};
    memset(config, 0, sizeof(*config));
    config->path = cli_copy(path);
    bool ok = load_file(&l, path);
    for (size_t i = 0; i < override_count && ok; i++)
        ok = apply_override(&l, overrides[i]);
    ok = ok && finish(&l);
    if (!ok)
        cli_config_free(config);
    return ok;
}

void cli_config_free(cli_config *config)
{
    for (size_t i = 0; i < config->setting_count; i++) {
        free(config->settings[i].section);
        free(config->settings[i].name);
        free(config->settings[i].value);
        free(config->settings[i].where);
    }
    for (size_t i = 0; i < config->stage_count; i++) {
        free(config->stages[i].name);
        free(config->stages[i].rates);
    }
    free(config->class_names);
    free(config->class_colours);
    free(config->settings);
    free(config->stages);
    free(config->derived_name);
    free(config->derived_output);
    free(config->path);
    memset(config, 0, sizeof(*config));
}

const char *cli_config_where(const cli_config *config, const char *section, const char *key, int stage)
{
    char *full = stage >= 0 ? cli_format("stage %s", config->stages[stage].name) : cli_copy(section);
    const cli_setting *setting = find_setting(config, full, key);
    free(full);
    return setting ? setting->where : config->path;
}

const char *cli_config_patterns(const cli_config *config, const cli_stage *stage)
{
    if (*stage->train)
        return stage->train;
    const bool vgg = !strncmp(config->arch, "vgg", 3);
    if (cli_config_segments(config))
        return vgg || config->head == TL_HEAD_LITE || !config->auxiliary ? "classifier.*" : "classifier.*, aux_classifier.*";
    return vgg && config->head == TL_HEAD_NATIVE ? "classifier.6.*" : "fc.*";
}

bool cli_config_segments(const cli_config *config)
{
    return config->head >= TL_HEAD_FCN;
}
