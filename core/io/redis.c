/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and their replies. Replies come in the order of the commands, so a list is all the book-keeping there is;
 * it also means that one command without an answer makes all behind it unsure, which is why a timeout gives the
 * whole connection up. */
#include "io/redis.h"
#include "base/log.h"
#include "base/mem.h"
#include "io/redis_own.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { TIMEOUT_MS = 1000, WAITING_MAX = 200000, UNSENT_MAX = 64 * 1024 * 1024 };

static void count(struct metric *s, double n) {
    if (s) metric_add(s, n);
}

static void push(struct redis_list *list, struct redis_command *c) {
    c->next = NULL;
    if (list->head)
        list->tail->next = c;
    else
        list->head = c;
    list->tail = c;
}

static struct redis_command *pop(struct redis_list *list) {
    struct redis_command *c = list->head;
    if (c) list->head = c->next;
    return c;
}

/* -- failures ------------------------------------------------------------------------------------------------- */

static void deliver_failed(struct redis *r) {
    struct redis_command *c;
    while ((c = pop(&r->failed)) != NULL) {
        if (c->cb) c->cb(c->arg, NULL, &c->failed);
        free(c);
    }
}

static void on_failing(uv_timer_t *t) {
    deliver_failed(t->data);
}

static void fail(struct redis *r, struct redis_command *c, const struct err *why) {
    c->failed = *why;
    push(&r->failed, c);
    count(why->code == ERR_TIMEOUT ? r->timeouts : r->lost, 1);
    if (!r->closing && !uv_is_active((uv_handle_t *)&r->failing)) uv_timer_start(&r->failing, on_failing, 0, 0);
}

static void fail_all(struct redis *r, const struct err *why) {
    struct redis_command *c;
    while ((c = pop(&r->waiting)) != NULL) fail(r, c, why);
    r->waiting_count = 0;
    uv_timer_stop(&r->deadline);
}

/* -- deadlines ------------------------------------------------------------------------------------------------ */

static void on_deadline(uv_timer_t *t);

/* One timer for all, set for the earliest. It is not moved when that one is answered, only looked at when it rings. */
static void deadline_set(struct redis *r, uint64_t at_ms) {
    uint64_t now = uv_now(r->loop);
    uv_timer_start(&r->deadline, on_deadline, at_ms > now ? at_ms - now : 1, 0);
}

static void on_deadline(uv_timer_t *t) {
    struct redis *r = t->data;
    uint64_t now = uv_now(r->loop), earliest = UINT64_MAX;
    bool expired = false;

    for (struct redis_command *c = r->waiting.head; c; c = c->next) {
        if (c->deadline_ms <= now) expired = true;
        if (c->deadline_ms < earliest) earliest = c->deadline_ms;
    }
    if (!expired) {
        r->late = false;
        if (r->waiting.head) deadline_set(r, earliest);
        return;
    }
    /* The loop itself may have stood still while the reply lay in the socket: read once more before judging. */
    if (!r->late) {
        r->late = true;
        deadline_set(r, 0);
        return;
    }
    r->late = false;

    struct err timeout, lost;
    err_set(&timeout, ERR_TIMEOUT, "redis: no answer in time");
    err_set(&lost, ERR_CLOSED, "redis: the connection was given up, an earlier command had no answer");
    struct redis_command *c;
    while ((c = pop(&r->waiting)) != NULL) fail(r, c, c->deadline_ms <= now ? &timeout : &lost);
    r->waiting_count = 0;
    redis_link_replace(r->commands, &timeout);
}

/* -- the link's events ---------------------------------------------------------------------------------------- */

static void on_up(void *arg) {
    struct redis *r = arg;
    if (r->connected) metric_set(r->connected, 1);
    if (r->on_change) r->on_change(r->arg, true);
}

static void on_down(void *arg, const struct err *e) {
    struct redis *r = arg;
    fail_all(r, e);
    if (r->connected) metric_set(r->connected, 0);
    if (r->on_change) r->on_change(r->arg, false);
}

static void on_reply(void *arg, const redisReply *reply) {
    struct redis *r = arg;
    struct redis_command *c = pop(&r->waiting);
    struct err e;

    if (c == NULL) { /* e.g. an error the server sends before it closes the connection */
        err_set(&e, ERR_PROTOCOL, "redis: a reply nobody asked for: %s",
                reply->type == REDIS_REPLY_ERROR ? reply->str : "not an error");
        redis_link_replace(r->commands, &e);
        return;
    }
    r->waiting_count--;
    if (r->seconds) metric_observe(r->seconds, (double)(uv_hrtime() - c->sent_ns) / 1e9);
    if (reply->type == REDIS_REPLY_ERROR) {
        count(r->errors, 1);
        err_set(&e, ERR_INVALID, "redis: %s", reply->str);
        if (c->cb) c->cb(c->arg, reply, &e);
    } else {
        count(r->ok, 1);
        if (c->cb) c->cb(c->arg, reply, NULL);
    }
    free(c);
}

static const struct redis_link_events command_events = {on_up, on_reply, on_down};

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
    else if (!redis_link_up(r->commands))
        err_set(e, ERR_CLOSED, "redis: not connected");
    else if (r->waiting_count >= WAITING_MAX || redis_link_unsent(r->commands) >= UNSENT_MAX)
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
        fail(r, c, &e);
        goto free_measured;
    }
    c->sent_ns = uv_hrtime();
    c->deadline_ms = uv_now(r->loop) + (uint64_t)(timeout_ms > 0 ? timeout_ms : TIMEOUT_MS);
    redis_link_send(r->commands, argc, argv, lens);
    push(&r->waiting, c);
    r->waiting_count++;
    if (!uv_is_active((uv_handle_t *)&r->deadline) ||
        c->deadline_ms < uv_now(r->loop) + uv_timer_get_due_in(&r->deadline))
        deadline_set(r, c->deadline_ms);
free_measured:
    free(measured);
}

bool redis_connected(const struct redis *r) {
    return !r->closing && redis_link_up(r->commands);
}

/* -- open and close ------------------------------------------------------------------------------------------- */

static void measure(struct redis *r, struct metrics *m) {
    static const char name[] = "redis_commands_total", help[] = "Redis commands by how they ended.";
    if (m == NULL) return;
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
    uv_timer_t *timers[] = {&r->failing, &r->deadline, &r->ping};
    for (int i = 0; i < 3; i++) {
        uv_timer_init(loop, timers[i]);
        timers[i]->data = r;
    }
    r->commands = redis_link_open(loop, &r->address, "commands", &command_events, r);
    r->open = 4;
    *out = r;
    return 0;
}

void redis_one_closed(struct redis *r) {
    if (--r->open > 0) return;
    deliver_failed(r); /* a callback may ask again, and is refused the same way */
    void (*closed)(void *arg) = r->closed;
    void *arg = r->closed_arg;
    redis_sub_forget(r);
    redis_address_free(&r->address);
    free(r);
    if (closed) closed(arg);
}

static void on_timer_closed(uv_handle_t *h) {
    redis_one_closed(h->data);
}
static void on_link_closed(void *arg) {
    redis_one_closed(arg);
}

void redis_close(struct redis *r, void (*closed)(void *arg), void *arg) {
    struct err e;

    r->closing = true;
    r->closed = closed;
    r->closed_arg = arg;
    if (r->connected) metric_set(r->connected, 0);
    err_set(&e, ERR_CANCELLED, "redis: closed");
    fail_all(r, &e);
    redis_link_close(r->commands, on_link_closed);
    redis_sub_close(r);
    uv_close((uv_handle_t *)&r->failing, on_timer_closed);
    uv_close((uv_handle_t *)&r->deadline, on_timer_closed);
    uv_close((uv_handle_t *)&r->ping, on_timer_closed);
}
