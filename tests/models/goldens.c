/* goldens [DIR] [--device NAME]: runs every case in DIR (the project's own copy where none is given) on a device and
 * compares with the results in the files. TAP; the comments say how near to its tolerance each group came.
 * TL_GOLDENS_SKIP names one case that is reported as skipped: for builds whose code generation rounds otherwise, where a
 * case that hangs on rounding (HACKING.md) says nothing. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/models/goldens.h"

static const char *const groups[GROUP_COUNT] = {"logits", "features", "losses", "grad", "after", "norm", "out", "aux"};

static void print_log(void *user, tl_log_level level, const char *text) {
    (void)user, (void)level;
    printf("# %s\n", text);
}

static int is_case(const struct dirent *entry) {
    size_t length = strlen(entry->d_name);
    return length > 12 && entry->d_name[0] != '.' && strcmp(entry->d_name + length - 12, ".safetensors") == 0;
}

static bool report(const golden *g) {
    bool good = !g->problem[0];
    printf("#  ");
    for (int i = 0; i < GROUP_COUNT; i++)
        if (!(g->error[i] < 0))
            printf(" %s %.3f", groups[i], g->error[i] / g->tolerance[i]);
    printf(" (error / tolerance)\n");
    for (int i = 0; i < GROUP_COUNT; i++)
        if (!(g->error[i] <= g->tolerance[i])) {
            good = false;
            printf("#   %s: %.3g where %.3g is allowed\n", g->worst[i], g->error[i], g->tolerance[i]);
        }
    if (g->problem[0])
        printf("#   %s\n", g->problem);
    return good;
}

static bool run_case(int number, const char *folder, const char *file, tl_context *context, tl_device *device, tl_device *fallback) {
    char path[4096 + 256];
    snprintf(path, sizeof path, "%.4090s/%.255s", folder, file);
    golden g;
    const char *left_out = getenv("TL_GOLDENS_SKIP");
    size_t length = strlen(file) - 12;
    if (left_out && strlen(left_out) == length && strncmp(left_out, file, length) == 0) {
        printf("ok %d - %s # SKIP hangs on rounding, see HACKING.md\n", number, left_out);
        return true;
    }
    bool good = golden_open(&g, context, path);
    if (good) {
        if (g.train)
            golden_train(&g, device);
        else
            golden_forward(&g, device, fallback);
        good = report(&g);
    } else {
        printf("#   %s\n", g.problem);
    }
    printf("%sok %d - %.*s\n", good ? "" : "not ", number, (int)strlen(file) - 12, file);
    fflush(stdout);
    golden_close(&g);
    return good;
}

static int usage(void) {
    fprintf(stderr, "usage: goldens [DIR] [--device NAME]\n");
    return 2;
}

static bool open_devices(tl_context *context, const char *name, tl_device **device, tl_device **fallback) {
    if (tl_device_open(context, name, NULL, device) == TL_OK &&
        (strcmp(tl_device_name(*device), "cpu") == 0 || tl_device_open(context, "cpu", NULL, fallback) == TL_OK))
        return true;
    printf("Bail out! %s: %s\n", name, tl_context_message(context));
    return false;
}

int main(int argc, char **argv) {
    char own[4096];
    const char *folder = NULL, *name = "cpu", *source = getenv("TL_TEST_SOURCE");
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--device") == 0 && i + 1 < argc)
            name = argv[++i];
        else if (argv[i][0] == '-' || folder)
            return usage();
        else
            folder = argv[i];
    }
    snprintf(own, sizeof own, "%s/tests/models/data", source ? source : TEST_SOURCE);
    if (!folder)
        folder = own;

    struct dirent **files;
    int count = scandir(folder, &files, is_case, alphasort), failed = 0;
    if (count <= 0) {
        printf("Bail out! %s: no cases\n", folder);
        return 1;
    }
    tl_context_options options = {.size = sizeof options, .log = print_log, .log_level = TL_LOG_WARNING};
    tl_context *context = NULL;
    tl_device *device = NULL, *fallback = NULL;
    if (tl_context_create(&options, &context) != TL_OK || !open_devices(context, name, &device, &fallback))
        return 1;
    printf("1..%d\n", count);
    for (int i = 0; i < count; i++) {
        failed += !run_case(i + 1, folder, files[i]->d_name, context, device, fallback);
        free(files[i]);
    }
    free(files);
    tl_device_close(fallback);
    tl_device_close(device);
    tl_context_destroy(context);
    return failed ? 1 : 0;
}
