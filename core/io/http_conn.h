/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP server share: server, connection, request. Nobody else includes this.
 *
 *   http_server.c   listener, list of connections, time limits, closing
 *   http1.c         a connection that speaks HTTP/1.1          http_head.c   its bytes
 *   http2.c         a connection that speaks HTTP/2 (nghttp2)
 *   ws_server.c     a connection that became a WebSocket       ws_frame.c    its bytes
 *   http_request.c  a request for its handler                  http_reply.c  heads    http_problem.c  refusals
 *
 * A connection is freed in its stream's on_end and nowhere else.
 */
#pragma once
#include "io/http_head.h"
#include "io/http_server.h"
#include "io/stream.h"
#include <netinet/in.h>

struct metric;
struct http2;

/* In milliseconds; variables so that a test need not wait for minutes. */
struct http_times {
    int tick, handshake, request, idle, stall, linger, ping, ws_close;
};
extern struct http_times http_times;

/* Bytes that the bodies of all requests of this thread may have together: strangers can send as many as there are
 * connections, and each may be large. Beyond it a growing body is refused. A variable for tests. */
extern size_t http_bodies_limit;
extern const char http_crowded[]; /* what is then said */

struct http_server {
    struct net *net;           /* borrowed; closes us before it goes */
    struct http_server_opts o; /* strings in it are not kept */
    struct http_body_limit *body_limits;
    SSL_CTX *tls;
    uv_poll_t listener;
    uv_timer_t tick, grace;
    bool accepting, closing, drained;
    int open_handles;
    struct http_conn *conns;
    struct metric *connections, *accept_failed;
    void (*closed)(void *arg);
    void *closed_arg;
    struct http_server *next; /* in net */
};

enum http_mode { HTTP_NEW, HTTP_1, HTTP_2, HTTP_WS, HTTP_ENDING };

struct http_conn {
    struct http_server *server;
    struct stream *stream;
    struct http_conn *next, *prev;
    enum http_mode mode;
    uint64_t deadline_ms; /* 0: none; what happens then depends on the mode */
    char remote[INET6_ADDRSTRLEN];
    /* HTTP/1.1 */
    struct buf in;
    size_t seen;                  /* of in, by http_head_find() */
    struct http_request *request; /* being received or handled; ours until replied */
    bool handling, running;
    /* the others */
    struct http2 *h2;
    struct ws *ws;
};

struct http_request {
    struct http_conn *conn; /* NULL: the client is gone */
    struct arena arena;
    struct http_head head;
    struct buf body;
    size_t counted; /* of body, in the sum of all */
    struct http_chunks chunks;
    size_t body_limit;
    bool is_head, tls, handling;
    char remote[INET6_ADDRSTRLEN];
    void (*gone)(void *arg);
    void *gone_arg;
    /* HTTP/2 */
    int32_t stream_id;
    uint64_t deadline_ms;
    size_t head_bytes;
    int refused; /* status the request will be answered with instead of being handled */
    const char *refused_why;
    struct buf reply;
    size_t reply_at;
    bool replied;
    struct http_request *next, *prev;
};

/* http_server.c */
void http_conn_finish(struct http_conn *c); /* sends what is queued, lingers, ends */
size_t http_server_body_limit(const struct http_server *s, const char *path);

/* http_request.c */
struct http_request *http_request_new(struct http_conn *c);
void http_request_free(struct http_request *r);
bool http_request_fits(struct http_request *r);   /* after its body has grown: is there room for it among all? */
void http_request_handle(struct http_request *r); /* calls the handler; r may be gone afterwards */
void http_request_gone(struct http_request *r);   /* the client went: tells the handler, or frees */

/* http_reply.c */
const char *http_status_text(int status);
const char *http_date(void);
bool http_field_ok(const struct http_field *f); /* may a handler send it? logs when not */
/* A whole HTTP/1.1 reply. body NULL sends no body but its length, as HEAD wants. */
void http_reply_bytes(struct buf *out, int status, const struct http_field *fields, const void *body, size_t len,
                      bool close);

/* http1.c */
void http1_data(struct http_conn *c, const char *data, size_t len);
void http1_run(struct http_conn *c);
void http1_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len);
void http1_eof(struct http_conn *c);
void http1_overdue(struct http_conn *c);
void http1_end(struct http_conn *c);

/* http2.c */
void http2_open(struct http_conn *c);
void http2_data(struct http_conn *c, const char *data, size_t len);
void http2_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len);
void http2_drain(struct http_conn *c);
void http2_tick(struct http_conn *c, uint64_t now_ms);
void http2_shutdown(struct http_conn *c);
void http2_end(struct http_conn *c);

/* ws_server.c */
void ws_upgrade(struct http_conn *c, struct http_request *r);
void ws_data(struct http_conn *c, const char *data, size_t len);
void ws_tick(struct http_conn *c, uint64_t now_ms);
void ws_end(struct http_conn *c);
