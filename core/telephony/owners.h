/* SPDX-License-Identifier: Apache-2.0 */
/* Who is alive: "<prefix>owners", a sorted set of owners by the Redis time of their last heartbeat.
 *
 * Threads  Loop thread only. */
#pragma once
#include "telephony/lease.h"

struct owners {
    char (*names)[LEASE_OWNER_MAX]; /* the living, sorted; we are among them unless we are leaving */
    int count;
};

/* Our heartbeat (leaving: takes us out instead), forgets gone, and reads who is alive: heard of within one lease.
 * gone: an owner that is known to be dead, or "". cb(arg, e) exactly once; without e *o is filled anew. */
void owners_beat(struct owners *o, struct lease_book *b, bool leaving, const char *gone,
                 void (*cb)(void *arg, const struct err *e), void *arg);
void owners_deinit(struct owners *o);
bool owners_has(const struct owners *o, const char *owner);
/* Where an owner stands among the living: 0 .. count - 1, or -1. */
int owners_rank(const struct owners *o, const char *owner);
/* How many of a node's slots one of them should have at most: the next whole number above an equal share. */
int owners_quota(int slots, int living);
