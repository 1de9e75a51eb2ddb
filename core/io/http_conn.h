/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the HTTP server share: server, connection, request. Nobody else includes this.
 *
 *   http_server.c   listener, list of connections, time limits, closing       http_crowd.c   how many may come
 *   http1.c         a connection that speaks HTTP/1.1          http_head.c   its bytes
 *   http2.c         a connection that speaks HTTP/2 (nghttp2)
 *   ws_server.c     a connection that became a WebSocket       ws_frame.c    its bytes    ws_deflate.c   and packed
 *   http_request.c  a request for its handler                  http_reply.c  heads    http_problem.c  refusals
 *
 * A connection is freed in its stream's on_end and nowhere else.
 */
#pragma once
#include "base/map.h"
#include "io/http_crowd.h"
#include "io/http_head.h"
#include "io/http_server.h"
#include "io/stream.h"
#include "io/tls.h"
#include <netinet/in.h>

struct metric;
struct http2;

enum { HTTP_TURN_MS = 4, HTTP_UNWRITTEN = 64 * 1024 /* of one streamed reply, then its writer waits */ };

/* In milliseconds; variables so that a test need not wait for minutes. */
struct http_times {
    int tick, handshake, request, idle, stall, linger, ping, ws_close;
    int crowded;     /* a peer that takes nothing for so long goes when too much waits for all of them */
    int certificate; /* between two looks at its files */
};
extern struct http_times http_times;

/* Bytes a second that a peer must take of what waits for it: less, over a whole http_times.stall, ends it. */
extern uint64_t http_least_rate;

/* Bytes that the requests of this thread may have together, and that may wait to be sent: strangers can make as many as
 * there are connections, and each may be large. Beyond it a growing body is refused, and who does not read is ended.
 * Variables for tests. */
extern size_t http_bodies_limit, http_unsent_limit;
extern const char http_crowded[]; /* what is then said */

/* What may be done often, but not without end: a full bucket allows `most` at once and `per_second` for ever. */
struct http_bucket {
    double spent;
    uint64_t at_ms;
};
bool http_bucket_take(struct http_bucket *b, double cost, double most, double per_second);

/* Why we ended a connection: a label of a metric. */
enum http_ended { ENDED_SLOW, ENDED_CROWDED, ENDED_H2_FLOOD, ENDED_WS_FLOOD, ENDED_COUNT };

struct http_server {
    struct net *net;           /* borrowed; closes us before it goes */
    struct http_server_opts o; /* strings in it are not kept */
    struct http_body_limit *body_limits;
    SSL_CTX *tls;
    struct tls_files files; /* it came from */
    uint64_t look_at_ms;    /* at them */
    uv_poll_t listener;
    uv_timer_t tick, grace;
    /* Requests whose handler has not begun: those of one turn of the loop may take HTTP_TURN_MS together, the others wait
     * for the next, or hundreds that come at once would keep all else from its turn. They wait in a queue for each address,
     * which take turns: who asks much waits behind himself, not before everybody else. */
    struct map waiting; /* visitor's address -> its queue */
    struct http_queue *next_queue, **last_queue;
    uint64_t spent_ns; /* by handlers in this turn */
    uv_prepare_t turn;
    uv_idle_t again; /* runs while any wait */
    bool accepting, closing, drained;
    int open_handles;
    struct http_conn *conns;
    struct metric *connections, *accept_failed, *turned_away[2], *ended[ENDED_COUNT];
    int turned_away_now; /* since the last tick */
    char turned_away_last[INET6_ADDRSTRLEN];
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
    struct http_visitor *visitor;
    uint64_t slow_at_ms, slow_sent; /* when its rate was last looked at, and what it had taken; 0: nothing waits */
    /* HTTP/1.1 */
    struct buf in;
    size_t counted;               /* of in, in the sum of all */
    size_t seen;                  /* of in, by http_head_find() */
    struct http_request *request; /* being received or handled; ours until replied */
    bool handling, running;
    /* the others */
    struct http2 *h2;
    struct ws *ws;
};

struct http_queue {
    const char *address; /* borrowed from the visitor: it outlives its requests that wait */
    struct http_request *first, **last;
    struct http_queue *next;
};

struct http_request {
    struct http_conn *conn; /* NULL: the client is gone */
    struct arena arena;
    struct http_head head;
    struct buf body;
    size_t head_bytes;
    size_t counted; /* of all its bytes, in the sum of all */
    struct http_chunks chunks;
    size_t body_limit;
    bool is_head, tls, handling;
    char remote[INET6_ADDRSTRLEN];
    void (*gone)(void *arg);
    void *gone_arg;
    /* HTTP/2 */
    int32_t stream_id;
    uint64_t deadline_ms;
    int refused; /* status the request will be answered with instead of being handled */
    const char *refused_why;
    struct buf reply;
    size_t reply_at;
    bool replied;
    /* A reply that is written while it is made */
    bool streamed, written, cut; /* it is one; its end has been written; without being whole */
    bool chunked;
    bool wants_room;
    void (*on_room)(void *arg);
    void *room_arg;
    struct http_request *next, *prev;
    struct http_request *waiting_next;
    bool waiting;
};

/* http_server.c */
void http_conn_finish(struct http_conn *c);                     /* sends what is queued, lingers, ends */
void http_conn_ended(struct http_conn *c, enum http_ended why); /* counts */
size_t http_server_body_limit(const struct http_server *s, const char *path);

/* http_request.c */
struct http_request *http_request_new(struct http_conn *c);
void http_request_free(struct http_request *r);
bool http_request_fits(struct http_request *r);   /* after it has grown: is there room for it among all? */
void http_conn_count(struct http_conn *c);        /* what waits to be read, in the same sum */
void http_request_handle(struct http_request *r); /* calls the handler, or lets it wait; r may be gone afterwards */
void http_requests_turn(struct http_server *s);   /* a new turn of the loop: calls the handlers that waited */
void http_request_gone(struct http_request *r);   /* the client went: tells the handler, or frees */

/* http_reply.c */
const char *http_status_text(int status);
const char *http_date(void);
bool http_field_ok(const struct http_field *f); /* may a handler send it? logs when not */
/* A whole HTTP/1.1 reply. body NULL sends no body but its length, as HEAD wants. */
void http_reply_bytes(struct buf *out, int status, const struct http_field *fields, const void *body, size_t len,
                      bool close);
/* The head of one whose length nobody knows yet. */
void http_reply_open_head(struct buf *out, int status, const struct http_field *fields, bool chunked, bool close);
void http_request_room(struct http_request *r); /* the client has taken what waited: tells who writes */

/* http1.c */
void http1_data(struct http_conn *c, const char *data, size_t len);
void http1_run(struct http_conn *c);
void http1_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len);
void http1_begin(struct http_request *r, int status, const struct http_field *fields);
int http1_write(struct http_request *r, const void *data, size_t len);
void http1_end_reply(struct http_request *r, bool whole);
void http1_eof(struct http_conn *c);
void http1_overdue(struct http_conn *c);
void http1_end(struct http_conn *c);

/* http2.c */
void http2_open(struct http_conn *c);
void http2_data(struct http_conn *c, const char *data, size_t len);
void http2_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len);
void http2_begin(struct http_request *r, int status, const struct http_field *fields);
int http2_write(struct http_request *r, const void *data, size_t len);
void http2_end_reply(struct http_request *r, bool whole);
void http2_drain(struct http_conn *c);
void http2_tick(struct http_conn *c, uint64_t now_ms);
void http2_shutdown(struct http_conn *c);
void http2_end(struct http_conn *c);

/* ws_server.c */
void ws_upgrade(struct http_conn *c, struct http_request *r);
void ws_data(struct http_conn *c, const char *data, size_t len);
void ws_drain(struct http_conn *c);
void ws_tick(struct http_conn *c, uint64_t now_ms);
void ws_end(struct http_conn *c);
