#include "formats/npy.h"

#include <stdio.h>
#include <string.h>

void tl__npy_order(float *values, int64_t count) {
    for (int64_t i = 0; !TL__LITTLE_ENDIAN && i < count; i++) {
        uint32_t bits;
        uint8_t *out = (uint8_t *)&values[i];
        memcpy(&bits, &values[i], sizeof bits);
        for (int byte = 0; byte < 4; byte++)
            out[byte] = (uint8_t)(bits >> 8 * byte);
    }
}

tl_status tl__npy_begin(tl__writer *writer, const char *type, int rank, const int64_t *shape) {
    char sizes[128] = "", text[320] = "\x93NUMPY\x01";
    size_t used = 0;
    for (int i = 0; i < rank && used < sizeof sizes; i++)
        used += (size_t)snprintf(sizes + used, sizeof sizes - used, i && i + 1 == rank ? "%lld" : i ? "%lld, " : rank > 1 ? "%lld, " : "%lld,", (long long)shape[i]);
    int length = snprintf(text + 10, sizeof text - 10, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }", type, sizes);
    int padded = (10 + length + 1 + 63) / 64 * 64;
    memset(text + 10 + length, ' ', (size_t)(padded - 10 - length));
    text[padded - 1] = '\n';
    text[8] = (char)((padded - 10) & 255);
    text[9] = (char)((padded - 10) >> 8);
    return tl__writer_write(writer, text, (size_t)padded);
}
