/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ws_frame.h"
#include "base/str.h"
#include "io/ws_deflate.h"

static size_t head_size(const struct ws_reader *r) {
    if (r->head_len < 2) return 2;
    unsigned len = r->head[1] & 0x7F;
    bool masked = r->head[1] & 0x80; /* when not, begin_frame() refuses it */
    return 2 + (len == 126 ? 2 : len == 127 ? 8 : 0) + (masked ? 4 : 0);
}

/* The head is whole: what does it say? 0 or -close_code */
static int begin_frame(struct ws_reader *r, size_t limit) {
    unsigned len7 = r->head[1] & 0x7F;
    bool fin = r->head[0] & 0x80;
    uint64_t len = 0;

    r->opcode = r->head[0] & 0x0F;
    bool packed = r->head[0] & WS_PACKED;
    if (r->head[0] & 0x30) return -1002; /* belongs to no extension we know */
    if (packed && !(r->deflate && (r->opcode == WS_TEXT || r->opcode == WS_BINARY))) return -1002;
    if (!(r->head[1] & 0x80)) return -1002; /* a client must mask */
    if (len7 < 126) {
        len = len7;
    } else {
        size_t bytes = len7 == 126 ? 2 : 8;
        for (size_t i = 0; i < bytes; i++) len = len << 8 | r->head[2 + i];
        if (len >> 63) return -1002;
    }
    switch (r->opcode) {
    case WS_CLOSE:
    case WS_PING:
    case WS_PONG:
        if (!fin || len > 125) return -1002;
        buf_clear(&r->control);
        break;
    case 0:
        if (r->message_opcode == 0) return -1002;
        if (len > limit - r->message.len) return -1009;
        break;
    case WS_TEXT:
    case WS_BINARY:
        if (r->message_opcode) return -1002;
        if (len > limit) return -1009;
        buf_clear(&r->message);
        r->message_opcode = r->opcode;
        r->packed = packed;
        break;
    default:
        return -1002;
    }
    r->left = len;
    r->mask_at = 0;
    r->in_payload = true;
    return 0;
}

static void take_payload(struct ws_reader *r, const char *data, size_t len) {
    struct buf *to = r->opcode >= WS_CLOSE ? &r->control : &r->message;
    const unsigned char *mask = r->head + head_size(r) - 4;
    size_t from = to->len;
    buf_add(to, data, len);
    for (size_t i = from; i < to->len; i++) to->data[i] = (char)((unsigned char)to->data[i] ^ mask[r->mask_at++ & 3]);
    r->left -= len;
}

/* The frame is whole. Its opcode when there is something to hand over, 0 to go on, or -close_code. */
static int end_frame(struct ws_reader *r, size_t limit, const struct buf **payload) {
    bool fin = r->head[0] & 0x80;
    r->in_payload = false;
    r->head_len = 0;
    if (r->opcode >= WS_CLOSE) {
        *payload = &r->control;
        return r->opcode;
    }
    if (!fin) return 0;
    int opcode = r->message_opcode;
    r->message_opcode = 0;
    *payload = &r->message;
    if (r->packed) {
        int rc = ws_inflate(r->message.data, r->message.len, limit, payload);
        if (rc < 0) return rc;
    }
    if (opcode == WS_TEXT && (*payload)->len && !str_is_utf8((*payload)->data, (*payload)->len)) return -1007;
    return opcode;
}

int ws_read(struct ws_reader *r, const char *data, size_t len, size_t limit, size_t *used, const struct buf **payload) {
    size_t i = 0;
    int rc = 0;

    while (rc == 0) {
        if (!r->in_payload) {
            while (i < len && r->head_len < head_size(r)) r->head[r->head_len++] = (unsigned char)data[i++];
            if (r->head_len < 2 || r->head_len < head_size(r)) break;
            rc = begin_frame(r, limit);
            if (rc < 0) break;
        }
        size_t n = len - i < r->left ? len - i : (size_t)r->left;
        if (n) take_payload(r, data + i, n);
        i += n;
        if (r->left) break;
        rc = end_frame(r, limit, payload);
    }
    *used = i;
    return rc;
}

void ws_reader_free(struct ws_reader *r) {
    buf_free(&r->message);
    buf_free(&r->control);
}

size_t ws_frame_head(unsigned char out[10], int opcode, size_t len) {
    out[0] = (unsigned char)(0x80 | opcode);
    if (len < 126) {
        out[1] = (unsigned char)len;
        return 2;
    }
    size_t bytes = len < 65536 ? 2 : 8;
    out[1] = bytes == 2 ? 126 : 127;
    for (size_t i = 0; i < bytes; i++) out[2 + i] = (unsigned char)((uint64_t)len >> 8 * (bytes - 1 - i));
    return 2 + bytes;
}

bool ws_close_code_ok(int code) {
    return (code >= 1000 && code <= 1014 && code != 1004 && code != 1005 && code != 1006) ||
           (code >= 3000 && code <= 4999);
}
