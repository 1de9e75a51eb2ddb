/* SPDX-License-Identifier: Apache-2.0 */
#include "io/redis_link.h"
#include "world_redis.h"
#include "world_redis_client.h"

static void open_redis(void) {
    open_url(world_redis_url);
}

static void open_connected(void) {
    open_connected_to(world_redis_url);
}

TEST(a_url_that_cannot_be_used_is_refused_with_a_reason) {
    static const char *const bad[] = {"",
                                      "http://x:1",
                                      "redis://",
                                      "redis://host",
                                      "redis://host:",
                                      "redis://host:0",
                                      "redis://host:65536",
                                      "redis://:1",
                                      "redis://u:p@h:1",
                                      "redis://:%zz@h:1",
                                      "redis://:%00@h:1",
                                      "redis://h:1/x",
                                      "redis://[::1:6379",
                                      "redis-cluster://",
                                      "redis-cluster://h:1,",
                                      "redis-cluster://h:1,i",
                                      "redis-cluster://h:1/0",
                                      "redis-cluster://h:1,:2",
                                      "unix://relative"};
    struct redis_address a;
    struct err e;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_INT(ERR_INVALID, redis_address_parse(&a, bad[i], &e));
    CHECK_INT(ERR_INVALID, redis_address_parse(&a, "rediss://h:1", &e));
    CHECK(strstr(e.text, "TLS") != NULL);
    CHECK_INT(0, redis_address_parse(&a, "redis://:p%40ss/@[::1]:6380/3", &e));
    CHECK_STR("p@ss/", a.password);
    CHECK_STR("::1", a.host);
    CHECK_INT(6380, a.port);
    CHECK_INT(3, a.db);
    CHECK(!a.cluster);
    redis_address_free(&a);
    CHECK_INT(0, redis_address_parse(&a, "redis-cluster://:p@[::1]:6380,h:1,i:2", &e));
    CHECK(a.cluster);
    CHECK_STR("::1", a.host);
    CHECK_STR("i", a.next->next->host);
    CHECK_INT(2, a.next->next->port);
    CHECK_STR("p", a.next->next->password);
    CHECK(a.next->next->next == NULL);
    redis_address_free(&a);
}

TEST(values_come_back_as_they_went_whatever_bytes_they_hold) {
    const char *set[] = {"SET", "k", "a\0\r\n\xff"}, *get[] = {"GET", "k"};
    const size_t lens[] = {3, 1, 5};
    struct outcome o = {0};
    open_connected();
    CHECK(redis_connected(redis));
    redis_command(redis, 0, 3, set, lens, NULL, NULL); /* nobody listens for this one */
    redis_command(redis, 0, 2, get, NULL, note, &o);
    CHECK_INT(0, o.replies); /* never from inside */
    CHECK(world_turn(&loop, &o.replies, 1, 1000));
    CHECK_INT(5, ask("STRLEN k").integer);
    CHECK_INT(7, ask("INCRBY n 7").integer);
    close_redis();
}

TEST(an_error_reply_is_invalid_with_the_servers_words) {
    open_connected();
    ask("SET text x");
    struct outcome o = ask("INCR text");
    CHECK_INT(ERR_INVALID, o.last_code);
    CHECK(strstr(o.text, "not an integer") != NULL);
    CHECK_INT(1, ask("EXISTS text").integer);
    CHECK_INT(0, downs);
    close_redis();
}

TEST(what_would_harm_the_shared_connection_is_refused) {
    static const char *const bad[] = {
        "SUBSCRIBE x", "blpop q 0", "SELECT 2", "CLIENT REPLY OFF", "XREAD COUNT 1 block 0 STREAMS s 0", "WATCH k"};
    open_connected();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_INT(ERR_INVALID, ask(bad[i]).last_code);
    CHECK_INT(0, ask("XREAD STREAMS block 0").errors); /* there it is a name */
    CHECK_INT(0, ask("PING").errors);
    close_redis();
}

static void note_in_order(void *arg, const redisReply *reply, const struct err *e) {
    struct outcome *o = arg;
    if (e || reply->integer != o->replies + 1) o->wrong++;
    o->replies++;
}

TEST(ten_thousand_commands_in_one_turn_are_answered_in_order) {
    const char *argv[] = {"INCR", "pipelined"};
    struct outcome o = {0};
    open_connected();
    ask("DEL pipelined");
    for (int i = 0; i < 10000; i++) redis_command(redis, 5000, 2, argv, NULL, note_in_order, &o);
    CHECK(world_turn(&loop, &o.replies, 10000, 5000));
    CHECK_INT(10000, o.replies);
    CHECK_INT(0, o.wrong);
    close_redis();
}

TEST(a_command_that_is_not_answered_in_time_ends_and_the_connection_is_replaced) {
    struct outcome slow = {0}, behind = {0};
    open_connected();
    send_words(&slow, 60, "DEBUG SLEEP 0.3");
    send_words(&behind, 5000, "PING");
    CHECK(world_turn(&loop, &slow.errors, 1, 1000));
    CHECK_INT(ERR_TIMEOUT, slow.last_code);
    CHECK(world_turn(&loop, &behind.errors, 1, 1000));
    CHECK_INT(ERR_CLOSED, behind.last_code);
    CHECK_INT(1, downs);
    CHECK(world_turn(&loop, &ups, 2, 3000)); /* after the server has slept */
    struct outcome o = ask("ECHO fresh");
    CHECK_STR("fresh", o.text);
    close_redis();
}

TEST(a_reply_that_waited_while_the_loop_stood_still_is_no_timeout) {
    struct outcome o = {0};
    open_connected();
    send_words(&o, 50, "PING");
    uv_run(&loop, UV_RUN_NOWAIT); /* it leaves */
    usleep(120000);
    CHECK(world_turn(&loop, &o.replies, 1, 1000));
    CHECK_INT(0, o.errors);
    CHECK_INT(0, downs);
    close_redis();
}

TEST(while_the_server_is_away_commands_fail_at_once_and_it_is_found_again) {
    struct outcome lost = {0};
    open_connected();
    send_words(&lost, 5000, "DEBUG SLEEP 5");
    world_turn_for(&loop, 30);
    world_redis_kill();
    CHECK(world_turn(&loop, &downs, 1, 1000));
    CHECK(world_turn(&loop, &lost.errors, 1, 100));
    CHECK_INT(ERR_CLOSED, lost.last_code);
    CHECK(!redis_connected(redis));
    CHECK_INT(1, redis_losses(redis));

    struct outcome away = {0};
    uint64_t began = uv_hrtime();
    send_words(&away, 5000, "PING");
    CHECK(world_turn(&loop, &away.errors, 1, 100));
    CHECK_INT(ERR_CLOSED, away.last_code);
    CHECK((uv_hrtime() - began) / 1000000 < 100);
    world_turn_for(&loop, 100); /* a few attempts fail */

    world_redis_start("");
    CHECK(world_turn(&loop, &ups, 2, 3000));
    CHECK_INT(0, ask("PING").errors);
    CHECK_INT(1, downs);
    CHECK_INT(1, redis_losses(redis));
    close_redis();
}

TEST(a_script_is_sent_whole_once_and_by_its_name_after) {
    struct redis_script script = {.text = "return redis.call('INCRBY', KEYS[1], ARGV[1])"};
    const char *argv[] = {"counter", "5"};
    struct outcome o = {0};
    open_connected();
    ask("SCRIPT FLUSH");
    ask("CONFIG RESETSTAT");
    for (int i = 1; i <= 3; i++) {
        redis_eval(redis, 0, &script, 1, 2, argv, NULL, note, &o);
        CHECK(world_turn(&loop, &o.replies, i, 1000));
        CHECK_INT(5 * i, o.integer);
    }
    CHECK_INT(40, strlen(script.sha));
    struct outcome stat = ask("INFO commandstats");
    CHECK(strstr(stat.text, "cmdstat_eval:calls=1,") != NULL);
    CHECK(strstr(stat.text, "cmdstat_evalsha:calls=3,") != NULL);
    ask("SCRIPT FLUSH"); /* as after a restart */
    redis_eval(redis, 0, &script, 1, 2, argv, NULL, note, &o);
    CHECK(world_turn(&loop, &o.replies, 4, 1000));
    CHECK_INT(20, o.integer);
    CHECK_INT(0, o.errors);

    struct redis_script broken = {.text = "return nonsense("};
    redis_eval(redis, 0, &broken, 0, 0, NULL, NULL, note, &o);
    CHECK(world_turn(&loop, &o.errors, 1, 1000));
    CHECK_INT(ERR_INVALID, o.last_code);
    close_redis();
}

TEST(a_script_that_could_only_be_sent_too_late_costs_no_connection) {
    struct redis_script script = {.text = "return 'late'"};
    struct outcome o = {0}, slow = {0};
    open_connected();
    uv_update_time(&loop);
    send_words(&slow, 2000, "DEBUG SLEEP 0.27");
    redis_eval(redis, 300, &script, 0, 0, NULL, NULL, note, &o);
    CHECK(world_turn(&loop, &o.errors, 1, 1000));
    CHECK_INT(ERR_CLOSED, o.last_code);
    CHECK(strstr(o.text, "in time") != NULL);
    CHECK_INT(1, slow.replies);
    CHECK_INT(0, downs);
    redis_eval(redis, 0, &script, 0, 0, NULL, NULL, note, &o);
    CHECK(world_turn(&loop, &o.replies, 1, 1000));
    CHECK_STR("late", o.text);
    close_redis();
}

/* Its time ran from where the loop had last looked at the clock: after a turn of a second no new script could be sent at all. */
TEST(a_script_asked_for_at_the_end_of_a_long_turn_has_its_whole_time) {
    struct redis_script script = {.text = "return 'after a long turn'"};
    struct outcome o = {0};
    open_connected();
    uv_update_time(&loop);
    usleep(1200000);
    redis_eval(redis, 1000, &script, 0, 0, NULL, NULL, note, &o);
    CHECK(world_turn(&loop, &o.replies, 1, 10000));
    CHECK_STR("after a long turn", o.text);
    close_redis();
}

/* Messages heard by one subscription. */
struct heard {
    int count;
    size_t len;
    char channel[32], data[64];
    struct redis_sub *end_me;
};

static void on_message(void *arg, const char *channel, const char *data, size_t len) {
    struct heard *h = arg;
    h->count++;
    h->len = len;
    snprintf(h->channel, sizeof h->channel, "%s", channel);
    snprintf(h->data, sizeof h->data, "%s", data);
    if (h->end_me) redis_unsubscribe(h->end_me);
    h->end_me = NULL;
}

/* Publishes until somebody hears: a subscription is made in its own time. */
static void publish_until_heard(const char *line, const struct heard *h, int want) {
    for (int i = 0; i < 100 && h->count < want; i++) {
        ask(line);
        world_turn_for(&loop, 20);
    }
    CHECK(h->count >= want);
}

TEST(messages_reach_each_subscription_of_a_channel_and_pattern) {
    struct heard one = {0}, two = {0}, pattern = {0};
    open_connected();
    struct redis_sub *a = redis_subscribe(redis, "calls", false, on_message, &one);
    struct redis_sub *b = redis_subscribe(redis, "calls", false, on_message, &two);
    struct redis_sub *c = redis_subscribe(redis, "call*", true, on_message, &pattern);
    publish_until_heard("PUBLISH calls hello", &pattern, 1);
    CHECK_STR("hello", one.data);
    CHECK_STR("calls", pattern.channel);
    CHECK_INT(5, pattern.len);
    CHECK_INT(one.count, two.count);

    redis_unsubscribe(a); /* the other keeps the channel */
    int before = one.count, had = two.count;
    publish_until_heard("PUBLISH calls again", &two, had + 1);
    CHECK_INT(before, one.count);

    redis_unsubscribe(b);
    world_turn_for(&loop, 50);
    CHECK_INT(1, ask("PUBLISH calls pattern-only").integer);
    redis_unsubscribe(c);
    world_turn_for(&loop, 50);
    CHECK_INT(0, ask("PUBLISH calls nobody").integer);
    close_redis();
}

TEST(a_subscription_may_end_itself_and_others_from_its_message) {
    struct heard one = {0}, two = {0};
    open_connected();
    struct redis_sub *a = redis_subscribe(redis, "x", false, on_message, &one);
    struct redis_sub *b = redis_subscribe(redis, "x", false, on_message, &two);
    one.end_me = a;
    two.end_me = b;
    publish_until_heard("PUBLISH x 1", &one, 1);
    CHECK_INT(1, one.count);
    CHECK_INT(1, two.count);
    close_redis();
}

TEST(subscriptions_are_made_again_when_the_server_comes_back) {
    struct heard plain = {0}, pattern = {0};
    open_connected();
    struct redis_sub *a = redis_subscribe(redis, "news", false, on_message, &plain);
    struct redis_sub *b = redis_subscribe(redis, "n?ws", true, on_message, &pattern);
    publish_until_heard("PUBLISH news before", &pattern, 1);
    world_redis_kill();
    CHECK(world_turn(&loop, &downs, 1, 1000));
    struct heard late = {0}; /* wished for while the server is away */
    struct redis_sub *c = redis_subscribe(redis, "late", false, on_message, &late);
    world_redis_start("");
    CHECK(world_turn(&loop, &ups, 2, 3000));
    int had = plain.count;
    publish_until_heard("PUBLISH news after", &plain, had + 1);
    CHECK_STR("after", plain.data);
    CHECK_STR("after", pattern.data);
    publish_until_heard("PUBLISH late 1", &late, 1);
    redis_unsubscribe(a);
    redis_unsubscribe(b);
    redis_unsubscribe(c);
    close_redis();
}

TEST(a_subscriber_whose_connection_is_killed_hears_again) {
    struct heard h = {0};
    open_connected();
    struct redis_sub *s = redis_subscribe(redis, "k", false, on_message, &h);
    publish_until_heard("PUBLISH k 1", &h, 1);
    CHECK_INT(1, ask("CLIENT KILL TYPE pubsub").integer);
    int had = h.count;
    publish_until_heard("PUBLISH k 2", &h, had + 1);
    CHECK_INT(0, downs); /* the commands' connection is another */
    redis_unsubscribe(s);
    close_redis();
}

TEST(closing_answers_every_command_once_and_leaves_subscriptions_to_their_owner) {
    struct outcome o = {0};
    struct heard h = {0};
    open_connected();
    struct redis_sub *s = redis_subscribe(redis, "k", false, on_message, &h);
    send_words(&o, 0, "PING");
    send_words(&o, 0, "PING");
    close_redis();
    CHECK_INT(2, o.errors);
    CHECK_INT(ERR_CANCELLED, o.last_code);
    redis_unsubscribe(s);
}

TEST(closing_while_nothing_answers_is_clean) {
    world_redis_kill();
    open_redis();
    world_turn_for(&loop, 60);
    CHECK_INT(0, ups);
    CHECK_INT(0, downs); /* it never was up */
    close_redis();
    world_redis_start("");
}

TEST(a_password_is_given_and_a_wrong_one_never_connects) {
    char url[160];
    world_redis_kill();
    world_redis_start("s3cret/@");
    static const char *const wrong[] = {"", ":other@"};
    for (int i = 0; i < 2; i++) {
        snprintf(url, sizeof url, "redis://%s127.0.0.1:%d", wrong[i], world_redis_port);
        open_url(url);
        world_turn_for(&loop, 150);
        CHECK_INT(0, ups);
        CHECK_INT(ERR_CLOSED, ask("PING").last_code);
        close_redis();
    }
    snprintf(url, sizeof url, "redis://:s3cret%%2F%%40@127.0.0.1:%d/2", world_redis_port);
    open_url(url);
    CHECK(world_turn(&loop, &ups, 1, 1000));
    CHECK(strstr(ask("CLIENT INFO").text, " db=2 ") != NULL);
    close_redis();
    world_redis_kill();
    world_redis_start("");
}

TEST(a_name_is_resolved_and_one_that_does_not_exist_is_no_end) {
    char url[160];
    snprintf(url, sizeof url, "redis://localhost:%d", world_redis_port);
    open_url(url);
    CHECK(world_turn(&loop, &ups, 1, 2000)); /* also when ::1 comes first, where nobody listens */
    close_redis();
    open_url("redis://no-such-host.invalid:1");
    world_turn_for(&loop, 50);
    CHECK_INT(ERR_CLOSED, ask("PING").last_code);
    close_redis();
}

static int start_world(void **state) {
    (void)state;
    world_redis_start("");
    return 0;
}

static int end_world(void **state) {
    (void)state;
    world_kill(&world_redis_pid, SIGKILL);
    world_end();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_url_that_cannot_be_used_is_refused_with_a_reason),
        RUN(values_come_back_as_they_went_whatever_bytes_they_hold),
        RUN(an_error_reply_is_invalid_with_the_servers_words),
        RUN(what_would_harm_the_shared_connection_is_refused),
        RUN(ten_thousand_commands_in_one_turn_are_answered_in_order),
        RUN(a_command_that_is_not_answered_in_time_ends_and_the_connection_is_replaced),
        RUN(a_reply_that_waited_while_the_loop_stood_still_is_no_timeout),
        RUN(while_the_server_is_away_commands_fail_at_once_and_it_is_found_again),
        RUN(a_script_is_sent_whole_once_and_by_its_name_after),
        RUN(a_script_that_could_only_be_sent_too_late_costs_no_connection),
        RUN(a_script_asked_for_at_the_end_of_a_long_turn_has_its_whole_time),
        RUN(messages_reach_each_subscription_of_a_channel_and_pattern),
        RUN(a_subscription_may_end_itself_and_others_from_its_message),
        RUN(subscriptions_are_made_again_when_the_server_comes_back),
        RUN(a_subscriber_whose_connection_is_killed_hears_again),
        RUN(closing_answers_every_command_once_and_leaves_subscriptions_to_their_owner),
        RUN(closing_while_nothing_answers_is_clean),
        RUN(a_password_is_given_and_a_wrong_one_never_connects),
        RUN(a_name_is_resolved_and_one_that_does_not_exist_is_no_end),
    };
    return cmocka_run_group_tests(tests, start_world, end_world);
}
