/* SPDX-License-Identifier: Apache-2.0 */
/* curl's multi interface on the loop: a uv_poll for each of its sockets, a timer for its time limits.
 *
 * on_done and on_chunk may call everything in http_client.h. Because curl must not be called from inside its callbacks,
 * starting, cancelling and closing only note what is to be done; the kick timer does it on the loop's next turn. It also
 * keeps the requests' time limits. */
#include "io/http_client.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_client_inside.h"
#include "metrics/metrics.h"
#include <pthread.h>
#include <stdlib.h>

enum { CONNECTIONS_PER_HOST = 64, CONNECTIONS_KEPT = 256 };

struct watch {
    uv_poll_t poll; /* frees itself on close */
    struct http_client *client;
    curl_socket_t fd;
};

static void on_kick(uv_timer_t *timer);

void http_client_kick(struct http_client *c) {
    if (!c->cleaned) uv_timer_start(&c->kick, on_kick, 0, 0);
}

static void maybe_closed(struct http_client *c) {
    if (--c->open_handles > 0) return;
    void (*closed)(void *arg) = c->closed;
    void *arg = c->closed_arg;
    free(c);
    if (closed) closed(arg);
}

static void on_timer_closed(uv_handle_t *handle) {
    maybe_closed(handle->data);
}

static void on_watch_closed(uv_handle_t *handle) {
    struct watch *w = handle->data;
    struct http_client *c = w->client;
    free(w);
    maybe_closed(c);
}

static void end_finished(struct http_client *c) {
    CURLMsg *m;
    int left;
    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct http_fetch *f = NULL;
        CURLcode result = m->data.result; /* m is gone with its handle */
        if (m->msg != CURLMSG_DONE) continue;
        curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &f);
        curl_multi_remove_handle(c->multi, f->easy);
        http_fetch_end(f, result);
    }
}

static void on_socket(uv_poll_t *poll, int status, int events) {
    struct watch *w = poll->data;
    struct http_client *c = w->client;
    int running, mask = status < 0 ? CURL_CSELECT_ERR : 0;
    if (events & UV_READABLE) mask |= CURL_CSELECT_IN;
    if (events & UV_WRITABLE) mask |= CURL_CSELECT_OUT;
    curl_multi_socket_action(c->multi, w->fd, mask, &running);
    end_finished(c);
}

static void on_timeout(uv_timer_t *timer) {
    struct http_client *c = timer->data;
    int running;
    curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    end_finished(c);
}

static int watch_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *assigned) {
    struct http_client *c = arg;
    struct watch *w = assigned;
    (void)easy;

    if (what == CURL_POLL_REMOVE) {
        if (w) uv_close((uv_handle_t *)&w->poll, on_watch_closed);
        curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (w == NULL) {
        w = mem_alloc(sizeof *w);
        if (uv_poll_init_socket(c->loop, &w->poll, fd) < 0) {
            free(w);
            return -1;
        }
        w->poll.data = w;
        w->client = c;
        w->fd = fd;
        c->open_handles++;
        curl_multi_assign(c->multi, fd, w);
    }
    int events = (what & CURL_POLL_IN ? UV_READABLE : 0) | (what & CURL_POLL_OUT ? UV_WRITABLE : 0);
    return uv_poll_start(&w->poll, events, on_socket) < 0 ? -1 : 0;
}

static int set_timeout(CURLM *multi, long ms, void *arg) {
    struct http_client *c = arg;
    (void)multi;
    if (c->cleaned) return 0;
    if (ms < 0)
        uv_timer_stop(&c->timeout);
    else
        uv_timer_start(&c->timeout, on_timeout, (uint64_t)ms, 0);
    return 0;
}

static void clean(struct http_client *c) {
    c->cleaned = true;
    curl_multi_cleanup(c->multi);
    uv_close((uv_handle_t *)&c->timeout, on_timer_closed);
    uv_close((uv_handle_t *)&c->kick, on_timer_closed);
}

static void start(struct http_client *c, struct http_fetch *f) {
    CURLMcode rc = curl_multi_add_handle(c->multi, f->easy);
    if (c->requests) metric_add(c->requests, 1);
    f->running = rc == CURLM_OK;
    if (rc != CURLM_OK) err_set(&f->why, ERR_IO, "cannot start the request: %s", curl_multi_strerror(rc));
}

static void stop(struct http_client *c, struct http_fetch *f) {
    /* curl 7.88 leaves the RST_STREAM in its buffer until the connection is used again, and until then an AI writes on
     * and is paid for it. A connection of this request alone is closed instead; on a shared one the next byte does. */
    curl_easy_setopt(f->easy, CURLOPT_FORBID_REUSE, 1L);
    if (f->running) curl_multi_remove_handle(c->multi, f->easy);
    http_fetch_end(f, CURLE_OK);
}

/* The first that has to end now, or NULL. */
static struct http_fetch *find_ending(struct http_client *c, uint64_t now_ms) {
    for (struct http_fetch *f = c->fetches; f; f = f->next) {
        if (f->why.code == 0 && !f->cancelled && now_ms >= f->deadline_ms)
            err_set(&f->why, ERR_TIMEOUT, "no whole response in %d ms", f->o.timeout_ms);
        if (f->why.code || f->cancelled || c->closing) return f;
    }
    return NULL;
}

static void on_kick(uv_timer_t *timer) {
    struct http_client *c = timer->data;
    struct http_fetch *f;

    while ((f = find_ending(c, clock_mono_ms()))) { /* anew each time: on_done may have changed the list */
        f->cancelled |= f->why.code == 0;
        stop(c, f);
    }
    uint64_t first = UINT64_MAX;
    for (f = c->fetches; f; f = f->next) {
        if (!f->running) start(c, f);
        if (f->why.code) first = 0;
        if (f->deadline_ms < first) first = f->deadline_ms;
    }
    uint64_t now_ms = clock_mono_ms();
    if (c->fetches)
        uv_timer_start(&c->kick, on_kick, first > now_ms ? first - now_ms : 0, 0);
    else if (c->closing && !c->cleaned)
        clean(c);
}

static void init_curl(void) {
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

int http_client_open(struct http_client **out, uv_loop_t *loop, struct metrics *m, struct err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct http_client *c = mem_alloc(sizeof *c);

    pthread_once(&once, init_curl);
    c->loop = loop;
    c->multi = curl_multi_init();
    if (c->multi == NULL) {
        free(c);
        return err_set(e, ERR_IO, "cannot start libcurl");
    }
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, watch_socket);
    curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, set_timeout);
    curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    curl_multi_setopt(c->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_MULTIPLEX);
    curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)CONNECTIONS_PER_HOST);
    curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)CONNECTIONS_KEPT);
    uv_timer_init(loop, &c->timeout);
    uv_timer_init(loop, &c->kick);
    c->timeout.data = c->kick.data = c;
    c->open_handles = 2;
    if (m) {
        c->requests = metrics_counter(m, "http_client_requests_total", "", "Requests sent to other servers.");
        c->failures =
            metrics_counter(m, "http_client_failed_total", "", "Requests to other servers that got no response.");
    }
    *out = c;
    return 0;
}

void http_client_close(struct http_client *c, void (*closed)(void *arg), void *arg) {
    if (c->closing) return;
    c->closing = true;
    c->closed = closed;
    c->closed_arg = arg;
    http_client_kick(c);
}

struct http_fetch *http_fetch(struct http_client *c, const struct http_fetch_opts *o) {
    struct http_fetch *f = mem_alloc(sizeof *f);

    f->client = c;
    f->easy = curl_easy_init();
    if (f->easy == NULL) abort();
    http_fetch_prepare(f, o);
    f->deadline_ms = clock_mono_ms() + (uint64_t)f->o.timeout_ms;
    for (f->at = &c->fetches; *f->at; f->at = &(*f->at)->next) continue; /* first come, first started */
    *f->at = f;
    http_client_kick(c);
    return f;
}

void http_fetch_cancel(struct http_fetch *f) {
    f->cancelled = true;
    http_client_kick(f->client);
}
