/* registry.c: which backends are found, which are refused, in which order and with which words. */
#include "tests/plugin/harness.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *folder;

static int set_up(void **state) {
    (void)state;
    unsetenv("TL_BACKEND_PATH");
    folder = folder_create();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    environment_reset();
    folder_remove(folder);
    return 0;
}

/* ---- where backends come from ---- */

static void builtin_alone(void **state) {
    (void)state;
    environment_set("TL_BACKEND_PATH", folder);
    folder_add(folder, "fake");
    watched *w = watch("");
    assert_string_equal(device_names(w), "cpu");
    unwatch(w);
}

static void from_the_context(void **state) {
    (void)state;
    folder_add(folder, "fake");
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu fake:0");
    assert_not_logged(w, "warning");
    unwatch(w);
}

static void from_the_environment(void **state) {
    (void)state;
    folder_add(folder, "fake");
    environment_set("TL_BACKEND_PATH", folder);
    watched *w = watch(NULL);
    assert_string_equal(device_names(w), "cpu fake:0");
    unwatch(w);
}

static void files_in_order(void **state) {
    (void)state;
    folder_add(folder, "zz");
    folder_add(folder, "b");
    folder_add(folder, "b2");
    folder_add(folder, "a");
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu a:0 b:0 b2:0 zz:0");
    unwatch(w);
}

static void folders_in_order(void **state) {
    (void)state;
    const char *second = folder_create();
    char path[1200];
    folder_add(folder, "z");
    folder_add(second, "a");
    snprintf(path, sizeof path, "::%s::%s:", folder, second);
    watched *w = watch(path);
    assert_string_equal(device_names(w), "cpu z:0 a:0");
    assert_not_logged(w, "warning");
    unwatch(w);
    folder_remove(second);
}

static void other_files_are_left_alone(void **state) {
    (void)state;
    folder_write(folder, "README", "not a library");
    folder_write(folder, ".hidden.so", "not a library");
    folder_write(folder, "old.so.1", "not a library");
    folder_write(folder, ".so", "not a library");
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu");
    assert_not_logged(w, "warning");
    unwatch(w);
}

static void relative_folders(void **state) {
    (void)state;
    char path[600];
    folder_add(folder, "fake");
    snprintf(path, sizeof path, "backends:./here:%s", folder);
    watched *w = watch(path);
    assert_string_equal(device_names(w), "cpu fake:0");
    assert_logged(w, "warning: backends: not searched for backends: not an absolute path\n");
    assert_logged(w, "warning: ./here: not searched");
    unwatch(w);
}

static void missing_folder(void **state) {
    (void)state;
    char path[600], text[700];
    snprintf(path, sizeof path, "%s/none", folder);
    snprintf(text, sizeof text, "warning: %s: not searched for backends: No such file", path);
    watched *w = watch(path);
    assert_string_equal(device_names(w), "cpu");
    assert_logged(w, text);
    unwatch(w);
}

static void cpu_loads_no_plugin(void **state) {
    (void)state;
    folder_write(folder, "junk.so", "not a library");
    watched *w = watch(folder);
    tl_device_close(open_device(w, "cpu"));
    assert_not_logged(w, "warning");
    unwatch(w);
}

/* ---- what is refused ---- */

static void refused(const char *file, const char *reason) {
    char text[1024];
    snprintf(text, sizeof text, "warning: %s/%s: backend not loaded: %s", folder, file, reason);
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu good:0");
    assert_string_equal(device_names(w), "cpu good:0");
    assert_logged(w, text);
    assert_int_equal(times_logged(w, "warning"), 1);
    unwatch(w);
}

static void bad_tables(void **state) {
    (void)state;
    static const struct {
        const char *entry, *reason;
    } cases[] = {
        {"null", "it does not work with version 1 of the backend interface\n"},
        {"why", "it does not work with version 1 of the backend interface: it wants a newer libtl, on demand\n"},
        {"abi", "it is for version 2 of the backend interface, libtl " TL_VERSION " has 1\n"},
        {"tiny", "its table has 4 bytes, 48 are needed\n"},
        {"short", "its table has 40 bytes, 48 are needed\n"},
        {"moving", "it gives another table each time it is asked\n"},
        {"noname", "its name \"\" is not one"},
        {"badname", "its name \"Fake-1\" is not one"},
        {"noprobe", "its table lacks probe\n"},
        {"noopen", "its table lacks open\n"},
    };
    folder_add(folder, "fake");
    folder_add(folder, "good");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        environment_set("TL_FAKE_ENTRY", cases[i].entry);
        refused("fake.so", cases[i].reason);
    }
}

static void longer_tables(void **state) {
    (void)state;
    folder_add(folder, "fake");
    environment_set("TL_FAKE_ENTRY", "long");
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu fake:0");
    tl_device_close(open_device(w, "fake"));
    unwatch(w);
}

static void bad_names(void **state) {
    (void)state;
    folder_add(folder, "good");
    folder_add(folder, "auto");
    refused("auto.so", "its name \"auto\" is not one");
    folder_remove(folder);
    folder = folder_create();
    folder_add(folder, "good");
    folder_add(folder, "a23456789012345678901234567890123");
    refused("a23456789012345678901234567890123.so", "its name");
}

static void not_libraries(void **state) {
    (void)state;
    folder_add(folder, "good");
    folder_write(folder, "junk.so", "not a library");
    refused("junk.so", "");
}

static void no_entry(void **state) {
    (void)state;
    Dl_info info;
    assert_int_not_equal(dladdr((void *)(uintptr_t)_cmocka_run_group_tests, &info), 0);
    folder_add(folder, "good");
    folder_copy(folder, "plain.so", info.dli_fname);
    refused("plain.so", "it has no tl_backend_entry\n");
}

static void not_readable(void **state) {
    (void)state;
    char path[600];
    folder_add(folder, "good");
    snprintf(path, sizeof path, "%s/loop.so", folder);
    assert_int_equal(symlink("loop.so", path), 0);
    refused("loop.so", "");
}

static void same_name_twice(void **state) {
    (void)state;
    const char *second = folder_create();
    char path[1200], text[1600];
    folder_add(folder, "good");
    folder_add(second, "good");
    snprintf(path, sizeof path, "%s:%s", folder, second);
    snprintf(text, sizeof text,
             "warning: %s/good.so: backend not loaded: there is a backend \"good\" already (%s/good.so)\n", second,
             folder);
    watched *w = watch(path);
    assert_string_equal(device_names(w), "cpu good:0");
    assert_logged(w, text);
    unwatch(w);
    folder_remove(second);
}

static void builtins_stay(void **state) {
    (void)state;
    folder_add(folder, "good");
    folder_add(folder, "cpu");
    refused("cpu.so", "there is a backend \"cpu\" already (built in)\n");
}

/* ---- what a backend says of its devices ---- */

static void several_devices(void **state) {
    (void)state;
    folder_add(folder, "fake");
    environment_set("TL_FAKE_DEVICES", "12");
    environment_set("TL_FAKE_UNUSABLE", "1");
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu fake:0 fake:2 fake:3 fake:4 fake:5 fake:6 fake:7 fake:8 fake:9 fake:10 "
                                         "fake:11 [fake:1]");
    unwatch(w);
}

static void no_devices(void **state) {
    (void)state;
    folder_add(folder, "fake");
    environment_set("TL_FAKE_DEVICES", "0");
    tl_device *device = (tl_device *)folder;
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "cpu");
    assert_int_equal(tl_device_open(w->context, "fake", NULL, &device), TL_ERROR_NOT_FOUND);
    assert_ptr_equal(device, folder);
    assert_message(w, "no device \"fake\"; there is: cpu");
    unwatch(w);
}

typedef struct choices {
    char text[1024]; /* "cpu! fake:0 (reason)": what auto takes, and why not the others */
} choices;

static bool choose(void *user, const tl_device_info *info) {
    choices *c = user;
    size_t used = strlen(c->text);
    assert_true(!info->automatic || !*info->why_not);
    const char *mark = info->automatic ? "!" : strcmp(info->kind, "remark") == 0 ? "?" : "";
    snprintf(c->text + used, sizeof c->text - used, "%s%s%s (%s)", used ? " " : "", info->name, mark,
             *info->why_not ? info->why_not : info->note);
    return true;
}

static void assert_choices(const char *text) {
    choices c = {""};
    watched *w = watch(folder);
    assert_int_equal(tl_device_list(w->context, choose, &c), TL_OK);
    assert_string_equal(c.text, text);
    unwatch(w);
}

/* What auto takes and why not the others; what a backend says that has no device, or one more that is none. */
static void choices_are_explained(void **state) {
    (void)state;
    folder_add(folder, "fake");
    assert_choices("cpu! () fake:0 (libtl's own CPU backend comes before all but GPUs)");
    environment_set("TL_FAKE_KIND", "gpu");
    environment_set("TL_FAKE_DEVICES", "3");
    environment_set("TL_FAKE_UNUSABLE", "0");
    assert_choices("fake:1! () fake:2 (another one comes before it) cpu (a GPU comes first) "
                   "fake:0 (it cannot be used)");
    folder_add(folder, "gpu2");
    environment_set("TL_GPU2_KIND", "gpu");
    environment_set("TL_GPU2_PRIORITY", "-1");
    assert_choices("fake:1! () fake:2 (another one comes before it) gpu2:0 (its backend has a lower priority) "
                   "cpu (a GPU comes first) fake:0 (it cannot be used)");
}

static void remarks(void **state) {
    (void)state;
    static const char *const devices[] = {"0", "1", "8", "9"}; /* 8: as many as libtl asks for at first */
    folder_add(folder, "fake");
    environment_set("TL_FAKE_REMARK", "no driver is installed");
    for (size_t i = 0; i < sizeof devices / sizeof devices[0]; i++) {
        char names[256] = "cpu", message[256];
        environment_set("TL_FAKE_DEVICES", devices[i]);
        for (int k = 0; k < atoi(devices[i]); k++)
            snprintf(names + strlen(names), sizeof names - strlen(names), " fake:%d", k);
        snprintf(names + strlen(names), sizeof names - strlen(names), " [fake]");
        watched *w = watch(folder);
        assert_string_equal(device_names(w), names);
        tl_device *device = NULL;
        snprintf(message, sizeof message, "fake:%s", devices[i]);
        assert_int_equal(tl_device_open(w->context, message, NULL, &device), TL_ERROR_NOT_FOUND);
        assert_message(w, "; fake: no driver is installed");
        assert_int_equal(tl_device_open(w->context, NULL, NULL, &device), TL_OK);
        assert_string_equal(tl_device_name(device), "cpu");
        assert_logged(w, "info: fake: no driver is installed\n");
        assert_not_logged(w, "warning");
        tl_device_close(device);
        unwatch(w);
    }
    environment_set("TL_FAKE_DEVICES", "0");
    assert_choices("cpu! () fake? (no driver is installed)");
    watched *w = watch(folder);
    tl_device *device = NULL;
    assert_int_equal(tl_device_open(w->context, "fake", NULL, &device), TL_ERROR_DEVICE);
    assert_message(w, "fake cannot be used: no driver is installed");
    unwatch(w);
}

static void failing_probes(void **state) {
    (void)state;
    static const struct {
        const char *probe, *text;
    } cases[] = {
        {"fail", "warning: fake: no driver, on demand\n"},
        {"silent", "warning: fake: probe: input/output error\n"},
        {"endless", "warning: fake: probe speaks of"},
    };
    folder_add(folder, "fake");
    folder_add(folder, "good");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        environment_set("TL_FAKE_PROBE", cases[i].probe);
        watched *w = watch(folder);
        assert_string_equal(device_names(w), "cpu good:0");
        assert_logged(w, cases[i].text);
        assert_string_equal(tl_context_message(w->context), "");
        unwatch(w);
    }
}

typedef struct seen {
    char kind[16];
    size_t name_length;
    int count;
} seen;

static bool look(void *user, const tl_device_info *info) {
    seen *s = user;
    if (strcmp(info->backend, "fake") == 0) {
        snprintf(s->kind, sizeof s->kind, "%s", info->kind);
        s->name_length = strlen(info->description);
        assert_string_equal(info->version, "1.0");
    }
    s->count++;
    return s->count < 2;
}

static void odd_descriptions(void **state) {
    (void)state;
    seen s = {0};
    folder_add(folder, "fake");
    folder_add(folder, "later");
    environment_set("TL_FAKE_PROBE", "odd");
    watched *w = watch(folder);
    assert_int_equal(tl_device_list(w->context, look, &s), TL_OK);
    assert_int_equal(s.count, 2); /* the callback ended it */
    assert_string_equal(s.kind, "other");
    assert_int_equal(s.name_length, 127);
    unwatch(w);
}

static void best_first(void **state) {
    (void)state;
    folder_add(folder, "gpu1");
    folder_add(folder, "gpu2");
    folder_add(folder, "npu");
    folder_add(folder, "slow");
    environment_set("TL_GPU1_KIND", "gpu");
    environment_set("TL_GPU2_KIND", "gpu");
    environment_set("TL_GPU2_PRIORITY", "5");
    environment_set("TL_GPU2_DEVICES", "2");
    environment_set("TL_SLOW_KIND", "cpu");
    environment_set("TL_SLOW_PRIORITY", "100");
    environment_set("TL_GPU2_UNUSABLE", "0");
    watched *w = watch(folder);
    assert_string_equal(device_names(w), "gpu2:1 gpu1:0 cpu slow:0 npu:0 [gpu2:0]");
    unwatch(w);
}

/* ---- one library, several contexts ---- */

static void two_contexts(void **state) {
    (void)state;
    folder_add(folder, "fake");
    watched *first = watch(folder), *second = watch(folder);
    tl_device *a = open_device(first, "fake"), *b = open_device(second, "fake");
    tl_device_close(a);
    unwatch(first);
    assert_string_equal(tl_device_name(b), "fake:0");
    tl_device_close(b);
    unwatch(second);
}

static void out_of_memory(void **state) {
    (void)state;
    folder_add(folder, "fake");
    folder_add(folder, "fake2");
    tl_status status = TL_ERROR_MEMORY;
    for (long n = 1; status != TL_OK; n++) {
        tl_device *device = NULL;
        watched *w = watch(folder);
        w->fail_at = w->allocations + n;
        status = tl_device_open(w->context, "fake2", NULL, &device);
        if (status != TL_OK) {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_null(device);
            assert_message(w, "out of memory");
        }
        tl_device_close(device);
        unwatch(w);
        assert_true(n < 1000);
    }
}

static bool print_name(void *user, const tl_device_info *info) {
    (void)user;
    puts(info->name);
    return true;
}

/* What setuid.sh runs. */
static int list(void) {
    tl_context *context;
    if (getauxval(AT_SECURE))
        puts("secure");
    if (tl_context_create(NULL, &context) != TL_OK)
        return 1;
    tl_status status = tl_device_list(context, print_name, NULL);
    tl_context_destroy(context);
    return status == TL_OK ? 0 : 1;
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(int argc, char **argv) {
    static const struct CMUnitTest tests[] = {
        CASE(builtin_alone),
        CASE(from_the_context),
        CASE(from_the_environment),
        CASE(files_in_order),
        CASE(folders_in_order),
        CASE(other_files_are_left_alone),
        CASE(relative_folders),
        CASE(missing_folder),
        CASE(cpu_loads_no_plugin),
        CASE(bad_tables),
        CASE(longer_tables),
        CASE(bad_names),
        CASE(not_libraries),
        CASE(no_entry),
        CASE(not_readable),
        CASE(same_name_twice),
        CASE(builtins_stay),
        CASE(several_devices),
        CASE(no_devices),
        CASE(choices_are_explained),
        CASE(remarks),
        CASE(failing_probes),
        CASE(odd_descriptions),
        CASE(best_first),
        CASE(two_contexts),
        CASE(out_of_memory),
    };
    if (argc == 2 && strcmp(argv[1], "list") == 0)
        return list();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
