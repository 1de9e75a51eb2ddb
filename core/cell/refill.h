/* SPDX-License-Identifier: Apache-2.0 */
/* When the zygote makes a cell ahead: while it has nothing else to do, as who was just given one has the processor first; and soon in
 * any case, as under steady traffic there is no rest. Arithmetic only: the clock is given. */
#pragma once
#include <stdbool.h>
#include <stdint.h>

enum {
    REFILL_REST_MS = 3,  /* without a request, before one is made */
    REFILL_LATE_MS = 10, /* since one was found missing, and it is made all the same */
};
struct refill {
    uint64_t late_ms; /* when one is made in any case; 0: none was missing */
};
/* How long to wait for a request before one is made; 0: it is due, and the next one has its own time; -1: none is missing. */
int refill_wait_ms(struct refill *r, bool missing, uint64_t now_ms);
/* One was made: the next one has its own time, whether this one was due or made in a rest. */
void refill_made(struct refill *r);
