/* Features kept for other runs: the same weights bit for bit with them and without, and nothing that is out of date.
 * Run with arguments this program is one training in a process of its own. */
#include "support.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "train/features.h"

enum { SIZE = 32, CLASSES = 3, EACH = 6 };

/* One training and what came of it. */
typedef struct job {
    const char *cache; /* the folder, NULL: memory, "none": none */
    uint64_t limit, seed;
    int threads, batch, workers;
    const char *isa, *train;
    float mean;        /* of red; 0: the usual one */
    int resize;
    double width;
    const char *weights; /* a file of them */
    const char *change;  /* a parameter of which one value is changed before */
    counter *count;
} job;

typedef struct outcome {
    stage_features features;
    tl_status status;
    tl__hash values; /* of all parameters */
    char warnings[4096];
    int warning_count;
} outcome;

static void on_log(void *user, tl_log_level level, const char *text) {
    outcome *o = user;
    if (level > TL_LOG_WARNING)
        return;
    o->warning_count++;
    size_t used = strlen(o->warnings);
    snprintf(o->warnings + used, sizeof o->warnings - used, "%s\n", text);
}

typedef struct parts {
    tl_context *context;
    tl_device *device;
    tl_model *model;
    tl_dataset *train, *val;
} parts;

static tl_status open_parts(const job *j, const char *folder, parts *p) {
    tl_dataset *all;
    tl_model_options options;
    tl_preprocess preprocess;
    tl_device_options device = {.size = sizeof device, .threads = j->threads ? j->threads : 1, .isa = j->isa};
    TL__TRY(tl_device_open(p->context, "cpu", &device, &p->device));
    tl_model_options_init(&options, sizeof options);
    options.arch = "resnet18";
    options.classes = CLASSES;
    options.layers = (const int[]){1, 1, 1, 1};
    options.width = j->width > 0 ? j->width : 0.0625;
    TL__TRY(tl_model_create(p->context, &options, &p->model));
    tl_preprocess_init(&preprocess, sizeof preprocess);
    preprocess.resize = j->resize ? j->resize : SIZE;
    preprocess.crop = SIZE;
    if (j->mean > 0)
        preprocess.mean[0] = j->mean;
    TL__TRY(tl_model_set_preprocess(p->model, &preprocess));
    if (j->change) {
        float values[4096];
        TL__TRY(tl_model_read(p->model, j->change, values));
        values[1] += 0.25f;
        TL__TRY(tl_model_write(p->model, j->change, values));
    }
    TL__TRY(tl_dataset_open(p->context, folder, &all));
    tl_status status = tl_dataset_split(p->context, all, 0.34, 1, &p->train, &p->val);
    tl_dataset_destroy(all);
    return status;
}

static void close_parts(parts *p) {
    tl_dataset_destroy(p->train);
    tl_dataset_destroy(p->val);
    tl_model_destroy(p->model);
    tl_device_close(p->device);
    tl_context_destroy(p->context);
}

static tl_status train(const job *j, parts *p, outcome *o) {
    tl_train_options options;
    tl_stage stage;
    tl_train_options_init(&options, sizeof options);
    tl_stage_init(&stage, sizeof stage);
    stage.train = j->train;
    stage.epochs = 2;
    stage.lr = 0.01;
    options.stages = &stage;
    options.stage_count = 1;
    options.batch = j->batch ? j->batch : 4;
    options.workers = j->workers ? j->workers : 1;
    options.seed = j->seed;
    options.cache_features = !j->cache || strcmp(j->cache, "none") != 0;
    options.cache_folder = options.cache_features ? j->cache : NULL;
    options.cache_limit = j->limit;
    options.user = o;
    options.on_stage = test_note_features;
    return tl_train(p->model, p->device, p->train, p->val, &options, NULL);
}

/* Of a whole process' work; every failure is in o->status, with its message as the last warning. */
static outcome attempt(const job *j, const char *folder) {
    outcome o = {0};
    parts p = {0};
    tl_context_options options = {
        .size = sizeof options, .backend_path = "", .user = &o, .log = on_log, .log_level = TL_LOG_WARNING};
    p.context = j->count ? test_context(j->count) : NULL;
    o.status = j->count ? p.context ? TL_OK : TL_ERROR_MEMORY : tl_context_create(&options, &p.context);
    if (o.status == TL_OK)
        o.status = open_parts(j, folder, &p);
    if (o.status == TL_OK)
        o.status = train(j, &p, &o);
    if (o.status == TL_OK && !j->count) {
        size_t count;
        float *values = test_values(p.model, &count);
        o.values = tl__hash_bytes(values, count * sizeof *values, 0);
        free(values);
    } else if (p.context && !j->count) {
        on_log(&o, TL_LOG_ERROR, tl_context_message(p.context));
    }
    close_parts(&p);
    return o;
}

static outcome run(const job *j, const char *folder) {
    outcome o = attempt(j, folder);
    if (o.status != TL_OK)
        fail_msg("%s: %s", tl_status_text(o.status), o.warnings);
    return o;
}

static void assert_same(const outcome *a, const outcome *b) {
    assert_true(a->values.low == b->values.low && a->values.high == b->values.high);
}

static char *cache_folder(void) {
    char *folder = test_folder(0, 0, 0), path[4200];
    snprintf(path, sizeof path, "%s/cache", folder);
    free(folder);
    return strdup(path);
}

static int count_files(const char *folder) {
    DIR *stream = opendir(folder);
    int count = 0;
    for (const struct dirent *e; stream && (e = readdir(stream));)
        count += e->d_name[0] != '.';
    if (stream)
        closedir(stream);
    return count;
}

/* ---- the same bits ---- */

static void test_same_weights(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder();
    const char *const trains[] = {"fc.*", "layer4.*, fc.*", "layer4.0.bn2.*"};
    for (int t = 0; t < 3; t++) {
        job none = {.cache = "none", .train = trains[t]}, memory = {.train = trains[t]},
            disk = {.cache = cache, .train = trains[t]};
        outcome a = run(&none, folder), b = run(&memory, folder), c = run(&disk, folder), d = run(&disk, folder);
        assert_false(a.features.cached);
        assert_string_equal(a.features.cache, "switched off");
        assert_true(b.features.cached && c.features.cached && d.features.cached);
        assert_string_equal(b.features.file, "");
        assert_int_equal(c.features.images, CLASSES * EACH);
        assert_int_equal(c.features.found, t == 2 ? CLASSES * EACH : 0); /* the third's cut is the second's */
        assert_int_equal(d.features.found, CLASSES * EACH);
        assert_string_equal(c.features.file, d.features.file);
        assert_same(&a, &b);
        assert_same(&a, &c);
        assert_same(&a, &d);
        for (int threads = 2; threads <= 3; threads++) {
            job other = {.cache = cache, .train = trains[t], .threads = threads, .workers = 3};
            outcome e = run(&other, folder);
            assert_int_equal(e.features.found, CLASSES * EACH);
            assert_same(&a, &e);
        }
        assert_int_equal(c.warning_count + d.warning_count, 0);
    }
    assert_int_equal(count_files(cache), 2);
    free(folder);
    free(cache);
}

/* Batches and seeds are none of the features' business. */
static void test_runs_share(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder();
    run(&(job){.cache = cache}, folder);
    for (int i = 0; i < 4; i++) {
        job shared = {.cache = cache, .seed = (uint64_t)i, .batch = 3 + i}, alone = shared;
        alone.cache = "none";
        outcome a = run(&shared, folder), b = run(&alone, folder);
        assert_int_equal(a.features.found, CLASSES * EACH);
        assert_same(&a, &b);
    }
    free(folder);
    free(cache);
}

static void copy_file(const char *from, const char *to) {
    char command[9000];
    snprintf(command, sizeof command, "cp '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

/* Each cause makes what it changes be computed anew, and only that; the weights are those of a run without a cache. */
static void test_what_invalidates(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder(), from[4200], to[4200];
    const int all = CLASSES * EACH;
    job base = {.cache = cache};
    run(&base, folder);
    struct {
        job job;
        int found;
    } cases[] = {
        {{.change = "layer2.0.conv1.weight"}, 0},
        {{.change = "layer1.0.bn1.running_mean"}, 0},
        {{.change = "conv1.weight"}, 0},
        {{.change = "fc.bias"}, all},
        {{.mean = 0.5f}, 0},
        {{.resize = 38}, 0},
        {{.width = 0.125}, 0},
        {{.isa = "baseline"}, 0},
        {{.train = "layer4.*"}, 0},
    };
    outcome best = run(&base, folder);
    assert_int_equal(best.features.found, all);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job cached = cases[i].job, uncached = cases[i].job;
        cached.cache = cache;
        uncached.cache = "none";
        outcome a = run(&cached, folder), b = run(&cached, folder), c = run(&uncached, folder);
        /* a machine may have the baseline alone */
        if (strcmp(a.features.file, best.features.file) != 0 || cases[i].found)
            assert_int_equal(a.features.found, cases[i].found);
        assert_int_equal(b.features.found, all);
        assert_same(&a, &c);
        assert_same(&b, &c);
    }
    /* what the device was told of its algorithms */
    for (int i = 0; i < 2; i++) {
        setenv("TL_CPU_WINOGRAD", i ? "1" : "0", 1);
        assert_int_equal(run(&base, folder).features.found, 0);
        assert_int_equal(run(&base, folder).features.found, all);
    }
    unsetenv("TL_CPU_WINOGRAD");
    assert_int_equal(run(&base, folder).features.found, all);
    /* one image becomes another's, one is added, one is a copy under another name, one goes */
    snprintf(from, sizeof from, "%s/class0/0.png", folder);
    snprintf(to, sizeof to, "%s/class0/1.png", folder);
    copy_file(from, to);
    assert_int_equal(run(&base, folder).features.found, all);
    char *other = test_folder(CLASSES, EACH + 1, 41);
    snprintf(from, sizeof from, "%s/class1/%d.png", other, EACH);
    snprintf(to, sizeof to, "%s/class1/%d.png", folder, EACH);
    copy_file(from, to);
    outcome added = run(&base, folder), again = run(&base, folder), without = run(&(job){.cache = "none"}, folder);
    assert_int_equal(added.features.images, all + 1);
    assert_int_equal(added.features.found, all);
    assert_int_equal(again.features.found, all + 1);
    assert_same(&added, &without);
    assert_same(&again, &without);
    snprintf(to, sizeof to, "%s/class2/0.png", folder);
    copy_file(from, to); /* the same path, other contents, which are known */
    assert_int_equal(run(&base, folder).features.found, all + 1);
    assert_int_equal(truncate(to, 100), 0);
    outcome bad = attempt(&base, folder);
    assert_int_not_equal(bad.status, TL_OK);
    assert_non_null(strstr(bad.warnings, "class2/0.png"));
    free(folder);
    free(other);
    free(cache);
}

static void test_keys(void **state) {
    (void)state;
    tl__hash contents = {1, 2}, a = tl__feature_image_key(contents, 0), b = tl__feature_image_key(contents, 1);
    assert_true(a.low != b.low && a.high != b.high);
    parts p = {.context = test_context(NULL)};
    char *folder = test_folder(CLASSES, 2, 40);
    tl__engine *engine;
    tl__feature_key f32, bf16, chunked;
    const tl__cut nine = tl__cut_at(9);
    ok(open_parts(&(job){0}, folder, &p), p.context);
    ok(tl__engine_create(p.model, p.device, &engine), p.context);
    tl__draw_options draw = {.batch = 8, .height = SIZE, .width = SIZE},
                     one = {.batch = 3, .height = SIZE, .width = SIZE};
    ok(tl__feature_key_create(engine, &draw, &nine, true, &f32), p.context);
    ok(tl__feature_key_create(engine, &one, &nine, true, &chunked), p.context);
    ok(tl__engine_set_precision(engine, TL_PRECISION_BF16), p.context);
    ok(tl__feature_key_create(engine, &draw, &nine, true, &bf16), p.context);
    assert_string_equal(f32.about, chunked.about);
    assert_string_not_equal(f32.about, bf16.about);
    assert_non_null(strstr(bf16.about, "precision bf16"));
    tl__feature_key_release(p.context, &f32);
    tl__feature_key_release(p.context, &bf16);
    tl__feature_key_release(p.context, &chunked);
    tl__engine_destroy(engine);
    close_parts(&p);
    free(folder);
}

/* ---- files that are not as they were left ---- */

static void test_damaged_files(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder(), kept[4300];
    job base = {.cache = cache};
    outcome first = run(&base, folder), o;
    struct stat st;
    assert_int_equal(stat(first.features.file, &st), 0);
    snprintf(kept, sizeof kept, "%s.kept", first.features.file);
    copy_file(first.features.file, kept);
    for (int i = 0; i < 48; i++) {
        off_t at = (off_t)((uint64_t)st.st_size * (uint64_t)(i * 37 % 48) / 48 + (uint64_t)i);
        copy_file(kept, first.features.file);
        assert_int_equal(truncate(first.features.file, at), 0);
        o = run(&base, folder);
        assert_same(&o, &first);
        assert_true(o.features.found < CLASSES * EACH);
        assert_int_equal(run(&base, folder).features.found, CLASSES * EACH); /* and it is mended */
        copy_file(kept, first.features.file);
        int fd = open(first.features.file, O_RDWR);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 16;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
        o = run(&base, folder);
        assert_same(&o, &first);
        assert_true(o.warning_count <= 1);
        assert_string_equal(o.features.file, first.features.file);
        if (at < TL__CACHE_HEADER)
            assert_non_null(strstr(o.warnings, "damaged, or no cache of features"));
        o = run(&base, folder);
        assert_int_equal(o.features.found, CLASSES * EACH);
        assert_int_equal(o.warning_count, 0);
    }
    free(folder);
    free(cache);
}

static void test_a_damaged_row_is_said(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder();
    job base = {.cache = cache};
    outcome first = run(&base, folder);
    int fd = open(first.features.file, O_RDWR);
    assert_int_equal(pwrite(fd, "damage", 6, TL__CACHE_HEADER + TL__CACHE_SLOT + 12), 6);
    close(fd);
    outcome o = run(&base, folder);
    assert_same(&o, &first);
    assert_int_equal(o.features.found, CLASSES * EACH - 1);
    assert_non_null(strstr(o.warnings, "features of 1 image are damaged: computed anew"));
    assert_int_equal(o.warning_count, 1);
    o = run(&base, folder);
    assert_int_equal(o.features.found, CLASSES * EACH);
    assert_int_equal(o.warning_count, 0);
    free(folder);
    free(cache);
}

static void test_folders_that_do_not_work(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder(), path[4300];
    outcome none = run(&(job){.cache = "none"}, folder), o;
    FILE *file = fopen(cache, "w");
    fclose(file);
    snprintf(path, sizeof path, "%s/below", cache);
    o = run(&(job){.cache = path}, folder);
    assert_same(&o, &none);
    assert_int_equal(o.warning_count, 1);
    assert_non_null(strstr(o.warnings, "not kept for other runs"));
    assert_string_equal(o.features.file, "");
    assert_true(o.features.cached);
    free(folder);
    free(cache);
}

/* ---- room ---- */

static void test_limits(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder();
    outcome none = run(&(job){.cache = "none"}, folder);
    outcome o = run(&(job){.cache = cache, .limit = 5000}, folder);
    assert_same(&o, &none);
    assert_true(o.features.cached); /* in memory */
    assert_int_equal(o.warning_count, 1);
    assert_non_null(strstr(o.warnings, "limit"));
    assert_int_equal(run(&(job){.cache = cache, .limit = 5000}, folder).features.found, 0);
    o = run(&(job){.limit = 100}, folder);
    assert_same(&o, &none);
    assert_false(o.features.cached);
    assert_non_null(strstr(o.features.cache, "would take"));
    free(folder);
    free(cache);
}

/* The file system is full after the first few rows: the others are in memory, and it is said once. */
static void test_full_disk(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder();
    struct rlimit before, less;
    outcome none = run(&(job){.cache = "none"}, folder);
    uint64_t stride = TL__CACHE_SLOT + 128;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (int rows = -1; rows <= CLASSES * EACH; rows += rows < 2 ? 1 : 7) {
        char command[4300];
        snprintf(command, sizeof command, "rm -rf '%s'", cache);
        assert_int_equal(system(command), 0);
        less = before;
        less.rlim_cur = rows < 0 ? 1000 : TL__CACHE_HEADER + (uint64_t)rows * stride + 50;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &less), 0);
        outcome o = run(&(job){.cache = cache}, folder);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_same(&o, &none);
        assert_true(o.features.cached);
        assert_int_equal(o.warning_count, rows < CLASSES * EACH);
        if (rows < CLASSES * EACH)
            assert_non_null(strstr(o.warnings, "not kept for other runs"));
        outcome next = run(&(job){.cache = cache}, folder);
        assert_int_equal(next.features.found, rows < 0 ? 0 : rows);
        assert_same(&next, &none);
    }
    free(folder);
    free(cache);
}

/* The Nth allocation fails, for every N: a status, nothing left behind, and a file that is right for the next. */
static void test_every_allocation_fails_once(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, 2, 40), *cache = cache_folder(), command[4300];
    outcome none = run(&(job){.cache = "none"}, folder);
    long n = 0, tolerated = 0;
    snprintf(command, sizeof command, "rm -rf '%s'", cache);
    for (bool failed = true; failed;) {
        counter count = {.fail_at = ++n};
        if (n % 3 == 0)
            assert_int_equal(system(command), 0);
        outcome o = attempt(&(job){.cache = cache, .count = &count}, folder);
        failed = count.made >= n;
        assert_true(o.status == TL_ERROR_MEMORY || o.status == TL_OK);
        tolerated += failed && o.status == TL_OK;
        if (count.live != 0)
            fail_msg("allocation %ld: %ld pieces of memory were left", n, count.live);
        if (n % 50 == 0) {
            outcome after = run(&(job){.cache = cache}, folder);
            assert_same(&after, &none);
        }
    }
    assert_true(n > 500);
    assert_true(tolerated <= 4); /* the caches of decoded pixels are done without */
    free(folder);
    free(cache);
}

/* ---- several processes ---- */

static pid_t start(const char *folder, const char *cache, const char *out) {
    pid_t child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "cache", folder, cache, out, (char *)NULL);
        _exit(127);
    }
    return child;
}

/* In the process that `start` makes. */
static int one_training(char **argv) {
    outcome o = attempt(&(job){.cache = argv[2]}, argv[1]);
    FILE *file = fopen(argv[3], "w");
    if (!file || o.status != TL_OK)
        return 1;
    fwrite(&o, sizeof o, 1, file);
    return fclose(file);
}

static int64_t slots_in(const char *path) {
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal((st.st_size - TL__CACHE_HEADER) % (TL__CACHE_SLOT + 128), 0);
    return (st.st_size - TL__CACHE_HEADER) / (TL__CACHE_SLOT + 128);
}

static void test_processes_at_once(void **state) {
    (void)state;
    enum { PROCESSES = 5 };
    char *folder = test_folder(CLASSES, 8 * EACH, 40), *cache = cache_folder(), out[PROCESSES][4200];
    pid_t children[PROCESSES];
    outcome none = run(&(job){.cache = "none"}, folder), o;
    for (int i = 0; i < PROCESSES; i++) {
        snprintf(out[i], sizeof out[i], "%s/out%d", folder, i);
        children[i] = start(folder, cache, out[i]);
    }
    for (int i = 0; i < PROCESSES; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
        FILE *file = fopen(out[i], "r");
        assert_int_equal(fread(&o, sizeof o, 1, file), 1);
        fclose(file);
        assert_same(&o, &none);
        assert_int_equal(o.warning_count, 0);
    }
    assert_int_equal(count_files(cache), 1);
    assert_int_equal(slots_in(o.features.file), CLASSES * 8 * EACH); /* each was computed by one of them */
    free(folder);
    free(cache);
}

/* A process that is killed leaves what it had, and nothing that is wrong. */
static void test_killed(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, 8 * EACH, 40), *cache = cache_folder(), out[4200];
    outcome none = run(&(job){.cache = "none"}, folder), o;
    snprintf(out, sizeof out, "%s/out", folder);
    int64_t last = 0;
    for (int i = 0; i < 12; i++) {
        pid_t child = start(folder, cache, out);
        usleep((useconds_t)(3000 * i));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        if (i % 4 == 3) {
            o = run(&(job){.cache = cache}, folder);
            assert_same(&o, &none);
            assert_true(o.features.found >= last);
            assert_int_equal(slots_in(o.features.file), CLASSES * 8 * EACH);
            last = 0;
            unlink(o.features.file);
        }
    }
    free(folder);
    free(cache);
}

/* Who holds the file and adds nothing is not waited for for ever. */
static void nothing(void *user) {
    (void)user;
}

static void no_progress(void *user, int64_t done, int64_t total) {
    (void)user;
    (void)done;
    (void)total;
}

static void test_holder_that_does_nothing(void **state) {
    (void)state;
    char *folder = test_folder(CLASSES, EACH, 40), *cache = cache_folder(), reason[128];
    outcome log = {0}, first = run(&(job){.cache = cache}, folder);
    assert_int_equal(truncate(first.features.file, TL__CACHE_HEADER + 2 * (TL__CACHE_SLOT + 128)), 0);
    int fd = open(first.features.file, O_RDWR);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    tl_context_options options = {
        .size = sizeof options, .backend_path = "", .user = &log, .log = on_log, .log_level = TL_LOG_WARNING};
    parts p = {0};
    assert_int_equal(tl_context_create(&options, &p.context), TL_OK);
    ok(open_parts(&(job){0}, folder, &p), p.context);
    tl__feature_request request = {.sets = {p.train},
                                   .batch = 4,
                                   .folder = cache,
                                   .memory = 1 << 20,
                                   .patience = 0.05,
                                   .begin = nothing,
                                   .progress = no_progress,
                                   .draw = {.batch = 4, .height = SIZE, .width = SIZE}};
    ok(tl__engine_create(p.model, p.device, &request.engine), p.context);
    tl__loader_options loading = {.batch = 4, .workers = 1};
    ok(tl__loader_create(p.context, p.train, tl_model_preprocess(p.model), &loading, &request.loaders[0]), p.context);
    tl__graph *graph;
    tl__drawn drawn;
    const char *why;
    ok(tl__model_draw(p.model, &request.draw, &graph, &drawn), p.context);
    tl__model_find(p.model, "fc.weight")->trains = true;
    ok(tl__graph_frozen_cut(graph, drawn.logits, 1, &request.cut, &why), p.context);
    tl__model_find(p.model, "fc.weight")->trains = false;
    tl__graph_destroy(graph);
    tl__features *features = NULL;
    ok(tl__features_create(&request, &features, reason), p.context);
    assert_non_null(features);
    assert_string_equal(tl__features_file(features), first.features.file);
    assert_in_range(features->found, 0, 2);
    assert_non_null(strstr(log.warnings, "another process holds it and adds nothing"));
    assert_int_equal(log.warning_count, 1);
    tl__features_destroy(features);
    tl__loader_destroy(request.loaders[0]);
    tl__engine_destroy(request.engine);
    close_parts(&p);
    close(fd);
    free(folder);
    free(cache);
}

int main(int argc, char **argv) {
    if (argc == 4)
        return one_training(argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_weights),
        cmocka_unit_test(test_runs_share),
        cmocka_unit_test(test_what_invalidates),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_a_damaged_row_is_said),
        cmocka_unit_test(test_folders_that_do_not_work),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_full_disk),
        cmocka_unit_test(test_every_allocation_fails_once),
        cmocka_unit_test(test_processes_at_once),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_holder_that_does_nothing),
    };
    return cmocka_run_group_tests_name("features kept for other runs", tests, NULL, NULL);
}
