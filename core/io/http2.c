/* SPDX-License-Identifier: Apache-2.0 */
/* A connection that speaks HTTP/2, by nghttp2: it keeps the protocol, we keep requests and limits.
 * Output is pulled from it only while the peer takes it (OUT_LIMIT), so a slow reader costs one window of memory. */
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_conn.h"
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_LIMIT = 256 * 1024, STREAM_LIMIT = 100, FIELD_LIMIT = 64 };

/* What costs us and asks for nothing (PING, SETTINGS, PRIORITY, empty DATA, a stream reset before its answer) is allowed
 * 1,000 at once and 100 a second; a reset costs five of them, for its request may already be at work. */
enum { ODD_MOST = 1000, ODD_PER_SECOND = 100, RESET_COST = 5 };

struct http2 {
    nghttp2_session *session;
    struct http_request *requests; /* one for each open stream */
    bool inside;                   /* nghttp2 is calling us: what it has to send goes out afterwards */
    bool shut;
    struct http_bucket odd;
    bool flooded;
    int wanting; /* how many writers may wait for room: then the requests are looked through */
};

static void pump(struct http_conn *c) {
    struct http2 *h = c->h2;
    if (h->inside || c->mode != HTTP_2) return;
    h->inside = true;
    while (stream_queued(c->stream) < OUT_LIMIT) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(h->session, &data);
        if (n < 0) stream_abort(c->stream);
        if (n <= 0) break;
        stream_write(c->stream, data, (size_t)n);
    }
    h->inside = false;
    /* Who does not read is not read from: what it asks for would only wait here. */
    stream_pause(c->stream, stream_queued(c->stream) >= OUT_LIMIT);
    bool over = !nghttp2_session_want_read(h->session) && !nghttp2_session_want_write(h->session);
    if (over || (h->shut && h->requests == NULL && !nghttp2_session_want_write(h->session))) http_conn_finish(c);
}

static void unlink_request(struct http2 *h, struct http_request *r) {
    if (r->prev)
        r->prev->next = r->next;
    else
        h->requests = r->next;
    if (r->next) r->next->prev = r->prev;
    r->next = r->prev = NULL;
}

static void refuse(struct http_request *r, int status, const char *why) {
    if (r->refused) return;
    r->refused = status;
    r->refused_why = why;
}

static void answer_refused(struct http_request *r) {
    static const struct http_field type[] = {{"content-type", "application/problem+json"}, {NULL, NULL}};
    char *body = http_problem(r, r->refused, r->refused_why);
    http2_reply(r, r->refused, type, body, strlen(body));
    free(body);
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    struct http_conn *c = arg;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct http_request *r = http_request_new(c);
    r->stream_id = frame->hd.stream_id;
    r->deadline_ms = clock_mono_ms() + (uint64_t)http_times.request;
    r->next = c->h2->requests;
    if (r->next) r->next->prev = r;
    c->h2->requests = r;
    nghttp2_session_set_stream_user_data(session, r->stream_id, r);
    return 0;
}

/* nghttp2 has checked names, values and the pseudo-headers against RFC 9113 already. */
static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *arg) {
    struct http_request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    const char *text = (const char *)value;
    (void)flags;
    (void)arg;
    if (r == NULL || r->refused || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0; /* trailers are dropped */
    r->head_bytes += name_len + value_len + 32;
    if (r->head_bytes > HTTP_HEAD_LIMIT) {
        refuse(r, 431, "the request head is longer than the limit of 16 KiB");
    } else if (name_len == 7 && memcmp(name, ":method", 7) == 0) {
        r->head.method = arena_strndup(&r->arena, text, value_len);
    } else if (name_len == 5 && memcmp(name, ":path", 5) == 0) {
        if (value_len > HTTP_TARGET_LIMIT)
            refuse(r, 414, "the request target is longer than the limit of 8 KiB");
        else if (!http_target_ok(text, value_len))
            refuse(r, 400, "the request target holds a byte that is not allowed");
        else
            http_head_set_target(&r->head, &r->arena, text, value_len);
    } else if (r->head.field_count == HTTP_FIELD_COUNT_LIMIT) {
        refuse(r, 431, "more than the limit of 128 headers");
    } else if (!http_value_ok(text, value_len)) {
        refuse(r, 400, "a header holds a control byte");
    } else if (name_len == 10 && memcmp(name, ":authority", 10) == 0) {
        http_head_add(&r->head, &r->arena, "host", 4, text, value_len);
    } else if (name[0] != ':') {
        http_head_add(&r->head, &r->arena, (const char *)name, name_len, text, value_len);
        if (name_len == 14 && memcmp(name, "content-length", 14) == 0)
            r->head.content_length = http_length(text, value_len);
    }
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t stream_id, const uint8_t *data, size_t len,
                         void *arg) {
    struct http_request *r = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)flags;
    (void)arg;
    if (r == NULL || r->refused) return 0;
    if (len > r->body_limit - r->body.len) {
        refuse(r, 413, NULL);
        answer_refused(r);
        return 0;
    }
    buf_add(&r->body, data, len);
    if (!http_request_fits(r)) {
        refuse(r, 503, http_crowded);
        answer_refused(r);
    }
    return 0;
}

/* HTTP/2 clients send each cookie as a header of its own; handlers know one Cookie header (RFC 9113 8.2.3). */
static void join_cookies(struct http_request *r) {
    struct http_head *h = &r->head;
    struct http_field *first = NULL;
    size_t kept = 0;
    for (size_t i = 0; i < h->field_count; i++) {
        struct http_field f = h->fields[i];
        if (strcmp(f.name, "cookie") == 0 && first) {
            first->value = arena_printf(&r->arena, "%s; %s", first->value, f.value);
            continue;
        }
        h->fields[kept] = f;
        if (strcmp(f.name, "cookie") == 0) first = &h->fields[kept];
        kept++;
    }
    h->field_count = kept;
}

static void on_head_done(struct http_request *r) {
    if (r->head.method == NULL || r->head.path == NULL) refuse(r, 400, "CONNECT is not spoken here");
    if (r->refused == 0) {
        r->body_limit = http_server_body_limit(r->conn->server, r->head.path);
        if (r->head.content_length > 0 && (uint64_t)r->head.content_length > r->body_limit) refuse(r, 413, NULL);
    }
    join_cookies(r);
    if (r->refused == 0 && !http_request_fits(r)) refuse(r, 503, http_crowded);
    if (r->refused) answer_refused(r);
}

/* What a frame costs beyond what it asks for. */
static double oddness(nghttp2_session *session, const nghttp2_frame *frame) {
    switch (frame->hd.type) {
    case NGHTTP2_PING:
    case NGHTTP2_SETTINGS:
    case NGHTTP2_PRIORITY:
        return 1;
    case NGHTTP2_DATA:
        return frame->hd.length == 0 && !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    case NGHTTP2_RST_STREAM:
        return nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) ? RESET_COST : 1;
    default:
        return 0;
    }
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    bool head = frame->hd.type == NGHTTP2_HEADERS;
    struct http_conn *c = arg;
    double odd = oddness(session, frame);
    if (odd > 0 && !http_bucket_take(&c->h2->odd, odd, ODD_MOST, ODD_PER_SECOND)) {
        c->h2->flooded = true;
        return NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (!head && frame->hd.type != NGHTTP2_DATA) return 0;
    struct http_request *r = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (r == NULL) return 0;
    if (head && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        bool wrong = r->refused || r->head.method == NULL || r->head.path == NULL;
        on_head_done(r);
        if (wrong || nghttp2_session_get_stream_user_data(session, frame->hd.stream_id) == NULL) return 0;
    }
    if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) && r->refused == 0) {
        r->deadline_ms = 0;
        http_request_handle(r);
    }
    return 0;
}

/* An answer that came before the end of its request (413): the client need not send the rest (RFC 9113 8.1). */
static int on_frame_sent(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    bool last = (frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM);
    (void)arg;
    if (last && nghttp2_session_get_stream_remote_close(session, frame->hd.stream_id) == 0)
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    return 0;
}

/* A stream's data is r->reply while it is sent; r itself stays until the stream closes. */
static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error, void *arg) {
    struct http_conn *c = arg;
    struct http_request *r = nghttp2_session_get_stream_user_data(session, stream_id);
    (void)error;
    if (r == NULL) return 0;
    unlink_request(c->h2, r);
    http_request_gone(r);
    if (c->h2->requests == NULL) c->deadline_ms = clock_mono_ms() + (uint64_t)http_times.idle;
    return 0;
}

/* A streamed reply's bytes have gone to nghttp2: they are not kept, and the peer has shown that it takes some. */
static void taken(struct http_request *r, size_t n) {
    uint64_t latest_ms = clock_mono_ms() + (uint64_t)http_times.stall;
    if (r->reply_at == r->reply.len) {
        buf_clear(&r->reply);
        r->reply_at = 0;
        r->deadline_ms = r->written ? latest_ms : 0;
        return;
    }
    r->deadline_ms += n * 1000 / http_least_rate;
    if (r->deadline_ms > latest_ms) r->deadline_ms = latest_ms;
    if (r->reply_at < HTTP_UNWRITTEN) return;
    buf_drop(&r->reply, r->reply_at);
    r->reply_at = 0;
}

static ssize_t read_reply(nghttp2_session *session, int32_t stream_id, uint8_t *out, size_t cap, uint32_t *flags,
                          nghttp2_data_source *source, void *arg) {
    struct http_request *r = source->ptr;
    size_t left = r->reply.len - r->reply_at, n = left < cap ? left : cap;
    (void)session;
    (void)stream_id;
    (void)arg;
    if (n == 0 && r->streamed && !r->written) return NGHTTP2_ERR_DEFERRED;
    if (n == 0 && r->cut) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* resets it, after what was written */
    if (n) memcpy(out, r->reply.data + r->reply_at, n);
    r->reply_at += n;
    if (n == left && !r->cut && (!r->streamed || r->written)) *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (r->streamed) taken(r, n);
    return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

/* length NULL: nobody knows it yet. body: whether read_reply gives one. */
static void submit(struct http_request *r, int status, const struct http_field *fields, const char *length, bool body) {
    struct http2 *h = r->conn->h2;
    nghttp2_nv nv[FIELD_LIMIT + 4];
    char status_text[16];
    struct arena names = {0};
    size_t count = 0;
    nghttp2_data_provider data = {.source.ptr = r, .read_callback = read_reply};

    snprintf(status_text, sizeof status_text, "%d", status);
    nv[count++] = field(":status", status_text);
    nv[count++] = field("date", http_date());
    nv[count++] = field("server", "parley");
    if (length) nv[count++] = field("content-length", length);
    for (; fields && fields->name && count < FIELD_LIMIT + 4; fields++) {
        if (!http_field_ok(fields)) continue;
        char *low = arena_strndup(&names, fields->name, strlen(fields->name));
        for (char *x = low; *x; x++)
            if (*x >= 'A' && *x <= 'Z') *x = (char)(*x + 'a' - 'A');
        nv[count++] = field(low, fields->value);
    }
    if (nghttp2_submit_response(h->session, r->stream_id, nv, count, body ? &data : NULL) != 0)
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_INTERNAL_ERROR);
    arena_free(&names);
}

void http2_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len) {
    struct http_conn *c = r->conn;
    struct http2 *h = c->h2;
    char length[24];
    bool no_length = status == 204 || status == 304;
    bool no_body = no_length || r->is_head || len == 0;

    snprintf(length, sizeof length, "%zu", len);
    r->handling = false; /* replied: nobody is to be told when the stream closes */
    r->replied = true;
    /* For the peer to make room for it: a stream whose window opens byte by byte ends all the same. */
    r->deadline_ms = clock_mono_ms() + (uint64_t)http_times.stall + len * 1000 / http_least_rate;
    if (!no_body) buf_add(&r->reply, body, len);
    buf_free(&r->body);          /* which the reply may be a part of */
    if (!http_request_fits(r)) { /* its peers let too much wait in their streams */
        http_conn_ended(c, ENDED_CROWDED);
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
        pump(c);
        return;
    }
    submit(r, status, fields, no_length ? NULL : length, !no_body);
    pump(c);
}

void http2_begin(struct http_request *r, int status, const struct http_field *fields) {
    struct http_conn *c = r->conn;
    r->replied = true;
    r->deadline_ms = 0;
    buf_free(&r->body);
    http_request_fits(r);
    submit(r, status, fields, NULL, !r->is_head);
    pump(c);
}

int http2_write(struct http_request *r, const void *data, size_t len) {
    struct http_conn *c = r->conn;
    struct http2 *h = c->h2;
    if (c->mode != HTTP_2) return ERR_CLOSED;
    if (r->deadline_ms == 0) r->deadline_ms = clock_mono_ms() + (uint64_t)http_times.stall;
    buf_add(&r->reply, data, len);
    if (!http_request_fits(r)) {
        http_conn_ended(c, ENDED_CROWDED);
        nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_ENHANCE_YOUR_CALM);
        pump(c);
        return ERR_CLOSED;
    }
    nghttp2_session_resume_data(h->session, r->stream_id);
    pump(c);
    if (r->conn == NULL) return ERR_CLOSED;
    http_request_fits(r);
    if (r->reply.len - r->reply_at < HTTP_UNWRITTEN) return 0;
    h->wanting++;
    return 1;
}

void http2_end_reply(struct http_request *r, bool whole) {
    struct http_conn *c = r->conn;
    struct http2 *h = c->h2;
    r->handling = false; /* it is freed with its stream */
    r->written = true;
    r->deadline_ms = clock_mono_ms() + (uint64_t)http_times.stall + r->reply.len * 1000 / http_least_rate;
    r->cut = !whole;
    nghttp2_session_resume_data(h->session, r->stream_id);
    pump(c);
}

static struct http_request *find_roomy(struct http2 *h) {
    for (struct http_request *r = h->requests; r; r = r->next)
        if (r->wants_room && r->reply.len - r->reply_at < HTTP_UNWRITTEN / 2) return r;
    return NULL;
}

/* From the loop only: who is told may write, end, or wait again. */
static void give_room(struct http_conn *c) {
    struct http2 *h = c->h2;
    struct http_request *r;
    while (h->wanting && c->mode == HTTP_2 && (r = find_roomy(h))) {
        h->wanting--;
        http_request_room(r);
    }
    if (h->requests == NULL) h->wanting = 0;
}

void http2_data(struct http_conn *c, const char *data, size_t len) {
    struct http2 *h = c->h2;
    h->inside = true;
    ssize_t n = nghttp2_session_mem_recv(h->session, (const uint8_t *)data, len);
    h->inside = false;
    if (n >= 0) {
        pump(c);
        give_room(c);
        return;
    }
    /* nghttp2 has given this session up: the peer is told why, and nothing more is read. */
    bool flooded = h->flooded || n == NGHTTP2_ERR_FLOODED;
    if (flooded) http_conn_ended(c, ENDED_H2_FLOOD);
    nghttp2_session_terminate_session(h->session, flooded ? NGHTTP2_ENHANCE_YOUR_CALM : NGHTTP2_PROTOCOL_ERROR);
    pump(c);
    if (c->mode == HTTP_2) http_conn_finish(c);
}

void http2_drain(struct http_conn *c) {
    pump(c);
    give_room(c);
}

void http2_tick(struct http_conn *c, uint64_t now_ms) {
    struct http2 *h = c->h2;
    if (h->requests == NULL && now_ms >= c->deadline_ms) http2_shutdown(c);
    if (c->mode != HTTP_2) return;
    h->inside = true; /* the list must not change under the loop */
    for (struct http_request *r = h->requests, *next; r; r = next) {
        next = r->next;
        if (r->deadline_ms == 0 || now_ms < r->deadline_ms) continue;
        if (r->replied) {
            nghttp2_submit_rst_stream(h->session, NGHTTP2_FLAG_NONE, r->stream_id, NGHTTP2_CANCEL);
            continue;
        }
        refuse(r, 408, "the request was not complete within the limit of 30 seconds");
        answer_refused(r);
    }
    h->inside = false;
    pump(c);
}

void http2_shutdown(struct http_conn *c) {
    struct http2 *h = c->h2;
    if (h->shut) return;
    h->shut = true;
    nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(h->session),
                          NGHTTP2_NO_ERROR, NULL, 0);
    pump(c);
}

void http2_end(struct http_conn *c) {
    struct http2 *h = c->h2;
    for (struct http_request *r = h->requests, *next; r; r = next) {
        next = r->next;
        http_request_gone(r);
    }
    nghttp2_session_del(h->session);
    free(h);
    c->h2 = NULL;
}

void http2_open(struct http_conn *c) {
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, STREAM_LIMIT},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_HEAD_LIMIT},
    };
    nghttp2_session_callbacks *calls;
    struct http2 *h = c->h2 = mem_alloc(sizeof *h);

    if (nghttp2_session_callbacks_new(&calls) != 0) abort();
    nghttp2_session_callbacks_set_on_begin_headers_callback(calls, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_frame_send_callback(calls, on_frame_sent);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_close);
    if (nghttp2_session_server_new(&h->session, calls, c) != 0) abort();
    nghttp2_session_callbacks_del(calls);
    nghttp2_submit_settings(h->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    c->mode = HTTP_2;
    pump(c);
}
