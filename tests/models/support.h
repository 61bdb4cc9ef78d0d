/* models/support.h: what the tests of networks share. */
#ifndef TL_TEST_MODELS_SUPPORT_H
#define TL_TEST_MODELS_SUPPORT_H

/* clang-format off: cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "models/models.h"

/* A context that keeps its messages. */
tl_context *context_create(void);
void context_destroy(tl_context *context);
const char *context_log(const tl_context *context); /* all of them, one a line */
void context_clear_log(tl_context *context);
/* The number of allocations from now on after which one fails; 0: none. */
void context_fail_after(tl_context *context, long allocations);
long context_blocks(const tl_context *context); /* that are not freed */

/* A file of the tests of formats: the network of small_model in many wrappings. */
const char *checkpoint(const char *name);
const char *temporary(const char *name); /* path in a folder that goes away at exit */

/* ResNet-18 with one block a stage, a sixteenth of its width, five classes. */
tl_model *small_model(tl_context *context);
tl_model *model_create(tl_context *context, const char *arch, int classes, tl_head head, double width);

float *read_all(tl_model *model, const char *name, int64_t *count); /* to be freed with free() */
/* All tensors of both are the same. */
bool same_values(tl_model *a, tl_model *b);
bool same_files(const char *a, const char *b); /* all bytes */

#define assert_ok(context, call)                                                              \
    do {                                                                                      \
        tl_status status__ = (call);                                                          \
        if (status__ != TL_OK)                                                                \
            fail_msg("%s: %s", tl_status_text(status__), tl_context_message(context));        \
    } while (0)

/* The call fails so, and the message has the text in it. */
#define assert_fails(context, call, status, text)                                             \
    do {                                                                                      \
        assert_int_equal(call, status);                                                       \
        if (!strstr(tl_context_message(context), text))                                       \
            fail_msg("no \"%s\" in: %s", text, tl_context_message(context));                  \
    } while (0)

#endif
