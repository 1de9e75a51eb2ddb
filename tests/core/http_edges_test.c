/* SPDX-License-Identifier: Apache-2.0 */
/* The server's edges: how many may come, how slow they may be, what HTTP/2 may flood, certificates that change, and
 * WebSocket messages that are packed or that nobody reads. */
#include "http_world.h"
#include "io/http_conn.h"
#include "io/http_crowd.h"
#include "io/ws_deflate.h"
#include "io/ws_frame.h"
#include <openssl/ssl.h>

static struct {
    int requests, messages, drained, closed, code;
    struct buf text;
    struct ws *ws;
    struct http_request *held, *all[1000];
    bool hold;
    int polite_at; /* how many had been handled when /polite was */
} seen;

static void on_request(void *arg, struct http_request *r) {
    (void)arg;
    seen.requests++;
    if (seen.hold) {
        seen.all[seen.requests - 1] = seen.held = r;
        return;
    }
    if (strcmp(http_path(r), "/work") == 0) {
        for (uint64_t until = uv_hrtime() + 4000000; uv_hrtime() < until;) {
        } /* 4 ms */
    }
    if (strcmp(http_path(r), "/polite") == 0) seen.polite_at = seen.requests;
    if (strcmp(http_path(r), "/large") == 0) {
        char *large = mem_alloc(8 << 20);
        http_reply(r, 200, NULL, large, 8 << 20);
        free(large);
        return;
    }
    http_reply(r, 200, NULL, "hello", 5);
}

static int on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    (void)arg;
    (void)r;
    (void)reply_body;
    *session = &seen;
    return 101;
}

static void on_ws_open(void *session, struct ws *ws) {
    (void)session;
    seen.ws = ws;
}

static void on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    (void)session;
    (void)ws;
    (void)binary;
    seen.messages++;
    buf_clear(&seen.text);
    buf_add(&seen.text, data, len);
}

static void on_ws_drain(void *session, struct ws *ws) {
    (void)session;
    (void)ws;
    seen.drained++;
}

static void on_ws_close(void *session, int code) {
    (void)session;
    seen.closed++;
    seen.code = code;
    seen.ws = NULL;
}

static struct http_server_opts opts(void) {
    buf_free(&seen.text);
    memset(&seen, 0, sizeof seen);
    return (struct http_server_opts){.on_request = on_request,
                                     .on_upgrade = on_upgrade,
                                     .on_ws_open = on_ws_open,
                                     .on_ws_message = on_ws_message,
                                     .on_ws_drain = on_ws_drain,
                                     .on_ws_close = on_ws_close,
                                     .ws_message_limit = 10000,
                                     .ws_queue_limit = 8 << 20,
                                     .ws_deflate = true};
}

static void close_world(struct world *w) {
    world_close(w);
    buf_free(&seen.text);
}

static void turn(struct world *w, int ms) {
    bool never = false;
    world_turn(w, &never, ms);
}

/* How many may come */

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

/* TLS and HTTP/2: a client on a blocking handshake would stop the loop, so all of it is driven in turns. */

struct tls_client {
    struct world *w;
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    struct buf got;
    bool over;
};

static void tls_open(struct tls_client *t, struct world *w) {
    static const unsigned char h2[] = "\x02h2";
    memset(t, 0, sizeof *t);
    t->w = w;
    t->fd = dial(w);
    t->ctx = SSL_CTX_new(TLS_client_method());
    t->ssl = SSL_new(t->ctx);
    SSL_set_fd(t->ssl, t->fd);
    SSL_set_alpn_protos(t->ssl, h2, 3);
    for (int i = 0; i < 1000 && SSL_connect(t->ssl) != 1; i++) turn(w, 2);
    assert_true(SSL_is_init_finished(t->ssl));
}

static void tls_close(struct tls_client *t) {
    SSL_free(t->ssl);
    SSL_CTX_free(t->ctx);
    close(t->fd);
    buf_free(&t->got);
}

static void tls_say(struct tls_client *t, const void *data, size_t len) {
    size_t done = 0;
    for (int i = 0; i < 2000 && done < len; i++) {
        int n = SSL_write(t->ssl, (const char *)data + done, (int)(len - done));
        if (n > 0)
            done += (size_t)n;
        else if (SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_WRITE || SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ)
            turn(t->w, 1);
        else
            break;
    }
}

/* Reads for a while; over says that the server ended. */
static void tls_hear(struct tls_client *t, int ms) {
    uint64_t until = clock_mono_ms() + (uint64_t)ms;
    while (!t->over && clock_mono_ms() < until) {
        char chunk[16384];
        int n = SSL_read(t->ssl, chunk, sizeof chunk);
        if (n > 0)
            buf_add(&t->got, chunk, (size_t)n);
        else if (SSL_get_error(t->ssl, n) == SSL_ERROR_WANT_READ)
            turn(t->w, 2);
        else
            t->over = true;
    }
}

static long serial(const struct tls_client *t) {
    X509 *x = SSL_get1_peer_certificate(t->ssl);
    long n = ASN1_INTEGER_get(X509_get_serialNumber(x));
    X509_free(x);
    return n;
}

static void h2_frame(struct tls_client *t, int type, int flags, int stream, const void *payload, size_t len) {
    unsigned char f[9 + 16384] = {0};
    f[1] = (unsigned char)(len >> 8), f[2] = (unsigned char)len;
    f[3] = (unsigned char)type, f[4] = (unsigned char)flags;
    f[7] = (unsigned char)(stream >> 8), f[8] = (unsigned char)stream;
    if (len) memcpy(f + 9, payload, len);
    tls_say(t, f, 9 + len);
}

static void h2_open(struct tls_client *t, struct world *w) {
    tls_open(t, w);
    tls_say(t, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24);
    h2_frame(t, 4, 0, 0, NULL, 0);
}

/* GET https://x/, END_HEADERS | END_STREAM */
static void h2_get(struct tls_client *t, int stream) {
    h2_frame(t, 1, 5, stream, "\x82\x87\x84\x41\x01x", 6);
}

/* Looks for a frame of this type; its payload, or NULL. */
static const unsigned char *h2_find(const struct tls_client *t, int type) {
    const unsigned char *p = (const unsigned char *)t->got.data;
    for (size_t at = 0; at + 9 <= t->got.len;) {
        size_t len = (size_t)p[at] << 16 | (size_t)p[at + 1] << 8 | p[at + 2];
        if (p[at + 3] == type && at + 9 + len <= t->got.len) return p + at + 9;
        at += 9 + len;
    }
    return NULL;
}

static void expect_goaway(struct tls_client *t, int code) {
    tls_hear(t, 3000);
    const unsigned char *away = h2_find(t, 7);
    assert_non_null(away);
    assert_int_equal(away[7], code);
    assert_true(t->over);
}

struct tls_world {
    struct world w;
    char cert[64], key[64];
};

static void open_tls(struct tls_world *x, struct http_server_opts o) {
    make_certificate(x->cert, x->key);
    o.cert_file = x->cert, o.key_file = x->key;
    world_open(&x->w, &o);
}

static void close_tls(struct tls_world *x) {
    close_world(&x->w);
    remove_certificate(x->cert, x->key);
}

static void a_changed_certificate_is_taken_up_and_a_broken_one_is_not(void **state) {
    struct http_times kept = http_times;
    struct tls_world x;
    struct tls_client before, after, still;
    (void)state;
    http_times.tick = 10, http_times.certificate = 10;
    open_tls(&x, opts());
    h2_open(&before, &x.w);
    assert_int_equal(serial(&before), 1);

    write_certificate(x.cert, x.key, 2);
    turn(&x.w, 200);
    tls_open(&after, &x.w);
    assert_int_equal(serial(&after), 2);
    h2_get(&before, 1); /* began with the old one and goes on */
    tls_hear(&before, 200);
    assert_non_null(h2_find(&before, 0));
    assert_false(before.over);

    FILE *f = fopen(x.cert, "w");
    assert_true(f && fputs("no certificate\n", f) > 0 && fclose(f) == 0);
    turn(&x.w, 200);
    tls_open(&still, &x.w);
    assert_int_equal(serial(&still), 2);
    tls_close(&still);

    char other[80];
    snprintf(other, sizeof other, "%s.other", x.key);
    write_certificate(x.cert, other, 3); /* whose key is another */
    turn(&x.w, 200);
    tls_open(&still, &x.w);
    assert_int_equal(serial(&still), 2);
    assert_int_equal(rename(other, x.key), 0);
    turn(&x.w, 200);
    tls_close(&still);
    tls_open(&still, &x.w);
    assert_int_equal(serial(&still), 3);

    tls_close(&before), tls_close(&after), tls_close(&still);
    close_tls(&x);
    http_times = kept;
}

static void a_flood_of_pings_or_settings_ends_the_connection(void **state) {
    (void)state;
    for (int type = 4; type <= 6; type += 2) {
        struct tls_world x;
        struct tls_client t;
        open_tls(&x, opts());
        h2_open(&t, &x.w);
        for (int i = 0; i < 4000; i++) h2_frame(&t, type, 0, 0, "12345678", type == 6 ? 8 : 0);
        expect_goaway(&t, 11); /* ENHANCE_YOUR_CALM */
        tls_close(&t);
        close_tls(&x);
    }
}

static void requests_that_are_reset_at_once_do_not_pile_up(void **state) {
    struct tls_world x;
    struct tls_client t;
    (void)state;
    open_tls(&x, opts());
    seen.hold = true;
    h2_open(&t, &x.w);
    for (int i = 0; i < 600; i++) {
        h2_get(&t, 1 + 2 * i);
        h2_frame(&t, 3, 0, 1 + 2 * i, "\0\0\0\x08", 4);
    }
    expect_goaway(&t, 11);
    assert_true(seen.requests > 0 && seen.requests <= 300);
    for (int i = 0; i < seen.requests; i++) http_reply(seen.all[i], 200, NULL, "", 0);
    tls_close(&t);
    close_tls(&x);
}

static void a_head_without_end_ends_the_connection(void **state) {
    struct tls_world x;
    struct tls_client t;
    char part[1000];
    (void)state;
    memset(part, 0, sizeof part);
    open_tls(&x, opts());
    h2_open(&t, &x.w);
    h2_frame(&t, 1, 0, 1, "\x82\x87\x84\x41\x01x", 6); /* no END_HEADERS */
    for (int i = 0; i < 100; i++) h2_frame(&t, 9, 0, 1, NULL, 0);
    tls_hear(&t, 3000);
    assert_true(t.over);
    assert_int_equal(seen.requests, 0);
    tls_close(&t);
    close_tls(&x);
}

static void a_window_that_stays_shut_does_not_hold_the_reply_for_ever(void **state) {
    struct http_times kept = http_times;
    uint64_t rate = http_least_rate;
    struct tls_world x;
    struct tls_client t;
    (void)state;
    http_times.tick = 10, http_times.stall = 100, http_least_rate = 1u << 30;
    open_tls(&x, opts());
    h2_open(&t, &x.w);
    h2_frame(&t, 1, 5, 1, "\x82\x87\x04\x06/large\x41\x01x", 13);
    for (int i = 0; i < 100 && !h2_find(&t, 3); i++) {
        h2_frame(&t, 8, 0, 1, "\0\0\0\1", 4); /* one byte more */
        tls_hear(&t, 5);
    }
    assert_non_null(h2_find(&t, 3)); /* RST_STREAM */
    assert_null(x.w.server->conns->h2 ? h2_find(&t, 7) : NULL);
    tls_close(&t);
    close_tls(&x);
    http_times = kept, http_least_rate = rate;
}

static void closing_says_goaway_and_lets_a_running_request_finish(void **state) {
    struct tls_world x;
    struct tls_client t;
    (void)state;
    open_tls(&x, opts());
    seen.hold = true;
    h2_open(&t, &x.w);
    h2_get(&t, 1);
    for (int i = 0; i < 200 && seen.held == NULL; i++) turn(&x.w, 5);
    assert_non_null(seen.held);
    http_server_close(x.w.server, 5000, set_flag, &x.w.server_closed);
    tls_hear(&t, 100);
    const unsigned char *away = h2_find(&t, 7);
    assert_non_null(away);
    assert_int_equal(away[3], 1); /* the last stream that is answered */
    assert_int_equal(away[7], 0);
    assert_false(t.over);
    http_reply(seen.held, 200, NULL, "done", 4);
    tls_hear(&t, 2000);
    assert_true(t.over);
    const unsigned char *data = h2_find(&t, 0);
    assert_non_null(data);
    assert_memory_equal(data, "done", 4);
    tls_close(&t);
    assert_true(world_turn(&x.w, &x.w.server_closed, 3000));
    close_tls(&x);
}

/* WebSocket */

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
        cmocka_unit_test(an_address_is_counted_and_an_ipv6_home_is_one),
        cmocka_unit_test(one_connection_too_many_is_told_so),
        cmocka_unit_test(the_total_is_limited_and_a_proxy_only_by_it),
        cmocka_unit_test(who_reads_a_byte_now_and_then_is_ended),
        cmocka_unit_test(who_does_not_read_goes_first_when_too_much_waits),
        cmocka_unit_test(what_is_pipelined_behind_a_running_request_is_not_gathered),
        cmocka_unit_test(many_that_come_at_once_leave_the_loop_its_turns),
        cmocka_unit_test(who_asks_much_waits_behind_himself),
        cmocka_unit_test(a_changed_certificate_is_taken_up_and_a_broken_one_is_not),
        cmocka_unit_test(a_flood_of_pings_or_settings_ends_the_connection),
        cmocka_unit_test(requests_that_are_reset_at_once_do_not_pile_up),
        cmocka_unit_test(a_head_without_end_ends_the_connection),
        cmocka_unit_test(a_window_that_stays_shut_does_not_hold_the_reply_for_ever),
        cmocka_unit_test(closing_says_goaway_and_lets_a_running_request_finish),
        cmocka_unit_test(offers_are_taken_or_declined),
        cmocka_unit_test(packed_messages_travel_both_ways),
        cmocka_unit_test(a_bomb_closes_with_1009_and_rubbish_with_its_code),
        cmocka_unit_test(a_flood_of_messages_closes_with_1008),
        cmocka_unit_test(a_message_that_never_ends_is_timed_out_whatever_comes_between),
        cmocka_unit_test(who_reads_again_is_told_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
