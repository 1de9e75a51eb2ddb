/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of this floor share: a worker's telephony, its nodes and their slots.
 *
 *   telephony.c  beats, polls the leases, decides what to take and what to give     (lease.c, owners.c: Redis)
 *   slot.c       one slot from taking to losing                                     (ari.c: its socket)
 *   node.c       a node's listing, shared by its slots
 *   leg.c        legs in a slot
 */
#pragma once
#include "base/map.h"
#include "telephony/ari.h"
#include "telephony/lease.h"
#include "telephony/owners.h"
#include "telephony/telephony.h"

enum slot_state {
    SLOT_FREE = 0,  /* another's or nobody's */
    SLOT_TAKING,    /* a take or accept is on its way to Redis */
    SLOT_LEASED,    /* ours, not connected: timer = try again */
    SLOT_DIALLING,  /* the WebSocket is being opened */
    SLOT_WAITING,   /* connected; the giver has not flushed yet: timer = wait no longer */
    SLOT_LISTING,   /* connected; channels and bridges are being listed */
    SLOT_READY,     /* the floor above has it: timer = the successor has not come */
    SLOT_REPLACED,  /* another took the application: stopped until the lease is read: timer = read again */
    SLOT_GIVING,    /* the successor is connected, the floor above writes: timer = wait no longer */
    SLOT_RELEASING, /* drained with nobody to take it: the floor above writes: timer = wait no longer */
};

struct leg;
struct slot {
    struct telephony *telephony; /* borrowed */
    struct node *node;           /* borrowed */
    int number;
    char name[24], app[16];
    enum slot_state state;
    int64_t fence;
    int64_t seen;                      /* fence as Redis said last: a smaller one means that it has forgotten */
    uint64_t confirmed_ms;             /* when the command was sent that confirmed the lease last */
    char owner[LEASE_OWNER_MAX];       /* as Redis said last; "" nobody */
    char offered[LEASE_OWNER_MAX];     /* successor as Redis said last */
    char predecessor[LEASE_OWNER_MAX]; /* told with the next on_slot_ready(first) */
    char successor[LEASE_OWNER_MAX];   /* whom we give it to; "" when we do not */
    bool successor_has_it;             /* it has accepted; its dialling in is what we wait for */
    bool known;                        /* on_slot_ready was called and no final on_slot_lost since */
    bool up;                           /* on_slot_ready was called and no on_slot_lost since */
    bool first;                        /* the next on_slot_ready is the first of this connection */
    bool wait_flush;                   /* taken from a living giver */
    bool expired;                      /* as read last: free, or run out */
    bool listing_wanted;
    int calls;
    uint64_t busy_ms; /* when it had a call last, or became ready */
    int tries;        /* dialled in vain, in a row */
    bool dial_due;    /* dial in as soon as the lease is confirmed */
    int thefts;       /* in a row, each less than 30 s after the one before */
    uint64_t stolen_ms;
    int offers;      /* successors that did not come */
    unsigned dials;  /* how often it dialled in: late listings carry it */
    unsigned life;   /* changes with each taking and losing: late answers of Redis carry it */
    struct ari *ari; /* ours; NULL when not connected */
    json_t *early;   /* events before on_slot_ready; NULL when none */
    uv_timer_t timer;
    uint64_t doubted_ms; /* slot_doubt() proved it last */
    uv_timer_t proof;    /* running: the event that proves the slot has not come yet */
    bool proof_due;      /* its time is over but for one more look at the socket */
    int deafs;           /* dialled in again for want of an event, since the last one */
    struct map legs;     /* leg.c's, by their ids */
};

struct node {
    struct telephony *telephony;
    struct node *next;
    char *name, *url, *user, *password; /* url: ws://host:port/ari/events */
    char boot[96];                      /* when this Asterisk started; "" not known yet */
    struct slot *slots;
    struct listing *listing; /* in flight; NULL: none */
    uv_timer_t timer;
    uint64_t gave_ms;
    bool leaving; /* removed: see telephony_remove_node() */
};

struct telephony {
    struct telephony_opts opts; /* callbacks and numbers; strings in it are ours or gone */
    uv_loop_t *loop;
    struct ari_hub hub;
    struct lease_book book;
    struct owners owners;
    struct node *nodes;
    struct redis_sub *news;
    struct map lingering; /* legs that were given away and are still heard, by their port */
    uv_timer_t beat, tick, soon;
    char dead[8][LEASE_OWNER_MAX]; /* owners the master named, newest last */
    int dead_count;
    uint64_t beat_ms;       /* the loop ran then */
    uint64_t paused_ms;     /* end of the last long pause: only what was asked later confirms */
    uint64_t polled_ms;     /* when the running poll, or the last one, was asked */
    uint64_t hold_until_ms; /* nothing is taken by what was asked before */
    uint64_t held_ms;       /* since when, for a loss; 0: there was none */
    bool hold_told;
    bool reached_redis, lost_redis;
    uint64_t connect_ms;   /* until Redis, not reached yet, is asked again */
    uint64_t redis_losses; /* redis_losses() at the last poll that was answered */
    int polls;             /* answers of the running poll still to come */
    bool poll_again, poll_failed;
    bool draining, closing;
    uint64_t drain_ms;
    int left; /* slots given to nobody */
    void (*drained)(void *arg, int left);
    void *drained_arg;
    void (*closed)(void *arg);
    void *closed_arg;
    int handles; /* timers that are not closed yet, and the hub */
    int picks;
    struct metric *owned_gauge, *stolen, *deaf, *legs_gauge;
};

/* telephony.c */
/* Called before anything is sent: after a long pause of the loop no lease counts as confirmed, and Redis is asked again. */
void telephony_notice_pause(struct telephony *t);
void telephony_poll(struct telephony *t);
void telephony_owned_changed(struct telephony *t);

/* slot.c */
void slot_init(struct slot *s, struct node *n, int number);
bool slot_is_ours(const struct slot *s);
bool slot_confirmed(const struct slot *s);
/* A request of this floor's own: also before on_slot_ready. */
void slot_ask(struct slot *s, const char *method, const char *path, ari_cb cb, void *arg);
void slot_prove(struct slot *s); /* sends an event to itself; dials in again when it does not come */
void slot_doubt(struct slot *s); /* proves it, once in a while, when its lease has not been confirmed for long */
void slot_take(struct slot *s, const char *dead);
void slot_accept(struct slot *s);
void slot_renew(struct slot *s, bool in_poll); /* in_poll: telephony_polled() when the answer is there */
void slot_look(struct slot *s);                /* telephony_polled() when the answer is there */
void telephony_polled(struct telephony *t, bool ok);
void telephony_forgotten(struct telephony *t); /* Redis has less than it had: nothing is taken for a lease */
void slot_offer(struct slot *s, const char *successor);
void slot_take_back(struct slot *s); /* the offer */
void slot_release(struct slot *s);
void slot_redial(struct slot *s);     /* its node has another address */
void slot_on_flushed(struct slot *s); /* the giver's mark was published */
void slot_listed(struct slot *s, const json_t *channels, const json_t *bridges);
void slot_list_failed(struct slot *s, const struct err *e);
void slot_shut(struct slot *s); /* without a word to anybody: telephony_close() */

/* node.c */
int node_open(struct node **out, struct telephony *t, const struct telephony_node *n, struct err *e);
/* A node that was leaving, with what may have changed of it. */
int node_come_back(struct node *n, const struct telephony_node *o, struct err *e);
void node_list(struct slot *s);  /* slot_listed() or slot_list_failed() follows */
void node_close(struct node *n); /* its timers; freed by node_free() later */
void node_free(struct node *n);
/* What of a node's listing belongs to an application; of_app: GET /applications/{app}. */
struct listing_part {
    const char *app;
    const json_t *of_app;
    json_t *channels, *bridges; /* filled in; new references */
};
void listing_share(const json_t *channels, const json_t *bridges, struct listing_part *parts, int count);
void telephony_handle_gone(struct telephony *t); /* telephony.c: one of t->handles has closed */
