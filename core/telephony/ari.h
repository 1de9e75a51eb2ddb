/* SPDX-License-Identifier: Apache-2.0 */
/* ARI over one WebSocket: requests with ids, their answers and time-outs, and events in order.
 *
 * Ownership  ari_open() to ari_close(); after ari_close() neither on_event nor on_close comes. Requests still unanswered
 *            then, or when the socket goes, get ERR_CLOSED, later, from the loop.
 * Threads    Loop thread only.
 */
#pragma once
#include "base/err.h"
#include "telephony/telephony.h"
#include <stdbool.h>
#include <stddef.h>

enum { ARI_TIMEOUT_MS = 5000 };

/* What the connections of a worker share. */
struct ari_late;
struct metric;
struct ari_hub {
    uv_loop_t *loop;
    struct net *net;
    struct metrics *metrics;
    struct metric *seconds, *unknown, *status[6]; /* NULL without metrics; status[0]: no answer */
    struct ari_late *late, **late_end;            /* requests whose failure is told from the loop */
    uv_timer_t late_timer;
    int timeout_ms; /* of a request; ARI_TIMEOUT_MS */
    int open;       /* connections and timers that are not gone yet */
    unsigned long unknown_count;
    void (*on_idle)(void *arg); /* after ari_hub_close(): nothing is left */
    void *arg;
    bool closing;
};
void ari_hub_init(struct ari_hub *hub, uv_loop_t *loop, struct net *net, struct metrics *metrics);
void ari_hub_close(struct ari_hub *hub, void (*on_idle)(void *arg), void *arg);
/* The callback of a request that cannot be sent, from the loop. */
void ari_fail_later(struct ari_hub *hub, ari_cb cb, void *arg, int code, const char *text);

struct ari;
struct ari_opts {
    const char *url; /* ws://host:port/ari/events?app=parley-7 */
    const char *user, *password;
    int connect_timeout_ms;
    void (*on_open)(void *arg);
    void (*on_event)(void *arg, const json_t *event); /* borrowed */
    void (*on_close)(void *arg, const struct err *e); /* once; call ari_close() in it or after it */
    void *arg;
};
struct ari *ari_open(struct ari_hub *hub, const struct ari_opts *o);
void ari_close(struct ari *a);
/* The same, and requests that have not reached Asterisk never will: for who may not be the owner any more. */
void ari_drop(struct ari *a);
void ari_request(struct ari *a, const char *method, const char *path, const json_t *body, ari_cb cb, void *arg);

/* One message from Asterisk. */
struct ari_message {
    json_t *json;   /* the whole; drop with json_decref() */
    bool is_answer; /* a RESTResponse: the rest is filled in */
    unsigned long long id;
    int status;
    json_t *body; /* parsed; NULL when there is none; drop with json_decref() */
};
/* ERR_PROTOCOL for what is no JSON object with a type, or an answer without a proper id and status. */
int ari_read(const char *text, size_t len, struct ari_message *out, struct err *e);
/* Percent-encodes all that is not unreserved. Returns out. */
struct buf;
void ari_encode(struct buf *out, const char *text);
