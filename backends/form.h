/* form.h: what every backend asks of an operation's operands, for our own backends. Static functions in a header: a
 * plugin shares no symbol with libtl, and two backends that are built in must not define one twice. */
#ifndef TL_BACKENDS_FORM_H
#define TL_BACKENDS_FORM_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <tl/backend.h>

static inline uint64_t form_dtype_size(int dtype) {
    switch (dtype) {
    case TL_DTYPE_F64:
    case TL_DTYPE_I64:
        return 8;
    case TL_DTYPE_F32:
    case TL_DTYPE_I32:
        return 4;
    case TL_DTYPE_BF16:
    case TL_DTYPE_F16:
        return 2;
    case TL_DTYPE_U8:
    case TL_DTYPE_I8:
        return 1;
    default:
        return 0;
    }
}

static inline bool form_present(const tl_operand *operand) {
    return operand->desc.dtype != TL_DTYPE_NONE;
}

/* 1 for a scalar, 0 if absent. */
static inline int64_t form_elements(const tl_operand *operand) {
    int64_t count = 1;
    for (int i = 0; i < operand->desc.rank; i++)
        count *= operand->desc.shape[i];
    return form_present(operand) ? count : 0;
}

static inline uint64_t form_bytes(const tl_operand *operand) {
    return (uint64_t)form_elements(operand) * form_dtype_size(operand->desc.dtype);
}

/* The first operand that is there and has not the type at its place in `types`, one letter each: f f32, b u8, i i32,
 * h bf16, a f32 or bf16, e f16, g f32 or f16, l i64 (absent operands count too); -1: all fit. */
static inline int form_misfit(const tl_operand *operands, uint32_t count, const char *types) {
    for (uint32_t i = 0; i < count; i++) {
        const char letter = types[i];
        const int given = operands[i].desc.dtype;
        const int dtype = letter == 'f'   ? TL_DTYPE_F32
                          : letter == 'h' ? TL_DTYPE_BF16
                          : letter == 'e' ? TL_DTYPE_F16
                          : letter == 'b' ? TL_DTYPE_U8
                          : letter == 'i' ? TL_DTYPE_I32
                                          : TL_DTYPE_I64;
        const bool fits = letter == 'a'   ? given == TL_DTYPE_F32 || given == TL_DTYPE_BF16
                          : letter == 'g' ? given == TL_DTYPE_F32 || given == TL_DTYPE_F16
                                          : given == dtype;
        if (form_present(&operands[i]) && !fits)
            return (int)i;
    }
    return -1;
}

/* Does the form fit what TL_OP_LIST says: as many operands, and none missing that must be there? Says in text[size] what
 * does not. */
static inline bool form_fits(const char *stem, const char *const lists[2], const tl_operand *operands,
                             const uint32_t counts[2], char *text, size_t size) {
    uint32_t at = 0;
    for (int i = 0; i < 2; i++) {
        uint32_t count = 0;
        for (const char *word = lists[i]; *word; count++) {
            size_t length = strcspn(word, " "), name = strcspn(word, " ?=~");
            if (count < counts[i] && word[name] != '?' && !form_present(&operands[at + count])) {
                snprintf(text, size, "%s: operand %.*s is missing", stem, (int)name, word);
                return false;
            }
            word += length + (word[length] == ' ');
        }
        if (count != counts[i]) {
            snprintf(text, size, "%s: %u %s were given, it has %u", stem, (unsigned)counts[i], i ? "outputs" : "inputs",
                     (unsigned)count);
            return false;
        }
        at += counts[i];
    }
    return true;
}

#endif
