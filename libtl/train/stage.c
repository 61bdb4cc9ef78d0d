#include "train/trainer.h"

#include <math.h>
#include <string.h>

void tl_stage_init(tl_stage *stage, size_t size) {
    tl_stage defaults = {.size = size, .name = "head", .epochs = 10, .lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8,
                         .power = 0.9};
    memcpy(stage, &defaults, size < sizeof defaults ? size : sizeof defaults);
}

tl_status tl__stage_check(tl_context *context, const tl_stage *stage) {
    const struct {
        const char *name;
        double value;
        bool fits;
    } checks[] = {
        {"epochs", stage->epochs, stage->epochs >= 1 && stage->epochs <= 1000000},
        {"lr", stage->lr, stage->lr > 0 && isfinite(stage->lr)},
        {"beta1", stage->beta1, stage->beta1 >= 0 && stage->beta1 < 1},
        {"beta2", stage->beta2, stage->beta2 >= 0 && stage->beta2 < 1},
        {"eps", stage->eps, stage->eps >= 0 && isfinite(stage->eps)},
        {"weight_decay", stage->weight_decay, stage->weight_decay >= 0 && isfinite(stage->weight_decay)},
        {"schedule", (double)stage->schedule, (int)stage->schedule >= 0 && stage->schedule <= TL_SCHEDULE_COSINE},
        {"dice", stage->dice, stage->dice >= 0 && isfinite(stage->dice)},
        {"power", stage->power, stage->power > 0 && isfinite(stage->power)},
        {"steps", (double)stage->steps, stage->steps >= 0},
    };
    for (size_t i = 0; i < TL__COUNT(checks); i++)
        if (!checks[i].fits)
            return tl__fail(context, TL_ERROR_ARGUMENT, "stage %s: %s = %g is out of range", stage->name, checks[i].name, checks[i].value);
    for (size_t i = 0; i < stage->rate_count; i++) {
        const tl_rate *rate = &stage->rates[i];
        double value = rate->lr != 0 ? rate->lr : rate->factor;
        if (!rate->parameters || !(value > 0 && isfinite(value)))
            return tl__fail(context, TL_ERROR_ARGUMENT, "stage %s: the learning rate of %s is %g", stage->name,
                            rate->parameters ? rate->parameters : "nothing", value);
    }
    return TL_OK;
}

double tl__stage_factor(const tl_stage *stage, int64_t step) {
    double done = stage->steps > 0 ? (double)step / (double)stage->steps : 0;
    done = done < 1 ? done : 1;
    switch (stage->schedule) {
    case TL_SCHEDULE_CONSTANT: break;
    case TL_SCHEDULE_POLY: return pow(1 - done, stage->power);
    case TL_SCHEDULE_COSINE: return (1 + cos(acos(-1) * done)) / 2;
    }
    return 1;
}

double tl__stage_rate(const tl_stage *stage, const char *name) {
    double rate = stage->lr;
    for (size_t i = 0; i < stage->rate_count; i++)
        if (tl__pattern_match(stage->rates[i].parameters, name))
            rate = stage->rates[i].lr != 0 ? stage->rates[i].lr : stage->rates[i].factor * stage->lr;
    return rate;
}

/* Every pattern of the list must match something: a typing error that froze what should train would go unseen. */
static tl_status check_patterns(tl_model *model, const char *stage, const char *patterns, bool trains) {
    for (const char *at = patterns + strspn(patterns, ", \t"); *at; at += strspn(at, ", \t")) {
        char one[256];
        size_t length = strcspn(at, ", \t");
        if (length >= sizeof one)
            return tl__fail(model->context, TL_ERROR_ARGUMENT, "stage %s: a pattern is longer than %zu characters", stage, sizeof one - 1);
        memcpy(one, at, length);
        one[length] = 0;
        bool found = false;
        for (size_t i = 0; i < model->parameter_count && !found; i++)
            found = (trains ? model->parameters[i]->trains : !tl__parameter_is_buffer(model->parameters[i])) &&
                    tl__pattern_match(one, model->parameters[i]->name);
        if (!found)
            return tl__fail(model->context, TL_ERROR_ARGUMENT, "stage %s: \"%s\" matches no parameter of %s%s", stage, one,
                            tl_model_arch(model), trains ? " that trains" : "");
        at += length;
    }
    return TL_OK;
}

/* Does a parameter with this ending ("weight", "bias") of the same layer as `buffer` train? */
static bool layer_trains(const tl_model *model, const tl__parameter *buffer, const char *ending) {
    char name[256];
    size_t length = (size_t)(strrchr(buffer->name, '.') - buffer->name) + 1;
    if (length + strlen(ending) >= sizeof name)
        return false;
    memcpy(name, buffer->name, length);
    strcpy(name + length, ending);
    const tl__parameter *p = tl__model_find(model, name);
    return p && p->trains;
}

tl_status tl__stage_mark(tl_model *model, const tl_stage *stage, tl_bn bn) {
    char head[128];
    const char *patterns = stage->train;
    if (!patterns) {
        tl__model_head_pattern(model, head, sizeof head);
        patterns = head;
    }
    TL__TRY(check_patterns(model, stage->name, patterns, false));
    size_t count = 0;
    for (size_t i = 0; i < model->parameter_count; i++) {
        tl__parameter *p = model->parameters[i];
        p->trains = !tl__parameter_is_buffer(p) && tl__pattern_match(patterns, p->name);
        count += p->trains;
    }
    for (size_t i = 0; i < stage->rate_count; i++)
        TL__TRY(check_patterns(model, stage->name, stage->rates[i].parameters, true));
    for (size_t i = 0; i < model->parameter_count; i++) {
        tl__parameter *p = model->parameters[i];
        p->moves = tl__parameter_is_buffer(p) &&
                   (bn == TL_BN_BATCH || (bn == TL_BN_MIXED && (layer_trains(model, p, "weight") || layer_trains(model, p, "bias"))));
    }
    return count ? TL_OK : tl__fail(model->context, TL_ERROR_ARGUMENT, "stage %s trains nothing", stage->name);
}
