/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/refill.h"

int refill_wait_ms(struct refill *r, bool missing, uint64_t now_ms) {
    if (!missing) {
        r->late_ms = 0;
        return -1;
    }
    if (r->late_ms == 0) r->late_ms = now_ms + REFILL_LATE_MS;
    if (now_ms >= r->late_ms) return 0;
    uint64_t left = r->late_ms - now_ms;
    return left < REFILL_REST_MS ? (int)left : REFILL_REST_MS;
}

void refill_made(struct refill *r) {
    r->late_ms = 0;
}
