/* SPDX-License-Identifier: Apache-2.0 */
/* One connection to an origin: each address in turn, TLS, requests, the end. */
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_stream_inside.h"
#include "metrics/metrics.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* An address that does not answer is given up sooner while there is another. */
enum { ADDRESS_MS = 2000, LAST_ADDRESS_MS = 10000, SILENT_MS = 1000, AGAIN_MS = 500 };

static void try_address(struct http_link *l);

static void next_address(struct http_link *l) {
    if (l->addresses->good == l->address) l->addresses->good = NULL;
    l->address = l->address->ai_next ? l->address->ai_next : l->addresses->first;
    l->untried--;
}

static void link_free(struct http_link *l) {
    struct http_origin *o = l->origin;
    struct http_pool *p = o->pool;
    *l->at = l->next;
    if (l->next) l->next->at = l->at;
    o->link_count--;
    http_addresses_unref(l->addresses);
    if (l->session) nghttp2_session_del(l->session);
    buf_free(&l->head);
    free(l);
    http_pool_gone(p);
}

/* No address of the origin could be reached. */
static void refused(struct http_link *l, bool timeout) {
    struct http_origin *o = l->origin;
    char why[sizeof l->why];
    memcpy(why, l->why, sizeof why);
    o->connecting--;
    link_free(l);
    http_lookup_forget(o); /* it may be elsewhere by now */
    http_origin_refused(o, why, timeout);
}

/* -- the socket's events ---------------------------------------------------------------------------------------------- */

static void on_ready(void *arg) {
    struct http_link *l = arg;
    struct http_origin *o = l->origin;
    o->pool->inside = true;
    l->state = LINK_OPEN;
    l->addresses->good = l->address;
    http_addresses_unref(l->addresses);
    l->addresses = NULL;
    l->idle_at_ms = l->heard_ms = clock_mono_ms();
    o->connecting--;
    if (stream_is_h2(l->socket)) http_link2_open(l);
    http_origin_connected(o, l);
    http_pool_tell(o->pool);
}

static void on_data(void *arg, const char *data, size_t len) {
    struct http_link *l = arg;
    struct http_pool *p = l->origin->pool;
    if (l->state != LINK_OPEN) return;
    p->inside = true;
    l->heard_ms = clock_mono_ms();
    if (l->session)
        http_link2_data(l, data, len);
    else
        http_link1_data(l, data, len);
    http_origin_run(l->origin); /* a request may have ended: its place is free */
    http_pool_tell(p);
}

static void on_eof(void *arg) {
    struct http_link *l = arg;
    struct http_pool *p = l->origin->pool;
    p->inside = true;
    if (l->state == LINK_OPEN && l->session == NULL) http_link1_eof(l);
    http_link_abort(l, "the server closed the connection");
    http_pool_tell(p);
}

static void on_drain(void *arg) {
    struct http_link *l = arg;
    if (l->state == LINK_OPEN && l->session) http_link2_pump(l);
}

/* A connection that had been at rest may have been given up by the server just before: what went to it unheard is asked
 * once more, on another. The news of that is on its way already: what ends later may have been read, and is not done twice. */
static bool may_ask_again(const struct http_link *l, const struct http_stream *s) {
    return s->tries == 0 && l->served > 1 && s->status == 0 && s->head.len == 0 && l->heard_ms <= s->sent_ms &&
           clock_mono_ms() - s->sent_ms < AGAIN_MS && !l->origin->pool->closing;
}

static void on_end(void *arg) {
    struct http_link *l = arg;
    struct http_origin *o = l->origin;
    struct http_pool *p = o->pool;
    const char *why = stream_why(l->socket);

    p->inside = true;
    p->open++; /* the link may be the last thing that it lives for */
    if (why[0]) snprintf(l->why, sizeof l->why, "%s", why);
    if (l->state == LINK_CONNECTING) {
        next_address(l);
        l->socket = NULL;
        if (l->untried && !p->closing)
            try_address(l);
        else
            refused(l, l->deadline_ms == 0);
        http_pool_tell(p);
        http_pool_gone(p);
        return;
    }
    struct http_stream *s;
    while ((s = l->request ? l->request : l->streams)) {
        bool again = may_ask_again(l, s);
        http_link_detach(s);
        if (again) {
            s->tries++;
            s->sent_ms = s->body_at = 0;
            s->stage = "connect";
            http_origin_wait(o, s, true);
        } else {
            http_stream_end(s, ERR_IO, "the connection ended before the answer did: %s",
                            l->why[0] ? l->why : "it was closed");
        }
    }
    if (p->connections) metric_add(p->connections, -1);
    link_free(l);
    if (!p->closing) http_origin_run(o);
    http_pool_tell(p);
    http_pool_gone(p);
}

static const struct stream_events events = {on_ready, on_data, on_eof, on_drain, on_end};

/* -- getting there ---------------------------------------------------------------------------------------------------- */

static void try_address(struct http_link *l) {
    struct http_origin *o = l->origin;
    struct err e;

    l->state = LINK_CONNECTING;
    for (; l->untried; next_address(l)) {
        SSL *ssl = NULL;
        if (o->url.tls && (ssl = http_trust_new_ssl(o->pool, o, &e)) == NULL) {
            snprintf(l->why, sizeof l->why, "%s", e.text);
            break;
        }
        l->deadline_ms = clock_mono_ms() + (l->untried > 1 ? ADDRESS_MS : LAST_ADDRESS_MS);
        l->socket = stream_connect(o->pool->loop, l->address->ai_addr, ssl, &events, l);
        if (l->socket) return;
        snprintf(l->why, sizeof l->why, "there is no socket for it");
    }
    refused(l, false);
}

void http_link_found(struct http_link *l, struct http_addresses *a) {
    l->addresses = http_addresses_ref(a);
    l->address = http_addresses_start(a);
    l->untried = a->count;
    l->begun_ms = clock_mono_ms();
    try_address(l);
}

void http_link_open(struct http_origin *o) {
    struct http_link *l = mem_alloc(sizeof *l);
    l->origin = o;
    l->next = o->links;
    if (l->next) l->next->at = &l->next;
    l->at = &o->links;
    o->links = l;
    o->link_count++;
    o->connecting++;
    o->pool->open++;
    http_lookup_want(o);
}

/* -- requests --------------------------------------------------------------------------------------------------------- */

bool http_link_has_room(const struct http_link *l) {
    if (l->state != LINK_OPEN || l->last) return false;
    if (l->session == NULL) return l->request == NULL;
    uint32_t most = nghttp2_session_get_remote_settings(l->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
    uint32_t own = (uint32_t)l->origin->pool->limits.streams;
    if (most == UINT32_MAX) most = 100; /* it has not said yet */
    return (uint32_t)l->running < (most < own ? most : own);
}

void http_link_attach(struct http_link *l, struct http_stream *s) {
    struct http_pool *p = l->origin->pool;
    s->link = l;
    l->running++;
    l->served++;
    l->origin->running++;
    if (p->running) metric_add(p->running, 1);
    if (l->session == NULL) {
        l->request = s;
        return;
    }
    s->peer = l->streams;
    if (s->peer) s->peer->peer_at = &s->peer;
    s->peer_at = &l->streams;
    l->streams = s;
}

void http_link_detach(struct http_stream *s) {
    struct http_link *l = s->link;
    struct http_pool *p = l->origin->pool;
    s->link = NULL;
    l->running--;
    l->origin->running--;
    l->idle_at_ms = clock_mono_ms();
    if (p->running) metric_add(p->running, -1);
    if (l->request == s) l->request = NULL;
    if (s->peer_at) {
        *s->peer_at = s->peer;
        if (s->peer) s->peer->peer_at = s->peer_at;
        s->peer = NULL;
        s->peer_at = NULL;
    }
}

void http_link_send(struct http_link *l, struct http_stream *s) {
    http_link_attach(l, s);
    http_stream_sent(s);
    if (l->session)
        http_link2_send(l, s);
    else
        http_link1_send(l, s);
}

void http_link_reset(struct http_link *l, struct http_stream *s) {
    struct http_pool *p = l->origin->pool;
    l->origin->resets++;
    if (p->resets) metric_add(p->resets, 1);
    if (l->session) {
        /* Whoever loses patience, we or the owner: a connection that has said nothing since is not trusted with more. */
        if (!s->head_done && l->heard_ms < s->sent_ms && clock_mono_ms() - s->sent_ms >= SILENT_MS) l->last = true;
        http_link2_reset(l, s);
        if (l->last && l->running == 0) http_link_close(l);
        return;
    }
    http_link_detach(s);
    http_link_abort(l, "the request was left");
}

void http_link_taken(struct http_link *l, struct http_stream *s, size_t len) {
    if (l->session)
        http_link2_taken(l, s, len);
    else if (http_stream_untaken(s) < HTTP_UNTAKEN / 2)
        stream_pause(l->socket, false);
}

void http_link_abort(struct http_link *l, const char *why) {
    if (l->why[0] == '\0') snprintf(l->why, sizeof l->why, "%s", why);
    if (l->state == LINK_LOOKUP) {
        l->origin->connecting--;
        link_free(l);
        return;
    }
    if (l->state == LINK_OPEN) l->state = LINK_OVER;
    stream_abort(l->socket);
}

void http_link_close(struct http_link *l) {
    if (l->state != LINK_OPEN) return;
    if (l->session) {
        nghttp2_session_terminate_session(l->session, NGHTTP2_NO_ERROR);
        http_link2_pump(l);
    }
    http_link_abort(l, "it is not needed any more");
}

void http_link_tick(struct http_link *l, uint64_t now_ms) {
    if (l->state == LINK_CONNECTING && l->deadline_ms && now_ms >= l->deadline_ms) {
        l->deadline_ms = 0;
        http_link_abort(l, "it does not answer");
    } else if (l->state == LINK_OPEN && l->running == 0) {
        bool spare = l->origin->link_count > l->origin->warm &&
                     now_ms - l->idle_at_ms >= (uint64_t)l->origin->pool->limits.idle_ms;
        if (spare || l->last) http_link_close(l);
    }
}
