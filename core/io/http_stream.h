/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP requests whose answer is read while it comes: many at once over few connections, each to be left at any moment.
 *
 *   http_stream_open() ─ waits for a connection ─ head ─ events ... ─ end     http_client.h is for whole answers
 *
 * HTTP/2 where TLS offers it (many requests share a connection), else HTTP/1.1 (one at a time); connections are kept.
 * It is not built on libcurl: that keeps a reset in its buffer until the connection is used again, and until then the
 * other side writes on and is paid for it; and one reader that pauses would hold up all others of its connection.
 *
 * Ownership  A stream belongs to who opened it, until http_stream_free(). What next() returned is valid until the next
 *            call for that stream.
 * Threads    Loop thread only. on_change comes from the loop, never from inside a call of this header, and may call
 *            everything here.
 * Limits     A head of 64 KiB (16 KiB in HTTP/1.1); 256 KiB of body that was not taken yet, then the server must wait; an event of event_limit;
 *            per origin those of struct http_pool_limits.
 */
#pragma once
#include "base/err.h"
#include "io/http_framing.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

struct http_pool;
struct http_stream;
struct metrics;

/* Of one origin; 0 is the value behind it. */
struct http_pool_limits {
    int connections; /* 512 */
    int waiting;     /* requests that wait for one of them: 1,000 */
    int streams;     /* at a time on an HTTP/2 connection, if the server allows so many: 250 */
    int idle_ms;     /* a connection without a request is kept so long: 90,000 */
};
/* limits NULL: those behind. */
int http_pool_open(struct http_pool **out, uv_loop_t *loop, const struct http_pool_limits *limits, struct metrics *m,
                   struct err *e);
/* Cancels what runs; streams must still be freed by their owners, before or after. */
void http_pool_close(struct http_pool *p, void (*closed)(void *arg), void *arg);

/* Keeps so many connections to the URL's origin open, TLS and all, so that the first request need not wait for them;
 * 0 ends that. */
int http_pool_warm(struct http_pool *p, const char *url, const char *ca_file, int connections, struct err *e);

struct http_pool_figures {
    const char *origin; /* "https://host:port" */
    const char *speaks; /* "h2", "http/1.1", or "" when not known yet */
    int connections, connecting, warm, running, waiting;
    uint64_t opened, failed, requests,
        resets; /* since the origin is known; it is forgotten when nothing is left of it */
};
void http_pool_each(struct http_pool *p, void (*each)(void *arg, const struct http_pool_figures *f), void *arg);

struct http_stream_field {
    const char *name, *value;
};
struct http_stream_opts {
    const char *method, *url;               /* NULL: GET */
    const struct http_stream_field *fields; /* end with name NULL; may be NULL. Host and lengths are ours. */
    const void *body;
    size_t len;
    enum http_framing_kind framing; /* of an answer below 300; others are bytes */
    size_t event_limit;             /* bytes; 0: 4 MiB */
    const char *ca_file;            /* NULL: the system's */
    /* In milliseconds; 0 is the value behind it. */
    int connect_ms;               /* until the request is on its way: 10,000 */
    int first_byte_ms;            /* from then to the head of the answer: none */
    int idle_ms;                  /* between bytes of the body, while it is read: none */
    int timeout_ms;               /* all of it: 600,000 */
    void (*on_change)(void *arg); /* a head, something to take, the end, or a failure */
    void *arg;
};
/* Copies its options. Never NULL: what is wrong with them comes as a failure. */
struct http_stream *http_stream_open(struct http_pool *p, const struct http_stream_opts *o);
int http_stream_status(const struct http_stream *s);          /* 0: there is no head yet */
const char *http_stream_headers(const struct http_stream *s); /* "name: value\n" lines, lower-case names */
/* Before the first event is taken: the body is framed so. */
void http_stream_frame(struct http_stream *s, enum http_framing_kind framing);

enum http_next { HTTP_NEXT_NONE = 0, HTTP_NEXT_EVENT = 1, HTTP_NEXT_END = 2 };
/* An http_next, or an err_code: what came before a failure is given before it. name is NULL when the event has none. */
int http_stream_next(struct http_stream *s, const char **name, const char **data, size_t *len, struct err *e);
/* How far it came when it failed: "connect" (nothing was sent), "head" or "body". */
const char *http_stream_stage(const struct http_stream *s);
/* The server is told at once; next() then gives ERR_CANCELLED. Nothing when it is over. */
void http_stream_cancel(struct http_stream *s);
void http_stream_free(struct http_stream *s); /* cancels */
