#include "formats/pickle.h"

#include <string.h>

#define STORAGE(name, dtype, size) {"torch", name, TL__GLOBAL_STORAGE, dtype, size}
#define OPAQUE(module, name) {module, name, TL__GLOBAL_OPAQUE, 0, 0}
#define OTHER(module, name, kind) {module, name, TL__GLOBAL_##kind, 0, 0}

/* Everything that a pickle may name. The opaque ones are what training scripts keep beside the weights. */
static const tl__global globals[] = {
    OTHER("collections", "OrderedDict", DICT),
    OTHER("torch._utils", "_rebuild_tensor", TENSOR),
    OTHER("torch._utils", "_rebuild_tensor_v2", TENSOR),
    OTHER("torch._utils", "_rebuild_tensor_v3", TENSOR_V3),
    OTHER("torch._utils", "_rebuild_parameter", PARAMETER),
    OTHER("torch._utils", "_rebuild_parameter_with_state", PARAMETER),
    OTHER("torch.nn.parameter", "Parameter", PARAMETER),
    OTHER("torch._tensor", "_rebuild_from_type_v2", FROM_TYPE),
    OTHER("torch", "Size", SIZE),
    OTHER("torch", "Tensor", NAME),
    OTHER("torch", "strided", NAME),
    OTHER("torch", "contiguous_format", NAME),
    OTHER("torch", "channels_last", NAME),
    STORAGE("FloatStorage", TL_DTYPE_F32, 4),
    STORAGE("DoubleStorage", TL_DTYPE_F64, 8),
    STORAGE("HalfStorage", TL_DTYPE_F16, 2),
    STORAGE("BFloat16Storage", TL_DTYPE_BF16, 2),
    STORAGE("ByteStorage", TL_DTYPE_U8, 1),
    STORAGE("BoolStorage", TL_DTYPE_U8, 1),
    STORAGE("CharStorage", TL_DTYPE_I8, 1),
    STORAGE("IntStorage", TL_DTYPE_I32, 4),
    STORAGE("LongStorage", TL_DTYPE_I64, 8),
    STORAGE("UntypedStorage", TL_DTYPE_U8, 1),
    STORAGE("ShortStorage", TL_DTYPE_NONE, 2),
    STORAGE("ComplexFloatStorage", TL_DTYPE_NONE, 8),
    STORAGE("ComplexDoubleStorage", TL_DTYPE_NONE, 16),
    STORAGE("QInt8Storage", TL_DTYPE_NONE, 1),
    STORAGE("QUInt8Storage", TL_DTYPE_NONE, 1),
    STORAGE("QInt32Storage", TL_DTYPE_NONE, 4),
    STORAGE("float32", TL_DTYPE_F32, 4),
    STORAGE("float64", TL_DTYPE_F64, 8),
    STORAGE("float16", TL_DTYPE_F16, 2),
    STORAGE("bfloat16", TL_DTYPE_BF16, 2),
    STORAGE("uint8", TL_DTYPE_U8, 1),
    STORAGE("bool", TL_DTYPE_U8, 1),
    STORAGE("int8", TL_DTYPE_I8, 1),
    STORAGE("int32", TL_DTYPE_I32, 4),
    STORAGE("int64", TL_DTYPE_I64, 8),
    STORAGE("int16", TL_DTYPE_NONE, 2),
    STORAGE("uint16", TL_DTYPE_NONE, 2),
    STORAGE("uint32", TL_DTYPE_NONE, 4),
    STORAGE("uint64", TL_DTYPE_NONE, 8),
    STORAGE("complex64", TL_DTYPE_NONE, 8),
    STORAGE("complex128", TL_DTYPE_NONE, 16),
    STORAGE("float8_e4m3fn", TL_DTYPE_NONE, 1),
    STORAGE("float8_e4m3fnuz", TL_DTYPE_NONE, 1),
    STORAGE("float8_e5m2", TL_DTYPE_NONE, 1),
    STORAGE("float8_e5m2fnuz", TL_DTYPE_NONE, 1),
    STORAGE("float8_e8m0fnu", TL_DTYPE_NONE, 1),
    OPAQUE("torch", "device"),
    OPAQUE("torch.torch_version", "TorchVersion"),
    OPAQUE("collections", "defaultdict"),
    OPAQUE("collections", "Counter"),
    OPAQUE("argparse", "Namespace"),
    OPAQUE("types", "SimpleNamespace"),
    OPAQUE("pathlib", "PosixPath"),
    OPAQUE("pathlib", "WindowsPath"),
    OPAQUE("pathlib", "PurePosixPath"),
    OPAQUE("pathlib._local", "PosixPath"),
    OPAQUE("datetime", "datetime"),
    OPAQUE("datetime", "timedelta"),
    OPAQUE("_codecs", "encode"),
    OPAQUE("numpy", "dtype"),
    OPAQUE("numpy", "ndarray"),
    OPAQUE("numpy.core.multiarray", "scalar"),
    OPAQUE("numpy.core.multiarray", "_reconstruct"),
    OPAQUE("numpy._core.multiarray", "scalar"),
    OPAQUE("numpy._core.multiarray", "_reconstruct"),
    OPAQUE("builtins", "set"),
    OPAQUE("builtins", "frozenset"),
    OPAQUE("builtins", "bytearray"),
    OPAQUE("builtins", "complex"),
    OPAQUE("builtins", "slice"),
    OPAQUE("builtins", "list"),
    OPAQUE("builtins", "dict"),
    OPAQUE("builtins", "int"),
    OPAQUE("builtins", "float"),
};

/* Python 2's builtins; storages as older versions placed them. */
static const char *const module_aliases[][2] = {
    {"__builtin__", "builtins"},
    {"torch.cuda", "torch"},
    {"torch.storage", "torch"},
};

tl_status tl__pickle_find_global(tl__pickle *pickle, tl__slice module, tl__slice name, uint32_t *index) {
    tl__slice wanted = module;
    for (size_t i = 0; i < TL__COUNT(module_aliases); i++)
        if (tl__slice_is(module, module_aliases[i][0]))
            wanted = (tl__slice){module_aliases[i][1], strlen(module_aliases[i][1])};
    for (size_t i = 0; i < TL__COUNT(globals); i++)
        if (tl__slice_is(wanted, globals[i].module) && tl__slice_is(name, globals[i].name))
            return tl__pickle_make(pickle, (tl__node){.kind = TL__PICKLE_GLOBAL, .global = (uint8_t)i}, index);
    return tl__pickle_fail(pickle, TL_ERROR_FORMAT,
                           "it names %.*s.%.*s, which no weights need: refused, nothing was executed "
                           "(of a trustworthy network, save state_dict() only)",
                           TL__SLICE(module), TL__SLICE(name));
}

const tl__global *tl__pickle_global(const tl__node *node) {
    return &globals[node->global];
}

static tl_status malformed(tl__pickle *pickle, const tl__global *function) {
    return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "%s.%s gets arguments that PyTorch would not give it",
                           function->module, function->name);
}

/* OrderedDict(), or Python 2's OrderedDict([[key, value], ...]). */
static tl_status make_dict(tl__pickle *pickle, const tl__node *arguments, uint32_t *result) {
    TL__TRY(tl__pickle_make(pickle, (tl__node){.kind = TL__PICKLE_DICT, .depth = 1}, result));
    const tl__node *pairs = tl__pickle_item(pickle, arguments, 0);
    if (!pairs || pairs->kind != TL__PICKLE_LIST)
        return TL_OK;
    uint32_t at = pairs->of.items.first;
    for (uint32_t i = 0; i < pairs->count; i++) {
        const tl__cell *cell = tl__pickle_cell(pickle, at);
        const tl__node *pair = tl__pickle_node(pickle, cell->value);
        if ((pair->kind != TL__PICKLE_LIST && pair->kind != TL__PICKLE_TUPLE) || pair->count != 2)
            return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "an OrderedDict made from what are no pairs");
        const tl__cell *first = tl__pickle_cell(pickle, pair->of.items.first);
        TL__TRY(tl__pickle_append(pickle, *result, first->value, tl__pickle_cell(pickle, first->next)->value));
        at = cell->next;
    }
    return TL_OK;
}

static bool is(const tl__node *node, tl__pickle_kind kind) {
    return node && node->kind == kind;
}

static tl_status make_tensor(tl__pickle *pickle, uint32_t function, uint32_t arguments, uint32_t *result) {
    const tl__node *callee = tl__pickle_node(pickle, function), *tuple = tl__pickle_node(pickle, arguments);
    const tl__global *global = tl__pickle_global(callee);
    if (!is(tl__pickle_item(pickle, tuple, 0), TL__PICKLE_PERSISTENT) ||
        !is(tl__pickle_item(pickle, tuple, 1), TL__PICKLE_INTEGER) ||
        !is(tl__pickle_item(pickle, tuple, 2), TL__PICKLE_TUPLE) ||
        !is(tl__pickle_item(pickle, tuple, 3), TL__PICKLE_TUPLE))
        return malformed(pickle, global);
    if (global->kind == TL__GLOBAL_TENSOR_V3) {
        const tl__node *dtype = tl__pickle_item(pickle, tuple, 6);
        if (!is(dtype, TL__PICKLE_GLOBAL) || tl__pickle_global(dtype)->kind != TL__GLOBAL_STORAGE)
            return malformed(pickle, global);
    }
    const tl__node node = {
        .kind = TL__PICKLE_TENSOR, .depth = 1, .global = callee->global, .of.items.first = arguments};
    return tl__pickle_make(pickle, node, result);
}

/* Parameter(tensor, ...) is the tensor. Files of PyTorch's first years make an empty one and BUILD it. */
static tl_status make_parameter(tl__pickle *pickle, uint32_t function, const tl__node *arguments, uint32_t *result) {
    const tl__global *global = tl__pickle_global(tl__pickle_node(pickle, function));
    if (arguments->count == 0)
        return tl__pickle_make(pickle, (tl__node){.kind = TL__PICKLE_TENSOR, .depth = 1, .made_late = true}, result);
    if (!is(tl__pickle_item(pickle, arguments, 0), TL__PICKLE_TENSOR))
        return malformed(pickle, global);
    *result = tl__pickle_cell(pickle, arguments->of.items.first)->value;
    return TL_OK;
}

static tl_status make_from_type(tl__pickle *pickle, const tl__global *global, const tl__node *arguments,
                                uint32_t *result) {
    if (arguments->count < 3)
        return malformed(pickle, global);
    const tl__cell *function = tl__pickle_cell(pickle, arguments->of.items.first);
    const tl__cell *inner = tl__pickle_cell(pickle, tl__pickle_cell(pickle, function->next)->next);
    return tl__pickle_call(pickle, function->value, inner->value, result);
}

tl_status tl__pickle_call(tl__pickle *pickle, uint32_t function, uint32_t arguments, uint32_t *result) {
    const tl__node *callee = tl__pickle_node(pickle, function), *tuple = tl__pickle_node(pickle, arguments);
    if (callee->kind != TL__PICKLE_GLOBAL || tuple->kind != TL__PICKLE_TUPLE)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "calls what is no function");
    const tl__global *global = tl__pickle_global(callee);
    switch (global->kind) {
    case TL__GLOBAL_OPAQUE: return tl__pickle_make(pickle, (tl__node){.kind = TL__PICKLE_OPAQUE}, result);
    case TL__GLOBAL_DICT: return make_dict(pickle, tuple, result);
    case TL__GLOBAL_TENSOR:
    case TL__GLOBAL_TENSOR_V3: return make_tensor(pickle, function, arguments, result);
    case TL__GLOBAL_PARAMETER: return make_parameter(pickle, function, tuple, result);
    case TL__GLOBAL_FROM_TYPE: return make_from_type(pickle, global, tuple, result);
    case TL__GLOBAL_SIZE:
        if (!is(tl__pickle_item(pickle, tuple, 0), TL__PICKLE_TUPLE))
            return malformed(pickle, global);
        *result = tl__pickle_cell(pickle, tuple->of.items.first)->value;
        return TL_OK;
    default: return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "calls %s.%s", global->module, global->name);
    }
}

tl_status tl__pickle_build(tl__pickle *pickle, uint32_t object, uint32_t state) {
    tl__node *node = tl__pickle_edit(pickle, object);
    if (node->kind != TL__PICKLE_TENSOR || !node->made_late)
        return TL_OK; /* attributes of something that is whole without them */
    const tl__node *tuple = tl__pickle_node(pickle, state);
    const tl__node *tensor = tuple->kind == TL__PICKLE_TUPLE ? tl__pickle_item(pickle, tuple, 0) : NULL;
    if (!is(tensor, TL__PICKLE_TENSOR) || tensor->made_late)
        return tl__pickle_fail(pickle, TL_ERROR_FORMAT, "a Parameter that gets no tensor");
    *node = *tensor;
    return TL_OK;
}
