/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as text: hexadecimal and Base64. Decoding accepts exactly one text for each value (no white space, no
 * missing or extra padding, no stray bits in the last character), so that a token cannot be written in two ways. */
#include "crypto/crypto.h"
#include <string.h>

static const char b64_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char url_digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

void crypto_hex(const void *data, size_t len, struct buf *out) {
    static const char digits[] = "0123456789abcdef";
    const uint8_t *bytes = data;
    buf_reserve(out, len * 2);
    for (size_t i = 0; i < len; i++) {
        char pair[2] = {digits[bytes[i] >> 4], digits[bytes[i] & 15]};
        buf_add(out, pair, 2);
    }
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Takes back what a decoder has appended before it met a mistake. */
static int undo(struct buf *out, size_t len) {
    out->len = len;
    if (out->data) out->data[len] = '\0';
    return ERR_INVALID;
}

int crypto_unhex(const char *text, size_t len, struct buf *out) {
    size_t before = out->len;
    if (len % 2) return ERR_INVALID;
    buf_reserve(out, len / 2);
    for (size_t i = 0; i < len; i += 2) {
        int high = hex_digit(text[i]), low = hex_digit(text[i + 1]);
        if (high < 0 || low < 0) return undo(out, before);
        uint8_t byte = (uint8_t)(high << 4 | low);
        buf_add(out, &byte, 1);
    }
    return 0;
}

static void encode(const char *digits, const void *data, size_t len, struct buf *out, bool padded) {
    const uint8_t *in = data;
    for (; len >= 3; in += 3, len -= 3) {
        char four[4] = {digits[in[0] >> 2], digits[(in[0] & 3) << 4 | in[1] >> 4],
                        digits[(in[1] & 15) << 2 | in[2] >> 6], digits[in[2] & 63]};
        buf_add(out, four, 4);
    }
    if (len == 0) return;
    uint8_t second = len == 2 ? in[1] : 0;
    char four[4] = {digits[in[0] >> 2], digits[(in[0] & 3) << 4 | second >> 4], digits[(second & 15) << 2], '='};
    if (len == 1) four[2] = '=';
    buf_add(out, four, padded ? 4 : len + 1);
}

static int digit_value(const char *digits, char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == digits[62] ? 62 : c == digits[63] ? 63 : -1;
}

static int decode(const char *digits, const char *text, size_t len, struct buf *out) {
    size_t before = out->len;
    uint32_t bits = 0;
    int held = 0; /* how many bits wait in `bits` for the rest of their byte */
    if (len % 4 == 1) return ERR_INVALID;
    buf_reserve(out, len / 4 * 3 + 2);
    for (size_t i = 0; i < len; i++) {
        int value = digit_value(digits, text[i]);
        if (value < 0) return undo(out, before);
        bits = bits << 6 | (uint32_t)value;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        uint8_t byte = (uint8_t)(bits >> held);
        bits &= (1u << held) - 1;
        buf_add(out, &byte, 1);
    }
    return bits == 0 ? 0 : undo(out, before);
}

void crypto_b64url(const void *data, size_t len, struct buf *out) {
    encode(url_digits, data, len, out, false);
}
void crypto_b64(const void *data, size_t len, struct buf *out) {
    encode(b64_digits, data, len, out, true);
}

int crypto_unb64url(const char *text, size_t len, struct buf *out) {
    return decode(url_digits, text, len, out);
}

int crypto_unb64(const char *text, size_t len, struct buf *out) {
    if (len % 4) return ERR_INVALID;
    if (len && text[len - 1] == '=') len -= text[len - 2] == '=' ? 2 : 1;
    return decode(b64_digits, text, len, out);
}
