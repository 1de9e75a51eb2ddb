/* SPDX-License-Identifier: Apache-2.0 */
/* What the files behind http_stream.h share. Nobody else includes this.
 *
 *   http_stream.c   one request: its limits, what was read and not taken, its end
 *   http_pool.c     the pool: origins, who waits, notices, figures          http_trust.c   whom TLS believes
 *   http_lookup.c   where an origin is                                      http_link.c    one connection: connecting, its end
 *   http_link1.c    its bytes in HTTP/1.1      http_link2.c   in HTTP/2
 *
 * A link is freed in its socket's on_end, or when it never had one, and nowhere else. Owners hear of changes when
 * the event that brought them has been dealt with (http_pool_tell), so that they may call anything.
 */
#pragma once
#include "base/arena.h"
#include "base/map.h"
#include "io/http_head.h"
#include "io/http_stream.h"
#include "io/stream.h"
#include "io/ws_url.h"
#include <netdb.h>
#include <nghttp2/nghttp2.h>

enum {
    HTTP_WARM_MAX = 64,        /* connections to an origin may be kept without a request */
    HTTP_UNTAKEN = 256 * 1024, /* bytes of one body */
    HTTP_ANSWER_HEAD = 64 * 1024,
};

struct metric;
struct http_link;
struct http_origin;
struct http_trust;
struct http_lookup;

struct http_pool {
    uv_loop_t *loop; /* borrowed */
    struct http_pool_limits limits;
    struct map origins;
    struct http_origin *first;
    struct http_trust *trusts;
    struct http_stream *streams;                 /* all that are not freed */
    struct http_stream *changed, **last_changed; /* whose owners are to be told */
    bool telling, inside, closing;
    uv_timer_t tick, kick;
    struct http_lookup *to_look_up, **last_to_look_up;
    struct http_lookup *looked_up; /* under the lock of http_lookup.c */
    int lookups_running;
    bool is_known; /* some links wait for addresses that are there */
    uv_async_t lookup_done;
    int open; /* handles and links: the pool lives until all are gone */
    struct metric *connections, *running, *resets;
    void (*closed)(void *arg);
    void *closed_arg;
};

enum http_speaks { SPEAKS_UNKNOWN, SPEAKS_HTTP1, SPEAKS_HTTP2 };

struct http_origin {
    struct http_pool *pool;
    struct http_origin *next, **at;
    char *key;         /* ours; "https://host:port ca_file" */
    char *name;        /* the first word of it */
    struct ws_url url; /* its target is not used */
    char *ca_file;
    enum http_speaks speaks;
    struct http_lookup *lookup;       /* NULL: none is under way */
    struct http_addresses *addresses; /* shared with links; NULL: not known */
    uint64_t found_ms;
    struct http_link *links;
    int link_count, connecting, running, warm;
    struct http_stream *waiting, **last_waiting;
    int waiting_count;
    int fails;           /* of connecting, in a row */
    uint64_t warm_at_ms; /* not before */
    uint64_t opened, failed, requests, resets;
};

enum http_link_state { LINK_LOOKUP, LINK_CONNECTING, LINK_OPEN, LINK_OVER };

struct http_addresses {
    int refs, count, started;
    struct addrinfo *first;
    const struct addrinfo *good; /* it was the last that answered; NULL: not known */
};

struct http_link {
    struct http_origin *origin;
    struct http_link *next, **at;
    enum http_link_state state;
    struct http_addresses *addresses; /* while it is connecting */
    const struct addrinfo *address;   /* the one that is tried */
    int untried;                      /* of them, with this one */
    struct stream *socket;
    uint64_t begun_ms;    /* connecting */
    uint64_t deadline_ms; /* for this address */
    uint64_t idle_at_ms, heard_ms;
    int running, served;
    bool last; /* takes no more requests: ends when those that run have */
    char why[256];
    /* HTTP/1.1 */
    struct http_stream *request;
    struct buf head;
    size_t seen;
    struct http_chunks chunks;
    bool chunked, keep;
    int64_t left; /* of the body; -1: until the connection ends */
    /* HTTP/2 */
    nghttp2_session *session;
    struct http_stream *streams;
    bool pumping;
};

struct http_stream {
    struct http_pool *pool;
    struct http_stream *next, **at;      /* of all */
    struct http_origin *origin;          /* NULL: its options are wrong, or it is over */
    struct http_link *link;              /* NULL: waits, or it is over */
    struct http_stream *peer, **peer_at; /* in origin->waiting or link->streams */
    struct http_stream *next_changed;
    bool is_changed;
    struct arena arena; /* of the next five */
    const char *method, *target;
    struct http_field *fields;
    const char *body;
    size_t body_len, body_at, field_count;
    int connect_ms, first_byte_ms, idle_ms, timeout_ms;
    uv_timer_t timer; /* frees the stream in its close callback */
    uint64_t begun_ms, sent_ms, heard_ms, due_ms;
    int tries;
    int32_t id; /* HTTP/2 */
    int status;
    struct buf head; /* "name: value\n" */
    bool head_done;
    int64_t content_length;
    struct buf in; /* from in_at: not taken yet */
    size_t in_at;
    bool framed; /* something was taken: the framing stays */
    enum http_framing_kind wanted;
    struct http_framing framing;
    bool ended;  /* nothing more will come; why says whether it is whole */
    bool closed; /* the end of framing was given */
    struct err why;
    const char *stage;
    void (*on_change)(void *arg);
    void *arg;
};

/* http_stream.c: what a link tells a stream */
bool http_stream_add_field(struct http_stream *s, const char *name, size_t name_len, const char *value,
                           size_t value_len);
void http_stream_head_done(struct http_stream *s);
void http_stream_heard(struct http_stream *s); /* s->in has grown */
void http_stream_end(struct http_stream *s, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
void http_stream_sent(struct http_stream *s); /* it has a link: its limits are others */
static inline size_t http_stream_untaken(const struct http_stream *s) {
    return s->in.len - s->in_at;
}

/* http_pool.c */
void http_pool_changed(struct http_stream *s);
void http_pool_forget_change(struct http_stream *s);
void http_pool_tell(struct http_pool *p); /* at the end of every event */
void http_pool_gone(struct http_pool *p); /* one less of p->open */
void http_pool_kick(struct http_pool *p); /* what is to be done is done, and told, from the loop */
struct http_origin *http_origin_of(struct http_pool *p, const struct ws_url *url, const char *ca_file);
void http_origin_wait(struct http_origin *o, struct http_stream *s, bool first);
void http_origin_leave(struct http_stream *s); /* the queue */
void http_origin_run(struct http_origin *o);   /* gives links to who waits; opens more */
void http_origin_connected(struct http_origin *o, struct http_link *l);
void http_origin_refused(struct http_origin *o, const char *why, bool timeout);

/* http_lookup.c */
void http_lookup_open(struct http_pool *p);
void http_lookup_close(struct http_pool *p);  /* the links that wait are gone */
void http_lookup_want(struct http_origin *o); /* its links in LINK_LOOKUP hear of it, from the loop */
void http_lookup_known(struct http_pool *p);
bool http_lookup_is_kept(const struct http_origin *o);
void http_lookup_forget(struct http_origin *o); /* nobody answered there */
struct http_addresses *http_addresses_ref(struct http_addresses *a);
void http_addresses_unref(struct http_addresses *a);
const struct addrinfo *http_addresses_start(struct http_addresses *a);

/* http_trust.c */
SSL *http_trust_new_ssl(struct http_pool *p, const struct http_origin *o, struct err *e);
void http_trust_free(struct http_trust *t);

/* http_link.c */
void http_link_open(struct http_origin *o);
void http_link_found(struct http_link *l, struct http_addresses *a);
bool http_link_has_room(const struct http_link *l);
void http_link_send(struct http_link *l, struct http_stream *s);
/* s is over before its answer was: the server is told. */
void http_link_reset(struct http_link *l, struct http_stream *s);
void http_link_taken(struct http_link *l, struct http_stream *s, size_t len); /* its reader took so many bytes */
void http_link_attach(struct http_link *l, struct http_stream *s);
void http_link_detach(struct http_stream *s); /* it has its whole answer, or goes elsewhere */
void http_link_abort(struct http_link *l, const char *why);
void http_link_close(struct http_link *l); /* nothing runs there any more */
void http_link_tick(struct http_link *l, uint64_t now_ms);

/* http_link1.c */
void http_link1_send(struct http_link *l, struct http_stream *s);
void http_link1_data(struct http_link *l, const char *data, size_t len);
void http_link1_eof(struct http_link *l);
/* http_link2.c */
void http_link2_open(struct http_link *l);
void http_link2_send(struct http_link *l, struct http_stream *s);
void http_link2_data(struct http_link *l, const char *data, size_t len);
void http_link2_reset(struct http_link *l, struct http_stream *s);
void http_link2_taken(struct http_link *l, struct http_stream *s, size_t len);
void http_link2_pump(struct http_link *l);
