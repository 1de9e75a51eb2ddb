/* SPDX-License-Identifier: Apache-2.0 */
#include "io/ws_deflate.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

enum {
    WORTH = 256,       /* shorter messages are not packed */
    MOST = 512 * 1024, /* nor longer ones: the loop waits meanwhile */
    STEP = 16 * 1024,  /* unpacked at a time */
    KEPT = 256 * 1024, /* memory that stays with the thread between messages */
};

static char *trim(char *text) {
    text += strspn(text, " \t");
    size_t len = strlen(text);
    while (len && strchr(" \t", text[len - 1])) text[--len] = '\0';
    return text;
}

/* "8" .. "15", perhaps in quotes; 0: none of them */
static int window_bits(const char *text) {
    char digits[3] = "";
    size_t len = strlen(text);
    if (len >= 2 && text[0] == '"' && text[len - 1] == '"') text++, len -= 2;
    if (len < 1 || len > 2 || strspn(text, "0123456789") < len || text[0] == '0') return 0;
    memcpy(digits, text, len);
    int bits = atoi(digits);
    return bits >= 8 && bits <= 15 ? bits : 0;
}

/* One offer, cut up in place. We keep the largest window ourselves, so a client that needs us to keep a smaller one is
 * served without packing. A parameter we do not know, a value where none belongs or one given twice decline it. */
static bool acceptable(char *offer) {
    static const char *const known[] = {"server_no_context_takeover", "client_no_context_takeover",
                                        "server_max_window_bits", "client_max_window_bits"};
    bool seen[4] = {false};
    char *rest = NULL, *name = strtok_r(offer, ";", &rest);

    if (name == NULL || strcasecmp(trim(name), "permessage-deflate") != 0) return false;
    for (char *p; (p = strtok_r(NULL, ";", &rest));) {
        char *value = strchr(p, '=');
        if (value) *value++ = '\0';
        int which = 0;
        while (which < 4 && strcasecmp(trim(p), known[which]) != 0) which++;
        if (which == 4 || seen[which]) return false;
        seen[which] = true;
        int bits = value ? window_bits(trim(value)) : 0;
        if (which < 2 ? value != NULL : value != NULL && bits == 0) return false;
        if (which == 2 && bits != 15) return false;
    }
    return true;
}

bool ws_deflate_offered(const char *offers) {
    if (offers == NULL) return false;
    char *copy = strdup(offers), *rest = NULL;
    bool found = false;
    if (copy == NULL) abort();
    for (char *offer = strtok_r(copy, ",", &rest); offer && !found; offer = strtok_r(NULL, ",", &rest))
        found = acceptable(offer);
    free(copy);
    return found;
}

static void empty(struct buf *b) {
    if (b->cap > KEPT)
        buf_free(b);
    else
        buf_clear(b);
}

const struct buf *ws_deflate(const void *data, size_t len) {
    static _Thread_local z_stream z;
    static _Thread_local bool ready;
    static _Thread_local struct buf text, packed;

    if (len < WORTH || len > MOST) return NULL;
    if (text.len == len && memcmp(text.data, data, len) == 0) return packed.len ? &packed : NULL;
    if (!ready && deflateInit2(&z, 1, Z_DEFLATED, -15, 8, Z_DEFAULT_STRATEGY) != Z_OK) abort(); /* out of memory */
    ready = true;
    empty(&text);
    empty(&packed);
    buf_add(&text, data, len);
    buf_reserve(&packed, deflateBound(&z, len) + 16);
    deflateReset(&z);
    z.next_in = (unsigned char *)text.data;
    z.avail_in = (unsigned)len;
    z.next_out = (unsigned char *)packed.data;
    z.avail_out = (unsigned)(packed.cap - 1);
    if (deflate(&z, Z_SYNC_FLUSH) != Z_OK || z.avail_in || z.avail_out == 0) return NULL;
    packed.len = packed.cap - 1 - z.avail_out - 4; /* without the 00 00 FF FF that every flush ends with */
    packed.data[packed.len] = '\0';
    if (packed.len >= len) buf_clear(&packed);
    return packed.len ? &packed : NULL;
}

int ws_inflate(const void *data, size_t len, size_t limit, const struct buf **out) {
    static const unsigned char tail[] = {0, 0, 0xFF, 0xFF};
    static _Thread_local z_stream z;
    static _Thread_local bool ready;
    static _Thread_local struct buf text;

    if (!ready && inflateInit2(&z, -15) != Z_OK) abort(); /* out of memory */
    ready = true;
    inflateReset(&z);
    empty(&text);
    for (int part = 0; part < 2; part++) {
        z.next_in = (unsigned char *)(part == 0 ? data : tail);
        z.avail_in = (unsigned)(part == 0 ? len : sizeof tail);
        for (;;) {
            buf_reserve(&text, STEP + 1);
            z.next_out = (unsigned char *)text.data + text.len;
            z.avail_out = STEP;
            int rc = inflate(&z, Z_SYNC_FLUSH);
            if (rc != Z_OK && rc != Z_BUF_ERROR && rc != Z_STREAM_END) return -1007;
            text.len += STEP - z.avail_out;
            if (text.len > limit) return -1009;
            if (rc == Z_STREAM_END) goto done; /* a client may end its last block; RFC 7692, 7.2.3.5 */
            if (z.avail_out) break;            /* all of this part is unpacked */
        }
        if (z.avail_in) return -1007;
    }
done:
    text.data[text.len] = '\0';
    *out = &text;
    return 0;
}
