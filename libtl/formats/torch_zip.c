#include "formats/torch.h"

#include <stdlib.h>
#include <string.h>
#include <zip.h>

#define CHUNK 16384
#define FORGET ((uint64_t)4 << 20)

/* The zip entries are stored as they are, so tensors can lie in the mapping: nothing is unpacked. libzip reads the
 * archive through a source of ours over the mapping, which notes where it reads. That is how we learn where an
 * entry's bytes are without a second opinion on the format. */
typedef struct tl__zip_source {
    const uint8_t *data;
    zip_uint64_t size, at, last_read;
    zip_error_t error;
} tl__zip_source;

typedef struct tl__zip_entry {
    tl__slice name;
    const uint8_t *data;
    uint64_t size;
} tl__zip_entry;

typedef struct tl__zip_file {
    tl__archive *archive;
    tl__zip_source source;
    zip_t *zip;
    uint8_t *chunk;
    uint64_t touched; /* bytes read since the pages were given back */
    tl__zip_entry *entries; /* sorted by name */
    size_t count;
    tl__slice root; /* the folder that everything is in, with its slash */
} tl__zip_file;

static zip_int64_t source_read(tl__zip_source *source, void *out, zip_uint64_t length) {
    zip_uint64_t left = source->size - source->at;
    if (length > left)
        length = left;
    memcpy(out, source->data + source->at, (size_t)length);
    source->last_read = source->at;
    source->at += length;
    return (zip_int64_t)length;
}

static zip_int64_t source_command(void *user, void *data, zip_uint64_t length, zip_source_cmd_t command) {
    tl__zip_source *source = user;
    zip_int64_t place;
    zip_stat_t *stat;
    switch (command) {
    case ZIP_SOURCE_SUPPORTS:
        return zip_source_make_command_bitmap(ZIP_SOURCE_OPEN, ZIP_SOURCE_READ, ZIP_SOURCE_CLOSE, ZIP_SOURCE_STAT,
                                              ZIP_SOURCE_ERROR, ZIP_SOURCE_FREE, ZIP_SOURCE_SEEK, ZIP_SOURCE_TELL, -1);
    case ZIP_SOURCE_OPEN:
        source->at = 0;
        return 0;
    case ZIP_SOURCE_READ:
        return source_read(source, data, length);
    case ZIP_SOURCE_STAT:
        stat = data;
        zip_stat_init(stat);
        stat->size = source->size;
        stat->valid = ZIP_STAT_SIZE;
        return sizeof *stat;
    case ZIP_SOURCE_ERROR:
        return zip_error_to_data(&source->error, data, length);
    case ZIP_SOURCE_SEEK:
        place = zip_source_seek_compute_offset(source->at, source->size, data, length, &source->error);
        if (place < 0)
            return -1;
        source->at = (zip_uint64_t)place;
        return 0;
    case ZIP_SOURCE_TELL:
        return (zip_int64_t)source->at;
    case ZIP_SOURCE_CLOSE:
    case ZIP_SOURCE_FREE:
        return 0;
    default:
        zip_error_set(&source->error, ZIP_ER_OPNOTSUPP, 0);
        return -1;
    }
}

static tl_status fail_zip(const tl__zip_file *file, const char *name, zip_error_t *error) {
    tl_status status = zip_error_code_zip(error) == ZIP_ER_MEMORY ? TL_ERROR_MEMORY : TL_ERROR_FORMAT;
    tl__fail(file->archive->context, status, "%s: %s%s%s", file->archive->path, name ? name : "",
             name ? ": " : "zip: ", zip_error_strerror(error));
    return status;
}

static tl_status fail(const tl__zip_file *file, const char *name, const char *what) {
    return tl__fail(file->archive->context, TL_ERROR_FORMAT, "%s: %s: %s", file->archive->path, name, what);
}

static tl_status open_zip(tl__zip_file *file) {
    const tl__mapping *mapping = &file->archive->mapping;
    zip_error_t error;
    zip_error_init(&error);
    zip_error_init(&file->source.error);
    file->source.data = mapping->data;
    file->source.size = mapping->size;
    zip_source_t *source = zip_source_function_create(source_command, &file->source, &error);
    file->zip = source ? zip_open_from_source(source, ZIP_RDONLY, &error) : NULL;
    tl_status status = file->zip ? TL_OK : fail_zip(file, NULL, &error);
    if (!file->zip)
        zip_source_free(source);
    zip_error_fini(&error);
    return status;
}

/* Reads the entry through libzip, which checks its CRC, and compares with the mapping, which proves the place. The
 * pages need not stay: a whole network would be resident before anyone asks for its weights. */
static tl_status check_entry(tl__zip_file *file, zip_uint64_t index, const char *name, tl__zip_entry *entry) {
    zip_file_t *stream = zip_fopen_index(file->zip, index, 0);
    if (!stream)
        return fail_zip(file, name, zip_get_error(file->zip));
    tl_status status = TL_OK;
    uint64_t done = 0;
    zip_int64_t got;
    while ((got = zip_fread(stream, file->chunk, CHUNK)) > 0) {
        const uint8_t *place = file->source.data + file->source.last_read;
        if (done == 0)
            entry->data = place;
        if (place != entry->data + done || file->source.last_read + (uint64_t)got > file->source.size ||
            memcmp(place, file->chunk, (size_t)got) != 0) {
            status = fail(file, name, "is not stored in one piece");
            break;
        }
        done += (uint64_t)got;
        file->touched += (uint64_t)got;
        if (file->touched >= FORGET) {
            tl__map_forget(&file->archive->mapping, 0, file->archive->mapping.size);
            file->touched = 0;
        }
    }
    if (got < 0)
        status = fail_zip(file, name, zip_file_get_error(stream));
    else if (status == TL_OK && done != entry->size)
        status = fail(file, name, "is cut off");
    zip_fclose(stream);
    return status;
}

static int compare_entries(const void *a, const void *b) {
    return tl__slice_compare(((const tl__zip_entry *)a)->name, ((const tl__zip_entry *)b)->name);
}

static tl_status list_entries(tl__zip_file *file) {
    zip_int64_t count = zip_get_num_entries(file->zip, 0);
    uint64_t total = 0;
    file->entries = tl__calloc(file->archive->context, (size_t)count, sizeof *file->entries);
    if (!file->entries)
        return TL_ERROR_MEMORY;
    for (zip_uint64_t i = 0; i < (zip_uint64_t)count; i++) {
        zip_stat_t stat;
        const zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD;
        if (zip_stat_index(file->zip, i, ZIP_FL_ENC_RAW, &stat) != 0)
            return fail_zip(file, NULL, zip_get_error(file->zip));
        if ((stat.valid & needed) != needed)
            return fail(file, "zip", "an entry without name or size");
        if (stat.comp_method != ZIP_CM_STORE || stat.size != stat.comp_size ||
            (stat.valid & ZIP_STAT_ENCRYPTION_METHOD && stat.encryption_method != ZIP_EM_NONE))
            return fail(file, stat.name, "is compressed or encrypted, which PyTorch never does");
        if (__builtin_add_overflow(total, stat.size, &total) || total > file->source.size)
            return fail(file, stat.name, "the entries claim more bytes than the file has");
        tl__zip_entry *entry = &file->entries[file->count++];
        *entry = (tl__zip_entry){.name = {stat.name, strlen(stat.name)}, .size = stat.size};
        if (stat.size)
            TL__TRY(check_entry(file, i, stat.name, entry));
    }
    if (!count)
        return fail(file, "zip", "has no entries");
    const char *slash = strchr(file->entries[0].name.text, '/');
    file->root = (tl__slice){file->entries[0].name.text,
                             slash ? (size_t)(slash + 1 - file->entries[0].name.text) : 0};
    qsort(file->entries, file->count, sizeof *file->entries, compare_entries);
    for (size_t i = 1; i < file->count; i++)
        if (compare_entries(&file->entries[i - 1], &file->entries[i]) == 0)
            return fail(file, file->entries[i].name.text, "is there twice");
    return TL_OK;
}

/* The entry root + folder + name, or NULL. */
static const tl__zip_entry *find(const tl__zip_file *file, const char *folder, tl__slice name) {
    size_t low = 0, high = file->count, skip = file->root.length, length = strlen(folder);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        tl__slice have = file->entries[middle].name;
        int order = tl__slice_compare(file->root, (tl__slice){have.text, have.length < skip ? have.length : skip});
        if (order == 0) {
            tl__slice rest = {have.text + skip, have.length - skip};
            order = tl__slice_compare((tl__slice){folder, length},
                                      (tl__slice){rest.text, rest.length < length ? rest.length : length});
            if (order == 0)
                order = tl__slice_compare(name, (tl__slice){rest.text + length, rest.length - length});
        }
        if (order == 0)
            return &file->entries[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

static tl_status check_byte_order(const tl__zip_file *file) {
    const tl__zip_entry *entry = find(file, "", (tl__slice){"byteorder", 9});
    if (!entry) /* older than the entry: as the machine that wrote it, which is as good as always little endian */
        return TL_OK;
    tl__slice order = {(const char *)entry->data, (size_t)entry->size};
    if (tl__slice_is(order, "little"))
        return TL_OK;
    return tl__fail(file->archive->context, tl__slice_is(order, "big") ? TL_UNSUPPORTED : TL_ERROR_FORMAT,
                    "%s: its byte order is \"%.*s\", only \"little\" is read", file->archive->path, TL__SLICE(order));
}

static tl_status read_torch(tl__zip_file *file, tl__torch *torch, const tl__zip_entry *pickle) {
    tl__archive *archive = file->archive;
    TL__TRY(tl__torch_begin(torch, archive, (size_t)(pickle->data - archive->mapping.data), (size_t)pickle->size));
    for (size_t i = 0; i < torch->storage_count; i++) {
        tl__storage *storage = &torch->storages[i];
        const tl__zip_entry *entry = find(file, "data/", storage->key);
        if (!entry)
            return tl__fail(archive->context, TL_ERROR_FORMAT,
                            "%s: storage data/%.*s is not in it, but its tensors need it", archive->path,
                            TL__SLICE(storage->key));
        if (entry->size != tl__storage_bytes(storage))
            return fail(file, entry->name.text, "does not have the size that its tensors need");
        storage->data = entry->data;
    }
    return tl__torch_finish(torch);
}

static tl_status read_zip(tl__zip_file *file) {
    file->chunk = tl__alloc(file->archive->context, CHUNK);
    if (!file->chunk)
        return TL_ERROR_MEMORY;
    TL__TRY(open_zip(file));
    TL__TRY(list_entries(file));
    const tl__zip_entry *pickle = find(file, "", (tl__slice){"data.pkl", 8});
    if (!pickle || !pickle->size)
        return fail(file, "data.pkl", "is not in it: a zip file, but not PyTorch's");
    TL__TRY(check_byte_order(file));
    tl__torch torch;
    tl_status status = read_torch(file, &torch, pickle);
    tl__torch_end(&torch);
    return status;
}

tl_status tl__torch_zip_read(tl__archive *archive) {
    tl__zip_file file = {.archive = archive};
    tl_status status = read_zip(&file);
    if (file.zip)
        zip_discard(file.zip);
    zip_error_fini(&file.source.error);
    tl__free(archive->context, file.entries);
    tl__free(archive->context, file.chunk);
    return status;
}
