/* SPDX-License-Identifier: Apache-2.0 */
#include "media/ring.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

void ring_init(struct ring *r, size_t size, size_t cap) {
    r->data = mem_alloc(size * cap);
    r->size = size;
    r->cap = cap;
    atomic_init(&r->written, 0);
    atomic_init(&r->read, 0);
}

void ring_deinit(struct ring *r) {
    free(r->data);
    r->data = NULL;
}

/* Each side owns one counter (relaxed for itself) and acquires the other's: what was stored before it moved is seen. */
void *ring_slot(struct ring *r) {
    if (ring_free_count(r) == 0) return NULL;
    return r->data + atomic_load_explicit(&r->written, memory_order_relaxed) % r->cap * r->size;
}

void ring_commit(struct ring *r) {
    uint64_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    atomic_store_explicit(&r->written, written + 1, memory_order_release);
}

size_t ring_free_count(const struct ring *r) {
    uint64_t read = atomic_load_explicit(&r->read, memory_order_acquire);
    uint64_t written = atomic_load_explicit(&r->written, memory_order_relaxed);
    return r->cap - (size_t)(written - read);
}

bool ring_push(struct ring *r, const void *element) {
    void *slot = ring_slot(r);
    if (slot == NULL) return false;
    memcpy(slot, element, r->size);
    ring_commit(r);
    return true;
}

size_t ring_count(const struct ring *r) {
    uint64_t written = atomic_load_explicit(&r->written, memory_order_acquire);
    uint64_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    return (size_t)(written - read);
}

void *ring_peek(const struct ring *r, size_t i) {
    uint64_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    return r->data + (read + i) % r->cap * r->size;
}

size_t ring_index(const struct ring *r, const void *element) {
    return (size_t)((const char *)element - r->data) / r->size;
}

void ring_drop(struct ring *r, size_t n) {
    uint64_t read = atomic_load_explicit(&r->read, memory_order_relaxed);
    atomic_store_explicit(&r->read, read + n, memory_order_release);
}

bool ring_pop(struct ring *r, void *out) {
    if (ring_count(r) == 0) return false;
    memcpy(out, ring_peek(r, 0), r->size);
    ring_drop(r, 1);
    return true;
}
