/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "io/http_conn.h"
#include <stdlib.h>
#include <string.h>

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

void http_request_handle(struct http_request *r) {
    struct http_server *s = r->conn->server;
    r->handling = true;
    r->is_head = strcmp(r->head.method, "HEAD") == 0;
    s->o.on_request(s->o.arg, r);
}

void http_request_gone(struct http_request *r) {
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

void http_reply(struct http_request *r, int status, const struct http_field *fields, const void *body, size_t len) {
    if (r->conn == NULL)
        http_request_free(r);
    else if (r->stream_id)
        http2_reply(r, status, fields, body, len);
    else
        http1_reply(r, status, fields, body, len);
}
