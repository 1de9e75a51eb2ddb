/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle that passes bundle_check() is exactly what bundle_add() makes of its files. */
#include "script/bundle.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    struct bundle_file f;
    struct buf b = {0};
    struct err e;
    size_t at = 0;

    if (bundle_check(bytes, len, &e) == 0) {
        bundle_begin(&b);
        while (bundle_next(bytes, len, &at, &f, &e) > 0)
            if (bundle_add(&b, f.path, f.path_len, f.data, f.len, &e) < 0) abort();
        if (b.len != len || memcmp(b.data, bytes, len) != 0) abort();
    }
    buf_free(&b);
    return 0;
}
