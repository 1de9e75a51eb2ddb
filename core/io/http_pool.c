/* SPDX-License-Identifier: Apache-2.0 */
/* Origins: which connections there are, who waits for one, how many are kept warm. */
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_stream_inside.h"
#include "metrics/metrics.h"
#include <stdlib.h>
#include <string.h>

enum { TICK_MS = 1000, TOLD_AT_ONCE = 1000, BACK_OFF_MOST = 5, STUCK_MS = 1000, STUCK_MOST = 4 };
static const struct http_pool_limits standard = {.connections = 512, .waiting = 1000, .streams = 250, .idle_ms = 90000};

/* -- notices ---------------------------------------------------------------------------------------------------------- */

static void on_kick(uv_timer_t *timer) {
    struct http_pool *p = timer->data;
    p->inside = true;
    http_lookup_known(p);
    http_pool_tell(p);
}

void http_pool_kick(struct http_pool *p) {
    uv_timer_start(&p->kick, on_kick, 0, 0);
}

void http_pool_changed(struct http_stream *s) {
    struct http_pool *p = s->pool;
    if (s->is_changed || s->on_change == NULL) return;
    s->is_changed = true;
    s->next_changed = NULL;
    *p->last_changed = s;
    p->last_changed = &s->next_changed;
    if (!p->inside && !p->telling) http_pool_kick(p);
}

void http_pool_forget_change(struct http_stream *s) {
    struct http_pool *p = s->pool;
    struct http_stream **at = &p->changed;
    if (!s->is_changed) return;
    while (*at != s) at = &(*at)->next_changed;
    *at = s->next_changed;
    if (*at == NULL) p->last_changed = at;
    s->is_changed = false;
}

void http_pool_tell(struct http_pool *p) {
    p->inside = false;
    if (p->telling) return;
    p->telling = true;
    for (int i = 0; i < TOLD_AT_ONCE && p->changed; i++) {
        struct http_stream *s = p->changed;
        http_pool_forget_change(s);
        s->on_change(s->arg); /* s may be gone */
    }
    p->telling = false;
    if (p->changed) http_pool_kick(p); /* who never has enough lets others have their turn */
}

/* -- origins ---------------------------------------------------------------------------------------------------------- */

struct http_origin *http_origin_of(struct http_pool *p, const struct ws_url *url, const char *ca_file) {
    bool six = strchr(url->host, ':') != NULL;
    char *host = mem_printf("%s%s%s", six ? "[" : "", url->host, six ? "]" : "");
    char *name = mem_printf("%s://%s:%d", url->tls ? "https" : "http", host, url->port);
    char *key = mem_printf("%s %s", name, ca_file ? ca_file : "");
    struct http_origin *o = map_get(&p->origins, key);
    if (o) {
        free(key);
        free(name);
        free(host);
        return o;
    }
    o = mem_alloc(sizeof *o);
    o->pool = p;
    o->key = key;
    o->name = name;
    o->url.tls = url->tls;
    o->url.host = mem_strdup(url->host);
    /* Not as this URL has it: those that come after write it in other ways. */
    o->url.authority = url->port == (url->tls ? 443 : 80) ? mem_strdup(host) : mem_printf("%s:%d", host, url->port);
    o->url.port = url->port;
    o->ca_file = mem_strdup(ca_file);
    o->last_waiting = &o->waiting;
    if (!url->tls) o->speaks = SPEAKS_HTTP1;
    o->next = p->first;
    if (o->next) o->next->at = &o->next;
    o->at = &p->first;
    p->first = o;
    map_put(&p->origins, o->key, o);
    free(host);
    return o;
}

static void origin_free(struct http_origin *o) {
    map_drop(&o->pool->origins, o->key, o);
    *o->at = o->next;
    if (o->next) o->next->at = o->at;
    http_addresses_unref(o->addresses);
    ws_url_free(&o->url);
    free(o->ca_file);
    free(o->key);
    free(o->name);
    free(o);
}

void http_origin_wait(struct http_origin *o, struct http_stream *s, bool first) {
    s->peer_at = first ? &o->waiting : o->last_waiting;
    s->peer = *s->peer_at;
    *s->peer_at = s;
    if (s->peer)
        s->peer->peer_at = &s->peer;
    else
        o->last_waiting = &s->peer;
    s->origin = o;
    o->waiting_count++;
}

void http_origin_leave(struct http_stream *s) {
    struct http_origin *o = s->origin;
    *s->peer_at = s->peer;
    if (s->peer)
        s->peer->peer_at = s->peer_at;
    else
        o->last_waiting = s->peer_at;
    s->peer = NULL;
    s->peer_at = NULL;
    o->waiting_count--;
}

static struct http_link *link_with_room(const struct http_origin *o) {
    for (struct http_link *l = o->links; l; l = l->next)
        if (http_link_has_room(l)) return l;
    return NULL;
}

/* How many connections should be on their way for those who wait. */
static int connecting_wanted(const struct http_origin *o) {
    switch (o->speaks) {
    case SPEAKS_HTTP1:
        return o->waiting_count;
    case SPEAKS_HTTP2:
        return (o->waiting_count + o->pool->limits.streams - 1) / o->pool->limits.streams;
    default:
        return o->waiting_count > 0; /* one will say whether it can carry them all */
    }
}

/* Connections on their way that nobody should wait for alone: another may come through at once. */
static int connecting_stuck(const struct http_origin *o) {
    uint64_t now_ms = clock_mono_ms();
    int stuck = 0;
    for (const struct http_link *l = o->links; l && stuck < STUCK_MOST; l = l->next)
        stuck += l->state == LINK_CONNECTING && now_ms - l->begun_ms > STUCK_MS;
    return stuck;
}

void http_origin_run(struct http_origin *o) {
    struct http_link *l;
    while (o->waiting && (l = link_with_room(o))) {
        struct http_stream *s = o->waiting;
        http_origin_leave(s);
        o->requests++;
        http_link_send(l, s);
    }
    int wanted = connecting_wanted(o);
    if (o->connecting && wanted) wanted += connecting_stuck(o);
    while (!o->pool->closing && o->connecting < wanted && o->link_count < o->pool->limits.connections)
        http_link_open(o);
}

void http_origin_connected(struct http_origin *o, struct http_link *l) {
    o->speaks = l->session ? SPEAKS_HTTP2 : SPEAKS_HTTP1;
    o->fails = 0;
    o->opened++;
    if (o->pool->connections) metric_add(o->pool->connections, 1);
    http_origin_run(o);
}

/* Nobody who waits is failed while another connection may still serve him. */
void http_origin_refused(struct http_origin *o, const char *why, bool timeout) {
    o->failed++;
    o->warm_at_ms = clock_mono_ms() + (1000u << (o->fails < BACK_OFF_MOST ? o->fails : BACK_OFF_MOST));
    o->fails++;
    if (o->connecting) return;
    for (struct http_link *l = o->links; l; l = l->next)
        if (l->state == LINK_OPEN && !l->last) return;
    while (o->waiting)
        http_stream_end(o->waiting, timeout ? ERR_TIMEOUT : ERR_IO, "cannot connect to %s: %s", o->name, why);
}

static void keep_warm(struct http_origin *o, uint64_t now_ms) {
    if (now_ms < o->warm_at_ms) return;
    int wanted = o->warm < o->pool->limits.connections ? o->warm : o->pool->limits.connections;
    while (o->link_count < wanted) http_link_open(o);
}

static void on_tick(uv_timer_t *timer) {
    struct http_pool *p = timer->data;
    uint64_t now_ms = clock_mono_ms();
    p->inside = true;
    for (struct http_origin *o = p->first, *next; o; o = next) {
        next = o->next;
        for (struct http_link *l = o->links, *after; l; l = after) {
            after = l->next;
            http_link_tick(l, now_ms);
        }
        keep_warm(o, now_ms);
        if (o->waiting && now_ms >= o->warm_at_ms) http_origin_run(o); /* what could not connect is tried again */
        if (o->links == NULL && o->waiting == NULL && o->warm == 0 && o->lookup == NULL && !http_lookup_is_kept(o))
            origin_free(o);
    }
    http_pool_tell(p);
}

/* -- the pool --------------------------------------------------------------------------------------------------------- */

void http_pool_gone(struct http_pool *p) {
    if (--p->open > 0) return;
    while (p->first) origin_free(p->first);
    map_free(&p->origins);
    http_trust_free(p->trusts);
    void (*closed)(void *arg) = p->closed;
    void *arg = p->closed_arg;
    free(p);
    if (closed) closed(arg);
}

static void on_handle_closed(uv_handle_t *handle) {
    http_pool_gone(handle->data);
}

static int or_standard(int given, int otherwise) {
    return given > 0 ? given : otherwise;
}

int http_pool_open(struct http_pool **out, uv_loop_t *loop, const struct http_pool_limits *limits, struct metrics *m,
                   struct err *e) {
    struct http_pool *p = mem_alloc(sizeof *p);
    (void)e;
    p->loop = loop;
    p->limits = limits ? *limits : standard;
    p->limits.connections = or_standard(p->limits.connections, standard.connections);
    p->limits.waiting = or_standard(p->limits.waiting, standard.waiting);
    p->limits.streams = or_standard(p->limits.streams, standard.streams);
    p->limits.idle_ms = or_standard(p->limits.idle_ms, standard.idle_ms);
    p->last_changed = &p->changed;
    uv_timer_init(loop, &p->tick);
    uv_timer_init(loop, &p->kick);
    p->tick.data = p->kick.data = p;
    http_lookup_open(p);
    p->open = 3;
    uv_timer_start(&p->tick, on_tick, TICK_MS, TICK_MS);
    uv_unref((uv_handle_t *)&p->tick); /* connections at rest keep no program running */
    if (m) {
        p->connections = metrics_gauge(m, "http_stream_connections", "", "Open connections for streamed answers.");
        p->running = metrics_gauge(m, "http_streams", "", "Requests whose streamed answer is on its way.");
        p->resets = metrics_counter(m, "http_stream_resets_total", "", "Requests left before the end of their answer.");
    }
    *out = p;
    return 0;
}

void http_pool_close(struct http_pool *p, void (*closed)(void *arg), void *arg) {
    if (p->closing) return;
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    for (struct http_stream *s = p->streams; s; s = s->next) http_stream_cancel(s);
    while (!p->telling && p->changed) http_pool_tell(p); /* the timer for it closes now */
    for (struct http_origin *o = p->first; o; o = o->next) {
        o->warm = 0;
        for (struct http_link *l = o->links, *next; l; l = next) {
            next = l->next;
            http_link_abort(l, "the client is closing");
        }
    }
    http_lookup_close(p);
    uv_close((uv_handle_t *)&p->tick, on_handle_closed);
    uv_close((uv_handle_t *)&p->kick, on_handle_closed);
    uv_close((uv_handle_t *)&p->lookup_done, on_handle_closed);
}

int http_pool_warm(struct http_pool *p, const char *url, const char *ca_file, int connections, struct err *e) {
    struct ws_url parts;
    int rc = http_url_parse(&parts, url, e);
    if (rc == 0 && (connections < 0 || connections > HTTP_WARM_MAX))
        rc = err_set(e, ERR_INVALID, "between 0 and %d connections can be kept warm", HTTP_WARM_MAX);
    if (rc == 0 && !p->closing) {
        struct http_origin *o = http_origin_of(p, &parts, ca_file);
        o->warm = connections;
        keep_warm(o, clock_mono_ms());
    }
    ws_url_free(&parts);
    return rc;
}

void http_pool_each(struct http_pool *p, void (*each)(void *arg, const struct http_pool_figures *f), void *arg) {
    static const char *const speaks[] = {"", "http/1.1", "h2"};
    for (struct http_origin *o = p->first; o; o = o->next) {
        struct http_pool_figures f = {.origin = o->name,
                                      .speaks = speaks[o->speaks],
                                      .connections = o->link_count - o->connecting,
                                      .connecting = o->connecting,
                                      .warm = o->warm,
                                      .running = o->running,
                                      .waiting = o->waiting_count,
                                      .opened = o->opened,
                                      .failed = o->failed,
                                      .requests = o->requests,
                                      .resets = o->resets};
        each(arg, &f);
    }
}
