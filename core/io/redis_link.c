/* SPDX-License-Identifier: Apache-2.0 */
/* A link makes one attempt after another. An attempt is one socket with its reader; it is left behind as a whole
 * when it fails (link = NULL) and frees itself when libuv has let go of its last handle and request, so that
 * nothing late from an old socket can reach the new one. */
#include "io/redis_link.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BACKOFF_MIN_MS = 20, BACKOFF_MAX_MS = 1000, HANDSHAKE_MS = 3000, READ_BYTES = 64 * 1024 };

struct attempt {
    struct redis_link *link; /* borrowed; NULL once left behind */
    int refs;                /* open handles and running requests */
    bool has_stream, reading, writing;
    union {
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } io;
    uv_getaddrinfo_t resolve;
    uv_connect_t connect;
    uv_write_t write;
    struct buf in_flight; /* what write is sending */
    redisReader *reader;
    int handshake; /* replies still to come before the link is up */
};

struct redis_link {
    uv_loop_t *loop;
    struct redis_address address; /* a copy */
    const char *use;
    const struct redis_link_events *events;
    void *arg;
    uv_timer_t timer;        /* the back-off, or the handshake's limit */
    uv_prepare_t flush;      /* runs before the loop sleeps, when there is something to send */
    struct attempt *attempt; /* NULL during a back-off */
    struct buf out;
    bool up, told, closing;
    unsigned failures; /* in a row */
    int handles;
    void (*closed)(void *arg);
    char read_buf[READ_BYTES];
};

static void attempt_start(struct redis_link *l);
static void attempt_failed(struct attempt *a, int code, const char *what, const char *why);

/* -- one attempt ---------------------------------------------------------------------------------------------- */

static void attempt_unref(struct attempt *a) {
    if (--a->refs > 0) return;
    redisReaderFree(a->reader);
    buf_free(&a->in_flight);
    free(a);
}

static void on_stream_closed(uv_handle_t *h) {
    attempt_unref(h->data);
}

static void attempt_leave(struct attempt *a) {
    a->link->attempt = NULL;
    a->link = NULL;
    if (a->has_stream) uv_close((uv_handle_t *)&a->io.stream, on_stream_closed);
    attempt_unref(a); /* the link's */
}

static void on_alloc(uv_handle_t *h, size_t suggested, uv_buf_t *buf) {
    struct attempt *a = h->data;
    (void)suggested;
    *buf = uv_buf_init(a->link->read_buf, sizeof a->link->read_buf);
}

static void link_is_up(struct redis_link *l) {
    uv_timer_stop(&l->timer);
    l->up = true;
    if (l->told) log_info("redis.connected", "%s: connected", l->use);
    l->failures = 0;
    l->told = false;
    l->events->on_up(l->arg);
}

static void on_handshake_reply(struct attempt *a, const redisReply *reply) {
    if (reply->type == REDIS_REPLY_ERROR)
        attempt_failed(a, strncmp(reply->str, "NOAUTH", 6) && strncmp(reply->str, "WRONGPASS", 9) ? ERR_IO : ERR_DENIED,
                       "the server refuses", reply->str);
    else if (--a->handshake == 0)
        link_is_up(a->link);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf) {
    struct attempt *a = stream->data;
    void *reply = NULL;

    if (n == 0 || a->link == NULL) return;
    if (n < 0) {
        attempt_failed(a, ERR_CLOSED, "the connection ended",
                       n == UV_EOF ? "closed by the server" : uv_strerror((int)n));
        return;
    }
    redisReaderFeed(a->reader, buf->base, (size_t)n);
    a->refs++; /* an event may leave this attempt behind, while its reader is on the stack */
    for (;;) {
        if (redisReaderGetReply(a->reader, &reply) != REDIS_OK) {
            attempt_failed(a, ERR_PROTOCOL, "the server makes no sense", a->reader->errstr);
            break;
        }
        if (reply == NULL) break;
        if (a->handshake > 0)
            on_handshake_reply(a, reply);
        else
            a->link->events->on_reply(a->link->arg, reply);
        freeReplyObject(reply);
        if (a->link == NULL) break;
    }
    attempt_unref(a);
}

static void on_flush(uv_prepare_t *p);

static void on_written(uv_write_t *req, int status) {
    struct attempt *a = req->data;
    a->writing = false;
    if (a->link) {
        if (status < 0)
            attempt_failed(a, ERR_CLOSED, "the connection ended", uv_strerror(status));
        else if (a->link->out.len)
            on_flush(&a->link->flush);
    }
    attempt_unref(a);
}

static void on_flush(uv_prepare_t *p) {
    struct redis_link *l = p->data;
    struct attempt *a = l->attempt;
    int rc;

    uv_prepare_stop(&l->flush);
    if (a == NULL || !a->reading || a->writing || l->out.len == 0) return;
    buf_free(&a->in_flight);
    a->in_flight = l->out;
    l->out = (struct buf){0};
    a->write.data = a;
    a->writing = true;
    a->refs++;
    const uv_buf_t bytes = uv_buf_init(a->in_flight.data, (unsigned)a->in_flight.len);
    rc = uv_write(&a->write, &a->io.stream, &bytes, 1, on_written);
    if (rc == 0) return;
    a->writing = false;
    a->refs--;
    attempt_failed(a, ERR_CLOSED, "cannot write", uv_strerror(rc));
}

static void send_words(struct redis_link *l, int argc, const char **argv) {
    redis_link_send(l, argc, argv, NULL);
}

static void handshake(struct attempt *a) {
    struct redis_link *l = a->link;
    char db[16];
    int n = 1;

    if (l->address.password) {
        const char *auth[] = {"AUTH", l->address.password};
        send_words(l, 2, auth);
        n++;
    }
    if (l->address.db) {
        snprintf(db, sizeof db, "%d", l->address.db);
        const char *select[] = {"SELECT", db};
        send_words(l, 2, select);
        n++;
    }
    /* Finds a server that wants a password, or still reads its data, before a caller does. */
    const char *ping[] = {"PING"};
    send_words(l, 1, ping);
    a->handshake = n;
}

static void on_connect(uv_connect_t *req, int status) {
    struct attempt *a = req->data;
    if (a->link) {
        if (status == 0) status = uv_read_start(&a->io.stream, on_alloc, on_read);
        if (status < 0) {
            attempt_failed(a, ERR_CLOSED, "cannot connect", uv_strerror(status));
        } else {
            a->reading = true;
            handshake(a);
        }
    }
    attempt_unref(a);
}

static int stream_opened(struct attempt *a) {
    a->has_stream = true;
    a->io.stream.data = a;
    a->connect.data = a;
    a->refs += 2; /* the stream, and the request */
    return 0;
}

static void connect_tcp(struct attempt *a, const struct sockaddr *to) {
    uv_tcp_init(a->link->loop, &a->io.tcp);
    stream_opened(a);
    uv_tcp_nodelay(&a->io.tcp, 1);
    int rc = uv_tcp_connect(&a->connect, &a->io.tcp, to, on_connect);
    if (rc == 0) return;
    a->refs--; /* no request runs; the stream is still to be closed */
    attempt_failed(a, ERR_CLOSED, "cannot connect", uv_strerror(rc));
}

static void on_resolved(uv_getaddrinfo_t *req, int status, struct addrinfo *list) {
    struct attempt *a = req->data;
    if (a->link) {
        if (status < 0) {
            attempt_failed(a, ERR_CLOSED, "cannot resolve the name", uv_strerror(status));
        } else {
            /* Another address each time, so that one dead one of a name does not shut us out. */
            unsigned n = 0;
            for (struct addrinfo *i = list; i; i = i->ai_next) n++;
            struct addrinfo *chosen = list;
            for (unsigned skip = a->link->failures % n; skip > 0; skip--) chosen = chosen->ai_next;
            connect_tcp(a, chosen->ai_addr);
        }
    }
    uv_freeaddrinfo(list);
    attempt_unref(a);
}

/* -- one after another ---------------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *t) {
    struct redis_link *l = t->data;
    if (l->attempt)
        attempt_failed(l->attempt, ERR_TIMEOUT, "cannot connect", "no answer in time");
    else
        attempt_start(l);
}

static void attempt_start(struct redis_link *l) {
    struct attempt *a = mem_alloc(sizeof *a);
    const struct redis_address *to = &l->address;
    char port[8];

    a->link = l;
    a->refs = 1;
    a->reader = redisReaderCreate();
    if (a->reader == NULL) abort();
    l->attempt = a;
    buf_clear(&l->out);
    uv_timer_start(&l->timer, on_timer, HANDSHAKE_MS, 0);
    if (to->path) {
        uv_pipe_init(l->loop, &a->io.pipe, 0);
        stream_opened(a);
        uv_pipe_connect(&a->connect, &a->io.pipe, to->path, on_connect);
        return;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    snprintf(port, sizeof port, "%d", to->port);
    a->resolve.data = a;
    int rc = uv_getaddrinfo(l->loop, &a->resolve, on_resolved, to->host, port, &hints);
    if (rc == 0)
        a->refs++;
    else
        attempt_failed(a, ERR_CLOSED, "cannot resolve the name", uv_strerror(rc));
}

static uint64_t backoff_ms(const struct redis_link *l) {
    unsigned random = 0;
    uint64_t ms = BACKOFF_MAX_MS;

    if (l->failures < 6) ms = (uint64_t)BACKOFF_MIN_MS << l->failures;
    uv_random(NULL, NULL, &random, sizeof random, 0, NULL); /* all zero when it fails, which is no harm */
    return ms / 2 + random % (ms / 2 + 1);
}

static void link_failed(struct redis_link *l, const struct err *why) {
    bool was_up = l->up;

    if (l->attempt) attempt_leave(l->attempt);
    l->up = false;
    buf_free(&l->out);
    uv_prepare_stop(&l->flush);
    uv_timer_start(&l->timer, on_timer, backoff_ms(l), 0);
    /* Once for each time the server goes away, not for each time we look whether it is back. */
    if (!l->told) log_warn("redis.lost", "%s: %s", l->use, why->text);
    l->told = true;
    l->failures++;
    if (was_up)
        l->events->on_down(l->arg, why);
    else if (l->events->on_failed)
        l->events->on_failed(l->arg, why);
}

static void attempt_failed(struct attempt *a, int code, const char *what, const char *why) {
    struct err e;
    err_set(&e, code, "redis: %s: %s", what, why);
    link_failed(a->link, &e);
}

/* -- the outside ---------------------------------------------------------------------------------------------- */

static void on_first(uv_timer_t *t) {
    attempt_start(t->data);
}

struct redis_link *redis_link_open(uv_loop_t *loop, const struct redis_address *address, const char *use,
                                   const struct redis_link_events *events, void *arg) {
    struct redis_link *l = mem_alloc(sizeof *l);
    l->loop = loop;
    redis_address_copy(&l->address, address);
    l->use = use;
    l->events = events;
    l->arg = arg;
    uv_timer_init(loop, &l->timer);
    uv_prepare_init(loop, &l->flush);
    l->handles = 2;
    l->timer.data = l;
    l->flush.data = l;
    uv_timer_start(&l->timer, on_first, 0, 0);
    return l;
}

static void on_handle_closed(uv_handle_t *h) {
    struct redis_link *l = h->data;
    if (--l->handles > 0) return;
    void (*closed)(void *arg) = l->closed;
    void *arg = l->arg;
    buf_free(&l->out);
    redis_address_free(&l->address);
    free(l);
    closed(arg);
}

void redis_link_close(struct redis_link *l, void (*closed)(void *arg)) {
    l->closed = closed;
    l->up = false;
    if (l->attempt) attempt_leave(l->attempt);
    uv_close((uv_handle_t *)&l->timer, on_handle_closed);
    uv_close((uv_handle_t *)&l->flush, on_handle_closed);
}

bool redis_link_up(const struct redis_link *l) {
    return l->up;
}
size_t redis_link_unsent(const struct redis_link *l) {
    return l->out.len;
}

void redis_link_send(struct redis_link *l, int argc, const char **argv, const size_t *lens) {
    char *bytes = NULL;
    int n = redisFormatCommandArgv(&bytes, argc, argv, lens);
    if (n < 0) abort();
    redis_link_send_bytes(l, bytes, (size_t)n);
    redisFreeCommand(bytes);
}

void redis_link_send_bytes(struct redis_link *l, const char *bytes, size_t len) {
    buf_add(&l->out, bytes, len);
    if (!uv_is_active((uv_handle_t *)&l->flush)) uv_prepare_start(&l->flush, on_flush);
}

void redis_link_replace(struct redis_link *l, const struct err *why) {
    link_failed(l, why);
}
