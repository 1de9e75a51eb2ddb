/* SPDX-License-Identifier: Apache-2.0 */
/* A time that parses is written as a text that parses to the same time. */
#include "base/clock.h"
#include "base/err.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int64_t us, again;
    int rc = clock_parse_rfc3339((const char *)data, size, &us);
    if (rc == 0) {
        char text[28];
        clock_rfc3339(us, text);
        if (strlen(text) != 27 || clock_parse_rfc3339(text, 27, &again) != 0) abort();
        /* An offset can push the first and the last day out of the years that have four digits. */
        if (again != us && us >= -62167219200000000 && us <= 253402300799999999) abort();
    } else if (rc != ERR_INVALID) {
        abort();
    }
    if (size == sizeof us) {
        char text[28];
        memcpy(&us, data, sizeof us);
        clock_rfc3339(us, text);
        if (clock_parse_rfc3339(text, 27, &again) != 0) abort();
    }
    return 0;
}
