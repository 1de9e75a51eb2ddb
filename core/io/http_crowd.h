/* SPDX-License-Identifier: Apache-2.0 */
/* How many connections a worker's servers have: in all and of each address. A home with IPv6 has a whole /64, so that is
 * what counts as one address there. Pure counting, no I/O. */
#pragma once
#include "base/map.h"

struct http_visitor; /* an address that has connections here */
struct http_crowd {  /* zero-initialised is empty */
    struct map visitors;
    int count;
};

/* May one more come? Returns 0 with *out, to be given to crowd_leave(); 503 when all are too many, 429 when those of
 * this address are. A limit of 0 is none. */
int crowd_enter(struct http_crowd *c, const char *address, int most, int most_of_address, struct http_visitor **out);
void crowd_leave(struct http_crowd *c, struct http_visitor *v);
const char *crowd_address(const struct http_visitor *v); /* what counts as one; it lives as long as v */
void crowd_free(struct http_crowd *c);                   /* when all have left */
