/* SPDX-License-Identifier: Apache-2.0 */
/* The libwebsockets context carries the WebSocket clients; the servers have their own sockets (http_server.c).
 *
 * Closing is a chain, each link on the loop: servers and clients end, then lws_context_destroy() starts to close what
 * libwebsockets has on our loop, and when the loop shows none of it any more a second call frees the context. */
#include "io/net.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/net_inside.h"
#include <libwebsockets.h>
#include <stdlib.h>
#include <string.h>

/* libwebsockets logs at error what is a peer's doing or its own chatter; none of it is an error of ours. */
static void on_lws_log(int level, const char *line) {
    static const char *const noise[] = {"calling service", "lws_libuv_stop", NULL};
    const char *text = strstr(line, "]") ? strstr(line, "]") : line; /* behind its own time stamp */
    size_t len = strcspn(line, "\n");

    for (size_t i = 0; noise[i]; i++)
        if (strstr(line, noise[i])) return;
    text = text == line ? line : text + 1;
    len -= (size_t)(text - line);
    log_line(level == LLL_ERR ? LOG_WARN : LOG_DEBUG, "lws.line", "%.*s", (int)len, text);
}

int net_open(struct net **out, uv_loop_t *loop, struct metrics *metrics, struct err *e) {
    struct net *n = mem_alloc(sizeof *n);
    struct lws_context_creation_info info = {0};
    void *loops[] = {loop};

    lws_set_log_level(LLL_ERR | LLL_WARN, on_lws_log);
    info.port = CONTEXT_PORT_NO_LISTEN;
    info.options = LWS_SERVER_OPTION_LIBUV | LWS_SERVER_OPTION_EXPLICIT_VHOSTS | LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT;
    info.foreign_loops = loops;
    info.pt_serv_buf_size = 32 * 1024; /* also the room for a handshake with its headers */
    info.timeout_secs = 60;            /* ours are shorter */
    info.gid = info.uid = (gid_t)-1;
    n->lws = lws_create_context(&info);
    if (n->lws == NULL) {
        free(n);
        return err_set(e, ERR_IO, "cannot start libwebsockets (is libwebsockets-evlib-uv installed?)");
    }
    n->loop = loop;
    n->metrics = metrics;
    uv_timer_init(loop, &n->end);
    n->end.data = n;
    *out = n;
    return 0;
}

static void on_end_closed(uv_handle_t *handle) {
    struct net *n = handle->data;
    void (*closed)(void *arg) = n->closed;
    void *arg = n->closed_arg;
    crowd_free(&n->crowd);
    free(n);
    if (closed) closed(arg);
}

struct search {
    const void *data;
    bool found;
};

/* The handles libwebsockets embeds in its context carry the context as their data. */
static void find_handle(uv_handle_t *handle, void *arg) {
    struct search *s = arg;
    if (handle->data == s->data) s->found = true;
}

static void on_lws_closing(uv_timer_t *timer) {
    struct net *n = timer->data;
    struct search s = {n->lws, false};
    uv_walk(n->loop, find_handle, &s);
    if (s.found) return; /* the timer repeats */
    lws_context_destroy(n->lws);
    uv_close((uv_handle_t *)&n->end, on_end_closed);
}

static void on_all_gone(uv_timer_t *timer) {
    struct net *n = timer->data;
    lws_context_destroy(n->lws);
    uv_timer_start(&n->end, on_lws_closing, 0, 1);
}

static void maybe_end(struct net *n) {
    if (n->closing && n->servers == NULL && n->clients == NULL) uv_timer_start(&n->end, on_all_gone, 0, 0);
}

void net_server_closed(struct net *n) {
    maybe_end(n);
}

void net_client_closed(struct net *n) {
    maybe_end(n);
}

void net_close(struct net *n, void (*closed)(void *arg), void *arg) {
    if (n->closing) return;
    n->closing = true;
    n->closed = closed;
    n->closed_arg = arg;
    for (struct http_server *s = n->servers, *next; s; s = next) {
        next = http_server_next(s);
        http_server_abort(s);
    }
    for (struct ws_client *c = n->clients, *next; c; c = next) {
        next = ws_client_next(c);
        ws_client_abort(c);
    }
    maybe_end(n);
}
