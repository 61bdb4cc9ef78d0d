/* tl devices */
#include <unistd.h>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_JSON, "json", NULL, "one JSON object"},
    {0, NULL, NULL, NULL},
};

typedef struct listing {
    json_t *devices; /* NULL: print */
    size_t count;
} listing;

static bool each(void *user, const tl_device_info *info)
{
    listing *list = user;
    list->count++;
    if (list->devices) {
        json_t *object = json_object();
        json_object_set_new(object, "name", cli_json_text(info->name));
        json_object_set_new(object, "kind", cli_json_text(info->kind));
        json_object_set_new(object, "backend", cli_json_text(info->backend));
        json_object_set_new(object, "version", cli_json_text(info->version));
        json_object_set_new(object, "description", cli_json_text(info->description));
        json_object_set_new(object, "driver", cli_json_text(info->driver));
        json_object_set_new(object, "units", json_integer(info->units));
        json_object_set_new(object, "memory", json_integer((json_int_t)info->memory));
        json_object_set_new(object, "usable", json_boolean(info->usable));
        json_object_set_new(object, "note", cli_json_text(info->note));
        json_array_append_new(list->devices, object);
        return true;
    }
    cli_print("%-10s  %s\n", info->name, info->description);
    cli_print("%-10s  %s %s · %s · %u %s", "", info->backend, info->version, info->driver, info->units,
              info->kind && info->kind[0] == 'c' ? "threads" : "units");
    if (info->memory)
        cli_print(" · %s", cli_bytes(info->memory));
    cli_print("\n");
    if (!info->usable)
        cli_print("%-10s  cannot be used: %s\n", "", info->note);
    else if (info->note && *info->note)
        cli_print("%-10s  %s\n", "", info->note);
    return true;
}

static int run(int argc, char **argv)
{
    listing list = {0};
    const char *value;
    bool json = false;
    int letter, code = CLI_DONE;
    while ((letter = cli_next_option(&cli_devices, argc, argv, &value, &code)) > 0)
        json |= letter == CLI_JSON;
    if (letter < 0)
        return code;
    if (optind < argc)
        return cli_usage("devices", "%s: tl devices takes no operands", argv[optind]);
    tl_context *context = cli_context_create();
    if (!context)
        return CLI_FAILED;
    if (json)
        list.devices = json_array();
    tl_status status = tl_device_list(context, each, &list);
    if (status != TL_OK)
        code = cli_failed(context, status, NULL);
    if (json) {
        json_t *object = json_object();
        json_object_set_new(object, "devices", list.devices);
        if (code == CLI_DONE)
            cli_json_print(object);
        else
            json_decref(object);
    }
    tl_context_destroy(context);
    return code;
}

const cli_verb cli_devices = {
    .name = "devices",
    .usage = "[OPTION]...",
    .summary = "Lists the devices that libtl can compute on, best first, and why others cannot be used.",
    .details = "The first one is what 'auto' takes. Names are for --device and [device] device.\n",
    .options = options,
    .run = run,
};
