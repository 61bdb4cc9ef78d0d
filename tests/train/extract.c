/* tl_features: what they are, and the files that hold them, read without libraries for those. */
#include "support.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/formats.h"

enum { SIZE = 32, CLASSES = 3, EACH = 4, IMAGES = CLASSES * EACH };

typedef test_job fixture;

static void begin(fixture *x, const char *arch) {
    x->context = test_context(NULL);
    x->device = test_device(x->context, 2);
    test_job_begin(x, arch, CLASSES, EACH, 40, SIZE);
}

static tl_features *extract(fixture *x, const char *at, int batch, const char *cache) {
    tl_features *features;
    tl_features_options options;
    tl_features_options_init(&options, sizeof options);
    options.at = at;
    options.batch = batch;
    options.cache_folder = cache;
    ok(tl_features_create(x->model, x->device, x->data, &options, &features), x->context);
    return features;
}

static float *read_all(const tl_features *features, tl_features_info *info) {
    *info = (tl_features_info){.size = sizeof *info};
    tl_features_describe(features, info);
    assert_int_equal(info->images, IMAGES);
    assert_int_equal(info->count, info->shape[0] * info->shape[1] * info->shape[2]);
    float *values = malloc((size_t)(info->images * info->count) * sizeof *values);
    for (size_t i = 0; i < (size_t)info->images; i++)
        tl_features_read(features, i, values + i * (size_t)info->count);
    return values;
}

/* The last layer, done by hand on the features, gives the logits that the whole network gives. */
static void test_head_on_features(void **state) {
    (void)state;
    const char *const archs[] = {"resnet18", "resnet50", "vgg11_bn"}, *const nodes[] = {"avgpool", "avgpool",
                                                                                        "classifier.4"};
    for (int a = 0; a < 3; a++) {
        fixture x;
        begin(&x, archs[a]);
        tl_features *features = extract(&x, NULL, 5, NULL);
        tl_features_info info;
        float *values = read_all(features, &info), *weight = malloc((size_t)(CLASSES * info.count) * sizeof *weight),
              bias[CLASSES], logits[CLASSES];
        assert_string_equal(info.at, nodes[a]);
        assert_int_equal(info.images_found, 0);
        assert_null(info.cache_file);
        const char *head = a < 2 ? "fc" : "classifier.6";
        char name[64];
        snprintf(name, sizeof name, "%s.weight", head);
        ok(tl_model_read(x.model, name, weight), x.context);
        snprintf(name, sizeof name, "%s.bias", head);
        ok(tl_model_read(x.model, name, bias), x.context);
        tl_predictor *predictor;
        ok(tl_predictor_create(x.model, x.device, 1, SIZE, SIZE, &predictor), x.context);
        for (size_t i = 0; i < IMAGES; i++) {
            uint8_t rgb[SIZE * SIZE * 3];
            ok(tl_image_load(x.context, tl_dataset_path(x.data, i), tl_model_preprocess(x.model), rgb), x.context);
            ok(tl_predictor_run(predictor, rgb, 1, logits), x.context);
            for (int c = 0; c < CLASSES; c++) {
                double sum = bias[c], size = fabs(sum);
                for (int64_t k = 0; k < info.count; k++) {
                    double product = (double)weight[c * info.count + k] * (double)values[(int64_t)i * info.count + k];
                    sum += product;
                    size += fabs(product);
                }
                /* float32's rounding of every product and sum, at worst */
                assert_true(fabs(sum - (double)logits[c]) <= (double)info.count * 0x1p-23 * size + 1e-30);
            }
        }
        tl_predictor_destroy(predictor);
        free(weight);
        free(values);
        tl_features_destroy(features);
        test_job_end(&x);
    }
}

/* Channels first, as PyTorch has a map: their means over rows and columns are what the pooling after them gives. */
static void test_order_of_maps(void **state) {
    (void)state;
    fixture x;
    begin(&x, "resnet18");
    tl_features *map = extract(&x, "layer3", 5, NULL), *last = extract(&x, "layer4", 5, NULL),
                *pooled = extract(&x, "avgpool", 3, NULL);
    tl_features_info m, l, p;
    float *a = read_all(map, &m), *b = read_all(last, &l), *c = read_all(pooled, &p);
    assert_string_equal(m.at, "layer3.0.relu");
    assert_int_equal(m.shape[0], 16);
    assert_int_equal(m.shape[1], 2);
    assert_int_equal(m.shape[2], 2);
    assert_int_equal(l.count, p.count * l.shape[1] * l.shape[2]);
    int64_t area = l.shape[1] * l.shape[2];
    for (int64_t i = 0; i < IMAGES * p.count; i++) {
        double mean = 0;
        for (int64_t k = 0; k < area; k++)
            mean += (double)b[i * area + k] / (double)area;
        assert_true(fabs(mean - (double)c[i]) <= 1e-6 * fabs(mean));
    }
    free(a);
    free(b);
    free(c);
    tl_features_destroy(map);
    tl_features_destroy(last);
    tl_features_destroy(pooled);
    test_job_end(&x);
}

static void test_cached(void **state) {
    (void)state;
    fixture x;
    char cache[4200], *base = test_folder(0, 0, 0);
    begin(&x, "resnet50");
    snprintf(cache, sizeof cache, "%s/cache", base);
    tl_features *without = extract(&x, NULL, 4, NULL), *first = extract(&x, NULL, 4, cache),
                *second = extract(&x, NULL, 7, cache);
    tl_features_info a, b, c;
    float *u = read_all(without, &a), *v = read_all(first, &b), *w = read_all(second, &c);
    assert_int_equal(b.images_found, 0);
    assert_int_equal(c.images_found, IMAGES);
    assert_string_equal(b.cache_file, c.cache_file);
    assert_memory_equal(u, v, (size_t)(IMAGES * a.count) * sizeof *u);
    assert_memory_equal(u, w, (size_t)(IMAGES * a.count) * sizeof *u);
    free(u);
    free(v);
    free(w);
    tl_features_destroy(without);
    tl_features_destroy(first);
    tl_features_destroy(second);
    test_job_end(&x);
    free(base);
}

static void test_safetensors(void **state) {
    (void)state;
    fixture x;
    char path[4200];
    begin(&x, "resnet18");
    tl_features *features = extract(&x, "layer3", 5, NULL);
    tl_features_info info;
    float *values = read_all(features, &info), *read = malloc((size_t)(IMAGES * info.count) * sizeof *read),
          labels[IMAGES];
    snprintf(path, sizeof path, "%s/f.safetensors", x.folder);
    ok(tl_features_save(features, path, TL_FEATURES_SAFETENSORS), x.context);
    tl__archive *archive;
    ok(tl__archive_open(x.context, path, &archive), x.context);
    const tl__entry *entry = tl__archive_find(archive, "features"), *label = tl__archive_find(archive, "labels");
    assert_non_null(entry);
    assert_non_null(label);
    assert_int_equal(entry->dtype, TL_DTYPE_F32);
    assert_int_equal(entry->rank, 2);
    assert_int_equal(entry->shape[0], IMAGES);
    assert_int_equal(entry->shape[1], info.count);
    assert_int_equal(label->dtype, TL_DTYPE_I64);
    tl__entry_read_f32(entry, 0, entry->count, read);
    assert_memory_equal(read, values, (size_t)(IMAGES * info.count) * sizeof *read);
    tl__entry_read_f32(label, 0, label->count, labels);
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal((int)labels[i], i / EACH);
    assert_string_equal(tl__archive_get(archive, "libtl.classes"), "[\"class0\",\"class1\",\"class2\"]");
    assert_string_equal(tl__archive_get(archive, "libtl.node"), "layer3.0.relu");
    assert_non_null(strstr(tl__archive_get(archive, "libtl.files"), "/class2/3.png\"]"));
    tl__archive_close(archive);
    free(read);
    free(values);
    tl_features_destroy(features);
    test_job_end(&x);
}

/* A .npy file's data after its header, which must say this. */
static const uint8_t *npy_data(const tl__mapping *file, const char *header) {
    const uint8_t *d = file->data;
    assert_true(file->size > 10);
    assert_memory_equal(d, "\x93NUMPY\x01\x00", 8);
    size_t length = d[8] | (size_t)d[9] << 8;
    assert_int_equal((10 + length) % 64, 0);
    assert_int_equal(d[9 + length], '\n');
    assert_memory_equal(d + 10, header, strlen(header));
    for (size_t i = 10 + strlen(header); i < 9 + length; i++)
        assert_int_equal(d[i], ' ');
    return d + 10 + length;
}

static void map(fixture *x, const char *name, tl__mapping *mapping) {
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", x->folder, name);
    ok(tl__map(x->context, path, mapping), x->context);
}

static void test_npy(void **state) {
    (void)state;
    fixture x;
    char path[4200], header[200];
    begin(&x, "resnet18");
    tl_features *features = extract(&x, NULL, 5, NULL);
    tl_features_info info;
    float *values = read_all(features, &info);
    snprintf(path, sizeof path, "%s/f.npy", x.folder);
    ok(tl_features_save(features, path, TL_FEATURES_NPY), x.context);
    tl__mapping file;
    map(&x, "f.npy", &file);
    snprintf(header, sizeof header, "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }", IMAGES,
             (int)info.count);
    const uint8_t *data = npy_data(&file, header);
    assert_int_equal(file.data + file.size - data, IMAGES * info.count * 4);
    assert_memory_equal(data, values, (size_t)(IMAGES * info.count * 4));
    tl__unmap(&file);
    map(&x, "f.labels.npy", &file);
    snprintf(header, sizeof header, "{'descr': '<i8', 'fortran_order': False, 'shape': (%d,), }", IMAGES);
    data = npy_data(&file, header);
    assert_int_equal(file.data + file.size - data, IMAGES * 8);
    for (int i = 0; i < IMAGES; i++)
        assert_int_equal(data[8 * i], i / EACH);
    tl__unmap(&file);
    map(&x, "f.files.txt", &file);
    const char *at = (const char *)file.data;
    for (size_t i = 0; i < IMAGES; i++) {
        size_t length = strlen(tl_dataset_path(x.data, i));
        assert_memory_equal(at, tl_dataset_path(x.data, i), length);
        assert_int_equal(at[length], '\n');
        at += length + 1;
    }
    assert_ptr_equal(at, file.data + file.size);
    tl__unmap(&file);
    free(values);
    tl_features_destroy(features);
    test_job_end(&x);
}

static void test_failures(void **state) {
    (void)state;
    fixture x;
    begin(&x, "resnet18");
    tl_features *features = NULL;
    tl_features_options options;
    tl_features_options_init(&options, sizeof options);
    options.at = "layer5";
    assert_int_equal(tl_features_create(x.model, x.device, x.data, &options, &features), TL_ERROR_NOT_FOUND);
    assert_string_equal(tl_context_message(x.context),
                        "resnet18 has no node \"layer5\"; its last ones are fc, avgpool, layer4.0.relu, layer4.0.add, "
                        "layer4.0.bn2, layer4.0.conv2");
    options.at = NULL;
    options.batch = -1;
    assert_int_equal(tl_features_create(x.model, x.device, x.data, &options, &features), TL_ERROR_ARGUMENT);
    options.batch = 4;
    options.cache_limit = 10;
    assert_int_equal(tl_features_create(x.model, x.device, x.data, &options, &features), TL_ERROR_LIMIT);
    assert_null(features);
    features = extract(&x, NULL, 0, NULL);
    assert_int_equal(tl_features_save(features, "/nowhere/f.npy", TL_FEATURES_NPY), TL_ERROR_IO);
    assert_int_equal(tl_features_save(features, "/nowhere/f", (tl_features_format)7), TL_ERROR_ARGUMENT);
    tl_features_destroy(features);
    tl_features_destroy(NULL);
    test_job_end(&x);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_on_features), cmocka_unit_test(test_order_of_maps), cmocka_unit_test(test_cached),
        cmocka_unit_test(test_safetensors),      cmocka_unit_test(test_npy),           cmocka_unit_test(test_failures),
    };
    return cmocka_run_group_tests_name("features for other uses", tests, NULL, NULL);
}
