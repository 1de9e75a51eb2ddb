/* SPDX-License-Identifier: Apache-2.0 */
#include "http_world.h"
#include "io/http_conn.h"
#include "io/ws_frame.h"

static struct {
    int requests, gone, ws_opened, ws_messages, ws_closed, ws_code;
    char path[256], query[256], method[32], remote[64];
    struct buf body, text;
    struct http_request *held;
    struct ws *ws;
    bool hold;
} seen;

static void on_gone(void *arg) {
    (*(int *)arg)++;
}

static void on_request(void *arg, struct http_request *r) {
    size_t len;
    (void)arg;
    seen.requests++;
    snprintf(seen.path, sizeof seen.path, "%s", http_path(r));
    snprintf(seen.query, sizeof seen.query, "%s", http_query(r));
    snprintf(seen.method, sizeof seen.method, "%s", http_method(r));
    snprintf(seen.remote, sizeof seen.remote, "%s", http_remote(r));
    const char *body = http_body(r, &len);
    buf_clear(&seen.body);
    buf_add(&seen.body, body, len);
    if (seen.hold) {
        seen.held = r;
        http_on_gone(r, on_gone, &seen.gone);
        return;
    }
    if (strcmp(http_path(r), "/large") == 0) {
        char *large = mem_alloc(3 << 20);
        memset(large, 'x', 3 << 20);
        http_reply(r, 200, NULL, large, 3 << 20);
        free(large);
        return;
    }
    const char *echo = http_header(r, "x-echo");
    struct http_field fields[] = {
        {"X-Echo", echo ? echo : "none"}, {"X-Bad", "a\r\nSet-Cookie: b"}, {"Content-Length", "7"}, {NULL, NULL}};
    http_reply(r, 200, fields, http_path(r), strlen(http_path(r)));
}

static int on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    (void)arg;
    if (strcmp(http_path(r), "/ws") != 0) {
        *reply_body = mem_strdup("{\"status\":403,\"detail\":\"no entry\"}");
        return 403;
    }
    *session = &seen;
    return 101;
}

static void on_ws_open(void *session, struct ws *ws) {
    assert_ptr_equal(session, &seen);
    seen.ws_opened++;
    seen.ws = ws;
}

static void on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    struct err e;
    assert_ptr_equal(session, &seen);
    assert_false(binary);
    seen.ws_messages++;
    buf_clear(&seen.text);
    buf_add(&seen.text, data, len);
    assert_int_equal(ws_send(ws, data, len, &e), 0);
}

static void on_ws_close(void *session, int code) {
    assert_ptr_equal(session, &seen);
    seen.ws_closed++;
    seen.ws_code = code;
    seen.ws = NULL;
}

static const struct http_body_limit limits[] = {{"/upload", 4 << 20}, {NULL, 0}};

static void open_server(struct world *w) {
    struct http_server_opts o = {.on_request = on_request,
                                 .on_upgrade = on_upgrade,
                                 .on_ws_open = on_ws_open,
                                 .on_ws_message = on_ws_message,
                                 .on_ws_close = on_ws_close,
                                 .body_limit = 1000,
                                 .body_limits = limits,
                                 .ws_message_limit = 1000,
                                 .ws_queue_limit = 4 << 20};
    buf_free(&seen.body);
    buf_free(&seen.text);
    memset(&seen, 0, sizeof seen);
    world_open(w, &o);
}

static void close_world(struct world *w) {
    world_close(w);
    buf_free(&seen.body);
    buf_free(&seen.text);
}

/* One connection says text (len 0: up to its NUL); what comes back until the server closes must begin with want and hold more. */
static void expect(const char *text, size_t len, const char *want, const char *more) {
    struct world w;
    struct buf got = {0};
    open_server(&w);
    int fd = dial(&w);
    say_bytes(fd, text, len ? len : strlen(text));
    bool closed = hear(&w, fd, &got, NULL);
    if (!closed || got.len == 0 || strncmp(got.data, want, strlen(want)) != 0 || strstr(got.data, more) == NULL)
        fail_msg("wanted %s ... %s, got %s", want, more, got.data ? got.data : "nothing");
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void refuses(const char *text, int status) {
    char want[32];
    snprintf(want, sizeof want, "HTTP/1.1 %d ", status);
    expect(text, strlen(text), want, "application/problem+json");
    assert_int_equal(seen.requests, 0);
}

static void a_refusal_has_a_code_and_a_trace(void **state) {
    static const char given[] = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    char text[512];
    (void)state;
    expect("GET / HTTP/3.0\r\n\r\n", 0, "HTTP/1.1 505 ", "\"code\":\"http_version\"");
    expect("nonsense\r\n\r\n", 0, "HTTP/1.1 400 ", "\"type\":\"urn:parley:problem:bad_http\"");
    expect("nonsense\r\n\r\n", 0, "HTTP/1.1 400 ", "\"trace\":\"");
    snprintf(text, sizeof text, "POST /a HTTP/1.1\r\nHost: x\r\ntraceparent: %s\r\nContent-Length: 2000\r\n\r\n",
             given);
    expect(text, 0, "HTTP/1.1 413 ", "\"trace\":\"4bf92f3577b34da6a3ce929d0e0e4736\"");
    expect(text, 0, "HTTP/1.1 413 ", "\"instance\":\"/a\"");
    expect(text, 0, "HTTP/1.1 413 ", "limit of 1000 bytes");
    /* One that is none is not repeated: it would stand in the log. */
    expect("POST / HTTP/1.1\r\nHost: x\r\ntraceparent: 00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01\r\n"
           "Content-Length: 2000\r\n\r\n",
           0, "HTTP/1.1 413 ", "\"code\":\"body_too_large\"");
}

static void bodies_of_many_strangers_do_not_take_all_memory(void **state) {
    struct world w;
    struct buf got = {0};
    int fds[4];
    bool never = false;
    size_t before = http_bodies_limit;
    char *part = mem_alloc(100001);
    (void)state;
    http_bodies_limit = 350000;
    memset(part, 'x', 100000);
    open_server(&w);
    for (int i = 0; i < 4; i++) { /* each far below the limit of its path, and none of them ends */
        fds[i] = dial(&w);
        say(fds[i], "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n");
        say_bytes(fds[i], part, 100000);
        if (i < 3) world_turn(&w, &never, 50);
    }
    hear(&w, fds[3], &got, "503");
    assert_non_null(got.data);
    assert_non_null(strstr(got.data, "HTTP/1.1 503 "));
    assert_non_null(strstr(got.data, "\"code\":\"not_available\""));
    buf_clear(&got);
    for (int i = 0; i < 4; i++) close(fds[i]);
    int fd = dial(&w); /* what the others held is free again */
    say(fd, "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    say_bytes(fd, part, 100000);
    assert_true(hear(&w, fd, &got, "/upload"));
    http_bodies_limit = before;
    free(part);
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void a_request_reaches_its_handler_raw_and_is_answered(void **state) {
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    say(fd, "GET /a%2Fb/../c//d?x=1+2&y=%20 HTTP/1.1\r\nHost: x\r\nX-Echo:  hi there \r\n\r\n");
    assert_true(hear(&w, fd, &got, "/a%2Fb/../c//d"));
    assert_string_equal(seen.path, "/a%2Fb/../c//d");
    assert_string_equal(seen.query, "x=1+2&y=%20");
    assert_string_equal(seen.remote, "127.0.0.1");
    assert_non_null(strstr(got.data, "HTTP/1.1 200 OK\r\n"));
    assert_non_null(strstr(got.data, "X-Echo: hi there\r\n"));
    assert_non_null(strstr(got.data, "Content-Length: 14\r\n"));
    assert_null(strstr(got.data, "Content-Length: 7"));
    assert_null(strstr(got.data, "X-Bad"));
    assert_null(strstr(got.data, "Set-Cookie"));
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void pipelined_requests_are_answered_in_order(void **state) {
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    say(fd, "POST /1 HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /2 HTTP/1.1\r\nHost: x\r\n\r\n"
            "POST /3 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;q=1\r\nde\r\n0\r\nTrail: "
            "er\r\n\r\n"
            "HEAD /4 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(hear(&w, fd, &got, NULL));
    assert_int_equal(seen.requests, 4);
    char *one = strstr(got.data, "\r\n\r\n/1"), *two = strstr(got.data, "\r\n\r\n/2"),
         *three = strstr(got.data, "\r\n\r\n/3");
    assert_true(one && two && three && one < two && two < three);
    assert_null(strstr(got.data, "\r\n\r\n/4")); /* HEAD */
    assert_non_null(strstr(three, "Content-Length: 2\r\n"));
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void bytes_may_come_one_by_one(void **state) {
    struct world w;
    struct buf got = {0};
    bool never = false;
    const char *text =
        "\r\nPOST /slow HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n00\r\n\r\n";
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    for (size_t i = 0; text[i]; i++) {
        say_bytes(fd, text + i, 1);
        world_turn(&w, &never, 1);
    }
    assert_true(hear(&w, fd, &got, "/slow"));
    assert_int_equal(seen.body.len, 5);
    assert_memory_equal(seen.body.data, "hello", 5);
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void what_two_parsers_could_read_differently_is_refused(void **state) {
    (void)state;
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3, 3\r\n\r\nabc", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: +3\r\n\r\nabc", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0x3\r\n\r\nabc", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\nabc", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length:\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    refuses("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\nHost: x\n\n", 400);
    refuses("GET / HTTP/1.1\r\nHost: x\rX: y\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3 \r\nabc\r\n0\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", 400);
    refuses("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\n", 400);
}

static void what_is_not_http_is_refused(void **state) {
    static const char nul[] = "GET / HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n";
    (void)state;
    expect(nul, sizeof nul - 1, "HTTP/1.1 400 ", "control byte");
    assert_int_equal(seen.requests, 0);
    refuses("GET / HTTP/1.1\r\nHost: x\r\nX: a\x01 b\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\r\nHost: x\r\nX y: a\r\n\r\n", 400);
    refuses("GET / HTTP/1.1\r\nHost: x\r\nnothing\r\n\r\n", 400);
    refuses("GET  / HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    refuses("GET nowhere HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    refuses("GET /#f HTTP/1.1\r\nHost: x\r\n\r\n", 400);
    refuses("GET /\r\n\r\n", 400);
    refuses("GET / HTTP/1.1x\r\nHost: x\r\n\r\n", 400);
    refuses("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400);
    refuses("GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505);
    refuses("GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417);
}

static void a_limit_is_told_when_it_is_passed(void **state) {
    (void)state;
    expect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1001\r\n\r\n", 0, "HTTP/1.1 413 ", "1000 bytes");
    expect("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n", 0, "HTTP/1.1 413 ", "1000 bytes");
    char *text = mem_alloc(40000);
    size_t n = (size_t)sprintf(text, "GET /");
    memset(text + n, 'a', 9000);
    strcpy(text + n + 9000, " HTTP/1.1\r\nHost: x\r\n\r\n");
    expect(text, strlen(text), "HTTP/1.1 414 ", "8 KiB");
    n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: x\r\nX: ");
    memset(text + n, 'a', 20000);
    strcpy(text + n + 20000, "\r\n\r\n");
    expect(text, strlen(text), "HTTP/1.1 431 ", "16 KiB");
    n = (size_t)sprintf(text, "GET / HTTP/1.1\r\nHost: x\r\n");
    for (int i = 0; i < 130; i++) n += (size_t)sprintf(text + n, "X: y\r\n");
    strcpy(text + n, "\r\n");
    expect(text, strlen(text), "HTTP/1.1 431 ", "128 headers");
    free(text);
    assert_int_equal(seen.requests, 0);
}

static void a_path_prefix_may_allow_a_larger_body(void **state) {
    struct world w;
    struct buf got = {0};
    bool never = false;
    char block[4096];
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    memset(block, 'b', sizeof block);
    say(fd, "POST /upload/x HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\nExpect: 100-continue\r\n\r\n");
    assert_true(hear(&w, fd, &got, "HTTP/1.1 100 Continue\r\n\r\n"));
    for (int i = 0; i < 256; i++) {
        say_bytes(fd, block, sizeof block);
        world_turn(&w, &never, 1);
    }
    assert_true(hear(&w, fd, &got, "/upload/x"));
    assert_int_equal(seen.body.len, 1048576);
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void a_refused_body_is_read_to_its_end_so_that_the_answer_arrives(void **state) {
    struct world w;
    struct buf got = {0};
    char block[60000];
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    memset(block, 'b', sizeof block);
    say(fd, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n");
    say_bytes(fd, block, sizeof block);
    assert_true(hear(&w, fd, &got, "1000 bytes"));
    assert_true(hear(&w, fd, &got, NULL));
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void a_request_that_never_ends_is_timed_out(void **state) {
    struct http_times kept = http_times;
    (void)state;
    http_times.tick = 10, http_times.request = 50;
    expect("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc", 0, "HTTP/1.1 408 ", "30 seconds");
    expect("POST / HT", 0, "HTTP/1.1 408 ", "30 seconds");
    http_times = kept;
}

static void a_reply_whose_client_is_gone_goes_nowhere(void **state) {
    struct world w;
    bool never = false;
    (void)state;
    open_server(&w);
    seen.hold = true;
    int fd = dial(&w);
    say(fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 200 && seen.held == NULL; i++) world_turn(&w, &never, 5);
    assert_non_null(seen.held);
    close(fd);
    for (int i = 0; i < 200 && seen.gone == 0; i++) world_turn(&w, &never, 5);
    assert_int_equal(seen.gone, 1);
    assert_string_equal(http_path(seen.held), "/held");
    http_reply(seen.held, 200, NULL, "x", 1);
    close_world(&w);
}

static void a_held_request_is_answered_after_its_server_closed(void **state) {
    struct world w;
    bool never = false;
    (void)state;
    open_server(&w);
    seen.hold = true;
    int fd = dial(&w);
    say(fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 200 && seen.held == NULL; i++) world_turn(&w, &never, 5);
    close_world(&w);
    assert_int_equal(seen.gone, 1);
    http_reply(seen.held, 200, NULL, "x", 1);
    close(fd);
}

static void closing_lets_a_running_request_finish(void **state) {
    struct world w;
    struct buf got = {0}, idle_got = {0};
    bool never = false;
    (void)state;
    open_server(&w);
    seen.hold = true;
    int idle = dial(&w), fd = dial(&w);
    say(fd, "GET /held HTTP/1.1\r\nHost: x\r\n\r\n");
    for (int i = 0; i < 200 && seen.held == NULL; i++) world_turn(&w, &never, 5);
    http_server_close(w.server, 5000, set_flag, &w.server_closed);
    assert_true(hear(&w, idle, &idle_got, NULL)); /* idle: closed at once */
    assert_false(w.server_closed);
    http_reply(seen.held, 200, NULL, "done", 4);
    assert_true(hear(&w, fd, &got, NULL));
    assert_non_null(strstr(got.data, "Connection: close\r\n"));
    assert_non_null(strstr(got.data, "\r\n\r\ndone"));
    close(fd);
    close(idle);
    assert_true(world_turn(&w, &w.server_closed, 3000));
    buf_free(&got);
    close_world(&w);
}

static void a_slow_reader_gets_a_large_reply_whole(void **state) {
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    say(fd, "GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    assert_true(hear(&w, fd, &got, NULL));
    assert_true(got.len > 3 << 20);
    buf_free(&got);
    close(fd);
    close_world(&w);
}

/* WebSocket */

static int dial_ws(struct world *w, struct buf *got) {
    int fd = dial(w);
    say(fd,
        "GET /ws?cursor=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: chat\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n");
    assert_true(hear(w, fd, got, "\r\n\r\n"));
    assert_non_null(strstr(got->data, "HTTP/1.1 101 "));
    assert_non_null(strstr(got->data, "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"));
    assert_null(strstr(got->data, "Protocol:"));
    assert_null(strstr(got->data, "Extensions:"));
    buf_clear(got);
    return fd;
}

static void frame(int fd, int first, const char *text, size_t len) {
    unsigned char head[14] = {(unsigned char)first};
    size_t n = 2;
    if (len < 126) {
        head[1] = (unsigned char)(0x80 | len);
    } else {
        head[1] = 0x80 | 126;
        head[2] = (unsigned char)(len >> 8);
        head[3] = (unsigned char)len;
        n = 4;
    }
    memcpy(head + n, "\1\2\3\4", 4);
    n += 4;
    char *masked = mem_alloc(n + len);
    memcpy(masked, head, n);
    for (size_t i = 0; i < len; i++) masked[n + i] = (char)(text[i] ^ "\1\2\3\4"[i & 3]);
    say_bytes(fd, masked, n + len);
    free(masked);
}

static void fragments_make_one_message_and_pings_are_answered(void **state) {
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial_ws(&w, &got);
    frame(fd, 0x01, "gr\xC3", 3);
    frame(fd, 0x89, "p", 1);
    frame(fd, 0x80, "\xBC\xC3\x9F", 3);
    assert_true(hear(&w, fd, &got, "gr\xC3\xBC\xC3\x9F"));
    assert_int_equal(seen.ws_messages, 1);
    assert_memory_equal(got.data, "\x8A\x01p\x81\x06gr", 7);
    buf_clear(&got);
    frame(fd, 0x88,
          "\x03\xE8"
          "bye",
          5);
    assert_true(hear(&w, fd, &got, "\x88\x02\x03\xE8"));
    close(fd);
    close_world(&w);
    assert_int_equal(seen.ws_closed, 1);
    assert_int_equal(seen.ws_code, 1000);
    buf_free(&got);
}

static void ws_breaks_with(int code, int first, const char *text, size_t len) {
    struct world w;
    struct buf got = {0};
    open_server(&w);
    int fd = dial_ws(&w, &got);
    frame(fd, first, text, len);
    assert_true(hear(&w, fd, &got, NULL));
    assert_true(got.len >= 4 && (unsigned char)got.data[0] == 0x88);
    assert_int_equal((unsigned char)got.data[2] << 8 | (unsigned char)got.data[3], code);
    close(fd);
    close_world(&w);
    assert_int_equal(seen.ws_messages, 0);
    assert_int_equal(seen.ws_closed, 1);
    assert_int_equal(seen.ws_code, code);
    buf_free(&got);
}

static void a_broken_frame_closes_with_its_code(void **state) {
    char large[1001];
    (void)state;
    memset(large, 'x', sizeof large);
    ws_breaks_with(1009, 0x81, large, sizeof large);
    ws_breaks_with(1007, 0x81, "\xFF\xFE", 2);
    ws_breaks_with(1002, 0xC1, "x", 1);        /* reserved bit */
    ws_breaks_with(1002, 0x83, "x", 1);        /* unknown opcode */
    ws_breaks_with(1002, 0x80, "x", 1);        /* nothing to continue */
    ws_breaks_with(1002, 0x09, "x", 1);        /* fragmented ping */
    ws_breaks_with(1002, 0x88, "x", 1);        /* half a close code */
    ws_breaks_with(1002, 0x88, "\x03\xED", 2); /* 1005 is never sent */
}

static void an_unmasked_frame_closes_with_1002(void **state) {
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial_ws(&w, &got);
    say_bytes(fd, "\x81\x01x", 3);
    assert_true(hear(&w, fd, &got, "\x03\xEA"));
    close(fd);
    close_world(&w);
    assert_int_equal(seen.ws_messages, 0);
    buf_free(&got);
}

static void a_refused_upgrade_reaches_the_client_as_a_problem(void **state) {
    static const char head[] = "Host: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n";
    char text[512];
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial(&w);
    snprintf(text, sizeof text,
             "GET /no HTTP/1.1\r\n%sSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             head);
    say(fd, text);
    assert_true(hear(&w, fd, &got, "no entry"));
    assert_non_null(strstr(got.data, "HTTP/1.1 403 "));
    assert_non_null(strstr(got.data, "application/problem+json"));
    buf_clear(&got);
    snprintf(text, sizeof text,
             "GET /ws HTTP/1.1\r\n%sSec-WebSocket-Version: 8\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             head);
    say(fd, text);
    assert_true(hear(&w, fd, &got, "version 13"));
    assert_non_null(strstr(got.data, "HTTP/1.1 426 "));
    buf_clear(&got);
    snprintf(text, sizeof text, "GET /ws HTTP/1.1\r\n%sSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n\r\n",
             head);
    say(fd, text);
    assert_true(hear(&w, fd, &got, "handshake"));
    assert_non_null(strstr(got.data, "HTTP/1.1 400 "));
    assert_int_equal(seen.ws_opened, 0);
    buf_free(&got);
    close(fd);
    close_world(&w);
}

static void a_full_queue_says_so(void **state) {
    struct world w;
    struct buf got = {0};
    struct err e;
    (void)state;
    open_server(&w);
    int fd = dial_ws(&w, &got);
    char *text = mem_alloc(1 << 20);
    memset(text, 'x', 1 << 20);
    int rc = 0, sent = 0;
    while (rc == 0 && sent++ < 100) rc = ws_send(seen.ws, text, 1 << 20, &e);
    assert_int_equal(rc, ERR_LIMIT);
    assert_true(ws_queued(seen.ws) <= 4 << 20);
    free(text);
    close(fd);
    close_world(&w);
    assert_int_equal(seen.ws_code, 1006);
    buf_free(&got);
}

static void a_peer_that_answers_no_ping_is_dropped(void **state) {
    struct http_times kept = http_times;
    struct world w;
    struct buf got = {0};
    (void)state;
    http_times.tick = 10, http_times.ping = 40;
    open_server(&w);
    int fd = dial_ws(&w, &got);
    assert_true(hear(&w, fd, &got, NULL));
    assert_memory_equal(got.data, "\x89\x00", 2);
    assert_int_equal(seen.ws_closed, 1);
    assert_int_equal(seen.ws_code, 1006);
    close(fd);
    close_world(&w);
    buf_free(&got);
    http_times = kept;
}

static void a_closing_server_sends_1001(void **state) {
    struct world w;
    struct buf got = {0};
    (void)state;
    open_server(&w);
    int fd = dial_ws(&w, &got);
    http_server_close(w.server, 5000, set_flag, &w.server_closed);
    assert_true(hear(&w, fd, &got, "\x03\xE9"));
    frame(fd, 0x88, "\x03\xE9", 2);
    assert_true(hear(&w, fd, &got, NULL));
    close(fd);
    assert_true(world_turn(&w, &w.server_closed, 3000));
    assert_int_equal(seen.ws_code, 1001);
    close_world(&w);
    buf_free(&got);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_has_a_code_and_a_trace),
        cmocka_unit_test(bodies_of_many_strangers_do_not_take_all_memory),
        cmocka_unit_test(a_request_reaches_its_handler_raw_and_is_answered),
        cmocka_unit_test(pipelined_requests_are_answered_in_order),
        cmocka_unit_test(bytes_may_come_one_by_one),
        cmocka_unit_test(what_two_parsers_could_read_differently_is_refused),
        cmocka_unit_test(what_is_not_http_is_refused),
        cmocka_unit_test(a_limit_is_told_when_it_is_passed),
        cmocka_unit_test(a_path_prefix_may_allow_a_larger_body),
        cmocka_unit_test(a_refused_body_is_read_to_its_end_so_that_the_answer_arrives),
        cmocka_unit_test(a_request_that_never_ends_is_timed_out),
        cmocka_unit_test(a_reply_whose_client_is_gone_goes_nowhere),
        cmocka_unit_test(a_held_request_is_answered_after_its_server_closed),
        cmocka_unit_test(closing_lets_a_running_request_finish),
        cmocka_unit_test(a_slow_reader_gets_a_large_reply_whole),
        cmocka_unit_test(fragments_make_one_message_and_pings_are_answered),
        cmocka_unit_test(a_broken_frame_closes_with_its_code),
        cmocka_unit_test(an_unmasked_frame_closes_with_1002),
        cmocka_unit_test(a_refused_upgrade_reaches_the_client_as_a_problem),
        cmocka_unit_test(a_full_queue_says_so),
        cmocka_unit_test(a_peer_that_answers_no_ping_is_dropped),
        cmocka_unit_test(a_closing_server_sends_1001),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
