/* SPDX-License-Identifier: Apache-2.0 */
#include "http_world.h"
#include "io/net_inside.h"
#include "io/ws_client.h"
#include "ws_played.h"

enum { MANY = 80 };

static struct {
    int upgrades, ws_closed, ws_code, sent_back;
    char query[256], authorization[256], extra[64];
    struct ws *ws;
    bool silent, binary;
} server;

struct seen {
    int opened, messages, closed, drained;
    bool done, pauses; /* at each message */
    struct buf text;
    struct err why;
    struct ws_client *c;
};

static void on_request(void *arg, struct http_request *r) {
    (void)arg;
    http_reply(r, 404, NULL, "none", 4);
}

static int on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    (void)arg;
    const char *auth = http_header(r, "authorization"), *extra = http_header(r, "x-extra");
    *session = &server;
    *reply_body = NULL;
    server.upgrades++;
    snprintf(server.query, sizeof server.query, "%s", http_query(r));
    snprintf(server.authorization, sizeof server.authorization, "%s", auth ? auth : "");
    snprintf(server.extra, sizeof server.extra, "%s", extra ? extra : "");
    return strcmp(http_path(r), "/denied") == 0 ? 401 : strcmp(http_path(r), "/broken") == 0 ? 500 : 101;
}

static void on_ws_open(void *session, struct ws *ws) {
    (void)session;
    server.ws = ws;
}

static void on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    struct err e;
    (void)session;
    server.binary = binary;
    if (len == 3 && memcmp(data, "bye", 3) == 0)
        ws_close(ws, 4001, "as you said");
    else
        assert_int_equal(ws_send(ws, data, len, &e), 0);
}

static void on_ws_close(void *session, int code) {
    (void)session;
    server.ws_closed++;
    server.ws_code = code;
}

static void open_tls_server(struct world *w, const char *cert, const char *key) {
    struct http_server_opts o = {.on_request = on_request,
                                 .on_upgrade = on_upgrade,
                                 .on_ws_open = on_ws_open,
                                 .on_ws_message = on_ws_message,
                                 .on_ws_close = on_ws_close,
                                 .cert_file = cert,
                                 .key_file = key,
                                 .ws_message_limit = 4 << 20,
                                 .ws_queue_limit = 8 << 20};
    memset(&server, 0, sizeof server);
    world_open(w, &o);
}

static void on_open(void *arg) {
    ((struct seen *)arg)->opened++;
}

static void on_message(void *arg, const char *text, size_t len) {
    struct seen *s = arg;
    assert_int_equal(text[len], 0);
    s->messages++;
    s->done = true;
    if (s->pauses) ws_client_pause(s->c, true);
    buf_clear(&s->text);
    buf_add(&s->text, text, len);
}

static void on_close(void *arg, const struct err *e) {
    struct seen *s = arg;
    s->closed++;
    s->done = true;
    s->why = *e;
}

static struct ws_client *call(struct world *w, struct seen *s, struct ws_client_opts o, const char *url, ...) {
    char text[4096];
    va_list args;
    va_start(args, url);
    vsnprintf(text, sizeof text, url, args);
    va_end(args);
    memset(s, 0, sizeof *s);
    o.url = text;
    o.on_open = on_open;
    o.on_message = on_message;
    o.on_close = on_close;
    o.arg = s;
    return s->c = ws_client_open(w->net, &o);
}

static bool until_open(struct world *w, struct seen *s) {
    bool never = false;
    for (int i = 0; i < 1000 && !s->opened && !s->closed; i++) world_turn(w, &never, 5);
    return s->opened == 1;
}

static void until_server_heard(struct world *w) {
    bool never = false;
    for (int i = 0; i < 100 && server.ws_closed == 0; i++) world_turn(w, &never, 5);
}

static void it_says_who_it_is_and_gets_its_messages_back(void **state) {
    const char *headers[] = {"X-Extra: one", NULL};
    struct world w;
    struct seen s;
    struct err e;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){.user = "asterisk", .password = "p:w", .headers = headers, .quick_ack = true},
         "ws://localhost:%d/ari/events?app=parley&subscribeAll=true&api_key=a%%3Ab", w.port);
    assert_int_equal(ws_client_send(s.c, "early", 5, &e), ERR_CLOSED);
    assert_true(until_open(&w, &s));
    assert_string_equal(server.query, "app=parley&subscribeAll=true&api_key=a%3Ab");
    assert_string_equal(server.authorization, "Basic YXN0ZXJpc2s6cDp3");
    assert_string_equal(server.extra, "one");

    assert_int_equal(ws_client_send(s.c, "gr\xC3\xBC\xC3\x9F", 6, &e), 0);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_string_equal(s.text.data, "gr\xC3\xBC\xC3\x9F");

    char *large = mem_alloc(3000000); /* many reads */
    memset(large, 'x', 3000000);
    s.done = false;
    assert_int_equal(ws_client_send(s.c, large, 3000000, &e), 0);
    assert_true(world_turn(&w, &s.done, 10000));
    assert_int_equal(s.text.len, 3000000);
    free(large);

    s.done = false;
    ws_client_close(s.c, 1000);
    assert_int_equal(s.closed, 0); /* never from inside the call */
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.closed, 1);
    until_server_heard(&w);
    world_close(&w);
    assert_int_equal(server.ws_code, 1000);
    assert_int_equal(s.closed, 1);
    buf_free(&s.text);
}

/* Opens, waits for the end and wants it to be this. */
static void ends(struct world *w, struct ws_client_opts o, int code, const char *text, const char *url) {
    struct seen s;
    call(w, &s, o, url, w->port);
    assert_int_equal(s.closed, 0);
    if (!world_turn(w, &s.done, 6000)) fail_msg("%s never ended", url);
    assert_int_equal(s.closed, 1);
    assert_int_equal(s.opened, 0);
    if (s.why.code != code || strstr(s.why.text, text) == NULL)
        fail_msg("%s: wanted %d %s, got %d %s", url, code, text, s.why.code, s.why.text);
}

static void why_it_never_opened_is_told_once(void **state) {
    const char *bad[] = {"X: a\r\nY: b", NULL};
    struct ws_client_opts plain = {0};
    struct world w;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    ends(&w, plain, ERR_DENIED, "HTTP 401", "ws://127.0.0.1:%d/denied");
    ends(&w, plain, ERR_PROTOCOL, "HTTP 500", "ws://127.0.0.1:%d/broken");
    ends(&w, plain, ERR_IO, "cannot connect", "ws://127.0.0.1:1/x");
    ends(&w, plain, ERR_IO, "cannot connect", "ws://localhost:1/x");
    ends(&w, plain, ERR_IO, "cannot resolve", "ws://no-such-host.invalid/x");
    ends(&w, plain, ERR_INVALID, "ws://", "http://127.0.0.1:%d/x");
    ends(&w, plain, ERR_INVALID, "not allowed", "ws://127.0.0.1:%d/a b");
    ends(&w, plain, ERR_INVALID, "port", "ws://127.0.0.1:99999/");
    ends(&w, plain, ERR_INVALID, "host", "ws:///x");
    ends(&w, plain, ERR_INVALID, "user", "ws://u:p@127.0.0.1/x");
    ends(&w, (struct ws_client_opts){.headers = bad}, ERR_INVALID, "header", "ws://127.0.0.1:%d/x");
    world_close(&w);
}

static void a_server_that_says_nothing_is_given_up(void **state) {
    struct world w;
    struct seen s;
    int port, fd = listen_loopback(&port); /* the kernel accepts, nobody answers */
    (void)state;
    world_open(&w, NULL);
    call(&w, &s, (struct ws_client_opts){.connect_timeout_ms = 100}, "ws://127.0.0.1:%d/", port);
    assert_true(world_turn(&w, &s.done, 5000));
    assert_int_equal(s.why.code, ERR_TIMEOUT);
    assert_int_equal(s.closed, 1);
    call(&w, &s, (struct ws_client_opts){0}, "ws://127.0.0.1:%d/", port); /* and one that is still at it */
    bool never = false;
    world_turn(&w, &never, 30);
    world_close(&w);
    assert_int_equal(s.closed, 1);
    close(fd);
}

static void the_servers_close_code_is_told(void **state) {
    struct world w;
    struct seen s;
    struct err e;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){0}, "ws://127.0.0.1:%d/", w.port);
    assert_true(until_open(&w, &s));
    assert_int_equal(ws_client_send(s.c, "bye", 3, &e), 0);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.why.code, ERR_CLOSED);
    assert_non_null(strstr(s.why.text, "code 4001: as you said"));
    until_server_heard(&w);
    assert_int_equal(server.ws_code, 4001);
    world_close(&w);
    buf_free(&s.text);
}

static void a_message_above_the_limit_ends_it(void **state) {
    struct world w;
    struct seen s;
    struct err e;
    char text[2000];
    (void)state;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){.message_limit = 1000}, "ws://127.0.0.1:%d/", w.port);
    assert_true(until_open(&w, &s));
    memset(text, 'x', sizeof text);
    assert_int_equal(ws_client_send(s.c, text, sizeof text, &e), 0);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.messages, 0);
    assert_int_equal(s.why.code, ERR_LIMIT);
    until_server_heard(&w);
    assert_int_equal(server.ws_code, 1009);
    world_close(&w);
    buf_free(&s.text);
}

static void more_than_the_queue_takes_is_refused(void **state) {
    struct world w;
    struct seen s;
    struct err e;
    int rc = 0, sent = 0;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){0}, "ws://127.0.0.1:%d/", w.port);
    assert_true(until_open(&w, &s));
    char *text = mem_alloc(1 << 20);
    memset(text, 'x', 1 << 20);
    while (rc == 0 && sent++ < 100) rc = ws_client_send(s.c, text, 1 << 20, &e);
    assert_int_equal(rc, ERR_LIMIT);
    assert_int_equal(sent, 17);
    free(text);
    world_close(&w); /* with all of it in the queue */
    assert_int_equal(s.closed, 1);
    buf_free(&s.text);
}

static void many_clients_share_one_loop(void **state) {
    static struct seen s[MANY];
    struct world w;
    struct err e;
    bool never = false;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    for (int i = 0; i < MANY; i++) call(&w, &s[i], (struct ws_client_opts){0}, "ws://127.0.0.1:%d/%d", w.port, i);
    for (int i = 0; i < MANY; i++) assert_true(until_open(&w, &s[i]));
    for (int i = 0; i < MANY; i++) assert_int_equal(ws_client_send(s[i].c, "hello", 5, &e), 0);
    for (int i = 0; i < MANY; i++) assert_true(world_turn(&w, &s[i].done, 3000));
    for (int i = 0; i < MANY; i += 2) ws_client_close(s[i].c, 1000);
    for (int i = 0; i < MANY; i += 2)
        for (int n = 0; n < 500 && !s[i].closed; n++) world_turn(&w, &never, 5);
    world_close(&w);
    for (int i = 0; i < MANY; i++) {
        assert_int_equal(s[i].closed, 1);
        buf_free(&s[i].text);
    }
    assert_int_equal(server.upgrades, MANY);
}

static void tls_is_checked_against_the_given_authority(void **state) {
    char cert[64], key[64];
    struct world w;
    struct seen s;
    struct err e;
    (void)state;
    make_certificate(cert, key);
    open_tls_server(&w, cert, key);
    call(&w, &s, (struct ws_client_opts){.ca_file = cert}, "wss://localhost:%d/x?y=z", w.port);
    if (!until_open(&w, &s)) fail_msg("%s", s.why.text);
    assert_string_equal(server.query, "y=z");
    assert_int_equal(ws_client_send(s.c, "secret", 6, &e), 0);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_string_equal(s.text.data, "secret");
    buf_free(&s.text);
    ends(&w, (struct ws_client_opts){0}, ERR_IO, "cannot connect", "wss://localhost:%d/"); /* unknown to the system */
    world_close(&w);
    remove_certificate(cert, key);
}

/* A server that only we play: it accepts one client and says nothing by itself. */
static int play_server(struct world *w, struct seen *s, int *listener) {
    struct buf heard = {0};
    int port;

    *listener = listen_loopback(&port);
    world_open(w, NULL);
    call(w, s, (struct ws_client_opts){0}, "ws://127.0.0.1:%d/", port);
    int fd = played_accept(w, *listener, &heard);
    played_answer(fd, &heard, NULL, 0);
    assert_true(until_open(w, s));
    buf_free(&heard);
    return fd;
}

static void text_that_is_not_utf8_ends_it(void **state) {
    struct world w;
    struct seen s;
    struct buf got = {0};
    int listener, fd;
    (void)state;
    fd = play_server(&w, &s, &listener);
    say(fd, "\x81\x02\xFF\xFE");
    assert_true(hear(&w, fd, &got, "\x88\x82")); /* a close frame, masked */
    close(fd);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.why.code, ERR_PROTOCOL);
    assert_int_equal(s.messages, 0);
    close(listener);
    world_close(&w);
    buf_free(&got);
}

static void a_server_that_answers_no_ping_is_dead(void **state) {
    struct ws_client_times kept = ws_client_times;
    struct world w;
    struct seen s;
    struct buf got = {0};
    int listener, fd;
    (void)state;
    ws_client_times = (struct ws_client_times){.ping = 60, .pong = 30, .close = 30};
    fd = play_server(&w, &s, &listener);
    assert_true(hear(&w, fd, &got, "\x89\x80"));
    say_bytes(fd, "\x8A\x00", 2); /* once it lives */
    buf_clear(&got);
    assert_true(hear(&w, fd, &got, "\x89\x80"));
    assert_int_equal(s.closed, 0);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.why.code, ERR_TIMEOUT);
    close(fd);
    close(listener);
    world_close(&w);
    buf_free(&got);
    ws_client_times = kept;
}

/* One that had paused for a moment when the answer was due was given up, and what it had not read with it. */
static void a_pause_counts_as_the_answer_to_a_ping(void **state) {
    struct ws_client_times kept = ws_client_times;
    struct world w;
    struct seen s;
    struct buf got = {0};
    int listener, fd;
    (void)state;
    ws_client_times = (struct ws_client_times){.ping = 60, .pong = 30, .close = 30};
    fd = play_server(&w, &s, &listener);
    assert_true(hear(&w, fd, &got, "\x89\x80"));
    ws_client_pause(s.c, true);
    ws_client_pause(s.c, false);
    buf_clear(&got);
    assert_true(hear(&w, fd, &got, "\x89\x80")); /* it goes on, and asks again */
    assert_int_equal(s.closed, 0);
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.why.code, ERR_TIMEOUT);
    close(fd);
    close(listener);
    world_close(&w);
    buf_free(&got);
    ws_client_times = kept;
}

/* libwebsockets cut them without a word: the server got one header in the middle of another. */
static void what_would_be_cut_on_the_wire_is_refused(void **state) {
    char url[2400], protocol[1200] = "";
    struct world w;
    struct seen s;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    int head = snprintf(url, sizeof url, "ws://127.0.0.1:%d", w.port);
    memset(url + head, 'a', sizeof url - (size_t)head);
    url[head] = '/';
    url[head + 1] = '?';
    url[head + 2032] = '\0';
    call(&w, &s, (struct ws_client_opts){0}, "%s", url);
    assert_true(until_open(&w, &s));
    ws_client_drop(s.c);
    s.done = false;
    assert_true(world_turn(&w, &s.done, 3000));
    url[head + 2032] = 'a';
    url[head + 2033] = '\0';
    ends(&w, (struct ws_client_opts){0}, ERR_INVALID, "2032 bytes", url);
    memset(protocol, 'h', 120);
    char *named = mem_printf("ws://%s/", protocol);
    ends(&w, (struct ws_client_opts){0}, ERR_INVALID, "119 bytes", named);
    free(named);
    ends(&w, (struct ws_client_opts){.protocol = "a\r\nX-Forged: b"}, ERR_INVALID, "protocol", "ws://127.0.0.1:%d/");
    memset(protocol, 'p', sizeof protocol - 1);
    ends(&w, (struct ws_client_opts){.protocol = protocol}, ERR_INVALID, "protocol", "ws://127.0.0.1:%d/");
    world_close(&w);
}

/* They count nothing as bytes, and took memory without end. */
static void empty_messages_are_queued_with_an_end_too(void **state) {
    struct world w;
    struct seen s;
    struct err e;
    int rc = 0, sent = 0;
    (void)state;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){0}, "ws://127.0.0.1:%d/", w.port);
    assert_true(until_open(&w, &s));
    assert_true(ws_client_is_drained(s.c));
    while (sent < 100000 && (rc = ws_client_send(s.c, "", 0, &e)) == 0) sent++;
    assert_int_equal(rc, ERR_LIMIT);
    assert_int_equal(sent, 65536);
    assert_int_equal(ws_client_queued(s.c), 0);
    assert_false(ws_client_is_drained(s.c));
    world_close(&w);
    assert_int_equal(s.closed, 1);
}

static void on_drain(void *arg) {
    ((struct seen *)arg)->drained++;
}

static void binary_is_sent_as_such_and_the_end_of_the_queue_is_told(void **state) {
    (void)state;
    struct world w;
    struct seen s;
    struct err e;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){.on_drain = on_drain}, "ws://127.0.0.1:%d/", w.port);
    assert_true(until_open(&w, &s));
    assert_int_equal(ws_client_send_binary(s.c, "abc", 3, &e), 0);
    assert_int_equal(ws_client_queued(s.c), 3);
    s.done = false;
    assert_true(world_turn(&w, &s.done, 5000));
    assert_true(server.binary);
    assert_int_equal(s.drained, 1);
    assert_int_equal(ws_client_queued(s.c), 0);
    assert_int_equal(s.text.len, 3);
    ws_client_close(s.c, 1000);
    s.done = false;
    assert_true(world_turn(&w, &s.done, 5000));
    buf_free(&s.text);
    world_close(&w);
}

static void who_has_paused_is_told_nothing_until_he_goes_on(void **state) {
    (void)state;
    struct world w;
    struct seen s;
    struct err e;
    bool never = false;
    open_tls_server(&w, NULL, NULL);
    call(&w, &s, (struct ws_client_opts){0}, "ws://127.0.0.1:%d/", w.port);
    assert_true(until_open(&w, &s));
    ws_client_pause(s.c, true);
    for (int i = 0; i < 5; i++) assert_int_equal(ws_client_send(s.c, "abc", 3, &e), 0);
    world_turn(&w, &never, 300);
    assert_true(s.messages <= 1);
    ws_client_pause(s.c, false);
    for (int i = 0; i < 100 && s.messages < 5; i++) world_turn(&w, &never, 20);
    assert_int_equal(s.messages, 5);
    ws_client_pause(s.c, true); /* a close is not held back by it */
    ws_client_close(s.c, 1000);
    s.done = false;
    assert_true(world_turn(&w, &s.done, 3000));
    assert_int_equal(s.closed, 1);
    buf_free(&s.text);
    world_close(&w);
}

/* What TLS has decrypted already is no event of the socket's any more. */
static void what_a_pause_held_back_comes_though_the_server_says_nothing_more(void **state) {
    char cert[64], key[64], text[1000];
    bool never = false;
    struct err e;
    (void)state;
    make_certificate(cert, key);
    memset(text, 'x', sizeof text);
    for (int tls = 0; tls < 2; tls++) {
        struct world w;
        struct seen s;
        open_tls_server(&w, tls ? cert : NULL, tls ? key : NULL);
        call(&w, &s, (struct ws_client_opts){.ca_file = tls ? cert : NULL}, "ws%s://localhost:%d/", tls ? "s" : "",
             w.port);
        assert_true(until_open(&w, &s));
        s.pauses = true;
        for (int i = 0; i < 300; i++) assert_int_equal(ws_send(server.ws, text, sizeof text, &e), 0);
        for (int i = 0; i < 1000 && s.messages < 300; i++) {
            world_turn(&w, &never, 2);
            ws_client_pause(s.c, false);
        }
        assert_int_equal(s.messages, 300);
        assert_int_equal(s.closed, 0);
        world_close(&w);
        buf_free(&s.text);
    }
    remove_certificate(cert, key);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_who_it_is_and_gets_its_messages_back),
        cmocka_unit_test(why_it_never_opened_is_told_once),
        cmocka_unit_test(a_server_that_says_nothing_is_given_up),
        cmocka_unit_test(the_servers_close_code_is_told),
        cmocka_unit_test(a_message_above_the_limit_ends_it),
        cmocka_unit_test(more_than_the_queue_takes_is_refused),
        cmocka_unit_test(many_clients_share_one_loop),
        cmocka_unit_test(tls_is_checked_against_the_given_authority),
        cmocka_unit_test(text_that_is_not_utf8_ends_it),
        cmocka_unit_test(a_server_that_answers_no_ping_is_dead),
        cmocka_unit_test(a_pause_counts_as_the_answer_to_a_ping),
        cmocka_unit_test(what_would_be_cut_on_the_wire_is_refused),
        cmocka_unit_test(empty_messages_are_queued_with_an_end_too),
        cmocka_unit_test(binary_is_sent_as_such_and_the_end_of_the_queue_is_told),
        cmocka_unit_test(what_a_pause_held_back_comes_though_the_server_says_nothing_more),
        cmocka_unit_test(who_has_paused_is_told_nothing_until_he_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
