/* SPDX-License-Identifier: Apache-2.0 */
/* Packing of bytes that are kept: zlib's format (RFC 1950), whose checksum tells damage.
 *
 * Threads    Any; the packer's memory stays with the thread.
 * Errors     Packing does not fail. Unpacking: ERR_INVALID when the bytes were not packed so or end too soon, ERR_LIMIT when
 *            they would become larger than the limit; no more than that is ever held.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

/* Both append to out. */
void deflate_pack(const void *data, size_t len, struct buf *out);
int deflate_unpack(const void *data, size_t len, size_t limit, struct buf *out, struct err *e);
