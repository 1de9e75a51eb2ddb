/* SPDX-License-Identifier: Apache-2.0 */
/* A client's connection in HTTP/1.1: one request, its answer, the next. */
#include "io/http_stream_inside.h"
#include <string.h>
#include <strings.h>

void http_link1_send(struct http_link *l, struct http_stream *s) {
    struct buf out = {0};
    bool carries = s->body_len || strcmp(s->method, "POST") == 0 || strcmp(s->method, "PUT") == 0 ||
                   strcmp(s->method, "PATCH") == 0;

    buf_clear(&l->head);
    l->seen = 0;
    l->chunks = (struct http_chunks){0};
    buf_reserve(&out, s->body_len + 1024);
    buf_printf(&out, "%s %s HTTP/1.1\r\nhost: %s\r\n", s->method, s->target, l->origin->url.authority);
    for (size_t i = 0; i < s->field_count; i++) buf_printf(&out, "%s: %s\r\n", s->fields[i].name, s->fields[i].value);
    if (carries) buf_printf(&out, "content-length: %zu\r\n", s->body_len);
    buf_add(&out, "\r\n", 2);
    buf_add(&out, s->body, s->body_len);
    stream_write(l->socket, out.data, out.len);
    buf_free(&out);
}

static void broken(struct http_link *l, const char *why) {
    struct http_stream *s = l->request;
    if (s) {
        http_link_detach(s);
        http_stream_end(s, ERR_PROTOCOL, "the answer is not HTTP: %s", why);
    }
    http_link_abort(l, why);
}

static void finished(struct http_link *l, bool keep) {
    struct http_stream *s = l->request;
    keep = keep && l->keep && !l->last && stream_queued(l->socket) == 0;
    http_link_detach(s);
    http_stream_end(s, 0, NULL);
    if (keep)
        stream_pause(l->socket, false);
    else
        http_link_abort(l, "it is not used again");
}

static int take_status(struct http_link *l, const char *line, size_t len) {
    if (len < 12 || memcmp(line, "HTTP/1.", 7) != 0 || (line[7] != '0' && line[7] != '1') || line[8] != ' ' ||
        (len > 12 && line[12] != ' '))
        return -1;
    l->keep = line[7] == '1';
    int64_t status = http_length(line + 9, 3);
    return status >= 100 ? (int)status : -1;
}

static bool is(const char *name, size_t len, const char *want) {
    return len == strlen(want) && strncasecmp(name, want, len) == 0;
}

/* Keeps a field, and what it says about the end of the body. */
static const char *take_field(struct http_link *l, const char *line, size_t len) {
    struct http_stream *s = l->request;
    const char *colon = memchr(line, ':', len), *end = line + len;
    if (colon == NULL) return "a header has no colon";
    size_t name_len = (size_t)(colon - line);
    const char *value = colon + 1;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    size_t value_len = (size_t)(end - value), from = s->head.len;
    if (!http_stream_add_field(s, line, name_len, value, value_len)) return "a header is not valid";
    if (is(line, name_len, "content-length")) {
        int64_t length = http_length(value, value_len);
        if (length < 0 || (l->left >= 0 && l->left != length)) return "its length is not clear";
        l->left = length;
    } else if (is(line, name_len, "transfer-encoding")) {
        if (!is(value, value_len, "chunked") || l->chunked) return "its transfer encoding is not known here";
        l->chunked = true;
    } else if (is(line, name_len, "connection")) {
        s->head.data[s->head.len - 1] = '\0'; /* the value alone, for a moment */
        if (http_list_has(s->head.data + from + name_len + 2, "close")) l->keep = false;
        s->head.data[s->head.len - 1] = '\n';
    }
    return NULL;
}

/* text: one whole head. NULL, or what is wrong with it. */
static const char *take_head(struct http_link *l, const char *text, size_t len) {
    struct http_stream *s = l->request;
    const char *stop = memchr(text, '\r', len), *end = text + len - 2;
    l->left = -1;
    l->chunked = false;
    buf_clear(&s->head);
    s->status = take_status(l, text, (size_t)(stop - text));
    if (s->status < 0) return "it has no status";
    for (const char *line = stop + 2; line < end; line = stop + 2) {
        stop = memchr(line, '\r', (size_t)(text + len - line));
        const char *why = take_field(l, line, (size_t)(stop - line));
        if (why) return why;
    }
    if (l->chunked && l->left >= 0) l->keep = false; /* two ends: whoever reads the other one must not follow */
    if (s->status == 204 || s->status == 304 || strcmp(s->method, "HEAD") == 0) {
        l->chunked = false;
        l->left = 0;
    }
    return NULL;
}

static void take_body(struct http_link *l, const char *data, size_t len) {
    struct http_stream *s = l->request;
    size_t used = len;
    bool done = false;

    if (l->chunked) {
        const char *why = "";
        int status = http_chunks_take(&l->chunks, data, len, &used, &s->in, SIZE_MAX / 2, &why);
        if (status) {
            broken(l, why);
            return;
        }
        done = l->chunks.state == CHUNK_DONE;
    } else {
        if (l->left >= 0 && (uint64_t)l->left < len) used = (size_t)l->left;
        buf_add(&s->in, data, used);
        if (l->left >= 0) l->left -= (int64_t)used;
        done = l->left == 0;
    }
    if (used) http_stream_heard(s);
    if (done)
        finished(l, used == len); /* more than an answer: nothing after it can be trusted */
    else if (http_stream_untaken(s) >= HTTP_UNTAKEN)
        stream_pause(l->socket, true);
}

void http_link1_data(struct http_link *l, const char *data, size_t len) {
    struct http_stream *s = l->request;
    const char *why = "";

    if (s == NULL) {
        http_link_abort(l, "the server spoke unasked");
        return;
    }
    if (s->head_done) {
        take_body(l, data, len);
        return;
    }
    buf_add(&l->head, data, len);
    for (;;) {
        long head = http_head_find(l->head.data, l->head.len, &l->seen, &why);
        if (head == 0) return;
        if (head < 0) {
            broken(l, head == -431 ? "its head is longer than the limit of 16 KiB" : "its head has no lines");
            return;
        }
        const char *wrong = take_head(l, l->head.data, (size_t)head);
        if (wrong == NULL && s->status == 101) wrong = "it changes the protocol unasked";
        if (wrong) {
            broken(l, wrong);
            return;
        }
        l->seen = 0;
        if (s->status >= 200) {
            http_stream_head_done(s);
            struct buf whole = l->head; /* what the body does may clear it */
            l->head = (struct buf){0};
            take_body(l, whole.data + head, whole.len - (size_t)head);
            buf_free(&whole);
            return;
        }
        buf_drop(&l->head, (size_t)head); /* 1xx: another follows */
        s->status = 0;
        buf_clear(&s->head);
    }
}

void http_link1_eof(struct http_link *l) {
    struct http_stream *s = l->request;
    if (s == NULL || !s->head_done || l->chunked || l->left >= 0) return;
    http_link_detach(s);
    http_stream_end(s, 0, NULL);
}
