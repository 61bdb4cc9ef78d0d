#include "tests/models/formula.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t hash_name(const char *name) {
    uint64_t hash = 0xCBF29CE484222325u;
    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 0x100000001B3u;
    return hash;
}

static double unit(uint64_t hash, uint64_t index) {
    uint64_t z = hash + (index + 1) * 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    z ^= z >> 31;
    return (double)(z >> 40) * 0x1p-24;
}

double formula_unit(const char *name, uint64_t seed, uint64_t index) {
    return unit(hash_name(name) ^ seed, index);
}

static bool ends(const char *name, const char *with) {
    size_t length = strlen(name), tail = strlen(with);
    return length >= tail && strcmp(name + length - tail, with) == 0;
}

void formula_tensor(const tl_parameter_info *info, uint64_t seed, bool two_conv_block, float *out) {
    double a = 0.6, b = 0.4;
    if (info->rank == 4 || info->rank == 2) {
        double fan_in = 1;
        for (int i = 1; i < info->rank; i++)
            fan_in *= (double)info->shape[i];
        b = 2 * sqrt((info->rank == 4 ? 6.0 : 3.0) / fan_in);
        a = -b / 2;
    } else if (ends(info->name, "num_batches_tracked")) {
        a = b = 0;
    } else if (ends(info->name, "running_var")) {
        a = 0.8, b = 0.4;
    } else if (ends(info->name, "running_mean") || ends(info->name, "bias")) {
        a = -0.1, b = 0.2;
    } else if (ends(info->name, "bn3.weight") || (two_conv_block && ends(info->name, "bn2.weight"))) {
        a = b = 0.2;
    }
    uint64_t hash = hash_name(info->name) ^ seed;
    for (int64_t i = 0; i < info->count; i++)
        out[i] = (float)(a + b * unit(hash, (uint64_t)i));
}

bool formula_two_conv_block(const tl_model *model) {
    tl_parameter_info info = {.size = sizeof info};
    for (size_t i = 0; i < tl_model_parameter_count(model); i++)
        if (tl_model_parameter(model, i, &info) == TL_OK && strstr(info.name, ".bn3."))
            return false;
    return true;
}

tl_status formula_fill(tl_model *model, uint64_t seed) {
    bool two_conv_block = formula_two_conv_block(model);
    for (size_t i = 0; i < tl_model_parameter_count(model); i++) {
        tl_parameter_info info = {.size = sizeof info};
        tl_status status = tl_model_parameter(model, i, &info);
        float *values = status == TL_OK ? malloc((size_t)info.count * sizeof *values) : NULL;
        if (!values)
            return status == TL_OK ? TL_ERROR_MEMORY : status;
        formula_tensor(&info, seed, two_conv_block, values);
        status = tl_model_write(model, info.name, values);
        free(values);
        if (status != TL_OK)
            return status;
    }
    return TL_OK;
}
