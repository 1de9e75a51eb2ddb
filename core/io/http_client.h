/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP client over libcurl multi on the uv loop: HTTP/2 where offered, connections kept and shared per origin. */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct http_client;
struct http_fetch;
struct metrics;
int http_client_open(struct http_client **out, uv_loop_t *loop, struct metrics *m, struct err *e);
void http_client_close(struct http_client *c, void (*closed)(void *arg), void *arg);

struct http_response {
    int status;
    const char *headers; /* "name: value\n" lines, lower-case names, last response only */
    const char *body;    /* NULL when on_chunk took it */
    size_t len;
};
struct http_fetch_opts {
    const char *method, *url;   /* http and https only */
    const char *const *headers; /* "Name: value", ends with NULL; may be NULL */
    const void *body;
    size_t len;
    int timeout_ms;        /* whole request; 0: 30000 */
    size_t response_limit; /* bytes; 0: 16 MiB; more ends it with ERR_LIMIT */
    const char *ca_file;   /* NULL: the system's */
    bool (*on_chunk)(void *arg, int status, const char *data, size_t len); /* streaming; false stops it */
    /* Exactly once. r is NULL on failure (e says why). Both borrowed for the call. */
    void (*on_done)(void *arg, const struct http_response *r, const struct err *e);
    void *arg;
};
/* Copies its options. The pointer is valid until on_done has returned. No redirects are followed. */
struct http_fetch *http_fetch(struct http_client *c, const struct http_fetch_opts *o);
void http_fetch_cancel(struct http_fetch *f); /* on_done comes with ERR_CANCELLED, from the loop */
