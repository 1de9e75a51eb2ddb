/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of io/redis share among themselves.
 *
 *   redis.c          what goes in and what is answered; one server: one lane
 *   redis_lane.c     a connection and the commands that wait on it         (redis_link.c: the connection itself)
 *   redis_cluster.c  a cluster: a lane to each node, and who gets what     (redis_slots.c: what the cluster's words mean)
 *   redis_sub.c      subscriptions, on a connection of their own
 *   redis_eval.c     scripts by their names
 */
#pragma once
#include "io/redis.h"
#include "io/redis_link.h"
#include "metrics/metrics.h"

struct cluster_node;

struct redis_command {
    struct redis_command *next;
    redis_cb cb; /* may be NULL */
    void *arg;
    uint64_t sent_ns;
    uint64_t deadline_ms;
    struct err failed; /* why, once it is in the list of the failed */
    bool ours;         /* asked by these files, not by a caller: is not counted */

    /* redis_cluster.c */
    char *bytes; /* as it is sent, for it may have to be sent again; ours, NULL with a single server */
    size_t len;
    int slot;                /* -1: any node can do it */
    bool anywhere;           /* the slot's owner is only preferred */
    bool asking;             /* `to` is told that it was named by ASK */
    struct cluster_node *to; /* where it was told to go, instead of the slot's owner */
    int redirects, tries;
    uint64_t again_ms;
};
struct redis_list {
    struct redis_command *head, *tail;
};
void redis_push(struct redis_list *list, struct redis_command *c);
struct redis_command *redis_pop(struct redis_list *list);

struct redis_lane;
struct redis_lane_events {
    void (*on_up)(struct redis_lane *lane);
    /* The command is out of the lane and the taker's. */
    void (*on_reply)(struct redis_lane *lane, struct redis_command *c, const redisReply *reply);
    void (*on_down)(struct redis_lane *lane, const struct err *e);   /* what waited on it has failed */
    void (*on_failed)(struct redis_lane *lane, const struct err *e); /* an attempt to get up; may be NULL */
};

struct redis_cluster;
struct redis {
    uv_loop_t *loop;
    struct redis_address address;
    struct redis_lane *lane;       /* to the single server; NULL with a cluster */
    struct redis_cluster *cluster; /* NULL with a single server */
    struct redis_list failed;      /* called back on the loop's next turn, never from inside redis_command() */
    uv_timer_t failing;
    size_t kept, kept_bytes; /* commands of a cluster that are not answered yet */
    uint64_t losses;         /* how often something written may have been lost */
    bool closing;
    void (*on_change)(void *arg, bool connected);
    void *arg;

    /* redis_sub.c */
    struct redis_link *subscriber; /* NULL until the first subscription */
    char *subscribed_at;           /* host:port of that node of a cluster */
    uint64_t subscribed_ms;
    struct redis_sub *subs;
    uv_timer_t ping;
    bool ping_sent;
    int dispatching;

    int open; /* links and timers still to close */
    void (*closed)(void *arg);
    void *closed_arg;
    struct metrics *metrics;                                            /* borrowed; NULL: none */
    struct metric *ok, *errors, *lost, *timeouts, *seconds, *connected; /* all NULL without metrics */
};

/* -- redis.c ------------------------------------------------------------------------------------------------ */

enum { REDIS_TIMEOUT_MS = 1000, REDIS_WAITING_MAX = 200000, REDIS_UNSENT_MAX = 64 * 1024 * 1024 };
/* Ends a command: its callback comes on the loop's next turn. */
void redis_fail(struct redis *r, struct redis_command *c, const struct err *why);
/* Ends a command with what the server said: its callback comes at once. */
void redis_answer(struct redis *r, struct redis_command *c, const redisReply *reply);
void redis_changed(struct redis *r, bool connected);
/* One thing of r->open has closed. */
void redis_one_closed(struct redis *r);

/* -- redis_lane.c: one server's commands --------------------------------------------------------------------- */

/* Frees itself after redis_lane_close(); counts in r->open until then. use names it in the log. */
struct redis_lane *redis_lane_open(struct redis *r, const struct redis_address *address, const char *use,
                                   const struct redis_lane_events *events, void *arg);
/* What waits on it fails with why. */
void redis_lane_close(struct redis_lane *l, const struct err *why);
struct redis *redis_lane_redis(const struct redis_lane *l);
void *redis_lane_arg(const struct redis_lane *l);
bool redis_lane_up(const struct redis_lane *l);
bool redis_lane_full(const struct redis_lane *l);
size_t redis_lane_waiting(const struct redis_lane *l);
/* Only while up; bytes instead of argv where they are given. */
void redis_lane_send(struct redis_lane *l, struct redis_command *c, int argc, const char **argv, const size_t *lens);
void redis_lane_send_bytes(struct redis_lane *l, struct redis_command *c);

/* -- redis_cluster.c ----------------------------------------------------------------------------------------- */

void redis_cluster_open(struct redis *r);
void redis_cluster_close(struct redis *r, const struct err *why);
void redis_cluster_free(struct redis *r); /* when all of it has closed */
bool redis_cluster_whole(const struct redis *r);
/* Whether a command makes sense there; fills in *e. */
void redis_cluster_check(struct redis *r, int argc, const char **argv, const size_t *lens, struct err *e);
void redis_cluster_send(struct redis *r, struct redis_command *c, int argc, const char **argv, const size_t *lens);
/* A node to subscribe at, other than that one where there is a choice; NULL when none can be reached. */
const struct redis_address *redis_cluster_choose(struct redis *r, const char *other_than, const char **name);
/* Whether a node serves slots and can be reached, and so hears what is published. */
bool redis_cluster_serves(const struct redis *r, const char *name);

/* -- redis_sub.c --------------------------------------------------------------------------------------------- */

/* The cluster has changed: subscriptions may have to be made elsewhere. */
void redis_sub_look(struct redis *r);
/* Ends the subscriber's link, which r->open counts. */
void redis_sub_close(struct redis *r);
/* Lets go of the subscriptions that are left: their owners end them later. */
void redis_sub_forget(struct redis *r);
