/* SPDX-License-Identifier: Apache-2.0 */
/* How many may come to the server, how slow they may be, and how much may wait for one of them. */
#include "http_witness.h"
#include "io/http_conn.h"
#include "io/http_crowd.h"

static void an_address_is_counted_and_an_ipv6_home_is_one(void **state) {
    struct http_crowd c = {0};
    struct http_visitor *v[5];
    (void)state;
    assert_int_equal(crowd_enter(&c, "192.0.2.1", 4, 1, &v[0]), 0);
    assert_int_equal(crowd_enter(&c, "192.0.2.1", 4, 1, &v[1]), 429);
    assert_int_equal(crowd_enter(&c, "192.0.2.1", 4, 0, &v[1]), 0); /* a proxy */
    assert_int_equal(crowd_enter(&c, "2001:db8:1:2::5", 4, 1, &v[2]), 0);
    assert_int_equal(crowd_enter(&c, "2001:db8:1:2:9::1", 4, 1, &v[3]), 429);
    assert_int_equal(crowd_enter(&c, "2001:db8:1:3::5", 4, 1, &v[3]), 0);
    assert_int_equal(crowd_enter(&c, "192.0.2.2", 4, 1, &v[4]), 503);
    for (int i = 0; i < 4; i++) crowd_leave(&c, v[i]);
    assert_int_equal(c.count, 0);
    assert_int_equal(crowd_enter(&c, "192.0.2.1", 4, 1, &v[0]), 0); /* nothing of before is left */
    crowd_leave(&c, v[0]);
    crowd_free(&c);
}

static void one_connection_too_many_is_told_so(void **state) {
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    (void)state;
    o.connections_per_address = 2;
    world_open(&w, &o);
    int one = dial(&w), two = dial(&w);
    turn(&w, 20);
    int three = dial(&w);
    assert_true(hear(&w, three, &got, NULL));
    assert_non_null(strstr(got.data, "HTTP/1.1 429 "));
    assert_non_null(strstr(got.data, "\"code\":\"too_many_connections\""));
    assert_non_null(strstr(got.data, "Retry-After: 5\r\n"));
    close(two);
    turn(&w, 50);
    buf_clear(&got);
    int four = dial(&w); /* there is room again */
    say(four, "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(hear(&w, four, &got, "hello"));
    close(one), close(three), close(four);
    buf_free(&got);
    close_world(&w);
}

static void the_total_is_limited_and_a_proxy_only_by_it(void **state) {
    static const char *const proxies[] = {"127.0.0.1", NULL};
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    int fds[4];
    (void)state;
    o.connections = 3, o.connections_per_address = 1, o.proxies = proxies;
    world_open(&w, &o);
    for (int i = 0; i < 4; i++) {
        fds[i] = dial(&w);
        turn(&w, 20);
    }
    assert_true(hear(&w, fds[3], &got, NULL));
    assert_non_null(strstr(got.data, "HTTP/1.1 503 "));
    for (int i = 0; i < 4; i++) close(fds[i]);
    buf_free(&got);
    close_world(&w);
}

/* How slow they may be */

static void who_reads_a_byte_now_and_then_is_ended(void **state) {
    struct http_times kept = http_times;
    uint64_t rate = http_least_rate;
    struct world w;
    struct http_server_opts o = opts();
    char some[512];
    bool ended = false;
    (void)state;
    http_times.tick = 10, http_times.stall = 300, http_least_rate = 20u << 20;
    world_open(&w, &o);
    int fd = dial(&w);
    int small = 4096;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    say(fd, "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 400 && !ended; i++) {
        turn(&w, 5);
        ended = recv(fd, some, sizeof some, 0) < 0 && errno != EAGAIN; /* it does go on all the time */
        ended = ended || w.server->conns == NULL;
    }
    assert_true(ended);
    assert_int_equal(stream_unsent(), 0);
    close(fd);
    http_times = kept, http_least_rate = rate;
    close_world(&w);
}

static void who_does_not_read_goes_first_when_too_much_waits(void **state) {
    struct http_times kept = http_times;
    size_t limit = http_unsent_limit;
    struct world w;
    struct http_server_opts o = opts();
    int fds[3];
    (void)state;
    http_times.tick = 10, http_times.crowded = 50, http_unsent_limit = 6 << 20;
    world_open(&w, &o);
    for (int i = 0; i < 3; i++) {
        fds[i] = dial(&w);
        say(fds[i], "GET /large HTTP/1.1\r\nHost: x\r\n\r\n");
        turn(&w, 20);
    }
    for (int i = 0; i < 100 && stream_unsent() > http_unsent_limit; i++) turn(&w, 10);
    assert_true(stream_unsent() <= http_unsent_limit);
    for (int i = 0; i < 3; i++) close(fds[i]);
    http_times = kept, http_unsent_limit = limit;
    close_world(&w);
}

static void what_is_pipelined_behind_a_running_request_is_not_gathered(void **state) {
    struct world w;
    struct http_server_opts o = opts();
    char *block = mem_alloc(1 << 20);
    (void)state;
    memset(block, 'x', 1 << 20);
    world_open(&w, &o);
    seen.hold = true;
    int fd = dial(&w);
    say(fd, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 100; i++) {
        ssize_t n = send(fd, block, 1 << 20, MSG_NOSIGNAL);
        (void)n;
        turn(&w, 1);
    }
    assert_non_null(seen.held);
    assert_true(w.server->conns->in.len <= 64 * 1024);
    http_reply(seen.held, 200, NULL, "x", 1);
    close(fd);
    free(block);
    close_world(&w);
}

/* most[0]: requests begun between two beats of the loop, at most; most[1]: begun before this beat */
static void on_beat(uv_timer_t *t) {
    int *most = t->data;
    if (seen.requests - most[1] > most[0]) most[0] = seen.requests - most[1];
    most[1] = seen.requests;
}

static void many_that_come_at_once_leave_the_loop_its_turns(void **state) {
    struct world w;
    struct buf got = {0}, text = {0};
    struct http_server_opts o = opts();
    int most[2] = {0};
    uv_timer_t beat;
    int fds[20];
    (void)state;
    world_open(&w, &o);
    uv_timer_init(&w.loop, &beat);
    beat.data = most;
    uv_timer_start(&beat, on_beat, 1, 1);
    for (int i = 0; i < 10; i++) buf_add_str(&text, "GET /work HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 20; i++) {
        fds[i] = dial(&w);
        say_bytes(fds[i], text.data, text.len);
    }
    turn(&w, 1);
    for (int i = 1; i < 10; i++) close(fds[i]); /* while their requests wait */
    turn(&w, 30);
    say(fds[0], "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(hear(&w, fds[0], &got, NULL));
    assert_true(seen.requests > 10 && seen.requests < 201);
    assert_in_range(most[0], 1, 6); /* 4 ms each; without turns all 200 */
    for (int i = 0; i < 20; i++)
        if (i < 1 || i >= 10) close(fds[i]);
    uv_close((uv_handle_t *)&beat, NULL);
    buf_free(&got);
    buf_free(&text);
    close_world(&w);
}

static void who_asks_much_waits_behind_himself(void **state) {
    struct world w;
    struct buf got = {0}, text = {0};
    struct http_server_opts o = opts();
    int fds[60];
    (void)state;
    world_open(&w, &o);
    for (int i = 0; i < 5; i++) buf_add_str(&text, "GET /work HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 60; i++) {
        fds[i] = dial(&w);
        say_bytes(fds[i], text.data, text.len);
    }
    turn(&w, 1);
    int polite = dial_from(&w, "127.0.0.2"), before = seen.requests;
    say(polite, "GET /polite HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(hear(&w, polite, &got, "hello"));
    assert_in_range(seen.polite_at, 1, before + 20); /* some turns of 10 ms; in one line for all it was behind 60 */
    turn(&w, 1);
    for (int i = 0; i < 60; i += 2) close(fds[i]); /* while their requests wait */
    turn(&w, 50);
    for (int i = 1; i < 60; i += 2) close(fds[i]);
    close(polite);
    buf_free(&got);
    buf_free(&text);
    close_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_address_is_counted_and_an_ipv6_home_is_one),
        cmocka_unit_test(one_connection_too_many_is_told_so),
        cmocka_unit_test(the_total_is_limited_and_a_proxy_only_by_it),
        cmocka_unit_test(who_reads_a_byte_now_and_then_is_ended),
        cmocka_unit_test(who_does_not_read_goes_first_when_too_much_waits),
        cmocka_unit_test(what_is_pipelined_behind_a_running_request_is_not_gathered),
        cmocka_unit_test(many_that_come_at_once_leave_the_loop_its_turns),
        cmocka_unit_test(who_asks_much_waits_behind_himself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
