/* SPDX-License-Identifier: Apache-2.0 */
/* What a carrier or a form calls a phone number: digits, tel: and sip: URIs, any bytes. Two letters in front are the region.
 * What is taken is E.164 and is taken again as it was written. */
#include "bind/phone.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    struct phone p, again;
    char region[3] = "";

    if (len < 2) return 0;
    memcpy(region, bytes, 2);
    if (phone_parse((const char *)bytes + 2, len - 2, region, &p) < 0) return 0;
    if (p.e164[0] != '+' || strspn(p.e164 + 1, "0123456789") != strlen(p.e164) - 1 || strlen(p.e164) < 3) abort();
    if (p.possible && phone_parse(p.e164, strlen(p.e164), NULL, &again) < 0) abort();
    return 0;
}
