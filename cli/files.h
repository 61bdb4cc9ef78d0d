/* cli/files.h: writing files so that each is whole or not there, and folders. */
#ifndef CLI_FILES_H
#define CLI_FILES_H

#include <stdio.h>

#include "cli/term.h"

typedef struct cli_file {
    FILE *stream; /* write here; failures are found by commit */
    char *path, *temporary;
} cli_file;

/* A new file beside `path`, which takes its name on commit. Both say what went wrong and return false then; commit
 * also ends the file, and abandon does nothing else. */
bool cli_file_create(cli_file *file, const char *path);
bool cli_file_commit(cli_file *file);
void cli_file_abandon(cli_file *file);
bool cli_file_write(const char *path, const char *text); /* all of the above at once */

/* Makes a folder and those above it; those that were made are counted in *made, so that they can be taken away with
 * cli_folder_remove, innermost first, as far as they are empty. False after saying why. */
bool cli_folder_make(const char *path, int *made);
void cli_folder_remove(const char *path, int made);

/* 1: there is something in the folder (or it is no folder), 0: it is empty, or there is none. */
int cli_folder_used(const char *path);

/* Says so and returns false where the file system of `path` (its nearest existing folder) has less room. */
bool cli_room_for(const char *path, uint64_t bytes);

#endif
