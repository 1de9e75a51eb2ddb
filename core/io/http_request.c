/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "io/http_conn.h"
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum { SMALL = 16 * 1024 };

size_t http_bodies_limit = 256u * 1024 * 1024;
const char http_crowded[] = "too much is being sent to this server at once; try again in a moment";
static _Thread_local size_t held; /* bytes of all heads, bodies, HTTP/2 replies and unread input */

bool http_request_fits(struct http_request *r) {
    size_t now = r->head_bytes + r->body.len + r->reply.len;
    held += now - r->counted;
    r->counted = now;
    return held <= http_bodies_limit || now <= SMALL; /* those are bounded by the number of connections */
}

void http_conn_count(struct http_conn *c) {
    held += c->in.len - c->counted;
    c->counted = c->in.len;
}

struct http_request *http_request_new(struct http_conn *c) {
    struct http_request *r = mem_alloc(sizeof *r);
    r->conn = c;
    r->tls = c->server->tls != NULL;
    memcpy(r->remote, c->remote, sizeof r->remote);
    r->head.content_length = -1;
    return r;
}

void http_request_free(struct http_request *r) {
    arena_free(&r->arena);
    held -= r->counted;
    buf_free(&r->body);
    buf_free(&r->reply);
    free(r);
}

static void begin(struct http_server *s, struct http_request *r) {
    uint64_t at_ns = uv_hrtime();
    s->o.on_request(s->o.arg, r);
    s->spent_ns += uv_hrtime() - at_ns;
}

static bool turn_is_full(const struct http_server *s) {
    return s->spent_ns >= HTTP_TURN_MS * 1000000ull;
}

static void on_again(uv_idle_t *idle) {
    (void)idle; /* it is enough that the loop does not sleep */
}

static void queue_add(struct http_server *s, struct http_request *r) {
    const char *address = crowd_address(r->conn->visitor);
    struct http_queue *q = map_get(&s->waiting, address);
    if (q == NULL) {
        q = mem_alloc(sizeof *q);
        q->address = address;
        q->last = &q->first;
        map_put(&s->waiting, address, q);
        *s->last_queue = q;
        s->last_queue = &q->next;
    }
    *q->last = r;
    q->last = &r->waiting_next;
}

/* The queue at *at leaves the circle: it is empty, or will stand at its end. */
static struct http_queue *queue_take_out(struct http_server *s, struct http_queue **at) {
    struct http_queue *q = *at;
    *at = q->next;
    if (*at == NULL) s->last_queue = at;
    q->next = NULL;
    return q;
}

static void queue_free(struct http_server *s, struct http_queue *q) {
    map_drop(&s->waiting, q->address, q);
    free(q);
}

static struct http_request *queue_next(struct http_server *s) {
    struct http_queue *q = queue_take_out(s, &s->next_queue);
    struct http_request *r = q->first;
    q->first = r->waiting_next;
    r->waiting_next = NULL;
    if (q->first) {
        *s->last_queue = q;
        s->last_queue = &q->next;
    } else {
        queue_free(s, q);
    }
    return r;
}

void http_request_handle(struct http_request *r) {
    struct http_server *s = r->conn->server;
    r->handling = true;
    r->is_head = strcmp(r->head.method, "HEAD") == 0;
    if (s->next_queue == NULL && !turn_is_full(s)) {
        begin(s, r);
        return;
    }
    if (s->next_queue == NULL) {
        s->last_queue = &s->next_queue;
        uv_idle_start(&s->again, on_again);
    }
    r->waiting = true;
    queue_add(s, r);
}

void http_requests_turn(struct http_server *s) {
    s->spent_ns = 0;
    while (s->next_queue && !turn_is_full(s)) {
        struct http_request *r = queue_next(s);
        r->waiting = false;
        begin(s, r);
    }
    if (s->next_queue == NULL) uv_idle_stop(&s->again);
}

static void wait_no_more(struct http_server *s, struct http_request *r) {
    struct http_queue *q = map_get(&s->waiting, crowd_address(r->conn->visitor)), **place = &s->next_queue;
    struct http_request **at = &q->first;
    while (*at != r) at = &(*at)->waiting_next;
    *at = r->waiting_next;
    if (*at == NULL) q->last = at;
    r->waiting = r->handling = false;
    if (q->first) return;
    while (*place != q) place = &(*place)->next;
    queue_free(s, queue_take_out(s, place));
}

void http_request_gone(struct http_request *r) {
    if (r->waiting) wait_no_more(r->conn->server, r);
    r->conn = NULL;
    if (!r->handling)
        http_request_free(r);
    else if (r->gone)
        r->gone(r->gone_arg);
}

const char *http_method(const struct http_request *r) {
    return r->head.method;
}

const char *http_path(const struct http_request *r) {
    return r->head.path;
}

const char *http_query(const struct http_request *r) {
    return r->head.query;
}

const char *http_header(const struct http_request *r, const char *name) {
    for (size_t i = 0; i < r->head.field_count; i++)
        if (strcmp(r->head.fields[i].name, name) == 0) return r->head.fields[i].value;
    return NULL;
}

void http_headers(const struct http_request *r, void (*each)(void *arg, const char *name, const char *value),
                  void *arg) {
    for (size_t i = 0; i < r->head.field_count; i++) each(arg, r->head.fields[i].name, r->head.fields[i].value);
}

const char *http_body(const struct http_request *r, size_t *len) {
    *len = r->body.len;
    return r->body.data ? r->body.data : "";
}

const char *http_remote(const struct http_request *r) {
    return r->remote;
}

bool http_is_tls(const struct http_request *r) {
    return r->tls;
}

void http_on_gone(struct http_request *r, void (*gone)(void *arg), void *arg) {
    r->gone = gone;
    r->gone_arg = arg;
}

void http_request_room(struct http_request *r) {
    if (!r->wants_room) return;
    r->wants_room = false;
    r->on_room(r->room_arg);
}

void http_reply_begin(struct http_request *r, int status, const struct http_field *fields, void (*on_room)(void *arg),
                      void *arg) {
    r->streamed = true;
    r->on_room = on_room;
    r->room_arg = arg;
    if (r->conn == NULL) return;
    if (r->stream_id)
        http2_begin(r, status, fields);
    else
        http1_begin(r, status, fields);
}

int http_reply_write(struct http_request *r, const void *data, size_t len) {
    if (r->conn == NULL) return ERR_CLOSED;
    if (len == 0 || r->is_head) return 0;
    int rc = r->stream_id ? http2_write(r, data, len) : http1_write(r, data, len);
    r->wants_room = rc == 1 && r->on_room;
    return rc;
}

static void end_reply(struct http_request *r, bool whole) {
    r->wants_room = false;
    r->gone = NULL;
    if (r->conn == NULL)
        http_request_free(r);
    else if (r->stream_id)
        http2_end_reply(r, whole);
    else
        http1_end_reply(r, whole);
}

void http_reply_end(struct http_request *r) {
    end_reply(r, true);
}

void http_reply_abort(struct http_request *r) {
    end_reply(r, false);
}

void http_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len) {
    if (r->conn == NULL)
        http_request_free(r);
    else if (r->stream_id)
        http2_reply(r, status, fields, body, len);
    else
        http1_reply(r, status, fields, body, len);
}
