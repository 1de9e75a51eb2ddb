/* SPDX-License-Identifier: Apache-2.0 */
#include "base/str.h"
#include "base/buf.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool str_copy(char *out, size_t cap, const char *text) {
    if (cap == 0) return false;
    size_t len = strnlen(text, cap);
    bool fits = len < cap;
    if (!fits) len = cap - 1;
    memcpy(out, text, len);
    out[len] = '\0';
    return fits;
}

bool str_starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* Length of the UTF-8 character at text, or 0: no overlong forms, no surrogates, nothing above U+10FFFF. */
static size_t utf8_len(const unsigned char *text, size_t len) {
    unsigned char c = text[0];
    if (c < 0x80) return 1;
    size_t need = c >= 0xC2 && c <= 0xDF ? 2 : (c & 0xF0) == 0xE0 ? 3 : c >= 0xF0 && c <= 0xF4 ? 4 : 0;
    if (need == 0 || len < need) return 0;
    for (size_t i = 1; i < need; i++)
        if ((text[i] & 0xC0) != 0x80) return 0;
    if (c == 0xE0 && text[1] < 0xA0) return 0;
    if (c == 0xED && text[1] > 0x9F) return 0;
    if (c == 0xF0 && text[1] < 0x90) return 0;
    if (c == 0xF4 && text[1] > 0x8F) return 0;
    return need;
}

size_t str_json_char(const char *text, size_t len, char out[8], size_t *out_len) {
    const unsigned char *at = (const unsigned char *)text;
    size_t used = utf8_len(at, len);
    char small = 0;

    if (used == 0) {
        memcpy(out, "\xEF\xBF\xBD", 3); /* U+FFFD */
        *out_len = 3;
        return 1;
    }
    switch (*at) {
    case '"':
        small = '"';
        break;
    case '\\':
        small = '\\';
        break;
    case '\n':
        small = 'n';
        break;
    case '\r':
        small = 'r';
        break;
    case '\t':
        small = 't';
        break;
    }
    if (small) {
        out[0] = '\\';
        out[1] = small;
        *out_len = 2;
    } else if (*at < 0x20 || *at == 0x7F) {
        snprintf(out, 8, "\\u%04x", *at);
        *out_len = 6;
    } else {
        memcpy(out, text, used);
        *out_len = used;
    }
    return used;
}

void str_json(struct buf *out, const char *text, size_t len) {
    while (len) {
        char piece[8];
        size_t piece_len, used = str_json_char(text, len, piece, &piece_len);
        buf_add(out, piece, piece_len);
        text += used;
        len -= used;
    }
}

bool str_is_utf8(const char *text, size_t len) {
    while (len) {
        size_t used = utf8_len((const unsigned char *)text, len);
        if (used == 0) return false;
        text += used;
        len -= used;
    }
    return true;
}

bool str_to_int(const char *text, long long *out) {
    const char *digits = *text == '-' ? text + 1 : text;
    if (*digits == '\0' || strspn(digits, "0123456789") != strlen(digits)) return false;
    errno = 0;
    long long n = strtoll(text, NULL, 10);
    if (errno != 0) return false;
    *out = n;
    return true;
}
