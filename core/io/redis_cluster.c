/* SPDX-License-Identifier: Apache-2.0 */
/* A cluster: a lane to each node that has slots, and a map that says which. A command goes to the owner of its key's
 * slot; where that says MOVED or ASK it goes where it is told.
 *
 *   command -> slot -> owner's lane up? sent : connecting? parked : fails with ERR_CLOSED, as with a single server
 *   reply   -> MOVED: the map is changed at that slot, asked for again, and the command sent on
 *              ASK: sent on once, with ASKING before it
 *              TRYAGAIN, CLUSTERDOWN, LOADING: parked, and sent again a little later, until its time is over
 *
 * The map is asked for one node after another (CLUSTER SLOTS): at once after a MOVED or a lost connection, never twice
 * at the same time, five times a second while a slot has no owner that can be reached, and each ten seconds when all is
 * well. When no node can be reached, all that are known and those of the url are tried.
 *
 * A command that was sent and whose connection broke is not repeated: it may have been done. Commands that do not wait
 * for each other keep their order on one node, and lose it when some of them are sent on. While one of a slot is parked,
 * what comes for that slot waits behind it.
 */
#include "base/log.h"
#include "base/mem.h"
#include "io/redis_own.h"
#include "io/redis_slots.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum {
    REDIRECTS_MAX = 6, /* of one command; from the third on each waits a little, for nodes that do not agree yet */
    BACKOFF_MIN_MS = 10,
    BACKOFF_MAX_MS = 100,
    LAST_TRY_MS = 50,    /* what a command must have left to be sent again */
    REFRESH_GAP_MS = 50, /* at least, between two questions for the map */
    REFRESH_BROKEN_MS = 200,
    REFRESH_WELL_MS = 10000,
    IDLE_MS = 30000,             /* a lane to a node without slots is kept so long after its last command */
    KEPT_MAX = REDIS_UNSENT_MAX, /* bytes of commands without an answer */
};
#define ON_CONNECT UINT64_MAX       /* again_ms: parked until something connects or fails to */
#define BEHIND     (UINT64_MAX - 1) /* again_ms: parked as long as one of its slot is parked in front of it */

struct cluster_node {
    struct cluster_node *next;
    struct redis_cluster *cluster;
    struct redis_address address;
    char *name;              /* host:port */
    struct redis_lane *lane; /* NULL: not wanted */
    bool failed;             /* the lane was lost, or could not be made */
    bool seed, listed;       /* of the url; of the newest map */
    int slots;               /* how many it owns */
    int held;                /* by parked commands that were told to go there */
    uint64_t used_ms;
};

struct redis_cluster {
    struct redis *redis;
    struct cluster_node *nodes;
    int node_count;
    struct cluster_node *owner[REDIS_SLOTS];
    int unowned;
    bool has_map, whole, told;
    struct redis_list parked;        /* in order: what was sent before, or waits for a connection */
    struct redis_list behind;        /* and what came since for the same slots */
    uint32_t parked_at[REDIS_SLOTS]; /* how many of both lists */
    uv_timer_t wake;                 /* for both */
    uint64_t wake_ms;
    uv_timer_t refresh;
    bool refreshing, refresh_again;
    uint64_t refreshed_ms;
    struct cluster_node *asked; /* the last one; NULL when it is gone */
    struct metric *moved, *ask, *again;
};

static void on_refresh(uv_timer_t *t);
static void dispatch(struct redis_cluster *k, struct redis_command *c);

static uint64_t now_ms(const struct redis_cluster *k) {
    return uv_now(k->redis->loop);
}

/* -- commands that wait --------------------------------------------------------------------------------------- */

static void give_up(struct redis_cluster *k, struct redis_command *c, const struct err *why) {
    if (c->to) c->to->held--;
    c->to = NULL;
    redis_fail(k->redis, c, why);
}

static void on_wake(uv_timer_t *t);

static void park_in(struct redis_cluster *k, struct redis_list *list, struct redis_command *c, uint64_t again_ms) {
    uint64_t at = again_ms < c->deadline_ms ? again_ms : c->deadline_ms;
    c->again_ms = again_ms;
    redis_push(list, c);
    if (c->slot >= 0) k->parked_at[c->slot]++;
    if (uv_is_active((uv_handle_t *)&k->wake) && k->wake_ms <= at) return;
    k->wake_ms = at;
    uv_timer_start(&k->wake, on_wake, at > now_ms(k) ? at - now_ms(k) : 1, 0);
}

static void park(struct redis_cluster *k, struct redis_command *c, uint64_t again_ms) {
    park_in(k, &k->parked, c, again_ms);
}

static bool is_blocked(const struct redis_cluster *k, const struct redis_command *c) {
    return c->slot >= 0 && k->parked_at[c->slot] > 0;
}

/* Looks at all that is parked, in order. connected: also at what waits for a connection. Who is parked again keeps those
 * of its slot that come after it. */
static void unpark(struct redis_cluster *k, bool connected) {
    struct redis_list *lists[] = {&k->parked, &k->behind}, all[] = {k->parked, k->behind};
    struct redis_command *c;

    uv_timer_stop(&k->wake);
    for (int i = 0; i < 2; i++) {
        *lists[i] = (struct redis_list){0};
        for (c = all[i].head; c; c = c->next)
            if (c->slot >= 0) k->parked_at[c->slot]--;
    }
    for (int i = 0; i < 2; i++)
        while ((c = redis_pop(&all[i])) != NULL) {
            bool due = (connected && c->again_ms == ON_CONNECT) || c->again_ms == BEHIND || c->again_ms <= now_ms(k);
            if (c->deadline_ms > now_ms(k) && is_blocked(k, c))
                park_in(k, lists[i], c, BEHIND);
            else if (due || c->deadline_ms <= now_ms(k))
                dispatch(k, c);
            else
                park_in(k, lists[i], c, c->again_ms);
        }
}

static void on_wake(uv_timer_t *t) {
    unpark(t->data, false);
}

/* -- nodes ---------------------------------------------------------------------------------------------------- */

static bool is_up(const struct cluster_node *n) {
    return n->lane && redis_lane_up(n->lane);
}

static struct cluster_node *node_find(const struct redis_cluster *k, const char *host, int port) {
    for (struct cluster_node *n = k->nodes; n; n = n->next)
        if (n->address.port == port && strcmp(n->address.host, host) == 0) return n;
    return NULL;
}

/* NULL when there are too many: then the cluster makes no sense. */
static struct cluster_node *node_at(struct redis_cluster *k, const char *host, int port) {
    struct cluster_node *n = node_find(k, host, port);
    if (n || k->node_count >= 2 * REDIS_NODES_MAX) return n;
    n = mem_alloc(sizeof *n);
    n->cluster = k;
    n->address = (struct redis_address){
        .host = mem_strdup(host), .port = port, .password = mem_strdup(k->redis->address.password)};
    n->name = mem_printf(strchr(host, ':') ? "[%s]:%d" : "%s:%d", host, port);
    n->next = k->nodes;
    n->used_ms = now_ms(k);
    k->nodes = n;
    k->node_count++;
    return n;
}

static void node_free(struct cluster_node *n) {
    redis_address_free(&n->address);
    free(n->name);
    free(n);
}

static const struct redis_lane_events node_events;

static void node_connect(struct cluster_node *n) {
    if (n->lane) return;
    n->failed = false;
    n->used_ms = now_ms(n->cluster);
    n->lane = redis_lane_open(n->cluster->redis, &n->address, n->name, &node_events, n);
}

static struct cluster_node *any_up(const struct redis_cluster *k) {
    struct cluster_node *found = NULL;
    for (struct cluster_node *n = k->nodes; n; n = n->next)
        if (is_up(n) && (found == NULL || n->slots > found->slots)) found = n;
    return found;
}

/* Who takes another's slots over was its replica and had none, and may not have got the last that was written. Of slots
 * that are moved between masters nothing is lost: only the first one of a new master looks like a take-over. */
static void own(struct redis_cluster *k, int slot, struct cluster_node *n) {
    struct cluster_node *before = k->owner[slot];
    if (before == n) return;
    if (before && (n == NULL || n->slots == 0)) k->redis->losses++;
    if (before)
        before->slots--;
    else
        k->unowned--;
    if (n)
        n->slots++;
    else
        k->unowned++;
    k->owner[slot] = n;
}

/* Closes lanes that serve nothing and forgets nodes that nobody names. */
static void sweep(struct redis_cluster *k) {
    struct err e;
    bool reachable = any_up(k) != NULL;

    err_set(&e, ERR_CLOSED, "redis: the node left the cluster");
    for (struct cluster_node **at = &k->nodes; *at;) {
        struct cluster_node *n = *at;
        bool idle = n->slots == 0 && n->held == 0 && (n->lane == NULL || redis_lane_waiting(n->lane) == 0);
        if (idle && n->lane && ((n->failed && !is_up(n) && reachable) || now_ms(k) - n->used_ms > IDLE_MS)) {
            redis_lane_close(n->lane, &e);
            n->lane = NULL;
        }
        if (idle && n->lane == NULL && !n->seed && !n->listed) {
            *at = n->next;
            k->node_count--;
            if (k->asked == n) k->asked = NULL;
            node_free(n);
        } else {
            at = &n->next;
        }
    }
}

/* After anything that may have changed who can be reached. What is whole is not broken by a node that is new and still
 * connecting: commands wait for it. */
static void look(struct redis_cluster *k) {
    bool whole = k->has_map && k->unowned == 0;
    int lost = k->unowned, masters = 0;

    for (struct cluster_node *n = k->nodes; n; n = n->next) {
        if (n->slots == 0) continue;
        masters++;
        if (!is_up(n) && (n->failed || !k->whole)) whole = false;
        if (n->failed) lost += n->slots;
    }
    unpark(k, true);
    redis_sub_look(k->redis);
    if (whole == k->whole) return;
    k->whole = whole;
    if (whole)
        log_info("redis.cluster_whole", "all slots can be reached, on %d nodes", masters);
    else
        log_warn("redis.cluster_broken", "%d of %d slots have no node that can be reached", lost, REDIS_SLOTS);
    redis_changed(k->redis, whole); /* the last: it may close us */
}

/* -- the map -------------------------------------------------------------------------------------------------- */

static void refresh_in(struct redis_cluster *k, uint64_t ms) {
    if (k->redis->closing) return;
    if (uv_is_active((uv_handle_t *)&k->refresh) && uv_timer_get_due_in(&k->refresh) <= ms) return;
    uv_timer_start(&k->refresh, on_refresh, ms, 0);
}

static void refresh_soon(struct redis_cluster *k) {
    uint64_t at = k->refreshed_ms + REFRESH_GAP_MS;
    if (k->refreshing)
        k->refresh_again = true;
    else
        refresh_in(k, at > now_ms(k) ? at - now_ms(k) : 0);
}

static void apply(struct redis_cluster *k, const struct redis_slots *map) {
    struct cluster_node *nodes[REDIS_NODES_MAX];

    for (struct cluster_node *n = k->nodes; n; n = n->next) n->listed = false;
    for (int i = 0; i < map->count; i++) {
        nodes[i] = node_at(k, map->nodes[i].host, map->nodes[i].port);
        if (nodes[i] == NULL) continue;
        nodes[i]->listed = true;
        if (map->nodes[i].has_slots) node_connect(nodes[i]);
    }
    for (int slot = 0; slot < REDIS_SLOTS; slot++) own(k, slot, map->owner[slot] < 0 ? NULL : nodes[map->owner[slot]]);
    k->has_map = true;
    sweep(k);
    look(k);
}

static void on_map(void *arg, const redisReply *reply, const struct err *e) {
    struct redis_cluster *k = arg;
    struct redis_slots *map = NULL;
    struct err wrong;

    k->refreshing = false;
    if (k->redis->closing) return;
    k->refreshed_ms = now_ms(k);
    if (e == NULL && k->asked) {
        map = mem_alloc(sizeof *map);
        if (redis_slots_parse(map, reply, k->asked->address.host, &wrong) < 0)
            e = &wrong;
        else if (map->count == 0) /* it is in no cluster, or in one that is still being made */
            e = (err_set(&wrong, ERR_PROTOCOL, "redis: no node has any slots"), redis_slots_free(map), &wrong);
    }
    if (e) {
        if (reply && !k->told) log_warn("redis.no_map", "the cluster does not say who has its slots: %s", e->text);
        k->told = k->told || reply;
    } else if (map) {
        k->told = false;
        apply(k, map);
        redis_slots_free(map);
    }
    free(map);
    refresh_in(k, k->refresh_again ? REFRESH_GAP_MS : k->whole ? REFRESH_WELL_MS : REFRESH_BROKEN_MS);
    k->refresh_again = false;
}

/* The next that can be reached, behind the one that was asked last: of those with slots, for another may have left the
 * cluster; of all, when there is no such one. */
static struct cluster_node *next_to_ask(const struct redis_cluster *k) {
    struct cluster_node *first[2] = {NULL, NULL}, *next[2] = {NULL, NULL};
    bool behind = false;
    for (struct cluster_node *n = k->nodes; n; n = n->next) {
        int kind = n->slots > 0 ? 0 : 1;
        if (is_up(n) && first[kind] == NULL) first[kind] = n;
        if (is_up(n) && behind && next[kind] == NULL) next[kind] = n;
        if (n == k->asked) behind = true;
    }
    return next[0] ? next[0] : first[0] ? first[0] : next[1] ? next[1] : first[1];
}

static struct redis_command *our_command(struct redis_cluster *k, redis_cb cb) {
    struct redis_command *c = mem_alloc(sizeof *c);
    c->ours = true;
    c->cb = cb;
    c->arg = k;
    c->deadline_ms = now_ms(k) + REDIS_TIMEOUT_MS;
    return c;
}

static void on_refresh(uv_timer_t *t) {
    struct redis_cluster *k = t->data;
    static const char *argv[] = {"CLUSTER", "SLOTS"};

    if (k->refreshing) return;
    struct cluster_node *n = next_to_ask(k);
    if (n == NULL) { /* whichever comes up first is asked */
        for (n = k->nodes; n; n = n->next) node_connect(n);
        return;
    }
    k->asked = n;
    k->refreshing = true;
    k->refresh_again = false;
    redis_lane_send(n->lane, our_command(k, on_map), 2, argv, NULL);
}

/* -- sending -------------------------------------------------------------------------------------------------- */

static void send_to(struct redis_cluster *k, struct cluster_node *n, struct redis_command *c) {
    static const char *argv[] = {"ASKING"};
    n->used_ms = now_ms(k);
    if (c->asking) redis_lane_send(n->lane, our_command(k, NULL), 1, argv, NULL);
    c->asking = false;
    redis_lane_send_bytes(n->lane, c);
}

/* Sends, parks or fails. */
static void dispatch(struct redis_cluster *k, struct redis_command *c) {
    struct cluster_node *n = c->to ? c->to : c->slot >= 0 ? k->owner[c->slot] : any_up(k);
    struct err e;

    if (c->anywhere && c->to == NULL && (n == NULL || !is_up(n))) n = any_up(k);
    if (n) node_connect(n);
    /* It has not been done, which a timeout would leave open; one under way would cost the connection too. */
    if (c->deadline_ms <= now_ms(k) + (c->redirects || c->tries || c->again_ms ? LAST_TRY_MS : 0)) {
        if (c->failed.code == 0) err_set(&c->failed, ERR_CLOSED, "redis: could not be sent in time");
        give_up(k, c, &c->failed);
    } else if (n && is_up(n) && redis_lane_full(n->lane)) {
        give_up(k, c, (err_set(&e, ERR_LIMIT, "redis: too many commands wait for an answer"), &e));
    } else if (n && is_up(n)) {
        if (c->to) c->to->held--;
        c->to = NULL;
        send_to(k, n, c);
    } else if (n && !n->failed) {
        park(k, c, ON_CONNECT);
    } else if (n) {
        give_up(k, c, (err_set(&e, ERR_CLOSED, "redis: not connected to %s", n->name), &e));
    } else if (c->slot >= 0 && k->has_map && any_up(k)) {
        give_up(k, c, (err_set(&e, ERR_CLOSED, "redis: no node of the cluster has slot %d", c->slot), &e));
    } else {
        give_up(k, c, (err_set(&e, ERR_CLOSED, "redis: not connected"), &e));
    }
}

static uint64_t backoff_ms(int tries) {
    return tries < 4 ? (uint64_t)BACKOFF_MIN_MS << tries : BACKOFF_MAX_MS;
}

/* Where it would be too late to send it again, it ends with its time. */
static void park_for(struct redis_cluster *k, struct redis_command *c, uint64_t ms) {
    uint64_t at = now_ms(k) + ms;
    park(k, c, at + LAST_TRY_MS < c->deadline_ms ? at : c->deadline_ms);
}

static void count(struct metric *s) {
    if (s) metric_add(s, 1);
}

static void send_on(struct redis_cluster *k, struct cluster_node *said, struct redis_command *c,
                    const struct redis_redirect *to) {
    struct cluster_node *n = node_at(k, to->host[0] ? to->host : said->address.host, to->port);
    struct err e;

    if (n == NULL || ++c->redirects > REDIRECTS_MAX) {
        give_up(k, c, (err_set(&e, ERR_PROTOCOL, "redis: the cluster sends a command round in circles"), &e));
        return;
    }
    if (to->kind == REDIS_REDIRECT_MOVED) {
        own(k, to->slot, n);
        refresh_soon(k);
    }
    c->asking = to->kind == REDIS_REDIRECT_ASK;
    c->to = n;
    n->held++;
    if (c->redirects > 2) {
        node_connect(n);
        park_for(k, c, backoff_ms(c->redirects - 3));
    } else if (is_blocked(k, c)) {
        park(k, c, BEHIND);
    } else {
        dispatch(k, c);
    }
}

/* -- the lanes' events ---------------------------------------------------------------------------------------- */

static void on_reply(struct redis_lane *lane, struct redis_command *c, const redisReply *reply) {
    struct cluster_node *n = redis_lane_arg(lane);
    struct redis_cluster *k = n->cluster;
    struct redis_redirect to = {.kind = REDIS_REDIRECT_NONE};

    if (reply->type == REDIS_REPLY_ERROR && !c->ours) redis_redirect_parse(&to, reply->str);
    switch (to.kind) {
    case REDIS_REDIRECT_NONE:
        redis_answer(k->redis, c, reply);
        return;
    case REDIS_REDIRECT_AGAIN:
        count(k->again);
        err_set(&c->failed, ERR_CLOSED, "redis: %s", reply->str);
        refresh_soon(k);
        c->redirects = 0; /* ASK and TRYAGAIN in turn are no circle: several new keys, in a slot that is being moved */
        park_for(k, c, backoff_ms(c->tries++));
        return;
    case REDIS_REDIRECT_MOVED:
    case REDIS_REDIRECT_ASK:
        count(to.kind == REDIS_REDIRECT_MOVED ? k->moved : k->ask);
        send_on(k, n, c, &to);
        return;
    }
}

static void on_up(struct redis_lane *lane) {
    struct cluster_node *n = redis_lane_arg(lane);
    struct redis_cluster *k = n->cluster;
    n->failed = false;
    if (!k->whole) refresh_soon(k);
    look(k);
}

static void on_failed(struct redis_lane *lane, const struct err *e) {
    struct cluster_node *n = redis_lane_arg(lane);
    (void)e;
    n->failed = true;
    if (n->slots || !any_up(n->cluster)) refresh_soon(n->cluster);
    look(n->cluster);
}

static void on_down(struct redis_lane *lane, const struct err *e) {
    struct cluster_node *n = redis_lane_arg(lane);
    if (n->slots) n->cluster->redis->losses++;
    on_failed(lane, e);
}

static const struct redis_lane_events node_events = {on_up, on_reply, on_down, on_failed};

/* -- the outside ---------------------------------------------------------------------------------------------- */

void redis_cluster_open(struct redis *r) {
    struct redis_cluster *k = mem_alloc(sizeof *k);
    uv_timer_t *timers[] = {&k->wake, &k->refresh};
    static const char name[] = "redis_redirects_total", help[] = "Redis commands that a cluster sent on or put off.";

    r->cluster = k;
    k->redis = r;
    k->unowned = REDIS_SLOTS;
    for (int i = 0; i < 2; i++) {
        uv_timer_init(r->loop, timers[i]);
        timers[i]->data = k;
        r->open++;
    }
    if (r->metrics) {
        k->moved = metrics_counter(r->metrics, name, "kind=\"moved\"", help);
        k->ask = metrics_counter(r->metrics, name, "kind=\"ask\"", help);
        k->again = metrics_counter(r->metrics, name, "kind=\"again\"", help);
    }
    for (const struct redis_address *a = &r->address; a; a = a->next) {
        struct cluster_node *n = node_at(k, a->host, a->port);
        if (n) n->seed = true;
    }
    uv_timer_start(&k->refresh, on_refresh, 0, 0);
}

static void on_timer_closed(uv_handle_t *h) {
    struct redis_cluster *k = h->data;
    redis_one_closed(k->redis);
}

void redis_cluster_close(struct redis *r, const struct err *why) {
    struct redis_cluster *k = r->cluster;
    struct redis_command *c;

    while ((c = redis_pop(&k->parked)) != NULL || (c = redis_pop(&k->behind)) != NULL) redis_fail(r, c, why);
    for (struct cluster_node *n = k->nodes; n; n = n->next) {
        if (n->lane) redis_lane_close(n->lane, why);
        n->lane = NULL;
    }
    uv_close((uv_handle_t *)&k->wake, on_timer_closed);
    uv_close((uv_handle_t *)&k->refresh, on_timer_closed);
}

void redis_cluster_free(struct redis *r) {
    struct redis_cluster *k = r->cluster;
    if (k == NULL) return;
    while (k->nodes) {
        struct cluster_node *n = k->nodes;
        k->nodes = n->next;
        node_free(n);
    }
    free(k);
    r->cluster = NULL;
}

bool redis_cluster_whole(const struct redis *r) {
    return r->cluster->whole;
}

void redis_cluster_check(struct redis *r, int argc, const char **argv, const size_t *lens, struct err *e) {
    if (redis_key_of(argc, argv, lens) == REDIS_KEY_REFUSED)
        err_set(e, ERR_INVALID, "redis: '%.*s' cannot be used with a cluster", (int)lens[0], argv[0]);
    else if (r->kept >= REDIS_WAITING_MAX || r->kept_bytes >= KEPT_MAX)
        err_set(e, ERR_LIMIT, "redis: too many commands wait for an answer");
}

static bool is_publish(const char **argv, const size_t *lens) {
    return lens[0] == 7 && strncasecmp(argv[0], "publish", 7) == 0;
}

void redis_cluster_send(struct redis *r, struct redis_command *c, int argc, const char **argv, const size_t *lens) {
    char *bytes = NULL;
    int key = redis_key_of(argc, argv, lens);
    int len = redisFormatCommandArgv(&bytes, argc, argv, lens);

    if (len < 0) abort();
    c->bytes = bytes;
    c->len = (size_t)len;
    r->kept++;
    r->kept_bytes += c->len;
    c->slot = key < 0 ? -1 : redis_key_slot(argv[key], lens[key]);
    c->anywhere = key < 0 || is_publish(argv, lens);
    if (is_blocked(r->cluster, c))
        park_in(r->cluster, &r->cluster->behind, c, BEHIND);
    else
        dispatch(r->cluster, c);
}

const struct redis_address *redis_cluster_choose(struct redis *r, const char *other_than, const char **name) {
    struct cluster_node *found = NULL;
    unsigned seen = 0, random = 0;

    /* Any of them, so that a cluster's workers do not all hang on one node. */
    for (struct cluster_node *n = r->cluster->nodes; n; n = n->next) {
        if (n->slots == 0 || !is_up(n) || (other_than && strcmp(n->name, other_than) == 0)) continue;
        uv_random(NULL, NULL, &random, sizeof random, 0, NULL);
        if (random % ++seen == 0) found = n;
    }
    if (found == NULL) return NULL;
    *name = found->name;
    return &found->address;
}

bool redis_cluster_serves(const struct redis *r, const char *name) {
    for (const struct cluster_node *n = r->cluster->nodes; n; n = n->next)
        if (n->slots > 0 && strcmp(n->name, name) == 0) return !n->failed;
    return false;
}
