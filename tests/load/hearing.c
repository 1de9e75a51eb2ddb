/* SPDX-License-Identifier: Apache-2.0 */
/* A recogniser in the form of Deepgram's that understands nothing, fast enough for thousands of connections: a partial text for each 200 ms
 * of sound, a final one when it is asked for.
 *
 *   hearing RATE      16 bit mono of that rate comes in; it says {"port": N}, and runs until its input ends
 */
#include "base/mem.h"
#include "io/http_server.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

struct session {
    uint64_t bytes, told;
    int partials;
};

static uint64_t bytes_a_second;

static void tell(struct session *s, struct ws *ws, bool final) {
    char text[400];
    struct err e;
    int n = snprintf(text, sizeof text,
                     "{\"type\":\"Results\",\"channel_index\":[0,1],\"start\":0,\"duration\":%.3f,\"is_final\":%s,"
                     "\"speech_final\":false,"
                     "\"from_finalize\":%s,\"channel\":{\"alternatives\":[{\"transcript\":\"it may have been %d "
                     "words\",\"confidence\":0.9,"
                     "\"words\":[]}]}}",
                     (double)s->bytes / (double)bytes_a_second, final ? "true" : "false", final ? "true" : "false",
                     s->partials++);
    ws_send(ws, text, (size_t)n, &e); /* who does not read is let be */
}

static void on_request(void *arg, struct http_request *r) {
    (void)arg;
    http_reply(r, 404, NULL, "", 0);
}

static int on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    (void)arg, (void)r;
    *session = mem_alloc(sizeof(struct session));
    *reply_body = NULL;
    return 101;
}

static void on_ws_open(void *session, struct ws *ws) {
    (void)session, (void)ws;
}

static void on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    struct session *s = session;
    if (!binary) {
        if (memmem(data, len, "Finalize", 8)) tell(s, ws, true);
        if (memmem(data, len, "CloseStream", 11)) ws_close(ws, 1000, "");
        return;
    }
    s->bytes += len;
    if (s->bytes - s->told < bytes_a_second / 5) return;
    s->told = s->bytes;
    tell(s, ws, false);
}

static void on_ws_close(void *session, int code) {
    (void)code;
    free(session);
}

static void on_input(uv_poll_t *poll, int status, int events) {
    char some[100];
    (void)events;
    if (status < 0 || read(STDIN_FILENO, some, sizeof some) <= 0) uv_stop(poll->loop);
}

int main(int argc, char **argv) {
    struct http_server_opts o = {.on_request = on_request,
                                 .on_upgrade = on_upgrade,
                                 .on_ws_open = on_ws_open,
                                 .on_ws_message = on_ws_message,
                                 .on_ws_close = on_ws_close,
                                 .ws_frames_a_second = -1};
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct rlimit files = {20000, 20000};
    socklen_t len = sizeof a;
    struct http_server *server;
    struct net *net;
    struct err e;
    uv_poll_t input;

    if (argc != 2 || atoi(argv[1]) < 8000) {
        fprintf(stderr, "usage: hearing RATE\n");
        return 2;
    }
    bytes_a_second = 2 * strtoull(argv[1], NULL, 10);
    setrlimit(RLIMIT_NOFILE, &files);
    o.listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (o.listen_fd < 0 || bind(o.listen_fd, (struct sockaddr *)&a, sizeof a) < 0 || listen(o.listen_fd, 4096) < 0 ||
        getsockname(o.listen_fd, (struct sockaddr *)&a, &len) < 0) {
        perror("hearing");
        return 1;
    }
    uv_loop_t *loop = uv_default_loop();
    if (net_open(&net, loop, NULL, &e) < 0 || http_server_open(&server, net, &o, &e) < 0) {
        fprintf(stderr, "hearing: %s\n", e.text);
        return 1;
    }
    printf("{\"port\": %d}\n", ntohs(a.sin_port));
    fflush(stdout);
    uv_poll_init(loop, &input, STDIN_FILENO);
    uv_poll_start(&input, UV_READABLE, on_input);
    uv_run(loop, UV_RUN_DEFAULT);
    return 0; /* crash-only: what is open ends with us */
}
