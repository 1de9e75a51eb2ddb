/* SPDX-License-Identifier: Apache-2.0 */
/* Slots: workers of one loop, a Redis of their own and an Asterisk that does as it is told.
 *
 * Leases are 900 ms here unless a test needs longer ones, so a tick is 300 ms; what is awaited is awaited with a limit and never
 * slept for. */
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

static void note(struct worker *worker, char c) {
    size_t len = strlen(worker->order);
    if (len + 1 < sizeof worker->order) worker->order[len] = c;
}

static void on_ready(void *arg, struct slot *s, bool first, const char *predecessor, const json_t *channels,
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
static void on_lost(void *arg, struct slot *s, enum slot_lost why) {
    struct worker *worker = arg;
    CHECK(slot_fence(s) > 0);
    worker->lost[why]++;
    note(worker, 'l');
}
static void on_giving(void *arg, struct slot *s) {
    struct worker *worker = arg;
    worker->giving++;
    note(worker, 'g');
    if (worker->hold_flush)
        worker->to_flush = s;
    else
        slot_flushed(s);
}
static void on_worker_event(void *arg, struct slot *s, const json_t *event) {
    struct worker *worker = arg;
    (void)s;
    worker->events++;
    snprintf(worker->last_event, sizeof worker->last_event, "%s",
             json_string_value(json_object_get(json_object_get(event, "channel"), "id")));
    note(worker, 'e');
}

static void open_worker_with(struct worker *worker, int slots) {
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

static void on_closed(void *arg) {
    *(bool *)arg = true;
}

static int owned(struct worker *worker) {
    int count = 0;
    if (worker->telephony == NULL) return 0;
    json_t *all = telephony_status(worker->telephony), *one;
    size_t i;
    json_array_foreach(all, i, one) count += json_is_true(json_object_get(one, "mine")) &&
                                             strcmp(json_string_value(json_object_get(one, "state")), "ready") == 0;
    json_decref(all);
    return count;
}

static void close_worker(struct worker *worker) {
    if (worker->telephony == NULL) return;
    telephony_close(worker->telephony, on_closed, &worker->closed);
    worker->telephony = NULL;
    UNTIL(worker->closed);
    worker->closed = false;
    redis_close(worker->redis, on_closed, &worker->closed);
    UNTIL(worker->closed);
}

static void redis_cli(const char *command) {
    char line[512];
    snprintf(line, sizeof line, "redis-cli -s %s/redis.sock %s >/dev/null", server.dir, command);
    CHECK_INT(0, system(line));
}

static void open_worker(int i, int slots) {
    open_worker_with(&w[i], slots);
    UNTIL(redis_connected(w[i].redis));
}

static struct slot *slot_of(int i, const char *name) {
    struct slot *s = telephony_slot(w[i].telephony, name);
    CHECK(s != NULL);
    return s;
}

/* -- one answer ---------------------------------------------------------------------------------------------------------- */

static struct { int count, status, code; } answer;
static void on_answer(void *arg, int status, const json_t *body, const struct err *e) {
    (void)arg, (void)body;
    answer.count++;
    answer.status = status;
    answer.code = e ? e->code : 0;
}
static void request(struct slot *s) {
    memset(&answer, 0, sizeof answer);
    slot_request(s, "POST", "/channels/x/ring", NULL, on_answer, NULL);
    CHECK_INT(0, answer.count);
    UNTIL(answer.count == 1);
}

/* -- the world ----------------------------------------------------------------------------------------------------------- */

static int start(void **state) {
    (void)state;
    struct err e;
    if (uv_loop_init(&loop) < 0 || !private_redis_start(&server)) return -1;
    if (metrics_open(&metrics, -1, 1, 0, &e) < 0 || net_open(&net, &loop, metrics, &e) < 0) return -1;
    return 0;
}

static int stop(void **state) {
    (void)state;
    bool closed = false;
    net_close(net, on_closed, &closed);
    while (!closed) uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_DEFAULT);
    metrics_close(metrics);
    private_redis_stop(&server);
    return uv_loop_close(&loop) ? -1 : 0;
}

static int begin(void **state) {
    (void)state;
    redis_cli("FLUSHALL");
    fake_start(&fake, net);
    lease_ms = LEASE_MS;
    return 0;
}

static int end(void **state) {
    (void)state;
    for (int i = 0; i < WORKERS; i++) close_worker(&w[i]);
    fake_free(&fake, &loop);
    return 0;
}

/* -- taking -------------------------------------------------------------------------------------------------------------- */

TEST(a_lone_worker_takes_every_slot_and_gets_its_own_channels) {
    fake_add_channel(&fake, "c1", "parley-1,tr-a,100");
    fake_add_channel(&fake, "c2", "parley-2,tr-a,100");
    fake_add_channel(&fake, "pm-leg-1f", "parley-1,media");
    json_array_append_new(fake.bridges, json_pack("{s:s, s:s}", "id", "pb-leg", "name", "parley-1"));
    json_array_append_new(fake.bridges, json_pack("{s:s, s:s}", "id", "pb-other", "name", "parley-11"));
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    CHECK_INT(1, w[0].first);
    CHECK_INT(2, w[0].channels);
    CHECK_INT(1, w[0].bridges);
    CHECK_STR("", w[0].predecessor);
    CHECK_STR("parley-1", slot_app(slot_of(0, "n1.1")));
    CHECK_STR("n1", slot_node(slot_of(0, "n1.1")));
    CHECK(strstr(slot_boot(slot_of(0, "n1.1")), fake.boot) != NULL);
    CHECK(telephony_slot(w[0].telephony, "n1.2") == NULL);
    request(slot_of(0, "n1.1"));
    CHECK_INT(204, answer.status);
}

TEST(sixteen_slots_share_their_listings) {
    open_worker(0, 16);
    UNTIL(owned(&w[0]) == 16);
    CHECK_INT(16, w[0].first);
    CHECK(fake.listings < 16);
}

TEST(a_second_worker_gets_its_share_one_slot_at_a_time) {
    open_worker(0, 6);
    UNTIL(owned(&w[0]) == 6);
    slot_set_calls(slot_of(0, "n1.1"), 3);
    for (int i = 2; i <= 5; i++) slot_set_calls(slot_of(0, (char[]){'n', '1', '.', (char)('0' + i), 0}), 2);
    open_worker(1, 6);
    UNTIL(owned(&w[1]) == 1);
    CHECK(telephony_slot(w[1].telephony, "n1.6") != NULL); /* the one without calls went first */
    CHECK_STR(w[0].owner, w[1].predecessor);
    UNTIL(owned(&w[1]) == 2);
    RUN_FOR(LEASE_MS);
    CHECK_INT(4, owned(&w[0])); /* one above its quota of three is left as it is */
    CHECK_INT(2, w[0].lost[SLOT_GIVEN]);
    CHECK_INT(2, w[0].giving);
    CHECK_INT(0, w[0].lost[SLOT_STOLEN] + w[0].lost[SLOT_EXPIRED] + w[0].lost[SLOT_DISCONNECTED]);
}

TEST(a_dead_workers_slots_are_taken_at_once_when_the_master_says_so) {
    open_worker(0, 4);
    UNTIL(owned(&w[0]) == 4);
    open_worker(1, 4);
    UNTIL(owned(&w[1]) == 1);
    char dead[32];
    snprintf(dead, sizeof dead, "%s", w[0].owner);
    close_worker(&w[0]);
    uint64_t told = clock_mono_ms();
    telephony_owner_died(w[1].telephony, dead);
    UNTIL(owned(&w[1]) == 4);
    CHECK(clock_mono_ms() - told < LEASE_MS / 2);
    CHECK_STR(dead, w[1].predecessor);
}

TEST(a_dead_workers_slots_are_taken_when_nobody_says_so_after_the_lease) {
    open_worker(0, 2);
    UNTIL(owned(&w[0]) == 2);
    int64_t fence = slot_fence(slot_of(0, "n1.2"));
    close_worker(&w[0]);
    open_worker(1, 2);
    UNTIL(owned(&w[1]) == 2);
    CHECK(slot_fence(slot_of(1, "n1.2")) > fence);
}

TEST(three_workers_that_start_together_share_without_a_fight) {
    for (int i = 0; i < 3; i++) open_worker_with(&w[i], 9);
    UNTIL(owned(&w[0]) + owned(&w[1]) + owned(&w[2]) == 9);
    /* Who was seen late on a busy machine is given one or two; nothing is taken from anybody. */
    for (int i = 0; i < 3; i++) UNTIL(owned(&w[i]) <= 4);
    UNTIL(owned(&w[0]) + owned(&w[1]) + owned(&w[2]) == 9);
    CHECK(w[0].lost[SLOT_GIVEN] + w[1].lost[SLOT_GIVEN] + w[2].lost[SLOT_GIVEN] <= 2);
    for (int i = 0; i < 3; i++)
        CHECK_INT(0, w[i].lost[SLOT_STOLEN] + w[i].lost[SLOT_EXPIRED] + w[i].lost[SLOT_DISCONNECTED]);
}

/* -- giving -------------------------------------------------------------------------------------------------------------- */

static void on_drained(void *arg, int left) {
    struct worker *worker = arg;
    worker->drained++;
    worker->left = left;
}

TEST(a_drain_gives_everything_before_the_old_connection_goes) {
    open_worker(0, 2);
    UNTIL(owned(&w[0]) == 2);
    open_worker(1, 2);
    UNTIL(w[1].telephony->owners.count == 2 && w[0].telephony->owners.count == 2);
    telephony_drain(w[0].telephony, on_drained, &w[0]);
    UNTIL(w[0].drained == 1);
    CHECK_INT(0, w[0].left);
    UNTIL(owned(&w[1]) == 2);
    CHECK_INT(2, w[0].lost[SLOT_GIVEN]);
    CHECK_STR("rrglgl", w[0].order);
    CHECK_STR(w[0].owner, w[1].predecessor);
}

TEST(a_successor_holds_events_back_until_the_giver_has_written) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    w[0].hold_flush = true;
    open_worker(1, 1);
    UNTIL(w[1].telephony->owners.count == 2 && w[0].telephony->owners.count == 2);
    struct fake_session *giver = fake.sessions;
    telephony_drain(w[0].telephony, on_drained, &w[0]);
    UNTIL(w[0].to_flush != NULL);
    CHECK(fake.sessions != giver && fake.sessions->current && giver->ws); /* both are connected */
    fake_event(&fake, "parley-1", "ChannelDtmfReceived", "c-early");
    RUN_FOR(60);
    CHECK_INT(0, w[1].ready + w[1].events);
    memset(&answer, 0, sizeof answer);
    slot_request(w[0].to_flush, "POST", "/channels/x/ring", NULL, on_answer, NULL);
    UNTIL(answer.count == 1);
    CHECK_INT(ERR_STALE, answer.code);
    slot_flushed(w[0].to_flush);
    CHECK_INT(1, w[0].lost[SLOT_GIVEN]);
    UNTIL(w[1].events == 1);
    CHECK_STR("re", w[1].order);
    CHECK_STR("c-early", w[1].last_event);
}

TEST(a_successor_waits_half_a_second_for_a_giver_that_never_writes) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    w[0].hold_flush = true;
    open_worker(1, 1);
    UNTIL(w[1].telephony->owners.count == 2 && w[0].telephony->owners.count == 2);
    telephony_drain(w[0].telephony, on_drained, &w[0]);
    UNTIL(w[0].to_flush != NULL);
    uint64_t since = clock_mono_ms();
    UNTIL(owned(&w[1]) == 1);
    CHECK(clock_mono_ms() - since >= 400);
    UNTIL(w[0].drained == 1); /* nor does the giver wait for ever */
}

TEST(a_drain_with_nobody_there_frees_the_slots_and_says_how_many) {
    open_worker(0, 3);
    UNTIL(owned(&w[0]) == 3);
    telephony_drain(w[0].telephony, on_drained, &w[0]);
    UNTIL(w[0].drained == 1);
    CHECK_INT(3, w[0].left);
    CHECK_INT(3, w[0].giving);
    close_worker(&w[0]);
    uint64_t since = clock_mono_ms();
    open_worker(1, 3);
    UNTIL(owned(&w[1]) == 3);
    CHECK(clock_mono_ms() - since < LEASE_MS);
}

TEST(a_drain_without_redis_ends_all_the_same) {
    open_worker(0, 2);
    UNTIL(owned(&w[0]) == 2);
    private_redis_kill(&server);
    telephony_drain(w[0].telephony, on_drained, &w[0]);
    UNTIL(w[0].drained == 1);
    CHECK_INT(2, w[0].left);
    CHECK(private_redis_run(&server));
}

static bool offers_one(int slots) {
    char name[24];
    for (int i = 1; i <= slots; i++) {
        snprintf(name, sizeof name, "n1.%d", i);
        if (slot_of(0, name)->successor[0]) return true;
    }
    return false;
}

TEST(a_successor_that_does_not_come_leaves_the_slot_where_it_was) {
    open_worker(0, 4);
    UNTIL(owned(&w[0]) == 4);
    /* Alive by its heartbeat, but it never looks. */
    redis_cli("ZADD t:owners 4000000000000000 ghost-1-1");
    UNTIL(offers_one(4));
    redis_cli("ZREM t:owners ghost-1-1");
    UNTIL(!offers_one(4));
    CHECK_INT(4, owned(&w[0]));
    CHECK_INT(0, w[0].giving);
    request(slot_of(0, "n1.1"));
    CHECK_INT(204, answer.status);
}

/* -- thieves ------------------------------------------------------------------------------------------------------------- */

static void on_thief_open(void *arg) {
    *(bool *)arg = true;
}
static void on_thief_message(void *arg, const char *text, size_t len) {
    (void)arg, (void)text, (void)len;
}
static void on_thief_close(void *arg, const struct err *e) {
    (void)e;
    *(bool *)arg = false;
}
static struct ws_client *steal(bool *in) {
    char url[128];
    snprintf(url, sizeof url, "ws://127.0.0.1:%d/ari/events?app=parley-1", fake.port);
    struct ws_client_opts o = {.url = url,
                               .user = "parley",
                               .password = "secret",
                               .on_open = on_thief_open,
                               .on_message = on_thief_message,
                               .on_close = on_thief_close,
                               .arg = in};
    return ws_client_open(net, &o);
}

TEST(who_is_replaced_but_has_the_lease_dials_in_again) {
    struct metric *stolen = metrics_counter(metrics, "ari_stolen_total", "", "");
    double before = metric_value(stolen);
    bool in = false;
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    int64_t fence = slot_fence(slot_of(0, "n1.1"));
    struct ws_client *thief = steal(&in);
    UNTIL(w[0].lost[SLOT_DISCONNECTED] == 1);
    CHECK(metric_value(stolen) == before + 1);
    CHECK(!slot_ready(slot_of(0, "n1.1")));
    UNTIL(w[0].first == 2);
    CHECK_STR(w[0].owner, w[0].predecessor);
    CHECK(slot_fence(slot_of(0, "n1.1")) == fence);
    ws_client_close(thief, 1000);
    UNTIL(!in);
}

TEST(who_is_replaced_and_has_lost_the_lease_drops_its_calls) {
    bool in = false;
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    struct slot *s = slot_of(0, "n1.1");
    redis_cli("HSET 't:slot:{n1.1}' owner ghost-1-1 fence 4000000000000000 until 4000000000000000");
    struct ws_client *thief = steal(&in);
    UNTIL(w[0].lost[SLOT_STOLEN] + w[0].lost[SLOT_EXPIRED] == 1);
    CHECK(!slot_is_ours(s));
    request(s);
    CHECK_INT(ERR_STALE, answer.code);
    ws_client_close(thief, 1000);
    UNTIL(!in);
}

TEST(a_lease_that_is_anothers_ends_ownership_at_the_next_tick) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    redis_cli("HSET 't:slot:{n1.1}' owner ghost-1-1 fence 4000000000000000 until 4000000000000000");
    UNTIL(w[0].lost[SLOT_EXPIRED] == 1);
    UNTIL(fake.sessions == NULL);
}

/* -- silence after a pause ------------------------------------------------------------------------------------------------- */

TEST(after_a_pause_nothing_is_sent_until_the_lease_is_confirmed) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    struct slot *s = slot_of(0, "n1.1");
    json_array_clear(fake.log);
    usleep((LEASE_MS / 3 + 50) * 1000); /* the pause itself */
    CHECK(!slot_ready(s));
    request(s);
    CHECK_INT(ERR_STALE, answer.code);
    CHECK_INT(0, json_array_size(fake.log));
    UNTIL(slot_ready(s));
    request(s);
    CHECK_INT(204, answer.status);
}

TEST(after_a_pause_longer_than_the_lease_the_new_owner_is_left_alone) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    struct slot *s = slot_of(0, "n1.1");
    int handshakes = fake.handshakes;
    redis_cli("HSET 't:slot:{n1.1}' owner ghost-1-1 fence 4000000000000000 until 4000000000000000");
    json_array_clear(fake.log);
    usleep((LEASE_MS / 3 + 50) * 1000);
    slot_request(s, "POST", "/channels/x/ring", NULL, on_answer, NULL);
    UNTIL(w[0].lost[SLOT_EXPIRED] == 1);
    CHECK_INT(0, json_array_size(fake.log));
    CHECK_INT(handshakes, fake.handshakes);
}

/* -- Redis away ------------------------------------------------------------------------------------------------------------ */

TEST(without_redis_slots_stay_and_an_empty_one_gets_the_leases_again) {
    open_worker(0, 2);
    UNTIL(owned(&w[0]) == 2);
    struct slot *s = slot_of(0, "n1.1");
    int64_t fence = slot_fence(s);
    private_redis_kill(&server);
    UNTIL(w[0].telephony->lost_redis);
    RUN_FOR(LEASE_MS + 100);
    request(s);
    CHECK_INT(204, answer.status);
    fake_event(&fake, "parley-1", "ChannelDtmfReceived", "c1");
    UNTIL(w[0].events == 1);
    CHECK(private_redis_run(&server));
    UNTIL(!w[0].telephony->lost_redis);
    RUN_FOR(LEASE_MS / 2);
    CHECK_INT(2, owned(&w[0]));
    CHECK(slot_fence(s) == fence);
    char line[256];
    snprintf(line, sizeof line, "redis-cli -s %s/redis.sock HGET 't:slot:{n1.1}' owner | grep -q %s", server.dir,
             w[0].owner);
    CHECK_INT(0, system(line));
    CHECK_INT(0, w[0].lost[0] + w[0].lost[1] + w[0].lost[2] + w[0].lost[3]);
}

TEST(a_connection_that_breaks_between_two_polls_holds_too) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    UNTIL(clock_mono_ms() > w[0].telephony->hold_until_ms);
    uint64_t before = w[0].telephony->hold_until_ms;
    redis_cli("CLIENT KILL TYPE normal");
    UNTIL(w[0].telephony->hold_until_ms > before);
    CHECK_INT(1, owned(&w[0]));
}

/* A tick is a third of a lease: who waited for the next one would leave a slot, and the calls in it, alone for so long. */
TEST(what_is_free_when_a_hold_ends_is_taken_then_and_not_a_tick_later) {
    struct err e;
    lease_ms = 4500;
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    struct telephony *t = w[0].telephony;
    struct telephony_node more = {"n2", fake.url, "parley", "secret"};
    int tick = lease_ms / 3, due = (int)uv_timer_get_due_in(&t->tick);
    RUN_FOR((due + tick / 2) % tick); /* to the middle between two */
    telephony_forgotten(t);
    CHECK_INT(0, telephony_add_node(t, &more, &e));
    UNTIL(telephony_slot(t, "n2.1") != NULL);
    uint64_t now = clock_mono_ms();
    CHECK(now >= t->hold_until_ms);
    CHECK(now - t->hold_until_ms < (uint64_t)tick / 3);
}

TEST(an_emptied_redis_gives_nobody_the_slots_of_another) {
    open_worker(0, 4);
    open_worker(1, 4);
    UNTIL(owned(&w[0]) + owned(&w[1]) == 4 && owned(&w[0]) > 0 && owned(&w[1]) > 0);
    RUN_FOR(LEASE_MS / 2); /* each has looked at the other's */
    for (int i = 0; i < 3; i++) {
        redis_cli("FLUSHALL");
        RUN_FOR(LEASE_MS / 2);
    }
    RUN_FOR(LEASE_MS);
    CHECK_INT(4, owned(&w[0]) + owned(&w[1]));
    for (int i = 0; i < 2; i++)
        CHECK_INT(0, w[i].lost[SLOT_STOLEN] + w[i].lost[SLOT_EXPIRED] + w[i].lost[SLOT_DISCONNECTED]);
}

/* -- connections and nodes ------------------------------------------------------------------------------------------------- */

TEST(a_lost_connection_comes_back_and_what_was_asked_is_told_to_be_unknown) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    fake.swallow = 1;
    memset(&answer, 0, sizeof answer);
    slot_request(slot_of(0, "n1.1"), "POST", "/channels/x/ring", NULL, on_answer, NULL);
    UNTIL(fake.swallow == 0);
    ws_close(fake.sessions->ws, 1001, "bye");
    UNTIL(answer.count == 1);
    CHECK_INT(ERR_CLOSED, answer.code);
    CHECK_INT(1, w[0].lost[SLOT_DISCONNECTED]);
    UNTIL(owned(&w[0]) == 1);
    CHECK_INT(2, w[0].first);
}

TEST(an_answer_that_never_comes_is_a_timeout_and_a_late_one_is_counted) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    w[0].telephony->hub.timeout_ms = 100;
    fake.swallow = 1;
    request(slot_of(0, "n1.1"));
    CHECK_INT(ERR_TIMEOUT, answer.code);
    fake_answer(fake.sessions, "4", 204, NULL);
    fake_answer(fake.sessions, "999", 204, NULL);
    UNTIL(w[0].telephony->hub.unknown_count == 2);
    request(slot_of(0, "n1.1"));
    CHECK_INT(204, answer.status);
}

TEST(rubbish_from_a_node_is_left_aside) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    ws_send(fake.sessions->ws, "rubbish", 7, NULL);
    ws_send(fake.sessions->ws, "[1]", 3, NULL);
    ws_send(fake.sessions->ws, "{\"type\":7}", 10, NULL);
    ws_send(fake.sessions->ws, "{\"type\":\"RESTResponse\",\"request_id\":\"-1\"}", 41, NULL);
    fake_event(&fake, "parley-1", "StasisStart", "c1");
    UNTIL(w[0].events == 1);
    CHECK_STR("c1", w[0].last_event);
}

TEST(a_node_that_refuses_is_tried_again) {
    fake.refuse = 2;
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    CHECK_INT(3, fake.handshakes);
}

TEST(a_slot_that_hears_no_event_is_dialled_in_again) {
    fake.deaf = true;
    open_worker(0, 1);
    UNTIL(fake.handshakes >= 2);
    fake.deaf = false;
    int dialled = fake.handshakes;
    RUN_FOR(1000);
    CHECK(fake.handshakes <= dialled + 1);
    CHECK_INT(1, owned(&w[0]));
}

/* Where the answer has come, an event is not far behind: nobody is left for a whole proof's time with a socket that is deaf. On a
 * node that was taken for deaf before, it may be further. */
TEST(a_deaf_socket_is_known_soon_after_its_answer_and_later_each_time) {
    uint64_t took[3];
    lease_ms = 12000; /* a proof without any answer takes a quarter of it */
    fake.deaf = true;
    open_worker(0, 1);
    for (int n = 0; n < 3; n++) {
        UNTIL(fake.handshakes == n + 1);
        uint64_t dialled = clock_mono_ms();
        UNTIL(slot_of(0, "n1.1")->deafs == n + 1);
        took[n] = clock_mono_ms() - dialled;
        CHECK(took[n] < (uint64_t)lease_ms / 8);
    }
    CHECK(took[0] >= 200 && took[1] >= 400 && took[2] >= 800);
    fake.deaf = false;
    UNTIL(owned(&w[0]) == 1 && slot_of(0, "n1.1")->deafs == 0);
}

TEST(a_node_that_restarts_is_another_boot) {
    char before[96];
    open_worker(0, 2);
    UNTIL(owned(&w[0]) == 2);
    snprintf(before, sizeof before, "%s", slot_boot(slot_of(0, "n1.1")));
    fake_stop(&fake, &loop);
    UNTIL(w[0].lost[SLOT_DISCONNECTED] == 2);
    RUN_FOR(300); /* refused in the meantime */
    fake_start(&fake, net);
    UNTIL(owned(&w[0]) == 2);
    CHECK_INT(4, w[0].first);
    CHECK(strcmp(before, slot_boot(slot_of(0, "n1.1"))) != 0);
}

TEST(a_listing_that_fails_is_made_again) {
    fake.listing_fails = 1;
    open_worker(0, 3);
    UNTIL(owned(&w[0]) == 3);
}

TEST(an_outbound_call_goes_to_the_slot_with_fewest) {
    open_worker(0, 3);
    UNTIL(owned(&w[0]) == 3);
    slot_set_calls(slot_of(0, "n1.1"), 2);
    slot_set_calls(slot_of(0, "n1.3"), 1);
    CHECK_STR("n1.2", slot_name(telephony_pick(w[0].telephony, NULL)));
    CHECK_STR("n1.2", slot_name(telephony_pick(w[0].telephony, "n1")));
    CHECK(telephony_pick(w[0].telephony, "n2") == NULL);
}

TEST(nodes_are_added_once_and_checked) {
    struct err e;
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    struct telephony_node same = {"n1", fake.url, "parley", "secret"}, bad = {"N 1", fake.url, "parley", "secret"},
                          web = {"n2", "ftp://x", "parley", "secret"}, more = {"n2", fake.url, "parley", "secret"};
    CHECK_INT(ERR_EXISTS, telephony_add_node(w[0].telephony, &same, &e));
    CHECK_INT(ERR_INVALID, telephony_add_node(w[0].telephony, &bad, &e));
    CHECK_INT(ERR_INVALID, telephony_add_node(w[0].telephony, &web, &e));
    CHECK_INT(0, telephony_add_node(w[0].telephony, &more, &e));
    UNTIL(telephony_slot(w[0].telephony, "n2.1") != NULL);
}

TEST(a_removed_node_is_left_after_its_last_call_and_comes_back) {
    struct err e;
    struct telephony_node same = {"n1", fake.url, "parley", "secret"};
    open_worker(0, 3);
    UNTIL(owned(&w[0]) == 3);
    slot_set_calls(slot_of(0, "n1.2"), 1);
    CHECK_INT(ERR_NOT_FOUND, telephony_remove_node(w[0].telephony, "n9", &e));
    CHECK_INT(0, telephony_remove_node(w[0].telephony, "n1", &e));
    CHECK(telephony_pick(w[0].telephony, NULL) == NULL);
    UNTIL(owned(&w[0]) == 1);
    /* Its owner dies: another takes the slot for the call that is in it, and only that one. */
    open_worker(1, 3);
    CHECK_INT(0, telephony_remove_node(w[1].telephony, "n1", &e));
    close_worker(&w[0]);
    UNTIL(owned(&w[1]) == 1);
    slot_set_calls(slot_of(1, "n1.2"), 1);
    slot_set_calls(slot_of(1, "n1.2"), 0);
    UNTIL(owned(&w[1]) == 0);
    CHECK_INT(0, telephony_add_node(w[1].telephony, &same, &e));
    UNTIL(owned(&w[1]) == 3);
}

TEST(who_is_cut_off_from_redis_and_node_lets_go_before_another_takes) {
    open_worker(0, 1);
    UNTIL(owned(&w[0]) == 1);
    kill(server.pid, SIGSTOP);
    fake.deaf = true;
    uint64_t began = clock_mono_ms();
    UNTIL(w[0].lost[SLOT_DISCONNECTED] == 1);
    CHECK(clock_mono_ms() - began < LEASE_MS + 200); /* a busy machine is late */
    fake.deaf = false;
    kill(server.pid, SIGCONT);
    UNTIL(owned(&w[0]) == 1);
}

int main(void) {
#define FRESH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        FRESH(a_lone_worker_takes_every_slot_and_gets_its_own_channels),
        FRESH(sixteen_slots_share_their_listings),
        FRESH(a_second_worker_gets_its_share_one_slot_at_a_time),
        FRESH(a_dead_workers_slots_are_taken_at_once_when_the_master_says_so),
        FRESH(a_dead_workers_slots_are_taken_when_nobody_says_so_after_the_lease),
        FRESH(three_workers_that_start_together_share_without_a_fight),
        FRESH(a_drain_gives_everything_before_the_old_connection_goes),
        FRESH(a_successor_holds_events_back_until_the_giver_has_written),
        FRESH(a_successor_waits_half_a_second_for_a_giver_that_never_writes),
        FRESH(a_drain_with_nobody_there_frees_the_slots_and_says_how_many),
        FRESH(a_drain_without_redis_ends_all_the_same),
        FRESH(a_successor_that_does_not_come_leaves_the_slot_where_it_was),
        FRESH(who_is_replaced_but_has_the_lease_dials_in_again),
        FRESH(who_is_replaced_and_has_lost_the_lease_drops_its_calls),
        FRESH(a_lease_that_is_anothers_ends_ownership_at_the_next_tick),
        FRESH(after_a_pause_nothing_is_sent_until_the_lease_is_confirmed),
        FRESH(after_a_pause_longer_than_the_lease_the_new_owner_is_left_alone),
        FRESH(without_redis_slots_stay_and_an_empty_one_gets_the_leases_again),
        FRESH(a_connection_that_breaks_between_two_polls_holds_too),
        FRESH(what_is_free_when_a_hold_ends_is_taken_then_and_not_a_tick_later),
        FRESH(an_emptied_redis_gives_nobody_the_slots_of_another),
        FRESH(a_lost_connection_comes_back_and_what_was_asked_is_told_to_be_unknown),
        FRESH(an_answer_that_never_comes_is_a_timeout_and_a_late_one_is_counted),
        FRESH(rubbish_from_a_node_is_left_aside),
        FRESH(a_node_that_refuses_is_tried_again),
        FRESH(a_slot_that_hears_no_event_is_dialled_in_again),
        FRESH(a_deaf_socket_is_known_soon_after_its_answer_and_later_each_time),
        FRESH(a_node_that_restarts_is_another_boot),
        FRESH(a_listing_that_fails_is_made_again),
        FRESH(an_outbound_call_goes_to_the_slot_with_fewest),
        FRESH(nodes_are_added_once_and_checked),
        FRESH(a_removed_node_is_left_after_its_last_call_and_comes_back),
        FRESH(who_is_cut_off_from_redis_and_node_lets_go_before_another_takes),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
