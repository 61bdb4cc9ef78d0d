/* probe.h: what is found out about the machine before a device is opened: by this process, or by a child of it that may
 * crash or hang in a driver without harm. */
#ifndef TL_OPENCL_PROBE_H
#define TL_OPENCL_PROBE_H

#include "backends/opencl/opencl.h"

#define PROBE_DEVICES 64
#define PROBE_VENDORS 32 /* drivers that are installed, as far as they are looked at */
#define PROBE_NODES 8

/* Fixed in size and free of pointers: a child sends it as it is. */
typedef struct probe_report {
    uint32_t count; /* of devices, in the order of the loader: platform by platform */
    tl_backend_device_info infos[PROBE_DEVICES];
    uint32_t broken_count; /* drivers that do not load */
    struct {
        char file[96], text[160];
    } broken[PROBE_VENDORS / 4];
    uint32_t node_count; /* the kernel's devices of GPUs */
    struct {
        char path[96], group[32];
        bool allowed; /* this process may open it */
    } nodes[PROBE_NODES];
    bool idle_rusticl; /* it is installed and drives nothing because nobody said what */
} probe_report;

/* Everything of the report, with OpenCL's calls made by this process. */
void tl__opencl_report(probe_report *report);

/* ---- probe_child.c ---- */

typedef enum probe_end {
    PROBE_ANSWERED,
    PROBE_CRASHED,
    PROBE_HUNG,
    PROBE_IMPOSSIBLE, /* there is no child */
} probe_end;

/* Has a child make the report, with OCL_ICD_VENDORS set in it where `vendors` is not NULL. `*why` is the signal that ended
 * a crashed one, or 0 where that is not known. */
probe_end tl__opencl_report_of_child(const char *vendors, int milliseconds, probe_report *report, int *why);

/* ---- vendors.c: what is installed, without a call of OpenCL ---- */

typedef struct probe_vendors {
    uint32_t count;
    char files[PROBE_VENDORS][256]; /* *.icd; what OCL_ICD_VENDORS names, or of /etc/OpenCL/vendors */
} probe_vendors;

void tl__opencl_vendors(probe_vendors *vendors);
/* The library that a file names, "" where it cannot be read. */
void tl__opencl_vendor_library(const char *file, char *library, size_t size);
/* A driver is part of this process already. */
bool tl__opencl_vendor_loaded(const probe_vendors *vendors);
/* Fills in broken and nodes; `dev` is "/dev". */
void tl__opencl_vendors_broken(const probe_vendors *vendors, probe_report *report);
void tl__opencl_nodes(const char *dev, probe_report *report);

/* ---- notes.c: what a report means to the user ---- */

#define PROBE_NOTES 8

typedef struct probe_notes {
    uint32_t count;
    char texts[PROBE_NOTES][256]; /* why there is not more */
} probe_notes;

void tl__opencl_note(probe_notes *notes, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Of a report that was answered; puts remarks into it too. */
void tl__opencl_notes(probe_report *report, const probe_vendors *vendors, probe_notes *notes);
/* Of a child that ended without one: looks which driver it was. */
void tl__opencl_notes_of_end(probe_end end, int why, int milliseconds, const probe_vendors *vendors, probe_notes *notes);

#endif
