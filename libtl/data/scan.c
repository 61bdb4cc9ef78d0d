#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "data/dataset.h"

typedef enum kind { KIND_OTHER, KIND_FILE, KIND_FOLDER } kind;

/* The folders from the class down to the one being read, so that a symbolic link back into them is noticed. */
typedef struct chain {
    const struct chain *above;
    dev_t device;
    ino_t inode;
} chain;

typedef struct listing {
    char **names;
    size_t count, room;
} listing;

static void listing_free(tl_context *context, listing *l) {
    for (size_t i = 0; i < l->count; i++)
        tl__free(context, l->names[i]);
    tl__free(context, l->names);
    *l = (listing){0};
}

static bool is_image(const char *name) {
    const char *dot = strrchr(name, '.');
    return dot && (strcasecmp(dot, ".png") == 0 || strcasecmp(dot, ".jpg") == 0 || strcasecmp(dot, ".jpeg") == 0);
}

/* A link that leads nowhere counts as a file, so that reading it tells the user its name. */
static kind kind_of(const char *path, const struct dirent *entry) {
#ifdef _DIRENT_HAVE_D_TYPE
    if (entry->d_type == DT_REG)
        return KIND_FILE;
    if (entry->d_type == DT_DIR)
        return KIND_FOLDER;
#else
    (void)entry;
#endif
    struct stat st;
    if (stat(path, &st) != 0)
        return KIND_FILE;
    return S_ISDIR(st.st_mode) ? KIND_FOLDER : S_ISREG(st.st_mode) ? KIND_FILE : KIND_OTHER;
}

static int by_text(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static tl_status keep(tl_context *context, listing *l, char *name) {
    tl_status status = tl__grow(context, (void **)&l->names, &l->room, l->count, sizeof *l->names);
    if (status != TL_OK) {
        tl__free(context, name);
        return status;
    }
    l->names[l->count++] = name;
    return TL_OK;
}

/* One entry of `folder`: its path into `folders`, or its name into `files`. */
static tl_status sort_entry(tl_context *context, const char *folder, const struct dirent *entry, listing *folders,
                            listing *files) {
    if (entry->d_name[0] == '.')
        return TL_OK;
    char *path = tl__printf(context, "%s%s%s", folder, strcmp(folder, "/") == 0 ? "" : "/", entry->d_name);
    if (!path)
        return TL_ERROR_MEMORY;
    kind k = kind_of(path, entry);
    if (k == KIND_FOLDER)
        return keep(context, folders, path);
    tl__free(context, path);
    if (k != KIND_FILE || !is_image(entry->d_name))
        return TL_OK;
    char *name = tl__strdup(context, entry->d_name);
    return name ? keep(context, files, name) : TL_ERROR_MEMORY;
}

static tl_status list_status(int code) {
    return code == ENOMEM ? TL_ERROR_MEMORY : code == ENOENT || code == ENOTDIR ? TL_ERROR_NOT_FOUND : TL_ERROR_IO;
}

/* Folders as paths and image files as names, both sorted. */
static tl_status list(tl_context *context, const char *folder, listing *folders, listing *files) {
    DIR *stream = opendir(folder);
    if (!stream)
        return tl__fail(context, list_status(errno), "%s: %s", folder, strerror(errno));
    tl_status status = TL_OK;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) {
            if (errno)
                status = tl__fail(context, TL_ERROR_IO, "%s: %s", folder, strerror(errno));
            break;
        }
        status = sort_entry(context, folder, entry, folders, files);
        if (status != TL_OK)
            break;
    }
    closedir(stream);
    if (folders->count)
        qsort(folders->names, folders->count, sizeof *folders->names, by_text);
    if (files->count)
        qsort(files->names, files->count, sizeof *files->names, by_text);
    return status;
}

tl_status tl__dataset_add_text(tl_context *context, tl__names *names, const char *folder, const char *name, size_t *at) {
    size_t length = strlen(folder) + 1 + strlen(name) + 1;
    if (names->text_size + length > names->text_room) {
        size_t room =
            names->text_room * 2 > names->text_size + length ? names->text_room * 2 : names->text_size + length + 4096;
        char *text = tl__realloc(context, names->text, names->text_size, room);
        if (!text)
            return TL_ERROR_MEMORY;
        names->text = text;
        names->text_room = room;
    }
    *at = names->text_size;
    char *out = names->text + names->text_size;
    size_t prefix = strlen(folder);
    memcpy(out, folder, prefix);
    if (prefix)
        out[prefix++] = '/';
    strcpy(out + prefix, name);
    names->text_size += prefix + strlen(name) + 1;
    return TL_OK;
}

static tl_status add_image(tl_dataset *d, const char *folder, const char *name, int32_t label) {
    if (d->count == UINT32_MAX)
        return tl__fail(d->context, TL_ERROR_LIMIT, "%s: more than %lu images", folder, (unsigned long)UINT32_MAX);
    TL__TRY(tl__grow(d->context, (void **)&d->images, &d->room, d->count, sizeof *d->images));
    size_t at;
    TL__TRY(tl__dataset_add_text(d->context, d->names, folder, name, &at));
    d->images[d->count++] = (tl__image_entry){.at = at, .folder = (uint32_t)strlen(folder), .label = label};
    d->class_sizes[label]++;
    return TL_OK;
}

static tl_status walk(tl_dataset *d, const char *folder, int32_t label, const chain *above);

static tl_status walk_listed(tl_dataset *d, const char *folder, int32_t label, const chain *here,
                             const listing *folders, const listing *files) {
    for (size_t i = 0; i < files->count; i++)
        TL__TRY(add_image(d, folder, files->names[i], label));
    for (size_t i = 0; i < folders->count; i++)
        TL__TRY(walk(d, folders->names[i], label, here));
    return TL_OK;
}

static tl_status walk(tl_dataset *d, const char *folder, int32_t label, const chain *above) {
    struct stat st;
    if (stat(folder, &st) != 0)
        return tl__fail(d->context, TL_ERROR_IO, "%s: %s", folder, strerror(errno));
    for (const chain *c = above; c; c = c->above)
        if (c->device == st.st_dev && c->inode == st.st_ino)
            return TL_OK;
    chain here = {above, st.st_dev, st.st_ino};
    listing folders = {0}, files = {0};
    tl_status status = list(d->context, folder, &folders, &files);
    if (status == TL_OK)
        status = walk_listed(d, folder, label, &here, &folders, &files);
    else if (status == TL_ERROR_NOT_FOUND)
        status = TL_ERROR_IO; /* it was there a moment ago */
    listing_free(d->context, &folders);
    listing_free(d->context, &files);
    return status;
}

/* os.walk's folders in order of their paths, the files of each in order of their names. */
static int by_place(const void *a, const void *b) {
    const tl__image_entry *x = a, *y = b;
    if (x->label != y->label)
        return x->label < y->label ? -1 : 1;
    size_t common = x->folder < y->folder ? x->folder : y->folder;
    int order = memcmp(x->path, y->path, common);
    if (order || x->folder != y->folder)
        return order ? order : x->folder < y->folder ? -1 : 1;
    return strcmp(x->path + x->folder + 1, y->path + y->folder + 1);
}

tl_status tl__dataset_walk(tl_dataset *dataset, const char *folder, int32_t label) {
    return walk(dataset, folder, label, NULL);
}

void tl__dataset_settle(tl_dataset *dataset) {
    for (size_t i = 0; i < dataset->count; i++)
        dataset->images[i].path = dataset->names->text + dataset->images[i].at;
    if (dataset->count)
        qsort(dataset->images, dataset->count, sizeof *dataset->images, by_place);
}

static const char *last_part(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static tl_status read_classes(tl_dataset *d, const char *folder, const listing *classes, size_t loose) {
    if (!classes->count && loose)
        return tl__fail(d->context, TL_ERROR_DATA,
                        "%s: holds %zu images but no folders: put the images of each class into a folder "
                        "of that name",
                        folder, loose);
    if (!classes->count)
        return tl__fail(d->context, TL_ERROR_DATA, "%s: holds no class folders", folder);
    if (classes->count > INT32_MAX)
        return tl__fail(d->context, TL_ERROR_LIMIT, "%s: too many classes", folder);
    tl__names *names = d->names;
    names->classes = tl__calloc(d->context, classes->count, sizeof *names->classes);
    d->class_sizes = tl__calloc(d->context, classes->count, sizeof *d->class_sizes);
    if (!names->classes || !d->class_sizes)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < classes->count; i++) {
        TL__TRY(walk(d, classes->names[i], (int32_t)i, NULL));
        if (!d->class_sizes[i])
            return tl__fail(d->context, TL_ERROR_DATA, "%s: no PNG or JPEG in the folder of class \"%s\"",
                            classes->names[i], last_part(classes->names[i]));
    }
    size_t first = names->text_size, ignored;
    for (size_t i = 0; i < classes->count; i++)
        TL__TRY(tl__dataset_add_text(d->context, names, "", last_part(classes->names[i]), &ignored));
    const char *name = names->text + first; /* from here on the text stays where it is */
    for (; names->class_count < classes->count; name += strlen(name) + 1)
        names->classes[names->class_count++] = name;
    tl__dataset_settle(d);
    return TL_OK;
}

tl_status tl__dataset_scan(tl_dataset *dataset, const char *folder) {
    tl_context *context = dataset->context;
    char *trimmed = tl__strdup(context, folder);
    if (!trimmed)
        return TL_ERROR_MEMORY;
    for (size_t n = strlen(trimmed); n > 1 && trimmed[n - 1] == '/';)
        trimmed[--n] = 0;
    listing classes = {0}, files = {0};
    tl_status status = list(context, trimmed, &classes, &files);
    if (status == TL_OK)
        status = read_classes(dataset, trimmed, &classes, files.count);
    listing_free(context, &classes);
    listing_free(context, &files);
    tl__free(context, trimmed);
    return status;
}
