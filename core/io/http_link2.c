/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection in HTTP/2, by nghttp2: many requests at once.
 *
 * The window of the connection is opened again as soon as bytes arrive, that of a request only as its reader takes them:
 * one who does not read holds up nobody else, and costs HTTP_UNTAKEN. */
#include "io/http_stream_inside.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_LIMIT = 256 * 1024, PIECE = 16384, CONNECTION_WINDOW = 16 * 1024 * 1024, FIELDS = 72 };

void http_link2_pump(struct http_link *l) {
    struct buf out = {0};
    if (l->pumping || l->state != LINK_OPEN) return;
    l->pumping = true;
    while (stream_queued(l->socket) + out.len < OUT_LIMIT) {
        const uint8_t *data;
        ssize_t n = nghttp2_session_mem_send(l->session, &data);
        if (n < 0) http_link_abort(l, nghttp2_strerror((int)n));
        if (n <= 0) break;
        buf_add(&out, data, (size_t)n);
        if (out.len < PIECE) continue;
        stream_write(l->socket, out.data, out.len);
        buf_clear(&out);
    }
    if (out.len) stream_write(l->socket, out.data, out.len);
    buf_free(&out);
    l->pumping = false;
    if (!nghttp2_session_want_read(l->session) && !nghttp2_session_want_write(l->session))
        http_link_abort(l, "the server ended it");
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *out, size_t cap, uint32_t *flags,
                         nghttp2_data_source *source, void *arg) {
    struct http_stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)source;
    (void)arg;
    if (s == NULL) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* it was left */
    size_t left = s->body_len - s->body_at, n = left < cap ? left : cap;
    memcpy(out, s->body + s->body_at, n);
    s->body_at += n;
    if (n == left) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static nghttp2_nv field(const char *name, const char *value) {
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value), NGHTTP2_NV_FLAG_NONE};
}

void http_link2_send(struct http_link *l, struct http_stream *s) {
    nghttp2_nv nv[FIELDS];
    char length[24];
    size_t n = 0;
    const nghttp2_data_provider body = {.read_callback = read_body};

    nv[n++] = field(":method", s->method);
    nv[n++] = field(":scheme", l->origin->url.tls ? "https" : "http");
    nv[n++] = field(":authority", l->origin->url.authority);
    nv[n++] = field(":path", s->target);
    for (size_t i = 0; i < s->field_count; i++) {
        nv[n] = field(s->fields[i].name, s->fields[i].value);
        if (strcmp(s->fields[i].name, "authorization") == 0) nv[n].flags = NGHTTP2_NV_FLAG_NO_INDEX;
        n++;
    }
    snprintf(length, sizeof length, "%zu", s->body_len);
    if (s->body_len) nv[n++] = field("content-length", length);
    s->body_at = 0;
    s->id = nghttp2_submit_request(l->session, NULL, nv, n, s->body_len ? &body : NULL, s);
    if (s->id < 0) { /* it has had all its numbers, or is ending */
        l->last = true;
        http_link_detach(s);
        http_stream_end(s, ERR_IO, "the connection takes no more requests: %s", nghttp2_strerror(s->id));
        return;
    }
    http_link2_pump(l);
}

static void leave(struct http_link *l, struct http_stream *s, uint32_t code) {
    nghttp2_session_set_stream_user_data(l->session, s->id, NULL);
    http_link_detach(s);
    nghttp2_submit_rst_stream(l->session, NGHTTP2_FLAG_NONE, s->id, code);
}

void http_link2_reset(struct http_link *l, struct http_stream *s) {
    leave(l, s, NGHTTP2_CANCEL);
    http_link2_pump(l);
}

void http_link2_taken(struct http_link *l, struct http_stream *s, size_t len) {
    nghttp2_session_consume_stream(l->session, s->id, len);
    if (nghttp2_session_want_write(l->session)) http_link2_pump(l);
}

/* -- what nghttp2 reads ------------------------------------------------------------------------------------------------ */

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name, size_t name_len,
                     const uint8_t *value, size_t value_len, uint8_t flags, void *arg) {
    struct http_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    (void)flags;
    (void)arg;
    if (s == NULL || s->head_done || frame->hd.type != NGHTTP2_HEADERS) return 0; /* trailers are dropped */
    if (name_len == 7 && memcmp(name, ":status", 7) == 0)
        s->status = (int)http_length((const char *)value, value_len);
    else if (!http_stream_add_field(s, (const char *)name, name_len, (const char *)value, value_len))
        http_stream_end(s, ERR_PROTOCOL, "the head of the answer is not valid, or longer than 64 KiB");
    return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data, size_t len,
                         void *arg) {
    struct http_stream *s = nghttp2_session_get_stream_user_data(session, id);
    (void)flags;
    (void)arg;
    nghttp2_session_consume_connection(session, len);
    if (s == NULL) return 0;
    buf_add(&s->in, data, len);
    http_stream_heard(s);
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *arg) {
    struct http_link *l = arg;
    if (frame->hd.type == NGHTTP2_GOAWAY) l->last = true;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    struct http_stream *s = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (s == NULL) return 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !s->head_done) {
        if (s->status >= 200) {
            http_stream_head_done(s);
        } else { /* 1xx: another follows */
            s->status = 0;
            buf_clear(&s->head);
        }
    }
    if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM) || !s->head_done) return 0;
    if (nghttp2_session_get_stream_local_close(session, s->id) == 0) {
        leave(l, s, NGHTTP2_NO_ERROR); /* it has answered without reading all of the request */
    } else {
        nghttp2_session_set_stream_user_data(session, s->id, NULL);
        http_link_detach(s);
    }
    http_stream_end(s, 0, NULL);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg) {
    struct http_stream *s = nghttp2_session_get_stream_user_data(session, id);
    struct http_link *l = arg;
    if (s == NULL) return 0;
    http_link_detach(s);
    /* It has not been looked at, unless it was answered before: what was given of that cannot be taken back. */
    if (code == NGHTTP2_REFUSED_STREAM && s->tries == 0 && s->status == 0 && !l->origin->pool->closing) {
        s->tries++;
        s->sent_ms = 0;
        s->stage = "connect";
        buf_clear(&s->head);
        http_origin_wait(l->origin, s, true);
        return 0;
    }
    http_stream_end(s, code == NGHTTP2_PROTOCOL_ERROR ? ERR_PROTOCOL : ERR_IO, "the answer was broken off (%s)",
                    nghttp2_http2_strerror(code));
    return 0;
}

void http_link2_data(struct http_link *l, const char *data, size_t len) {
    l->pumping = true;
    ssize_t n = nghttp2_session_mem_recv(l->session, (const uint8_t *)data, len);
    l->pumping = false;
    if (n < 0) {
        nghttp2_session_terminate_session(l->session, NGHTTP2_PROTOCOL_ERROR);
        http_link2_pump(l);
        http_link_abort(l, nghttp2_strerror((int)n));
        return;
    }
    http_link2_pump(l);
    if (l->last && l->running == 0) http_link_close(l);
}

void http_link2_open(struct http_link *l) {
    static const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP_UNTAKEN},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP_ANSWER_HEAD},
    };
    nghttp2_session_callbacks *calls;
    nghttp2_option *option;

    if (nghttp2_session_callbacks_new(&calls) != 0 || nghttp2_option_new(&option) != 0) abort();
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_callbacks_set_on_header_callback(calls, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(calls, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(calls, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(calls, on_stream_close);
    if (nghttp2_session_client_new2(&l->session, calls, l, option) != 0) abort();
    nghttp2_session_callbacks_del(calls);
    nghttp2_option_del(option);
    nghttp2_submit_settings(l->session, NGHTTP2_FLAG_NONE, settings, sizeof settings / sizeof *settings);
    nghttp2_session_set_local_window_size(l->session, NGHTTP2_FLAG_NONE, 0, CONNECTION_WINDOW);
    http_link2_pump(l);
}
