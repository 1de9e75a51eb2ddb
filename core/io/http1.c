/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that speaks HTTP/1.1: one request at a time, the next one is read when the reply is written.
 * Pipelined requests wait in the input buffer; when that is full the socket is no longer read. */
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_conn.h"
#include <stdlib.h>
#include <string.h>

enum { PIPELINE_LIMIT = 16 * 1024, REPLY_BACKLOG = 256 * 1024 };

static const struct http_field problem_type[] = {{"Content-Type", "application/problem+json"}, {NULL, NULL}};

static void send_reply(struct http_conn *c, int status, const struct http_field *fields, const void *body, size_t len,
                       bool close) {
    struct buf out = {0};
    http_reply_bytes(&out, status, fields, body, len, close);
    stream_write(c->stream, out.data, out.len);
    buf_free(&out);
}

/* Answers a request we will not handle; after it nothing of this connection can be trusted. */
static void refuse(struct http_conn *c, int status, const char *why) {
    char *body = http_problem(c->request, status, why);
    send_reply(c, status, problem_type, body, strlen(body), true);
    free(body);
    if (c->request) http_request_free(c->request);
    c->request = NULL;
    http_conn_finish(c);
}

/* The request is answered, and the connection goes on or ends. */
static void replied(struct http_request *r, bool close) {
    struct http_conn *c = r->conn;
    if (c->mode == HTTP_1) c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.idle;
    c->request = NULL;
    c->handling = false;
    http_request_free(r);
    if (c->mode != HTTP_1) return;
    if (close)
        http_conn_finish(c);
    else
        http1_run(c);
}

void http1_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len) {
    struct http_conn *c = r->conn;
    bool close = r->head.close || c->server->closing;

    if (c->mode == HTTP_1) send_reply(c, status, fields, r->is_head ? NULL : body, len, close);
    replied(r, close);
}

void http1_begin(struct http_request *r, int status, const struct http_field *fields) {
    struct http_conn *c = r->conn;
    struct buf out = {0};
    r->chunked = !r->head.http10;
    r->head.close |= r->head.http10 || c->server->closing; /* without chunks only its end is the reply's */
    http_reply_open_head(&out, status, fields, r->chunked, r->head.close);
    if (c->mode == HTTP_1) stream_write(c->stream, out.data, out.len);
    buf_free(&out);
}

int http1_write(struct http_request *r, const void *data, size_t len) {
    struct http_conn *c = r->conn;
    if (c->mode != HTTP_1) return ERR_CLOSED;
    if (r->chunked) {
        struct buf out = {0};
        buf_reserve(&out, len + 32);
        buf_printf(&out, "%zx\r\n", len);
        buf_add(&out, data, len);
        buf_add(&out, "\r\n", 2);
        stream_write(c->stream, out.data, out.len);
        buf_free(&out);
    } else {
        stream_write(c->stream, data, len);
    }
    return stream_queued(c->stream) >= HTTP_UNWRITTEN;
}

void http1_end_reply(struct http_request *r, bool whole) {
    struct http_conn *c = r->conn;
    if (!whole && !r->is_head) {
        c->mode = HTTP_ENDING;
        stream_abort(c->stream);
    } else if (c->mode == HTTP_1 && r->chunked && !r->is_head) {
        stream_write(c->stream, "0\r\n\r\n", 5);
    }
    replied(r, r->head.close || c->server->closing);
}

static void handle(struct http_conn *c) {
    struct http_request *r = c->request;
    c->handling = true;
    c->deadline_ms = 0;
    if (r->head.wants_websocket && c->server->o.on_upgrade)
        ws_upgrade(c, r);
    else
        http_request_handle(r);
}

/* false: wait for more bytes, or the connection is over */
static bool take_head(struct http_conn *c) {
    const char *why = "";
    while (c->seen == 0 && c->in.len >= 2 && memcmp(c->in.data, "\r\n", 2) == 0) buf_drop(&c->in, 2); /* RFC 9112 2.2 */
    if (c->in.len == 0) return false;
    if (c->seen == 0 && c->in.len == 1 && c->in.data[0] == '\r') return false;
    if (c->seen == 0) c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.request;

    long len = http_head_find(c->in.data, c->in.len, &c->seen, &why);
    if (len == 0) return false;
    if (len < 0) {
        refuse(c, (int)-len, why);
        return false;
    }
    struct http_request *r = c->request = http_request_new(c);
    int status = http_head_parse(&r->head, &r->arena, c->in.data, (size_t)len, &why);
    c->seen = 0;
    if (status) {
        refuse(c, status, why);
        return false;
    }
    buf_drop(&c->in, (size_t)len);
    r->head_bytes = (size_t)len;
    r->body_limit = http_server_body_limit(c->server, r->head.path);
    if (r->head.content_length > 0 && (uint64_t)r->head.content_length > r->body_limit) {
        refuse(c, 413, NULL);
        return false;
    }
    if (r->head.expect_continue && c->in.len == 0 && (r->head.chunked || r->head.content_length > 0))
        stream_write(c->stream, "HTTP/1.1 100 Continue\r\n\r\n", 25);
    return true;
}

/* Refuses the request when too much is being received at once. */
static bool fits(struct http_conn *c) {
    if (http_request_fits(c->request)) return true;
    refuse(c, 503, http_crowded);
    return false;
}

static bool take_body(struct http_conn *c) {
    struct http_request *r = c->request;
    if (r->head.chunked) {
        const char *why = "";
        size_t used = 0;
        int status = http_chunks_take(&r->chunks, c->in.data, c->in.len, &used, &r->body, r->body_limit, &why);
        if (status) {
            refuse(c, status, why);
            return false;
        }
        buf_drop(&c->in, used);
        return fits(c) && r->chunks.state == CHUNK_DONE;
    }
    size_t want = r->head.content_length > 0 ? (size_t)r->head.content_length - r->body.len : 0;
    size_t n = want < c->in.len ? want : c->in.len;
    if (n) {
        buf_add(&r->body, c->in.data, n);
        buf_drop(&c->in, n);
        if (!fits(c)) return false;
    }
    return n == want;
}

void http1_run(struct http_conn *c) {
    if (c->running) return; /* a reply given inside its handler: the loop below goes on */
    c->running = true;
    while (c->mode == HTTP_1 && !c->handling && stream_queued(c->stream) < REPLY_BACKLOG) {
        if (c->server->closing && c->request == NULL && c->in.len == 0) {
            http_conn_finish(c);
            break;
        }
        if (c->request == NULL && !take_head(c)) break;
        if (!take_body(c)) break;
        http_request_fits(c->request); /* counts its head; a small request is never refused for what others hold */
        handle(c);
    }
    c->running = false;
    if (c->in.len == 0 && c->in.cap > 4096) buf_free(&c->in); /* an idle connection holds nothing */
    http_conn_count(c);
    bool waits = c->handling || stream_queued(c->stream) >= REPLY_BACKLOG;
    if (c->mode == HTTP_1) stream_pause(c->stream, waits && c->in.len >= PIPELINE_LIMIT);
}

void http1_data(struct http_conn *c, const char *data, size_t len) {
    buf_add(&c->in, data, len);
    http1_run(c);
}

void http1_eof(struct http_conn *c) {
    /* Nobody waits for a reply that is still being made; one that is written may still be read. */
    if (c->handling)
        stream_abort(c->stream);
    else
        http_conn_finish(c);
}

void http1_overdue(struct http_conn *c) {
    if (c->request || c->in.len)
        refuse(c, 408, "the request was not complete within the limit of 30 seconds");
    else
        http_conn_finish(c);
}

void http1_end(struct http_conn *c) {
    if (c->request) http_request_gone(c->request);
    c->request = NULL;
}
