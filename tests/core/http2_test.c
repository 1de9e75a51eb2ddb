/* SPDX-License-Identifier: Apache-2.0 */
/* TLS and HTTP/2: certificates that change, and what may flood. A client on a blocking handshake would stop the loop, so all of
 * it is driven in turns. */
#include "http_witness.h"
#include "io/http_conn.h"
#include <openssl/ssl.h>

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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_changed_certificate_is_taken_up_and_a_broken_one_is_not),
        cmocka_unit_test(a_flood_of_pings_or_settings_ends_the_connection),
        cmocka_unit_test(requests_that_are_reset_at_once_do_not_pile_up),
        cmocka_unit_test(a_head_without_end_ends_the_connection),
        cmocka_unit_test(a_window_that_stays_shut_does_not_hold_the_reply_for_ever),
        cmocka_unit_test(closing_says_goaway_and_lets_a_running_request_finish),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
