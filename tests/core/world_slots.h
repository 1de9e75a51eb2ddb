/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: workers of one loop, a Redis of their own and an Asterisk that does as it is told, for one test program.
 *
 * Leases are 900 ms here unless a test needs longer ones, so a tick is 300 ms; what is awaited is awaited with a limit and never
 * slept for.
 *
 *   FRESH(name)                     a row of the group
 *   cmocka_run_group_tests(tests, start, stop)
 */
#pragma once
#include "base/clock.h"
#include "fake_ari.h"
#include "io/redis.h"
#include "io/ws_client.h"
#include "metrics/metrics.h"
#include "private_redis.h"
#include "telephony/slot.h"
#include "until.h"

enum { LEASE_MS = 900, WORKERS = 3 };

static struct private_redis server;
static uv_loop_t loop;
static struct net *net;
static struct metrics *metrics;
static struct fake_ari fake;
static int lease_ms = LEASE_MS; /* of the workers that are opened next */

/* -- workers ------------------------------------------------------------------------------------------------------------- */

struct worker {
    char owner[32];
    struct redis *redis;
    struct telephony *telephony;
    int ready, first, lost[4], giving, events;
    int channels, bridges;
    char predecessor[64], last_event[64], order[128]; /* order: one letter per callback */
    bool hold_flush;                                  /* slot_flushed() is the test's */
    struct slot *to_flush;
    int drained, left;
    bool closed;
};
static struct worker w[WORKERS];

static inline void note(struct worker *worker, char c) {
    size_t len = strlen(worker->order);
    if (len + 1 < sizeof worker->order) worker->order[len] = c;
}

static inline void on_ready(void *arg, struct slot *s, bool first, const char *predecessor, const json_t *channels,
                            const json_t *bridges) {
    struct worker *worker = arg;
    CHECK(slot_ready(s));
    CHECK(first || predecessor[0] == '\0');
    worker->ready++;
    worker->first += first;
    worker->channels = (int)json_array_size(channels);
    worker->bridges = (int)json_array_size(bridges);
    if (first) snprintf(worker->predecessor, sizeof worker->predecessor, "%s", predecessor);
    note(worker, 'r');
}
static inline void on_lost(void *arg, struct slot *s, enum slot_lost why) {
    struct worker *worker = arg;
    CHECK(slot_fence(s) > 0);
    worker->lost[why]++;
    note(worker, 'l');
}
static inline void on_giving(void *arg, struct slot *s) {
    struct worker *worker = arg;
    worker->giving++;
    note(worker, 'g');
    if (worker->hold_flush)
        worker->to_flush = s;
    else
        slot_flushed(s);
}
static inline void on_worker_event(void *arg, struct slot *s, const json_t *event) {
    struct worker *worker = arg;
    (void)s;
    worker->events++;
    snprintf(worker->last_event, sizeof worker->last_event, "%s",
             json_string_value(json_object_get(json_object_get(event, "channel"), "id")));
    note(worker, 'e');
}

static inline void open_worker_with(struct worker *worker, int slots) {
    struct err e;
    struct redis_opts r = {.url = server.url};
    struct telephony_node node = {"n1", fake.url, "parley", "secret"};
    struct telephony_opts o = {.loop = &loop,
                               .net = net,
                               .metrics = metrics,
                               .owner = worker->owner,
                               .nodes = &node,
                               .node_count = 1,
                               .slots_per_node = slots,
                               .lease_ms = lease_ms,
                               .prefix = "t:",
                               .arg = worker,
                               .on_slot_ready = on_ready,
                               .on_slot_lost = on_lost,
                               .on_slot_giving = on_giving,
                               .on_event = on_worker_event};
    static int incarnation;
    memset(worker, 0, sizeof *worker);
    snprintf(worker->owner, sizeof worker->owner, "host-%d-%d", (int)(worker - w), ++incarnation);
    if (redis_open(&worker->redis, &loop, &r, NULL, &e) < 0) fail_msg("%s", e.text);
    o.redis = worker->redis;
    if (telephony_open(&worker->telephony, &o, &e) < 0) fail_msg("%s", e.text);
}

static inline void on_closed(void *arg) {
    *(bool *)arg = true;
}

static inline int owned(struct worker *worker) {
    int count = 0;
    if (worker->telephony == NULL) return 0;
    json_t *all = telephony_status(worker->telephony), *one;
    size_t i;
    json_array_foreach(all, i, one) count += json_is_true(json_object_get(one, "mine")) &&
                                             strcmp(json_string_value(json_object_get(one, "state")), "ready") == 0;
    json_decref(all);
    return count;
}

static inline void close_worker(struct worker *worker) {
    if (worker->telephony == NULL) return;
    telephony_close(worker->telephony, on_closed, &worker->closed);
    worker->telephony = NULL;
    UNTIL(worker->closed);
    worker->closed = false;
    redis_close(worker->redis, on_closed, &worker->closed);
    UNTIL(worker->closed);
}

static inline void redis_cli(const char *command) {
    char line[512];
    snprintf(line, sizeof line, "redis-cli -s %s/redis.sock %s >/dev/null", server.dir, command);
    CHECK_INT(0, system(line));
}

static inline void open_worker(int i, int slots) {
    open_worker_with(&w[i], slots);
    UNTIL(redis_connected(w[i].redis));
}

static inline struct slot *slot_of(int i, const char *name) {
    struct slot *s = telephony_slot(w[i].telephony, name);
    CHECK(s != NULL);
    return s;
}

/* -- one answer ---------------------------------------------------------------------------------------------------------- */

static struct { int count, status, code; } answer;
static inline void on_answer(void *arg, int status, const json_t *body, const struct err *e) {
    (void)arg, (void)body;
    answer.count++;
    answer.status = status;
    answer.code = e ? e->code : 0;
}
static inline void request(struct slot *s) {
    memset(&answer, 0, sizeof answer);
    slot_request(s, "POST", "/channels/x/ring", NULL, on_answer, NULL);
    CHECK_INT(0, answer.count);
    UNTIL(answer.count == 1);
}

/* -- the world ----------------------------------------------------------------------------------------------------------- */

static inline int start(void **state) {
    (void)state;
    struct err e;
    if (uv_loop_init(&loop) < 0 || !private_redis_start(&server)) return -1;
    if (metrics_open(&metrics, -1, 1, 0, &e) < 0 || net_open(&net, &loop, metrics, &e) < 0) return -1;
    return 0;
}

static inline int stop(void **state) {
    (void)state;
    bool closed = false;
    net_close(net, on_closed, &closed);
    while (!closed) uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_DEFAULT);
    metrics_close(metrics);
    private_redis_stop(&server);
    return uv_loop_close(&loop) ? -1 : 0;
}

static inline int begin(void **state) {
    (void)state;
    redis_cli("FLUSHALL");
    fake_start(&fake, net);
    lease_ms = LEASE_MS;
    return 0;
}

static inline int end(void **state) {
    (void)state;
    for (int i = 0; i < WORKERS; i++) close_worker(&w[i]);
    fake_free(&fake, &loop);
    return 0;
}

#define FRESH(name) cmocka_unit_test_setup_teardown(name, begin, end)
