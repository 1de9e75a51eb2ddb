/* SPDX-License-Identifier: Apache-2.0 */
/* Streamed answers: our client against our own server, in HTTP/1.1 and in HTTP/2 over TLS. */
#include "world_stream.h"

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
        cmocka_unit_test(answers_by_hand),
        cmocka_unit_test(lines_that_end_with_carriage_returns_took_the_square_of_their_number),
        cmocka_unit_test(five_hundred_streams_left_in_the_middle_are_heard_of),
        cmocka_unit_test(closing_cancels_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
