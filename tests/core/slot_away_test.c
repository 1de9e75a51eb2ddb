/* SPDX-License-Identifier: Apache-2.0 */
/* Slots whose Redis or whose node is away, breaks off, or comes back as another; nodes that are added and removed. */
#include "world_slots.h"

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

TEST(what_is_lost_while_a_worker_settles_is_the_first_loss) {
    lease_ms = 6000;
    open_worker(0, 1);
    struct telephony *t = w[0].telephony;
    UNTIL(t->reached_redis);
    telephony_forgotten(t);
    CHECK(t->held_ms > 0 && !t->hold_told);
    CHECK(t->hold_until_ms >= t->held_ms + (uint64_t)lease_ms);
}

static int refusals(void) {
    char line[256], text[32] = "";
    snprintf(line, sizeof line, "redis-cli -s %s/redis.sock INFO stats | sed -n 's/^total_error_replies://p'",
             server.dir);
    FILE *pipe = popen(line, "r");
    CHECK(pipe != NULL && fgets(text, sizeof text, pipe) != NULL);
    pclose(pipe);
    return atoi(text);
}

TEST(a_redis_that_refuses_a_new_worker_is_asked_ever_more_rarely) {
    redis_cli("CONFIG SET min-replicas-to-write 1"); /* there is none */
    int before = refusals();
    open_worker(0, 1);
    RUN_FOR(LEASE_MS);
    int asked = refusals() - before;
    CHECK(!telephony_is_announced(w[0].telephony));
    redis_cli("CONFIG SET min-replicas-to-write 0");
    CHECK(asked > 1 && asked < 20);
    UNTIL(owned(&w[0]) == 1);
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
    const struct CMUnitTest tests[] = {
        FRESH(without_redis_slots_stay_and_an_empty_one_gets_the_leases_again),
        FRESH(a_connection_that_breaks_between_two_polls_holds_too),
        FRESH(what_is_lost_while_a_worker_settles_is_the_first_loss),
        FRESH(a_redis_that_refuses_a_new_worker_is_asked_ever_more_rarely),
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
