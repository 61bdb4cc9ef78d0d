#include "tests/plugin/harness.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- folders ---- */

static void join(char *path, size_t size, const char *folder, const char *file) {
    int length = snprintf(path, size, "%s/%s", folder, file);
    assert_true(length > 0 && (size_t)length < size);
}

const char *folder_create(void) {
    const char *top = getenv("TMPDIR");
    char path[512];
    snprintf(path, sizeof path, "%s/tl-plugin-XXXXXX", top && *top == '/' ? top : "/tmp");
    assert_non_null(mkdtemp(path));
    assert_int_equal(chmod(path, 0755), 0);
    return strdup(path);
}

void folder_remove(const char *folder) {
    DIR *stream = opendir(folder);
    char path[512];
    assert_non_null(stream);
    for (struct dirent *entry; (entry = readdir(stream));) {
        join(path, sizeof path, folder, entry->d_name);
        unlink(path);
    }
    closedir(stream);
    rmdir(folder);
    free((char *)folder);
}

void folder_copy(const char *folder, const char *file, const char *from) {
    char path[512], buffer[65536];
    join(path, sizeof path, folder, file);
    FILE *in = fopen(from, "rb"), *out = fopen(path, "wb");
    if (!in || !out)
        fail_msg("%s cannot be copied to %s", from, path);
    for (size_t bytes; (bytes = fread(buffer, 1, sizeof buffer, in)) > 0;)
        assert_int_equal(fwrite(buffer, 1, bytes, out), bytes);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

void folder_add(const char *folder, const char *name) {
    const char *build = getenv("TL_TEST_BUILD");
    char from[512], file[128];
    snprintf(from, sizeof from, "%s/tests/plugin/.libs/fake.so", build ? build : ".");
    snprintf(file, sizeof file, "%s.so", name);
    folder_copy(folder, file, from);
}

void folder_write(const char *folder, const char *file, const char *text) {
    char path[512];
    join(path, sizeof path, folder, file);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    fputs(text, out);
    assert_int_equal(fclose(out), 0);
}

/* ---- environment ---- */

static char names_set[32][64];
static int names_count;

void environment_set(const char *name, const char *value) {
    assert_true(names_count < 32);
    snprintf(names_set[names_count++], sizeof names_set[0], "%s", name);
    assert_int_equal(setenv(name, value, 1), 0);
}

void environment_reset(void) {
    while (names_count)
        unsetenv(names_set[--names_count]);
}

/* ---- contexts ---- */

static void *counted_allocate(void *user, size_t bytes, size_t alignment) {
    watched *w = user;
    void *memory = NULL;
    if (++w->allocations == w->fail_at || posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    memset(memory, 0xa5, bytes);
    w->live++;
    return memory;
}

static void counted_release(void *user, void *memory) {
    watched *w = user;
    w->live--;
    free(memory);
}

static void keep_log(void *user, tl_log_level level, const char *text) {
    static const char *const levels[] = {"error", "warning", "info", "debug"};
    watched *w = user;
    size_t used = strlen(w->log);
    snprintf(w->log + used, sizeof w->log - used, "%s: %s\n", levels[level], text);
}

watched *watch(const char *path) {
    watched *w = calloc(1, sizeof *w);
    assert_non_null(w);
    tl_context_options options = {
        .size = sizeof options,
        .user = w,
        .allocate = counted_allocate,
        .release = counted_release,
        .log = keep_log,
        .log_level = TL_LOG_DEBUG,
        .backend_path = path,
    };
    assert_int_equal(tl_context_create(&options, &w->context), TL_OK);
    return w;
}

void unwatch(watched *w) {
    tl_context_destroy(w->context);
    assert_int_equal(w->live, 0);
    free(w);
}

int times_logged(const watched *w, const char *text) {
    int times = 0;
    for (const char *c = w->log; (c = strstr(c, text)); c++)
        times++;
    return times;
}

void assert_logged(const watched *w, const char *text) {
    if (!strstr(w->log, text))
        fail_msg("not logged: %s\nbut:\n%s", text, w->log);
}

void assert_not_logged(const watched *w, const char *text) {
    if (strstr(w->log, text))
        fail_msg("logged: %s\nin:\n%s", text, w->log);
}

void assert_message(const watched *w, const char *text) {
    if (!strstr(tl_context_message(w->context), text))
        fail_msg("the message is not %s\nbut %s", text, tl_context_message(w->context));
}

/* ---- devices ---- */

static bool add_name(void *user, const tl_device_info *info) {
    char *names = user;
    size_t used = strlen(names);
    snprintf(names + used, 1024 - used, "%s%s%s%s", used ? " " : "", info->usable ? "" : "[", info->name,
             info->usable ? "" : "]");
    return true;
}

const char *device_names(watched *w) {
    static char names[1024];
    names[0] = '\0';
    assert_int_equal(tl_device_list(w->context, add_name, names), TL_OK);
    return names;
}

tl_device *open_device(watched *w, const char *name) {
    tl_device *device = NULL;
    tl_status status = tl_device_open(w->context, name, NULL, &device);
    if (status != TL_OK)
        fail_msg("%s does not open: %s", name, tl_context_message(w->context));
    assert_non_null(device);
    return device;
}

tl_status small_model(tl_context *context, int classes, tl_model **model) {
    static const int layers[4] = {1, 1, 1, 1};
    tl_model_options options;
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet18";
    options.classes = classes;
    options.layers = layers;
    options.width = 0.0625;
    return tl_model_create(context, &options, model);
}
