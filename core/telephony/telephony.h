/* SPDX-License-Identifier: Apache-2.0 */
/* The Asterisk driver of a worker: nodes, slots, and what goes over them.
 *
 * A slot is one ARI application of one node (parley-1 .. parley-K). A worker owns a slot by a lease in Redis, dials in
 * to it and all calls of the slot are its calls (DESIGN, "Calls"). This floor takes, renews, gives and loses slots,
 * speaks ARI over the slot's own WebSocket, and tells the floor above what happens; what a call is, it does not know.
 *
 *   FREE -> LEASED -> CONNECTED -> READY -> (GIVING) -> FREE
 *                         ^  reconciled: channels and bridges were listed and handed up
 *
 * Threads    Loop thread only.
 * Fence      Each taking of a slot has a number, larger than any before: max(last + 1, Redis time in us). It goes into
 *            every record and row written for the slot's calls.
 * Silence    After a pause of the loop longer than a third of the lease nothing is sent until the lease is confirmed again.
 */
#pragma once
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct telephony;
struct slot;
struct net;
struct redis;
struct media;
struct metrics;

struct telephony_node {
    const char *name;    /* "n1": [a-z0-9]{1,12}, unique among all nodes of the installation */
    const char *ari_url; /* http://127.0.0.1:18088 */
    const char *user, *password;
};

enum slot_lost {
    SLOT_GIVEN = 0,
    SLOT_STOLEN,
    SLOT_EXPIRED,
    SLOT_DISCONNECTED /* comes back by itself: reconnecting */
};

struct telephony_opts {
    uv_loop_t *loop;
    struct net *net;
    struct redis *redis;
    struct media *media;
    struct metrics *metrics; /* may be NULL */
    const char *owner;       /* "<host boot id>-<pid>-<start>": unique for this incarnation of the worker */
    const struct telephony_node *nodes;
    int node_count;
    int slots_per_node; /* K, 16 */
    int lease_ms;       /* 3000 */
    const char *prefix; /* of the Redis keys, "" or "p1:" (several installations on one Redis) */
    void *arg;
    /* Connected and listed. channels and bridges: ARI's own arrays (GET /channels, GET /bridges, filtered to this slot's
     * application; media channels of ours by id prefix included), borrowed. Comes on every connect and every 30 s.
     * first: a new incarnation of the slot here (taken or reconnected), so calls must be taken up. predecessor: owner before or "". */
    void (*on_slot_ready)(void *arg, struct slot *s, bool first, const char *predecessor, const json_t *channels,
                          const json_t *bridges);
    void (*on_slot_lost)(void *arg, struct slot *s, enum slot_lost why);
    /* Planned hand-over: write what you have; call slot_flushed() when the calls' records are complete. Nothing may be started
     * in this slot any more. */
    void (*on_slot_giving)(void *arg, struct slot *s);
    /* Every ARI event of the slot's application that is not an answer, as ARI sent it, in order, borrowed. */
    void (*on_event)(void *arg, struct slot *s, const json_t *event);
};
int telephony_open(struct telephony **out, const struct telephony_opts *o, struct err *e);
/* Others know of this worker and may give it slots: its heartbeat has reached Redis. */
bool telephony_is_announced(const struct telephony *t);
/* Whether calls that were given away are still heard through a leg of ours (leg_linger). */
bool telephony_lingers(const struct telephony *t);
/* Drains: gives every slot to other workers (make before break) or, with nobody there, releases the leases and leaves the calls
 * in Asterisk. done(arg, slots left behind). */
void telephony_drain(struct telephony *t, void (*done)(void *arg, int left), void *arg);
void telephony_close(struct telephony *t, void (*closed)(void *arg),
                     void *arg); /* without drain: sockets shut, leases stay */
/* The master says: this owner is dead. Its leases are taken at once. */
void telephony_owner_died(struct telephony *t, const char *owner);
/* Adds a node at run time; a known name is refused (ERR_EXISTS) unless it is leaving: then it comes back, as it is given now. */
int telephony_add_node(struct telephony *t, const struct telephony_node *n, struct err *e);
/* The node gets no new calls from us (telephony_pick), its free slots are nobody's any more, and each of ours is released when
 * its last call has ended. Slots that a dead worker left on it are still taken, for their calls. ERR_NOT_FOUND. */
int telephony_remove_node(struct telephony *t, const char *name, struct err *e);

/* A slot's facts; borrowed until on_slot_lost has returned. */
const char *slot_name(const struct slot *s); /* "n1.7": node and number */
const char *slot_node(const struct slot *s);
const char *slot_app(const struct slot *s); /* "parley-7" */
int64_t slot_fence(const struct slot *s);
const char *
slot_boot(const struct slot
              *s); /* which start of Asterisk this is: changes when the node restarts; "" before on_slot_ready */
bool slot_ready(const struct slot *s); /* connected, reconciled, lease confirmed: requests may be sent */
struct slot *telephony_slot(struct telephony *t, const char *name); /* only owned ones; else NULL */
/* A ready slot with few calls for an outbound call, any node or the named one; NULL: none. */
struct slot *telephony_pick(struct telephony *t, const char *node);
void slot_set_calls(struct slot *s, int calls); /* how many calls it holds: those with fewest are given first */
void slot_flushed(struct slot *s);
/* JSON array for /ready and the admin page: [{"slot":"n1.7","owner":"...","mine":true,"state":"ready","calls":2}] */
json_t *telephony_status(struct telephony *t);

/* An ARI request over the slot's socket. path: "/channels/x/answer"; query may be in it; body NULL or borrowed.
 * cb exactly once: status 2xx..5xx and body (borrowed, may be NULL), or e (ERR_STALE not confirmed, ERR_CLOSED, ERR_TIMEOUT 5 s).
 * What was in flight when a socket died was done once or not at all: look before you repeat. */
typedef void (*ari_cb)(void *arg, int status, const json_t *body, const struct err *e);
void slot_request(struct slot *s, const char *method, const char *path, const json_t *body, ari_cb cb, void *arg);
