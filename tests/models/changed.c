/* Files that hold only what changed since the model was read from another one. */
#include "tests/models/support.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <tl/weights.h>

#include "models/base.h"
#include "models/frozen.h"
#include "tests/models/formula.h"
#include "tests/models/onnx_writer.h"

static char *path_of(const char *name) {
    return strdup(temporary(name));
}

static void add_one(tl_context *context, tl_model *model, const char *name) {
    int64_t count;
    float *values = read_all(model, name, &count);
    for (int64_t i = 0; i < count; i++)
        values[i] += 1;
    assert_ok(context, tl_model_write(model, name, values));
    free(values);
}

/* The file's tensors are these, in this order. */
static void expect_tensors(tl_context *context, const char *path, const char *names) {
    char found[512] = "";
    tl_weights *weights;
    assert_ok(context, tl_weights_open(context, path, &weights));
    for (size_t i = 0; i < tl_weights_count(weights); i++) {
        tl_weights_info info = {.size = sizeof info};
        assert_ok(context, tl_weights_tensor(weights, i, &info));
        snprintf(found + strlen(found), sizeof found - strlen(found), "%s%s", i ? " " : "", info.name);
    }
    tl_weights_close(weights);
    assert_string_equal(found, names);
}

static void copy_file(const char *from, const char *to) {
    char block[4096];
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    assert_non_null(in);
    assert_non_null(out);
    for (size_t got; (got = fread(block, 1, sizeof block, in)) > 0;)
        assert_int_equal(fwrite(block, 1, got, out), got);
    fclose(in);
    assert_int_equal(fclose(out), 0);
}

/* What is read is the model, and what is written of that whole is the file that the model itself gives. */
static void expect_same(tl_context *context, tl_model *model, const char *changed) {
    static char *whole, *direct;
    if (!whole) {
        whole = path_of("whole.safetensors");
        direct = path_of("direct.safetensors");
    }
    tl_model *opened = NULL;
    assert_ok(context, tl_model_open(context, changed, &opened));
    assert_true(same_values(model, opened));
    assert_ok(context, tl_model_save(opened, whole));
    assert_ok(context, tl_model_save(model, direct));
    assert_true(same_files(whole, direct));
    tl_model_destroy(opened);
}

static void test_round_trip(void **state) {
    (void)state;
    tl_context *context = context_create();
    const long blocks = context_blocks(context);
    char *base = path_of("base.safetensors"), *changed = path_of("changed.safetensors");
    tl_model *fresh = small_model(context), *model;
    assert_ok(context, formula_fill(fresh, 3));
    assert_ok(context, tl_model_save(fresh, base));
    assert_ok(context, tl_model_open(context, base, &model));
    assert_ok(context, tl_model_save_changed(model, changed));
    expect_tensors(context, changed, "");
    expect_same(context, model, changed);
    add_one(context, model, "fc.bias");
    add_one(context, model, "layer1.0.bn1.running_mean");
    add_one(context, model, "layer1.0.bn1.num_batches_tracked");
    assert_ok(context, tl_model_save_changed(model, changed));
    expect_tensors(context, changed, "layer1.0.bn1.num_batches_tracked layer1.0.bn1.running_mean fc.bias");
    expect_same(context, model, changed);
    /* Of another base it would be another. */
    assert_ok(context, tl_model_load_weights(model, changed, NULL));
    assert_ok(context, tl_model_load_weights(model, base, NULL));
    assert_true(same_values(model, fresh));
    add_one(context, model, "conv1.weight");
    assert_ok(context, tl_model_save_changed(model, changed));
    expect_tensors(context, changed, "conv1.weight");
    expect_same(context, model, changed);
    tl_model_destroy(model);
    tl_model_destroy(fresh);
    assert_int_equal(context_blocks(context), blocks);
    context_destroy(context);
    free(base);
    free(changed);
}

/* Bases as others write them: half precision, wrapped, with another head, views, input channels the other way round. */
static void test_formats(void **state) {
    (void)state;
    static const char *const files[] = {"zip.pth", "half.pth", "wrapped.pth", "channels-last.pth", "plain.safetensors", "other-head.pth"};
    tl_context *context = context_create();
    char *changed = path_of("formats.safetensors");
    for (size_t f = 0; f < TL__COUNT(files); f++)
        for (int bgr = 0; bgr < 2; bgr++) {
            const tl_weights_options options = {.size = sizeof options, .bgr = bgr};
            const bool other = strcmp(files[f], "other-head.pth") == 0;
            tl_model *model = small_model(context);
            assert_ok(context, tl_model_load_weights(model, checkpoint(files[f]), &options));
            add_one(context, model, "layer2.0.conv1.weight");
            assert_ok(context, tl_model_save_changed(model, changed));
            expect_tensors(context, changed, other ? "layer2.0.conv1.weight fc.weight fc.bias" : "layer2.0.conv1.weight");
            expect_same(context, model, changed);
            tl_model_destroy(model);
        }
    context_destroy(context);
    free(changed);
}

/* An ONNX file without torchvision's names, whose batch-norm is inside the convolution. */
static void test_folded(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *base = path_of("folded.onnx"), *changed = path_of("folded.safetensors");
    tl_model *from = model_create(context, "vgg11_bn", 3, TL_HEAD_LINEAR, 0.03), *model = model_create(context, "vgg11_bn", 3, TL_HEAD_LINEAR, 0.03);
    onnx_writer *writer = onnx_begin();
    int layer = 0;
    assert_ok(context, formula_fill(from, 5));
    for (size_t i = 0; i < from->parameter_count; i++) {
        const tl__parameter *p = from->parameters[i];
        if (p->kind != TL__PARAMETER_WEIGHT || p->rank != 4)
            continue;
        int64_t count;
        char names[2][32], inputs[80], output[32];
        float *weight = read_all(from, p->name, &count), *bias = read_all(from, from->parameters[i + 1]->name, &count);
        snprintf(names[0], sizeof names[0], "w%d", layer);
        snprintf(names[1], sizeof names[1], "b%d", layer);
        snprintf(inputs, sizeof inputs, "x%d %s %s", layer, names[0], names[1]);
        snprintf(output, sizeof output, "x%d", ++layer);
        onnx_tensor(writer, names[0], 4, p->shape, weight);
        onnx_tensor(writer, names[1], 1, &count, bias);
        onnx_node(writer, "Conv", inputs, output, false);
        free(weight);
        free(bias);
    }
    assert_true(onnx_end(writer, base));
    assert_ok(context, tl_model_load_weights(model, base, NULL));
    add_one(context, model, "features.1.bias");
    assert_ok(context, tl_model_save_changed(model, changed));
    expect_tensors(context, changed, "features.1.bias fc.weight fc.bias");
    expect_same(context, model, changed);
    tl_model_destroy(from);
    tl_model_destroy(model);
    context_destroy(context);
    free(base);
    free(changed);
}

/* A segmenter on a classifier's trunk; and what other networks take from files of changes, as from whole ones. */
static void test_other_networks(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *base = path_of("classifier.safetensors"), *changed = path_of("segmenter.safetensors"), *again = path_of("again.safetensors");
    char *whole = path_of("whole-segmenter.safetensors");
    tl_model_options options;
    tl_model *classifier = model_create(context, "resnet50", 7, TL_HEAD_NATIVE, 0.0625);
    tl_model *segmenter = model_create(context, "resnet50", 3, TL_HEAD_LITE, 0.0625), *opened;
    assert_ok(context, formula_fill(classifier, 3));
    assert_ok(context, tl_model_save(classifier, base));
    assert_ok(context, tl_model_load_weights(segmenter, base, NULL));
    assert_ok(context, tl_model_save_changed(segmenter, changed));
    expect_same(context, segmenter, changed);
    add_one(context, segmenter, "backbone.layer4.2.conv3.weight");
    assert_ok(context, tl_model_save_changed(segmenter, changed));
    expect_same(context, segmenter, changed);
    tl_model_destroy(segmenter);
    /* a classifier's changes give a segmenter its trunk, its own head stays new */
    assert_ok(context, tl_model_load_weights(classifier, base, NULL));
    add_one(context, classifier, "conv1.weight");
    add_one(context, classifier, "fc.weight");
    assert_ok(context, tl_model_save_changed(classifier, again));
    assert_ok(context, tl_model_save(classifier, whole));
    tl_model *taken[2];
    for (int i = 0; i < 2; i++) {
        taken[i] = model_create(context, "resnet50", 3, TL_HEAD_LITE, 0.0625);
        assert_ok(context, tl_model_load_weights(taken[i], i ? whole : again, NULL));
    }
    assert_true(same_values(taken[0], taken[1]));
    tl_model_destroy(taken[0]);
    tl_model_destroy(taken[1]);
    /* and a classifier with as many classes as the base, not the file, keeps its head */
    assert_ok(context, tl_model_open(context, again, &opened));
    assert_true(same_values(opened, classifier));
    tl_model_destroy(opened);
    tl_model_options_init(&options, sizeof options);
    tl_model *three = model_create(context, "resnet50", 3, TL_HEAD_NATIVE, 0.0625);
    assert_ok(context, tl_model_load_weights(three, base, NULL));
    assert_ok(context, tl_model_save_changed(three, changed));
    expect_tensors(context, changed, "fc.weight fc.bias");
    tl_model *seven = model_create(context, "resnet50", 7, TL_HEAD_NATIVE, 0.0625), *fresh = model_create(context, "resnet50", 7, TL_HEAD_NATIVE, 0.0625);
    assert_ok(context, tl_model_load_weights(seven, changed, NULL));
    int64_t count;
    float *have = read_all(seven, "fc.weight", &count), *want = read_all(fresh, "fc.weight", &count);
    assert_memory_equal(have, want, (size_t)count * sizeof *have);
    free(have);
    free(want);
    tl_model_destroy(three);
    tl_model_destroy(seven);
    tl_model_destroy(fresh);
    tl_model_destroy(classifier);
    context_destroy(context);
    free(base);
    free(changed);
    free(again);
    free(whole);
}

/* Each file the base of the next, as far as it goes; a file that is its own base. */
static void test_chain(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *files[11];
    tl_model *model = small_model(context);
    for (int i = 0; i < 11; i++) {
        char name[32];
        snprintf(name, sizeof name, "chain%d.safetensors", i);
        files[i] = path_of(name);
    }
    assert_ok(context, tl_model_save(model, files[0]));
    for (int i = 1; i <= TL__BASE_DEPTH; i++) {
        assert_ok(context, tl_model_load_weights(model, files[i - 1], NULL));
        add_one(context, model, i % 2 ? "fc.bias" : "conv1.weight");
        assert_ok(context, tl_model_save_changed(model, files[i]));
        expect_tensors(context, files[i], i % 2 ? "fc.bias" : "conv1.weight");
        expect_same(context, model, files[i]);
    }
    assert_ok(context, tl_model_load_weights(model, files[TL__BASE_DEPTH], NULL));
    assert_fails(context, tl_model_save_changed(model, files[9]), TL_ERROR_LIMIT, "more than 8 files");
    assert_int_not_equal(access(files[9], F_OK), 0);
    assert_ok(context, tl_model_load_weights(model, files[TL__BASE_DEPTH - 1], NULL));
    for (int i = 0; i < TL__BASE_DEPTH; i++)
        assert_fails(context, tl_model_save_changed(model, files[i]), TL_ERROR_ARGUMENT, "needs as its base");
    tl_model_destroy(model);

    copy_file(files[2], files[1]); /* which says that its base is files[1] */
    tl_model *opened = NULL;
    assert_fails(context, tl_model_open(context, files[1], &opened), TL_ERROR_LIMIT, "more than 8 files");
    assert_null(opened);
    context_destroy(context);
    for (int i = 0; i < 11; i++)
        free(files[i]);
}

/* Where the base is looked for, and what is said of it. */
static void test_places(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *top = path_of("top"), paths[9][600];
    static const char *const names[] = {"weights/base.safetensors", "runs/changed.safetensors", "moved", "moved/weights/base.safetensors",
                                        "moved/runs/changed.safetensors", "moved/runs/base.safetensors", "weights", "runs", "away.safetensors"};
    enum { BASE, CHANGED, MOVED, MOVED_BASE, MOVED_CHANGED, BESIDE, WEIGHTS, RUNS, AWAY };
    for (int i = 0; i < 9; i++)
        snprintf(paths[i], sizeof paths[i], "%s/%s", top, names[i]);
    assert_int_equal(mkdir(top, 0777) | mkdir(paths[WEIGHTS], 0777) | mkdir(paths[RUNS], 0777) | mkdir(paths[MOVED], 0777), 0);
    tl_model *model = small_model(context), *opened = NULL;
    assert_ok(context, tl_model_save(model, paths[BASE]));
    assert_ok(context, tl_model_load_weights(model, paths[BASE], NULL));
    add_one(context, model, "fc.bias");
    assert_ok(context, tl_model_save_changed(model, paths[CHANGED]));
    expect_same(context, model, paths[CHANGED]);

    /* the file alone was moved: by the absolute path */
    assert_int_equal(rename(paths[CHANGED], paths[AWAY]), 0);
    expect_same(context, model, paths[AWAY]);
    assert_int_equal(rename(paths[AWAY], paths[CHANGED]), 0);
    /* the whole was moved: by the relative one */
    char folders[2][620];
    snprintf(folders[0], sizeof folders[0], "%s/weights", paths[MOVED]);
    snprintf(folders[1], sizeof folders[1], "%s/runs", paths[MOVED]);
    assert_int_equal(rename(paths[WEIGHTS], folders[0]) | rename(paths[RUNS], folders[1]), 0);
    expect_same(context, model, paths[MOVED_CHANGED]);
    /* beside it */
    assert_int_equal(rename(paths[MOVED_BASE], paths[BESIDE]), 0);
    expect_same(context, model, paths[MOVED_CHANGED]);
    /* gone */
    assert_int_equal(rename(paths[BESIDE], paths[AWAY]), 0);
    assert_fails(context, tl_model_open(context, paths[MOVED_CHANGED], &opened), TL_ERROR_NOT_FOUND, paths[MOVED_CHANGED]);
    for (int i = 0; i < 2; i++)
        assert_non_null(strstr(tl_context_message(context), i ? paths[BESIDE] : paths[BASE]));
    assert_non_null(strstr(tl_context_message(context), "/../weights/base.safetensors: No such file"));
    /* another one where it was */
    add_one(context, model, "layer1.0.conv1.weight");
    assert_ok(context, tl_model_save(model, paths[MOVED_BASE]));
    assert_fails(context, tl_model_open(context, paths[MOVED_CHANGED], &opened), TL_ERROR_WEIGHTS, paths[MOVED_CHANGED]);
    assert_non_null(strstr(tl_context_message(context), "/../weights/base.safetensors: is not what the file was made from"));
    assert_fails(context, tl_model_load_weights(model, paths[MOVED_CHANGED], NULL), TL_ERROR_WEIGHTS, "is not what the file was made from");
    /* and the right one beside it */
    assert_int_equal(rename(paths[AWAY], paths[BESIDE]), 0);
    assert_ok(context, tl_model_open(context, paths[MOVED_CHANGED], &opened));
    tl_model_destroy(opened);
    /* what is no file of weights */
    assert_int_equal(unlink(paths[BESIDE]) | unlink(paths[MOVED_BASE]), 0);
    assert_int_equal(mkdir(paths[BESIDE], 0777), 0);
    assert_fails(context, tl_model_open(context, paths[MOVED_CHANGED], &opened), TL_ERROR_IO, "is a folder");
    assert_int_equal(rmdir(paths[BESIDE]), 0);
    copy_file(checkpoint("evil-system.pth"), paths[BESIDE]);
    assert_fails(context, tl_model_open(context, paths[MOVED_CHANGED], &opened), TL_ERROR_FORMAT, paths[BESIDE]);
    tl_model_destroy(model);
    context_destroy(context);
    assert_int_equal(unlink(paths[BESIDE]) | unlink(paths[MOVED_CHANGED]), 0);
    assert_int_equal(rmdir(folders[0]) | rmdir(folders[1]) | rmdir(paths[MOVED]) | rmdir(top), 0);
    free(top);
}

static void test_refused(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *base = path_of("kept.safetensors"), *changed = path_of("refused.safetensors"), *odd = path_of("\xff.safetensors");
    tl_model *model = small_model(context);
    assert_fails(context, tl_model_save_changed(model, changed), TL_ERROR_ARGUMENT, "was not read from a file");
    assert_ok(context, tl_model_save(model, base));
    assert_ok(context, tl_model_load_weights(model, base, NULL));
    assert_fails(context, tl_model_save_changed(model, "/nowhere/at/all"), TL_ERROR_IO, "/nowhere/at/all");
    assert_fails(context, tl_model_save_changed(model, base), TL_ERROR_ARGUMENT, "needs as its base");
    /* a link to the base may be replaced: the base stays */
    assert_int_equal(symlink(base, changed), 0);
    assert_ok(context, tl_model_save_changed(model, changed));
    expect_same(context, model, changed);
    /* the base was written to, or is gone */
    assert_int_equal(utimensat(AT_FDCWD, base, (struct timespec[2]){{1, 0}, {1, 0}}, 0), 0);
    assert_int_equal(unlink(changed), 0);
    assert_fails(context, tl_model_save_changed(model, changed), TL_ERROR_NOT_FOUND, base);
    assert_ok(context, tl_model_load_weights(model, base, NULL));
    assert_int_equal(rename(base, odd), 0);
    assert_fails(context, tl_model_save_changed(model, changed), TL_ERROR_NOT_FOUND, base);
    assert_ok(context, tl_model_load_weights(model, odd, NULL));
    assert_fails(context, tl_model_save_changed(model, changed), TL_ERROR_ARGUMENT, "is not UTF-8");
    assert_int_not_equal(access(changed, F_OK), 0);
    tl_model_destroy(model);

    /* no room: nothing is left of the file */
    struct rlimit limit, small = {.rlim_cur = 1000};
    assert_int_equal(rename(odd, base), 0);
    assert_ok(context, tl_model_open(context, base, &model));
    add_one(context, model, "fc.weight");
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small.rlim_max = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    tl_status status = tl_model_save_changed(model, changed);
    setrlimit(RLIMIT_FSIZE, &limit);
    signal(SIGXFSZ, SIG_DFL);
    assert_fails(context, status, TL_ERROR_IO, changed);
    assert_int_not_equal(access(changed, F_OK), 0);
    tl_model_destroy(model);
    context_destroy(context);
    free(base);
    free(changed);
    free(odd);
}

/* What hostile or broken files say. */
static void test_malformed(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *base = path_of("malformed-base.safetensors"), *changed = path_of("malformed.safetensors");
    tl_model *model = small_model(context), *opened = NULL;
    assert_ok(context, tl_model_save(model, base));
#define OF(text) {(char *)"libtl.base", (char *)text}
#define GOOD "{\"file\":\"malformed-base.safetensors\",\"path\":\"/x\",\"hash\":\"0\",\"tensors\":1}"
    static const struct {
        tl__metadata base;
        const char *arch, *tensor;
        int64_t size;
        tl_status status;
        const char *text;
    } cases[] = {
        {OF(""), "resnet18", NULL, 0, TL_ERROR_FORMAT, "metadata libtl.base"},
        {OF("[]"), "resnet18", NULL, 0, TL_ERROR_FORMAT, "metadata libtl.base"},
        {OF("{\"file\":\"x\"}"), "resnet18", NULL, 0, TL_ERROR_FORMAT, "metadata libtl.base"},
        {OF("{\"file\":1,\"path\":\"/x\",\"hash\":\"0\",\"tensors\":1}"), "resnet18", NULL, 0, TL_ERROR_FORMAT, "metadata libtl.base"},
        {OF("{\"file\":\"x\",\"path\":\"/x\",\"hash\":\"0\",\"tensors\":1,\"bgr\":2}"), "resnet18", NULL, 0, TL_ERROR_FORMAT, "metadata libtl.base"},
        {OF("{\"file\":\"\",\"path\":\"\",\"hash\":\"\",\"tensors\":1}"), "resnet18", NULL, 0, TL_ERROR_IO, "is a folder"},
        {OF(GOOD), "resnet9", NULL, 0, TL_ERROR_FORMAT, "resnet9"},
        {OF(GOOD), "resnet18", "layer9.weight", 5, TL_ERROR_WEIGHTS, "extra layer9.weight"},
        {OF(GOOD), "resnet18", "fc.bias", 4, TL_ERROR_WEIGHTS, "fc.bias is [4], not [5]"},
        {OF(GOOD), "resnet18", "fc.bias", 5, TL_ERROR_WEIGHTS, "is not what the file was made from"},
        {OF(GOOD), "resnet50", "fc.bias", 5, TL_ERROR_WEIGHTS, "does not fit resnet50"},
    };
    static const float values[8];
    for (size_t i = 0; i < TL__COUNT(cases); i++) {
        const tl__metadata metadata[] = {cases[i].base, {(char *)"libtl.arch", (char *)cases[i].arch}, {(char *)"libtl.width", (char *)"0.0625"},
                                         {(char *)"libtl.layers", (char *)"[1,1,1,1]"}, {(char *)"libtl.class_count", (char *)"5"}};
        const tl__output output = {.name = cases[i].tensor, .dtype = TL_DTYPE_F32, .rank = 1, .shape = {cases[i].size}, .data = values};
        tl_status (*nothing)(void *, size_t, void *) = NULL;
        assert_ok(context, tl__safetensors_write(context, changed, NULL, 0, metadata, 5, nothing, NULL));
        if (output.name) {
            char *header;
            size_t bytes;
            FILE *file = fopen(changed, "wb");
            assert_non_null(file);
            assert_ok(context, tl__safetensors_header(context, changed, &output, 1, metadata, 5, &header, &bytes));
            assert_int_equal(fwrite(header, 1, bytes, file) + fwrite(values, 4, (size_t)output.shape[0], file), bytes + (size_t)output.shape[0]);
            assert_int_equal(fclose(file), 0);
            tl__free(context, header);
        }
        assert_fails(context, tl_model_open(context, changed, &opened), cases[i].status, cases[i].text);
        assert_fails(context, tl_model_load_weights(model, changed, NULL), cases[i].status, cases[i].text);
        assert_null(opened);
    }
    tl_model_destroy(model);
    context_destroy(context);
    free(base);
    free(changed);
}

/* The hash in the file is the one that training shows of what was frozen. */
static void test_hash(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *base = path_of("hashed.safetensors"), *changed = path_of("hashed-changed.safetensors"), text[33];
    tl_model *model = small_model(context);
    tl_weights *weights;
    assert_ok(context, tl_model_save(model, base));
    assert_ok(context, tl_model_load_weights(model, base, NULL));
    bool *learned = calloc(model->parameter_count, sizeof *learned);
    for (size_t i = 0; i < model->parameter_count; i++)
        learned[i] = strncmp(model->parameters[i]->name, "fc.", 3) == 0;
    tl__hash hash;
    size_t count;
    assert_ok(context, tl__frozen_hash(model, learned, false, &hash, &count));
    tl__hash_text(hash, text);
    add_one(context, model, "fc.weight");
    add_one(context, model, "fc.bias");
    assert_ok(context, tl_model_save_changed(model, changed));
    assert_ok(context, tl_weights_open(context, changed, &weights));
    const char *key, *value;
    bool found = false;
    for (size_t i = 0; (key = tl_weights_metadata(weights, i, &value)); i++)
        if (strcmp(key, "libtl.base") == 0)
            found = strstr(value, text) && strstr(value, "\"file\":\"hashed.safetensors\"") && !strstr(value, "bgr");
    assert_true(found);
    tl_weights_close(weights);
    free(learned);
    tl_model_destroy(model);
    context_destroy(context);
    free(base);
    free(changed);
}

/* Whatever allocation fails: nothing leaks, nothing is left on disk, and a model that is loaded into is as before. */
static void test_memory_failures(void **state) {
    (void)state;
    tl_context *context = context_create();
    char *changed = path_of("memory.safetensors"), *written = path_of("memory-written.safetensors");
    const tl_weights_options swap = {.size = sizeof swap, .bgr = true};
    tl_model *model = small_model(context), *other = small_model(context), *fresh = small_model(context);
    assert_ok(context, tl_model_load_weights(model, checkpoint("zip.pth"), &swap));
    add_one(context, model, "fc.bias");
    assert_ok(context, tl_model_save_changed(model, changed));
    tl_status status = TL_ERROR_MEMORY;
    for (long n = 1; status == TL_ERROR_MEMORY; n++) {
        const long before = context_blocks(context);
        context_fail_after(context, n);
        status = tl_model_save_changed(model, written);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        assert_int_equal(context_blocks(context), before);
        assert_int_equal(access(written, F_OK) == 0, status == TL_OK);
    }
    status = TL_ERROR_MEMORY;
    for (long n = 1; status != TL_OK; n += 1 + n / 40) {
        const long before = context_blocks(context);
        context_fail_after(context, n);
        status = tl_model_load_weights(other, changed, NULL);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        if (status != TL_OK) {
            assert_int_equal(context_blocks(context), before);
            assert_true(same_values(other, fresh));
        }
    }
    assert_true(same_values(other, model));
    status = TL_ERROR_MEMORY;
    for (long n = 1; status != TL_OK; n += 1 + n / 20) {
        tl_model *opened = NULL;
        const long before = context_blocks(context);
        context_fail_after(context, n);
        status = tl_model_open(context, changed, &opened);
        context_fail_after(context, 0);
        assert_true(status == TL_OK || status == TL_ERROR_MEMORY);
        tl_model_destroy(opened);
        assert_int_equal(context_blocks(context), before);
    }
    tl_model_destroy(model);
    tl_model_destroy(other);
    tl_model_destroy(fresh);
    context_destroy(context);
    free(changed);
    free(written);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip), cmocka_unit_test(test_formats),   cmocka_unit_test(test_folded),
        cmocka_unit_test(test_other_networks), cmocka_unit_test(test_chain), cmocka_unit_test(test_places),
        cmocka_unit_test(test_refused),    cmocka_unit_test(test_malformed), cmocka_unit_test(test_hash),
        cmocka_unit_test(test_memory_failures)};
    return cmocka_run_group_tests_name("files of what changed", tests, NULL, NULL);
}
