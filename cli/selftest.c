/* tl selftest */
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_THREADS, "threads", "N", "threads of the CPU backend"},
    {CLI_JSON, "json", NULL, "one JSON object"},
    {0, NULL, NULL, NULL},
};

static const char *const verdicts[] = {
    [TL_SELFTEST_RIGHT] = "ok", [TL_SELFTEST_WRONG] = "WRONG", [TL_SELFTEST_REFUSED] = "on the CPU"};

typedef struct testing {
    json_t *lines; /* NULL: print */
    int operations, wrong, refused, cases;
} testing;

static void print_line(const tl_selftest_line *line)
{
    char worst[16] = "-", name[64];
    snprintf(name, sizeof(name), "%s%s%s", line->operation, strcmp(line->storage, "f32") ? " " : "",
             strcmp(line->storage, "f32") ? line->storage : "");
    if (line->refused < line->cases)
        snprintf(worst, sizeof(worst), isinf(line->worst) ? "inf" : line->worst < 1000 ? "%.3f" : "%.0e", line->worst);
    cli_print("%-20s %6d %6d %7s  %-10s %s\n", name, line->shapes, line->cases, worst,
              verdicts[line->verdict], line->implementations);
    if (line->verdict == TL_SELFTEST_WRONG)
        cli_print("    %d of %d: %s\n", line->wrong, line->cases, line->detail);
    else if (line->verdict == TL_SELFTEST_REFUSED)
        cli_print("    %s\n", line->detail);
    if (line->verdict != TL_SELFTEST_REFUSED && line->refused)
        cli_print("    %d of %d on the CPU%s%s\n", line->refused, line->cases, line->wrong ? "" : ": ",
                  line->wrong ? "" : line->detail);
}

static json_t *json_line(const tl_selftest_line *line)
{
    static const char *const words[] = {
        [TL_SELFTEST_RIGHT] = "ok", [TL_SELFTEST_WRONG] = "wrong", [TL_SELFTEST_REFUSED] = "cpu"};
    json_t *object = json_object();
    json_object_set_new(object, "operation", cli_json_text(line->operation));
    json_object_set_new(object, "storage", cli_json_text(line->storage));
    json_object_set_new(object, "result", cli_json_text(words[line->verdict]));
    json_object_set_new(object, "shapes", json_integer(line->shapes));
    json_object_set_new(object, "cases", json_integer(line->cases));
    json_object_set_new(object, "refused", json_integer(line->refused));
    json_object_set_new(object, "wrong", json_integer(line->wrong));
    json_object_set_new(object, "worst", cli_json_real(line->worst));
    json_object_set_new(object, "implementations", cli_json_text(line->implementations));
    json_object_set_new(object, "detail", cli_json_text(line->detail));
    return object;
}

static bool each(void *user, const tl_selftest_line *line)
{
    testing *t = user;
    t->operations += !strcmp(line->storage, "f32");
    t->cases += line->cases;
    t->wrong += line->verdict == TL_SELFTEST_WRONG;
    t->refused += line->verdict == TL_SELFTEST_REFUSED;
    if (t->lines)
        json_array_append_new(t->lines, json_line(line));
    else
        print_line(line);
    return true;
}

static int test(testing *t, tl_context *context, tl_device *device)
{
    if (!t->lines)
        cli_print("%s: %s, against the CPU backend\n%-20s %6s %6s %7s  %-10s %s\n", tl_device_name(device),
                  tl_device_description(device), "operation", "shapes", "cases", "worst", "result", "by");
    tl_status status = tl_device_selftest(device, each, t);
    bool judged = status == TL_OK || (status == TL_ERROR_DEVICE && t->wrong > 0);
    if (judged && t->lines) {
        json_t *object = json_object();
        json_object_set_new(object, "device", cli_json_text(tl_device_name(device)));
        json_object_set_new(object, "description", cli_json_text(tl_device_description(device)));
        json_object_set(object, "operations", t->lines);
        json_object_set_new(object, "ok", json_boolean(t->wrong == 0));
        cli_json_print(object);
    } else if (judged) {
        cli_print("%d operations in %d cases: %d wrong, %d on the CPU; "
                  "worst is the largest error, with what it may be as its unit\n",
                  t->operations, t->cases, t->wrong, t->refused);
    }
    return status == TL_OK ? CLI_DONE : cli_failed(context, status, NULL);
}

static int run(int argc, char **argv)
{
    testing t = {0};
    const char *value;
    tl_device *device = NULL;
    bool json = false;
    int threads = 0, letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_selftest, argc, argv, &value, &code)) > 0) {
        json |= letter == CLI_JSON;
        if (letter == CLI_THREADS && !cli_option_int(&cli_selftest, "threads", value, 1, 1024, &threads))
            return CLI_USAGE;
    }
    if (letter < 0)
        return code;
    if (argc - optind != 1)
        return cli_usage("selftest", "which device? 'tl devices' lists them");
    tl_context *context = cli_context_create();
    if (!context)
        return CLI_FAILED;
    cli_catch_signals();
    code = cli_device_open(context, &(cli_device_request){.name = argv[optind], .threads = threads}, &device);
    t.lines = json ? json_array() : NULL;
    if (code == CLI_DONE)
        code = test(&t, context, device);
    json_decref(t.lines);
    tl_device_close(device);
    tl_context_destroy(context);
    return code;
}

const cli_verb cli_selftest = {
    .name = "selftest",
    .usage = "[OPTION]... DEVICE",
    .summary = "Compares every operation on a device with the CPU backend.",
    .details = "A line for each operation. worst: the largest error, with what rounding may cause as its unit; above 1\n"
               "it is WRONG. What the device does not do is on the CPU, in training as here. Exit code 1: something is\n"
               "wrong.\n",
    .options = options,
    .run = run,
};
