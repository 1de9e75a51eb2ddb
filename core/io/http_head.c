/* SPDX-License-Identifier: Apache-2.0 */
#include "io/http_head.h"
#include <string.h>
#include <strings.h>

static bool is_token(unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           (c && strchr("!#$%&'*+-.^_`|~", c));
}

bool http_name_ok(const char *name, size_t len) {
    for (size_t i = 0; i < len; i++)
        if (!is_token((unsigned char)name[i])) return false;
    return len > 0;
}

bool http_value_ok(const char *value, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)value[i];
        if ((c < 0x20 && c != '\t') || c == 0x7F) return false;
    }
    return true;
}

bool http_target_ok(const char *target, size_t len) {
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)target[i];
        if (c <= 0x20 || c >= 0x7F || c == '#') return false;
    }
    return len > 0;
}

int64_t http_length(const char *text, size_t len) {
    int64_t n = 0;
    if (len == 0 || len > 15) return -1;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') return -1;
        n = n * 10 + (text[i] - '0');
    }
    return n;
}

bool http_list_has(const char *list, const char *token) {
    size_t want = strlen(token);
    while (*list) {
        list += strspn(list, ", \t");
        size_t len = strcspn(list, ",");
        size_t word = len;
        while (word && (list[word - 1] == ' ' || list[word - 1] == '\t')) word--;
        if (word == want && strncasecmp(list, token, want) == 0) return true;
        list += len;
    }
    return false;
}

static int refuse(const char **why, int status, const char *text) {
    *why = text;
    return status;
}

long http_head_find(const char *text, size_t len, size_t *seen, const char **why) {
    for (size_t i = *seen; i < len; i++) {
        if (text[i] != '\n') {
            if (i > 0 && text[i - 1] == '\r') return -refuse(why, 400, "a carriage return stands alone in the head");
            continue;
        }
        if (i == 0 || text[i - 1] != '\r')
            return -refuse(why, 400, "a line of the head ends without a carriage return");
        if (i >= 3 && text[i - 2] == '\n') {
            if (i + 1 > HTTP_HEAD_LIMIT) break;
            return (long)i + 1;
        }
    }
    *seen = len;
    if (memchr(text, '\n', len < HTTP_TARGET_LIMIT + 64 ? len : HTTP_TARGET_LIMIT + 64) == NULL &&
        len >= HTTP_TARGET_LIMIT + 64)
        return -refuse(why, 414, "the request target is longer than the limit of 8 KiB");
    if (len > HTTP_HEAD_LIMIT) return -refuse(why, 431, "the request head is longer than the limit of 16 KiB");
    return 0;
}

void http_head_set_target(struct http_head *h, struct arena *arena, const char *target, size_t len) {
    const char *mark = memchr(target, '?', len);
    size_t path_len = mark ? (size_t)(mark - target) : len;
    h->path = arena_strndup(arena, target, path_len);
    h->query = mark ? arena_strndup(arena, mark + 1, len - path_len - 1) : "";
}

void http_head_add(struct http_head *h, struct arena *arena, const char *name, size_t name_len, const char *value,
                   size_t value_len) {
    if (h->fields == NULL) h->fields = arena_alloc(arena, HTTP_FIELD_COUNT_LIMIT * sizeof *h->fields);
    char *low = arena_strndup(arena, name, name_len);
    for (char *c = low; *c; c++)
        if (*c >= 'A' && *c <= 'Z') *c = (char)(*c + 'a' - 'A');
    h->fields[h->field_count++] = (struct http_field){low, arena_strndup(arena, value, value_len)};
}

static int parse_target(struct http_head *h, struct arena *arena, const char *target, size_t len, const char **why) {
    if (len > HTTP_TARGET_LIMIT) return refuse(why, 414, "the request target is longer than the limit of 8 KiB");
    if (!http_target_ok(target, len)) return refuse(why, 400, "the request target holds a byte that is not allowed");
    if (len >= 7 && strncasecmp(target, "http://", 7) == 0) {
        target += 7, len -= 7;
    } else if (len >= 8 && strncasecmp(target, "https://", 8) == 0) {
        target += 8, len -= 8;
    } else if (target[0] == '/' || (len == 1 && target[0] == '*' && strcmp(h->method, "OPTIONS") == 0)) {
        http_head_set_target(h, arena, target, len);
        return 0;
    } else {
        return refuse(why, 400, "the request target must begin with /");
    }
    size_t host = 0;
    while (host < len && target[host] != '/' && target[host] != '?') host++;
    if (host == 0) return refuse(why, 400, "the request target names no host");
    if (host == len || target[host] == '?') { /* "http://host?x" is "/?x" */
        char *whole = arena_printf(arena, "/%.*s", (int)(len - host), target + host);
        http_head_set_target(h, arena, whole, strlen(whole));
    } else {
        http_head_set_target(h, arena, target + host, len - host);
    }
    return 0;
}

static int parse_request_line(struct http_head *h, struct arena *arena, const char *line, size_t len,
                              const char **why) {
    const char *space = memchr(line, ' ', len);
    size_t method_len = space ? (size_t)(space - line) : 0;
    if (method_len == 0 || method_len > 32 || !http_name_ok(line, method_len))
        return refuse(why, 400, "the request line does not begin with a method");
    h->method = arena_strndup(arena, line, method_len);
    const char *target = space + 1;
    size_t rest = len - method_len - 1;
    const char *end = memchr(target, ' ', rest);
    if (end == NULL) return refuse(why, 400, "the request line has no HTTP version");
    int rc = parse_target(h, arena, target, (size_t)(end - target), why);
    if (rc) return rc;
    const char *version = end + 1;
    size_t version_len = (size_t)(line + len - version);
    if (version_len != 8 || memcmp(version, "HTTP/", 5) != 0 || version[6] != '.')
        return refuse(why, 400, "the request line does not end with an HTTP version");
    if (version[5] != '1' || (version[7] != '1' && version[7] != '0'))
        return refuse(why, 505, "only HTTP/1.0 and HTTP/1.1 are spoken here, and HTTP/2 over TLS");
    h->http10 = version[7] == '0';
    return 0;
}

static int parse_field(struct http_head *h, struct arena *arena, const char *line, size_t len, const char **why) {
    const char *colon = memchr(line, ':', len);
    if (line[0] == ' ' || line[0] == '\t') return refuse(why, 400, "a header is folded over two lines");
    if (colon == NULL || !http_name_ok(line, (size_t)(colon - line)))
        return refuse(why, 400, "a header has no valid name");
    const char *value = colon + 1, *end = line + len;
    while (value < end && (*value == ' ' || *value == '\t')) value++;
    while (end > value && (end[-1] == ' ' || end[-1] == '\t')) end--;
    if (!http_value_ok(value, (size_t)(end - value))) return refuse(why, 400, "a header holds a control byte");
    if (h->field_count == HTTP_FIELD_COUNT_LIMIT) return refuse(why, 431, "more than the limit of 128 headers");
    http_head_add(h, arena, line, (size_t)(colon - line), value, (size_t)(end - value));
    return 0;
}

/* What the headers say about where this request ends and whether another may follow. */
static int parse_framing(struct http_head *h, const char **why) {
    int hosts = 0, lengths = 0, codings = 0;
    bool keep = false, upgrade = false, connection_upgrade = false;

    h->content_length = -1;
    for (size_t i = 0; i < h->field_count; i++) {
        const char *name = h->fields[i].name, *value = h->fields[i].value;
        if (strcmp(name, "content-length") == 0) {
            h->content_length = http_length(value, strlen(value));
            if (h->content_length < 0) return refuse(why, 400, "Content-Length is not a number");
            lengths++;
        } else if (strcmp(name, "transfer-encoding") == 0) {
            if (strcasecmp(value, "chunked") != 0)
                return refuse(why, 400, "the only Transfer-Encoding here is chunked");
            codings++;
        } else if (strcmp(name, "host") == 0) {
            hosts++;
        } else if (strcmp(name, "connection") == 0) {
            h->close |= http_list_has(value, "close");
            keep |= http_list_has(value, "keep-alive");
            connection_upgrade |= http_list_has(value, "upgrade");
        } else if (strcmp(name, "upgrade") == 0) {
            upgrade |= http_list_has(value, "websocket");
        } else if (strcmp(name, "expect") == 0) {
            if (strcasecmp(value, "100-continue") != 0) return refuse(why, 417, "the only Expect here is 100-continue");
            h->expect_continue = !h->http10;
        }
    }
    if (lengths > 1) return refuse(why, 400, "more than one Content-Length");
    if (codings > 1) return refuse(why, 400, "more than one Transfer-Encoding");
    if (lengths && codings) return refuse(why, 400, "both Content-Length and Transfer-Encoding");
    if (codings && h->http10) return refuse(why, 400, "Transfer-Encoding in HTTP/1.0");
    if (hosts > 1 || (hosts == 0 && !h->http10)) return refuse(why, 400, "a request needs exactly one Host");
    h->chunked = codings == 1;
    h->close |= h->http10 && !keep;
    h->wants_websocket = upgrade && connection_upgrade && !h->http10;
    return 0;
}

int http_head_parse(struct http_head *h, struct arena *arena, const char *text, size_t len, const char **why) {
    const char *end = text + len - 2; /* the empty line */
    const char *line = text;

    memset(h, 0, sizeof *h);
    for (bool first = true; line < end; first = false) {
        const char *stop = memchr(line, '\r', (size_t)(text + len - line));
        int rc = first ? parse_request_line(h, arena, line, (size_t)(stop - line), why)
                       : parse_field(h, arena, line, (size_t)(stop - line), why);
        if (rc) return rc;
        line = stop + 2;
    }
    return parse_framing(h, why);
}

static int parse_chunk_size(struct http_chunks *c, const char **why) {
    size_t i = 0;
    c->left = 0;
    for (; i < c->line_len; i++) {
        char x = c->line[i];
        int digit = x >= '0' && x <= '9'   ? x - '0'
                    : x >= 'a' && x <= 'f' ? x - 'a' + 10
                    : x >= 'A' && x <= 'F' ? x - 'A' + 10
                                           : -1;
        if (digit < 0) break;
        if (i == 12) return refuse(why, 400, "a chunk size is too large");
        c->left = c->left * 16 + (unsigned)digit;
    }
    if (i == 0) return refuse(why, 400, "a chunk has no size");
    if (i < c->line_len && c->line[i] != ';') return refuse(why, 400, "a chunk size is not a hexadecimal number");
    if (!http_value_ok(c->line + i, c->line_len - i)) return refuse(why, 400, "a chunk extension holds a control byte");
    return 0;
}

/* Collects a line that ends with CR LF. 1: whole (without its end), 0: more needed, else a status. */
static int take_line(struct http_chunks *c, char byte, const char **why) {
    if (byte == '\n') {
        if (c->line_len == 0 || c->line[c->line_len - 1] != '\r')
            return refuse(why, 400, "a line of a chunked body ends without a carriage return");
        c->line_len--;
        return 1;
    }
    if (c->line_len && c->line[c->line_len - 1] == '\r')
        return refuse(why, 400, "a carriage return stands alone in a chunked body");
    if (c->line_len == sizeof c->line) return refuse(why, 400, "a line of a chunked body is longer than 256 bytes");
    c->line[c->line_len++] = byte;
    return 0;
}

int http_chunks_take(struct http_chunks *c, const char *text, size_t len, size_t *used, struct buf *body, size_t limit,
                     const char **why) {
    size_t i = 0;
    int rc = 0;

    while (i < len && c->state != CHUNK_DONE) {
        switch (c->state) {
        case CHUNK_SIZE:
            rc = take_line(c, text[i++], why);
            if (rc == 0) break;
            if (rc == 1) rc = parse_chunk_size(c, why);
            if (rc) return rc;
            if (c->left > limit - body->len) return refuse(why, 413, NULL);
            c->state = c->left ? CHUNK_DATA : CHUNK_TRAILER;
            c->line_len = 0;
            break;
        case CHUNK_DATA: {
            size_t n = len - i < c->left ? len - i : (size_t)c->left;
            buf_add(body, text + i, n);
            i += n;
            c->left -= n;
            if (c->left == 0) c->state = CHUNK_DATA_END;
            break;
        }
        case CHUNK_DATA_END:
            rc = take_line(c, text[i++], why);
            if (rc > 1) return rc;
            if (c->line_len > (rc == 1 ? 0U : 1U)) return refuse(why, 400, "a chunk is longer than its size says");
            if (rc == 1) c->state = CHUNK_SIZE;
            rc = 0;
            break;
        case CHUNK_TRAILER: /* read for their end only: nothing may change a request after its head */
            if (++c->trailer_len > 4096) return refuse(why, 431, "the trailers are longer than the limit of 4 KiB");
            rc = take_line(c, text[i++], why);
            if (rc > 1) return rc;
            if (rc == 1) {
                if (c->line_len == 0) c->state = CHUNK_DONE;
                c->line_len = 0;
            }
            rc = 0;
            break;
        case CHUNK_DONE:
            break;
        }
    }
    *used = i;
    return rc;
}
