/* tl devices */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"

static const cli_option options[] = {
    {CLI_JSON, "json", NULL, "one JSON object"},
    {0, NULL, NULL, NULL},
};

typedef struct listing {
    json_t *devices, *remarks; /* NULL: print */
    char *taken;               /* the device that auto takes; NULL: none */
    char *others;              /* a line for each that it does not take */
} listing;

static json_t *json_device(const tl_device_info *info)
{
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
    json_object_set_new(object, "auto", json_boolean(info->automatic));
    json_object_set_new(object, "why_not_auto", cli_json_text(info->why_not));
    return object;
}

static void note_choice(listing *list, const tl_device_info *info)
{
    if (info->automatic)
        list->taken = cli_copy(info->name);
    if (!*info->why_not)
        return;
    char *more = cli_format("%s  not %s: %s\n", list->others ? list->others : "", info->name, info->why_not);
    free(list->others);
    list->others = more;
}

static bool each(void *user, const tl_device_info *info)
{
    listing *list = user;
    bool remark = !strcmp(info->kind, "remark");
    note_choice(list, info);
    if (list->devices && remark) {
        json_t *object = json_object();
        json_object_set_new(object, "backend", cli_json_text(info->backend));
        json_object_set_new(object, "note", cli_json_text(info->note));
        json_array_append_new(list->remarks, object);
        return true;
    }
    if (list->devices) {
        json_array_append_new(list->devices, json_device(info));
        return true;
    }
    if (remark) {
        cli_print("%-10s  %s\n", info->name, info->note);
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
    if (json) {
        list.devices = json_array();
        list.remarks = json_array();
    }
    tl_status status = tl_device_list(context, each, &list);
    if (status != TL_OK)
        code = cli_failed(context, status, NULL);
    if (json) {
        json_t *object = json_object();
        json_object_set_new(object, "devices", list.devices);
        json_object_set_new(object, "remarks", list.remarks);
        json_object_set_new(object, "auto", list.taken ? cli_json_text(list.taken) : json_null());
        if (code == CLI_DONE)
            cli_json_print(object);
        else
            json_decref(object);
    } else if (code == CLI_DONE) {
        cli_print("\nauto takes %s\n%s", list.taken ? list.taken : "none of them", list.others ? list.others : "");
    }
    free(list.taken);
    free(list.others);
    tl_context_destroy(context);
    return code;
}

const cli_verb cli_devices = {
    .name = "devices",
    .usage = "[OPTION]...",
    .summary = "Lists the devices that libtl can compute on, best first, and why others cannot be used.",
    .details = "Names are for --device and [device] device. Below them: what backends have to say besides, such as a\n"
               "missing driver, and which device 'auto' takes.\n",
    .options = options,
    .run = run,
};
