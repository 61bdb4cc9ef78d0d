/* unit/unit.h: what the unit tests of core include. */
#ifndef UNIT_H
#define UNIT_H

/* cmocka wants these first */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/core.h"

static inline tl_context *plain_context(void) {
    tl_context *context = NULL;
    assert_int_equal(tl_context_create(NULL, &context), TL_OK);
    return context;
}

#endif
