#include "support.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

char *join(const char *folder, const char *name) {
    size_t size = strlen(folder) + strlen(name) + 2;
    char *path = malloc(size);
    assert_non_null(path);
    snprintf(path, size, "%s/%s", folder, name);
    return path;
}

char *folder_create(void) {
    const char *base = getenv("TMPDIR");
    char *path = join(base && *base ? base : "/tmp", "libtl-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return path;
}

static void remove_below(const char *path) {
    struct stat st;
    if (lstat(path, &st) != 0)
        return;
    if (S_ISDIR(st.st_mode)) {
        chmod(path, 0700);
        DIR *stream = opendir(path);
        const struct dirent *entry;
        while (stream && (entry = readdir(stream)))
            if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
                char *below = join(path, entry->d_name);
                remove_below(below);
                free(below);
            }
        if (stream)
            closedir(stream);
    }
    remove(path);
}

void folder_remove(char *folder) {
    remove_below(folder);
    free(folder);
}

void file_write(const char *folder, const char *name, const void *data, size_t size) {
    char *path = join(folder, name);
    for (char *slash = path + strlen(folder); (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        mkdir(path, 0777);
        *slash = '/';
    }
    FILE *stream = fopen(path, "wb");
    assert_non_null(stream);
    assert_int_equal(fwrite(data, 1, size, stream), size);
    assert_int_equal(fclose(stream), 0);
    free(path);
}

void file_touch(const char *folder, const char *name) {
    file_write(folder, name, "", 0);
}

static void *allocate(void *user, size_t bytes, size_t alignment) {
    counting *state = user;
    long number = __atomic_add_fetch(&state->allocations, 1, __ATOMIC_RELAXED);
    long fail_at = __atomic_load_n(&state->fail_at, __ATOMIC_RELAXED);
    void *memory = NULL;
    if ((fail_at && number >= fail_at) || posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    __atomic_add_fetch(&state->live, 1, __ATOMIC_RELAXED);
    return memory;
}

static void release(void *user, void *memory) {
    counting *state = user;
    __atomic_sub_fetch(&state->live, 1, __ATOMIC_RELAXED);
    free(memory);
}

static void keep_log(void *user, tl_log_level level, const char *text) {
    counting *state = user;
    (void)level;
    state->log_lines++;
    snprintf(state->logged, sizeof state->logged, "%s", text);
}

static bool cancelled(void *user) {
    counting *state = user;
    state->cancel_questions++;
    return __atomic_load_n(&state->cancel, __ATOMIC_RELAXED);
}

tl_context *counting_context(counting *state) {
    memset(state, 0, sizeof *state);
    tl_context_options options = {
        .size = sizeof options,
        .user = state,
        .allocate = allocate,
        .release = release,
        .log = keep_log,
        .log_level = TL_LOG_DEBUG,
        .cancelled = cancelled,
    };
    tl_context *context;
    assert_int_equal(tl_context_create(&options, &context), TL_OK);
    return context;
}

int data_set_up(void **out) {
    data_fixture *f = calloc(1, sizeof *f);
    f->folder = folder_create();
    f->context = counting_context(&f->state);
    tl_masks_options_init(&f->options, sizeof f->options);
    f->options.class_count = 4;
    *out = f;
    return 0;
}

int data_tear_down(void **in) {
    data_fixture *f = *in;
    folder_remove(f->folder);
    tl_context_destroy(f->context);
    int leaked = f->state.live != 0;
    free(f);
    return leaked;
}
