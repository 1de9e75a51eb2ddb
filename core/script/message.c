/* SPDX-License-Identifier: Apache-2.0 */
#include "script/message.h"
#include "script/value.h"
#include <string.h>

static void put_varint(struct buf *out, char tag, uint64_t n) {
    buf_add(out, &tag, 1);
    do {
        char byte = (char)((n & 0x7f) | (n > 0x7f ? 0x80 : 0));
        buf_add(out, &byte, 1);
        n >>= 7;
    } while (n);
}

void message_begin(struct buf *out, enum message_type type) {
    char head[4] = {(char)type};

    buf_clear(out);
    buf_add(out, head, sizeof head);
}

void message_nil(struct buf *out) {
    buf_add(out, "z", 1);
}

void message_bool(struct buf *out, bool yes) {
    buf_add(out, yes ? "t" : "f", 1);
}

void message_int(struct buf *out, int64_t n) {
    put_varint(out, 'i', ((uint64_t)n << 1) ^ (uint64_t)(n >> 63));
}

void message_str(struct buf *out, const char *text, size_t len) {
    put_varint(out, 's', len);
    buf_add(out, text, len);
}

void message_open(struct buf *out) {
    buf_add(out, "{", 1);
}

void message_shut(struct buf *out) {
    buf_add(out, "}", 1);
}

bool message_read(struct message *m, const void *bytes, size_t len) {
    const char *data = bytes;

    *m = (struct message){.at = data, .end = data, .bad = true};
    if (len < 4 || len > MESSAGE_MAX || data[1] || data[2] || data[3]) return false;
    *m = (struct message){.at = data + 4, .end = data + len, .type = (uint8_t)data[0]};
    return true;
}

/* The value that comes next, checked; m is behind it. NULL and bad when there is none. */
static const char *next(struct message *m) {
    const char *at = m->at, *behind = m->bad ? NULL : value_check(m->at, m->end, NULL);

    if (behind == NULL) {
        m->bad = true;
        return NULL;
    }
    m->at = behind;
    return at;
}

static uint64_t varint(const char *at) { /* its form was checked */
    uint64_t n = 0;

    for (int shift = 0;; shift += 7) {
        uint8_t byte = (uint8_t)*at++;
        n |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) return n;
    }
}

bool message_get_bool(struct message *m) {
    const char *at = next(m);

    if (at && (*at == 't' || *at == 'f')) return *at == 't';
    m->bad = true;
    return false;
}

int64_t message_get_int(struct message *m) {
    const char *at = next(m);

    if (at && *at == 'i') {
        uint64_t n = varint(at + 1);
        return (int64_t)((n >> 1) ^ (0 - (n & 1)));
    }
    m->bad = true;
    return 0;
}

const char *message_get_str(struct message *m, size_t *len) {
    const char *at = next(m);

    *len = 0;
    if (at && *at == 's') {
        *len = (size_t)varint(at + 1);
        return m->at - *len;
    }
    m->bad = true;
    return NULL;
}

const char *message_get_any(struct message *m, size_t *len) {
    const char *at = next(m);

    *len = at ? (size_t)(m->at - at) : 0;
    return at;
}
