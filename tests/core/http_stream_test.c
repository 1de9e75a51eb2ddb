/* SPDX-License-Identifier: Apache-2.0 */
/* Streamed answers: our client against our own server, in HTTP/1.1 and in HTTP/2 over TLS. */
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

static void on_gone(void *arg) {
    (void)arg;
    server.gone_at_ms[server.gone++ % MANY] = clock_mono_ms();
}

static void on_room(void *arg) {
    (void)arg;
    server.room++;
}

static const struct http_field sse[] = {{"Content-Type", "text/event-stream"}, {NULL, NULL}};

static void on_request(void *arg, struct http_request *r) {
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

static void place_open(struct place *p, bool tls) {
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

static void place_close(struct place *p) {
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

static void read_on(struct reader *r) {
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

static void on_change(void *arg) {
    struct reader *r = arg;
    if (!r->lazy) read_on(r);
}

static void ask(struct place *p, struct reader *r, struct http_stream_opts o, const char *path) {
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

static void drop(struct reader *r) {
    http_stream_free(r->s);
    buf_free(&r->text);
    buf_free(&r->why);
    memset(r, 0, sizeof *r);
}

static void turns(struct place *p, int ms) {
    bool never = false;
    world_turn(&p->w, &never, ms);
}

#define UNTIL(p, condition)                                            \
    do {                                                               \
        for (int i_ = 0; i_ < 1600 && !(condition); i_++) turns(p, 5); \
        if (!(condition)) fail_msg("never: %s", #condition);           \
    } while (0)

static const struct http_stream_opts as_sse = {.framing = HTTP_SSE};

static void both(void (*test)(bool tls)) {
    test(false);
    test(true);
}

static void reads_events(bool tls) {
    struct place p;
    struct reader r = {0};
    place_open(&p, tls);
    for (int i = 0; i < 3; i++) { /* on one connection */
        ask(&p, &r, as_sse, "/events");
        assert_true(world_turn(&p.w, &r.over, 5000));
        if (r.code) fail_msg("%s", r.why.data);
        assert_string_equal(r.text.data, "a=1;=2\n3;=last;");
        assert_int_equal(http_stream_status(r.s), 200);
        assert_non_null(strstr(http_stream_headers(r.s), "content-type: text/event-stream\n"));
        drop(&r);
    }
    assert_non_null(p.w.server->conns);
    assert_null(p.w.server->conns->next);
    ask(&p, &r, as_sse, "/refuse"); /* an error's body is no event */
    assert_true(world_turn(&p.w, &r.over, 5000));
    assert_int_equal(http_stream_status(r.s), 429);
    assert_string_equal(r.text.data, "={\"error\":1};");
    drop(&r);
    ask(&p, &r, as_sse, "/cut");
    assert_true(world_turn(&p.w, &r.over, 5000));
    if (r.events != 2) fail_msg("%d events, status %d: %s", r.events, http_stream_status(r.s), r.why.data);
    assert_true(r.code == ERR_IO || r.code == ERR_PROTOCOL);
    assert_string_equal(r.text.data, "a=1;=2\n3;"); /* what is whole of it */
    assert_string_equal(http_stream_stage(r.s), "body");
    drop(&r);
    char *large = mem_alloc(1 << 20);
    memset(large, 'x', 1 << 20);
    ask(&p, &r, (struct http_stream_opts){.method = "POST", .body = large, .len = 1 << 20}, "/echo");
    assert_true(world_turn(&p.w, &r.over, 5000));
    assert_int_equal(r.bytes, 1 << 20);
    drop(&r);
    free(large);
    place_close(&p);
}

static void events_are_read_while_they_come(void **state) {
    (void)state;
    both(reads_events);
}

static void leaves(bool tls) {
    static struct reader r[10];
    struct place p;
    place_open(&p, tls);
    for (int i = 0; i < 10; i++) ask(&p, &r[i], as_sse, "/open");
    for (int i = 0; i < 10; i++) UNTIL(&p, r[i].events == 1);
    uint64_t at_ms = clock_mono_ms();
    for (int i = 0; i < 5; i++) http_stream_cancel(r[i].s);
    UNTIL(&p, server.gone == 5);
    assert_true(server.gone_at_ms[4] - at_ms < NEWS_MS);
    for (int i = 0; i < 5; i++) {
        assert_true(world_turn(&p.w, &r[i].over, 1000));
        assert_int_equal(r[i].code, ERR_CANCELLED);
    }
    for (int i = 0; i < 10; i++) http_reply_write(server.open[i], "data: second\n\n", 14);
    for (int i = 5; i < 10; i++) UNTIL(&p, r[i].events == 2); /* the others go on */
    for (int i = 5; i < 10; i++) http_stream_free(r[i].s), r[i].s = NULL;
    UNTIL(&p, server.gone == 10);
    for (int i = 0; i < 10; i++) drop(&r[i]);
    if (tls) { /* all of that was one connection, and it is still there */
        ask(&p, &r[0], as_sse, "/events");
        assert_true(world_turn(&p.w, &r[0].over, 5000));
        assert_int_equal(r[0].code, 0);
        assert_null(p.w.server->conns->next);
        drop(&r[0]);
    }
    place_close(&p);
}

static void who_leaves_is_heard_at_once_and_the_others_go_on(void **state) {
    (void)state;
    both(leaves);
}

static void leaves_early(bool tls) {
    struct place p;
    struct reader r = {0};
    place_open(&p, tls);
    ask(&p, &r, as_sse, "/hold"); /* before there is a connection */
    http_stream_cancel(r.s);
    assert_true(world_turn(&p.w, &r.over, 1000));
    assert_int_equal(r.code, ERR_CANCELLED);
    drop(&r);
    ask(&p, &r, as_sse, "/hold"); /* before there is a head */
    UNTIL(&p, server.opened == 1);
    http_stream_cancel(r.s);
    UNTIL(&p, server.gone == 1);
    drop(&r);
    place_close(&p);
}

static void a_request_may_be_left_before_its_head(void **state) {
    (void)state;
    both(leaves_early);
}

static void holds_back(bool tls) {
    struct place p;
    struct reader r = {.lazy = true}, quick = {0};
    char block[8192];
    size_t written = 0;
    place_open(&p, tls);
    memset(block, 'x', sizeof block);
    memcpy(block, "data: ", 6);
    memcpy(block + sizeof block - 2, "\n\n", 2);
    ask(&p, &r, as_sse, "/open");
    UNTIL(&p, server.opened == 1);
    for (int i = 0; i < 3000; i++) { /* far more than sockets hold */
        if (http_reply_write(server.open[0], block, sizeof block) > 0) {
            int room = server.room;
            for (int wait = 0; wait < 20 && server.room == room; wait++) turns(&p, 5);
            if (server.room == room) break;
        }
        written += sizeof block;
    }
    assert_true(written < 20u << 20);
    assert_true(http_stream_status(r.s) == 200);
    ask(&p, &quick, as_sse, "/events"); /* nobody else is held up */
    assert_true(world_turn(&p.w, &quick.over, 5000));
    assert_int_equal(quick.code, 0);
    drop(&quick);
    int room = server.room;
    r.lazy = false;
    read_on(&r);
    UNTIL(&p, server.room > room);
    http_reply_end(server.open[0]);
    server.opened = 0;
    assert_true(world_turn(&p.w, &r.over, 5000));
    assert_int_equal(r.code, 0);
    assert_true(r.bytes >= written - sizeof block);
    drop(&r);
    place_close(&p);
}

static void who_does_not_read_holds_back_the_server_and_nobody_else(void **state) {
    (void)state;
    both(holds_back);
}

static void is_late(bool tls) {
    struct place p;
    struct reader r = {0};
    place_open(&p, tls);
    ask(&p, &r, (struct http_stream_opts){.first_byte_ms = 50}, "/hold");
    assert_true(world_turn(&p.w, &r.over, 3000));
    assert_int_equal(r.code, ERR_TIMEOUT);
    assert_string_equal(r.why.data, "no answer in 50 ms");
    assert_string_equal(http_stream_stage(r.s), "head");
    UNTIL(&p, server.gone == 1);
    drop(&r);
    ask(&p, &r, (struct http_stream_opts){.framing = HTTP_SSE, .idle_ms = 50}, "/open");
    assert_true(world_turn(&p.w, &r.over, 3000));
    assert_int_equal(r.code, ERR_TIMEOUT);
    assert_int_equal(r.events, 1);
    assert_string_equal(r.why.data, "the answer stood still for 50 ms");
    UNTIL(&p, server.gone == 2);
    drop(&r);
    ask(&p, &r, (struct http_stream_opts){.timeout_ms = 60}, "/open");
    assert_true(world_turn(&p.w, &r.over, 3000));
    assert_string_equal(r.why.data, "no whole answer in 60 ms");
    UNTIL(&p, server.gone == 3);
    drop(&r);
    place_close(&p);
}

static void each_limit_of_time_says_which_it_was(void **state) {
    (void)state;
    both(is_late);
}

static void what_cannot_be_reached_is_told(void **state) {
    struct place p;
    struct reader r = {0};
    const struct {
        const char *url;
        int code;
    } rows[] = {{"ftp://localhost/x", ERR_INVALID},       {"http://localhost/a b", ERR_INVALID},
                {"http://u:p@localhost/", ERR_INVALID},   {"http://127.0.0.1:1/", ERR_IO},
                {"http://no-such-host.invalid/", ERR_IO}, {"http://localhost:99999/", ERR_INVALID},
                {"http://255.255.255.255/", ERR_IO}}; /* connect() itself says so: it must not count as connected */
    (void)state;
    place_open(&p, true);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        ask(&p, &r, as_sse, rows[i].url);
        assert_true(world_turn(&p.w, &r.over, 8000));
        if (r.code != rows[i].code || r.why.len == 0) fail_msg("%s: %d %s", rows[i].url, r.code, r.why.data);
        assert_string_equal(http_stream_stage(r.s), "connect");
        drop(&r);
    }
    p.tls = false; /* the certificate is nobody's that the system knows */
    ask(&p, &r, as_sse, "/events");
    assert_true(world_turn(&p.w, &r.over, 8000));
    assert_int_equal(r.code, ERR_IO);
    if (!strstr(r.why.data, "certificate")) fail_msg("%s", r.why.data);
    drop(&r);
    p.tls = true;
    ask(&p, &r, (struct http_stream_opts){.fields = (struct http_stream_field[]){{"X", "a\r\nY: b"}, {NULL, NULL}}},
        "/events");
    assert_true(world_turn(&p.w, &r.over, 1000));
    assert_int_equal(r.code, ERR_INVALID);
    drop(&r);
    assert_int_equal(server.requests, 0);
    place_close(&p);
}

/* A label of more than 63 bytes or a name of more than 253: no name server is ever asked. */
static void a_host_name_that_cannot_be_looked_up_ended_the_worker(void **state) {
    struct place p;
    struct reader r = {0};
    char url[512] = "http://";
    (void)state;
    place_open(&p, false);
    memset(url + 7, 'a', 256);
    memcpy(url + 7 + 256, "/x", 3);
    ask(&p, &r, as_sse, url);
    assert_true(world_turn(&p.w, &r.over, 5000));
    assert_int_equal(r.code, ERR_INVALID);
    drop(&r);
    for (int i = 63; i < 253; i += 64) url[7 + i] = '.';
    memcpy(url + 7 + 253, "/x", 3);
    ask(&p, &r, as_sse, url);
    assert_true(world_turn(&p.w, &r.over, 8000));
    assert_int_equal(r.code, ERR_IO);
    drop(&r);
    memset(url + 7, 'a', 200);
    memcpy(url + 7 + 200, "/x", 3);
    ask(&p, &r, as_sse, url);
    assert_true(world_turn(&p.w, &r.over, 8000));
    assert_int_equal(r.code, ERR_IO);
    drop(&r);
    place_close(&p);
}

static void count_origin(void *arg, const struct http_pool_figures *f) {
    *(struct http_pool_figures *)arg = *f;
}

static void warm_connections_wait_for_the_first_request(void **state) {
    struct place p;
    struct reader r = {0};
    struct http_pool_figures f = {0};
    struct err e;
    (void)state;
    place_open(&p, true);
    assert_int_equal(http_pool_warm(p.p, "nonsense", NULL, 1, &e), ERR_INVALID);
    assert_int_equal(http_pool_warm(p.p, p.url, p.cert, 3, &e), 0);
    UNTIL(&p, (http_pool_each(p.p, count_origin, &f), f.connections == 3));
    assert_string_equal(f.origin, p.url);
    assert_string_equal(f.speaks, "h2");
    assert_int_equal(f.warm, 3);
    ask(&p, &r, as_sse, "/events");
    assert_true(world_turn(&p.w, &r.over, 5000));
    drop(&r);
    http_pool_each(p.p, count_origin, &f);
    assert_int_equal(f.opened, 3); /* none was opened for it */
    assert_int_equal(f.requests, 1);
    stream_abort(p.w.server->conns->stream);
    UNTIL(&p, (http_pool_each(p.p, count_origin, &f), f.opened == 4 && f.connections == 3)); /* it is replaced */
    place_close(&p);
}

/* What a server of another kind might say. */
static void answers_by_hand(void **state) {
    const struct {
        const char *bytes;
        int code, status;
        const char *text;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: x\n\n", 0, 200, "=x;"},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\ndata: x\n\n", 0, 200, "=x;"},
        {"HTTP/1.0 200 OK\r\n\r\ndata: x", 0, 200, "=x;"},
        {"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\ndata: x\n\n", ERR_IO, 200, "=x;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\ndata: x\n\n\r\n", ERR_IO, 200, "=x;"},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", ERR_PROTOCOL, 200, NULL},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx", ERR_PROTOCOL, 0, NULL},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nx", ERR_PROTOCOL, 0, NULL},
        {"HTTP/1.1 101 Switching\r\n\r\n", ERR_PROTOCOL, 0, NULL},
        {"SSH-2.0-x\r\n\r\n", ERR_PROTOCOL, 0, NULL},
        {"", ERR_IO, 0, NULL},
    };
    struct place p;
    (void)state;
    place_open(&p, false);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct reader r = {0};
        char url[64];
        int port, listener = listen_loopback(&port);
        snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
        ask(&p, &r, as_sse, url);
        turns(&p, 20);
        int fd = accept(listener, NULL, NULL);
        assert_true(fd >= 0);
        turns(&p, 20);
        char request[4096];
        assert_true(recv(fd, request, sizeof request, 0) > 0);
        say(fd, rows[i].bytes);
        shutdown(fd, SHUT_WR);
        assert_true(world_turn(&p.w, &r.over, 3000));
        if (r.code != rows[i].code) fail_msg("row %zu: %d %s", i, r.code, r.why.data ? r.why.data : "");
        assert_int_equal(http_stream_status(r.s), rows[i].status);
        if (rows[i].text) assert_string_equal(r.text.data, rows[i].text);
        drop(&r);
        close(fd);
        close(listener);
    }
    place_close(&p);
}

static void a_connection_that_was_given_up_meanwhile_is_not_the_requests_fault(void **state) {
    struct place p;
    struct reader r = {0};
    char url[64], request[4096];
    int port, listener = listen_loopback(&port);
    (void)state;
    place_open(&p, false);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    const char *whole = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: x\n\n";
    ask(&p, &r, as_sse, url);
    turns(&p, 20);
    int fd = accept(listener, NULL, NULL);
    turns(&p, 20);
    assert_true(recv(fd, request, sizeof request, 0) > 0);
    say(fd, whole);
    assert_true(world_turn(&p.w, &r.over, 3000));
    drop(&r);
    ask(&p, &r, as_sse, url); /* goes out on the old connection */
    close(fd);
    turns(&p, 50);
    fd = accept(listener, NULL, NULL);
    assert_true(recv(fd, request, sizeof request, 0) > 0);
    say(fd, whole);
    assert_true(world_turn(&p.w, &r.over, 3000));
    if (r.code) fail_msg("%s", r.why.data);
    drop(&r);
    close(fd);
    close(listener);
    place_close(&p);
}

/* RST_STREAM with REFUSED_STREAM, past the server that holds the request. */
static void refuse(struct place *p, char id) {
    const char frame[] = {0, 0, 4, 3, 0, 0, 0, 0, id, 0, 0, 0, 7};
    stream_write(p->w.server->conns->stream, frame, sizeof frame);
}

static void a_request_was_sent_twice_however_late_its_connection_ended(void **state) {
    struct place p;
    struct reader r = {0};
    char url[64], request[4096];
    int port, listener = listen_loopback(&port);
    (void)state;
    place_open(&p, false);
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", port);
    ask(&p, &r, as_sse, url);
    turns(&p, 20);
    int fd = accept(listener, NULL, NULL);
    turns(&p, 20);
    assert_true(recv(fd, request, sizeof request, 0) > 0);
    say(fd, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\ndata: x\n\n");
    assert_true(world_turn(&p.w, &r.over, 3000));
    drop(&r);
    ask(&p, &r, (struct http_stream_opts){.method = "POST", .body = "x", .len = 1}, url);
    turns(&p, 600);
    assert_true(recv(fd, request, sizeof request, 0) > 0); /* and is at work */
    close(fd);
    assert_true(world_turn(&p.w, &r.over, 3000));
    assert_int_equal(r.code, ERR_IO);
    assert_string_equal(http_stream_stage(r.s), "head");
    drop(&r);
    close(listener);
    place_close(&p);
}

static void an_origins_name_was_spelled_as_whoever_came_first_did(void **state) {
    struct place p;
    struct reader r = {0};
    char url[64], request[4096], want[64];
    int port, listener = listen_loopback(&port);
    (void)state;
    place_open(&p, false);
    snprintf(url, sizeof url, "http://127.0.0.1:0%d/", port);
    snprintf(want, sizeof want, "\r\nhost: 127.0.0.1:%d\r\n", port);
    ask(&p, &r, as_sse, url);
    turns(&p, 20);
    int fd = accept(listener, NULL, NULL);
    turns(&p, 20);
    ssize_t n = recv(fd, request, sizeof request - 1, 0);
    assert_true(n > 0);
    request[n] = '\0';
    if (!strstr(request, want)) fail_msg("%s", request);
    drop(&r);
    close(fd);
    close(listener);
    place_close(&p);
}

static void one_connection_that_came_to_nothing_held_up_all_who_waited(void **state) {
    struct place p;
    struct reader r = {0};
    struct http_pool_figures f = {0};
    char url[64];
    int port, listener = listen_loopback(&port);
    (void)state;
    place_open(&p, true);
    snprintf(url, sizeof url, "https://127.0.0.1:%d/", port);
    ask(&p, &r, as_sse, url); /* connected, and no word of TLS comes back */
    turns(&p, 500);
    http_pool_each(p.p, count_origin, &f);
    assert_int_equal(f.connecting, 1);
    uint64_t at_ms = clock_mono_ms();
    UNTIL(&p, (http_pool_each(p.p, count_origin, &f), f.connecting == 2));
    assert_true(clock_mono_ms() - at_ms < 5000);
    drop(&r);
    close(listener);
    place_close(&p);
}

static void a_refusal_after_the_answer_had_begun_mixed_two_answers(void **state) {
    struct place p;
    struct reader r = {0};
    (void)state;
    place_open(&p, true);
    ask(&p, &r, as_sse, "/open");
    UNTIL(&p, r.events == 1);
    refuse(&p, 1);
    assert_true(world_turn(&p.w, &r.over, 3000));
    assert_int_equal(r.code, ERR_IO);
    assert_string_equal(r.text.data, "=first;");
    assert_string_equal(http_stream_stage(r.s), "body");
    assert_int_equal(server.requests, 1);
    drop(&r);
    ask(&p, &r, as_sse, "/hold"); /* one that nobody has answered is asked again */
    UNTIL(&p, server.requests == 2);
    refuse(&p, 3);
    UNTIL(&p, server.requests == 3);
    assert_false(r.over);
    drop(&r);
    place_close(&p);
}

static void a_silent_connection_got_request_after_request_because_their_owners_left_first(void **state) {
    struct place p;
    struct reader r = {0};
    struct http_pool_figures f = {0};
    (void)state;
    place_open(&p, true);
    ask(&p, &r, as_sse, "/events");
    assert_true(world_turn(&p.w, &r.over, 5000));
    drop(&r);
    stream_pause(p.w.server->conns->stream, true); /* nothing comes through any more */
    ask(&p, &r, as_sse, "/events");
    turns(&p, 50);
    drop(&r); /* so soon that says nothing about the connection */
    ask(&p, &r, as_sse, "/events");
    turns(&p, 1100);
    http_pool_each(p.p, count_origin, &f);
    assert_int_equal(f.opened, 1);
    drop(&r);
    ask(&p, &r, as_sse, "/events");
    assert_true(world_turn(&p.w, &r.over, 5000));
    assert_int_equal(r.code, 0);
    drop(&r);
    place_close(&p);
}

static void lines_that_end_with_carriage_returns_took_the_square_of_their_number(void **state) {
    enum { LEN = 4 << 20 };
    struct http_framing f = {.kind = HTTP_SSE, .limit = LEN};
    char *text = mem_alloc(LEN);
    struct err e;
    size_t used;
    (void)state;
    for (size_t i = 0; i < LEN; i += 2) memcpy(text + i, ":\r", 2);
    uint64_t at_ms = clock_mono_ms();
    assert_int_equal(http_framing_take(&f, text, LEN, &used, &e), 0);
    assert_int_equal(used, LEN);
    assert_true(clock_mono_ms() - at_ms < 5000); /* minutes before */
    http_framing_free(&f);
    free(text);
}

static void five_hundred_streams_left_in_the_middle_are_heard_of(void **state) {
    static struct reader r[MANY];
    struct place p;
    struct http_pool_figures f = {0};
    (void)state;
    place_open(&p, true);
    for (int i = 0; i < MANY; i++) ask(&p, &r[i], as_sse, "/open");
    for (int i = 0; i < MANY; i++) UNTIL(&p, r[i].events == 1);
    http_pool_each(p.p, count_origin, &f);
    assert_int_equal(f.running, MANY);
    assert_true(f.connections <= 8);
    uint64_t at_ms = clock_mono_ms();
    for (int i = 0; i < MANY; i++) http_stream_cancel(r[i].s);
    UNTIL(&p, server.gone == MANY);
    uint64_t worst = 0;
    for (int i = 0; i < MANY; i++)
        if (server.gone_at_ms[i] - at_ms > worst) worst = server.gone_at_ms[i] - at_ms;
    print_message("the last of %d was heard of after %llu ms\n", MANY, (unsigned long long)worst);
    assert_true(worst < NEWS_MS);
    for (int i = 0; i < MANY; i++) drop(&r[i]);
    http_pool_each(p.p, count_origin, &f);
    assert_int_equal(f.running, 0);
    assert_true(f.connections > 0);
    place_close(&p);
}

static void closing_cancels_what_runs(void **state) {
    static struct reader r[3];
    struct place p;
    (void)state;
    place_open(&p, true);
    ask(&p, &r[0], as_sse, "/open");
    UNTIL(&p, server.opened == 1);
    ask(&p, &r[1], as_sse, "/events");
    http_pool_close(p.p, set_flag, &p.closed);
    for (int i = 0; i < 2; i++) {
        assert_true(r[i].over);
        assert_int_equal(r[i].code, ERR_CANCELLED);
        drop(&r[i]);
    }
    assert_true(world_turn(&p.w, &p.closed, 3000));
    for (int i = 0; i < server.opened; i++) http_reply_abort(server.open[i]);
    world_close(&p.w);
    remove_certificate(p.cert, p.key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_are_read_while_they_come),
        cmocka_unit_test(who_leaves_is_heard_at_once_and_the_others_go_on),
        cmocka_unit_test(a_request_may_be_left_before_its_head),
        cmocka_unit_test(who_does_not_read_holds_back_the_server_and_nobody_else),
        cmocka_unit_test(each_limit_of_time_says_which_it_was),
        cmocka_unit_test(what_cannot_be_reached_is_told),
        cmocka_unit_test(a_host_name_that_cannot_be_looked_up_ended_the_worker),
        cmocka_unit_test(warm_connections_wait_for_the_first_request),
        cmocka_unit_test(answers_by_hand),
        cmocka_unit_test(a_connection_that_was_given_up_meanwhile_is_not_the_requests_fault),
        cmocka_unit_test(a_request_was_sent_twice_however_late_its_connection_ended),
        cmocka_unit_test(an_origins_name_was_spelled_as_whoever_came_first_did),
        cmocka_unit_test(one_connection_that_came_to_nothing_held_up_all_who_waited),
        cmocka_unit_test(a_refusal_after_the_answer_had_begun_mixed_two_answers),
        cmocka_unit_test(a_silent_connection_got_request_after_request_because_their_owners_left_first),
        cmocka_unit_test(lines_that_end_with_carriage_returns_took_the_square_of_their_number),
        cmocka_unit_test(five_hundred_streams_left_in_the_middle_are_heard_of),
        cmocka_unit_test(closing_cancels_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
