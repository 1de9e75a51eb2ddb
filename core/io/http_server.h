/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/1.1 and HTTP/2 (by ALPN) with TLS 1.3, and WebSocket, on sockets accepted from a listener the master opened.
 *
 * A request is handed over whole (head and body) and answered with one http_reply(), at once or later.
 * Ownership  A request belongs to the server; the handler may keep the pointer until it has replied. When the client
 *            goes first, on_gone runs (arg of http_on_gone) and the pointer stays valid until http_reply(), which then
 *            does nothing.
 * Threads    Loop thread only.
 * Limits     head 16 KiB (431), body limit per server and larger per path prefix (413), all bodies together 256 MiB
 *            (503), target 8 KiB (414), 30 s to send a request (408), 60 s idle. A request that breaks HTTP is answered
 *            400 and closed. Who takes no reply for 60 s, or less than 1 KiB/s of it, is closed.
 * Renewal    A changed certificate or key is taken up within seconds by new connections; a pair that cannot be served
 *            is logged and the old one serves on.
 */
#pragma once
#include "io/net.h"
#include <stdbool.h>
#include <stddef.h>

struct http_server;
struct http_request;
struct ws;

struct http_body_limit {
    const char *prefix; /* path prefix */
    size_t bytes;
};

struct http_server_opts {
    int listen_fd;         /* listening socket; stays open when the server closes (the master's) */
    const char *cert_file; /* PEM; NULL: no TLS */
    const char *key_file;
    int connections;                           /* of all servers of the net, 0: no limit; beyond it 503 */
    int connections_per_address;               /* 0: no limit; beyond it 429, or just the end with TLS */
    const char *const *proxies;                /* addresses that may have more; ends with NULL; may be NULL; borrowed */
    size_t body_limit;                         /* bytes, 0: 1 MiB */
    const struct http_body_limit *body_limits; /* ends with prefix NULL; may be NULL; borrowed */
    void (*on_request)(void *arg, struct http_request *r);
    /* A WebSocket upgrade. Return 101 to accept, else an HTTP status; reply_body (problem document, malloc'ed or NULL)
     * is sent with it. Must decide at once. On 101 *session is the handler's own, given to the ws callbacks. */
    int (*on_upgrade)(void *arg, struct http_request *r, void **session, char **reply_body);
    void (*on_ws_open)(void *session, struct ws *ws);
    void (*on_ws_message)(void *session, struct ws *ws, const char *data, size_t len, bool binary);
    void (*on_ws_drain)(void *session, struct ws *ws); /* all that waited for a slow client has gone out; may be NULL */
    void (*on_ws_close)(void *session, int code);      /* the last call for this session; ws is gone */
    void *arg;
    size_t ws_message_limit; /* bytes, 0: 64 KiB; a larger message closes with 1009 */
    size_t ws_queue_limit;   /* bytes waiting to be sent, 0: 1 MiB; ws_send then returns ERR_LIMIT */
    bool ws_deflate;         /* permessage-deflate, for clients that ask for it */
    /* Messages and control frames of one client, each a task of its own: 0: 20; three times as many may come at once.
     * More closes with 1008. -1: no limit. */
    int ws_frames_a_second;
};

int http_server_open(struct http_server **out, struct net *net, const struct http_server_opts *o, struct err *e);
/* Stops accepting; idle connections close, running requests may finish within grace_ms, WebSockets get 1001. */
void http_server_close(struct http_server *s, int grace_ms, void (*closed)(void *arg), void *arg);

/* A request's parts; all borrowed, valid until http_reply(). Names are lower case. */
const char *http_method(const struct http_request *r);
const char *http_path(const struct http_request *r);                     /* raw, without query */
const char *http_query(const struct http_request *r);                    /* raw, "" when none */
const char *http_header(const struct http_request *r, const char *name); /* NULL when absent */
/* Calls each(arg, name, value) for every header (several of one name: several calls). */
void http_headers(const struct http_request *r, void (*each)(void *arg, const char *name, const char *value),
                  void *arg);
const char *http_body(const struct http_request *r, size_t *len);
const char *http_remote(const struct http_request *r); /* address without port */
bool http_is_tls(const struct http_request *r);
void http_on_gone(struct http_request *r, void (*gone)(void *arg), void *arg);

struct http_field {
    const char *name, *value;
};
/* fields end with name NULL. Content-Length, Date and Server are added. Invalid field bytes abort the field, not the reply.
 * HEAD sends no body. */
void http_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len);

/* A reply that is written while it is made: begin sends the head, then any number of writes, then end or abort, after which
 * r is gone as after http_reply(). When the client goes first, on_gone runs, writes give ERR_CLOSED, and r stays valid
 * until end or abort. Chunked in HTTP/1.1, until the connection ends in HTTP/1.0. To HEAD nothing but the head is sent. */
void http_reply_begin(struct http_request *r, int status, const struct http_field *fields, void (*on_room)(void *arg),
                      void *arg);
/* Taken whole. 0; 1: much waits for a slow client, so write on when on_room has come (from the loop, once); or
 * ERR_CLOSED. */
int http_reply_write(struct http_request *r, const void *data, size_t len);
void http_reply_end(struct http_request *r);
void http_reply_abort(struct http_request *r); /* the client sees that the reply is not whole */

/* What is said when a request is refused before a handler decides: an RFC 9457 document with a code, and the request's
 * trace, which is logged. r NULL: its head could not be read. For 413 the detail is made here. free() it. */
char *http_problem(const struct http_request *r, int status, const char *detail);

/* Text message. ERR_LIMIT when the queue is full, ERR_CLOSED when it is gone. */
int ws_send(struct ws *ws, const char *text, size_t len, struct err *e);
size_t ws_queued(const struct ws *ws);
void ws_close(struct ws *ws, int code, const char *reason);
