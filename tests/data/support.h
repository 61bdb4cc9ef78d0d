/* What the tests of data share: temporary folders, files, an allocator that fails when asked, messages that are kept.
 */
#ifndef TEST_SUPPORT_H
#define TEST_SUPPORT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <tl/context.h>
#include <tl/dataset.h>

/* A folder of our own under TMPDIR; remove takes it away with all that is in it. */
char *folder_create(void);
void folder_remove(char *folder);

/* "folder/name", to be freed. */
char *join(const char *folder, const char *name);

/* Writes folder/name, making the folders in between. */
void file_write(const char *folder, const char *name, const void *data, size_t size);
void file_touch(const char *folder, const char *name);

/* Counts what is allocated; the allocation number `fail_at` (from 1) and all after it fail; 0: none. Thread-safe. */
typedef struct counting {
    long allocations, live, fail_at;
    char logged[2048];
    int log_lines;
    bool cancel;
    int cancel_questions;
} counting;

/* A context that uses it. */
tl_context *counting_context(counting *state);

/* What most tests of data sets begin with: a folder and a context, which must have given everything back in the end. */
typedef struct data_fixture {
    char *folder;
    tl_context *context;
    counting state;
    tl_masks_options options; /* four classes */
} data_fixture;
int data_set_up(void **out);
int data_tear_down(void **in);

#endif
