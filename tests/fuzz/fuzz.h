/* fuzz.h: what a target gives; libFuzzer's name for it. */
#ifndef TL_TEST_FUZZ_H
#define TL_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
