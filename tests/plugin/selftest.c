/* selftest.c: the self-test finds a device that computes wrongly, in whichever way, names the operation and leaves the
 * others alone; its trials go through every form of every operation. */
#include "tests/plugin/harness.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "selftest/trial.h"

static const char *folder;

static int set_up(void **state) {
    (void)state;
    unsetenv("TL_BACKEND_PATH");
    folder = folder_create();
    folder_add(folder, "fake");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    environment_reset();
    unsetenv("TL_FAKE_WRONG");
    unsetenv("TL_FAKE_FAIL");
    folder_remove(folder);
    return 0;
}

/* ---- the trials ---- */

/* What was seen of a trait: without it, with it. */
typedef struct seen {
    int with, without;
} seen;

static void note(seen *s, bool with) {
    *(with ? &s->with : &s->without) += 1;
}

static void assert_both(const seen *s, const char *operation, const char *what) {
    if (!s->with || !s->without)
        fail_msg("%s: %s is there in %d trials and not in %d", operation, what, s->with, s->without);
}

typedef struct coverage {
    seen operand[TL__TRIAL_OPERANDS], constant[TL_MAX_INPUTS], alias[TL_MAX_OUTPUTS][TL_MAX_INPUTS];
    seen relu, batch, integers, strides, dilation, groups, padding;
    tl_tensor_desc shapes[256];
    int shape_count;
} coverage;

static void cover(coverage *c, const tl__trial *trial) {
    const tl__op_rule *rule = trial->rule;
    for (int i = 0; i < tl__trial_operands(trial); i++)
        note(&c->operand[i], trial->desc[i].dtype != TL_DTYPE_NONE);
    for (int i = 0; i < rule->input_count; i++)
        if (trial->desc[i].dtype)
            note(&c->constant[i], trial->constant[i]);
    for (int o = 0; o < rule->output_count; o++)
        for (int i = 0; i < rule->input_count; i++)
            note(&c->alias[o][i], trial->shares[o] == i);
    note(&c->relu, trial->op.relu);
    note(&c->batch, trial->op.statistics == TL_STATISTICS_BATCH);
    note(&c->integers, trial->integers);
    note(&c->strides, trial->op.stride[0] > 1);
    note(&c->dilation, trial->op.dilation[0] > 1);
    note(&c->groups, trial->op.groups > 1);
    note(&c->padding, trial->op.pad[0] > 0);
    int i = 0;
    while (i < c->shape_count && !tl__desc_equal(&c->shapes[i], &trial->desc[0]))
        i++;
    if (i == c->shape_count)
        c->shapes[c->shape_count++] = trial->desc[0];
}

static void assert_covered(const coverage *c, uint32_t op) {
    const tl__op_rule *rule = tl__op_rule_of(op);
    const char *name = rule->name;
    for (int i = 0; i < rule->input_count; i++) {
        if (rule->optional_inputs >> i & 1)
            assert_both(&c->operand[i], name, rule->inputs[i]);
        if (tl__trial_may_be_constant(op, i))
            assert_both(&c->constant[i], name, "a constant");
    }
    for (int o = 0; o < rule->output_count; o++) {
        if (rule->optional_outputs >> o & 1)
            assert_both(&c->operand[rule->input_count + o], name, rule->outputs[o]);
        for (int i = 0; i < rule->input_count; i++)
            if (rule->aliases[o] >> i & 1)
                assert_both(&c->alias[o][i], name, "an output in place");
    }
    if (op == TL_OP_CONV2D || op == TL_OP_BATCHNORM || op == TL_OP_ADD)
        assert_both(&c->relu, name, "relu");
    if (op == TL_OP_BATCHNORM || op == TL_OP_BATCHNORM_GRAD)
        assert_both(&c->batch, name, "batch statistics");
    if (op == TL_OP_CONV2D || op == TL_OP_CONV2D_GRAD_INPUT || op == TL_OP_CONV2D_GRAD_WEIGHT) {
        assert_both(&c->integers, name, "integers");
        assert_both(&c->strides, name, "a stride");
        assert_both(&c->dilation, name, "dilation");
        assert_both(&c->groups, name, "groups");
        assert_both(&c->padding, name, "padding");
    }
    if (c->shape_count < 20)
        fail_msg("%s: %d shapes only", name, c->shape_count);
}

static void trials(void **state) {
    (void)state;
    watched *w = watch("");
    for (uint32_t op = 0; op < TL_OP_COUNT; op++) {
        coverage c = {.shape_count = 0};
        for (int i = 0; i < tl__trial_count(op); i++) {
            tl__trial trial;
            char text[512];
            tl_status status = tl__trial_make(w->context, op, i, &trial);
            if (status != TL_OK)
                fail_msg("%s, trial %d: %s", tl__op_rule_of(op)->name, i, tl_context_message(w->context));
            assert_true(strlen(tl__trial_text(&trial, text, sizeof text)) < sizeof text - 1);
            cover(&c, &trial);
            tl__trial_free(&trial);
        }
        assert_covered(&c, op);
    }
    unwatch(w);
}

/* ---- whole self-tests ---- */

typedef struct outcome {
    int lines, right, refused, wrong, halves, bytes, stop_after;
    char wrong_operation[64], detail[1024];
    double worst;
} outcome;

static bool each(void *user, const tl_selftest_line *line) {
    outcome *o = user;
    o->halves += strcmp(line->storage, "bf16") == 0;
    o->bytes += strcmp(line->storage, "u8") == 0;
    /* without batch statistics some shapes of a batch-norm remain untried */
    assert_true(line->shapes >= 20 || line->verdict == TL_SELFTEST_WRONG);
    assert_true(line->cases >= line->shapes);
    assert_true(line->wrong + line->refused <= line->cases);
    o->lines++;
    o->right += line->verdict == TL_SELFTEST_RIGHT;
    o->refused += line->verdict == TL_SELFTEST_REFUSED;
    o->wrong += line->verdict == TL_SELFTEST_WRONG;
    if (line->verdict == TL_SELFTEST_WRONG) {
        snprintf(o->wrong_operation, sizeof o->wrong_operation, "%s", line->operation);
        snprintf(o->detail, sizeof o->detail, "%s", line->detail);
        o->worst = line->worst;
    } else {
        assert_true(line->worst <= 1);
        assert_int_equal(line->refused < line->cases, line->implementations[0] != '\0');
    }
    return o->lines != o->stop_after;
}

static tl_status run(watched *w, const char *name, outcome *o) {
    tl_device *device = open_device(w, name);
    tl_status status = tl_device_selftest(device, each, o);
    tl_device_close(device);
    return status;
}

static void the_cpu_is_right(void **state) {
    (void)state;
    outcome o = {0};
    watched *w = watch("");
    assert_int_equal(run(w, "cpu", &o), TL_OK);
    assert_int_equal(o.right, TL_OP_COUNT + o.halves + o.bytes);
    assert_int_equal(o.halves, 7); /* what a frozen part is made of, on activations in bf16 too, */
    assert_int_equal(o.bytes, 4);  /* and what one in int8 is */
    assert_int_equal(o.wrong, 0);
    unwatch(w);
}

/* The fake has seven operations in some forms and none of the others. */
static void refusing_is_not_wrong(void **state) {
    (void)state;
    outcome o = {0};
    watched *w = watch(folder);
    assert_int_equal(run(w, "fake", &o), TL_OK);
    assert_int_equal(o.lines, TL_OP_COUNT);
    assert_int_equal(o.right, 7);
    assert_int_equal(o.refused, TL_OP_COUNT - 7);
    assert_not_logged(w, "error");
    unwatch(w);
    environment_set("TL_FAKE_ONLY", "none");
    o = (outcome){0};
    w = watch(folder);
    assert_int_equal(run(w, "fake", &o), TL_OK);
    assert_int_equal(o.refused, TL_OP_COUNT);
    unwatch(w);
}

/* Under sanitizers, and where TL_TEST_FEWER says that the machine is emulated, each way to be wrong is tried in one operation,
 * two of the calls that can fail, and one way of stored values; the plain build has them all. */
#ifdef __SANITIZE_ADDRESS__
#define FEWER true
#else
#define FEWER (getenv("TL_TEST_FEWER") != NULL)
#endif

static void every_wrong_is_found(void **state) {
    (void)state;
    static const char *const operations[] = {"normalize", "conv2d", "batchnorm", "relu", "add", "maxpool2d",
                                             "avgpool2d"};
    static const struct {
        const char *how, *detail;
    } ways[] = {{"value", "on the CPU"},
                {"slightly", "on the CPU"},
                {"nothing", "is nan, on the CPU"},
                {"beyond", "it writes outside its outputs"},
                {"unsteady", "it gives other results in a second run"}};
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++)
        for (size_t k = 0; k < sizeof ways / sizeof ways[0]; k++) {
            if (FEWER && k != i)
                continue;
            outcome o = {0};
            char text[64];
            snprintf(text, sizeof text, "%s:%s", operations[i], ways[k].how);
            setenv("TL_FAKE_WRONG", text, 1);
            watched *w = watch(folder);
            assert_int_equal(run(w, "fake", &o), TL_ERROR_DEVICE);
            if (o.wrong != 1 || o.right != 6 || strcmp(o.wrong_operation, operations[i]) != 0 ||
                !strstr(o.detail, ways[k].detail))
                fail_msg("%s: %d wrong, %s: %s", text, o.wrong, o.wrong_operation, o.detail);
            snprintf(text, sizeof text, "fake:0 is wrong in: %s", operations[i]);
            assert_string_equal(tl_context_message(w->context), text);
            unwatch(w);
        }
}

/* A device that fails is wrong, and the next operation is tried. */
static void failing_is_wrong(void **state) {
    (void)state;
    static const char *const calls[] = {"prepare", "bind", "enqueue", "write", "read", "finish", "buffer"};
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        if (FEWER && i % 4)
            continue;
        outcome o = {0};
        char text[64];
        snprintf(text, sizeof text, "%s:20", calls[i]);
        setenv("TL_FAKE_FAIL", text, 1);
        watched *w = watch(folder);
        assert_int_equal(run(w, "fake", &o), TL_ERROR_DEVICE);
        snprintf(text, sizeof text, "fake:0: %s 20 fails on demand", calls[i]);
        if (o.wrong != 1 || o.lines != TL_OP_COUNT || !strstr(o.detail, text))
            fail_msg("%s: %d wrong: %s", calls[i], o.wrong, o.detail);
        assert_not_logged(w, "error");
        unwatch(w);
    }
}

/* What the fake has, it has in bf16 then: a line more for each of the seven, right or wrong as the others are. */
static void sixteen_bits(void **state) {
    (void)state;
    outcome o = {0};
    environment_set("TL_FAKE_BF16", "1");
    watched *w = watch(folder);
    assert_int_equal(run(w, "fake", &o), TL_OK);
    assert_int_equal(o.right, 14);
    assert_int_equal(o.halves, 7);
    assert_int_equal(o.lines, TL_OP_COUNT + 7);
    unwatch(w);
    static const char *const ways[] = {"relu:value", "avgpool2d:nothing", "conv2d:beyond"};
    for (size_t i = 0; i < (FEWER ? 1 : sizeof ways / sizeof ways[0]); i++) {
        char text[128];
        int length = (int)strcspn(ways[i], ":");
        o = (outcome){0};
        setenv("TL_FAKE_WRONG", ways[i], 1);
        w = watch(folder);
        assert_int_equal(run(w, "fake", &o), TL_ERROR_DEVICE);
        assert_int_equal(o.wrong, 2);
        snprintf(text, sizeof text, "fake:0 is wrong in: %.*s, %.*s bf16", length, ways[i], length, ways[i]);
        assert_string_equal(tl_context_message(w->context), text);
        unwatch(w);
    }
}

/* The same of bytes, of which it has maxpool2d: its bits must be the CPU's. */
static void eight_bits(void **state) {
    (void)state;
    outcome o = {0};
    environment_set("TL_FAKE_INT8", "1");
    watched *w = watch(folder);
    assert_int_equal(run(w, "fake", &o), TL_OK);
    assert_int_equal(o.right, 8);
    assert_int_equal(o.bytes, 1);
    unwatch(w);
    static const char *const ways[] = {"value", "beyond"};
    for (size_t i = 0; i < (FEWER ? 1 : sizeof ways / sizeof ways[0]); i++) {
        char text[64];
        o = (outcome){0};
        snprintf(text, sizeof text, "maxpool2d:%s", ways[i]);
        setenv("TL_FAKE_WRONG", text, 1);
        w = watch(folder);
        assert_int_equal(run(w, "fake", &o), TL_ERROR_DEVICE);
        assert_int_equal(o.wrong, 2);
        assert_string_equal(tl_context_message(w->context), "fake:0 is wrong in: maxpool2d, maxpool2d u8");
        unwatch(w);
    }
}

static void the_callback_ends_it(void **state) {
    (void)state;
    outcome o = {.stop_after = 2};
    watched *w = watch(folder);
    assert_int_equal(run(w, "fake", &o), TL_OK);
    assert_int_equal(o.lines, 2);
    unwatch(w);
}

static void out_of_memory(void **state) {
    (void)state;
    tl_status status = TL_ERROR_MEMORY;
    for (long n = 1; status != TL_OK; n += n < 60 ? 1 : 7) {
        outcome o = {.stop_after = 1};
        watched *w = watch(folder);
        tl_device *device = open_device(w, "fake");
        w->fail_at = w->allocations + n;
        status = tl_device_selftest(device, each, &o);
        if (status != TL_OK) {
            assert_int_equal(status, TL_ERROR_MEMORY);
            assert_message(w, "memory");
        }
        tl_device_close(device);
        assert_not_logged(w, "error");
        unwatch(w);
        assert_true(n < 5000);
    }
}

#define CASE(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void) {
    static const struct CMUnitTest tests[] = {
        CASE(trials),
        CASE(the_cpu_is_right),
        CASE(refusing_is_not_wrong),
        CASE(every_wrong_is_found),
        CASE(failing_is_wrong),
        CASE(sixteen_bits),
        CASE(eight_bits),
        CASE(the_callback_ends_it),
        CASE(out_of_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
