/* SPDX-License-Identifier: Apache-2.0 */
/* permessage-deflate (RFC 7692) as a server speaks it: no context is kept between messages, on either side. So a
 * connection costs nothing more than without it: one packer and one unpacker serve all of a thread.
 *
 * Ownership  Results are the thread's and valid until the next call of the same function.
 */
#pragma once
#include "base/buf.h"
#include <stdbool.h>

/* Is there an offer among those of a Sec-WebSocket-Extensions header that we accept? What is then to be answered is
 * WS_DEFLATE_ANSWER. */
bool ws_deflate_offered(const char *offers);
#define WS_DEFLATE_ANSWER "permessage-deflate; server_no_context_takeover; client_no_context_takeover"

/* One whole message. NULL when packing it would not pay. Packing the same text again costs a comparison: a list goes to
 * hundreds of clients. */
const struct buf *ws_deflate(const void *data, size_t len);
/* 0 with *out, -1009 when it would become larger than limit, -1007 when it was not packed so. */
int ws_inflate(const void *data, size_t len, size_t limit, const struct buf **out);
