/* Runs a target over files and over the files of folders, where there is no libFuzzer: TARGET [PATH]...
 * Without arguments: over the files of the target's own folder, each also with its middle and its end off. */
#include "fuzz.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int number, failures;

static void run_file(const char *path, bool cut) {
    FILE *file = fopen(path, "rb");
    long size = file && fseek(file, 0, SEEK_END) == 0 ? ftell(file) : -1;
    uint8_t *data = size >= 0 ? malloc((size_t)size + 1) : NULL;
    bool good = data && fseek(file, 0, SEEK_SET) == 0 && fread(data, 1, (size_t)size, file) == (size_t)size;
    if (file)
        fclose(file);
    if (good) {
        LLVMFuzzerTestOneInput(data, (size_t)size);
        for (int i = 1; cut && i < 8; i++)
            LLVMFuzzerTestOneInput(data, (size_t)(size * i / 8));
    }
    printf("%s %d - %s\n", good ? "ok" : "not ok", ++number, path);
    failures += !good;
    free(data);
}

static void run(const char *path, bool cut) {
    DIR *entries = opendir(path);
    if (!entries) {
        run_file(path, cut);
        return;
    }
    for (struct dirent *entry; (entry = readdir(entries));) {
        char inner[4096];
        snprintf(inner, sizeof inner, "%.3800s/%.255s", path, entry->d_name);
        if (entry->d_name[0] != '.')
            run(inner, cut);
    }
    closedir(entries);
}

int main(int argc, char **argv) {
    const char *source = getenv("TL_TEST_SOURCE");
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", source ? source : ".", fuzz_folder);
    if (argc == 1)
        run(path, true);
    for (int i = 1; i < argc; i++)
        run(argv[i], false);
    printf("1..%d\n", number);
    return failures != 0;
}
