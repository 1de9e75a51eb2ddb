/* SPDX-License-Identifier: Apache-2.0 */
/* The pure parsers behind the HTTP and WebSocket server: head, chunked body, frames, packed messages. The first byte cuts the input into
 * pieces, because a parser that keeps state between reads breaks at their seams: whole and in pieces must agree. */
#include "base/mem.h"
#include "io/http_head.h"
#include "io/ws_deflate.h"
#include "io/ws_frame.h"
#include <stdlib.h>
#include <string.h>

static void fuzz_head(const char *text, size_t len, size_t step) {
    const char *why = "";
    size_t seen = 0, whole_seen = 0;
    long in_pieces = 0;
    struct arena arena = {0};
    struct http_head h;

    for (size_t n = step; in_pieces == 0 && n < len; n += step) in_pieces = http_head_find(text, n, &seen, &why);
    if (in_pieces == 0) in_pieces = http_head_find(text, len, &seen, &why);
    long whole = http_head_find(text, len, &whole_seen, &why);
    if (whole > 0 && in_pieces > 0 && whole != in_pieces) abort();
    if (in_pieces > 0 && http_head_parse(&h, &arena, text, (size_t)in_pieces, &why) == 0) {
        if (h.path == NULL || h.query == NULL || (h.chunked && h.content_length >= 0)) abort();
        for (size_t i = 0; i < h.field_count; i++) /* nothing a reply or a log line could be split with */
            if (strpbrk(h.fields[i].value, "\r\n") || !http_name_ok(h.fields[i].name, strlen(h.fields[i].name)))
                abort();
    }
    arena_free(&arena);
}

static int chunks(const char *text, size_t len, size_t step, struct buf *body) {
    struct http_chunks c = {0};
    const char *why = "";
    int rc = 0;
    for (size_t at = 0; rc == 0 && at < len && c.state != CHUNK_DONE;) {
        size_t n = len - at < step ? len - at : step, used = 0;
        rc = http_chunks_take(&c, text + at, n, &used, body, 1000, &why);
        if (rc == 0 && used != n && c.state != CHUNK_DONE) abort();
        at += used;
    }
    if (body->len > 1000) abort();
    return rc ? rc : c.state == CHUNK_DONE;
}

static void fuzz_chunks(const char *text, size_t len, size_t step) {
    struct buf whole = {0}, pieces = {0};
    if (chunks(text, len, len + 1, &whole) != chunks(text, len, step, &pieces)) abort();
    if (whole.len != pieces.len || (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0)) abort();
    buf_free(&whole);
    buf_free(&pieces);
}

/* What was read, as text to compare. */
static void frames(const char *data, size_t len, size_t step, struct buf *out) {
    struct ws_reader r = {.deflate = true};
    for (size_t at = 0; at < len;) {
        size_t n = len - at < step ? len - at : step, used = 0;
        const struct buf *payload = NULL;
        int opcode = ws_read(&r, data + at, n, 500, &used, &payload);
        at += used;
        if (opcode < 0) {
            buf_printf(out, "broken %d", opcode);
            break;
        }
        if (opcode == 0) continue;
        if (payload->len > 500 || (opcode >= WS_CLOSE && payload->len > 125)) abort();
        buf_printf(out, "%d %zu ", opcode, payload->len);
        buf_add(out, payload->data ? payload->data : "", payload->len);
    }
    ws_reader_free(&r);
}

static void fuzz_frames(const char *data, size_t len, size_t step) {
    struct buf whole = {0}, pieces = {0};
    frames(data, len, len + 1, &whole);
    frames(data, len, step, &pieces);
    if (whole.len != pieces.len || (whole.len && memcmp(whole.data, pieces.data, whole.len) != 0)) abort();
    buf_free(&whole);
    buf_free(&pieces);
}

/* What we pack is unpacked to the same, also by a limit that it just fits; offers are text. */
static void fuzz_deflate(const char *data, size_t len) {
    const struct buf *packed = ws_deflate(data, len), *back;
    if (packed && (ws_inflate(packed->data, packed->len, len, &back) != 0 || back->len != len ||
                   memcmp(back->data, data, len) != 0))
        abort();
    int rc = ws_inflate(data, len, 5000, &back);
    if (rc == 0 ? back->len > 5000 : rc != -1007 && rc != -1009) abort();
    char *offers = mem_printf("%.*s", (int)len, data);
    ws_deflate_offered(offers);
    free(offers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    size_t step = (data[0] & 0x3F) + 1, len = size - 1;
    char *text = mem_dup(data + 1, len); /* exactly its size: a read past it is seen */
    switch (data[0] >> 6) {
    case 0:
        fuzz_deflate(text, len);
        break;
    case 1:
        fuzz_head(text, len, step);
        break;
    case 2:
        fuzz_chunks(text, len, step);
        break;
    default:
        fuzz_frames(text, len, step);
    }
    free(text);
    return 0;
}
