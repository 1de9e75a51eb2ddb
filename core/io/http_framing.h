/* SPDX-License-Identifier: Apache-2.0 */
/* The events in the body of a streamed response: server-sent events (WHATWG HTML, 9.2) or lines of JSON. Pure, no I/O.
 *
 * Two things are read that the standard would drop: an event at the end of the body without its empty line, and a JSON
 * text that stands where a field should be, which is how some servers report a failure in mid-stream; it is an event
 * without name and ends with the next empty line. id and retry are for clients that reconnect, and are skipped.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdbool.h>

enum http_framing_kind {
    HTTP_BYTES, /* no events: what has come */
    HTTP_SSE,
    HTTP_NDJSON,
};

struct http_framing { /* zero-initialised, then kind and limit set */
    enum http_framing_kind kind;
    size_t limit;    /* bytes of one event's data and name, and of one line */
    struct buf name; /* of the event, when has_name */
    struct buf data; /* of the event */
    struct buf line; /* the beginning of one whose end has not come */
    bool has_name, has_data;
    bool given;        /* name and data are an event that was returned */
    bool bare;         /* data is JSON without "data:" */
    bool after_return; /* the last byte was a carriage return: a line feed belongs to it */
    bool begun;
};

/* Reads up to the end of the next event; *used is how much. 1: it is in name and data, valid until the next call;
 * 0: all is used and more is needed; ERR_LIMIT: a line or an event is too long, and nothing more can be read. */
int http_framing_take(struct http_framing *f, const char *text, size_t len, size_t *used, struct err *e);
/* The body has ended: 1 for a last event, else 0 or ERR_LIMIT. */
int http_framing_finish(struct http_framing *f, struct err *e);
void http_framing_free(struct http_framing *f);
