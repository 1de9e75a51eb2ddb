/* SPDX-License-Identifier: Apache-2.0 */
/* Our own server and a pool of clients to it, in HTTP/1.1 and in HTTP/2 over TLS, for tests of streamed answers. */
#pragma once
#include "http_world.h"
#include "io/http_conn.h"
#include "io/http_stream.h"

/* Ten times the aim of 50 ms for the news of a cancel; sanitizers and a busy machine need their own time. */
#ifdef PARLEY_SANITIZED
enum { MANY = 500, NEWS_MS = 10000 };
#else
enum { MANY = 500, NEWS_MS = 500 };
#endif

static struct {
    int requests, gone, room;
    uint64_t gone_at_ms[MANY];
    struct http_request *open[MANY];
    int opened;
} server;

static inline void on_gone(void *arg) {
    (void)arg;
    server.gone_at_ms[server.gone++ % MANY] = clock_mono_ms();
}

static inline void on_room(void *arg) {
    (void)arg;
    server.room++;
}

static const struct http_field sse[] = {{"Content-Type", "text/event-stream"}, {NULL, NULL}};

static inline void on_request(void *arg, struct http_request *r) {
    const char *path = http_path(r);
    size_t len;
    const char *body = http_body(r, &len);
    (void)arg;
    server.requests++;
    if (strcmp(path, "/open") == 0) { /* begins, and the test goes on with it */
        http_on_gone(r, on_gone, NULL);
        http_reply_begin(r, 200, sse, on_room, NULL);
        http_reply_write(r, "data: first\n\n", 13);
        server.open[server.opened++] = r;
    } else if (strcmp(path, "/hold") == 0) {
        http_on_gone(r, on_gone, NULL);
        server.open[server.opened++] = r;
    } else if (strcmp(path, "/refuse") == 0) {
        http_reply(r, 429, NULL, "{\"error\":1}", 11);
    } else if (strcmp(path, "/echo") == 0) {
        http_reply(r, 200, NULL, body, len);
    } else {
        http_reply_begin(r, 200, sse, NULL, NULL);
        http_reply_write(r, ": hello\n\nevent: a\ndata: 1\n\n", 27);
        http_reply_write(r, "data: 2\ndata: 3\n\ndata: last", 27);
        if (strcmp(path, "/cut") == 0)
            http_reply_abort(r);
        else
            http_reply_end(r);
    }
}

struct place {
    struct world w;
    struct http_pool *p;
    char cert[64], key[64], url[64];
    bool tls, closed;
};

static inline void place_open(struct place *p, bool tls) {
    struct http_server_opts o = {.on_request = on_request, .body_limit = 2 << 20};
    struct err e;
    memset(p, 0, sizeof *p);
    memset(&server, 0, sizeof server);
    p->tls = tls;
    if (tls) {
        make_certificate(p->cert, p->key);
        o.cert_file = p->cert;
        o.key_file = p->key;
    }
    world_open(&p->w, &o);
    snprintf(p->url, sizeof p->url, "%s://localhost:%d", tls ? "https" : "http", p->w.port);
    if (http_pool_open(&p->p, &p->w.loop, NULL, NULL, &e) < 0) fail_msg("%s", e.text);
}

static inline void place_close(struct place *p) {
    http_pool_close(p->p, set_flag, &p->closed);
    assert_true(world_turn(&p->w, &p->closed, 3000));
    for (int i = 0; i < server.opened; i++) http_reply_abort(server.open[i]);
    world_close(&p->w);
    if (p->tls) remove_certificate(p->cert, p->key);
}

struct reader {
    struct http_stream *s;
    int events, code;
    bool over, lazy;
    size_t bytes;
    struct buf text, why; /* "name=data;" of each event */
};

static inline void read_on(struct reader *r) {
    const char *name, *data;
    size_t len;
    struct err e;
    int rc;
    while ((rc = http_stream_next(r->s, &name, &data, &len, &e)) == HTTP_NEXT_EVENT) {
        r->events++;
        r->bytes += len;
        if (r->text.len < 1000) buf_printf(&r->text, "%s=%.*s;", name ? name : "", (int)(len < 80 ? len : 80), data);
    }
    if (rc == HTTP_NEXT_NONE) return;
    r->over = true;
    if (rc == HTTP_NEXT_END) return;
    r->code = rc;
    buf_clear(&r->why);
    buf_add_str(&r->why, e.text);
}

static inline void on_change(void *arg) {
    struct reader *r = arg;
    if (!r->lazy) read_on(r);
}

static inline void ask(struct place *p, struct reader *r, struct http_stream_opts o, const char *path) {
    char url[512];
    bool lazy = r->lazy;
    memset(r, 0, sizeof *r);
    r->lazy = lazy;
    snprintf(url, sizeof url, "%s%s", path[0] == '/' ? p->url : "", path);
    o.url = url;
    if (p->tls) o.ca_file = p->cert;
    o.on_change = on_change;
    o.arg = r;
    r->s = http_stream_open(p->p, &o);
    assert_false(r->over); /* never from inside the call */
}

static inline void drop(struct reader *r) {
    http_stream_free(r->s);
    buf_free(&r->text);
    buf_free(&r->why);
    memset(r, 0, sizeof *r);
}

static inline void turns(struct place *p, int ms) {
    bool never = false;
    world_turn(&p->w, &never, ms);
}

#define UNTIL(p, condition)                                            \
    do {                                                               \
        for (int i_ = 0; i_ < 1600 && !(condition); i_++) turns(p, 5); \
        if (!(condition)) fail_msg("never: %s", #condition);           \
    } while (0)

static const struct http_stream_opts as_sse = {.framing = HTTP_SSE};

static inline void both(void (*test)(bool tls)) {
    test(false);
    test(true);
}

static inline void count_origin(void *arg, const struct http_pool_figures *f) {
    *(struct http_pool_figures *)arg = *f;
}
