/* SPDX-License-Identifier: Apache-2.0 */
/* The connections that streamed requests go out on: which are opened, kept warm, used again and given up, and whose fault it is
 * when one ends. */
#include "world_stream.h"

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_reached_is_told),
        cmocka_unit_test(a_host_name_that_cannot_be_looked_up_ended_the_worker),
        cmocka_unit_test(warm_connections_wait_for_the_first_request),
        cmocka_unit_test(a_connection_that_was_given_up_meanwhile_is_not_the_requests_fault),
        cmocka_unit_test(a_request_was_sent_twice_however_late_its_connection_ended),
        cmocka_unit_test(an_origins_name_was_spelled_as_whoever_came_first_did),
        cmocka_unit_test(one_connection_that_came_to_nothing_held_up_all_who_waited),
        cmocka_unit_test(a_refusal_after_the_answer_had_begun_mixed_two_answers),
        cmocka_unit_test(a_silent_connection_got_request_after_request_because_their_owners_left_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
