/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes of HTTP/1.1 requests: pure parsing, no I/O.
 *
 * Strict on purpose: what two parsers could read differently is refused, because a proxy before us that reads it the
 * other way would hand one client's bytes to another.
 */
#pragma once
#include "base/arena.h"
#include "base/buf.h"
#include "io/http_server.h"
#include <stdint.h>

enum { HTTP_HEAD_LIMIT = 16 * 1024, HTTP_TARGET_LIMIT = 8 * 1024, HTTP_FIELD_COUNT_LIMIT = 128 };

struct http_head {
    const char *method, *path, *query; /* all text in the arena given */
    struct http_field *fields;         /* names in lower case */
    size_t field_count;
    int64_t content_length; /* -1: none given */
    bool chunked, http10, close, expect_continue, wants_websocket;
};

/* Length of the head at the front of text (with its empty line), 0 when more is needed, or -status to refuse with and
 * *why. seen: how much of text earlier calls looked at, kept by the caller between them. */
long http_head_find(const char *text, size_t len, size_t *seen, const char **why);
/* Parses one whole head. 0 or the HTTP status to refuse with and *why. */
int http_head_parse(struct http_head *h, struct arena *arena, const char *text, size_t len, const char **why);

/* What HTTP/2 needs of the same rules. */
void http_head_set_target(struct http_head *h, struct arena *arena, const char *target, size_t len);
void http_head_add(struct http_head *h, struct arena *arena, const char *name, size_t name_len, const char *value,
                   size_t value_len);
bool http_target_ok(const char *target, size_t len);
bool http_name_ok(const char *name, size_t len);
bool http_value_ok(const char *value, size_t len);
/* Decimal, digits only, below 2^53; -1 otherwise. */
int64_t http_length(const char *text, size_t len);
/* Is token one of the comma-separated words of list? Case does not matter. */
bool http_list_has(const char *list, const char *token);

struct http_chunks {
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_DATA_END, CHUNK_TRAILER, CHUNK_DONE } state;
    uint64_t left;  /* of this chunk's data */
    char line[256]; /* of a size line, or how long the trailers are so far */
    size_t line_len, trailer_len;
};
/* Moves decoded bytes from text to body; *used is what was consumed. 0, or the status to refuse with and *why. */
int http_chunks_take(struct http_chunks *c, const char *text, size_t len, size_t *used, struct buf *body, size_t limit,
                     const char **why);
