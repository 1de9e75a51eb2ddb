/* SPDX-License-Identifier: Apache-2.0 */
#include "io/deflate.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

enum {
    LEVEL = 3, /* below zlib's own choice: the loop waits for it */
    STEP = 16 * 1024,
};

void deflate_pack(const void *data, size_t len, struct buf *out) {
    static _Thread_local z_stream z;
    static _Thread_local bool ready;

    if (!ready && deflateInit(&z, LEVEL) != Z_OK) abort(); /* out of memory */
    ready = true;
    deflateReset(&z);
    uLong bound = deflateBound(&z, len);
    buf_reserve(out, bound + 1);
    z.next_in = (unsigned char *)(uintptr_t)data;
    z.avail_in = (unsigned)len;
    z.next_out = (unsigned char *)out->data + out->len;
    z.avail_out = (unsigned)bound;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END) abort(); /* it fits the bound */
    out->len += bound - z.avail_out;
    out->data[out->len] = '\0';
}

int deflate_unpack(const void *data, size_t len, size_t limit, struct buf *out, struct err *e) {
    z_stream z = {.next_in = (unsigned char *)(uintptr_t)data, .avail_in = (unsigned)len};
    size_t before = out->len;
    int rc;

    if (inflateInit(&z) != Z_OK) abort(); /* out of memory */
    do {
        buf_reserve(out, STEP + 1);
        z.next_out = (unsigned char *)out->data + out->len;
        z.avail_out = STEP;
        rc = inflate(&z, Z_NO_FLUSH);
        out->len += STEP - z.avail_out;
    } while (rc == Z_OK && out->len - before <= limit);
    inflateEnd(&z);
    out->data[out->len] = '\0';
    if (out->len - before > limit)
        rc = err_set(e, ERR_LIMIT, "unpacked it has more than %zu bytes", limit);
    else if (rc != Z_STREAM_END)
        rc = err_set(e, ERR_INVALID, "the packed bytes are damaged");
    else
        return 0;
    out->len = before;
    out->data[before] = '\0';
    return rc;
}
