/* SPDX-License-Identifier: Apache-2.0 */
/* A client of io/redis on a loop of its own, and what its tests ask it by. Which server it is of is the test's. */
#pragma once
#include "io/redis.h"
#include "metrics/metrics.h"
#include "world.h"

static uv_loop_t loop;
static struct redis *redis;
static struct metrics *metrics;
static int ups, downs, closed;

static inline void on_change(void *arg, bool up) {
    (void)arg;
    if (up)
        ups++;
    else
        downs++;
}

static inline void on_closed(void *arg) {
    (*(int *)arg)++;
}

static inline void open_url(const char *url) {
    const struct redis_opts opts = {.url = url, .on_change = on_change};
    struct err e;
    ups = downs = closed = 0;
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK_INT(0, metrics_open(&metrics, -1, 1, 0, &e));
    CHECK_INT(0, redis_open(&redis, &loop, &opts, metrics, &e));
}

static inline void open_connected_to(const char *url) {
    open_url(url);
    CHECK(world_turn(&loop, &ups, 1, 5000));
    CHECK(redis_connected(redis));
}

static inline void close_redis(void) {
    int rc;

    redis_close(redis, on_closed, &closed);
    CHECK(world_turn(&loop, &closed, 1, 3000));
    /* A resolver that is asking cannot be called back; what it finds is thrown away. */
    for (int i = 0; (rc = uv_loop_close(&loop)) == UV_EBUSY && i < 300; i++) world_turn_for(&loop, 10);
    CHECK_INT(0, rc);
    metrics_close(metrics);
}

/* What became of one or many commands. */
struct outcome {
    int ended, replies, errors, wrong, last_code;
    char text[4096];
    long long integer;
};

static inline void note(void *arg, const redisReply *reply, const struct err *e) {
    struct outcome *o = arg;
    o->ended++;
    if (e) {
        o->errors++;
        o->last_code = e->code;
        snprintf(o->text, sizeof o->text, "%s", e->text);
        return;
    }
    o->replies++;
    o->integer = reply->integer;
    if (reply->str) snprintf(o->text, sizeof o->text, "%s", reply->str);
}

static inline void send_words(struct outcome *o, int timeout_ms, const char *line) {
    char copy[256], *save = NULL;
    const char *argv[16];
    int argc = 0;
    snprintf(copy, sizeof copy, "%s", line);
    for (char *word = strtok_r(copy, " ", &save); word; word = strtok_r(NULL, " ", &save)) argv[argc++] = word;
    uv_update_time(&loop); /* the test may have been busy with a server */
    redis_command(redis, timeout_ms, argc, argv, NULL, note, o);
}

static inline struct outcome ask_within(int timeout_ms, const char *line) {
    struct outcome o = {0};
    send_words(&o, timeout_ms, line);
    CHECK_INT(0, o.ended); /* never from inside */
    CHECK(world_turn(&loop, &o.ended, 1, timeout_ms + 2000));
    CHECK_INT(1, o.ended);
    return o;
}

static inline struct outcome ask(const char *line) {
    return ask_within(1000, line);
}
