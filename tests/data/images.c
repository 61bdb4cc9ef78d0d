/* images [DIR]: every file that DIR/index.json lists as good must give the bytes of NAME.rgb, every bad one an error
 * that names the file and touches nothing. Without DIR: tests/data/pictures. */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include <tl/image.h>

static int cases, failures;

static void report(bool passed, const char *file, const char *note, const char *why) {
    cases++;
    failures += !passed;
    printf("%sok %d - %s%s%s\n", passed ? "" : "not ", cases, file, *note ? ": " : "", note);
    if (!passed)
        printf("# %s\n", why);
}

static const char *text_of(const json_t *entry, const char *key) {
    const char *text = json_string_value(json_object_get(entry, key));
    return text ? text : "";
}

static int number_of(const json_t *entry, const char *key, int otherwise) {
    const json_t *value = json_object_get(entry, key);
    return json_is_integer(value) ? (int)json_integer_value(value) : otherwise;
}

/* A bad entry may be a name alone; a good one too, which then has the default sizes. */
static const char *file_of(const json_t *entry) {
    return json_is_string(entry) ? json_string_value(entry) : text_of(entry, "file");
}

static void preprocess_of(const json_t *entry, tl_preprocess *preprocess) {
    tl_preprocess_init(preprocess, sizeof *preprocess);
    preprocess->resize = number_of(entry, "resize", preprocess->resize);
    preprocess->crop = number_of(entry, "crop", preprocess->crop);
    const char *alpha = text_of(entry, "alpha");
    preprocess->alpha = strcmp(alpha, "white") == 0   ? TL_ALPHA_WHITE
                        : strcmp(alpha, "black") == 0 ? TL_ALPHA_BLACK
                                                      : TL_ALPHA_DROP;
}

static void good(tl_context *context, const char *folder, const json_t *entry) {
    const char *file = file_of(entry), *note = text_of(entry, "note");
    char path[8192], why[9000];
    tl_preprocess preprocess;
    preprocess_of(entry, &preprocess);
    size_t bytes = (size_t)preprocess.crop * (size_t)preprocess.crop * 3;
    uint8_t *got = malloc(bytes), *expected = malloc(bytes + 1);
    snprintf(path, sizeof path, "%s/%s.rgb", folder, file);
    FILE *stream = fopen(path, "rb");
    if (!got || !expected || !stream || fread(expected, 1, bytes + 1, stream) != bytes) {
        snprintf(why, sizeof why, "%s does not hold %zu bytes", path, bytes);
        report(false, file, note, why);
    } else {
        snprintf(path, sizeof path, "%s/%s", folder, file);
        tl_status status = tl_image_load(context, path, &preprocess, got);
        size_t differ = 0, first = 0;
        for (size_t i = bytes; status == TL_OK && i-- > 0;)
            if (got[i] != expected[i]) {
                differ++;
                first = i;
            }
        if (status != TL_OK)
            snprintf(why, sizeof why, "%s", tl_context_message(context));
        else if (differ)
            snprintf(why, sizeof why, "%zu of %zu bytes differ, the first at %zu: %d instead of %d", differ, bytes,
                     first, got[first], expected[first]);
        report(status == TL_OK && !differ, file, note, why);
    }
    if (stream)
        fclose(stream);
    free(got);
    free(expected);
}

static void bad(tl_context *context, const char *folder, const json_t *entry) {
    const char *file = file_of(entry);
    char path[8192], why[9000];
    tl_preprocess preprocess;
    preprocess_of(entry, &preprocess);
    size_t bytes = (size_t)preprocess.crop * (size_t)preprocess.crop * 3, touched = 0;
    uint8_t *got = malloc(bytes);
    if (!got)
        return report(false, file, "is refused", "out of memory");
    memset(got, 0xa5, bytes);
    snprintf(path, sizeof path, "%s/%s", folder, file);
    tl_status status = tl_image_load(context, path, &preprocess, got);
    for (size_t i = 0; i < bytes; i++)
        touched += got[i] != 0xa5;
    const char *message = tl_context_message(context);
    bool named = strstr(message, file) != NULL;
    snprintf(why, sizeof why, "status %d, message \"%s\", %zu bytes touched", (int)status, message, touched);
    report(status != TL_OK && named && !touched, file, "is refused", why);
    free(got);
}

int main(int argc, char **argv) {
    char folder[4096], path[8192];
    const char *source = getenv("TL_TEST_SOURCE");
    if (argc > 1)
        snprintf(folder, sizeof folder, "%s", argv[1]);
    else
        snprintf(folder, sizeof folder, "%s/tests/data/pictures", source ? source : ".");
    snprintf(path, sizeof path, "%s/index.json", folder);
    json_error_t error;
    json_t *index = json_load_file(path, 0, &error);
    if (!index) {
        printf("Bail out! %s: %s\n", path, error.text);
        return 1;
    }
    tl_context *context;
    if (tl_context_create(NULL, &context) != TL_OK) {
        printf("Bail out! no context\n");
        json_decref(index);
        return 1;
    }
    const json_t *goods = json_object_get(index, "good"), *bads = json_object_get(index, "bad");
    printf("1..%zu\n", json_array_size(goods) + json_array_size(bads));
    for (size_t i = 0; i < json_array_size(goods); i++)
        good(context, folder, json_array_get(goods, i));
    for (size_t i = 0; i < json_array_size(bads); i++)
        bad(context, folder, json_array_get(bads, i));
    if (!cases)
        printf("# %s lists nothing\n", path);
    tl_context_destroy(context);
    json_decref(index);
    return failures || !cases;
}
