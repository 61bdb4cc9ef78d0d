#include "train/judge.h"

#include "data/dataset.h"

/* An image, and its features where they stay. */
typedef struct kept {
    tl__hash contents; /* of the file, and when it was that, for the cache */
    uint64_t stamp;
    bool known;      /* both */
    float *features; /* of all patches; NULL: none */
    uint8_t *labels;
    int height, width, file_height, file_width;
} kept;

struct tl__judge {
    tl_context *context;
    tl__judge_options options;
    tl__whole *whole;
    tl__loader *loader;
    kept *kept; /* [images] */
    bool keep;
    tl__whole_cache *cache; /* NULL: none */
    uint64_t kept_bytes, memory; /* that they take, and may */
    uint32_t *order;             /* of images that are read */
    tl__whole_image *group;      /* [batch]: of one size, that wait for each other */
    uint32_t *numbers;           /* of them */
    const uint8_t **rgb;         /* their pixels */
    int waiting;
    int threads; /* that count pixels: as many as decode, which rest then */
    tl__tally *tally;
};

static void forget_features(tl__judge *j) {
    for (size_t i = 0; j->kept && i < tl_dataset_size(j->options.dataset); i++) {
        tl__free(j->context, j->kept[i].features);
        tl__free(j->context, j->kept[i].labels);
        j->kept[i] = (kept){.known = false};
    }
    j->kept_bytes = 0;
}

static void free_group(tl__judge *j) {
    for (int i = 0; i < j->waiting; i++)
        tl__whole_image_free(j->context, &j->group[i]);
    j->waiting = 0;
}

void tl__judge_destroy(tl__judge *judge) {
    if (!judge)
        return;
    tl__loader_destroy(judge->loader);
    forget_features(judge);
    tl__whole_cache_destroy(judge->cache);
    free_group(judge);
    tl__whole_destroy(judge->whole);
    tl__free(judge->context, judge->kept);
    tl__free(judge->context, judge->order);
    tl__free(judge->context, judge->group);
    tl__free(judge->context, judge->numbers);
    tl__free(judge->context, judge->rgb);
    tl__free(judge->context, judge);
}

static tl_status create(tl__judge *j) {
    const tl__judge_options *o = &j->options;
    const size_t images = tl_dataset_size(o->dataset), batch = (size_t)o->whole.batch;
    const tl__loader_options loading = {.batch = 1, .workers = o->workers, .whole = true};
    TL__TRY(tl__whole_create(&o->whole, &j->whole));
    j->kept = tl__calloc(j->context, images, sizeof *j->kept);
    j->order = tl__calloc(j->context, images, sizeof *j->order);
    j->group = tl__calloc(j->context, batch, sizeof *j->group);
    j->numbers = tl__calloc(j->context, batch, sizeof *j->numbers);
    j->rgb = tl__calloc(j->context, batch, sizeof *j->rgb);
    if (!j->kept || !j->order || !j->group || !j->numbers || !j->rgb)
        return TL_ERROR_MEMORY;
    j->threads = o->workers ? o->workers : tl__processors();
    return tl__loader_create(j->context, o->dataset, &o->whole.engine->model->preprocess, &loading, &j->loader);
}

tl_status tl__judge_create(const tl__judge_options *options, tl__judge **out) {
    tl_context *context = options->whole.engine->model->context;
    tl__judge *j = tl__calloc(context, 1, sizeof *j);
    if (!j)
        return TL_ERROR_MEMORY;
    j->context = context;
    j->options = *options;
    tl_status status = create(j);
    if (status != TL_OK) {
        tl__judge_destroy(j);
        return status;
    }
    *out = j;
    return TL_OK;
}

void tl__judge_rest(tl__judge *judge) {
    tl__whole_drop_plans(judge->whole);
}

tl_status tl__judge_stage(tl__judge *judge, const tl__cut *cut, uint64_t memory, const tl__whole_cache_options *cache) {
    judge->memory = memory;
    judge->keep = memory > 0 && cut->count > 0;
    if (!judge->keep || !tl__cut_equal(cut, &judge->whole->cut))
        forget_features(judge);
    judge->whole->cut = *cut;
    judge->whole->split = judge->keep;
    tl__whole_cache_destroy(judge->cache);
    judge->cache = NULL;
    if (!judge->keep || !cache->folder)
        return TL_OK;
    tl__whole_cache_options options = *cache;
    options.engine = judge->options.whole.engine;
    options.cut = *cut;
    return tl__whole_cache_create(&options, &judge->cache);
}

/* Failures of the network do not know the file. */
static tl_status name(const tl__judge *j, tl_status status, size_t image) {
    if (status == TL_OK || status == TL_CANCELLED)
        return status;
    return tl__fail_at(j->context, status, "%s", tl_dataset_path(j->options.dataset, image));
}

tl_status tl__judge_prepare(tl__judge *judge, void *user, tl_status (*planned)(void *user, const tl__plan *plan)) {
    int height, width;
    size_t largest;
    TL__TRY(tl__dataset_largest(judge->context, judge->options.dataset, &judge->options.whole.engine->model->preprocess,
                                &largest, &height, &width));
    TL__TRY(name(judge, tl__whole_begin(judge->whole, 1, height, width), largest));
    return tl__whole_each_plan(judge->whole, user, planned);
}

/* ---- one image after another ---- */

static void tally_waiting(void *user, int image, const tl__patch *patch) {
    const tl__judge *j = user;
    tl__patch p = *patch;
    p.out_height = j->group[image].picture.file_height;
    p.out_width = j->group[image].picture.file_width;
    tl__patch_tally(j->context, j->threads, &p, j->group[image].labels, j->tally);
}

static tl_status judge_group(tl__judge *j) {
    if (!j->waiting)
        return TL_OK;
    const tl_picture *first = &j->group[0].picture;
    for (int i = 0; i < j->waiting; i++)
        j->rgb[i] = j->group[i].picture.rgb;
    tl_status status = tl__whole_begin(j->whole, j->waiting, first->height, first->width);
    if (status == TL_OK)
        status = tl__whole_run(j->whole, j->rgb, tally_waiting, j);
    status = name(j, status, j->numbers[0]);
    free_group(j);
    return status;
}

typedef struct kept_visit {
    const tl__judge *judge;
    const kept *image;
} kept_visit;

static void tally_kept(void *user, int image, const tl__patch *patch) {
    const kept_visit *v = user;
    tl__patch p = *patch;
    (void)image;
    p.out_height = v->image->file_height;
    p.out_width = v->image->file_width;
    tl__patch_tally(v->judge->context, v->judge->threads, &p, v->image->labels, v->judge->tally);
}

static tl_status judge_kept(tl__judge *j, const kept *k) {
    kept_visit visit = {j, k};
    TL__TRY(tl__whole_begin(j->whole, 1, k->height, k->width));
    const size_t each = tl__whole_feature_count(j->whole);
    for (int p = 0; p < j->whole->patches; p++)
        TL__TRY(tl__whole_rest(j->whole, k->features + (size_t)p * each, p, tally_kept, &visit));
    return TL_OK;
}

/* Features of a patch, from the cache or computed, which the cache keeps then, unless the file was written to since it
 * was looked at. */
static tl_status patch_features(tl__judge *j, const uint8_t *rgb, size_t number, size_t patch, float *features) {
    const tl__whole *w = j->whole;
    const kept *k = &j->kept[number];
    const double place[] = {w->height, w->width, (double)patch, w->options.overlap};
    const size_t count = tl__whole_feature_count(w);
    tl__hash key;
    uint64_t now;
    if (!j->cache || !k->known)
        return tl__whole_features(j->whole, rgb, (int)patch, features);
    TL__TRY(tl__whole_cache_key(j->cache, w->rows.side, w->columns.side, k->contents, place, &key));
    if (tl__whole_cache_get(j->cache, key, features, count))
        return TL_OK;
    TL__TRY(tl__whole_features(j->whole, rgb, (int)patch, features));
    if (!tl__stamp_read(tl_dataset_path(j->options.dataset, number), &now) || now != k->stamp)
        return TL_OK;
    return tl__whole_cache_put(j->cache, key, features, count);
}

/* By features, which stay where there is room. */
static tl_status judge_features(tl__judge *j, tl__whole_image *image, size_t number) {
    const tl_picture *picture = &image->picture;
    TL__TRY(tl__whole_begin(j->whole, 1, picture->height, picture->width));
    const size_t each = tl__whole_feature_count(j->whole), patches = (size_t)j->whole->patches;
    const uint64_t bytes = (uint64_t)patches * each * sizeof(float) +
                           (uint64_t)picture->file_height * (uint64_t)picture->file_width;
    const bool stays = j->kept_bytes + bytes <= j->memory;
    kept k = j->kept[number];
    k.labels = image->labels;
    k.height = picture->height;
    k.width = picture->width;
    k.file_height = picture->file_height;
    k.file_width = picture->file_width;
    kept_visit visit = {j, &k};
    k.features = tl__calloc(j->context, stays ? patches : 1, each * sizeof *k.features);
    tl_status status = k.features ? TL_OK : TL_ERROR_MEMORY;
    for (size_t p = 0; p < patches && status == TL_OK; p++) {
        float *features = k.features + (stays ? p * each : 0);
        status = patch_features(j, picture->rgb, number, p, features);
        if (status == TL_OK)
            status = tl__whole_rest(j->whole, features, (int)p, tally_kept, &visit);
    }
    if (status != TL_OK || !stays) {
        tl__free(j->context, k.features);
        return status;
    }
    j->kept[number] = k;
    j->kept_bytes += bytes;
    image->labels = NULL;
    return TL_OK;
}

#define GROUP_PIXELS ((int64_t)1 << 20) /* that wait for others of their size, at most */

static tl_status judge_read(tl__judge *j, tl__whole_image *image, uint32_t number) {
    const tl_picture *p = &image->picture, *first = &j->group[0].picture;
    if (j->keep) {
        tl_status status = name(j, judge_features(j, image, number), number);
        tl__whole_image_free(j->context, image);
        return status;
    }
    const bool other = j->waiting && (first->height != p->height || first->width != p->width);
    tl_status status = other ? judge_group(j) : TL_OK;
    if (status != TL_OK) {
        tl__whole_image_free(j->context, image);
        return status;
    }
    j->numbers[j->waiting] = number;
    j->group[j->waiting++] = *image;
    const int64_t pixels = (int64_t)p->height * p->width * (j->waiting + 1);
    return j->waiting == j->options.whole.batch || pixels > GROUP_PIXELS ? judge_group(j) : TL_OK;
}

static tl_status judge_next(tl__judge *j, size_t number) {
    tl__whole_image image;
    uint32_t index;
    if (j->kept[number].features)
        return name(j, judge_kept(j, &j->kept[number]), number);
    TL__TRY(tl__loader_next_whole(j->loader, &image, &index));
    return judge_read(j, &image, index);
}

/* Before they are decoded. Those that cannot be read are the loader's to report. */
static tl_status know_contents(tl__judge *j) {
    uint8_t *buffer = tl__alloc(j->context, TL__HASH_BUFFER);
    if (!buffer)
        return TL_ERROR_MEMORY;
    for (size_t i = 0; i < tl_dataset_size(j->options.dataset) && !tl__cancelled(j->context); i++) {
        kept *k = &j->kept[i];
        if (!k->known)
            k->known = tl__hash_file(tl_dataset_path(j->options.dataset, i), buffer, &k->contents, &k->stamp);
    }
    tl__free(j->context, buffer);
    return tl__whole_cache_begin(j->cache);
}

static tl_status run(tl__judge *j, tl__feature_progress progress, void *user) {
    const size_t images = tl_dataset_size(j->options.dataset);
    size_t read = 0;
    if (j->cache)
        TL__TRY(know_contents(j));
    for (size_t i = 0; i < images; i++)
        if (!j->kept[i].features)
            j->order[read++] = (uint32_t)i;
    if (read)
        TL__TRY(tl__loader_start(j->loader, j->order, read));
    for (size_t i = 0; i < images; i++) {
        TL__TRY(judge_next(j, i));
        progress(user, (int64_t)i + 1, (int64_t)images);
        if (tl__cancelled(j->context))
            return tl__fail(j->context, TL_CANCELLED, "cancelled while evaluating: %zu of %zu images", i + 1, images);
    }
    return judge_group(j);
}

tl_status tl__judge_run(tl__judge *judge, tl__feature_progress progress, void *user, tl__tally *tally) {
    judge->tally = tally;
    tl_status status = run(judge, progress, user);
    free_group(judge);
    if (judge->cache)
        tl__whole_cache_end(judge->cache);
    if (status == TL_OK)
        tally->sums.images += (int64_t)tl_dataset_size(judge->options.dataset);
    return status;
}
