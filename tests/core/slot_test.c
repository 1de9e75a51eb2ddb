/* SPDX-License-Identifier: Apache-2.0 */
/* Who has which slot: taken, shared, given, stolen, and after a pause. */
#include "world_slots.h"

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
    lease_ms = 6000; /* no pause of a busy machine outlives it */
    for (int i = 0; i < 3; i++) open_worker_with(&w[i], 9);
    UNTIL(owned(&w[0]) + owned(&w[1]) + owned(&w[2]) == 9);
    for (int i = 0; i < 3; i++) {
        CHECK_INT(3, owned(&w[i]));
        CHECK_INT(0, w[i].lost[SLOT_GIVEN] + w[i].lost[SLOT_STOLEN] + w[i].lost[SLOT_EXPIRED] +
                         w[i].lost[SLOT_DISCONNECTED]);
    }
}

TEST(what_was_seen_before_the_others_had_come_is_not_acted_upon) {
    lease_ms = 6000;
    open_worker_with(&w[0], 9);
    while (!redis_connected(w[0].redis) || w[0].telephony->polls == 0) uv_run(&loop, UV_RUN_ONCE);
    uv_run(&loop, UV_RUN_NOWAIT); /* it is asked, and answered while the loop stands still */
    usleep(200 * 1000);
    redis_cli("ZADD t:owners 4000000000000000 ghost-1-1");
    UNTIL(owned(&w[0]) >= 5);
    RUN_FOR(300);
    CHECK_INT(5, owned(&w[0]));
    CHECK_INT(0, w[0].lost[SLOT_GIVEN]);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        FRESH(a_lone_worker_takes_every_slot_and_gets_its_own_channels),
        FRESH(sixteen_slots_share_their_listings),
        FRESH(a_second_worker_gets_its_share_one_slot_at_a_time),
        FRESH(a_dead_workers_slots_are_taken_at_once_when_the_master_says_so),
        FRESH(a_dead_workers_slots_are_taken_when_nobody_says_so_after_the_lease),
        FRESH(three_workers_that_start_together_share_without_a_fight),
        FRESH(what_was_seen_before_the_others_had_come_is_not_acted_upon),
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
    };
    return cmocka_run_group_tests(tests, start, stop);
}
