/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of io/redis share among themselves. */
#pragma once
#include "io/redis.h"
#include "io/redis_link.h"
#include "metrics/metrics.h"

struct redis_command {
    struct redis_command *next;
    redis_cb cb; /* may be NULL */
    void *arg;
    uint64_t sent_ns;
    uint64_t deadline_ms;
    struct err failed; /* why, once it is in the list of the failed */
};
struct redis_list {
    struct redis_command *head, *tail;
};

struct redis {
    uv_loop_t *loop;
    struct redis_address address;
    struct redis_link *commands;
    struct redis_list waiting; /* sent, in order; replies come in the same */
    size_t waiting_count;
    struct redis_list failed; /* called back on the loop's next turn, never from inside redis_command() */
    uv_timer_t failing;
    uv_timer_t deadline;
    bool late; /* the deadline has passed once; judged after one more look at the socket */
    bool closing;
    void (*on_change)(void *arg, bool connected);
    void *arg;

    /* redis_sub.c */
    struct redis_link *subscriber; /* NULL until the first subscription */
    struct redis_sub *subs;
    uv_timer_t ping;
    bool ping_sent;
    int dispatching;

    int open; /* links and timers still to close */
    void (*closed)(void *arg);
    void *closed_arg;
    struct metric *ok, *errors, *lost, *timeouts, *seconds, *connected; /* all NULL without metrics */
};

/* Ends the subscriber's link, which r->open counts. */
void redis_sub_close(struct redis *r);
/* Lets go of the subscriptions that are left: their owners end them later. */
void redis_sub_forget(struct redis *r);
/* One thing of r->open has closed. */
void redis_one_closed(struct redis *r);
