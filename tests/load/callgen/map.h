/* SPDX-License-Identifier: Apache-2.0 */
/* Text to pointer: a chained hash table that grows. Keys are borrowed: they live in what they point to. */
#pragma once
#include "base/mem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

struct map_item {
    const char *key;
    void *value;
    struct map_item *next;
};
struct map {
    struct map_item **slots;
    size_t cap, count;
};

static inline uint32_t map_hash(const char *key) {
    uint32_t h = 2166136261U;
    for (; *key; key++) h = (h ^ (unsigned char)*key) * 16777619U;
    return h;
}

static inline void *map_get(const struct map *m, const char *key) {
    if (m->cap == 0) return NULL;
    for (struct map_item *i = m->slots[map_hash(key) & (m->cap - 1)]; i; i = i->next)
        if (strcmp(i->key, key) == 0) return i->value;
    return NULL;
}

static inline void map_grow(struct map *m) {
    size_t cap = m->cap ? m->cap * 2 : 64;
    struct map_item **slots = mem_alloc(cap * sizeof(struct map_item *));
    for (size_t n = 0; n < m->cap; n++) {
        for (struct map_item *i = m->slots[n], *next; i; i = next) {
            struct map_item **at = &slots[map_hash(i->key) & (cap - 1)];
            next = i->next;
            i->next = *at;
            *at = i;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
}

static inline void map_put(struct map *m, const char *key, void *value) {
    if (m->count >= m->cap) map_grow(m);
    struct map_item *item = mem_alloc(sizeof *item), **at = &m->slots[map_hash(key) & (m->cap - 1)];
    *item = (struct map_item){key, value, *at};
    *at = item;
    m->count++;
}

static inline void map_drop(struct map *m, const char *key) {
    if (m->cap == 0) return;
    for (struct map_item **at = &m->slots[map_hash(key) & (m->cap - 1)]; *at; at = &(*at)->next) {
        if (strcmp((*at)->key, key) != 0) continue;
        struct map_item *gone = *at;
        *at = gone->next;
        free(gone);
        m->count--;
        return;
    }
}
