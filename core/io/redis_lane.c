/* SPDX-License-Identifier: Apache-2.0 */
/* A lane is one server's connection and the commands that wait on it. Replies come in the order of the commands, so a
 * list is all the book-keeping there is; it also means that one command without an answer makes all behind it unsure,
 * which is why a timeout gives the whole connection up. */
#include "base/mem.h"
#include "io/redis_own.h"
#include <stdlib.h>

struct redis_lane {
    struct redis *redis;
    const struct redis_lane_events *events;
    void *arg;
    char *use;
    struct redis_link *link;
    struct redis_list waiting; /* sent, in order; replies come in the same */
    size_t waiting_count;
    uv_timer_t deadline;
    bool late; /* the deadline has passed once; judged after one more look at the socket */
    int open;  /* link and timer */
};

static void fail_all(struct redis_lane *l, const struct err *why) {
    struct redis_command *c;
    while ((c = redis_pop(&l->waiting)) != NULL) redis_fail(l->redis, c, why);
    l->waiting_count = 0;
    uv_timer_stop(&l->deadline);
}

/* -- deadlines ------------------------------------------------------------------------------------------------ */

static void on_deadline(uv_timer_t *t);

/* One timer for all, set for the earliest. It is not moved when that one is answered, only looked at when it rings. */
static void deadline_set(struct redis_lane *l, uint64_t at_ms) {
    uint64_t now = uv_now(l->redis->loop);
    uv_timer_start(&l->deadline, on_deadline, at_ms > now ? at_ms - now : 1, 0);
}

static void on_deadline(uv_timer_t *t) {
    struct redis_lane *l = t->data;
    uint64_t now = uv_now(l->redis->loop), earliest = UINT64_MAX;
    bool expired = false;

    for (struct redis_command *c = l->waiting.head; c; c = c->next) {
        if (c->deadline_ms <= now) expired = true;
        if (c->deadline_ms < earliest) earliest = c->deadline_ms;
    }
    if (!expired) {
        l->late = false;
        if (l->waiting.head) deadline_set(l, earliest);
        return;
    }
    /* The loop itself may have stood still while the reply lay in the socket: read once more before judging. */
    if (!l->late) {
        l->late = true;
        deadline_set(l, 0);
        return;
    }
    l->late = false;

    struct err timeout, lost;
    err_set(&timeout, ERR_TIMEOUT, "redis: no answer in time");
    err_set(&lost, ERR_CLOSED, "redis: the connection was given up, an earlier command had no answer");
    struct redis_command *c;
    while ((c = redis_pop(&l->waiting)) != NULL) redis_fail(l->redis, c, c->deadline_ms <= now ? &timeout : &lost);
    l->waiting_count = 0;
    redis_link_replace(l->link, &timeout);
}

/* -- the link's events ---------------------------------------------------------------------------------------- */

static void on_up(void *arg) {
    struct redis_lane *l = arg;
    l->events->on_up(l);
}

static void on_down(void *arg, const struct err *e) {
    struct redis_lane *l = arg;
    fail_all(l, e);
    l->events->on_down(l, e);
}

static void on_failed(void *arg, const struct err *e) {
    struct redis_lane *l = arg;
    if (l->events->on_failed) l->events->on_failed(l, e);
}

static void on_reply(void *arg, const redisReply *reply) {
    struct redis_lane *l = arg;
    struct redis_command *c = redis_pop(&l->waiting);
    struct err e;

    if (c == NULL) { /* e.g. an error the server sends before it closes the connection */
        err_set(&e, ERR_PROTOCOL, "redis: a reply nobody asked for: %s",
                reply->type == REDIS_REPLY_ERROR ? reply->str : "not an error");
        redis_link_replace(l->link, &e);
        return;
    }
    l->waiting_count--;
    l->events->on_reply(l, c, reply);
}

static const struct redis_link_events link_events = {on_up, on_reply, on_down, on_failed};

/* -- the outside ---------------------------------------------------------------------------------------------- */

struct redis_lane *redis_lane_open(struct redis *r, const struct redis_address *address, const char *use,
                                   const struct redis_lane_events *events, void *arg) {
    struct redis_lane *l = mem_alloc(sizeof *l);
    l->redis = r;
    l->events = events;
    l->arg = arg;
    l->use = mem_strdup(use);
    uv_timer_init(r->loop, &l->deadline);
    l->deadline.data = l;
    l->link = redis_link_open(r->loop, address, l->use, &link_events, l);
    l->open = 2;
    r->open++;
    return l;
}

static void one_closed(struct redis_lane *l) {
    struct redis *r = l->redis;
    if (--l->open > 0) return;
    free(l->use);
    free(l);
    redis_one_closed(r);
}

static void on_link_closed(void *arg) {
    one_closed(arg);
}
static void on_timer_closed(uv_handle_t *h) {
    one_closed(h->data);
}

void redis_lane_close(struct redis_lane *l, const struct err *why) {
    fail_all(l, why);
    redis_link_close(l->link, on_link_closed);
    uv_close((uv_handle_t *)&l->deadline, on_timer_closed);
}

struct redis *redis_lane_redis(const struct redis_lane *l) {
    return l->redis;
}
void *redis_lane_arg(const struct redis_lane *l) {
    return l->arg;
}
bool redis_lane_up(const struct redis_lane *l) {
    return redis_link_up(l->link);
}
bool redis_lane_full(const struct redis_lane *l) {
    return l->waiting_count >= REDIS_WAITING_MAX || redis_link_unsent(l->link) >= REDIS_UNSENT_MAX;
}
size_t redis_lane_waiting(const struct redis_lane *l) {
    return l->waiting_count;
}

static void wait_for_reply(struct redis_lane *l, struct redis_command *c) {
    redis_push(&l->waiting, c);
    l->waiting_count++;
    if (!uv_is_active((uv_handle_t *)&l->deadline) ||
        c->deadline_ms < uv_now(l->redis->loop) + uv_timer_get_due_in(&l->deadline))
        deadline_set(l, c->deadline_ms);
}

void redis_lane_send(struct redis_lane *l, struct redis_command *c, int argc, const char **argv, const size_t *lens) {
    redis_link_send(l->link, argc, argv, lens);
    wait_for_reply(l, c);
}

void redis_lane_send_bytes(struct redis_lane *l, struct redis_command *c) {
    redis_link_send_bytes(l->link, c->bytes, c->len);
    wait_for_reply(l, c);
}
