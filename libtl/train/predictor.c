#include <math.h>

#include <tl/model.h>

#include "train/runner.h"

struct tl_predictor {
    tl_context *context;
    tl__engine *engine;
    tl__runner *runner;
    int batch;
};

tl_status tl_predictor_create(tl_model *model, tl_device *device, int batch, int height, int width, tl_predictor **out) {
    tl_context *context = model->context;
    if (batch < 1 || height < 1 || width < 1 || batch > 65536 || height > 16384 || width > 16384)
        return tl__fail(context, TL_ERROR_ARGUMENT, "a batch of %d images of %d x %d", batch, height, width);
    tl_predictor *predictor = tl__calloc(context, 1, sizeof *predictor);
    if (!predictor)
        return TL_ERROR_MEMORY;
    predictor->context = context;
    predictor->batch = batch;
    tl_status status = tl__engine_create(model, device, &predictor->engine);
    if (status == TL_OK) {
        tl__draw_options draw = {.batch = tl__engine_chunk(predictor->engine, batch), .height = height, .width = width};
        status = tl__runner_create(predictor->engine, &draw, TL__PART_WHOLE, NULL, &predictor->runner);
    }
    if (status != TL_OK) {
        tl_predictor_destroy(predictor);
        return status;
    }
    tl__plan_log(predictor->runner->plans[0].plan);
    *out = predictor;
    return TL_OK;
}

void tl_predictor_destroy(tl_predictor *predictor) {
    if (!predictor)
        return;
    tl__runner_destroy(predictor->runner);
    tl__engine_destroy(predictor->engine);
    tl__free(predictor->context, predictor);
}

tl_status tl_predictor_run(tl_predictor *predictor, const uint8_t *rgb, int count, float *logits) {
    if (count < 1 || count > predictor->batch)
        return tl__fail(predictor->context, TL_ERROR_ARGUMENT, "%d images where the predictor takes 1 to %d", count, predictor->batch);
    return tl__runner_run(predictor->runner, rgb, count, logits);
}

void tl_softmax(float *values, size_t rows, size_t columns) {
    for (size_t r = 0; r < rows; r++) {
        float *row = values + r * columns, largest = -INFINITY;
        double sum = 0;
        for (size_t c = 0; c < columns; c++)
            largest = row[c] > largest ? row[c] : largest;
        for (size_t c = 0; c < columns; c++)
            sum += row[c] = expf(row[c] - largest);
        for (size_t c = 0; c < columns; c++)
            row[c] = (float)(row[c] / sum);
    }
}
