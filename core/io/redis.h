/* SPDX-License-Identifier: Apache-2.0 */
/* Redis over hiredis on the uv loop. Connects by itself and again after a loss (back-off 20 ms .. 1 s with jitter).
 * Every command has our timer. While the server is away commands fail at once with ERR_CLOSED.
 * Subscriptions live on a second connection of their own and are made again after a reconnect.
 * Commands that would harm the others on the connection are refused: SUBSCRIBE, SELECT, WATCH, BLPOP, XREAD BLOCK, ...
 *
 * With redis-cluster:// the same works on a cluster: each command goes to the node that owns its first key's slot, and is
 * sent on when the cluster says so (MOVED, ASK) or again when it is changing (TRYAGAIN, CLUSTERDOWN, LOADING), all
 * within its own time limit. All keys of a command or script have to lie in one slot: give them a {tag} in common.
 * PUBLISH and what has no key are for any node; what is about a whole database (SCAN, FLUSHALL, MULTI, ...) is refused.
 * A master that dies: what was sent to it fails with ERR_CLOSED, and so does what is for its slots until its replica has
 * taken over; commands for the others are done. Connected means all of it: it is false as long as any slot has no owner
 * that can be reached, so that whoever asks first (sequencers, rate limits, records of calls) treats a part that is away
 * as Redis away, and writes again what a replica may not have got. The order of commands that do not wait for each other
 * holds for one node, and not for those that are sent on.
 *
 * Threads: loop thread only. No callback comes from inside a call of these functions. */
#pragma once
#include "base/err.h"
#include <hiredis/hiredis.h>
#include <stdbool.h>
#include <uv.h>

struct redis;
struct metrics;
struct redis_opts {
    const char
        *url; /* redis://[:password@]host:port[/db], redis-cluster://[:password@]host:port,host:port,... (some nodes, by
                 which all are found) or unix:///path ; rediss:// is refused with a line that says why */
    void (*on_change)(void *arg, bool connected); /* may be NULL */
    void *arg;
};
typedef void (*redis_cb)(
    void *arg, const redisReply *reply,
    const struct err *e); /* reply NULL on error; error replies: e ERR_INVALID with its text and reply set */

int redis_open(struct redis **out, uv_loop_t *loop, const struct redis_opts *o, struct metrics *m, struct err *e);
void redis_close(struct redis *r, void (*closed)(void *arg), void *arg);
bool redis_connected(const struct redis *r);
/* Rises each time something that was written may have been lost: a connection broke, or, in a cluster, a node took the
 * slots of another over, which may happen without any break. Who writes anew what must not be missing compares it. */
uint64_t redis_losses(const struct redis *r);
/* timeout_ms 0: 1000. cb may be NULL. Exactly one callback per command. After a timeout the connection is replaced. */
void redis_command(struct redis *r, int timeout_ms, int argc, const char **argv, const size_t *lens, redis_cb cb,
                   void *arg);
/* EVALSHA of a script loaded on first use on each connection (NOSCRIPT: EVAL, both within timeout_ms). ERR_CLOSED when less
 * than 50 ms are left for EVAL: it was not done. */
struct redis_script {
    const char *text;
    char sha[41];
};
void redis_eval(struct redis *r, int timeout_ms, struct redis_script *s, int keys, int argc, const char **argv,
                const size_t *lens, redis_cb cb, void *arg);

/* The caller's, until redis_unsubscribe(): also when the redis is closed before. */
struct redis_sub;
/* pattern: PSUBSCRIBE. on_message gets the channel and the bytes. */
struct redis_sub *redis_subscribe(struct redis *r, const char *channel, bool pattern,
                                  void (*on_message)(void *arg, const char *channel, const char *data, size_t len),
                                  void *arg);
void redis_unsubscribe(struct redis_sub *s);
