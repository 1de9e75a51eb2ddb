/* SPDX-License-Identifier: Apache-2.0 */
/* What goes in and what comes out: commands are checked here, answered here and counted here. */
#include "io/redis.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/redis_own.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static void count(struct metric *s, double n) {
    if (s) metric_add(s, n);
}

void redis_push(struct redis_list *list, struct redis_command *c) {
    c->next = NULL;
    if (list->head)
        list->tail->next = c;
    else
        list->head = c;
    list->tail = c;
}

struct redis_command *redis_pop(struct redis_list *list) {
    struct redis_command *c = list->head;
    if (c) list->head = c->next;
    return c;
}

/* -- failures ------------------------------------------------------------------------------------------------- */

static void command_free(struct redis *r, struct redis_command *c) {
    if (c->bytes) {
        r->kept--;
        r->kept_bytes -= c->len;
        redisFreeCommand(c->bytes);
    }
    free(c);
}

static void deliver_failed(struct redis *r) {
    struct redis_command *c;
    while ((c = redis_pop(&r->failed)) != NULL) {
        if (c->cb) c->cb(c->arg, NULL, &c->failed);
        command_free(r, c);
    }
}

static void on_failing(uv_timer_t *t) {
    deliver_failed(t->data);
}

void redis_fail(struct redis *r, struct redis_command *c, const struct err *why) {
    if (why != &c->failed) c->failed = *why;
    redis_push(&r->failed, c);
    if (!c->ours) count(why->code == ERR_TIMEOUT ? r->timeouts : r->lost, 1);
    if (!r->closing && !uv_is_active((uv_handle_t *)&r->failing)) uv_timer_start(&r->failing, on_failing, 0, 0);
}

/* -- answers -------------------------------------------------------------------------------------------------- */

void redis_answer(struct redis *r, struct redis_command *c, const redisReply *reply) {
    struct err e;
    bool is_error = reply->type == REDIS_REPLY_ERROR;

    if (is_error) err_set(&e, ERR_INVALID, "redis: %s", reply->str);
    if (!c->ours) {
        if (r->seconds) metric_observe(r->seconds, (double)(uv_hrtime() - c->sent_ns) / 1e9);
        count(is_error ? r->errors : r->ok, 1);
    }
    if (c->cb) c->cb(c->arg, reply, is_error ? &e : NULL);
    command_free(r, c);
}

void redis_changed(struct redis *r, bool connected) {
    if (r->connected) metric_set(r->connected, connected);
    if (r->on_change) r->on_change(r->arg, connected);
}

static void on_up(struct redis_lane *lane) {
    redis_changed(redis_lane_redis(lane), true);
}
static void on_down(struct redis_lane *lane, const struct err *e) {
    (void)e;
    redis_lane_redis(lane)->losses++;
    redis_changed(redis_lane_redis(lane), false);
}
static void on_reply(struct redis_lane *lane, struct redis_command *c, const redisReply *reply) {
    redis_answer(redis_lane_redis(lane), c, reply);
}

static const struct redis_lane_events lane_events = {on_up, on_reply, on_down, NULL};

/* -- commands ------------------------------------------------------------------------------------------------- */

static bool is_word(const char *text, size_t len, const char *word) {
    return len == strlen(word) && strncasecmp(text, word, len) == 0;
}

/* True for what has not exactly one reply, keeps the others waiting, or changes the connection for all. */
static bool is_refused(int argc, const char **argv, const size_t *lens) {
    static const char *const words[] = {
        "subscribe", "psubscribe", "ssubscribe", "unsubscribe", "punsubscribe", "sunsubscribe", "monitor", "sync",
        "psync",     "hello",      "auth",       "select",      "quit",         "reset",        "watch",   "blpop",
        "brpop",     "brpoplpush", "blmove",     "blmpop",      "bzpopmin",     "bzpopmax",     "bzmpop",  "wait",
        "waitaof",   NULL};
    for (int i = 0; words[i]; i++)
        if (is_word(argv[0], lens[0], words[i])) return true;
    if (argc > 1 && is_word(argv[0], lens[0], "client") && is_word(argv[1], lens[1], "reply")) return true;
    if (is_word(argv[0], lens[0], "xread") || is_word(argv[0], lens[0], "xreadgroup"))
        for (int i = 1; i < argc && !is_word(argv[i], lens[i], "streams"); i++)
            if (is_word(argv[i], lens[i], "block")) return true;
    return false;
}

static void check(struct redis *r, int argc, const char **argv, const size_t *lens, struct err *e) {
    e->code = 0;
    if (r->closing)
        err_set(e, ERR_CLOSED, "redis: closed");
    else if (argc < 1 || is_refused(argc, argv, lens))
        err_set(e, ERR_INVALID, "redis: '%.*s' cannot be used on a shared connection", argc < 1 ? 0 : (int)lens[0],
                argc < 1 ? "" : argv[0]);
    else if (r->cluster)
        redis_cluster_check(r, argc, argv, lens, e);
    else if (!redis_lane_up(r->lane))
        err_set(e, ERR_CLOSED, "redis: not connected");
    else if (redis_lane_full(r->lane))
        err_set(e, ERR_LIMIT, "redis: too many commands wait for an answer");
}

void redis_command(struct redis *r, int timeout_ms, int argc, const char **argv, const size_t *lens, redis_cb cb,
                   void *arg) {
    struct redis_command *c = mem_alloc(sizeof *c);
    struct err e;

    size_t *measured = NULL;
    if (lens == NULL && argc > 0) {
        measured = mem_alloc((size_t)argc * sizeof *measured);
        for (int i = 0; i < argc; i++) measured[i] = strlen(argv[i]);
        lens = measured;
    }
    c->cb = cb;
    c->arg = arg;
    check(r, argc, argv, lens, &e);
    if (e.code < 0) {
        redis_fail(r, c, &e);
        goto free_measured;
    }
    c->sent_ns = uv_hrtime();
    c->deadline_ms = uv_now(r->loop) + (uint64_t)(timeout_ms > 0 ? timeout_ms : REDIS_TIMEOUT_MS);
    if (r->cluster)
        redis_cluster_send(r, c, argc, argv, lens);
    else
        redis_lane_send(r->lane, c, argc, argv, lens);
free_measured:
    free(measured);
}

bool redis_connected(const struct redis *r) {
    return !r->closing && (r->cluster ? redis_cluster_whole(r) : redis_lane_up(r->lane));
}

uint64_t redis_losses(const struct redis *r) {
    return r->losses;
}

/* -- open and close ------------------------------------------------------------------------------------------- */

static void measure(struct redis *r, struct metrics *m) {
    static const char name[] = "redis_commands_total", help[] = "Redis commands by how they ended.";
    if (m == NULL) return;
    r->metrics = m;
    r->ok = metrics_counter(m, name, "result=\"ok\"", help);
    r->errors = metrics_counter(m, name, "result=\"error\"", help);
    r->lost = metrics_counter(m, name, "result=\"lost\"", help);
    r->timeouts = metrics_counter(m, name, "result=\"timeout\"", help);
    r->seconds = metrics_histogram(m, "redis_command_seconds", "", "Time from a Redis command to its reply.");
    r->connected = metrics_gauge(m, "redis_connected", "", "Connections to Redis that are up.");
}

int redis_open(struct redis **out, uv_loop_t *loop, const struct redis_opts *o, struct metrics *m, struct err *e) {
    struct redis_address address;
    int rc = redis_address_parse(&address, o->url, e);
    if (rc < 0) return rc;

    struct redis *r = mem_alloc(sizeof *r);
    r->loop = loop;
    r->address = address;
    r->on_change = o->on_change;
    r->arg = o->arg;
    measure(r, m);
    uv_timer_t *timers[] = {&r->failing, &r->ping};
    for (int i = 0; i < 2; i++) {
        uv_timer_init(loop, timers[i]);
        timers[i]->data = r;
    }
    r->open = 2;
    if (address.cluster)
        redis_cluster_open(r);
    else
        r->lane = redis_lane_open(r, &r->address, "commands", &lane_events, NULL);
    *out = r;
    return 0;
}

void redis_one_closed(struct redis *r) {
    if (--r->open > 0) return;
    deliver_failed(r); /* a callback may ask again, and is refused the same way */
    void (*closed)(void *arg) = r->closed;
    void *arg = r->closed_arg;
    redis_sub_forget(r);
    redis_cluster_free(r);
    redis_address_free(&r->address);
    free(r);
    if (closed) closed(arg);
}

static void on_timer_closed(uv_handle_t *h) {
    redis_one_closed(h->data);
}

void redis_close(struct redis *r, void (*closed)(void *arg), void *arg) {
    struct err e;

    r->closing = true;
    r->closed = closed;
    r->closed_arg = arg;
    if (r->connected) metric_set(r->connected, 0);
    err_set(&e, ERR_CANCELLED, "redis: closed");
    if (r->cluster)
        redis_cluster_close(r, &e);
    else
        redis_lane_close(r->lane, &e);
    redis_sub_close(r);
    uv_close((uv_handle_t *)&r->failing, on_timer_closed);
    uv_close((uv_handle_t *)&r->ping, on_timer_closed);
}
