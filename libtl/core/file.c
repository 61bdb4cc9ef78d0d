#include "core/core.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPECT_FROM ((size_t)1 << 18) /* bytes that are worth a call */
#define WRITE_BUFFER ((size_t)1 << 18)

tl_status tl__map(tl_context *context, const char *path, tl__mapping *mapping) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* so that a FIFO is refused, not waited for */
    if (fd < 0)
        return tl__fail(context, errno == ENOENT ? TL_ERROR_NOT_FOUND : TL_ERROR_IO, "%s: %s", path, strerror(errno));
    struct stat st;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode)) {
        bool folder = S_ISDIR(st.st_mode);
        close(fd);
        return tl__fail(context, TL_ERROR_IO, "%s: %s", path, folder ? "is a folder" : "not a regular file");
    }
    tl__mapping made = {.size = (size_t)st.st_size, .stamp = tl__stamp_settled(&st)};
    if (made.size) {
        void *data = mmap(NULL, made.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (data == MAP_FAILED) {
            int code = errno;
            close(fd);
            return tl__fail(context, TL_ERROR_IO, "%s: cannot be mapped: %s", path, strerror(code));
        }
        made.data = data;
    }
    close(fd);
    *mapping = made;
    return TL_OK;
}

void tl__unmap(tl__mapping *mapping) {
    if (mapping->data)
        munmap((void *)mapping->data, mapping->size);
    *mapping = (tl__mapping){0};
}

void tl__map_expect(const tl__mapping *mapping, size_t offset, size_t size) {
#ifdef MADV_POPULATE_READ
    size_t page = (size_t)sysconf(_SC_PAGESIZE), begin = offset / page * page;
    if (size >= EXPECT_FROM && offset + size <= mapping->size)
        madvise((void *)(mapping->data + begin), offset + size - begin, MADV_POPULATE_READ);
#else
    (void)mapping, (void)offset, (void)size;
#endif
}

void tl__map_forget(const tl__mapping *mapping, size_t offset, size_t size) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t begin = offset / page * page, end = offset + size < mapping->size ? offset + size : mapping->size;
    if (begin < end)
        madvise((void *)(mapping->data + begin), end - begin, MADV_DONTNEED);
}

bool tl__write_at(int fd, const void *data, size_t bytes, uint64_t at) {
    const uint8_t *from = data;
    while (bytes) {
        ssize_t written = pwrite(fd, from, bytes, (off_t)at);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? ENOSPC : errno;
            return false;
        }
        from += written;
        bytes -= (size_t)written;
        at += (uint64_t)written;
    }
    return true;
}

static tl_status writer_end(tl__writer *writer, tl_status status) {
    if (writer->fd >= 0)
        close(writer->fd);
    if (status != TL_OK && writer->temporary)
        unlink(writer->temporary);
    tl__free(writer->context, writer->path);
    tl__free(writer->context, writer->temporary);
    tl__free(writer->context, writer->buffer);
    *writer = (tl__writer){.fd = -1};
    return status;
}

tl_status tl__writer_open(tl_context *context, const char *path, tl__writer *writer) {
    *writer = (tl__writer){.context = context, .fd = -1};
    writer->path = tl__strdup(context, path);
    writer->buffer = writer->path ? tl__alloc(context, WRITE_BUFFER) : NULL;
    if (!writer->buffer)
        return writer_end(writer, TL_ERROR_MEMORY);
    for (unsigned attempt = 0; writer->fd < 0; attempt++) {
        char *temporary = tl__printf(context, "%s.%ld-%u.tmp", path, (long)getpid(), attempt);
        if (!temporary)
            return writer_end(writer, TL_ERROR_MEMORY);
        writer->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (writer->fd >= 0) {
            writer->temporary = temporary;
            break;
        }
        int code = errno;
        tl__free(context, temporary);
        if (code != EEXIST || attempt == 1000)
            return writer_end(writer, tl__fail(context, TL_ERROR_IO, "%s: cannot be written: %s", path, strerror(code)));
    }
    return TL_OK;
}

static tl_status write_all(tl__writer *writer, const uint8_t *data, size_t bytes) {
    while (bytes) {
        ssize_t written = write(writer->fd, data, bytes);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return tl__fail(writer->context, TL_ERROR_IO, "%s: cannot be written: %s", writer->path,
                            written < 0 ? strerror(errno) : "nothing was written");
        data += written;
        bytes -= (size_t)written;
    }
    return TL_OK;
}

static tl_status writer_flush(tl__writer *writer) {
    size_t used = writer->used;
    writer->used = 0;
    return write_all(writer, writer->buffer, used);
}

tl_status tl__writer_write(tl__writer *writer, const void *data, size_t bytes) {
    if (writer->used + bytes > WRITE_BUFFER)
        TL__TRY(writer_flush(writer));
    if (bytes >= WRITE_BUFFER)
        return write_all(writer, data, bytes);
    memcpy(writer->buffer + writer->used, data, bytes);
    writer->used += bytes;
    return TL_OK;
}

tl_status tl__writer_commit(tl__writer *writer) {
    tl_status status = writer_flush(writer);
    if (status == TL_OK && fsync(writer->fd) != 0 && errno != EINVAL)
        status = tl__fail(writer->context, TL_ERROR_IO, "%s: cannot be written: %s", writer->path, strerror(errno));
    if (status == TL_OK && close(writer->fd) != 0) {
        writer->fd = -1;
        status = tl__fail(writer->context, TL_ERROR_IO, "%s: cannot be written: %s", writer->path, strerror(errno));
    }
    if (status == TL_OK) {
        writer->fd = -1;
        if (rename(writer->temporary, writer->path) != 0)
            status = tl__fail(writer->context, TL_ERROR_IO, "%s: cannot be replaced: %s", writer->path, strerror(errno));
    }
    return writer_end(writer, status);
}

void tl__writer_abandon(tl__writer *writer) {
    writer_end(writer, TL_CANCELLED);
}
