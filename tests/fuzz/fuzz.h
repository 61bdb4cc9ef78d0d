/* fuzz.h: what a target gives: libFuzzer's function, and the folder in the source tree that has examples. */
#ifndef TL_TEST_FUZZ_H
#define TL_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

extern const char fuzz_folder[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
