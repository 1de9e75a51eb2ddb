/* SPDX-License-Identifier: Apache-2.0 */
#include "base/map.h"
#include "base/mem.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

struct map_item {
    const char *key;
    void *value;
    struct map_item *next;
};

/* FNV-1a from a start of this process's own: who chooses the keys cannot choose where they fall. */
static size_t hash(const char *key) {
    static uint64_t start;
    while (start == 0)
        if (getrandom(&start, sizeof start, 0) != sizeof start) start = (uintptr_t)&start;
    uint64_t h = start;
    for (; *key; key++) h = (h ^ (unsigned char)*key) * 0x100000001b3ULL;
    return (size_t)(h ^ h >> 32);
}

static void grow(struct map *m) {
    size_t cap = m->cap ? m->cap * 2 : 16;
    struct map_item **slots = mem_alloc(cap * sizeof(struct map_item *));
    for (size_t n = 0; n < m->cap; n++) {
        struct map_item *newest_last = NULL;
        for (struct map_item *i = m->slots[n], *next; i; i = next) { /* turned round, so that the newest is put last */
            next = i->next;
            i->next = newest_last;
            newest_last = i;
        }
        for (struct map_item *i = newest_last, *next; i; i = next) {
            struct map_item **at = &slots[hash(i->key) & (cap - 1)];
            next = i->next;
            i->next = *at;
            *at = i;
        }
    }
    free(m->slots);
    m->slots = slots;
    m->cap = cap;
}

void map_put(struct map *m, const char *key, void *value) {
    if (m->count >= m->cap) grow(m);
    struct map_item *item = mem_alloc(sizeof *item), **at = &m->slots[hash(key) & (m->cap - 1)];
    *item = (struct map_item){key, value, *at};
    *at = item;
    m->count++;
}

void *map_get(const struct map *m, const char *key) {
    if (m->count == 0) return NULL;
    for (struct map_item *i = m->slots[hash(key) & (m->cap - 1)]; i; i = i->next)
        if (strcmp(i->key, key) == 0) return i->value;
    return NULL;
}

void map_drop(struct map *m, const char *key, const void *value) {
    if (m->count == 0) return;
    for (struct map_item **at = &m->slots[hash(key) & (m->cap - 1)]; *at; at = &(*at)->next) {
        struct map_item *item = *at;
        if (item->value != value || strcmp(item->key, key) != 0) continue;
        *at = item->next;
        free(item);
        m->count--;
        return;
    }
}

void map_each(const struct map *m, void (*each)(void *arg, void *value), void *arg) {
    for (size_t n = 0; n < m->cap; n++)
        for (struct map_item *i = m->slots[n]; i; i = i->next) each(arg, i->value);
}

void map_free(struct map *m) {
    for (size_t n = 0; n < m->cap; n++) {
        for (struct map_item *i = m->slots[n], *next; i; i = next) {
            next = i->next;
            free(i);
        }
    }
    free(m->slots);
    *m = (struct map){0};
}
