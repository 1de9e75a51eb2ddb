/* SPDX-License-Identifier: Apache-2.0 */
/* A provider whose answers never end, for tests of what is left in the middle: Chat Completions as server-sent events over
 * HTTP/1.1 in the clear and over HTTP/2 and HTTP/1.1 with TLS, a word each GAP ms. A fake in Node needs longer to notice five
 * hundred ends than we need to bring them about.
 *
 *   slow_sse GAP_MS CERT KEY      says {"http": port, "tls": port}, and runs until its input ends
 *   POST .../chat/completions     a prompt with "client N" in it is client N's
 *   GET /seen                     {"open": how many, "gone": {"N": microseconds of CLOCK_MONOTONIC}}
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_server.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CLIENTS = 10000 };

struct client {
    struct http_request *r; /* NULL: it has none */
    uv_timer_t timer;
    uint64_t gone_us;
};

static struct {
    uv_loop_t *loop;
    uint64_t gap_ms;
    struct client clients[CLIENTS];
    int open;
} fake;

static const struct http_field sse[] = {{"Content-Type", "text/event-stream; charset=utf-8"}, {NULL, NULL}};
static const struct http_field json[] = {{"Content-Type", "application/json"}, {NULL, NULL}};

static void say(struct client *c, const char *delta) {
    char text[300];
    int n = snprintf(
        text, sizeof text,
        "data: {\"id\":\"chatcmpl-slow\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"slow\","
        "\"choices\":[{\"index\":0,\"delta\":{%s},\"finish_reason\":null}]}\n\n",
        delta);
    http_reply_write(c->r, text, (size_t)n);
}

static void on_word(uv_timer_t *timer) {
    say(timer->data, "\"content\":\"word \"");
}

static void on_gone(void *arg) {
    struct client *c = arg;
    c->gone_us = clock_mono_us();
    fake.open--;
    uv_timer_stop(&c->timer);
    http_reply_abort(c->r);
    c->r = NULL;
}

static void answer(struct http_request *r) {
    size_t len;
    const char *body = http_body(r, &len), *name = body ? memmem(body, len, "client ", 7) : NULL;
    int n = name ? atoi(name + 7) : -1; /* a body ends with a zero */
    if (n < 0 || n >= CLIENTS || fake.clients[n].r) {
        http_reply(r, 400, json, "{\"error\":{\"message\":\"no client's prompt\"}}", 42);
        return;
    }
    struct client *c = &fake.clients[n];
    c->r = r;
    c->gone_us = 0;
    fake.open++;
    http_on_gone(r, on_gone, c);
    http_reply_begin(r, 200, sse, NULL, NULL);
    say(c, "\"role\":\"assistant\",\"content\":\"\"");
    say(c, "\"content\":\"word \"");
    uv_timer_start(&c->timer, on_word, fake.gap_ms, fake.gap_ms);
}

static void tell(struct http_request *r) {
    struct buf out = {0};
    const char *comma = "";
    buf_printf(&out, "{\"open\":%d,\"gone\":{", fake.open);
    for (int i = 0; i < CLIENTS; i++) {
        if (fake.clients[i].gone_us == 0) continue;
        buf_printf(&out, "%s\"%d\":%llu", comma, i, (unsigned long long)fake.clients[i].gone_us);
        comma = ",";
    }
    buf_add_str(&out, "}}");
    http_reply(r, 200, json, out.data, out.len);
    buf_free(&out);
}

static void on_request(void *arg, struct http_request *r) {
    (void)arg;
    if (strcmp(http_method(r), "POST") == 0)
        answer(r);
    else
        tell(r);
}

static int listen_on(int *port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof a;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(fd, 4096) < 0 ||
        getsockname(fd, (struct sockaddr *)&a, &len) < 0) {
        perror("slow_sse");
        exit(1);
    }
    *port = ntohs(a.sin_port);
    return fd;
}

static int serve(struct net *net, const char *cert, const char *key) {
    struct http_server_opts o = {.on_request = on_request, .cert_file = cert, .key_file = key};
    struct http_server *s;
    struct err e;
    int port;
    o.listen_fd = listen_on(&port);
    if (http_server_open(&s, net, &o, &e) == 0) return port;
    fprintf(stderr, "slow_sse: %s\n", e.text);
    exit(1);
}

static void on_input(uv_poll_t *poll, int status, int events) {
    char some[100];
    (void)events;
    if (status < 0 || read(STDIN_FILENO, some, sizeof some) == 0) uv_stop(poll->loop);
}

int main(int argc, char **argv) {
    struct net *net;
    struct err e;
    uv_poll_t input;
    if (argc != 4) {
        fprintf(stderr, "usage: slow_sse GAP_MS CERT KEY\n");
        return 2;
    }
    fake.loop = uv_default_loop();
    fake.gap_ms = strtoull(argv[1], NULL, 10);
    for (int i = 0; i < CLIENTS; i++) {
        uv_timer_init(fake.loop, &fake.clients[i].timer);
        fake.clients[i].timer.data = &fake.clients[i];
    }
    if (net_open(&net, fake.loop, NULL, &e) < 0) {
        fprintf(stderr, "slow_sse: %s\n", e.text);
        return 1;
    }
    int http = serve(net, NULL, NULL), tls = serve(net, argv[2], argv[3]);
    printf("{\"http\": %d, \"tls\": %d}\n", http, tls);
    fflush(stdout);
    uv_poll_init(fake.loop, &input, STDIN_FILENO);
    uv_poll_start(&input, UV_READABLE, on_input);
    uv_run(fake.loop, UV_RUN_DEFAULT);
    return 0; /* crash-only: what is open ends with us */
}
