/* notes.c: why there is no device, or not more than there is. */
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "backends/opencl/probe.h"

#define ALONE 5000 /* ms that a single driver has to answer */

void tl__opencl_note(probe_notes *notes, const char *format, ...) {
    va_list arguments;
    if (notes->count == PROBE_NOTES)
        return;
    va_start(arguments, format);
    vsnprintf(notes->texts[notes->count++], sizeof(notes->texts[0]), format, arguments);
    va_end(arguments);
}

/* ---- of an answer ---- */

static bool is_set(const char *name) {
    const char *text = getenv(name);
    return text && *text;
}

static void note_nodes(const probe_report *report, probe_notes *notes) {
    for (uint32_t i = 0; i < report->node_count; i++)
        if (!report->nodes[i].allowed) {
            const char *group = report->nodes[i].group;
            tl__opencl_note(notes, "no permission: this process may not open %s, which belongs to the group %s: the user must "
                            "be a member of it (usermod -aG %s USER, then log in again)", report->nodes[i].path,
                            *group ? group : "render", *group ? group : "render");
            return;
        }
}

static void note_broken(const probe_report *report, probe_notes *notes) {
    for (uint32_t i = 0; i < report->broken_count; i++)
        tl__opencl_note(notes, "the driver of %s does not load: %.140s", report->broken[i].file, report->broken[i].text);
}

void tl__opencl_notes(probe_report *report, const probe_vendors *vendors, probe_notes *notes) {
    bool gpu = false, any = false;
    for (uint32_t i = 0; i < report->count; i++) {
        const tl_backend_device_info *info = &report->infos[i];
        any |= info->usable != 0;
        gpu |= info->usable && info->kind != TL_DEVICE_CPU;
    }
    if (vendors->count == 0 && report->count == 0) {
        tl__opencl_note(notes, "no driver is installed: %s%.80s holds no *.icd file (Debian's packages: intel-opencl-icd, "
                        "mesa-opencl-icd for AMD, nvidia-opencl-icd; pocl-opencl-icd for any CPU)",
                        is_set("OCL_ICD_VENDORS") ? "OCL_ICD_VENDORS, " : "",
                        is_set("OCL_ICD_VENDORS") ? getenv("OCL_ICD_VENDORS") : "/etc/OpenCL/vendors");
        return;
    }
    note_broken(report, notes);
    if (gpu)
        return;
    note_nodes(report, notes);
    if (report->idle_rusticl && (report->node_count > 0 || !any))
        tl__opencl_note(notes, "Mesa's rusticl is installed and drives nothing: the environment variable RUSTICL_ENABLE must "
                        "name the GPU's driver: radeonsi (AMD), iris (Intel), panfrost (Mali)");
    if (report->count == 0 && notes->count == 0)
        tl__opencl_note(notes, "the drivers that are installed (%.120s%s) offer no device", vendors->files[0],
                        vendors->count > 1 ? " and others" : "");
    for (uint32_t i = 0; i < report->count; i++) {
        tl_backend_device_info *info = &report->infos[i];
        if (info->usable && info->kind == TL_DEVICE_CPU && !info->note[0])
            snprintf(info->note, sizeof(info->note), "the CPU itself: no driver offers a GPU%s",
                     report->node_count ? "" : ", nor has the kernel one");
    }
}

/* ---- of a child that did not answer ---- */

static void words_of(probe_end end, int why, int milliseconds, char *text, size_t size) {
    static const struct {
        int number;
        const char *name;
    } names[] = {{SIGSEGV, "SIGSEGV"}, {SIGABRT, "SIGABRT"}, {SIGBUS, "SIGBUS"}, {SIGILL, "SIGILL"}, {SIGFPE, "SIGFPE"},
                 {SIGKILL, "SIGKILL"}};
    const char *name = NULL;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        name = names[i].number == why ? names[i].name : name;
    if (end == PROBE_HUNG)
        snprintf(text, size, "does not answer within %d s", milliseconds / 1000);
    else if (name)
        snprintf(text, size, "crashes (%s)", name);
    else if (why)
        snprintf(text, size, "crashes (signal %d)", why);
    else
        snprintf(text, size, "ends the process");
}

static void note_culprit(const char *file, const char *words, probe_notes *notes) {
    tl__opencl_note(notes, "the driver of %.120s %s when asked for its devices: remove that file, or set OCL_ICD_VENDORS to the "
                    "file of the driver to use", file, words);
}

void tl__opencl_notes_of_end(probe_end end, int why, int milliseconds, const probe_vendors *vendors, probe_notes *notes) {
    static probe_report alone; /* under the lock of the probe */
    char words[64];
    words_of(end, why, milliseconds, words, sizeof(words));
    if (vendors->count == 1) {
        note_culprit(vendors->files[0], words, notes);
        return;
    }
    for (uint32_t i = 0; i < vendors->count; i++) {
        int signal = 0;
        probe_end single = tl__opencl_report_of_child(vendors->files[i], ALONE, &alone, &signal);
        if (single == PROBE_ANSWERED || single == PROBE_IMPOSSIBLE)
            continue;
        char own[64];
        words_of(single, signal, ALONE, own, sizeof(own));
        note_culprit(vendors->files[i], own, notes);
    }
    if (notes->count == 0)
        tl__opencl_note(notes, "OpenCL %s when asked for its devices, though no driver does so alone: set OCL_ICD_VENDORS to the "
                        "file of the driver to use (*.icd)", words);
}
