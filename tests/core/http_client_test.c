/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP client against our own server: each tests the other, in HTTP/1.1 and in HTTP/2 over TLS. */
#include "http_world.h"
#include "io/http_client.h"
#include "io/http_conn.h"
#include <openssl/ssl.h>

enum { LARGE = 3 << 20 };

static struct {
    int requests, h2, gone;
    char method[32], path[256], key[64], cookie[128], type[64];
    size_t body_len;
    struct http_request *held;
} server;

static void on_gone(void *arg) {
    (*(int *)arg)++;
}

static void note(char *out, size_t cap, const char *value) {
    snprintf(out, cap, "%s", value ? value : "(none)");
}

static void on_request(void *arg, struct http_request *r) {
    const char *path = http_path(r);
    (void)arg;
    server.requests++;
    server.h2 += r->stream_id != 0;
    note(server.method, sizeof server.method, http_method(r));
    note(server.path, sizeof server.path, path);
    note(server.key, sizeof server.key, http_header(r, "idempotency-key"));
    note(server.cookie, sizeof server.cookie, http_header(r, "cookie"));
    note(server.type, sizeof server.type, http_header(r, "content-type"));
    const char *body = http_body(r, &server.body_len);
    if (strcmp(path, "/hold") == 0) {
        server.held = r;
        http_on_gone(r, on_gone, &server.gone);
    } else if (strcmp(path, "/large") == 0) {
        char *large = mem_alloc(LARGE);
        memset(large, 'x', LARGE);
        http_reply(r, 200, NULL, large, LARGE);
        free(large);
    } else if (strcmp(path, "/away") == 0) {
        const struct http_field to[] = {{"Location", "/other"}, {NULL, NULL}};
        http_reply(r, 302, to, "", 0);
    } else {
        const struct http_field fields[] = {
            {"X-Answer", "Yes"}, {"Set-Cookie", "a=1"}, {"Set-Cookie", "b=2"}, {NULL, NULL}};
        http_reply(r, 200, fields, body, server.body_len);
    }
}

struct seen {
    int done, status, code, chunks, stop_after;
    bool flag;
    struct buf headers, body, why;
};

static void on_done(void *arg, const struct http_response *r, const struct err *e) {
    struct seen *s = arg;
    s->done++;
    s->flag = true;
    s->code = e ? e->code : 0;
    if (e) buf_add_str(&s->why, e->text);
    if (r == NULL) return;
    s->status = r->status;
    buf_add_str(&s->headers, r->headers);
    if (r->body) buf_add(&s->body, r->body, r->len);
}

static bool on_chunk(void *arg, int status, const char *data, size_t len) {
    struct seen *s = arg;
    assert_int_equal(status, 200);
    buf_add(&s->body, data, len);
    return ++s->chunks != s->stop_after;
}

static void forget(struct seen *s) {
    buf_free(&s->headers);
    buf_free(&s->body);
    buf_free(&s->why);
    memset(s, 0, sizeof *s);
}

struct place {
    struct world w;
    struct http_client *c;
    char cert[64], key[64], url[64];
    bool tls, closed;
};

static const struct http_body_limit limits[] = {{"/upload", LARGE}, {NULL, 0}};

static void place_open(struct place *p, bool tls) {
    struct http_server_opts o = {.on_request = on_request, .body_limit = 1000, .body_limits = limits};
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
    if (http_client_open(&p->c, &p->w.loop, NULL, &e) < 0) fail_msg("%s", e.text);
}

static void place_close(struct place *p) {
    http_client_close(p->c, set_flag, &p->closed);
    assert_true(world_turn(&p->w, &p->closed, 3000));
    world_close(&p->w);
    if (p->tls) remove_certificate(p->cert, p->key);
}

static struct http_fetch *get(struct place *p, struct seen *s, struct http_fetch_opts o, const char *path) {
    char url[256];
    snprintf(url, sizeof url, "%s%s", path[0] == '/' ? p->url : "", path);
    memset(s, 0, sizeof *s);
    o.url = url;
    if (o.method == NULL) o.method = "GET";
    if (p->tls) o.ca_file = p->cert;
    o.on_done = on_done;
    o.arg = s;
    return http_fetch(p->c, &o);
}

static void fetched(struct place *p, struct seen *s, struct http_fetch_opts o, const char *path) {
    get(p, s, o, path);
    assert_int_equal(s->done, 0); /* never from inside the call */
    if (!world_turn(&p->w, &s->flag, 8000)) fail_msg("%s was never answered", path);
    assert_int_equal(s->done, 1);
}

static void asks_and_is_answered(bool tls) {
    const char *headers[] = {"Idempotency-Key: k-1", "X-Empty:", "Cookie: a=1; b=2", NULL};
    struct place p;
    struct seen s;
    place_open(&p, tls);
    fetched(&p, &s, (struct http_fetch_opts){.method = "POST", .headers = headers, .body = "hello", .len = 5},
            "/echo?x=/../y");
    if (s.code) fail_msg("%s", s.why.data);
    assert_int_equal(s.status, 200);
    assert_string_equal(s.body.data, "hello");
    assert_non_null(strstr(s.headers.data, "x-answer: Yes\n"));
    assert_non_null(strstr(s.headers.data, "set-cookie: a=1\nset-cookie: b=2\n"));
    assert_non_null(strstr(s.headers.data, "content-length: 5\n"));
    assert_string_equal(server.method, "POST");
    assert_string_equal(server.path, "/echo");
    assert_string_equal(server.key, "k-1"); /* a header no library has a token for */
    assert_string_equal(server.cookie, "a=1; b=2");
    assert_string_equal(server.type, "(none)");
    assert_int_equal(server.h2, tls ? 1 : 0);
    forget(&s);
    const char *const methods[] = {"PUT", "PATCH", "DELETE", "OPTIONS", "HEAD", NULL};
    for (int i = 0; methods[i]; i++) {
        fetched(&p, &s, (struct http_fetch_opts){.method = methods[i]}, "/m");
        assert_int_equal(s.status, 200);
        assert_string_equal(server.method, methods[i]);
        forget(&s);
    }
    fetched(&p, &s, (struct http_fetch_opts){.method = "HEAD"}, "/large");
    assert_int_equal(s.body.len, 0);
    assert_non_null(strstr(s.headers.data, "content-length: 3145728\n"));
    forget(&s);
    fetched(&p, &s, (struct http_fetch_opts){0}, "/away");
    assert_int_equal(s.status, 302);
    assert_string_equal(server.path, "/away"); /* not followed */
    forget(&s);
    place_close(&p);
}

static void asks_over_http1(void **state) {
    (void)state;
    asks_and_is_answered(false);
}

static void asks_over_http2(void **state) {
    (void)state;
    asks_and_is_answered(true);
}

static void large_bodies_both_ways(bool tls) {
    const char *wait[] = {"Expect: 100-continue", NULL};
    struct place p;
    struct seen s;
    char *large = mem_alloc(LARGE);
    place_open(&p, tls);
    memset(large, 'y', LARGE);
    fetched(&p, &s, (struct http_fetch_opts){0}, "/large");
    assert_int_equal(s.body.len, LARGE);
    forget(&s);
    fetched(&p, &s, (struct http_fetch_opts){.method = "PUT", .body = large, .len = LARGE}, "/upload/1");
    if (s.code) fail_msg("%s", s.why.data);
    assert_int_equal(server.body_len, LARGE);
    assert_int_equal(s.body.len, LARGE);
    forget(&s);
    /* curl goes on by itself after a second, so one that took less was told to; on a busy machine another may take longer. */
    bool told = false;
    for (int i = 0; i < 10 && !told; i++) {
        uint64_t began = clock_mono_ms();
        fetched(&p, &s, (struct http_fetch_opts){.method = "PUT", .headers = wait, .body = large, .len = LARGE},
                "/upload/2");
        assert_int_equal(s.status, 200);
        told = tls || clock_mono_ms() - began < 900;
        forget(&s);
    }
    assert_true(told);
    int requests = server.requests;
    fetched(&p, &s, (struct http_fetch_opts){.method = "PUT", .body = large, .len = LARGE}, "/small");
    assert_int_equal(s.status, 413);
    assert_non_null(strstr(s.body.data, "1000 bytes"));
    assert_non_null(strstr(s.headers.data, "content-type: application/problem+json\n"));
    assert_int_equal(server.requests, requests);
    forget(&s);
    free(large);
    place_close(&p);
}

static void large_bodies_over_http1(void **state) {
    (void)state;
    large_bodies_both_ways(false);
}

static void large_bodies_over_http2(void **state) {
    (void)state;
    large_bodies_both_ways(true);
}

static void many_requests_share_a_connection_over_http2(void **state) {
    static struct seen s[50];
    struct place p;
    (void)state;
    place_open(&p, true);
    for (int i = 0; i < 50; i++)
        get(&p, &s[i], (struct http_fetch_opts){.method = "POST", .body = "x", .len = 1}, "/m");
    for (int i = 0; i < 50; i++) {
        assert_true(world_turn(&p.w, &s[i].flag, 5000));
        assert_int_equal(s[i].status, 200);
        forget(&s[i]);
    }
    assert_int_equal(server.h2, 50);
    assert_non_null(p.w.server->conns);
    assert_null(p.w.server->conns->next);
    place_close(&p);
}

static bool until_held(struct place *p) {
    bool never = false;
    for (int i = 0; i < 500 && server.held == NULL; i++) world_turn(&p->w, &never, 5);
    return server.held != NULL;
}

static void ends_early(bool tls) {
    struct place p;
    struct seen s;
    bool never = false;
    place_open(&p, tls);
    struct http_fetch *f = get(&p, &s, (struct http_fetch_opts){0}, "/hold");
    assert_true(until_held(&p));
    http_fetch_cancel(f);
    assert_int_equal(s.done, 0);
    assert_true(world_turn(&p.w, &s.flag, 3000));
    assert_int_equal(s.code, ERR_CANCELLED);
    for (int i = 0; i < 500 && server.gone == 0; i++) world_turn(&p.w, &never, 5);
    assert_int_equal(server.gone, 1); /* the other side hears of it */
    http_reply(server.held, 200, NULL, "x", 1);
    server.held = NULL;
    forget(&s);

    fetched(&p, &s, (struct http_fetch_opts){.timeout_ms = 1000}, "/hold");
    assert_int_equal(s.code, ERR_TIMEOUT);
    assert_int_equal(s.done, 1);
    assert_true(until_held(&p));
    http_reply(server.held, 200, NULL, "x", 1);
    forget(&s);

    f = get(&p, &s, (struct http_fetch_opts){0}, "/m"); /* before it began */
    http_fetch_cancel(f);
    assert_true(world_turn(&p.w, &s.flag, 3000));
    assert_int_equal(s.code, ERR_CANCELLED);
    forget(&s);
    place_close(&p);
}

static void cancel_and_timeout_over_http1(void **state) {
    (void)state;
    ends_early(false);
}

static void cancel_and_timeout_over_http2(void **state) {
    (void)state;
    ends_early(true);
}

static void a_response_comes_in_chunks_until_the_reader_stops(void **state) {
    struct place p;
    struct seen s;
    (void)state;
    place_open(&p, true);
    fetched(&p, &s, (struct http_fetch_opts){.on_chunk = on_chunk}, "/large");
    assert_int_equal(s.code, 0);
    assert_int_equal(s.body.len, LARGE);
    assert_true(s.chunks > 10);
    forget(&s);
    get(&p, &s, (struct http_fetch_opts){.on_chunk = on_chunk}, "/large");
    s.stop_after = 2;
    assert_true(world_turn(&p.w, &s.flag, 5000));
    assert_int_equal(s.code, ERR_CANCELLED);
    assert_int_equal(s.chunks, 2);
    forget(&s);
    place_close(&p);
}

static void what_cannot_be_asked_is_told(void **state) {
    const char *bad[] = {"X: a\r\nY: b", NULL};
    struct place p;
    struct seen s;
    (void)state;
    place_open(&p, false);
    const struct {
        const char *url;
        int code;
    } rows[] = {{"ftp://localhost/x", ERR_INVALID},      {"file:///etc/passwd", ERR_INVALID},
                {"http://localhost/a b", ERR_INVALID},   {"http://localhost/\r\nX", ERR_INVALID},
                {"http://127.0.0.1:1/", ERR_IO},         {"http://no-such-host.invalid/", ERR_IO},
                {"http://localhost:99999/", ERR_INVALID}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fetched(&p, &s, (struct http_fetch_opts){0}, rows[i].url);
        if (s.code != rows[i].code || s.why.len == 0) fail_msg("%s: %d %s", rows[i].url, s.code, s.why.data);
        forget(&s);
    }
    fetched(&p, &s, (struct http_fetch_opts){.headers = bad}, "/m");
    assert_int_equal(s.code, ERR_INVALID);
    forget(&s);
    fetched(&p, &s, (struct http_fetch_opts){.method = "GET /"}, "/m");
    assert_int_equal(s.code, ERR_INVALID);
    forget(&s);
    fetched(&p, &s, (struct http_fetch_opts){.response_limit = LARGE - 1}, "/large");
    assert_int_equal(s.code, ERR_LIMIT);
    forget(&s);
    place_close(&p);
    assert_int_equal(server.requests, 1);
}

static void an_unknown_certificate_is_refused(void **state) {
    struct place p;
    struct seen s = {0};
    char url[80];
    (void)state;
    place_open(&p, true);
    snprintf(url, sizeof url, "%s/m", p.url);
    struct http_fetch_opts o = {.method = "GET", .url = url, .on_done = on_done, .arg = &s};
    http_fetch(p.c, &o);
    assert_true(world_turn(&p.w, &s.flag, 5000));
    assert_int_equal(s.code, ERR_IO);
    assert_non_null(strstr(s.why.data, "certificate"));
    assert_int_equal(server.requests, 0);
    forget(&s);
    place_close(&p);
}

static void less_than_tls_1_3_is_refused(void **state) {
    struct place p;
    bool never = false;
    int n = 0, why = SSL_ERROR_WANT_READ;
    (void)state;
    place_open(&p, true);
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_max_proto_version(ctx, TLS1_2_VERSION);
    SSL *ssl = SSL_new(ctx);
    int fd = dial(&p.w);
    SSL_set_fd(ssl, fd);
    for (int i = 0; i < 500 && (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE); i++) {
        n = SSL_connect(ssl);
        why = SSL_get_error(ssl, n);
        world_turn(&p.w, &never, 2);
    }
    assert_int_equal(why, SSL_ERROR_SSL);
    SSL_free(ssl);
    SSL_CTX_free(ctx);
    close(fd);
    place_close(&p);
}

static void closing_cancels_what_runs(void **state) {
    static struct seen s[3];
    struct place p;
    (void)state;
    place_open(&p, true);
    get(&p, &s[0], (struct http_fetch_opts){0}, "/hold");
    assert_true(until_held(&p));
    get(&p, &s[1], (struct http_fetch_opts){0}, "/large");
    get(&p, &s[2], (struct http_fetch_opts){0}, "/m");
    place_close(&p);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(s[i].done, 1);
        assert_int_equal(s[i].code, ERR_CANCELLED);
        forget(&s[i]);
    }
    assert_int_equal(server.gone, 1);
    http_reply(server.held, 200, NULL, "x", 1);
}

static void a_closing_server_finishes_its_http2_streams(void **state) {
    struct place p;
    struct seen s;
    (void)state;
    place_open(&p, true);
    get(&p, &s, (struct http_fetch_opts){0}, "/hold");
    assert_true(until_held(&p));
    http_server_close(p.w.server, 5000, set_flag, &p.w.server_closed);
    http_reply(server.held, 200, NULL, "last", 4);
    assert_true(world_turn(&p.w, &s.flag, 3000));
    assert_int_equal(s.status, 200);
    assert_string_equal(s.body.data, "last");
    assert_true(world_turn(&p.w, &p.w.server_closed, 3000));
    forget(&s);
    place_close(&p);
}

int main(void) {
    static const char *const proxies[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"};
    for (size_t i = 0; i < sizeof proxies / sizeof *proxies; i++) unsetenv(proxies[i]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(asks_over_http1),
        cmocka_unit_test(asks_over_http2),
        cmocka_unit_test(large_bodies_over_http1),
        cmocka_unit_test(large_bodies_over_http2),
        cmocka_unit_test(many_requests_share_a_connection_over_http2),
        cmocka_unit_test(cancel_and_timeout_over_http1),
        cmocka_unit_test(cancel_and_timeout_over_http2),
        cmocka_unit_test(a_response_comes_in_chunks_until_the_reader_stops),
        cmocka_unit_test(what_cannot_be_asked_is_told),
        cmocka_unit_test(an_unknown_certificate_is_refused),
        cmocka_unit_test(less_than_tls_1_3_is_refused),
        cmocka_unit_test(closing_cancels_what_runs),
        cmocka_unit_test(a_closing_server_finishes_its_http2_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
