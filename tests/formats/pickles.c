#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "pickles.h"

void text(struct bytes *b, const char *value) {
    put_text(b, "X");
    put_le(b, strlen(value), 4);
    put_text(b, value);
}

void integer(struct bytes *b, int32_t value) {
    put_text(b, "J");
    put_le(b, (uint32_t)value, 4);
}

static void integers(struct bytes *b, const int32_t *values, int count) {
    put_text(b, "(");
    for (int i = 0; i < count; i++)
        integer(b, values[i]);
    put_text(b, "t");
}

static void storage(struct bytes *b, const char *type, const char *key, int32_t count, const int32_t view[2]) {
    put_text(b, "(");
    text(b, "storage");
    put_text(b, "c");
    put_text(b, type);
    put_text(b, "\n");
    text(b, key);
    text(b, "cpu");
    integer(b, count);
    if (view) {
        put_text(b, "(");
        text(b, "view");
        integer(b, view[0]);
        integer(b, view[1]);
        put_text(b, "t");
    }
    put_text(b, "tQ");
}

void arguments(struct bytes *b, const struct tensor *t) {
    storage(b, t->type, t->key, t->elements, t->view);
    integer(b, t->offset);
    integers(b, t->shape, t->rank);
    integers(b, t->strides, t->rank);
}

void rebuild(struct bytes *b, const struct tensor *t) {
    put_text(b, "ctorch._utils\n_rebuild_tensor_v2\n(");
    arguments(b, t);
    put_text(b, "\x89"
                "ccollections\nOrderedDict\n)RtR");
}

const struct tensor four = {"torch\nFloatStorage", "7", 6, 2, 1, {4}, {1}, NULL};
const float four_values[4] = {3, 4, 5, 6};

void begin(struct bytes *b) {
    put(b, "\x80\x02", 2);
}

static bool mentions(const struct bytes *b, const char *word) {
    for (size_t i = 0; i + strlen(word) <= b->size; i++)
        if (memcmp(b->data + i, word, strlen(word)) == 0)
            return true;
    return false;
}

void legacy(struct bytes *file, struct bytes *object) {
    bool stored = mentions(object, "storage");
    put(file, "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.", 15);
    put(file, "\x80\x02M\xe9\x03.", 6);
    put(file, "\x80\x02}", 3);
    text(file, "little_endian");
    put(file, "\x88s.", 3);
    put(file, object->data, object->size);
    put(file, "\x80\x02]", 3);
    if (stored) {
        text(file, "7");
        put_text(file, "a");
    }
    put_text(file, ".");
    if (stored)
        put_le(file, 6, 8);
    for (int i = 1; i <= 6 && stored; i++) {
        float value = (float)i;
        put(file, &value, sizeof value);
    }
    free(object->data);
    *object = (struct bytes){0};
}

void named(struct bytes *b, const char *name) {
    text(b, name);
    rebuild(b, &four);
}

tl__archive *open_object(tl_context *context, struct bytes *object, tl_status *status) {
    struct bytes file = {0};
    legacy(&file, object);
    return open_bytes(context, &file, status);
}

tl__archive *open_good(tl_context *context, struct bytes *object) {
    tl_status status;
    tl__archive *archive = open_object(context, object, &status);
    if (!archive)
        fail_msg("%s", tl_context_message(context));
    return archive;
}

void refuse(tl_context *context, struct bytes *object, const char *says) {
    tl_status status;
    assert_null(open_object(context, object, &status));
    assert_true(status == TL_ERROR_FORMAT || status == TL_ERROR_LIMIT);
    if (!strstr(tl_context_message(context), says))
        fail_msg("not \"%s\": %s", says, tl_context_message(context));
}

