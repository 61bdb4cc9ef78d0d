/* The INI reader and the configuration on inputs that try to get past them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "cli/config.h"
#include "cli/ini.h"

#define MINIMAL "[data]\ntrain = t\n[model]\nweights = random\n"

static char error[512];

static bool read_text(const char *text, size_t length, cli_ini *ini)
{
    FILE *file = length ? fmemopen((void *)(uintptr_t)text, length, "r") : fopen("/dev/null", "r");
    assert_non_null(file);
    error[0] = 0;
    bool ok = cli_ini_read(file, "x.ini", ini, error, sizeof(error));
    fclose(file);
    return ok;
}

#define ACCEPT(text) assert_true(read_text(text, sizeof(text) - 1, &ini))
#define REFUSE(text, message)                                  \
    do {                                                       \
        cli_ini refused;                                       \
        assert_false(read_text(text, sizeof(text) - 1, &refused)); \
        assert_string_equal(error, "x.ini:" message);          \
        assert_null(refused.entries);                          \
    } while (0)

/* ---- lines ---- */

static void plain(void **state)
{
    cli_ini ini;
    (void)state;
    ACCEPT("; comment\n# comment\n\n[data]\ntrain = a b ; why\n  batch=8\r\n\t\n[stage   deep ]; x\nlr : 1e-3");
    assert_int_equal(ini.entry_count, 3);
    assert_string_equal(ini.entries[0].section, "data");
    assert_string_equal(ini.entries[0].value, "a b");
    assert_int_equal(ini.entries[0].line, 5);
    assert_string_equal(ini.entries[1].key, "batch"); /* not the continuation of the value before */
    assert_string_equal(ini.entries[1].value, "8");
    assert_string_equal(ini.entries[2].section, "stage deep");
    assert_string_equal(ini.entries[2].value, "1e-3");
    assert_int_equal(ini.entries[2].line, 9);
    assert_int_equal(ini.section_count, 2);
    assert_int_equal(ini.sections[1].line, 8);
    cli_ini_free(&ini);
}

static void empty(void **state)
{
    cli_ini ini;
    (void)state;
    assert_true(read_text("", 0, &ini));
    assert_int_equal(ini.entry_count, 0);
    cli_ini_free(&ini);
    ACCEPT("\n\n\n");
    cli_ini_free(&ini);
    ACCEPT("[data]");
    assert_int_equal(ini.section_count, 1);
    cli_ini_free(&ini);
    ACCEPT("\xef\xbb\xbf[data]\nbatch = 3\n");
    assert_int_equal(ini.entry_count, 1);
    cli_ini_free(&ini);
}

static void no_sense(void **state)
{
    (void)state;
    REFUSE("[data]\nbatch\n", "2: neither 'key = value' nor '[section]'");
    REFUSE("[data\nbatch = 8\n", "1: neither 'key = value' nor '[section]'");
    REFUSE("[data]\nwhat\nbatch = 8\nbatch = 9\n", "2: neither 'key = value' nor '[section]'");
    REFUSE("batch = 8\n", "1: 'batch' before any [section]");
    REFUSE("[data]\n= 8\n", "2: no key before the '='");
    REFUSE("[data]\nbatch =\n", "2: 'batch' has no value; leave the line out to have the default");
    REFUSE("[data]\nbatch = ; 8\n", "2: 'batch' has no value; leave the line out to have the default");
    REFUSE("[data] batch = 8\n", "1: 'batch = 8' after the section's ']'");
}

static void twice(void **state)
{
    (void)state;
    REFUSE("[data]\nbatch = 8\n\nbatch = 8\n", "4: 'batch' a second time in [data]; the first is in line 2");
    REFUSE("[data]\nbatch = 8\n[model]\n[data]\n", "4: section [data] a second time; the first is in line 1");
    REFUSE("[stage a]\n[stage  a]\n", "2: section [stage a] a second time; the first is in line 1");
}

static void bytes(void **state)
{
    (void)state;
    REFUSE("[data]\nbatch = 8\0\n", "2: a NUL byte; is this a text file in UTF-8?");
    REFUSE("\xff\xfe[\0d\0", "1: a NUL byte; is this a text file in UTF-8?");
    REFUSE("[data]\ntrain = \xc3\n", "2: bytes that are not UTF-8");
    REFUSE("[data]\ntrain = \xc0\xaf\n", "2: bytes that are not UTF-8");
    REFUSE("[data]\ntrain = \xed\xa0\x80\n", "2: bytes that are not UTF-8");
    REFUSE("[data]\ntrain = \xf4\x90\x80\x80\n", "2: bytes that are not UTF-8");
    REFUSE("[data]\ntrain = a\x1b[31m\n", "2: a control character (0x1b)");
    REFUSE("[data]\rbatch = 8\r", "1: a carriage return inside a line");
    REFUSE("[data]\ntrain = a\xef\xbf", "2: bytes that are not UTF-8");
}

/* A file with a value of `length` bytes in line 2, then `tail`; the caller frees it. */
static char *long_line(size_t length, const char *tail)
{
    static const char before[] = "[stage a]\ntrain = ", after[] = "\n[data]\ntrain = t\n";
    char *text = malloc(sizeof(before) + length + strlen(tail) + sizeof(after));
    assert_non_null(text);
    strcpy(text, before);
    memset(text + sizeof(before) - 1, 'x', length);
    strcpy(text + sizeof(before) - 1 + length, tail);
    strcat(text, after);
    return text;
}

static void lengths(void **state)
{
    cli_ini ini;
    (void)state;
    /* what inih does by itself: the tail of a long line becomes a line of its own */
    char *text = long_line(191, "lr = 99");
    assert_false(read_text(text, strlen(text), &ini));
    assert_string_equal(error, "x.ini:2: a line of more than 198 bytes");
    free(text);
    text = long_line(190, ""); /* 198 bytes in all */
    assert_true(read_text(text, strlen(text), &ini));
    assert_int_equal(strlen(ini.entries[0].value), 190);
    assert_int_equal(ini.entries[1].line, 4);
    cli_ini_free(&ini);
    free(text);
    text = long_line(190, "\r");
    assert_true(read_text(text, strlen(text), &ini));
    cli_ini_free(&ini);
    free(text);
    text = long_line(191, "");
    assert_false(read_text(text, strlen(text), &ini));
    assert_string_equal(error, "x.ini:2: a line of more than 198 bytes");
    free(text);
    text = long_line(1000000, "");
    assert_false(read_text(text, strlen(text), &ini));
    assert_string_equal(error, "x.ini:2: a line of more than 198 bytes");
    free(text);
    REFUSE("[aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa]\n", "1: a section's name of more than 48 bytes");
}

static void many_lines(void **state)
{
    cli_ini ini;
    (void)state;
    char *text = malloc(CLI_INI_MOST_LINES + 16);
    assert_non_null(text);
    memset(text, '\n', CLI_INI_MOST_LINES);
    strcpy(text + CLI_INI_MOST_LINES, "[data]\n");
    assert_false(read_text(text, strlen(text), &ini));
    assert_string_equal(error, "x.ini:10001: more than 10000 lines");
    free(text);
}

/* Every beginning of a file, and every byte of it replaced by something nasty, must end in yes or no. */
static void damaged(void **state)
{
    static const char whole[] = "\xef\xbb\xbf; \xc3\xa4\n[data]\ntrain = a\n[stage b]\nlr=1 ; c\r\n";
    static const char nasty[] = {0, '\n', '\r', '[', ']', '=', ';', ' ', '\xff', '\xc3'};
    char text[sizeof(whole)];
    cli_ini ini;
    (void)state;
    for (size_t length = 0; length < sizeof(whole); length++) {
        if (read_text(whole, length, &ini))
            cli_ini_free(&ini);
        for (size_t i = 0; i < sizeof(nasty); i++) {
            memcpy(text, whole, sizeof(whole));
            text[length] = nasty[i];
            if (read_text(text, sizeof(whole) - 1, &ini))
                cli_ini_free(&ini);
            else
                assert_true(!strncmp(error, "x.ini:", 6));
        }
    }
}

/* ---- the configuration ---- */

static char folder[64];

static void put(const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static bool load(const char *name, cli_config *config, const char *const *overrides, size_t count)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    error[0] = 0;
    return cli_config_load(path, overrides, count, config, error, sizeof(error));
}

static void refuse(const char *text, const char *message)
{
    cli_config config;
    put("bad.ini", text);
    assert_false(load("bad.ini", &config, NULL, 0));
    const char *tail = strstr(error, "bad.ini:");
    assert_non_null(tail);
    assert_string_equal(tail + strlen("bad.ini:"), message);
}

static void defaults(void **state)
{
    cli_config c;
    (void)state;
    put("a.ini", MINIMAL);
    assert_true(load("a.ini", &c, NULL, 0));
    assert_string_equal(c.name, "a");
    assert_string_equal(c.output, "runs/a");
    assert_int_equal(c.seed, 0);
    assert_int_equal(c.batch, 32);
    assert_int_equal(c.resize, 256);
    assert_int_equal(c.crop, 224);
    assert_true(c.shuffle);
    assert_string_equal(c.val, "");
    assert_true(c.mean[0] == 0.485 && c.mean[1] == 0.456 && c.mean[2] == 0.406);
    assert_true(c.std[0] == 0.229 && c.std[1] == 0.224 && c.std[2] == 0.225);
    assert_string_equal(c.arch, "resnet50");
    assert_int_equal(c.bn, TL_BN_EVAL);
    assert_int_equal(c.classes, 0);
    assert_int_equal(c.stage_count, 1);
    assert_string_equal(c.stages[0].name, "head");
    assert_string_equal(cli_config_patterns(&c, &c.stages[0]), "fc.*");
    assert_int_equal(c.stages[0].epochs, 10);
    assert_true(c.stages[0].lr == 1e-3 && c.stages[0].beta1 == 0.9 && c.stages[0].beta2 == 0.999);
    assert_true(c.stages[0].eps == 1e-8 && c.stages[0].weight_decay == 0 && c.stages[0].dice == 0);
    cli_config_free(&c);
}

static void values(void **state)
{
    (void)state;
    refuse("[data]\nbatch = 0\n", "2: [data] batch = 0: must be 1 to 4096, or auto");
    refuse("[data]\nbatch = 8.5\n", "2: [data] batch = 8.5: must be 1 to 4096, or auto");
    refuse("[data]\nbatch = 99999999999999999999\n",
           "2: [data] batch = 99999999999999999999: must be 1 to 4096, or auto");
    refuse("[data]\nval = 1.5\n", "2: [data] val = 1.5: a fraction lies between 0 and 1 (a folder of that name: ./1.5)");
    refuse("[data]\nshuffle = maybe\n", "2: [data] shuffle = maybe: must be yes or no");
    refuse("[data]\nalpha = pink\n", "2: [data] alpha = pink: must be drop, white or black");
    refuse("[data]\ndecode = quick\n", "2: [data] decode = quick: must be exact or fast");
    refuse("[data]\nstd = 1, 1\n", "2: [data] std = 1, 1: must be three numbers, above 0, up to 1000");
    refuse("[data]\nstd = 1, 0, 1\n", "2: [data] std = 1, 0, 1: must be three numbers, above 0, up to 1000");
    refuse("[model]\narch = resnet51\n", "2: unknown network 'resnet51'; did you mean 'resnet50'?");
    refuse("[model]\nlayers = 1,1,1\n", "2: [model] layers = 1,1,1: must be four whole numbers, or auto");
    refuse("[stage a]\nlr = nan\n", "2: [stage a] lr = nan: must be above 0, up to 1000");
    refuse("[stage a]\nlr = 0x1p-3\n", "2: [stage a] lr = 0x1p-3: must be above 0, up to 1000");
    refuse("[stage a]\nlr = -1\n", "2: [stage a] lr = -1: must be above 0, up to 1000");
    refuse("[stage a]\nlr = 1e-3 # slow\n",
           "2: [stage a] lr = 1e-3 # slow: must be above 0, up to 1000 (a comment after a value begins with ' ;')");
    refuse("[stage a]\noptimizer = sgd\n", "2: [stage a] optimizer = sgd: must be adam");
    refuse("[experiment]\nseed = -1\n", "2: [experiment] seed = -1: must be 0 to 18446744073709551615");
    refuse("[experiment]\nname = ../a\n", "2: [experiment] name = ../a: must be a name");
}

static void names(void **state)
{
    (void)state;
    refuse("[data]\nbatchsize = 8\n", "2: unknown key 'batchsize' in [data]; did you mean 'batch'?");
    refuse("[data]\nlr = 8\n", "2: unknown key 'lr' in [data]; it belongs in [stage NAME]");
    refuse("[stage a]\nepoch = 8\n", "2: unknown key 'epoch' in [stage a]; did you mean 'epochs'?");
    refuse("[stage a]\nzzzzzzzzzzz = 8\n", "2: unknown key 'zzzzzzzzzzz' in [stage a]");
    refuse("[dta]\nx = 8\n", "1: unknown section [dta]; did you mean [data]?");
    refuse("[Data]\nx = 8\n", "1: unknown section [Data]; did you mean [data]?");
    refuse("[stage]\nlr = 1\n", "1: [stage] has no name; write [stage head], say");
    refuse("[stage a.b]\nlr = 1\n", "1: [stage a.b]: a stage's name is made of letters, digits, '_' and '-'");
    refuse("[sweep]\nseed = 1\n", "1: [sweep] is not supported by this version");
    refuse("[sweep]\nstage.head.lr = 1, 2\n", "1: [sweep] is not supported by this version");
    refuse("[data]\ngroup = person\n", "2: 'group' in [data] is not supported by this version");
    refuse("[stage a]\nwarmup = 1\n", "2: 'warmup' in [stage a] is not supported by this version");
    refuse("[stage a]\nlr.layer4.* = 1y\n",
           "2: [stage a] lr.layer4.* = 1y: must be above 0, up to 1000, or a multiple of lr as in 10x");
    refuse("[stage a]\nlr.layer4.* = 0x\n",
           "2: [stage a] lr.layer4.* = 0x: must be above 0, up to 1000, or a multiple of lr as in 10x");
    refuse("[stage a]\nlr. = 1\n", "2: unknown key 'lr.' in [stage a]; did you mean 'lr'?");
    refuse("[data]\nlr.fc.* = 1\n", "2: unknown key 'lr.fc.*' in [data]; did you mean 'lr.*' in [stage NAME]?");
    refuse("[data]\nbatch = 4\n", " [data] train is not set: the folder with one folder of images for each class");
    refuse("[data]\ntrain = t\n", " [model] weights is not set: a file of pretrained weights, or random");
}

static void includes(void **state)
{
    cli_config c;
    (void)state;
    put("base.ini", MINIMAL "[stage head]\nlr = 0.5\nepochs = 3\n[stage deep]\ntrain = layer4.*\n");
    put("top.ini", "[stage head]\nlr = 0.25\n[stage last]\n[experiment]\ninclude = base.ini\nseed = 7\n");
    assert_true(load("top.ini", &c, NULL, 0));
    assert_int_equal(c.stage_count, 3);
    assert_string_equal(c.stages[0].name, "head");
    assert_string_equal(c.stages[1].name, "deep");
    assert_string_equal(c.stages[2].name, "last");
    assert_true(c.stages[0].lr == 0.25);
    assert_int_equal(c.stages[0].epochs, 3);
    assert_int_equal(c.seed, 7);
    assert_string_equal(c.name, "top");
    assert_non_null(strstr(cli_config_where(&c, "stage", "lr", 0), "top.ini:2"));
    assert_non_null(strstr(cli_config_where(&c, "data", "train", -1), "base.ini:2"));
    cli_config_free(&c);

    put("loop.ini", "[experiment]\ninclude = loop2.ini\n");
    put("loop2.ini", "[experiment]\n\ninclude = loop.ini\n");
    assert_false(load("loop.ini", &c, NULL, 0));
    assert_non_null(strstr(error, "loop.ini: includes itself (included by "));
    assert_non_null(strstr(error, "loop2.ini:3)"));

    put("gone.ini", "[experiment]\ninclude = nowhere.ini\n");
    assert_false(load("gone.ini", &c, NULL, 0));
    assert_non_null(strstr(error, "nowhere.ini: No such file or directory (included by "));

    for (int i = 0; i < 9; i++) {
        char name[32], text[64];
        snprintf(name, sizeof(name), "deep%d.ini", i);
        snprintf(text, sizeof(text), "[experiment]\ninclude = deep%d.ini\n", i + 1);
        put(name, text);
    }
    put("deep9.ini", MINIMAL);
    assert_false(load("deep0.ini", &c, NULL, 0));
    assert_non_null(strstr(error, "deep8.ini: more than 8 files deep"));
    assert_true(load("deep2.ini", &c, NULL, 0));
    cli_config_free(&c);
}

static void overrides(void **state)
{
    static const char *const good[] = {"data.batch=4", "stage.head.lr = 0.5", "stage head.epochs=2", "model.bn=batch",
                                       "data.train=a=b.c"};
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"data.batch", "-s data.batch: the form is section.key=value"},
        {"batch=4", "-s batch=4: the form is section.key=value"},
        {"=4", "-s =4: the form is section.key=value"},
        {"data.=4", "-s data.=4: the form is section.key=value"},
        {"data.batch=", "-s data.batch=: no value"},
        {"data.batch=x", "-s data.batch=x: [data] batch = x: must be 1 to 4096, or auto"},
        {"data.bach=4", "-s data.bach=4: unknown key 'bach' in [data]; did you mean 'batch'?"},
        {"dat.batch=4", "-s dat.batch=4: unknown section [dat]; did you mean [data]?"},
        {"data.train=a ;b", "-s data.train=a ;b: a value that an INI file's line cannot hold"},
        {"data.train=a\nb", "-s data.train=a\nb: a value that an INI file's line cannot hold"},
        {"stage.hed.lr=1", "-s stage.hed.lr=1: there is no [stage hed]; did you mean [stage head]"},
        {"experiment.include=a", "-s experiment.include=a: include is for files"},
        {"sweep.experiment.seed=0..4", "-s sweep.experiment.seed=0..4: [sweep] is not supported by this version"},
    };
    cli_config c;
    (void)state;
    put("a.ini", MINIMAL "[stage head]\nlr = 0.1\n");
    assert_true(load("a.ini", &c, good, CLI_COUNT(good)));
    assert_int_equal(c.batch, 4);
    assert_true(c.stages[0].lr == 0.5);
    assert_int_equal(c.stages[0].epochs, 2);
    assert_int_equal(c.bn, TL_BN_BATCH);
    assert_string_equal(c.train, "a=b.c");
    cli_config_free(&c);
    for (size_t i = 0; i < CLI_COUNT(bad); i++) {
        assert_false(load("a.ini", &c, &bad[i].text, 1));
        assert_string_equal(error, bad[i].message);
    }
}

/* lr.PATTERN: each name is a key of its own, kept in the order in which they came. */
static void rates(void **state)
{
    cli_config c;
    (void)state;
    put("base.ini", MINIMAL "[stage x]\nlr.fc.* = 10x\nlr.*.bias = 2e-3\n[stage y]\nlr.fc.* = 3\n");
    put("top.ini", "[experiment]\ninclude = base.ini\n[stage x]\nlr.fc.* = 2.5X\nlr.* = 1\nschedule = poly\npower = 2\n");
    const char *overrides[] = {"stage.x.lr.*.bias=0.5x", "stage.y.lr=0.5"};
    assert_true(load("top.ini", &c, overrides, 2));
    assert_int_equal(c.stages[0].rate_count, 3);
    static const struct {
        const char *parameters;
        double lr, factor;
    } expected[] = {{"fc.*", 0, 2.5}, {"*.bias", 0, 0.5}, {"*", 1, 0}};
    for (int i = 0; i < 3; i++) {
        assert_string_equal(c.stages[0].rates[i].parameters, expected[i].parameters);
        assert_true(c.stages[0].rates[i].lr == expected[i].lr && c.stages[0].rates[i].factor == expected[i].factor);
    }
    assert_int_equal(c.stages[0].schedule, TL_SCHEDULE_POLY);
    assert_true(c.stages[0].power == 2);
    assert_int_equal(c.stages[1].rate_count, 1);
    assert_true(c.stages[1].rates[0].lr == 3 && c.stages[1].lr == 0.5);
    assert_int_equal(c.stages[1].schedule, TL_SCHEDULE_CONSTANT);
    assert_non_null(strstr(cli_config_where(&c, "stage", "lr.fc.*", 1), "base.ini:9"));
    cli_config_free(&c);
}

/* The resolved file gives the same configuration again, and itself. */
static void resolved(void **state)
{
    cli_config a, b;
    (void)state;
    put("a.ini", "[experiment]\nseed = 18446744073709551615\n" MINIMAL
                 "layers = 1, 2, 3, 4\nwidth = 0.25\n[stage x]\ntrain = layer4.*, fc.*\nlr = 3e-5\nlr.fc.* = 10x\nlr.* = 1\n[stage y]\n");
    assert_true(load("a.ini", &a, NULL, 0));
    char *first = cli_config_resolved(&a);
    put("b.ini", first);
    assert_true(load("b.ini", &b, NULL, 0));
    char *second = cli_config_resolved(&b);
    assert_string_equal(first, second);
    assert_true(b.seed == UINT64_MAX);
    assert_int_equal(b.layers[3], 4);
    assert_string_equal(b.name, "a");
    assert_string_equal(b.output, "runs/a");
    assert_true(b.stages[0].lr == 3e-5);
    assert_int_equal(b.stage_count, 2);
    free(first);
    free(second);
    cli_config_free(&a);
    cli_config_free(&b);
}

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/tl-ini-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    static const char *const files[] = {"a.ini", "b.ini", "bad.ini", "base.ini", "top.ini", "loop.ini", "loop2.ini", "gone.ini",
                                        "deep0.ini", "deep1.ini", "deep2.ini", "deep3.ini", "deep4.ini", "deep5.ini",
                                        "deep6.ini", "deep7.ini", "deep8.ini", "deep9.ini"};
    (void)state;
    for (size_t i = 0; i < CLI_COUNT(files); i++) {
        char path[128];
        snprintf(path, sizeof(path), "%s/%s", folder, files[i]);
        unlink(path);
    }
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain),      cmocka_unit_test(empty),   cmocka_unit_test(no_sense), cmocka_unit_test(twice),
        cmocka_unit_test(bytes),      cmocka_unit_test(lengths), cmocka_unit_test(many_lines),
        cmocka_unit_test(damaged),    cmocka_unit_test(defaults), cmocka_unit_test(values),  cmocka_unit_test(names),
        cmocka_unit_test(includes),   cmocka_unit_test(overrides), cmocka_unit_test(rates), cmocka_unit_test(resolved),
    };
    return cmocka_run_group_tests_name("ini", tests, make_folder, remove_folder);
}
