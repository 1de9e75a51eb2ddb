/* SPDX-License-Identifier: Apache-2.0 */
/* io/redis on a cluster of six real servers, some of which are killed, stopped and moved. */
#include "base/mem.h"
#include "io/redis_slots.h"
#include "world_cluster.h"
#include "world_redis_client.h"

static void open_connected(void) {
    open_connected_to(cluster_url);
}

static int redirects(const char *kind) {
    char labels[32];
    snprintf(labels, sizeof labels, "kind=\"%s\"", kind);
    return (int)metric_value(metrics_counter(metrics, "redis_redirects_total", labels, ""));
}

static struct outcome eval(struct redis_script *s, int keys, int argc, const char **argv) {
    struct outcome o = {0};
    uv_update_time(&loop);
    redis_eval(redis, 2000, s, keys, argc, argv, NULL, note, &o);
    CHECK(world_turn(&loop, &o.ended, 1, 4000));
    return o;
}

/* A command each 20 ms until one succeeds; how many did not. */
static int refused_until_done(const char *line, int limit_ms) {
    int refused = 0;
    uint64_t until = uv_hrtime() + (uint64_t)limit_ms * 1000000;
    for (;;) {
        struct outcome o = ask(line);
        if (o.errors == 0) return refused;
        CHECK(o.last_code == ERR_CLOSED || o.last_code == ERR_TIMEOUT);
        CHECK(uv_hrtime() < until);
        refused++;
        world_turn_for(&loop, 20);
    }
}

static int slot_of(const char *key) {
    return redis_key_slot(key, strlen(key));
}

/* A key that lies in a slot of that node. */
static void key_at(int node, char out[32]) {
    for (int i = 0; i < 1000; i++) {
        snprintf(out, 32, "k%d", i);
        if (cluster_owner(slot_of(out), node) == node) return;
    }
    CHECK(false);
}

TEST(commands_go_to_the_owner_of_their_key) {
    char line[64];
    struct outcome set = {0}, got = {0};
    int masters = 0, kept = 0;
    open_connected();
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof line, "SET key:%d %d", i, i);
        send_words(&set, 0, line);
    }
    CHECK(world_turn(&loop, &set.ended, 300, 3000));
    CHECK_INT(300, set.replies);
    for (int i = 0; i < 300; i += 10) {
        snprintf(line, sizeof line, "GET key:%d", i);
        got = ask(line);
        CHECK_INT(i, atoi(got.text));
        snprintf(line, sizeof line, "CLUSTER KEYSLOT key:%d", i);
        CHECK_INT(slot_of(line + strlen("CLUSTER KEYSLOT ")), ask(line).integer);
    }
    for (int i = 0; i < CLUSTER_NODES; i++)
        if (cluster_is_master(i)) {
            int here = atoi(cluster_ask(i, "dbsize"));
            CHECK(here > 30);
            kept += here;
            masters++;
        }
    CHECK_INT(3, masters);
    CHECK_INT(300, kept);
    CHECK_INT(0, redirects("moved"));
    CHECK_INT(0, downs);
    CHECK_STR("PONG", ask("PING").text);
    close_redis();
}

TEST(keys_with_one_tag_may_be_used_together_and_others_not) {
    struct redis_script script = {.text = "redis.call('SET', KEYS[1], ARGV[1]) return redis.call('INCR', KEYS[2])"};
    const char *together[] = {"{t}:a", "{t}:b", "1"}, *apart[] = {"a", "b", "1"};
    open_connected();
    CHECK_INT(1, eval(&script, 2, 3, together).integer);
    CHECK_INT(2, eval(&script, 2, 3, together).integer);
    CHECK_INT(2, ask("DEL {t}:a {t}:b").integer);
    struct outcome o = eval(&script, 2, 3, apart);
    CHECK_INT(ERR_INVALID, o.last_code);
    CHECK(strstr(o.text, "CROSSSLOT") != NULL);
    close_redis();
}

TEST(what_is_about_a_whole_database_is_refused) {
    static const char *const bad[] = {"KEYS *", "SCAN 0", "FLUSHALL", "MULTI", "ASKING", "SELECT 1", "SUBSCRIBE x"};
    open_connected();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_INT(ERR_INVALID, ask(bad[i]).last_code);
    CHECK_INT(0, ask("SCRIPT FLUSH").errors);
    close_redis();
}

TEST(a_slot_that_moves_is_followed_while_it_moves_and_after) {
    struct redis_script script = {.text = "return redis.call('INCRBY', KEYS[1], ARGV[1])"};
    const char *more[] = {"{mig}new", "5"};
    char from_id[48], to_id[48];
    int slot = slot_of("mig"), from, to = 0;
    struct outcome many = {0};

    open_connected();
    from = cluster_owner(slot, 0);
    while (to == from || !cluster_is_master(to)) to++;
    cluster_id(from, from_id), cluster_id(to, to_id);
    ask("SET {mig}stays 1");
    ask("SET {mig}goes 2");

    CHECK_STR("OK", cluster_ask(to, "cluster setslot %d importing %s", slot, from_id));
    CHECK_STR("OK", cluster_ask(from, "cluster setslot %d migrating %s", slot, to_id));
    CHECK_STR("OK",
              cluster_ask(from, "migrate 127.0.0.1 %d {mig}goes 0 1000 auth " CLUSTER_PASSWORD, cluster[to].port));
    CHECK_STR("1", ask("GET {mig}stays").text);
    CHECK_INT(0, redirects("ask"));
    CHECK_STR("2", ask("GET {mig}goes").text);
    CHECK_INT(1, redirects("ask"));
    CHECK_INT(5, eval(&script, 1, 2, more).integer); /* neither of them knows it: EVALSHA is asked, and so is EVAL */
    CHECK_INT(10, eval(&script, 1, 2, more).integer);
    CHECK(strstr(cluster_ask(to, "debug object {mig}new"), "Value at") != NULL);
    CHECK_STR("10", ask("GET {mig}new").text);
    struct outcome late = ask_within(45, "GET {mig}goes");
    CHECK_INT(ERR_CLOSED, late.last_code); /* sent on it might have no answer in time */
    CHECK(strstr(late.text, "in time") != NULL);

    send_words(&many, 3000, "MGET {mig}stays {mig}goes"); /* one here, one there: TRYAGAIN */
    world_turn_for(&loop, 200);
    CHECK_INT(0, many.ended);
    CHECK(redirects("again") > 1);
    CHECK_STR("OK",
              cluster_ask(from, "migrate 127.0.0.1 %d {mig}stays 0 1000 auth " CLUSTER_PASSWORD, cluster[to].port));
    CHECK(world_turn(&loop, &many.ended, 1, 1000));
    CHECK_INT(1, many.replies);

    /* Several new keys wait until the slot has moved. */
    struct redis_script pair = {.text = "redis.call('SET', KEYS[1], 'x') return redis.call('INCR', KEYS[2])"};
    const char *keys[] = {"{mig}one", "{mig}two"};
    struct outcome both = {0}, short_of = {0};
    uv_update_time(&loop);
    redis_eval(redis, 3000, &pair, 2, 2, keys, NULL, note, &both);
    redis_eval(redis, 400, &pair, 2, 2, keys, NULL, note, &short_of);
    CHECK(world_turn(&loop, &short_of.ended, 1, 1000));
    CHECK_INT(ERR_CLOSED, short_of.last_code);
    CHECK(strstr(short_of.text, "TRYAGAIN") != NULL);
    CHECK_INT(0, both.ended);

    CHECK_STR("OK", cluster_ask(to, "cluster setslot %d node %s", slot, to_id));
    CHECK_STR("OK", cluster_ask(from, "cluster setslot %d node %s", slot, to_id));
    CHECK(world_turn(&loop, &both.ended, 1, 1000));
    CHECK_INT(1, both.replies);
    CHECK_INT(1, both.integer);
    int asked = redirects("ask");
    memset(&many, 0, sizeof many);
    for (int i = 0; i < 200; i++) send_words(&many, 0, "INCR {mig}count");
    CHECK(world_turn(&loop, &many.ended, 200, 2000));
    CHECK_INT(200, many.replies);
    CHECK_INT(200, many.integer); /* in order, each once */
    int moved = redirects("moved");
    CHECK(moved > 0);
    CHECK_STR("2", ask("GET {mig}goes").text);
    CHECK_INT(moved, redirects("moved")); /* it is known now */
    CHECK_INT(asked, redirects("ask"));
    CHECK_INT(0, downs);
    CHECK_INT(0, redis_losses(redis)); /* all of the slot has moved with it */
    close_redis();
}

static int replica_of(int node) {
    for (int i = 0; i < CLUSTER_NODES; i++) {
        char text[256], port[16];
        snprintf(text, sizeof text, "%s", cluster_ask(i, "role"));
        snprintf(port, sizeof port, "\n%d\n", cluster[node].port);
        if (strncmp(text, "slave", 5) == 0 && strstr(text, port)) return i;
    }
    return -1;
}

TEST(a_replica_that_takes_over_while_no_connection_breaks_is_a_loss) {
    char key[32], line[64];
    int node = 0;
    open_connected();
    while (!cluster_is_master(node)) node++;
    key_at(node, key);
    int replica = replica_of(node);
    CHECK(replica >= 0);
    CHECK_STR("OK", cluster_ask(replica, "cluster failover"));
    for (int i = 0; i < 100 && !cluster_is_master(replica); i++) usleep(50000);
    CHECK_INT(0, redis_losses(redis));
    snprintf(line, sizeof line, "SET %s x", key);
    CHECK_INT(0, ask(line).errors);
    CHECK_INT(1, redis_losses(redis)); /* it is known before the answer */
    CHECK(redirects("moved") > 0);
    world_turn_for(&loop, 300); /* all slots are known to be there */
    CHECK_INT(1, redis_losses(redis));
    CHECK_INT(0, downs);
    CHECK(redis_connected(redis));
    close_redis();
    cluster_wait();
}

TEST(nodes_that_point_at_each_other_end_a_command_with_an_error) {
    char a_id[48], b_id[48], line[64], key[32];
    int a = 0, b;
    open_connected();
    while (!cluster_is_master(a)) a++;
    b = a + 1;
    while (!cluster_is_master(b)) b++;
    key_at(a, key);
    snprintf(line, sizeof line, "DEL %s", key);
    CHECK_INT(0, ask(line).errors);
    int slot = slot_of(key);
    cluster_id(a, a_id), cluster_id(b, b_id);
    CHECK_STR("OK", cluster_ask(a, "cluster setslot %d node %s", slot, b_id));
    struct outcome o = ask(line);
    CHECK_INT(ERR_PROTOCOL, o.last_code);
    CHECK(redirects("moved") < 10);
    CHECK_STR("OK", cluster_ask(a, "cluster setslot %d node %s", slot, a_id));
    CHECK_INT(0, ask(line).errors);
    close_redis();
}

TEST(a_cluster_that_is_down_for_a_moment_is_waited_for_within_the_time_limit) {
    char key[32], line[64];
    struct outcome o = {0};
    int a = 0;
    open_connected();
    while (!cluster_is_master(a)) a++;
    key_at(a, key);
    int other = slot_of(key) + 1; /* a node that misses a slot does nothing for all others */
    CHECK_INT(a, cluster_owner(other, a));
    snprintf(line, sizeof line, "DEL %s", key);
    ask(line);
    snprintf(line, sizeof line, "APPEND %s 1", key);
    CHECK_STR("OK", cluster_ask(a, "cluster delslots %d", other));
    struct outcome late = ask_within(150, line);
    CHECK_INT(ERR_CLOSED, late.last_code); /* it has not been done */
    CHECK(strstr(late.text, "CLUSTERDOWN") != NULL);
    send_words(&o, 3000, line); /* and again after 10, 30, 70, 150 and 250 ms */
    world_turn_for(&loop, 200);
    CHECK_INT(0, o.ended);
    CHECK_STR("OK", cluster_ask(a, "cluster addslots %d", other));
    snprintf(line, sizeof line, "APPEND %s 2", key);
    send_words(&o, 3000, line); /* not before the one that waits */
    CHECK(world_turn(&loop, &o.ended, 2, 3000));
    CHECK_INT(2, o.replies);
    snprintf(line, sizeof line, "GET %s", key);
    CHECK_STR("12", ask(line).text);
    CHECK(world_turn(&loop, &ups, downs + 1, 3000));

    CHECK_STR("OK", cluster_ask(a, "cluster delslots %d", other));
    struct outcome open = {0};
    send_words(&open, 3000, line);
    world_turn_for(&loop, 200);
    send_words(&open, 3000, line); /* behind it */
    CHECK_INT(0, open.ended);
    close_redis();
    CHECK_INT(2, open.errors);
    CHECK_INT(ERR_CANCELLED, open.last_code);
    CHECK_STR("OK", cluster_ask(a, "cluster addslots %d", other));
    cluster_wait();
}

/* Messages heard by one subscription. */
struct heard {
    int count;
    char data[64];
};

static void on_message(void *arg, const char *channel, const char *data, size_t len) {
    struct heard *h = arg;
    (void)channel, (void)len;
    h->count++;
    snprintf(h->data, sizeof h->data, "%s", data);
}

static void publish_until_heard(const char *line, const struct heard *h, int want) {
    for (int i = 0; i < 300 && h->count < want; i++) {
        ask(line);
        world_turn_for(&loop, 20);
    }
    CHECK(h->count >= want);
}

static int subscribed_node(const char *channel) {
    for (int i = 0; i < CLUSTER_NODES; i++)
        if (cluster[i].pid && strcmp(cluster_ask(i, "pubsub channels"), channel) == 0) return i;
    return -1;
}

TEST(a_master_that_is_killed_is_replaced_and_commands_and_messages_go_on) {
    struct redis_script script = {.text = "return redis.call('INCRBY', KEYS[1], ARGV[1])"};
    char key[32], other[32], line[64];
    struct heard h = {0};
    open_connected();
    struct redis_sub *s = redis_subscribe(redis, "news", false, on_message, &h);
    publish_until_heard("PUBLISH news before", &h, 1);
    int node = subscribed_node("news"), second = 0;
    CHECK(node >= 0 && cluster_is_master(node)); /* the one that dies has the subscription too */
    while (second == node || !cluster_is_master(second)) second++;
    key_at(node, key);
    key_at(second, other);
    const char *argv[] = {key, "5"};
    snprintf(line, sizeof line, "DEL %s", key);
    ask(line);
    CHECK_INT(5, eval(&script, 1, 2, argv).integer);
    world_turn_for(&loop, 200); /* its replica has it too */

    struct outcome sent = {0};
    snprintf(line, sizeof line, "INCRBY %s 100", key);
    kill(cluster[node].pid, SIGSTOP);
    send_words(&sent, 5000, line);
    world_turn_for(&loop, 50);
    cluster_kill(node);
    CHECK(world_turn(&loop, &sent.ended, 1, 1000));
    CHECK_INT(ERR_CLOSED, sent.last_code); /* it may have been done, and is not done again */
    CHECK(world_turn(&loop, &downs, 1, 500));
    CHECK(!redis_connected(redis));
    CHECK_INT(1, redis_losses(redis));

    snprintf(line, sizeof line, "GET %s", key);
    uint64_t began = uv_hrtime();
    CHECK_INT(ERR_CLOSED, ask(line).last_code); /* at once, as with one server */
    CHECK((uv_hrtime() - began) / 1000000 < 500);
    snprintf(line, sizeof line, "SET %s there", other);
    CHECK_INT(0, ask(line).errors); /* the others work */

    CHECK(world_turn(&loop, &ups, 2, 15000));
    CHECK(redis_connected(redis));
    print_message("whole again after %d ms\n", (int)((uv_hrtime() - began) / 1000000));
    CHECK_INT(10, eval(&script, 1, 2, argv).integer); /* the new master has the key, and not the script */
    snprintf(line, sizeof line, "PUBLISH news after");
    publish_until_heard(line, &h, h.count + 1);
    CHECK_STR("after", h.data);
    CHECK_INT(1, downs);
    redis_unsubscribe(s);
    close_redis();
    cluster_run(node);
    cluster_wait();
}

TEST(a_master_that_hangs_is_replaced_too) {
    char key[32], line[64];
    struct heard h = {0};
    open_connected();
    struct redis_sub *s = redis_subscribe(redis, "hung", false, on_message, &h);
    publish_until_heard("PUBLISH hung before", &h, 1);
    int node = subscribed_node("hung");
    key_at(node, key);
    world_turn_for(&loop, 300);
    snprintf(line, sizeof line, "SET %s x", key);
    kill(cluster[node].pid, SIGSTOP);
    CHECK_INT(ERR_TIMEOUT, ask_within(200, line).last_code);
    CHECK_INT(1, downs);
    uint64_t began = uv_hrtime();
    publish_until_heard("PUBLISH hung after", &h, h.count + 1); /* elsewhere, long before it is missed */
    CHECK((uv_hrtime() - began) / 1000000 < 800);
    CHECK(!redis_connected(redis));
    redis_unsubscribe(s);
    CHECK(refused_until_done(line, 15000) > 0);
    CHECK(world_turn(&loop, &ups, 2, 3000));
    kill(cluster[node].pid, SIGCONT);
    world_turn_for(&loop, 500);
    CHECK_INT(0, ask(line).errors);
    CHECK_INT(1, downs);
    close_redis();
    cluster_wait();
}

TEST(messages_come_again_when_a_subscriber_is_cut_off) {
    struct heard h = {0};
    open_connected();
    struct redis_sub *s = redis_subscribe(redis, "cut", false, on_message, &h);
    publish_until_heard("PUBLISH cut 1", &h, 1);
    int node = subscribed_node("cut");
    world_turn_for(&loop, 300); /* who was cut off just after he came stays where he is */
    cluster_ask(node, "client kill type pubsub");
    publish_until_heard("PUBLISH cut 2", &h, h.count + 1);
    CHECK(subscribed_node("cut") != node);
    CHECK_INT(0, downs);
    redis_unsubscribe(s);
    close_redis();
}

TEST(one_node_of_the_url_that_answers_is_enough) {
    char url[160];
    snprintf(url, sizeof url, "redis-cluster://:" CLUSTER_PASSWORD "@127.0.0.1:1,no-such-host.invalid:1,localhost:%d",
             cluster[5].port);
    open_url(url);
    CHECK_INT(ERR_CLOSED, ask("GET k").last_code); /* not yet */
    CHECK(world_turn(&loop, &ups, 1, 5000));
    CHECK_INT(0, ask("GET k").errors);
    close_redis();
}

TEST(closing_answers_every_command_once) {
    struct outcome o = {0};
    struct heard h = {0};
    char line[32];
    open_connected();
    struct redis_sub *s = redis_subscribe(redis, "k", false, on_message, &h);
    for (int i = 0; i < 30; i++) {
        snprintf(line, sizeof line, "GET k%d", i);
        send_words(&o, 0, line);
    }
    close_redis();
    CHECK_INT(30, o.errors);
    CHECK_INT(30, o.ended);
    CHECK_INT(ERR_CANCELLED, o.last_code);
    redis_unsubscribe(s);

    open_url("redis-cluster://127.0.0.1:1,127.0.0.1:2");
    world_turn_for(&loop, 100);
    CHECK_INT(ERR_CLOSED, ask("GET k").last_code);
    CHECK_INT(0, ups + downs);
    close_redis();
}

TEST(closing_answers_what_waits_for_a_connection) {
    struct outcome o = {0};
    char url[160], key[32], other[32], line[64];
    int node = 0, second;
    while (!cluster_is_master(node)) node++;
    second = node + 1;
    while (!cluster_is_master(second)) second++;
    key_at(node, key);
    key_at(second, other);
    snprintf(url, sizeof url, "redis-cluster://:" CLUSTER_PASSWORD "@127.0.0.1:%d", cluster[second].port);
    kill(cluster[node].pid, SIGSTOP); /* for less than what makes the others replace it */
    open_url(url);
    snprintf(line, sizeof line, "GET %s", other);
    refused_until_done(line, 500);
    snprintf(line, sizeof line, "GET %s", key);
    send_words(&o, 5000, line);
    send_words(&o, 5000, line);
    world_turn_for(&loop, 100);
    CHECK_INT(0, o.ended);
    close_redis();
    kill(cluster[node].pid, SIGCONT);
    CHECK_INT(2, o.errors);
    CHECK_INT(ERR_CANCELLED, o.last_code);
    cluster_wait();
}

static int start_world(void **state) {
    (void)state;
    cluster_start();
    return 0;
}

static int end_world(void **state) {
    (void)state;
    cluster_end();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(commands_go_to_the_owner_of_their_key),
        RUN(keys_with_one_tag_may_be_used_together_and_others_not),
        RUN(what_is_about_a_whole_database_is_refused),
        RUN(a_slot_that_moves_is_followed_while_it_moves_and_after),
        RUN(a_replica_that_takes_over_while_no_connection_breaks_is_a_loss),
        RUN(messages_come_again_when_a_subscriber_is_cut_off),
        RUN(a_master_that_is_killed_is_replaced_and_commands_and_messages_go_on),
        RUN(a_master_that_hangs_is_replaced_too),
        RUN(one_node_of_the_url_that_answers_is_enough),
        RUN(closing_answers_every_command_once),
        RUN(closing_answers_what_waits_for_a_connection),
        /* What these two do to a slot, its nodes never quite agree on again. */
        RUN(nodes_that_point_at_each_other_end_a_command_with_an_error),
        RUN(a_cluster_that_is_down_for_a_moment_is_waited_for_within_the_time_limit),
    };
    return cmocka_run_group_tests(tests, start_world, end_world);
}
