/* SPDX-License-Identifier: Apache-2.0 */
/* What a client sends after the HTTP/2 preface, whole and in pieces, with the socket replaced: what is written is only
 * counted. First byte: length of the pieces; second: what happens meanwhile (the peer takes nothing, time passes, we close,
 * the turn is full so that requests wait). The handler replies at once, later, with much, in pieces, or after the client has gone, by the path. */
#include "base/mem.h"
#include "io/http_conn.h"
#include <stdlib.h>
#include <string.h>

enum { SLOW = 1, TICK = 2, SHUT = 4, FULL = 8, WAIT_MAX = 200, BODY_MAX = 1000 };

/* -- in the place of http_server.c, http1.c and stream.c ---------------------------------------------------------------- */

struct http_times http_times = {.request = 1000, .idle = 1000, .stall = 1000};
uint64_t http_least_rate = 1024;
static size_t queued;
static bool aborted;

bool http_bucket_take(struct http_bucket *b, double cost, double most, double per_second) {
    (void)per_second; /* no time passes here */
    b->spent += cost;
    return b->spent <= most;
}

void http_conn_ended(struct http_conn *c, enum http_ended why) {
    (void)c, (void)why;
}

void stream_write(struct stream *s, const void *data, size_t len) {
    static uint8_t sink[64 * 1024];
    (void)s;
    if (len > sizeof sink) abort();
    memcpy(sink, data, len); /* it must all be readable */
    queued += len;
}

size_t stream_queued(const struct stream *s) {
    (void)s;
    return queued;
}

void stream_pause(struct stream *s, bool pause) {
    (void)s, (void)pause;
}

void stream_abort(struct stream *s) {
    (void)s;
    aborted = true;
}

void http_conn_finish(struct http_conn *c) {
    c->mode = HTTP_ENDING;
}

size_t http_server_body_limit(const struct http_server *s, const char *path) {
    (void)s;
    if (path == NULL) abort();
    return BODY_MAX;
}

void http1_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len) {
    (void)r, (void)status, (void)fields, (void)body, (void)len;
    abort();
}

void http1_begin(struct http_request *r, int status, const struct http_field *fields) {
    (void)r, (void)status, (void)fields;
    abort();
}

int http1_write(struct http_request *r, const void *data, size_t len) {
    (void)r, (void)data, (void)len;
    abort();
}

void http1_end_reply(struct http_request *r, bool whole) {
    (void)r, (void)whole;
    abort();
}

/* -- the handler --------------------------------------------------------------------------------------------------------- */

static struct http_request *waiting[WAIT_MAX];
static int waiting_count;

static void on_room(void *arg) {
    (void)arg;
}

/* Piece by piece, to its end or not. */
static void reply_streamed(struct http_request *r, const struct http_field *fields, bool whole) {
    static const char piece[30 * 1024];
    http_reply_begin(r, 200, fields, on_room, r);
    for (int i = 0; i < 4 && http_reply_write(r, piece, sizeof piece) == 0; i++) continue;
    if (whole)
        http_reply_end(r);
    else
        http_reply_abort(r);
}

static void reply(struct http_request *r) {
    static char much[300 * 1024];
    static const struct http_field fields[] = {{"Content-Type", "text/plain"}, {NULL, NULL}};
    const char *path = http_path(r);
    if (path[1] == 'b')
        http_reply(r, 200, fields, much, sizeof much);
    else if (path[1] == 's' || path[1] == 'a')
        reply_streamed(r, fields, path[1] == 's');
    else if (path[1] == 'n')
        http_reply(r, 204, NULL, NULL, 0);
    else
        http_reply(r, 200, fields, "hello", 5);
}

static void on_request(void *arg, struct http_request *r) {
    size_t len;
    (void)arg;
    if (http_method(r) == NULL || http_path(r) == NULL || http_query(r) == NULL) abort();
    http_body(r, &len);
    if (len > BODY_MAX) abort();
    http_header(r, "cookie");
    if (http_path(r)[0] == '/' && http_path(r)[1] == 'w' && waiting_count < WAIT_MAX)
        waiting[waiting_count++] = r;
    else
        reply(r);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    static struct http_server server = {.o = {.on_request = on_request}};
    static uv_loop_t loop;
    struct http_conn c = {.server = &server, .remote = "192.0.2.1"};

    static struct http_crowd crowd;
    static struct http_visitor *visitor;

    if (loop.data == NULL) { /* once: what waits for its turn holds an idle handle of the loop */
        crowd_enter(&crowd, c.remote, 0, 0, &visitor);
        uv_loop_init(&loop);
        uv_idle_init(&loop, &server.again);
        loop.data = &server;
    }
    if (size < 2) return 0;
    c.visitor = visitor;
    server.spent_ns = 0;
    size_t step = data[0] ? data[0] : size;
    unsigned how = data[1];
    queued = 0;
    aborted = false;
    http2_open(&c);
    http2_data(&c, preface, sizeof preface - 1);
    for (size_t at = 2, n; at < size && c.mode == HTTP_2 && !aborted; at += n) {
        n = size - at < step ? size - at : step;
        if (how & FULL) server.spent_ns = UINT64_MAX / 2;
        char *piece = mem_dup(data + at, n); /* exactly its size: a read past it is seen */
        http2_data(&c, piece, n);
        free(piece);
        if (!(how & SLOW) || at % 3 == 0) {
            queued = 0;
            if (c.mode == HTTP_2) http2_drain(&c);
        }
        http_requests_turn(&server);
        if (waiting_count > 0 && at % 5 == 0) reply(waiting[--waiting_count]);
        if ((how & TICK) && c.mode == HTTP_2) http2_tick(&c, UINT64_MAX / 2);
        if ((how & SHUT) && c.mode == HTTP_2) http2_shutdown(&c);
    }
    http2_end(&c);
    while (waiting_count > 0) reply(waiting[--waiting_count]); /* the client has gone */
    return 0;
}
