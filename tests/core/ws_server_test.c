/* SPDX-License-Identifier: Apache-2.0 */
/* WebSocket messages that are packed, that are broken, or that nobody reads. */
#include "http_witness.h"
#include "io/http_conn.h"
#include "io/ws_deflate.h"
#include "io/ws_frame.h"

static int dial_ws(struct world *w, struct buf *got, const char *offer) {
    char text[512];
    int fd = dial(w);
    snprintf(text, sizeof text,
             "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
             "Sec-WebSocket-Extensions: %s\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
             offer);
    say(fd, text);
    assert_true(hear(w, fd, got, "\r\n\r\n"));
    return fd;
}

static void ws_say(int fd, int first, const void *data, size_t len) {
    unsigned char head[8] = {(unsigned char)first, (unsigned char)(0x80 | (len < 126 ? len : 126))};
    size_t n = 2;
    if (len >= 126) head[n++] = (unsigned char)(len >> 8), head[n++] = (unsigned char)len;
    n += 4; /* a mask of zeros */
    say_bytes(fd, head, n);
    if (len) say_bytes(fd, data, len);
}

static void offers_are_taken_or_declined(void **state) {
    static const struct {
        const char *offer;
        bool taken;
    } cases[] = {
        {"permessage-deflate", true},
        {"permessage-deflate; client_max_window_bits", true},
        {"permessage-deflate; client_max_window_bits=10; server_no_context_takeover", true},
        {"x-webkit-deflate-frame, Permessage-Deflate ; server_max_window_bits=\"15\"", true},
        {"permessage-deflate; server_max_window_bits=10, permessage-deflate", true},
        {"permessage-deflate; server_max_window_bits=10", false},
        {"permessage-deflate; server_max_window_bits", false},
        {"permessage-deflate; client_max_window_bits=7", false},
        {"permessage-deflate; client_max_window_bits=08", false},
        {"permessage-deflate; unknown", false},
        {"permessage-deflate; client_no_context_takeover; client_no_context_takeover", false},
        {"permessage-deflate; client_no_context_takeover=1", false},
        {"permessage-bzip2", false},
        {"", false},
        {",;,=", false},
    };
    (void)state;
    assert_false(ws_deflate_offered(NULL));
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (ws_deflate_offered(cases[i].offer) != cases[i].taken) fail_msg("%s", cases[i].offer);
}

static void packed_messages_travel_both_ways(void **state) {
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    struct err e;
    char text[3000];
    const struct buf *back;
    (void)state;
    world_open(&w, &o);
    int fd = dial_ws(&w, &got, "permessage-deflate; client_max_window_bits");
    assert_non_null(strstr(got.data, "Sec-WebSocket-Extensions: " WS_DEFLATE_ANSWER "\r\n"));
    buf_clear(&got);
    ws_say(fd, 0x41, "\xf2\x48\xcd", 3); /* RFC 7692, 7.2.3.1, in fragments */
    ws_say(fd, 0x80, "\xc9\xc9\x07\x00", 4);
    turn(&w, 50);
    assert_int_equal(seen.messages, 1);
    assert_string_equal(seen.text.data, "Hello");
    ws_say(fd, 0xC1, "\x00\x05\x00\xfa\xffHello\x00", 11);   /* a block that is stored */
    ws_say(fd, 0xC1, "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", 8); /* the last block marked as such */
    ws_say(fd, 0x81, "plain", 5);
    turn(&w, 50);
    assert_int_equal(seen.messages, 4);
    assert_string_equal(seen.text.data, "plain");

    memset(text, 'a', sizeof text);
    assert_int_equal(ws_send(seen.ws, text, sizeof text, &e), 0);
    assert_int_equal(ws_send(seen.ws, "short", 5, &e), 0);
    assert_true(hear(&w, fd, &got, "short"));
    assert_int_equal((unsigned char)got.data[0], 0xC1);
    size_t len = (size_t)got.data[1];
    assert_true(len < 100);
    assert_int_equal(ws_inflate(got.data + 2, len, 10000, &back), 0);
    assert_int_equal(back->len, sizeof text);
    assert_memory_equal(back->data, text, sizeof text);
    close(fd);
    buf_free(&got);
    close_world(&w);
}

static void ws_breaks_with(int code, const char *offer, int first, const void *data, size_t len) {
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    world_open(&w, &o);
    int fd = dial_ws(&w, &got, offer);
    ws_say(fd, first, data, len);
    assert_true(hear(&w, fd, &got, NULL));
    close(fd);
    buf_free(&got);
    close_world(&w);
    assert_int_equal(seen.code, code);
    assert_int_equal(seen.messages, 0);
}

static void a_bomb_closes_with_1009_and_rubbish_with_its_code(void **state) {
    static const char yes[] = "permessage-deflate";
    char *zeros = mem_alloc(500000);
    (void)state;
    const struct buf *bomb = ws_deflate(zeros, 500000);
    assert_non_null(bomb);
    assert_true(bomb->len < 10000); /* below the limit as it comes, far above when unpacked */
    ws_breaks_with(1009, yes, 0xC1, bomb->data, bomb->len);
    free(zeros);
    ws_breaks_with(1007, yes, 0xC1, "\xff\xff\xff\xff", 4);
    ws_breaks_with(1002, yes, 0xC9, "ping", 4);
    ws_breaks_with(1002, yes, 0xA1, "x", 1);
    ws_breaks_with(1002, "none", 0xC1, "\xf2\x48\xcd\xc9\xc9\x07\x00", 7);
}

static void a_flood_of_messages_closes_with_1008(void **state) {
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    (void)state;
    world_open(&w, &o);
    int fd = dial_ws(&w, &got, "none");
    for (int i = 0; i < 600; i++) say_bytes(fd, "\x81\x81\0\0\0\0x", 7);
    assert_true(hear(&w, fd, &got, NULL));
    close(fd);
    buf_free(&got);
    close_world(&w);
    assert_int_equal(seen.code, 1008);
    assert_in_range(seen.messages, 60, 65);
}

static void a_message_that_never_ends_is_timed_out_whatever_comes_between(void **state) {
    struct http_times kept = http_times;
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    (void)state;
    http_times.tick = 10, http_times.request = 100;
    world_open(&w, &o);
    int fd = dial_ws(&w, &got, "none");
    say_bytes(fd, "\x01\x81\0\0\0\0x", 7);
    for (int i = 0; i < 100 && seen.closed == 0; i++) {
        ssize_t n = send(fd, "\x8A\x80\0\0\0\0", 6, MSG_NOSIGNAL);
        (void)n;
        turn(&w, 10);
        hear(&w, fd, &got, "\x03\xF0");
        if (got.len > 2 && memmem(got.data, got.len, "\x03\xF0", 2)) break;
    }
    assert_non_null(memmem(got.data, got.len, "\x03\xF0", 2)); /* 1008 */
    close(fd);
    buf_free(&got);
    close_world(&w);
    http_times = kept;
}

static void who_reads_again_is_told_of(void **state) {
    struct http_times kept = http_times;
    struct world w;
    struct buf got = {0};
    struct http_server_opts o = opts();
    struct err e;
    char *large = mem_alloc(4 << 20);
    (void)state;
    http_times.tick = 10, http_times.ping = 500; /* pings stand behind what waits: they do not end a slow reader */
    world_open(&w, &o);
    int fd = dial_ws(&w, &got, "none");
    buf_clear(&got);
    assert_int_equal(ws_send(seen.ws, large, 4 << 20, &e), 0);
    assert_int_equal(ws_send(seen.ws, large, 4 << 20, &e), 0);
    assert_true(ws_queued(seen.ws) > 0);
    turn(&w, 1300);
    assert_int_equal(seen.drained, 0);
    assert_int_equal(seen.closed, 0);
    for (int i = 0; i < 3000 && seen.drained == 0; i++) {
        char chunk[65536];
        if (recv(fd, chunk, sizeof chunk, 0) < 0) turn(&w, 1);
    }
    assert_int_equal(seen.drained, 1);
    turn(&w, 50);
    assert_int_equal(seen.closed, 0);
    free(large);
    close(fd);
    buf_free(&got);
    close_world(&w);
    http_times = kept;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(offers_are_taken_or_declined),
        cmocka_unit_test(packed_messages_travel_both_ways),
        cmocka_unit_test(a_bomb_closes_with_1009_and_rubbish_with_its_code),
        cmocka_unit_test(a_flood_of_messages_closes_with_1008),
        cmocka_unit_test(a_message_that_never_ends_is_timed_out_whatever_comes_between),
        cmocka_unit_test(who_reads_again_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
