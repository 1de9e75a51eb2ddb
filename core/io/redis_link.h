/* SPDX-License-Identifier: Apache-2.0 */
/* A link keeps one connection to a Redis server: resolves, connects, authenticates, and again after a loss
 * (back-off 20 ms .. 1 s with jitter). It knows bytes and replies, not which command a reply belongs to.
 *
 * hiredis parses; the socket is libuv's. hiredis' own asynchronous side resolves names while the loop stands,
 * has no time limits, and ends the program on a reply it did not expect.
 *
 * Ownership  redis_link_open() gives the caller the link; it is gone when closed() is called.
 * Threads    Loop thread only. Events never come from inside a call of these functions.
 */
#pragma once
#include "base/err.h"
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <stddef.h>
#include <uv.h>

struct redis_address {
    char *host; /* NULL: a unix socket */
    char *path;
    char *password; /* NULL: none */
    int port, db;
    bool cluster;               /* host:port is a node of a cluster, by which the others are found */
    struct redis_address *next; /* further such nodes; ours */
};
/* Reads redis://[:password@]host:port[/db], redis-cluster://[:password@]host:port[,host:port]... or unix:///path; the
 * password may be percent-encoded. */
int redis_address_parse(struct redis_address *out, const char *url, struct err *e);
/* One address, without those that follow it. */
void redis_address_copy(struct redis_address *out, const struct redis_address *a);
void redis_address_free(struct redis_address *a);

struct redis_link_events {
    void (*on_up)(void *arg);                             /* authenticated; commands may be sent */
    void (*on_reply)(void *arg, const redisReply *reply); /* in the order of the server */
    void (*on_down)(void *arg, const struct err *e);      /* after each on_up; tries again by itself */
    void (*on_failed)(void *arg, const struct err *e);    /* an attempt that did not get up; may be NULL */
};

struct redis_link;
/* events and use are borrowed. use names the connection in the log: "commands". */
struct redis_link *redis_link_open(uv_loop_t *loop, const struct redis_address *address, const char *use,
                                   const struct redis_link_events *events, void *arg);
/* No event follows but closed. */
void redis_link_close(struct redis_link *l, void (*closed)(void *arg));
bool redis_link_up(const struct redis_link *l);
/* Queues a command; all that is queued in one turn of the loop leaves in one write. Only while up. */
void redis_link_send(struct redis_link *l, int argc, const char **argv, const size_t *lens);
/* The same for a command that is bytes already. */
void redis_link_send_bytes(struct redis_link *l, const char *bytes, size_t len);
size_t redis_link_unsent(const struct redis_link *l);
/* Gives the connection up, e.g. for being silent, and makes another: on_down comes at once, from inside. */
void redis_link_replace(struct redis_link *l, const struct err *why);
