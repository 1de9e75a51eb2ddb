/* SPDX-License-Identifier: Apache-2.0 */
/* The listener, the list of connections, their time limits, and closing. See http_conn.h for the map.
 *
 * Accepting, TLS and the bytes of HTTP are ours, not libwebsockets': its HTTP/2 forgets every header it has no token for
 * (Idempotency-Key, traceparent), and its HTTP/1.1 decodes the path, knows no chunked body and reads
 * conflicting lengths its own way. */
#include "io/http_server.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/http_conn.h"
#include "io/net_inside.h"
#include "metrics/metrics.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ACCEPTS_PER_EVENT = 64 };

struct http_times http_times = {.tick = 1000,
                                .handshake = 10000,
                                .request = 30000,
                                .idle = 60000,
                                .stall = 60000,
                                .linger = 2000,
                                .ping = 20000,
                                .ws_close = 5000,
                                .crowded = 5000,
                                .certificate = 2000};
uint64_t http_least_rate = 1024;
size_t http_unsent_limit = 256u * 1024 * 1024;

static void maybe_done(struct http_server *s);

size_t http_server_body_limit(const struct http_server *s, const char *path) {
    size_t limit = s->o.body_limit, longest = 0;
    for (const struct http_body_limit *l = s->o.body_limits; l && l->prefix; l++) {
        size_t len = strlen(l->prefix);
        if (len >= longest && strncmp(path, l->prefix, len) == 0) limit = l->bytes, longest = len;
    }
    return limit;
}

bool http_bucket_take(struct http_bucket *b, double cost, double most, double per_second) {
    uint64_t now_ms = clock_mono_ms();
    double back = (double)(now_ms - b->at_ms) * per_second / 1000;
    b->spent = b->spent > back ? b->spent - back : 0;
    b->at_ms = now_ms;
    b->spent += cost;
    return b->spent <= most;
}

void http_conn_ended(struct http_conn *c, enum http_ended why) {
    struct metric *m = c->server->ended[why];
    if (m) metric_add(m, 1);
}

void http_conn_finish(struct http_conn *c) {
    /* What the old mode still owns is ended with the stream. */
    c->mode = HTTP_ENDING;
    c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.linger;
    stream_finish(c->stream);
}

static void on_ready(void *arg) {
    struct http_conn *c = arg;
    c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.idle;
    c->mode = HTTP_1;
    if (stream_is_h2(c->stream)) http2_open(c);
}

static void on_data(void *arg, const char *data, size_t len) {
    struct http_conn *c = arg;
    if (c->mode == HTTP_1)
        http1_data(c, data, len);
    else if (c->mode == HTTP_2)
        http2_data(c, data, len);
    else if (c->mode == HTTP_WS)
        ws_data(c, data, len);
}

static void on_eof(void *arg) {
    struct http_conn *c = arg;
    if (c->mode == HTTP_1)
        http1_eof(c);
    else
        stream_abort(c->stream); /* HTTP/2 and WebSocket say good-bye in their own words */
}

static void on_drain(void *arg) {
    struct http_conn *c = arg;
    c->slow_at_ms = 0;
    if (c->mode == HTTP_1) {
        if (c->request && c->handling) http_request_room(c->request);
        if (!c->handling && c->request == NULL && c->in.len == 0)
            c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.idle;
        http1_run(c);
    } else if (c->mode == HTTP_2) {
        http2_drain(c);
    } else if (c->mode == HTTP_WS) {
        ws_drain(c);
    }
}

static void on_end(void *arg) {
    struct http_conn *c = arg;
    struct http_server *s = c->server;

    c->mode = HTTP_ENDING;
    if (c->prev)
        c->prev->next = c->next;
    else
        s->conns = c->next;
    if (c->next) c->next->prev = c->prev;
    http1_end(c);
    if (c->h2) http2_end(c);
    if (c->ws) ws_end(c);
    buf_free(&c->in);
    http_conn_count(c); /* none of it is held any more */
    crowd_leave(&s->net->crowd, c->visitor);
    free(c);
    if (s->connections) metric_add(s->connections, -1);
    maybe_done(s);
}

static const struct stream_events events = {on_ready, on_data, on_eof, on_drain, on_end};

static void tell_address(int fd, char out[INET6_ADDRSTRLEN]) {
    struct sockaddr_storage a;
    socklen_t len = sizeof a;
    if (getpeername(fd, (struct sockaddr *)&a, &len) < 0) return;
    if (a.ss_family == AF_INET) {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&a)->sin_addr, out, INET6_ADDRSTRLEN);
    } else if (a.ss_family == AF_INET6) {
        const struct in6_addr *six = &((struct sockaddr_in6 *)&a)->sin6_addr;
        if (IN6_IS_ADDR_V4MAPPED(six))
            inet_ntop(AF_INET, six->s6_addr + 12, out, INET6_ADDRSTRLEN);
        else
            inet_ntop(AF_INET6, six, out, INET6_ADDRSTRLEN);
    }
}

static int may_enter(struct http_server *s, struct http_conn *c) {
    int most_of_address = s->o.connections_per_address;
    for (const char *const *p = s->o.proxies; p && *p; p++)
        if (strcmp(*p, c->remote) == 0) most_of_address = 0;
    return crowd_enter(&s->net->crowd, c->remote, s->o.connections, most_of_address, &c->visitor);
}

/* Costs as little as it can: no TLS, no state, and the answer is one attempt. */
static void turn_away(struct http_server *s, int fd, const char *remote, int status) {
    static const struct http_field fields[] = {
        {"Content-Type", "application/problem+json"}, {"Retry-After", "5"}, {NULL, NULL}};
    char unread[4096];

    if (s->tls == NULL) {
        char *body = http_problem(NULL, status,
                                  status == 429 ? "too many connections are open from this address; close some of them"
                                                : "too many connections are open here; try again in a moment");
        struct buf out = {0};
        http_reply_bytes(&out, status, fields, body, strlen(body), true);
        send(fd, out.data, out.len, MSG_NOSIGNAL | MSG_DONTWAIT);
        shutdown(fd, SHUT_WR);
        /* What is not read would reset the connection before the answer is. */
        if (recv(fd, unread, sizeof unread, MSG_DONTWAIT) < 0) errno = 0;
        buf_free(&out);
        free(body);
    }
    close(fd);
    s->turned_away_now++;
    snprintf(s->turned_away_last, sizeof s->turned_away_last, "%s", remote);
    if (s->turned_away[status == 429]) metric_add(s->turned_away[status == 429], 1);
}

static void adopt(struct http_server *s, int fd) {
    struct http_conn *c = mem_alloc(sizeof *c);
    int on = 1;

    tell_address(fd, c->remote);
    int status = may_enter(s, c);
    if (status) {
        turn_away(s, fd, c->remote, status);
        free(c);
        return;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    c->server = s;
    c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.handshake;
    c->stream = stream_open(s->net->loop, fd, s->tls, &events, c);
    if (c->stream == NULL) {
        if (s->accept_failed) metric_add(s->accept_failed, 1);
        crowd_leave(&s->net->crowd, c->visitor);
        free(c);
        return;
    }
    c->next = s->conns;
    if (c->next) c->next->prev = c;
    s->conns = c;
    if (s->connections) metric_add(s->connections, 1);
}

static void on_connections(uv_poll_t *poll, int status, int ready) {
    struct http_server *s = poll->data;
    (void)status;
    (void)ready;
    for (int i = 0; i < ACCEPTS_PER_EVENT; i++) {
        int fd = accept4(s->o.listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            adopt(s, fd);
            continue;
        }
        if (errno == EAGAIN || errno == EWOULDBLOCK) return;
        if (errno == EINTR || errno == ECONNABORTED) continue;
        if (s->accept_failed) metric_add(s->accept_failed, 1);
        /* Out of descriptors, most likely. The socket stays readable, so the next tick tries again, not the next turn. */
        log_warn("http.accept_failed", "cannot accept a connection: %s", strerror(errno));
        uv_poll_stop(&s->listener);
        s->accepting = false;
        return;
    }
}

static void start_accepting(struct http_server *s) {
    if (s->accepting || s->closing) return;
    s->accepting = uv_poll_start(&s->listener, UV_READABLE, on_connections) == 0;
}

/* Does the peer take what waits for it? A byte now and then is no progress. */
static bool is_slow(struct http_conn *c, uint64_t now_ms) {
    uint64_t stall_ms = (uint64_t)http_times.stall, sent = stream_sent(c->stream);
    if (stream_queued(c->stream) == 0) {
        c->slow_at_ms = 0;
        return false;
    }
    if (now_ms - stream_progress_ms(c->stream) >= stall_ms) return true;
    if (c->slow_at_ms && now_ms - c->slow_at_ms < stall_ms) return false;
    bool slow = c->slow_at_ms && (sent - c->slow_sent) * 1000 < http_least_rate * (now_ms - c->slow_at_ms);
    c->slow_at_ms = now_ms;
    c->slow_sent = sent;
    return slow;
}

/* Too much waits for all together: who takes none of it goes first. */
static bool is_in_the_way(struct http_conn *c, uint64_t now_ms) {
    return stream_unsent() > http_unsent_limit && stream_queued(c->stream) > 65536 &&
           now_ms - stream_progress_ms(c->stream) >= (uint64_t)http_times.crowded;
}

static void check_time(struct http_conn *c, uint64_t now_ms) {
    bool slow = is_slow(c, now_ms);
    if (slow || is_in_the_way(c, now_ms)) {
        http_conn_ended(c, slow ? ENDED_SLOW : ENDED_CROWDED);
        stream_abort(c->stream);
        return;
    }
    switch (c->mode) {
    case HTTP_WS:
        ws_tick(c, now_ms);
        break;
    case HTTP_2:
        http2_tick(c, now_ms);
        break;
    case HTTP_1:
        if (c->deadline_ms && now_ms >= c->deadline_ms && stream_queued(c->stream) == 0) http1_overdue(c);
        break;
    case HTTP_ENDING: /* lingering, but a large last reply takes the time it takes */
        if (now_ms >= c->deadline_ms && stream_queued(c->stream) == 0) stream_abort(c->stream);
        break;
    case HTTP_NEW:
        if (now_ms >= c->deadline_ms) stream_abort(c->stream);
        break;
    }
}

static void renew_certificate(struct http_server *s, uint64_t now_ms) {
    struct err e;
    if (s->tls == NULL || now_ms < s->look_at_ms) return;
    s->look_at_ms = now_ms + (uint64_t)http_times.certificate;
    int rc = tls_files_renew(&s->files, &s->tls, &e);
    if (rc > 0)
        log_info("http.certificate_renewed", "%s serves new connections from now on", s->files.cert);
    else if (rc < 0)
        log_warn("http.certificate_refused", "%s; the certificate before it serves on", e.text);
}

static void tell_turned_away(struct http_server *s) {
    if (s->turned_away_now == 0) return;
    log_warn("http.turned_away", "%d connections beyond the limits, the last from %s; %d are open", s->turned_away_now,
             s->turned_away_last, s->net->crowd.count);
    s->turned_away_now = 0;
}

static void on_tick(uv_timer_t *timer) {
    struct http_server *s = timer->data;
    uint64_t now_ms = clock_mono_ms();
    start_accepting(s);
    renew_certificate(s, now_ms);
    tell_turned_away(s);
    for (struct http_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        check_time(c, now_ms);
    }
}

static void on_turn(uv_prepare_t *prepare) {
    http_requests_turn(prepare->data);
}

static void give_metrics(struct http_server *s) {
    if (s->net->metrics == NULL) return;
    s->connections = metrics_gauge(s->net->metrics, "http_connections", "", "Open HTTP and WebSocket connections.");
    s->accept_failed = metrics_counter(s->net->metrics, "http_adopt_failed_total", "",
                                       "Connections that could not be accepted or were gone at once.");
    static const char turned_away[] = "http_turned_away_total", away_help[] = "Connections beyond a limit.";
    s->turned_away[0] = metrics_counter(s->net->metrics, turned_away, "limit=\"all\"", away_help);
    s->turned_away[1] = metrics_counter(s->net->metrics, turned_away, "limit=\"address\"", away_help);
    static const char *const why[ENDED_COUNT] = {"why=\"slow\"", "why=\"crowded\"", "why=\"http2_flood\"",
                                                 "why=\"websocket_flood\""};
    for (int i = 0; i < ENDED_COUNT; i++)
        s->ended[i] = metrics_counter(s->net->metrics, "http_ended_total", why[i],
                                      "Connections ended because of what the peer did.");
}

static void keep_options(struct http_server *s, const struct http_server_opts *o) {
    s->o = *o;
    s->o.cert_file = s->o.key_file = NULL;
    if (s->o.body_limit == 0) s->o.body_limit = 1024 * 1024;
    if (s->o.ws_message_limit == 0) s->o.ws_message_limit = 64 * 1024;
    if (s->o.ws_queue_limit == 0) s->o.ws_queue_limit = 1024 * 1024;
    if (s->o.ws_frames_a_second == 0) s->o.ws_frames_a_second = 20;
}

int http_server_open(struct http_server **out, struct net *net, const struct http_server_opts *o, struct err *e) {
    struct http_server *s = mem_alloc(sizeof *s);
    int flags = fcntl(o->listen_fd, F_GETFL), rc;

    keep_options(s, o);
    s->net = net;
    if (flags < 0 || fcntl(o->listen_fd, F_SETFL, flags | O_NONBLOCK) < 0) {
        rc = err_set(e, ERR_INVALID, "the listening socket is no socket: %s", strerror(errno));
        goto free_server;
    }
    if (o->cert_file) {
        tls_files_init(&s->files, o->cert_file, o->key_file);
        rc = tls_server_new(&s->tls, o->cert_file, o->key_file, e);
        if (rc < 0) goto free_server;
    }
    rc = uv_poll_init(net->loop, &s->listener, o->listen_fd);
    if (rc < 0) {
        rc = err_set(e, ERR_IO, "cannot poll the listening socket: %s", uv_strerror(rc));
        goto free_tls;
    }
    uv_timer_init(net->loop, &s->tick);
    uv_timer_init(net->loop, &s->grace);
    uv_prepare_init(net->loop, &s->turn);
    uv_idle_init(net->loop, &s->again);
    s->open_handles = 5;
    s->listener.data = s->tick.data = s->grace.data = s->turn.data = s->again.data = s;
    uv_prepare_start(&s->turn, on_turn);
    give_metrics(s);
    uv_timer_start(&s->tick, on_tick, (uint64_t)http_times.tick, (uint64_t)http_times.tick);
    start_accepting(s);
    s->next = net->servers;
    net->servers = s;
    *out = s;
    return 0;
free_tls:
    SSL_CTX_free(s->tls);
free_server:
    tls_files_deinit(&s->files);
    free(s);
    return rc;
}

static void on_handle_closed(uv_handle_t *handle) {
    struct http_server *s = handle->data;
    if (--s->open_handles > 0) return;
    void (*closed)(void *arg) = s->closed;
    void *arg = s->closed_arg;
    struct net *net = s->net;
    struct http_server **at = &net->servers;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    SSL_CTX_free(s->tls);
    tls_files_deinit(&s->files);
    map_free(&s->waiting);
    free(s);
    if (closed) closed(arg);
    net_server_closed(net);
}

static void maybe_done(struct http_server *s) {
    if (!s->closing || s->conns || s->drained) return;
    s->drained = true;
    uv_close((uv_handle_t *)&s->tick, on_handle_closed);
    uv_close((uv_handle_t *)&s->grace, on_handle_closed);
    uv_close((uv_handle_t *)&s->turn, on_handle_closed);
    uv_close((uv_handle_t *)&s->again, on_handle_closed);
}

static void abort_all(struct http_server *s) {
    for (struct http_conn *c = s->conns; c; c = c->next) stream_abort(c->stream);
}

static void on_grace_over(uv_timer_t *timer) {
    abort_all(timer->data);
}

void http_server_abort(struct http_server *s) {
    if (!s->closing) http_server_close(s, 0, NULL, NULL);
    abort_all(s);
}

void http_server_close(struct http_server *s, int grace_ms, void (*closed)(void *arg), void *arg) {
    if (s->closing) return;
    s->closing = true;
    s->closed = closed;
    s->closed_arg = arg;
    uv_close((uv_handle_t *)&s->listener, on_handle_closed);
    for (struct http_conn *c = s->conns, *next; c; c = next) {
        next = c->next;
        if (c->mode == HTTP_NEW)
            stream_abort(c->stream);
        else if (c->mode == HTTP_1)
            http1_run(c); /* an idle one ends, the others after their reply */
        else if (c->mode == HTTP_2)
            http2_shutdown(c);
        else if (c->mode == HTTP_WS)
            ws_close(c->ws, 1001, "the server is closing");
    }
    uv_timer_start(&s->grace, on_grace_over, grace_ms > 0 ? (uint64_t)grace_ms : 0, 0);
    maybe_done(s);
}

struct http_server *http_server_next(struct http_server *s) {
    return s->next;
}
