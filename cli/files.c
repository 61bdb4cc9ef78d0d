#include "cli/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

bool cli_file_create(cli_file *file, const char *path)
{
    file->path = cli_copy(path);
    file->temporary = cli_format("%s.XXXXXX", path);
    file->stream = NULL;
    int handle = mkstemp(file->temporary);
    if (handle >= 0) {
        mode_t mask = umask(0);
        umask(mask);
        fchmod(handle, 0666 & ~mask);
        file->stream = fdopen(handle, "w");
    }
    if (file->stream)
        return true;
    cli_error("%s: %s", path, strerror(errno));
    if (handle >= 0) {
        close(handle);
        unlink(file->temporary);
    }
    free(file->path);
    free(file->temporary);
    return false;
}

void cli_file_abandon(cli_file *file)
{
    if (file->stream)
        fclose(file->stream);
    unlink(file->temporary);
    free(file->path);
    free(file->temporary);
}

bool cli_file_commit(cli_file *file)
{
    errno = 0;
    bool ok = fflush(file->stream) == 0 && !ferror(file->stream);
    int failure = errno;
    if (fclose(file->stream) != 0 && ok) {
        ok = false;
        failure = errno;
    }
    if (ok && rename(file->temporary, file->path) != 0) {
        ok = false;
        failure = errno;
    }
    if (!ok)
        cli_error("%s: %s", file->path, strerror(failure ? failure : EIO));
    file->stream = NULL;
    if (!ok) {
        cli_file_abandon(file);
        return false;
    }
    free(file->path);
    free(file->temporary);
    return true;
}

bool cli_file_write(const char *path, const char *text)
{
    cli_file file;
    if (!cli_file_create(&file, path))
        return false;
    fputs(text, file.stream);
    return cli_file_commit(&file);
}

bool cli_folder_make(const char *path, int *made)
{
    char *copy = cli_copy(path);
    bool ok = true;
    *made = 0;
    for (char *slash = copy; ok && slash; ) {
        slash = strchr(slash + 1, '/');
        if (slash)
            *slash = 0;
        if (mkdir(copy, 0777) == 0)
            (*made)++;
        else if (errno != EEXIST || !slash) {
            struct stat status;
            int failure = errno;
            if (stat(copy, &status) != 0 || !S_ISDIR(status.st_mode)) {
                cli_error("%s: %s", copy, strerror(failure == EEXIST ? ENOTDIR : failure));
                ok = false;
            }
        }
        if (slash)
            *slash = '/';
    }
    if (!ok) {
        cli_folder_remove(path, *made);
        *made = 0;
    }
    free(copy);
    return ok;
}

void cli_folder_remove(const char *path, int made)
{
    char *copy = cli_copy(path);
    while (made > 0 && *copy) {
        size_t length = strlen(copy);
        while (length > 1 && copy[length - 1] == '/')
            copy[--length] = 0;
        if (rmdir(copy) == 0)
            made--;
        else if (errno != ENOENT)
            break;
        char *slash = strrchr(copy, '/');
        if (!slash)
            break;
        *slash = 0;
    }
    free(copy);
}

int cli_folder_used(const char *path)
{
    DIR *folder = opendir(path);
    if (!folder)
        return access(path, F_OK) == 0; /* a file, or a folder that is closed to us */
    int used = 0;
    const struct dirent *entry;
    while (!used && (entry = readdir(folder)))
        used = strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
    closedir(folder);
    return used;
}

bool cli_room_for(const char *path, uint64_t bytes)
{
    struct statvfs status;
    char *copy = cli_copy(path);
    int found;
    while ((found = statvfs(*copy ? copy : "/", &status)) != 0 && errno == ENOENT) {
        char *slash = strrchr(copy, '/');
        if (!slash) {
            found = statvfs(".", &status);
            break;
        }
        *slash = 0;
    }
    free(copy);
    if (found != 0 || status.f_blocks == 0) /* a file system that does not say */
        return true;
    uint64_t room = (uint64_t)status.f_bavail * status.f_frsize;
    if (room >= bytes)
        return true;
    cli_error("%s: no space left: %s are free, the results need about %s", path, cli_bytes(room), cli_bytes(bytes));
    return false;
}
