/* What targets of PNG do to their bytes. */
#include "fuzz.h"

bool fuzz_png_slow(const uint8_t *data, size_t size) {
    return size > 24 && ((uint64_t)(data[16] << 8 | data[17]) || (uint64_t)(data[20] << 8 | data[21]) ||
                         (uint64_t)(data[18] << 8 | data[19]) * (uint64_t)(data[22] << 8 | data[23]) > 1 << 21);
}

static uint32_t crc_of(const uint8_t *data, size_t size) {
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < size; i++) {
        crc ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? 0xedb88320u : 0);
    }
    return ~crc;
}

void fuzz_png_repair(uint8_t *data, size_t size) {
    for (size_t at = 8; size >= 20 && at <= size - 12;) {
        size_t length = (size_t)data[at] << 24 | (size_t)data[at + 1] << 16 | (size_t)data[at + 2] << 8 | data[at + 3];
        if (length > size - 12 - at)
            return;
        uint32_t crc = crc_of(data + at + 4, length + 4);
        for (size_t i = 0; i < 4; i++)
            data[at + 8 + length + i] = (uint8_t)(crc >> (24 - 8 * i));
        at += length + 12;
    }
}
