/* fuzz.h: what a target gives: libFuzzer's function, and the folder in the source tree that has examples. */
#ifndef TL_TEST_FUZZ_H
#define TL_TEST_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

extern const char fuzz_folder[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* png.c: whether more pixels are declared than a run should spend time on: they are allowed, and slow. */
bool fuzz_png_slow(const uint8_t *data, size_t size);
/* Rights the checksums of a PNG, behind which nothing else would ever be reached. */
void fuzz_png_repair(uint8_t *data, size_t size);

#endif
