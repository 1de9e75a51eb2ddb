/* SPDX-License-Identifier: Apache-2.0 */
/* callgen: plays Asterisk nodes towards Parley, and the callers behind them, for thousands of calls.
 *
 *   node.c    ARI: one HTTP server a node, a WebSocket an application, requests answered from memory
 *   caller.c  a call's life: dials, follows its plan (wait, key, say, hang up), is measured
 *   sound.c   RTP on a thread of its own: what each media channel sends and hears; voice.c what is said, track.c each frame heard
 *
 * What it answers and when is what Asterisk 22 does: ids that exist give 409, media channels start in Stasis after the answer,
 * an application taken by another socket tells the old one ApplicationReplaced, a channel hung up ends with StasisEnd and no
 * ChannelDestroyed. A call tries all applications in turn from a random one, then every 0.2 s for 30 s, as our dialplan does.
 *
 * Threads    Everything but sound.c runs on the loop.
 */
#pragma once
#include "base/map.h"
#include "base/mem.h"
#include "sound.h"
#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <uv.h>

enum { SLOTS = 16, PLAN_STEPS = 64, TARGETS_MAX = 64 };

enum step_kind { STEP_WAIT, STEP_KEYS, STEP_SAY, STEP_HANG_UP };
struct step {
    enum step_kind kind;
    double seconds;
    char keys[32];
};

/* Whom a call is for: the trunk it comes in on and the number it dials. */
struct target {
    const char *endpoint; /* NULL: the first trunk that is made here */
    const char *exten;
};

struct options {
    int port, nodes, calls, sound_nodes;
    const char *address;
    double rate, limit_s; /* calls a second; a call that is not over by then is hung up and has failed */
    bool commands;        /* calls begin by lines of standard input */
    bool sound;           /* RTP both ways; else signalling only */
    const char *user, *password, *report;
    struct target targets[TARGETS_MAX]; /* calls take them in turn */
    int target_count;
    double answer_s; /* what is dialled out rings so long */
    struct step plan[PLAN_STEPS];
    int steps;
};
extern struct options options;

/* -- nodes and channels -------------------------------------------------------------------------------------------------- */

struct call;
struct node;
struct bridge;
struct channel {
    char id[112];
    struct node *node;
    struct call *call;     /* NULL: a media channel that is in no bridge with a caller yet */
    struct bridge *bridge; /* NULL: in none */
    const char *exten;
    struct stream *stream; /* media channels, with sound */
    char app[16], app_data[160], own[16];
    int own_port;
    bool media, up, in_stasis;
};

struct net;
struct node *node_open(int index, struct net *net);
/* Begins a channel in the dialplan of a node, which tries its applications from that one on (0: a random one): false when none is
 * there right now. */
bool node_offer(struct node *n, struct channel *c, int app, const char *args_text, json_t *args);
struct channel *node_channel(struct node *n, const char *id, struct call *call);
void node_hang_up(struct channel *c, int cause); /* by the caller or the other side; c is gone */
void node_start_dialled(struct channel *c);      /* what the platform dialled has been answered */
void node_digit(struct channel *c, char digit);
/* Media channels of the bridge the caller is in, for what he says; each(arg, stream). */
void node_each_stream(struct channel *c, void (*each)(void *arg, struct stream *s), void *arg);
/* "endpoint" of the first trunk that was made here; NULL: none yet. */
const char *node_endpoint(const struct node *n);
bool node_has_sound(const struct node *n);
int node_apps(const struct node *n); /* applications with somebody there */
void node_counts(const struct node *n, uint64_t *channels, uint64_t *bridges, uint64_t *requests, uint64_t *failed);
/* Changes that were asked for over a socket whose application another had taken: what a cut-off owner must not do. */
uint64_t node_stale(void);

/* -- calls --------------------------------------------------------------------------------------------------------------- */

/* What the platform does to a party's channel. */
void call_answered(struct call *c);
void call_hung_up(struct call *c); /* by the platform; its channel is gone */
struct ear *call_ear(struct call *c);
/* The platform dials: a party of its own. */
void call_dialled(struct node *n, struct channel *channel, const char *app, const char *args);
/* Begins a call now; its end is told on standard output under that name. stay_s: he hangs up so long after the answer; 0: not.
 * endpoint, exten: the trunk he comes from and what he dials; empty: one of the options'. app: as node_offer takes it. */
void call_begin(const char *name, double stay_s, const char *endpoint, const char *exten, int app);
void calls_start(uv_loop_t *loop, struct node **nodes, void (*over)(void));
