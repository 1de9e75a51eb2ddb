/* SPDX-License-Identifier: Apache-2.0 */
#include "base/arena.h"
#include "base/log.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ALIGN = 16, BLOCK_BYTES = 4096 };

struct arena_block {
    struct arena_block *next;
    size_t used, cap;
    _Alignas(ALIGN) char data[];
};

void *arena_alloc(struct arena *a, size_t size) {
    if (size > SIZE_MAX / 2) {
        log_error("memory.out", "an arena was asked for %zu bytes", size);
        abort();
    }
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    if (size == 0) size = ALIGN; /* two allocations never share an address */

    struct arena_block *block = a->block;
    if (block == NULL || block->cap - block->used < size) {
        size_t cap = BLOCK_BYTES - sizeof *block;
        if (cap < size) cap = size;
        block = mem_alloc(sizeof *block + cap);
        block->cap = cap;
        block->next = a->block;
        a->block = block;
    }
    void *p = block->data + block->used;
    block->used += size;
    return p;
}

char *arena_strndup(struct arena *a, const char *text, size_t len) {
    char *copy = arena_alloc(a, len + 1);
    if (len) memcpy(copy, text, len);
    return copy;
}

char *arena_printf(struct arena *a, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        log_error("arena.format", "cannot format '%s'", fmt);
        abort();
    }
    char *text = arena_alloc(a, (size_t)len + 1);
    va_start(args, fmt);
    vsnprintf(text, (size_t)len + 1, fmt, args);
    va_end(args);
    return text;
}

void arena_clear(struct arena *a) {
    struct arena_block *kept = a->block;
    if (kept && (kept->next || kept->cap > BLOCK_BYTES)) {
        arena_free(a);
    } else if (kept) {
        memset(kept->data, 0, kept->used); /* what an arena gives is zero */
        kept->used = 0;
    }
}

void arena_free(struct arena *a) {
    while (a->block) {
        struct arena_block *block = a->block;
        a->block = block->next;
        free(block);
    }
}
