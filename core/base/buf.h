/* SPDX-License-Identifier: Apache-2.0 */
/* A growing byte buffer. Zero-initialised is empty and valid; buf_free() returns it to that.
 * data is NUL-terminated behind len whenever it is not NULL. */
#pragma once
#include <stddef.h>

struct buf {
    char *data;
    size_t len;
    size_t cap;
};

void buf_add(struct buf *b, const void *data, size_t len);
void buf_add_str(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_reserve(struct buf *b, size_t more);
void buf_drop(struct buf *b, size_t len); /* removes len bytes from the front */
void buf_clear(struct buf *b);            /* len = 0, keeps the memory */
char *buf_take(struct buf *b);            /* the caller owns the bytes; b is empty again */
void buf_free(struct buf *b);
