/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_framing.h"
#include <string.h>

static int too_long(const struct http_framing *f, struct err *e) {
    return err_set(e, ERR_LIMIT, "an event of the response is longer than the limit of %zu bytes", f->limit);
}

static void forget_event(struct http_framing *f) {
    buf_clear(&f->name);
    buf_clear(&f->data);
    f->has_name = f->has_data = f->bare = f->given = false;
}

static int add_data(struct http_framing *f, const char *text, size_t len, struct err *e) {
    if (f->data.len + len + 1 > f->limit) return too_long(f, e);
    if (f->has_data) buf_add(&f->data, "\n", 1);
    buf_add(&f->data, text, len);
    f->has_data = true;
    return 0;
}

static int take_field(struct http_framing *f, const char *line, size_t len, struct err *e) {
    const char *colon = memchr(line, ':', len);
    size_t name_len = colon ? (size_t)(colon - line) : len;
    const char *value = colon ? colon + 1 : line + len, *end = line + len;
    if (value < end && *value == ' ') value++;
    if (name_len == 4 && memcmp(line, "data", 4) == 0) return add_data(f, value, (size_t)(end - value), e);
    if (name_len == 5 && memcmp(line, "event", 5) == 0) {
        buf_clear(&f->name);
        buf_add(&f->name, value, (size_t)(end - value));
        f->has_name = true;
    }
    return 0;
}

/* One line of server-sent events without its end. 1: it ended an event. */
static int take_sse_line(struct http_framing *f, const char *line, size_t len, struct err *e) {
    if (!f->begun && len >= 3 && memcmp(line, "\xEF\xBB\xBF", 3) == 0) line += 3, len -= 3;
    f->begun = true;
    if (len == 0) {
        if (f->has_data) return 1;
        forget_event(f);
        return 0;
    }
    if (!f->has_data && (line[0] == '{' || line[0] == '[')) f->bare = true;
    if (f->bare) return add_data(f, line, len, e);
    return line[0] == ':' ? 0 : take_field(f, line, len, e);
}

static int take_json_line(struct http_framing *f, const char *line, size_t len, struct err *e) {
    while (len && (line[len - 1] == '\r' || line[len - 1] == ' ' || line[len - 1] == '\t')) len--;
    if (len == 0) return 0;
    int rc = add_data(f, line, len, e);
    return rc < 0 ? rc : 1;
}

static int take_line(struct http_framing *f, const char *line, size_t len, struct err *e) {
    return f->kind == HTTP_SSE ? take_sse_line(f, line, len, e) : take_json_line(f, line, len, e);
}

/* The first byte that ends a line, or NULL. Looks no further than that: a search for either byte alone goes through all
 * that has come, once for every line. */
static const char *line_end(const struct http_framing *f, const char *text, size_t len) {
    if (f->kind != HTTP_SSE) return memchr(text, '\n', len);
    for (const char *c = text; c < text + len; c++)
        if (*c == '\n' || *c == '\r') return c;
    return NULL;
}

int http_framing_take(struct http_framing *f, const char *text, size_t len, size_t *used, struct err *e) {
    size_t at = 0;
    *used = 0;
    if (f->given) forget_event(f);
    if (len && f->kind == HTTP_BYTES) {
        buf_add(&f->data, text, len);
        *used = len;
        f->given = true;
        return 1;
    }
    while (at < len) {
        if (f->after_return && text[at] == '\n') at++;
        f->after_return = false;
        const char *end = line_end(f, text + at, len - at);
        size_t n = end ? (size_t)(end - text) - at : len - at;
        if (f->line.len + n > f->limit) return too_long(f, e);
        if (end == NULL) {
            buf_add(&f->line, text + at, n);
            break;
        }
        int rc;
        if (f->line.len) {
            buf_add(&f->line, text + at, n);
            rc = take_line(f, f->line.data, f->line.len, e);
            buf_clear(&f->line);
        } else {
            rc = take_line(f, text + at, n, e);
        }
        if (rc < 0) return rc;
        at += n + 1;
        f->after_return = *end == '\r';
        if (rc == 1) {
            f->given = true;
            *used = at;
            return 1;
        }
    }
    *used = len;
    return 0;
}

int http_framing_finish(struct http_framing *f, struct err *e) {
    if (f->given) forget_event(f);
    if (f->line.len) {
        int rc = take_line(f, f->line.data, f->line.len, e);
        buf_clear(&f->line);
        if (rc < 0) return rc;
    }
    f->given = f->has_data;
    return f->has_data ? 1 : 0;
}

void http_framing_free(struct http_framing *f) {
    buf_free(&f->name);
    buf_free(&f->data);
    buf_free(&f->line);
}
