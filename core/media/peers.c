/* SPDX-License-Identifier: Apache-2.0 */
#include "media/peers.h"
#include "base/mem.h"
#include <stdlib.h>

/* A port is never 0, so neither is a key. */
static uint64_t key_of(const struct sockaddr_in *a) {
    return (uint64_t)a->sin_addr.s_addr << 16 | a->sin_port;
}

static size_t home_of(const struct peers *p, uint64_t key) {
    return (size_t)(key * UINT64_C(0x9e3779b97f4a7c15) >> 32) & p->mask;
}

void peers_init(struct peers *p, size_t max) {
    size_t size = 16;
    while (size < max * 4) size *= 2;
    p->slots = mem_alloc(size * sizeof *p->slots);
    p->mask = size - 1;
}

void peers_deinit(struct peers *p) {
    free(p->slots);
    p->slots = NULL;
}

/* The slot of key, or the free one where it belongs. */
static size_t find(const struct peers *p, uint64_t key) {
    size_t i = home_of(p, key);
    while (p->slots[i].key != 0 && p->slots[i].key != key) i = (i + 1) & p->mask;
    return i;
}

void peers_put(struct peers *p, const struct sockaddr_in *from, struct session *session) {
    uint64_t key = key_of(from);
    p->slots[find(p, key)] = (struct peer){key, session};
}

struct session *peers_get(const struct peers *p, const struct sockaddr_in *from) {
    return p->slots[find(p, key_of(from))].session;
}

/* Pulls those behind the hole forward, as far as they may go, so that no search stops too early. */
void peers_remove(struct peers *p, const struct sockaddr_in *from) {
    size_t hole = find(p, key_of(from));
    for (size_t i = (hole + 1) & p->mask; p->slots[i].key != 0; i = (i + 1) & p->mask) {
        size_t away = (i - home_of(p, p->slots[i].key)) & p->mask;
        if (away < ((i - hole) & p->mask)) continue;
        p->slots[hole] = p->slots[i];
        hole = i;
    }
    p->slots[hole] = (struct peer){0, NULL};
}
