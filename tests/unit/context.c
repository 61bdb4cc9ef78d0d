/* context.c: statuses, contexts, messages, memory. */
#include <config.h>

#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tl/tl.h>

typedef struct watched {
    long live, calls, fail_at;
    int odd; /* calls against the rules of the allocator */
    char log[1024];
    bool cancel;
} watched;

static void *counted_allocate(void *user, size_t bytes, size_t alignment) {
    watched *w = user;
    void *memory = NULL;
    w->odd += bytes == 0 || alignment < sizeof(void *) || (alignment & (alignment - 1)) != 0;
    if (++w->calls == w->fail_at || posix_memalign(&memory, alignment, bytes) != 0)
        return NULL;
    w->live++;
    return memset(memory, 0xa5, bytes);
}

static void counted_release(void *user, void *memory) {
    watched *w = user;
    w->odd += memory == NULL;
    w->live--;
    free(memory);
}

static void keep_log(void *user, tl_log_level level, const char *text) {
    watched *w = user;
    size_t used = strlen(w->log);
    snprintf(w->log + used, sizeof w->log - used, "%d %s\n", (int)level, text);
}

static bool cancelled(void *user) {
    return ((watched *)user)->cancel;
}

static tl_context_options watching(watched *w, tl_log_level level) {
    return (tl_context_options){
        .size = sizeof(tl_context_options),
        .user = w,
        .allocate = counted_allocate,
        .release = counted_release,
        .log = keep_log,
        .log_level = level,
        .cancelled = cancelled,
        .backend_path = "/nowhere",
    };
}

static tl_context *watch(watched *w, tl_log_level level) {
    tl_context_options options = watching(w, level);
    tl_context *context = NULL;
    assert_int_equal(tl_context_create(&options, &context), TL_OK);
    return context;
}

static void statuses(void **state) {
    (void)state;
    assert_string_equal(tl_status_text(TL_OK), "success");
    for (int status = 0; status >= -16; status--) {
        assert_string_not_equal(tl_status_text((tl_status)status), "unknown status");
        for (int other = status + 1; other <= 0; other++)
            assert_string_not_equal(tl_status_text((tl_status)status), tl_status_text((tl_status)other));
    }
    assert_string_equal(tl_status_text((tl_status)1), "unknown status");
    assert_string_equal(tl_status_text((tl_status)-1000), "unknown status");
}

static void versions(void **state) {
    (void)state;
    char text[32];
    snprintf(text, sizeof text, "%d.%d.%d", TL_VERSION_MAJOR, TL_VERSION_MINOR, TL_VERSION_PATCH);
    assert_string_equal(TL_VERSION, text);
    assert_string_equal(tl_version(), text);
    assert_string_equal(PACKAGE_VERSION, text);
}

static void bad_options(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = NULL;
    tl_context_options options = watching(&w, TL_LOG_ERROR);
    assert_int_equal(tl_context_create(NULL, NULL), TL_ERROR_ARGUMENT);
    options.size = 0;
    assert_int_equal(tl_context_create(&options, &context), TL_ERROR_ARGUMENT);
    options = watching(&w, TL_LOG_ERROR);
    options.release = NULL;
    assert_int_equal(tl_context_create(&options, &context), TL_ERROR_ARGUMENT);
    options = watching(&w, TL_LOG_ERROR);
    options.allocate = NULL;
    assert_int_equal(tl_context_create(&options, &context), TL_ERROR_ARGUMENT);
    assert_null(context);
    assert_int_equal(w.calls, 0);
}

/* What a shorter structure does not cover is as if it were zero. */
static void older_options(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = NULL;
    tl_context_options options = watching(&w, TL_LOG_DEBUG);
    options.size = offsetof(tl_context_options, log);
    assert_int_equal(tl_context_create(&options, &context), TL_OK);
    tl__log(context, TL_LOG_ERROR, "nobody hears this");
    w.cancel = true;
    assert_false(tl__cancelled(context));
    assert_string_equal(w.log, "");
    assert_int_equal(w.live, 1);
    tl_context_destroy(context);
    assert_int_equal(w.live, 0);
    tl_context_destroy(NULL);
}

static void creation_without_memory(void **state) {
    (void)state;
    for (long n = 1; n <= 2; n++) {
        watched w = {.fail_at = n};
        tl_context *context = NULL;
        tl_context_options options = watching(&w, TL_LOG_ERROR);
        assert_int_equal(tl_context_create(&options, &context), TL_ERROR_MEMORY);
        assert_null(context);
        assert_int_equal(w.live, 0);
    }
}

static void messages(void **state) {
    (void)state;
    tl_context *context = plain_context();
    assert_string_equal(tl_context_message(NULL), "");
    assert_string_equal(tl_context_message(context), "");
    assert_int_equal(tl__fail(context, TL_ERROR_IO, "%s: line %d", "a.png", 7), TL_ERROR_IO);
    assert_string_equal(tl_context_message(context), "a.png: line 7");
    assert_int_equal(tl__fail_at(context, TL_ERROR_FORMAT, "%s/%d", "layer4", 2), TL_ERROR_FORMAT);
    assert_string_equal(tl_context_message(context), "layer4/2: a.png: line 7");
    tl__fail(context, TL_ERROR_IO, "two\nlines\tand \x1b[31mred\x7f");
    assert_string_equal(tl_context_message(context), "two lines and  [31mred ");
    tl__fail(context, TL_ERROR_IO, "na\xc3\xafve %%");
    assert_string_equal(tl_context_message(context), "na\xc3\xafve %");
    tl_context_destroy(context);
}

static void long_messages(void **state) {
    (void)state;
    char text[4000];
    tl_context *context = plain_context();
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    tl__fail(context, TL_ERROR_IO, "%s", text);
    assert_int_equal(strlen(tl_context_message(context)), 1023);
    tl__fail_at(context, TL_ERROR_IO, "where");
    assert_int_equal(strncmp(tl_context_message(context), "where: xxx", 10), 0);
    assert_int_equal(strlen(tl_context_message(context)), 1023);
    tl__fail_at(context, TL_ERROR_IO, "%s", text);
    assert_int_equal(strlen(tl_context_message(context)), 1023);
    tl_context_destroy(context);
}

static void log_levels(void **state) {
    (void)state;
    static const char *const expected[] = {"0 e\n", "0 e\n1 w\n", "0 e\n1 w\n2 i\n", "0 e\n1 w\n2 i\n3 d\n"};
    for (int level = TL_LOG_ERROR; level <= TL_LOG_DEBUG; level++) {
        watched w = {0};
        tl_context *context = watch(&w, (tl_log_level)level);
        tl__log(context, TL_LOG_ERROR, "%s", "e");
        tl__log(context, TL_LOG_WARNING, "w");
        tl__log(context, TL_LOG_INFO, "i");
        tl__log(context, TL_LOG_DEBUG, "d");
        assert_string_equal(w.log, expected[level]);
        assert_string_equal(tl_context_message(context), "");
        tl_context_destroy(context);
    }
}

static void log_lines(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = watch(&w, TL_LOG_ERROR);
    tl__log(context, TL_LOG_ERROR, "a\nb");
    assert_string_equal(w.log, "0 a b\n");
    tl_context_destroy(context);
}

static void cancelling(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = watch(&w, TL_LOG_ERROR);
    assert_false(tl__cancelled(context));
    w.cancel = true;
    assert_true(tl__cancelled(context));
    tl_context_destroy(context);
}

static void children(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = watch(&w, TL_LOG_DEBUG), *child = NULL;
    long before = w.live;
    assert_int_equal(tl__context_create_child(context, &child), TL_OK);
    assert_true(w.live > before);
    w.cancel = true;
    tl__log(child, TL_LOG_ERROR, "from the child");
    assert_false(tl__cancelled(child));
    tl__fail(child, TL_ERROR_IO, "the child's");
    assert_string_equal(w.log, "");
    assert_string_equal(tl_context_message(context), "");
    assert_string_equal(tl_context_message(child), "the child's");
    void *memory = tl__alloc(child, 10);
    assert_non_null(memory);
    tl__free(context, memory);
    tl_context_destroy(child);
    assert_int_equal(w.live, before);
    tl_context_destroy(context);
    assert_int_equal(w.live, 0);
    assert_int_equal(w.odd, 0);
}

static void memory(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = watch(&w, TL_LOG_ERROR);
    void *none = tl__alloc(context, 0);
    uint8_t *some = tl__alloc(context, 100);
    assert_non_null(none);
    assert_int_equal((uintptr_t)some % 64, 0);
    memset(some, 7, 100);
    some = tl__realloc(context, some, 100, 1000);
    assert_true(some[0] == 7 && some[99] == 7);
    some = tl__realloc(context, some, 1000, 10);
    assert_int_equal(some[9], 7);
    uint32_t *zeros = tl__calloc(context, 50, sizeof *zeros);
    for (int i = 0; i < 50; i++)
        assert_int_equal(zeros[i], 0);
    char *copy = tl__strdup(context, "text"), *made = tl__printf(context, "%s-%05d", copy, 42);
    assert_string_equal(made, "text-00042");
    tl__free(context, NULL);
    tl__free(context, none);
    tl__free(context, some);
    tl__free(context, zeros);
    tl__free(context, copy);
    tl__free(context, made);
    tl_context_destroy(context);
    assert_int_equal(w.live, 0);
    assert_int_equal(w.odd, 0);
}

static void growing(void **state) {
    (void)state;
    tl_context *context = plain_context();
    void *array = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(tl__grow(context, &array, &capacity, i, sizeof i), TL_OK);
        assert_true(capacity > i);
        ((uint32_t *)array)[i] = i;
    }
    for (uint32_t i = 0; i < 1000; i++)
        assert_int_equal(((uint32_t *)array)[i], i);
    size_t huge = SIZE_MAX / 4;
    void *untouched = array;
    assert_int_equal(tl__grow(context, &array, &huge, huge, 64), TL_ERROR_MEMORY);
    assert_ptr_equal(array, untouched);
    assert_int_equal(huge, SIZE_MAX / 4);
    tl__free(context, array);
    tl_context_destroy(context);
}

static void no_memory(void **state) {
    (void)state;
    watched w = {0};
    tl_context *context = watch(&w, TL_LOG_ERROR);
    void *array = NULL, *kept = tl__alloc(context, 8);
    size_t capacity = 0;
#define FAILS(call)                                                                   \
    do {                                                                              \
        tl__fail(context, TL_ERROR_IO, "something else");                             \
        w.fail_at = w.calls + 1;                                                      \
        assert_true(call);                                                            \
        assert_non_null(strstr(tl_context_message(context), "out of memory: "));      \
    } while (0)
    FAILS(tl__alloc(context, 123) == NULL);
    assert_string_equal(tl_context_message(context), "out of memory: 123 bytes");
    FAILS(tl__calloc(context, 3, 7) == NULL);
    FAILS(tl__realloc(context, kept, 8, 16) == NULL);
    FAILS(tl__strdup(context, "text") == NULL);
    FAILS(tl__printf(context, "%d", 1) == NULL);
    FAILS(tl__grow(context, &array, &capacity, 0, 4) == TL_ERROR_MEMORY);
    w.fail_at = 0;
    long calls = w.calls;
    assert_null(tl__calloc(context, SIZE_MAX / 2, 3));
    assert_int_equal(w.calls, calls); /* the product was seen to overflow */
    assert_null(array);
    assert_int_equal(capacity, 0);
    tl__free(context, kept);
    tl_context_destroy(context);
    assert_int_equal(w.live, 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(statuses),
        cmocka_unit_test(versions),
        cmocka_unit_test(bad_options),
        cmocka_unit_test(older_options),
        cmocka_unit_test(creation_without_memory),
        cmocka_unit_test(messages),
        cmocka_unit_test(long_messages),
        cmocka_unit_test(log_levels),
        cmocka_unit_test(log_lines),
        cmocka_unit_test(cancelling),
        cmocka_unit_test(children),
        cmocka_unit_test(memory),
        cmocka_unit_test(growing),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
