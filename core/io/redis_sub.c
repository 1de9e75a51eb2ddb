/* SPDX-License-Identifier: Apache-2.0 */
/* Subscriptions. The list of struct redis_sub is what is wanted; the connection is told of the first wish for a
 * channel and the end of the last, and of all of them when it comes up again.
 *
 * In a cluster one node does for all: it hears what is published at any of them. When it is lost, commands do not reach
 * it, or it serves no slots any more, all that is wanted is wished for at another. */
#include "base/log.h"
#include "base/mem.h"
#include "io/redis_own.h"
#include <stdlib.h>
#include <string.h>

enum { PING_MS = 5000, ELSEWHERE_MS = 200 /* at least, between two moves to another node */ };

struct redis_sub {
    struct redis_sub *next;
    struct redis *redis; /* NULL when that is closed */
    char *channel;
    bool pattern;
    bool ended; /* by its owner, while messages are given out; freed after */
    void (*on_message)(void *arg, const char *channel, const char *data, size_t len);
    void *arg;
};

static void sub_free(struct redis_sub *s) {
    free(s->channel);
    free(s);
}

static bool is_wanted(const struct redis *r, const char *channel, bool pattern) {
    for (const struct redis_sub *s = r->subs; s; s = s->next)
        if (!s->ended && s->pattern == pattern && strcmp(s->channel, channel) == 0) return true;
    return false;
}

static void tell(struct redis *r, const char *command, const char *channel) {
    const char *argv[] = {command, channel};
    if (!r->closing && r->subscriber && redis_link_up(r->subscriber)) redis_link_send(r->subscriber, 2, argv, NULL);
}

/* -- the link's events ---------------------------------------------------------------------------------------- */

/* Nothing may come for hours, so a half-open connection is only found by asking. */
static void on_ping_time(uv_timer_t *t) {
    struct redis *r = t->data;
    const char *argv[] = {"PING"};
    struct err e;

    if (!redis_link_up(r->subscriber)) return;
    if (r->ping_sent) {
        err_set(&e, ERR_TIMEOUT, "redis: no answer in time");
        redis_link_replace(r->subscriber, &e);
        return;
    }
    r->ping_sent = true;
    redis_link_send(r->subscriber, 1, argv, NULL);
}

static void on_up(void *arg) {
    struct redis *r = arg;
    r->ping_sent = false;
    uv_timer_start(&r->ping, on_ping_time, PING_MS, PING_MS);
    /* The server does not mind hearing of a channel twice. */
    for (const struct redis_sub *s = r->subs; s; s = s->next)
        if (!s->ended) tell(r, s->pattern ? "PSUBSCRIBE" : "SUBSCRIBE", s->channel);
}

static void subscribe_elsewhere(struct redis *r);

static void on_down(void *arg, const struct err *e) {
    struct redis *r = arg;
    (void)e;
    uv_timer_stop(&r->ping);
    if (r->cluster && !r->closing) subscribe_elsewhere(r);
}

static void drop_ended(struct redis *r) {
    for (struct redis_sub **at = &r->subs; *at;) {
        struct redis_sub *s = *at;
        if (s->ended) {
            *at = s->next;
            sub_free(s);
        } else {
            at = &s->next;
        }
    }
}

static void give_out(struct redis *r, bool pattern, const char *wish, const redisReply *channel,
                     const redisReply *data) {
    r->dispatching++;
    for (struct redis_sub *s = r->subs; s; s = s->next)
        if (!s->ended && s->pattern == pattern && strcmp(s->channel, wish) == 0)
            s->on_message(s->arg, channel->str, data->str, data->len);
    if (--r->dispatching == 0) drop_ended(r);
}

static bool are_strings(const redisReply *reply, size_t n) {
    if (reply->type != REDIS_REPLY_ARRAY || reply->elements != n) return false;
    for (size_t i = 0; i < n; i++)
        if (reply->element[i]->type != REDIS_REPLY_STRING) return false;
    return true;
}

static void on_reply(void *arg, const redisReply *reply) {
    struct redis *r = arg;
    redisReply **part = reply->element;

    r->ping_sent = false;
    if (are_strings(reply, 3) && strcmp(part[0]->str, "message") == 0)
        give_out(r, false, part[1]->str, part[1], part[2]);
    else if (are_strings(reply, 4) && strcmp(part[0]->str, "pmessage") == 0)
        give_out(r, true, part[1]->str, part[2], part[3]);
    else if (reply->type == REDIS_REPLY_ERROR)
        log_warn("redis.subscribe", "the server refuses: %s", reply->str);
    /* The rest: confirmations and pongs. */
}

static const struct redis_link_events events = {on_up, on_reply, on_down, on_down};

static void on_link_closed(void *arg) {
    redis_one_closed(arg);
}

static void subscribe_at(struct redis *r, const struct redis_address *address) {
    r->subscriber = redis_link_open(r->loop, address, "subscriptions", &events, r);
    r->open++;
}

/* Leaves the node where we are, when there is another. */
static void subscribe_elsewhere(struct redis *r) {
    const char *name;
    const struct redis_address *address = redis_cluster_choose(r, r->subscribed_at, &name);

    if (address == NULL || (r->subscribed_at && uv_now(r->loop) < r->subscribed_ms + ELSEWHERE_MS)) return;
    r->subscribed_ms = uv_now(r->loop);
    uv_timer_stop(&r->ping);
    if (r->subscriber) redis_link_close(r->subscriber, on_link_closed);
    free(r->subscribed_at);
    r->subscribed_at = mem_strdup(name);
    subscribe_at(r, address);
}

void redis_sub_look(struct redis *r) {
    if (r->closing || r->subs == NULL) return;
    if (r->subscriber == NULL || !redis_cluster_serves(r, r->subscribed_at)) subscribe_elsewhere(r);
}

/* -- the outside ---------------------------------------------------------------------------------------------- */

struct redis_sub *redis_subscribe(struct redis *r, const char *channel, bool pattern,
                                  void (*on_message)(void *arg, const char *channel, const char *data, size_t len),
                                  void *arg) {
    struct redis_sub *s = mem_alloc(sizeof *s);

    s->channel = mem_strdup(channel);
    s->pattern = pattern;
    s->on_message = on_message;
    s->arg = arg;
    if (r->closing) return s; /* hears nothing, is ended as any */

    bool first = !is_wanted(r, channel, pattern);
    s->redis = r;
    s->next = r->subs; /* in front: a message being given out now is not for it */
    r->subs = s;
    if (r->subscriber) {
        if (first) tell(r, pattern ? "PSUBSCRIBE" : "SUBSCRIBE", channel);
    } else if (r->cluster) {
        redis_sub_look(r);
    } else {
        subscribe_at(r, &r->address);
    }
    return s;
}

void redis_unsubscribe(struct redis_sub *s) {
    struct redis *r = s->redis;
    if (r == NULL) {
        sub_free(s);
        return;
    }
    s->ended = true;
    if (!is_wanted(r, s->channel, s->pattern)) tell(r, s->pattern ? "PUNSUBSCRIBE" : "UNSUBSCRIBE", s->channel);
    if (!r->dispatching) drop_ended(r);
}

void redis_sub_close(struct redis *r) {
    if (r->subscriber) redis_link_close(r->subscriber, on_link_closed);
}

void redis_sub_forget(struct redis *r) {
    drop_ended(r);
    for (struct redis_sub *s = r->subs; s; s = s->next) s->redis = NULL;
    free(r->subscribed_at);
}
