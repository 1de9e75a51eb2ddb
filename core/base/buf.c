/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void buf_reserve(struct buf *b, size_t more) {
    if (more >= SIZE_MAX / 2 - b->len) { /* doubling must not wrap either */
        log_error("memory.out", "a buffer of %zu bytes was asked for %zu more", b->len, more);
        abort();
    }
    size_t need = b->len + more + 1;
    if (need <= b->cap) return;

    size_t cap = b->cap ? b->cap : 64;
    while (cap < need) cap *= 2;
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
    b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *data, size_t len) {
    buf_reserve(b, len);
    if (len) memcpy(b->data + b->len, data, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_add_str(struct buf *b, const char *text) {
    buf_add(b, text, strlen(text));
}

void buf_printf(struct buf *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    if (len < 0) {
        log_error("buffer.format", "cannot format '%s'", fmt);
        abort();
    }
    buf_reserve(b, (size_t)len);
    va_start(args, fmt);
    vsnprintf(b->data + b->len, (size_t)len + 1, fmt, args);
    va_end(args);
    b->len += (size_t)len;
}

void buf_drop(struct buf *b, size_t len) {
    if (len >= b->len) {
        buf_clear(b);
        return;
    }
    if (len == 0) return;
    b->len -= len;
    memmove(b->data, b->data + len, b->len + 1);
}

void buf_clear(struct buf *b) {
    b->len = 0;
    if (b->data) b->data[0] = '\0';
}

char *buf_take(struct buf *b) {
    char *data = b->data ? b->data : mem_strdup(""); /* never NULL: the caller may read it as text */
    *b = (struct buf){0};
    return data;
}

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){0};
}
