/* SPDX-License-Identifier: Apache-2.0 */
/* One request: its options, its time limits, what was read and not taken yet, and how it ends. */
#include "io/http_stream.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/http_stream_inside.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { CONNECT_MS = 10000, TIMEOUT_MS = 600000, EVENT_LIMIT = 4 * 1024 * 1024, FIELDS_MAX = 64, KEPT = 65536 };

static void on_timer(uv_timer_t *timer);

/* When what it waits for now is late. */
static uint64_t due_ms(const struct http_stream *s) {
    uint64_t due = s->begun_ms + (uint64_t)s->timeout_ms, other = UINT64_MAX;
    if (s->sent_ms == 0)
        other = s->begun_ms + (uint64_t)s->connect_ms;
    else if (!s->head_done && s->first_byte_ms)
        other = s->sent_ms + (uint64_t)s->first_byte_ms;
    else if (s->head_done && s->idle_ms && http_stream_untaken(s) == 0)
        other = s->heard_ms + (uint64_t)s->idle_ms;
    return other < due ? other : due;
}

/* A limit that moves away is looked at again when the timer comes; one that moves nearer needs another timer. */
static void watch_time(struct http_stream *s) {
    uint64_t due = due_ms(s), now_ms = clock_mono_ms();
    if (s->ended || due >= s->due_ms) return;
    s->due_ms = due;
    uv_timer_start(&s->timer, on_timer, due > now_ms ? due - now_ms : 0, 0);
}

static void end_late(struct http_stream *s, uint64_t now_ms) {
    if (now_ms >= s->begun_ms + (uint64_t)s->timeout_ms)
        http_stream_end(s, ERR_TIMEOUT, "no whole answer in %d ms", s->timeout_ms);
    else if (s->sent_ms == 0)
        http_stream_end(s, ERR_TIMEOUT, "no connection in %d ms", s->connect_ms);
    else if (!s->head_done)
        http_stream_end(s, ERR_TIMEOUT, "no answer in %d ms", s->first_byte_ms);
    else
        http_stream_end(s, ERR_TIMEOUT, "the answer stood still for %d ms", s->idle_ms);
}

static void on_timer(uv_timer_t *timer) {
    struct http_stream *s = timer->data;
    struct http_pool *p = s->pool;
    uint64_t now_ms = clock_mono_ms();
    s->due_ms = UINT64_MAX;
    if (s->ended) return;
    p->inside = true;
    if (now_ms >= due_ms(s))
        end_late(s, now_ms);
    else
        watch_time(s);
    http_pool_tell(p);
}

/* Those that the protocol itself needs are ours. */
static bool is_ours(const char *name) {
    static const char *const ours[] = {"host",       "content-length",   "transfer-encoding",
                                       "connection", "keep-alive",       "upgrade",
                                       "te",         "proxy-connection", "expect",
                                       NULL};
    for (size_t i = 0; ours[i]; i++)
        if (strcasecmp(name, ours[i]) == 0) return true;
    return false;
}

static int copy_fields(struct http_stream *s, const struct http_stream_field *f, struct err *e) {
    bool accepts = false;
    s->fields = arena_alloc(&s->arena, (FIELDS_MAX + 1) * sizeof *s->fields);
    for (; f && f->name; f++) {
        if (!http_name_ok(f->name, strlen(f->name)) || f->value == NULL || !http_value_ok(f->value, strlen(f->value)))
            return err_set(e, ERR_INVALID, "a header's name or value holds bytes that no header may have");
        if (is_ours(f->name)) continue;
        if (s->field_count == FIELDS_MAX - 1) return err_set(e, ERR_INVALID, "more than %d headers", FIELDS_MAX - 1);
        char *name = arena_strndup(&s->arena, f->name, strlen(f->name));
        for (char *c = name; *c; c++)
            if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 'a' - 'A');
        accepts |= strcmp(name, "accept") == 0;
        s->fields[s->field_count++] = (struct http_field){name, arena_strndup(&s->arena, f->value, strlen(f->value))};
    }
    if (!accepts) s->fields[s->field_count++] = (struct http_field){"accept", "*/*"};
    return 0;
}

static int copy_options(struct http_stream *s, const struct http_stream_opts *o, struct err *e) {
    const char *method = o->method ? o->method : "GET";
    struct ws_url url;

    s->connect_ms = o->connect_ms > 0 ? o->connect_ms : CONNECT_MS;
    s->first_byte_ms = o->first_byte_ms > 0 ? o->first_byte_ms : 0;
    s->idle_ms = o->idle_ms > 0 ? o->idle_ms : 0;
    s->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_MS;
    s->wanted = o->framing;
    s->framing.limit = o->event_limit ? o->event_limit : EVENT_LIMIT;
    s->on_change = o->on_change;
    s->arg = o->arg;
    int rc = http_url_parse(&url, o->url, e);
    if (rc == 0 && (!http_name_ok(method, strlen(method)) || strlen(method) > 32))
        rc = err_set(e, ERR_INVALID, "the method is no word");
    if (rc == 0) rc = copy_fields(s, o->fields, e);
    if (rc == 0 && s->pool->closing) rc = err_set(e, ERR_CANCELLED, "the client is closing");
    if (rc == 0) {
        s->method = arena_strndup(&s->arena, method, strlen(method));
        s->target = arena_strndup(&s->arena, url.target, strlen(url.target));
        s->body = arena_alloc(&s->arena, o->len + 1);
        if (o->len) memcpy((char *)s->body, o->body, o->len);
        s->body_len = o->len;
        s->origin = http_origin_of(s->pool, &url, o->ca_file);
    }
    ws_url_free(&url);
    return rc;
}

struct http_stream *http_stream_open(struct http_pool *p, const struct http_stream_opts *o) {
    struct http_stream *s = mem_alloc(sizeof *s);
    struct err e;

    s->pool = p;
    s->stage = "connect";
    s->begun_ms = clock_mono_ms();
    s->due_ms = UINT64_MAX;
    s->content_length = -1;
    uv_timer_init(p->loop, &s->timer);
    s->timer.data = s;
    p->open++;
    s->next = p->streams;
    if (s->next) s->next->at = &s->next;
    s->at = &p->streams;
    p->streams = s;
    if (copy_options(s, o, &e) < 0) {
        http_stream_end(s, e.code, "%s", e.text);
        return s;
    }
    watch_time(s);
    if (s->origin->waiting_count >= p->limits.waiting) {
        http_stream_end(s, ERR_BUSY, "more than %d requests wait for %s", p->limits.waiting, s->origin->name);
        return s;
    }
    http_origin_wait(s->origin, s, false);
    http_origin_run(s->origin);
    return s;
}

void http_stream_sent(struct http_stream *s) {
    s->sent_ms = clock_mono_ms();
    s->stage = "head";
    watch_time(s);
}

bool http_stream_add_field(struct http_stream *s, const char *name, size_t name_len, const char *value,
                           size_t value_len) {
    if (s->head.len + name_len + value_len + 3 > HTTP_ANSWER_HEAD || !http_name_ok(name, name_len) ||
        !http_value_ok(value, value_len))
        return false;
    size_t from = s->head.len;
    buf_add(&s->head, name, name_len);
    for (size_t i = from; i < s->head.len; i++)
        if (s->head.data[i] >= 'A' && s->head.data[i] <= 'Z') s->head.data[i] = (char)(s->head.data[i] + 'a' - 'A');
    buf_add(&s->head, ": ", 2);
    buf_add(&s->head, value, value_len);
    buf_add(&s->head, "\n", 1);
    return true;
}

void http_stream_head_done(struct http_stream *s) {
    s->head_done = true;
    s->stage = "body";
    s->heard_ms = clock_mono_ms();
    if (!s->framed) s->framing.kind = s->status < 300 ? s->wanted : HTTP_BYTES;
    watch_time(s);
    http_pool_changed(s);
}

void http_stream_heard(struct http_stream *s) {
    s->heard_ms = clock_mono_ms();
    http_pool_changed(s);
}

void http_stream_end(struct http_stream *s, int code, const char *fmt, ...) {
    va_list args;
    char text[sizeof s->why.text];
    if (s->ended) return;
    s->ended = true;
    if (code) {
        va_start(args, fmt);
        vsnprintf(text, sizeof text, fmt, args);
        va_end(args);
        err_set(&s->why, code, "%s", text);
    }
    uv_timer_stop(&s->timer);
    if (s->link)
        http_link_reset(s->link, s);
    else if (s->peer_at)
        http_origin_leave(s);
    s->origin = NULL;
    http_pool_changed(s);
}

int http_stream_status(const struct http_stream *s) {
    return s->head_done ? s->status : 0;
}

const char *http_stream_headers(const struct http_stream *s) {
    return s->head.data ? s->head.data : "";
}

const char *http_stream_stage(const struct http_stream *s) {
    return s->stage;
}

void http_stream_frame(struct http_stream *s, enum http_framing_kind framing) {
    if (s->framed) return;
    s->wanted = s->framing.kind = framing;
    s->framed = s->head_done;
}

static void took(struct http_stream *s, size_t len) {
    s->in_at += len;
    if (http_stream_untaken(s) == 0) {
        s->in_at = 0;
        if (s->in.cap > KEPT)
            buf_free(&s->in);
        else
            buf_clear(&s->in);
        s->heard_ms = clock_mono_ms(); /* the server's time begins when ours has ended */
        watch_time(s);
    } else if (s->in_at > KEPT) {
        buf_drop(&s->in, s->in_at);
        s->in_at = 0;
    }
    if (s->link && len) http_link_taken(s->link, s, len);
}

static int give(struct http_stream *s, const char **name, const char **data, size_t *len) {
    const struct http_framing *f = &s->framing;
    *name = f->has_name ? (f->name.data ? f->name.data : "") : NULL;
    *data = f->data.data ? f->data.data : "";
    *len = f->data.len;
    return HTTP_NEXT_EVENT;
}

static int fail(const struct http_stream *s, struct err *e) {
    return err_set(e, s->why.code, "%s", s->why.text);
}

int http_stream_next(struct http_stream *s, const char **name, const char **data, size_t *len, struct err *e) {
    struct err why;
    int rc = 0;

    if (s->why.code == ERR_CANCELLED) return fail(s, e);
    if (!s->head_done) return s->ended ? fail(s, e) : HTTP_NEXT_NONE;
    s->framed = true;
    if (http_stream_untaken(s)) {
        size_t used = 0;
        rc = http_framing_take(&s->framing, s->in.data + s->in_at, http_stream_untaken(s), &used, &why);
        took(s, used);
    }
    if (rc == 0 && s->ended && s->why.code == 0 && !s->closed) {
        s->closed = true;
        rc = http_framing_finish(&s->framing, &why);
    }
    if (rc == 1) return give(s, name, data, len);
    if (rc < 0) { /* what cannot be framed cannot be read on */
        buf_free(&s->in);
        s->in_at = 0;
        http_stream_end(s, rc, "%s", why.text);
        s->why = why;
    }
    if (s->why.code) return fail(s, e);
    return s->ended ? HTTP_NEXT_END : HTTP_NEXT_NONE;
}

void http_stream_cancel(struct http_stream *s) {
    if (s->ended && s->why.code) return;
    buf_free(&s->in);
    s->in_at = 0;
    http_stream_end(s, ERR_CANCELLED, "the request was cancelled");
    if (s->why.code == 0 && !s->closed) err_set(&s->why, ERR_CANCELLED, "the request was cancelled");
}

static void on_timer_closed(uv_handle_t *handle) {
    struct http_stream *s = handle->data;
    struct http_pool *p = s->pool;
    arena_free(&s->arena);
    buf_free(&s->head);
    buf_free(&s->in);
    http_framing_free(&s->framing);
    free(s);
    http_pool_gone(p);
}

void http_stream_free(struct http_stream *s) {
    if (s == NULL) return;
    http_stream_cancel(s);
    http_pool_forget_change(s);
    s->on_change = NULL;
    *s->at = s->next;
    if (s->next) s->next->at = s->at;
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
