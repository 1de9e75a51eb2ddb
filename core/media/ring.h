/* SPDX-License-Identifier: Apache-2.0 */
/* A bounded ring of equal elements between one producer thread and one consumer thread. No locks, no waiting.
 *
 * Threads    ring_slot(), ring_commit(), ring_free_count(): the producer. The rest after ring_init(): the consumer.
 * Ownership  Elements are plain bytes, zeroed once at ring_init(); what they point to is the users' business.
 */
#pragma once
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ring {
    char *data;
    size_t size;                          /* bytes of an element */
    size_t cap;                           /* elements; any number, not only powers of two */
    alignas(64) _Atomic uint64_t written; /* elements ever committed */
    alignas(64) _Atomic uint64_t read;    /* elements ever dropped */
};

void ring_init(struct ring *r, size_t size, size_t cap);
void ring_deinit(struct ring *r);

/* Where the next element goes, or NULL when the ring is full. It becomes visible with ring_commit(). */
void *ring_slot(struct ring *r);
void ring_commit(struct ring *r);
size_t ring_free_count(const struct ring *r);
bool ring_push(struct ring *r, const void *element); /* slot, copy, commit; false when full */

size_t ring_count(const struct ring *r);
/* The i-th oldest element, i < ring_count(); valid until it is dropped. */
void *ring_peek(const struct ring *r, size_t i);
size_t ring_index(const struct ring *r, const void *element); /* 0 .. cap - 1, of either side's pointer */
void ring_drop(struct ring *r, size_t n);                     /* the n oldest; n <= ring_count() */
bool ring_pop(struct ring *r, void *out);                     /* peek, copy, drop; false when empty */
