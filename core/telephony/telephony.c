/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's share of the slots: once a second it says that it lives, renews its leases and looks at the others, all in
 * one pipeline, and then decides what to take and what to give. Hints over Redis publish make it look sooner.
 */
#include "telephony/telephony.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/redis.h"
#include "metrics/metrics.h"
#include "telephony/slot.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    DEATH_WAIT_MS = 20,
    SETTLE_MS = 150, /* after the first heartbeat: workers that start together see each other before they take */
    CONNECT_MS = 20, /* how soon Redis, not reached yet, is asked again; twice as long each time that it refuses */
    DRAIN_TICK_MS = 50,
    DRAIN_REDIS_MS = 1000, /* without Redis a drain waits no longer than this */
    GIVE_EVERY_MS = 950,   /* a tick is a second */
};

#define FOR_EACH_SLOT(t, n, s)                        \
    for (struct node *n = (t)->nodes; n; n = n->next) \
        for (struct slot *s = n->slots; s < n->slots + (t)->opts.slots_per_node; s++)

/* -- the loop's own pulse ---------------------------------------------------------------------------------------------- */

void telephony_notice_pause(struct telephony *t) {
    uint64_t now = clock_mono_ms();
    if (now - t->beat_ms <= (uint64_t)t->opts.lease_ms / 3) return;
    log_warn("loop.paused", "the loop stood still for %llu ms; leases are confirmed before anything is sent",
             (unsigned long long)(now - t->beat_ms));
    t->beat_ms = t->paused_ms = now;
    telephony_poll(t);
}

static void on_beat_timer(uv_timer_t *timer) {
    struct telephony *t = timer->data;
    telephony_notice_pause(t);
    t->beat_ms = clock_mono_ms();
    FOR_EACH_SLOT(t, n, s) slot_doubt(s);
}

/* -- what is whose ----------------------------------------------------------------------------------------------------- */

static bool is_dead(const struct telephony *t, const char *owner) {
    for (int i = 0; i < t->dead_count; i++)
        if (strcmp(t->dead[i], owner) == 0) return true;
    return false;
}

/* Slots of a node that owner has or will have; NULL: we. */
static int node_count(const struct node *n, const char *owner) {
    struct telephony *t = n->telephony;
    int count = 0;
    for (int i = 0; i < t->opts.slots_per_node; i++) {
        const struct slot *s = &n->slots[i];
        if (owner == NULL) {
            count += s->state != SLOT_FREE && s->successor[0] == '\0';
        } else if (s->state == SLOT_FREE) {
            const char *who = s->offered[0] ? s->offered : s->owner;
            count += !s->expired && strcmp(who, owner) == 0;
        } else {
            count += strcmp(s->successor, owner) == 0;
        }
    }
    return count;
}

/* The living worker other than us with the fewest slots of this node, fewer than most; NULL: none. */
static const char *node_poorest(const struct node *n, int most) {
    struct telephony *t = n->telephony;
    const char *best = NULL;
    for (int i = 0; i < t->owners.count; i++) {
        const char *name = t->owners.names[i];
        if (strcmp(name, t->book.owner) == 0 || is_dead(t, name)) continue;
        int count = node_count(n, name);
        if (count < most) {
            most = count;
            best = name;
        }
    }
    return best;
}

static int living(const struct telephony *t) {
    int count = 0;
    for (int i = 0; i < t->owners.count; i++) count += !is_dead(t, t->owners.names[i]);
    return count > 0 ? count : 1;
}

static int owned(const struct telephony *t) {
    int count = 0;
    FOR_EACH_SLOT(t, n, s) count += slot_is_ours(s);
    return count;
}

void telephony_owned_changed(struct telephony *t) {
    int count = owned(t);
    if (t->owned_gauge) metric_set(t->owned_gauge, count);
    if (!t->draining || t->closing || count > 0 || t->drained == NULL) return;
    void (*drained)(void *, int) = t->drained;
    t->drained = NULL;
    drained(t->drained_arg, t->left);
}

/* -- taking and giving ------------------------------------------------------------------------------------------------- */

static void node_take(struct node *n, int quota) {
    struct telephony *t = n->telephony;
    int k = t->opts.slots_per_node, want = quota - node_count(n, NULL), count = 0;
    struct slot **free_slots = mem_alloc((size_t)k * sizeof(struct slot *));

    for (int i = 0; i < k; i++) {
        struct slot *s = &n->slots[i];
        if (s->state != SLOT_FREE || !(s->expired || is_dead(t, s->owner))) continue;
        if (n->leaving && s->owner[0] == '\0') continue; /* released: it had no calls */
        free_slots[count++] = s;
    }
    /* Everybody begins elsewhere, or all would try for the same ones. */
    int rank = owners_rank(&t->owners, t->book.owner), others = living(t);
    int start = count && rank > 0 ? rank * ((count + others - 1) / others) % count : 0;
    for (int i = 0; i < count && want > 0; i++, want--) {
        struct slot *s = free_slots[(start + i) % count];
        slot_take(s, s->expired ? NULL : s->owner);
    }
    free(free_slots);
}

static void node_leave(struct node *n) {
    uint64_t now = clock_mono_ms(), quiet_ms = (uint64_t)n->telephony->opts.lease_ms;
    for (struct slot *s = n->slots; s < n->slots + n->telephony->opts.slots_per_node; s++) {
        if (!slot_is_ours(s) || s->successor[0]) continue;
        /* After the last call, or while what a dead worker left is being taken up, a call may not be counted yet. Not connected and never handed up: there is nothing to lose either. */
        bool idle = s->state == SLOT_READY ? s->calls == 0 && now - s->busy_ms > quiet_ms : !s->known && s->ari == NULL;
        if (idle) slot_release(s);
    }
}

static void node_give(struct node *n, int quota) {
    struct telephony *t = n->telephony;
    uint64_t now = clock_mono_ms();
    struct slot *fewest = NULL;

    if (node_count(n, NULL) <= quota + 1 || (n->gave_ms && now - n->gave_ms < GIVE_EVERY_MS)) return;
    for (struct slot *s = n->slots; s < n->slots + t->opts.slots_per_node; s++) {
        if (s->successor[0]) return; /* one at a time */
        if (slot_ready(s) && (fewest == NULL || s->calls < fewest->calls)) fewest = s;
    }
    const char *successor = node_poorest(n, quota);
    if (fewest == NULL || successor == NULL) return;
    n->gave_ms = now;
    slot_offer(fewest, successor);
}

static void slot_leave_behind(struct slot *s) {
    struct telephony *t = s->telephony;
    if (s->state == SLOT_GIVING || s->state == SLOT_RELEASING) return;
    t->left++;
    slot_release(s);
}

static void drain_step(struct telephony *t) {
    bool helpless = t->poll_failed && clock_mono_ms() - t->drain_ms > DRAIN_REDIS_MS;
    FOR_EACH_SLOT(t, n, s) {
        if (!slot_is_ours(s) || s->successor_has_it || s->state == SLOT_GIVING || s->state == SLOT_RELEASING) continue;
        const char *successor = node_poorest(n, t->opts.slots_per_node + 1);
        if (helpless) {
            slot_leave_behind(s);
        } else if (s->successor[0]) {
            if (is_dead(t, s->successor) || !owners_has(&t->owners, s->successor)) slot_take_back(s);
        } else if (successor == NULL || s->offers >= 2) {
            slot_leave_behind(s);
        } else if (slot_ready(s)) {
            slot_offer(s, successor);
        } else if (!s->known) {
            slot_release(s); /* nobody above knows it yet: another takes it as a free one */
        } else if (clock_mono_ms() - t->drain_ms > (uint64_t)t->opts.lease_ms) {
            slot_leave_behind(s);
        }
    }
    telephony_owned_changed(t);
}

static void on_soon(uv_timer_t *timer) {
    struct telephony *t = timer->data;
    if (t->reached_redis || redis_connected(t->book.redis))
        telephony_poll(t);
    else
        uv_timer_start(&t->soon, on_soon, CONNECT_MS, 0); /* not all of it is there; the ticks try */
}

static void decide(struct telephony *t) {
    if (t->draining) {
        drain_step(t);
        return;
    }
    FOR_EACH_SLOT(t, n, s) {
        if (s->state == SLOT_FREE && strcmp(s->offered, t->book.owner) == 0)
            slot_accept(s);
        else if (slot_is_ours(s) && s->successor[0] && !s->successor_has_it && is_dead(t, s->successor))
            slot_take_back(s);
    }
    /* The answer may be late: what counts is when it was asked for. */
    if (t->polled_ms < t->hold_until_ms) {
        uint64_t now = clock_mono_ms(), left = now < t->hold_until_ms ? t->hold_until_ms - now : 0;
        if (!uv_is_active((uv_handle_t *)&t->soon)) /* not a whole tick later */
            uv_timer_start(&t->soon, on_soon, left + 1, 0);
        return;
    }
    int quota = owners_quota(t->opts.slots_per_node, living(t));
    for (struct node *n = t->nodes; n; n = n->next) {
        node_take(n, quota);
        if (n->leaving)
            node_leave(n);
        else
            node_give(n, quota);
    }
}

/* -- the poll ---------------------------------------------------------------------------------------------------------- */

/* Each emptying begins it anew: an owner may have written its lease between two of them. */
static void hold(struct telephony *t, const char *why) {
    uint64_t now = clock_mono_ms(), lease = (uint64_t)t->opts.lease_ms;
    bool first = t->held_ms == 0 || now >= t->hold_until_ms; /* the settling is no loss */

    if (first) {
        t->held_ms = now;
        t->hold_told = false;
        log_info("redis.back", "%s: leases are written again; nothing is taken for %d ms", why, t->opts.lease_ms);
    } else if (now - t->held_ms > 3 * lease && !t->hold_told) {
        t->hold_told = true;
        log_warn("redis.forgets", "%s again and again: no slot is taken; does it evict keys (maxmemory-policy)?", why);
    }
    t->hold_until_ms = now + lease;
}

/* The connection is only being opened when a worker starts, and the others are to see it soon. A Redis that is connected and
 * refuses (its disk is full, it is a replica) is asked ever more rarely: a poll is a command for each slot there is. */
static void connect_later(struct telephony *t) {
    uint64_t tick = (uint64_t)t->opts.lease_ms / 3;
    uv_timer_start(&t->soon, on_soon, t->connect_ms, 0);
    if (!redis_connected(t->book.redis)) return;
    t->connect_ms = t->connect_ms * 2 < tick ? t->connect_ms * 2 : tick;
}

/* A slot that has an owner looks free until that one has written its lease again. */
void telephony_forgotten(struct telephony *t) {
    hold(t, "it has forgotten what it knew");
}

void telephony_polled(struct telephony *t, bool ok) {
    if (!ok) t->poll_failed = true;
    if (--t->polls > 0 || t->closing) return;
    if (t->poll_failed) {
        if (t->reached_redis && !t->lost_redis)
            log_warn("redis.away", "slots are kept as they are until Redis is back");
        t->lost_redis = t->reached_redis;
        t->poll_again = false; /* the next tick asks again */
        if (!t->reached_redis) connect_later(t);
        if (t->draining) drain_step(t);
        return;
    }
    uint64_t losses = redis_losses(t->book.redis);
    if (t->lost_redis)
        hold(t, "it answers");
    else if (!t->reached_redis)
        t->hold_until_ms = clock_mono_ms() + SETTLE_MS + t->connect_ms; /* the others may wait as long as we would */
    else if (losses != t->redis_losses) /* between two polls, or while this one was under way */
        hold(t, "a part of it was away");
    t->redis_losses = losses;
    t->lost_redis = false;
    t->reached_redis = true;
    decide(t);
    if (!t->poll_again) return;
    t->poll_again = false;
    telephony_poll(t);
}

static void on_beaten(void *arg, const struct err *e) {
    telephony_polled(arg, e == NULL);
}

void telephony_poll(struct telephony *t) {
    if (t->closing) return;
    if (t->polls > 0) {
        t->poll_again = true;
        return;
    }
    t->poll_failed = false;
    t->polled_ms = clock_mono_ms();
    t->polls = 1;
    FOR_EACH_SLOT(t, n, s) {
        if (s->state == SLOT_FREE) {
            t->polls++;
            slot_look(s);
        } else if (slot_is_ours(s) && s->state != SLOT_GIVING && s->state != SLOT_RELEASING) {
            t->polls++;
            slot_renew(s, true);
        }
    }
    owners_beat(&t->owners, &t->book, t->draining, t->dead_count ? t->dead[t->dead_count - 1] : "", on_beaten, t);
}

static void on_tick(uv_timer_t *timer) {
    telephony_poll(timer->data);
}

static void on_news(void *arg, const char *channel, const char *data, size_t len) {
    struct telephony *t = arg;
    struct lease_news news;
    char text[LEASE_OWNER_MAX + 64];

    (void)channel;
    if (t->closing || len >= sizeof text) return;
    memcpy(text, data, len);
    text[len] = '\0';
    if (!lease_news_read(text, &news)) return;
    struct slot *found = NULL;
    FOR_EACH_SLOT(t, n, s) if (strcmp(s->name, news.slot) == 0) found = s;
    if (found == NULL) return;
    if (news.what == LEASE_FLUSHED)
        slot_on_flushed(found);
    else if (news.what == LEASE_FREE)
        telephony_poll(t);
    else if (!t->draining && found->state == SLOT_FREE && strcmp(news.successor, t->book.owner) == 0)
        slot_accept(found);
}

static struct node *node_find(const struct telephony *t, const char *name) {
    for (struct node *n = t->nodes; n; n = n->next)
        if (strcmp(n->name, name) == 0) return n;
    return NULL;
}

/* -- the outside ------------------------------------------------------------------------------------------------------- */

int telephony_add_node(struct telephony *t, const struct telephony_node *o, struct err *e) {
    struct node *n = o->name ? node_find(t, o->name) : NULL;
    int rc = n && n->leaving ? node_come_back(n, o, e) : node_open(&n, t, o, e);
    if (rc == 0) telephony_poll(t);
    return rc;
}

int telephony_remove_node(struct telephony *t, const char *name, struct err *e) {
    struct node *n = node_find(t, name);
    if (n == NULL) return err_set(e, ERR_NOT_FOUND, "there is no node %.40s", name);
    if (!n->leaving) log_info("node.leaving", "node %s gets no new calls", name);
    n->leaving = true;
    telephony_poll(t);
    return 0;
}

int telephony_open(struct telephony **out, const struct telephony_opts *o, struct err *e) {
    struct telephony *t = mem_alloc(sizeof *t);
    struct node *n;
    int rc;

    if (o->slots_per_node < 1 || o->slots_per_node > 999) {
        free(t);
        return err_set(e, ERR_INVALID, "%d slots per node: 1 to 999 are wanted", o->slots_per_node);
    }
    rc = lease_book_init(&t->book, o->redis, o->prefix ? o->prefix : "", o->owner ? o->owner : "", o->lease_ms, e);
    if (rc < 0) {
        free(t);
        return rc;
    }
    t->opts = *o;
    t->opts.owner = t->book.owner;
    t->opts.prefix = t->book.prefix;
    t->opts.nodes = NULL;
    t->loop = o->loop;
    t->connect_ms = CONNECT_MS;
    t->beat_ms = clock_mono_ms();
    ari_hub_init(&t->hub, o->loop, o->net, o->metrics);
    uv_timer_init(o->loop, &t->beat);
    uv_timer_init(o->loop, &t->tick);
    uv_timer_init(o->loop, &t->soon);
    t->beat.data = t->tick.data = t->soon.data = t;
    t->handles = 4; /* these three and the hub */
    if (o->metrics) {
        t->owned_gauge = metrics_gauge(o->metrics, "slots_owned", "", "slots whose lease this worker has");
        t->stolen =
            metrics_counter(o->metrics, "ari_stolen_total", "", "applications taken by somebody without the lease");
        t->deaf = metrics_counter(o->metrics, "ari_deaf_total", "", "slots that were connected and heard nothing");
        t->legs_gauge = metrics_gauge(o->metrics, "legs", "", "parties of calls");
    }
    for (int i = 0; i < o->node_count; i++) {
        rc = node_open(&n, t, &o->nodes[i], e);
        if (rc < 0) goto close;
    }
    char *channel = mem_printf("%sslots", t->book.prefix);
    t->news = redis_subscribe(o->redis, channel, false, on_news, t);
    free(channel);
    uv_timer_start(&t->beat, on_beat_timer, (uint64_t)o->lease_ms / 12, (uint64_t)o->lease_ms / 12);
    uv_timer_start(&t->tick, on_tick, (uint64_t)o->lease_ms / 3, (uint64_t)o->lease_ms / 3);
    telephony_poll(t);
    *out = t;
    return 0;
close:
    telephony_close(t, NULL, NULL); /* its timers need the loop to go */
    return rc;
}

bool telephony_is_announced(const struct telephony *t) {
    return t->reached_redis;
}

bool telephony_lingers(const struct telephony *t) {
    return t->lingering.count > 0;
}

void telephony_drain(struct telephony *t, void (*done)(void *arg, int left), void *arg) {
    t->draining = true;
    t->drained = done;
    t->drained_arg = arg;
    t->drain_ms = clock_mono_ms();
    uv_timer_start(&t->tick, on_tick, DRAIN_TICK_MS, DRAIN_TICK_MS);
    telephony_poll(t);
}

void telephony_owner_died(struct telephony *t, const char *owner) {
    if (strcmp(owner, t->book.owner) == 0 || is_dead(t, owner)) return;
    int most = (int)(sizeof t->dead / sizeof t->dead[0]);
    if (t->dead_count == most) memmove(t->dead[0], t->dead[1], sizeof t->dead[0] * (size_t)(--t->dead_count));
    if (!str_copy(t->dead[t->dead_count], sizeof t->dead[0], owner)) return;
    t->dead_count++;
    FOR_EACH_SLOT(t, n, s) if (strcmp(s->predecessor, owner) == 0) slot_on_flushed(s); /* its mark will not come */
    /* Asterisk is still clearing away the dead owner's sockets: who dials in now may be cleared away with them. */
    uv_timer_start(&t->soon, on_soon, DEATH_WAIT_MS, 0);
}

struct slot *telephony_slot(struct telephony *t, const char *name) {
    FOR_EACH_SLOT(t, n, s) if (slot_is_ours(s) && strcmp(s->name, name) == 0) return s;
    return NULL;
}

struct slot *telephony_pick(struct telephony *t, const char *node) {
    struct slot *best = NULL;
    int ties = 0;
    t->picks++;
    FOR_EACH_SLOT(t, n, s) {
        if (n->leaving || (node && strcmp(n->name, node) != 0) || s->successor[0] || !slot_ready(s)) continue;
        if (best == NULL || s->calls < best->calls) {
            best = s;
            ties = 1;
        } else if (s->calls == best->calls && t->picks % ++ties == 0) {
            best = s;
        }
    }
    return t->draining ? NULL : best;
}

json_t *telephony_status(struct telephony *t) {
    static const char *const names[] = {"free",    "taking", "leased",   "dialling", "waiting",
                                        "listing", "ready",  "replaced", "giving",   "releasing"};
    json_t *out = json_array();
    FOR_EACH_SLOT(t, n, s) {
        bool mine = slot_is_ours(s);
        json_array_append_new(out, json_pack("{s:s, s:s, s:b, s:s, s:i, s:b}", "slot", s->name, "owner",
                                             mine ? t->book.owner : s->owner, "mine", mine, "state", names[s->state],
                                             "calls", mine ? s->calls : 0, "leaving", n->leaving));
    }
    return out;
}

/* -- the end ----------------------------------------------------------------------------------------------------------- */

static void finish(struct telephony *t) {
    while (t->nodes) {
        struct node *n = t->nodes;
        t->nodes = n->next;
        node_free(n);
    }
    void (*closed)(void *) = t->closed;
    void *arg = t->closed_arg;
    owners_deinit(&t->owners);
    lease_book_deinit(&t->book);
    map_free(&t->lingering);
    free(t);
    if (closed) closed(arg);
}

void telephony_handle_gone(struct telephony *t) {
    if (--t->handles == 0) finish(t);
}

static void on_own_closed(uv_handle_t *handle) {
    telephony_handle_gone(handle->data);
}
static void on_hub_idle(void *arg) {
    telephony_handle_gone(arg);
}

/* Answers of Redis hold pointers to us, so the last of them is waited for; each has its time-out. */
static void on_closing_tick(uv_timer_t *timer) {
    struct telephony *t = timer->data;
    if (t->book.waiting == 0) uv_close((uv_handle_t *)&t->tick, on_own_closed);
}

void telephony_close(struct telephony *t, void (*closed)(void *arg), void *arg) {
    t->closing = true;
    t->closed = closed;
    t->closed_arg = arg;
    if (t->news) redis_unsubscribe(t->news);
    uv_close((uv_handle_t *)&t->beat, on_own_closed);
    uv_close((uv_handle_t *)&t->soon, on_own_closed);
    uv_timer_start(&t->tick, on_closing_tick, 0, 5);
    for (struct node *n = t->nodes; n; n = n->next) node_close(n);
    ari_hub_close(&t->hub, on_hub_idle, t);
}
