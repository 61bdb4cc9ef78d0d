/* plugin/harness.h: folders of backends, and contexts that remember what was logged and count memory. */
#ifndef PLUGIN_HARNESS_H
#define PLUGIN_HARNESS_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <tl/tl.h>

/* A fresh folder for plugins, "/tmp/....": its path stays until folder_remove, which takes the files along. */
const char *folder_create(void);
void folder_remove(const char *folder);
/* Puts a copy of the fake backend there; its name is the backend's. */
void folder_add(const char *folder, const char *name);
void folder_copy(const char *folder, const char *file, const char *from);
void folder_write(const char *folder, const char *file, const char *text);

/* Sets TL_<NAME>_<OPTION> and so on; environment_reset takes all that was set so back. */
void environment_set(const char *name, const char *value);
void environment_reset(void);

/* What a context said and holds. */
typedef struct watched {
    tl_context *context;
    char log[16384]; /* a line for each message: "warning: ..." */
    long live;       /* allocations not given back */
    long fail_at;    /* the allocation that fails, counting from 1; 0: none */
    long allocations;
} watched;

/* A context that searches `path` (NULL: the environment's) and nothing is missing from what it logs. */
watched *watch(const char *path);
/* Destroys it; all memory must be back. */
void unwatch(watched *w);

void assert_logged(const watched *w, const char *text);
void assert_not_logged(const watched *w, const char *text);
int times_logged(const watched *w, const char *text);
void assert_message(const watched *w, const char *text); /* the last failure's message contains it */

/* The names of the devices in order, separated by spaces; one that cannot be used is in brackets. */
const char *device_names(watched *w);

/* A ResNet-18 of four blocks and a sixteenth of its width, with random values. */
tl_status small_model(tl_context *context, int classes, tl_model **model);

/* Opens or fails the test. */
tl_device *open_device(watched *w, const char *name);

#endif
