/* SPDX-License-Identifier: Apache-2.0 */
/* The events of a streamed body. The first byte says how it is framed and into what pieces it is cut: whole and in pieces the
 * same events must come out, none beyond the limit. */
#include "base/mem.h"
#include "io/http_framing.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { LIMIT = 300 };

static void add_event(struct buf *out, const struct http_framing *f) {
    if (f->data.len > LIMIT || f->name.len > LIMIT || !f->given) abort();
    buf_printf(out, "%d %zu %zu ", f->has_name, f->name.len, f->data.len);
    if (f->name.len) buf_add(out, f->name.data, f->name.len);
    if (f->data.len) buf_add(out, f->data.data, f->data.len);
}

/* The events, as text to compare; of HTTP_BYTES only the bytes, for its pieces are no events. */
static void read_all(enum http_framing_kind kind, const char *text, size_t len, size_t step, struct buf *out) {
    struct http_framing f = {.kind = kind, .limit = LIMIT};
    struct err e = {0};
    int rc = 0;
    for (size_t at = 0; rc >= 0 && at < len;) {
        size_t n = len - at < step ? len - at : step, used = 0;
        char *piece = mem_dup(text + at, n); /* exactly its size: a read past it is seen */
        rc = http_framing_take(&f, piece, n, &used, &e);
        free(piece);
        if (used > n || (rc == 0 && used != n)) abort();
        at += used;
        if (rc == 1 && kind == HTTP_BYTES)
            buf_add(out, f.data.data, f.data.len);
        else if (rc == 1)
            add_event(out, &f);
    }
    if (rc >= 0 && (rc = http_framing_finish(&f, &e)) == 1) add_event(out, &f);
    if (rc < 0) {
        if (rc != ERR_LIMIT || e.text[0] == '\0') abort();
        buf_add_str(out, "too long");
    } else if (http_framing_finish(&f, &e) != 0) {
        abort(); /* the end comes once */
    }
    http_framing_free(&f);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct buf whole = {0}, pieces = {0};
    if (size < 2) return 0;
    enum http_framing_kind kind = (data[0] >> 6) % 3;
    const char *text = (const char *)data + 1;
    read_all(kind, text, size - 1, size, &whole);
    read_all(kind, text, size - 1, (data[0] & 0x3F) + 1, &pieces);
    if (whole.len != pieces.len || (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0)) abort();
    buf_free(&whole);
    buf_free(&pieces);
    return 0;
}
