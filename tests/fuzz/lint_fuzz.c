/* SPDX-License-Identifier: Apache-2.0 */
/* What the lint finds lies within the source, whatever the source. First two bytes: the lines of the function. */
#include "cell/lint.h"
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

struct source {
    const char *at, *end;
};

static void on_found(void *ud, int line, const char *text, size_t len) {
    const struct source *s = ud;
    if (line < 1 || text < s->at || len > (size_t)(s->end - text)) abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    if (len < 2) return 0;
    struct source s = {.at = (const char *)bytes + 2, .end = (const char *)bytes + len};
    int first = 1 + bytes[0] % 8, last = first + bytes[1] % 8;

    lint_returns(s.at, len - 2, first, last, on_found, &s);
    if (lint_tail_call(s.at, len - 2, first, last, "say") < 0) abort();
    if (lint_file_return(s.at, len - 2) < 1) abort();
    return 0;
}
