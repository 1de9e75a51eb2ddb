/* SPDX-License-Identifier: Apache-2.0 */
/* What http_client.c (curl on the loop) and http_fetch.c (one request) share. */
#pragma once
#include "base/buf.h"
#include "io/http_client.h"
#include <curl/curl.h>

struct metric;

struct http_client {
    uv_loop_t *loop; /* borrowed */
    CURLM *multi;
    uv_timer_t timeout; /* curl's */
    uv_timer_t kick;    /* starts, cancels and times out, outside of curl's callbacks */
    struct http_fetch *fetches;
    int open_handles; /* polls and timers */
    bool closing, cleaned;
    struct metric *requests, *failures;
    void (*closed)(void *arg);
    void *closed_arg;
};

struct http_fetch {
    struct http_client *client;
    struct http_fetch *next, **at;
    struct http_fetch_opts o; /* its strings are not kept */
    CURL *easy;
    struct curl_slist *headers;
    char *body;          /* what we send */
    struct buf head, in; /* what came */
    size_t received;
    uint64_t deadline_ms; /* clock_mono_ms() */
    bool running, cancelled;
    char curl_error[CURL_ERROR_SIZE];
    struct err why; /* set: it failed, whatever curl says */
};

/* Fills easy from the options; f->why tells when they are wrong. */
void http_fetch_prepare(struct http_fetch *f, const struct http_fetch_opts *o);
/* Calls on_done and frees f. It must be out of the multi. */
void http_fetch_end(struct http_fetch *f, CURLcode result);
/* Looks at all requests on the loop's next turn: which must start or end. */
void http_client_kick(struct http_client *c);
