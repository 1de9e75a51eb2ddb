/* SPDX-License-Identifier: Apache-2.0 */
/* How fast a worker reads one cell: a bucket of tokens for messages and one for bytes. When one is empty the worker does not read
 * the cell until some have come back; the socket fills and the cell waits in send(). What was sent is read later, not lost.
 *
 * A message's size is known when it has been read, so a bucket may owe what one read brought: two messages.
 * Arithmetic only: nothing is allocated, and the time (milliseconds, monotonic) is given.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>

enum {
    INTAKE_MESSAGES = 10000, /* a second; thousands of calls that are taken up at once come as a burst */
    INTAKE_MESSAGES_BURST = 20000,
    INTAKE_BYTES = 4 << 20, /* a second; each byte is decoded on the loop that all tenants share */
    INTAKE_BYTES_BURST = 16 << 20,
    INTAKE_REST_MS = 20, /* worth of tokens at least, before it is read again */
};

struct intake {
    double messages, bytes; /* tokens; below zero: owed */
    uint64_t at_ms;         /* when they were counted */
    uint64_t dry_since_ms;  /* when a bucket was empty and neither has been half full since; 0: not */
};
void intake_open(struct intake *i, uint64_t now_ms);
/* Counts a message that was read. Returns for how long nothing more may be read; 0: go on. */
uint64_t intake_take(struct intake *i, size_t len, uint64_t now_ms);
/* For how long it has sent as fast as it may; 0: it does not. */
uint64_t intake_dry_ms(struct intake *i, uint64_t now_ms);
