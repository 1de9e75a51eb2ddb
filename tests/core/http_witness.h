/* SPDX-License-Identifier: Apache-2.0 */
/* A server that notes what came to it, and answers as the path says: /work takes 4 ms, /large is 8 MiB. */
#pragma once
#include "http_world.h"

static struct {
    int requests, messages, drained, closed, code;
    struct buf text;
    struct ws *ws;
    struct http_request *held, *all[1000];
    bool hold;
    int polite_at; /* how many had been handled when /polite was */
} seen;

static inline void on_request(void *arg, struct http_request *r) {
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

static inline int on_upgrade(void *arg, struct http_request *r, void **session, char **reply_body) {
    (void)arg;
    (void)r;
    (void)reply_body;
    *session = &seen;
    return 101;
}

static inline void on_ws_open(void *session, struct ws *ws) {
    (void)session;
    seen.ws = ws;
}

static inline void on_ws_message(void *session, struct ws *ws, const char *data, size_t len, bool binary) {
    (void)session;
    (void)ws;
    (void)binary;
    seen.messages++;
    buf_clear(&seen.text);
    buf_add(&seen.text, data, len);
}

static inline void on_ws_drain(void *session, struct ws *ws) {
    (void)session;
    (void)ws;
    seen.drained++;
}

static inline void on_ws_close(void *session, int code) {
    (void)session;
    seen.closed++;
    seen.code = code;
    seen.ws = NULL;
}

static inline struct http_server_opts opts(void) {
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

static inline void close_world(struct world *w) {
    world_close(w);
    buf_free(&seen.text);
}

static inline void turn(struct world *w, int ms) {
    bool never = false;
    world_turn(w, &never, ms);
}
