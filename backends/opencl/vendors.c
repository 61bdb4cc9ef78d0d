/* vendors.c: the drivers that the ICD loader is told of, and the kernel's devices of GPUs. */
#include <dirent.h>
#include <dlfcn.h>
#include <grp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "backends/opencl/probe.h"

#define FOLDER "/etc/OpenCL/vendors"

static bool ends_in(const char *name, const char *end) {
    size_t length = strlen(name), most = strlen(end);
    return length > most && strcmp(name + length - most, end) == 0;
}

static void add(probe_vendors *vendors, const char *folder, const char *name) {
    char *to = vendors->files[vendors->count];
    if (vendors->count < PROBE_VENDORS &&
        snprintf(to, sizeof(vendors->files[0]), "%s%s%s", folder, *folder ? "/" : "", name) < (int)sizeof(vendors->files[0]))
        vendors->count++;
}

static int compare(const void *a, const void *b) {
    return strcmp(a, b);
}

static bool add_folder(probe_vendors *vendors, const char *folder) {
    DIR *stream = opendir(folder);
    if (!stream)
        return false;
    for (struct dirent *entry; (entry = readdir(stream)) && vendors->count < PROBE_VENDORS;)
        if (ends_in(entry->d_name, ".icd"))
            add(vendors, folder, entry->d_name);
    closedir(stream);
    qsort(vendors->files, vendors->count, sizeof(vendors->files[0]), compare);
    return true;
}

/* As ocl-icd reads OCL_ICD_VENDORS: a folder, a file *.icd (without a folder: of the usual one), or a library. */
void tl__opencl_vendors(probe_vendors *vendors) {
    const char *asked = getenv("OCL_ICD_VENDORS");
    vendors->count = 0;
    if (!asked || !*asked)
        asked = FOLDER;
    if (!add_folder(vendors, asked) && strcmp(asked, FOLDER) != 0)
        add(vendors, ends_in(asked, ".icd") && !strchr(asked, '/') ? FOLDER : "", asked);
}

void tl__opencl_vendor_library(const char *file, char *library, size_t size) {
    char line[512] = "";
    snprintf(library, size, "%s", ends_in(file, ".icd") ? "" : file);
    FILE *stream = ends_in(file, ".icd") ? fopen(file, "re") : NULL;
    if (!stream)
        return;
    if (fgets(line, sizeof(line), stream)) {
        char *from = line + strspn(line, " \t");
        from[strcspn(from, "\r\n")] = '\0';
        snprintf(library, size, "%s", from);
    }
    fclose(stream);
}

bool tl__opencl_vendor_loaded(const probe_vendors *vendors) {
    char library[512];
    for (uint32_t i = 0; i < vendors->count; i++) {
        tl__opencl_vendor_library(vendors->files[i], library, sizeof(library));
        void *there = library[0] ? dlopen(library, RTLD_LAZY | RTLD_NOLOAD) : NULL;
        if (there) {
            dlclose(there);
            return true;
        }
    }
    return false;
}

static void add_broken(probe_report *report, const char *file, const char *text) {
    if (report->broken_count == sizeof(report->broken) / sizeof(report->broken[0]))
        return;
    snprintf(report->broken[report->broken_count].file, sizeof(report->broken[0].file), "%.95s", file);
    snprintf(report->broken[report->broken_count].text, sizeof(report->broken[0].text), "%.159s", text);
    report->broken_count++;
}

void tl__opencl_vendors_broken(const probe_vendors *vendors, probe_report *report) {
    char library[512];
    for (uint32_t i = 0; i < vendors->count; i++) {
        tl__opencl_vendor_library(vendors->files[i], library, sizeof(library));
        if (!library[0]) {
            add_broken(report, vendors->files[i], "it cannot be read or is empty");
            continue;
        }
        /* Those that work, the loader has loaded: this asks again for the words of those that do not. */
        void *there = dlopen(library, RTLD_LAZY | RTLD_NOLOAD);
        there = there ? there : dlopen(library, RTLD_LAZY | RTLD_LOCAL);
        const char *text = there ? NULL : dlerror();
        if (!there)
            add_broken(report, vendors->files[i], text ? text : "it says nothing");
    }
}

/* ---- the kernel's side ---- */

static void add_node(probe_report *report, const char *path) {
    struct stat about;
    if (report->node_count == PROBE_NODES || stat(path, &about) != 0)
        return;
    const struct group *group = getgrgid(about.st_gid);
    snprintf(report->nodes[report->node_count].path, sizeof(report->nodes[0].path), "%.95s", path);
    snprintf(report->nodes[report->node_count].group, sizeof(report->nodes[0].group), "%.31s", group ? group->gr_name : "");
    report->nodes[report->node_count].allowed = access(path, R_OK | W_OK) == 0;
    report->node_count++;
}

void tl__opencl_nodes(const char *dev, probe_report *report) {
    static const char *const names[] = {"dri/renderD128", "dri/renderD129", "dri/renderD130", "dri/renderD131",
                                        "kfd", "mali0", "kgsl-3d0", "nvidia0"};
    char path[512];
    report->node_count = 0;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        snprintf(path, sizeof(path), "%s/%s", dev, names[i]);
        add_node(report, path);
    }
}
