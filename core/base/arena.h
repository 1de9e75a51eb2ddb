/* SPDX-License-Identifier: Apache-2.0 */
/* Scratch memory for one event: many small allocations, freed together. Not thread safe. */
#pragma once
#include <stddef.h>

struct arena_block;
struct arena {
    struct arena_block *block; /* newest first */
};

void *arena_alloc(struct arena *a, size_t size); /* 16-byte aligned, zeroed */
char *arena_strndup(struct arena *a, const char *text, size_t len);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void arena_clear(struct arena *a); /* as arena_free, but a small arena keeps its memory for the next event */
void arena_free(struct arena *a);  /* the arena can be used again */
