#include <math.h>
#include <stdio.h>
#include <string.h>

#include <tl/selftest.h>

#include "selftest/trial.h"

#define MOST_IMPLEMENTATIONS 12
#define MOST_SHAPES 64

typedef struct session {
    tl_context *context;
    tl_device *device, *reference;
    tl_backend_queue *queue, *reference_queue;
    char wrong[512]; /* operations, for the message */
} session;

/* What is known of one operation so far. */
typedef struct tally {
    tl_selftest_line line;
    tl_dtype storage;
    bool shapes[MOST_SHAPES], failed;
    char implementations[MOST_IMPLEMENTATIONS][48], list[640], detail[768];
    int implementation_count;
} tally;

/* ---- comparing ---- */

/* The error with the bound as its unit. */
static double ratio(double got, double wanted, double bound) {
    if (isnan(got) && isnan(wanted))
        return 0;
    if (got == wanted)
        return 0;
    double error = fabs(got - wanted);
    return error <= bound && bound > 0 ? error / bound : isfinite(error) && bound > 0 ? error / bound : INFINITY;
}

static double element(const tl_tensor_desc *desc, const void *data, int64_t i) {
    return desc->dtype == TL_DTYPE_F32 ? ((const float *)data)[i] : ((const uint8_t *)data)[i];
}

/* The largest error of all that was written, and where it is. */
static double compare(const tl__trial *trial, const tl__trial_result *got, const tl__trial_result *wanted,
                      const tl__trial_result *bound, char *where, size_t size) {
    double worst = 0;
    for (int i = 0; i < tl__trial_operands(trial); i++)
        for (int64_t k = 0; got->data[i] && k < tl__desc_count(&trial->desc[i]); k++) {
            double is = element(&trial->desc[i], got->data[i], k);
            double should = element(&trial->desc[i], wanted->data[i], k);
            double most = ((const double *)bound->data[i])[k], r = ratio(is, should, most);
            if (!(r > worst))
                continue;
            worst = r;
            snprintf(where, size, "%s[%lld] is %.9g, on the CPU %.9g, which may be %.3g apart",
                     tl__trial_name(trial, i), (long long)k, isnan(is) ? fabs(is) : is,
                     isnan(should) ? fabs(should) : should, most);
        }
    return worst;
}

/* ---- one operation ---- */

/* The first wrong case is told; why one was refused, only where none is wrong. */
static void tell(tally *t, const tl__trial *trial, bool wrong, const char *what) {
    char text[512];
    int *count = wrong ? &t->line.wrong : &t->line.refused;
    if ((*count)++ == 0 && (wrong || t->line.wrong == 0))
        snprintf(t->detail, sizeof t->detail, "%s (%s)", what, tl__trial_text(trial, text, sizeof text));
}

static void note_implementation(tally *t, const char *name) {
    for (int i = 0; i < t->implementation_count; i++)
        if (strcmp(t->implementations[i], name) == 0)
            return;
    if (t->implementation_count == MOST_IMPLEMENTATIONS || !*name)
        return;
    snprintf(t->implementations[t->implementation_count++], sizeof t->implementations[0], "%s", name);
    size_t used = strlen(t->list);
    snprintf(t->list + used, sizeof t->list - used, "%s%s", used ? ", " : "", name);
}

/* Not the device's fault, and no verdict. */
static bool ends_all(tl_status status) {
    return status == TL_ERROR_MEMORY || status == TL_CANCELLED;
}

/* Of bytes the arithmetic is said to the last rounding, so that the reference is given the same bytes, and its bits are
 * those that there must be. */
static bool is_exact(const tally *t) {
    return t->storage == TL_DTYPE_U8;
}

/* `stored` is what the device gets: the trial itself, or the same with activations in fewer bits. */
static tl_status judge(session *s, tally *t, const tl__trial *trial, const tl__trial *stored, tl__trial_result *got,
                       tl__trial_result *wanted, tl__trial_result *bound) {
    char where[256] = "";
    tl_status status = tl__trial_run(s->device, s->queue, stored, got);
    if (ends_all(status))
        return status;
    if (status != TL_OK) {
        t->failed = status != TL_UNSUPPORTED;
        tell(t, stored, t->failed, tl_context_message(s->context));
        return TL_OK;
    }
    status = tl__trial_run(s->reference, s->reference_queue, is_exact(t) ? stored : trial, wanted);
    if (status == TL_UNSUPPORTED && is_exact(t)) { /* nothing to compare with */
        tell(t, stored, false, tl_context_message(s->context));
        return TL_OK;
    }
    TL__TRY(status);
    note_implementation(t, got->implementation);
    if (!is_exact(t)) {
        TL__TRY(tl__trial_bound(s->reference, s->reference_queue, trial, bound));
        tl__trial_result_widen(stored, got);
        tl__trial_bound_weights(stored, bound);
        tl__trial_bound_store(stored, wanted, bound);
    }
    double worst = compare(is_exact(t) ? stored : trial, got, wanted, bound, where, sizeof where);
    t->line.worst = worst > t->line.worst ? worst : t->line.worst;
    if (got->fault[0] || worst > 1)
        tell(t, stored, true, got->fault[0] ? got->fault : where);
    return TL_OK;
}

static tl_status judge_trial(session *s, tally *t, tl__trial *trial, int index) {
    tl__trial stored = *trial;
    tl__trial_result got = {0}, wanted = {0}, bound = {0};
    tl_status status = TL_OK;
    /* one in four is the last operation of a frozen part, whose result is f32 again */
    if (is_exact(t))
        status = tl__trial_quantise(trial, index % 4 != 3, &stored);
    else if (t->storage != TL_DTYPE_F32)
        status = tl__trial_store(trial, t->storage, index % 4 != 3, &stored);
    if (status == TL_OK)
        status = tl__trial_result_create(&stored, &got);
    if (status == TL_OK)
        status = tl__trial_result_create(&stored, &wanted);
    if (status == TL_OK)
        status = tl__trial_result_create(&stored, &bound);
    if (status == TL_OK)
        status = judge(s, t, trial, &stored, &got, &wanted, &bound);
    tl__trial_result_free(trial, &got);
    tl__trial_result_free(trial, &wanted);
    tl__trial_result_free(trial, &bound);
    tl__trial_unstore(trial, &stored);
    return status;
}

static tl_status try(session *s, tally *t, uint32_t op, int index) {
    tl__trial trial;
    tl_status status = tl__trial_make(s->context, op, index, &trial);
    bool batch = trial.op.statistics == TL_STATISTICS_BATCH; /* no frozen part has that */
    if (status == TL_OK && !(batch && t->storage != TL_DTYPE_F32)) {
        status = judge_trial(s, t, &trial, index);
        t->line.cases++;
        t->line.shapes += !t->shapes[trial.shape];
        t->shapes[trial.shape] = true;
    }
    tl__trial_free(&trial);
    return status;
}

static tl_status test_operation(session *s, uint32_t op, tl_dtype storage, tally *t) {
    *t = (tally){.line = {.size = sizeof t->line, .operation = tl__op_rule_of(op)->name, .storage = tl__dtype_name(storage)},
                 .storage = storage};
    /* A device that failed once may fail for ever, and wait each time. */
    for (int i = 0; i < tl__trial_count(op) && !t->failed; i++) {
        if (tl__cancelled(s->context))
            return tl__fail(s->context, TL_CANCELLED, "cancelled while testing %s", t->line.operation);
        TL__TRY(try(s, t, op, i));
    }
    t->line.verdict = t->line.wrong ? TL_SELFTEST_WRONG
                      : t->line.refused == t->line.cases ? TL_SELFTEST_REFUSED : TL_SELFTEST_RIGHT;
    t->line.implementations = t->list;
    t->line.detail = t->detail;
    if (t->line.wrong) {
        size_t used = strlen(s->wrong);
        snprintf(s->wrong + used, sizeof s->wrong - used, "%s%s%s%s", used ? ", " : "", t->line.operation,
                 storage == TL_DTYPE_F32 ? "" : " ", storage == TL_DTYPE_F32 ? "" : t->line.storage);
    }
    return TL_OK;
}

/* ---- all of them ---- */

static tl_status test_all(session *s, bool (*each)(void *user, const tl_selftest_line *line), void *user) {
    tally *t = tl__alloc(s->context, sizeof *t);
    tl_status status = t ? TL_OK : TL_ERROR_MEMORY;
    bool more = true;
    static const tl_dtype storages[] = {TL_DTYPE_F32, TL_DTYPE_BF16, TL_DTYPE_F16, TL_DTYPE_U8};
    for (uint32_t op = 0; op < TL_OP_COUNT; op++)
        for (size_t i = 0; i < (tl__trial_storable(op) ? TL__COUNT(storages) : 1) && status == TL_OK && more; i++) {
            status = test_operation(s, op, storages[i], t);
            if (status == TL_OK && (i == 0 || t->line.verdict != TL_SELFTEST_REFUSED))
                more = each(user, &t->line);
        }
    tl__free(s->context, t);
    if (status == TL_OK && s->wrong[0])
        return tl__fail(s->context, TL_ERROR_DEVICE, "%s is wrong in: %s", tl_device_name(s->device), s->wrong);
    return status;
}

tl_status tl_device_selftest(tl_device *device, bool (*each)(void *user, const tl_selftest_line *line), void *user) {
    session s = {.context = device->context, .device = device};
    /* The kernels that every compiler makes of plain C, on one thread: the CPU too is then compared with another. */
    tl_device_options plain = {.size = sizeof plain, .threads = 1, .isa = "baseline"};
    tl_status status = tl__device_open_cpu(s.context, &plain, &s.reference);
    if (status == TL_OK)
        status = tl__device_queue_create(s.reference, &s.reference_queue);
    if (status == TL_OK)
        status = tl__device_queue_create(device, &s.queue);
    if (status == TL_OK)
        status = test_all(&s, each, user);
    tl__device_queue_destroy(device, s.queue);
    if (s.reference)
        tl__device_queue_destroy(s.reference, s.reference_queue);
    tl_device_close(s.reference);
    return status;
}
