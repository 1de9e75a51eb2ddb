/* SPDX-License-Identifier: Apache-2.0 */
/* Leases and owners against a real Redis. Time is not waited for: a test that needs a lease run out writes its end. */
#include "base/mem.h"
#include "io/redis.h"
#include "private_redis.h"
#include "telephony/lease.h"
#include "telephony/owners.h"
#include "test.h"
#include <uv.h>

static struct private_redis server;
static uv_loop_t loop;
static struct redis *redis;
static struct lease_book a, b; /* two workers on one connection: Redis sees only what they send */

/* -- one answer at a time ------------------------------------------------------------------------------------------------ */

static struct answer {
    bool came, failed, done, flushed;
    int64_t fence, left_us;
    char owner[128], successor[128], before[128], text[256];
} got;

static void on_lease(void *arg, const struct lease *l, const struct err *e) {
    (void)arg;
    got = (struct answer){.came = true, .failed = e != NULL};
    if (e) {
        snprintf(got.text, sizeof got.text, "%s", e->text);
        return;
    }
    got.done = l->done;
    got.flushed = l->flushed;
    got.fence = l->fence;
    got.left_us = l->left_us;
    snprintf(got.owner, sizeof got.owner, "%s", l->owner);
    snprintf(got.successor, sizeof got.successor, "%s", l->successor);
    snprintf(got.before, sizeof got.before, "%s", l->before);
}

static void on_reply(void *arg, const redisReply *reply, const struct err *e) {
    (void)arg;
    got = (struct answer){.came = true, .failed = e != NULL};
    if (e)
        snprintf(got.text, sizeof got.text, "%s", e->text);
    else if (reply->type == REDIS_REPLY_INTEGER)
        got.fence = reply->integer;
    else if (reply->str)
        snprintf(got.text, sizeof got.text, "%s", reply->str);
}

static bool wait_for_answer(void) {
    while (!got.came) uv_run(&loop, UV_RUN_ONCE);
    if (got.failed) fail_msg("%s", got.text);
    return got.done;
}

#define ASK(function, ...) (got.came = false, function(__VA_ARGS__, on_lease, NULL), wait_for_answer())

static void command(int argc, const char **argv) {
    got.came = false;
    redis_command(redis, 0, argc, argv, NULL, on_reply, NULL);
    wait_for_answer();
}
#define COMMAND(...) \
    command((int)(sizeof((const char *[]){__VA_ARGS__}) / sizeof(char *)), (const char *[]){__VA_ARGS__})

static void run_out(void) {
    COMMAND("HSET", "t:slot:{n1.7}", "until", "1");
}

/* -- news ---------------------------------------------------------------------------------------------------------------- */

static char news[4][160];
static int news_count;
static void on_news(void *arg, const char *channel, const char *data, size_t len) {
    (void)arg;
    CHECK_STR("t:slots", channel);
    if (news_count < 4) snprintf(news[news_count++], sizeof news[0], "%.*s", (int)len, data);
}
static void wait_for_news(int count) {
    while (news_count < count) uv_run(&loop, UV_RUN_ONCE);
}

/* -- the world ----------------------------------------------------------------------------------------------------------- */

static int start(void **state) {
    (void)state;
    struct err e;
    if (uv_loop_init(&loop) < 0 || !private_redis_start(&server)) return -1;
    struct redis_opts o = {.url = server.url};
    if (redis_open(&redis, &loop, &o, NULL, &e) < 0) return -1;
    while (!redis_connected(redis)) uv_run(&loop, UV_RUN_ONCE);
    lease_book_init(&a, redis, "t:", "host-1-100", 3000, NULL);
    lease_book_init(&b, redis, "t:", "host-2-100", 3000, NULL);
    return 0;
}

static int stop(void **state) {
    (void)state;
    int left = a.waiting + b.waiting;
    redis_close(redis, NULL, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    lease_book_deinit(&a);
    lease_book_deinit(&b);
    private_redis_stop(&server);
    return left || uv_loop_close(&loop) ? -1 : 0;
}

static int empty(void **state) {
    (void)state;
    COMMAND("FLUSHALL");
    news_count = 0;
    return 0;
}

/* -- leases -------------------------------------------------------------------------------------------------------------- */

TEST(a_slot_never_owned_is_free) {
    CHECK(ASK(lease_read, &a, "n1.7"));
    CHECK_STR("", got.owner);
    CHECK(got.left_us <= 0 && got.fence == 0);
}

TEST(taking_gives_a_fence_from_redis_time_and_a_lease) {
    COMMAND("TIME");
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    CHECK_STR("host-1-100", got.owner);
    CHECK_STR("", got.before);
    CHECK(got.fence > INT64_C(1700000000000000));
    CHECK(got.left_us > 2900000 && got.left_us <= 3000000);
}

TEST(only_one_of_two_takes_it) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t fence = got.fence;
    CHECK(!ASK(lease_take, &b, "n1.7", NULL));
    CHECK_STR("host-1-100", got.owner);
    CHECK(got.fence == fence);
}

TEST(a_lease_that_ran_out_is_taken_with_a_larger_fence) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t fence = got.fence;
    run_out();
    CHECK(ASK(lease_take, &b, "n1.7", NULL));
    CHECK(got.fence > fence);
    CHECK_STR("host-1-100", got.before);
    CHECK(!ASK(lease_renew, &a, "n1.7", fence));
    CHECK_STR("host-2-100", got.owner);
}

TEST(a_fence_grows_even_when_the_clock_went_back) {
    COMMAND("HSET", "t:slot:{n1.7}", "owner", "", "fence", "4000000000000000");
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    CHECK(got.fence == INT64_C(4000000000000001));
    CHECK(ASK(lease_renew, &a, "n1.7", got.fence));
    CHECK(got.fence == INT64_C(4000000000000001));
}

TEST(renewing_lengthens_it_even_when_it_had_run_out_unnoticed) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t fence = got.fence;
    run_out();
    CHECK(ASK(lease_renew, &a, "n1.7", fence));
    CHECK(got.left_us > 2900000 && got.fence == fence);
}

TEST(an_older_fence_of_the_same_owner_renews_nothing) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t old = got.fence;
    CHECK(ASK(lease_take, &a, "n1.7", "host-1-100"));
    CHECK(got.fence > old);
    CHECK(!ASK(lease_renew, &a, "n1.7", old));
}

TEST(a_dead_owners_lease_is_taken_at_once_and_nobody_elses) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    CHECK(!ASK(lease_take, &b, "n1.7", "host-9-100"));
    CHECK(ASK(lease_take, &b, "n1.7", "host-1-100"));
    CHECK_STR("host-1-100", got.before);
}

TEST(an_emptied_redis_gets_its_lease_again) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t fence = got.fence;
    COMMAND("FLUSHALL");
    CHECK(ASK(lease_renew, &a, "n1.7", fence));
    CHECK_STR("host-1-100", got.owner);
    CHECK(got.fence == fence && got.left_us > 2900000);
}

TEST(a_redis_that_went_back_in_time_is_corrected_by_the_larger_fence) {
    CHECK(ASK(lease_take, &b, "n1.7", NULL));
    int64_t older = got.fence;
    CHECK(ASK(lease_take, &a, "n1.7", "host-2-100"));
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)older);
    int64_t newer = got.fence;
    COMMAND("HSET", "t:slot:{n1.7}", "owner", "host-2-100", "fence", text);
    CHECK(ASK(lease_renew, &a, "n1.7", newer));
    CHECK(!ASK(lease_renew, &b, "n1.7", older));
    CHECK_STR("host-1-100", got.owner);
}

TEST(a_released_slot_is_free_and_its_old_owner_cannot_renew) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t fence = got.fence;
    CHECK(ASK(lease_release, &a, "n1.7", fence));
    CHECK(!ASK(lease_renew, &a, "n1.7", fence));
    CHECK_STR("", got.owner);
    CHECK(!ASK(lease_release, &a, "n1.7", fence));
    CHECK(ASK(lease_take, &b, "n1.7", NULL));
    CHECK_STR("host-1-100", got.before);
}

TEST(only_the_named_successor_accepts_and_the_giver_then_marks_it_flushed) {
    struct redis_sub *sub = redis_subscribe(redis, "t:slots", false, on_news, NULL);
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    int64_t fence = got.fence;
    CHECK(!ASK(lease_accept, &b, "n1.7"));
    /* The subscription's connection is another one: offer until it is heard. */
    while (news_count == 0) {
        CHECK(ASK(lease_give, &a, "n1.7", fence, "host-2-100"));
        uv_run(&loop, UV_RUN_NOWAIT);
    }
    CHECK_STR("give n1.7 host-2-100", news[0]);
    CHECK(ASK(lease_renew, &a, "n1.7", fence));
    CHECK_STR("host-2-100", got.successor);
    news_count = 0;

    CHECK(ASK(lease_accept, &b, "n1.7"));
    CHECK(got.fence > fence && !got.flushed);
    CHECK_STR("host-1-100", got.before);
    CHECK_STR("", got.successor);
    CHECK(!ASK(lease_renew, &a, "n1.7", fence));
    CHECK(!ASK(lease_flush, &b, "n1.7"));
    CHECK(ASK(lease_flush, &a, "n1.7"));
    CHECK(ASK(lease_read, &b, "n1.7"));
    CHECK(got.flushed);
    while (strcmp(news[0], "flushed n1.7") != 0) {
        news_count = 0;
        wait_for_news(1);
    }
    redis_unsubscribe(sub);
}

TEST(an_offer_taken_back_cannot_be_accepted) {
    CHECK(ASK(lease_take, &a, "n1.7", NULL));
    CHECK(ASK(lease_give, &a, "n1.7", got.fence, "host-2-100"));
    CHECK(ASK(lease_give, &a, "n1.7", got.fence, ""));
    CHECK(!ASK(lease_accept, &b, "n1.7"));
    CHECK_STR("host-1-100", got.owner);
}

TEST(a_record_with_rubbish_in_it_is_an_error_and_no_crash) {
    COMMAND("SET", "t:slot:{n1.7}", "rubbish");
    got.came = false;
    lease_take(&a, "n1.7", NULL, on_lease, NULL);
    while (!got.came) uv_run(&loop, UV_RUN_ONCE);
    CHECK(got.failed);
}

TEST(names_that_would_break_keys_are_refused) {
    struct lease_book bad;
    struct err e;
    CHECK_INT(ERR_INVALID, lease_book_init(&bad, redis, "", "two words", 3000, &e));
    CHECK_INT(ERR_INVALID, lease_book_init(&bad, redis, "", "", 3000, &e));
    CHECK_INT(ERR_INVALID, lease_book_init(&bad, redis, "a{b}", "w", 3000, &e));
    CHECK_INT(ERR_INVALID, lease_book_init(&bad, redis, "", "w", 3, &e));
}

TEST(news_are_read_only_whole) {
    struct lease_news n;
    CHECK(lease_news_read("give n1.7 host-2-100", &n) && n.what == LEASE_GIVE);
    CHECK_STR("n1.7", n.slot);
    CHECK_STR("host-2-100", n.successor);
    CHECK(lease_news_read("flushed n1.7", &n) && n.what == LEASE_FLUSHED);
    CHECK(lease_news_read("free n1.7", &n) && n.what == LEASE_FREE);
    CHECK(!lease_news_read("give n1.7", &n));
    CHECK(!lease_news_read("", &n));
    CHECK(!lease_news_read("stolen n1.7", &n));
}

/* -- owners -------------------------------------------------------------------------------------------------------------- */

static void on_beat(void *arg, const struct err *e) {
    (void)arg;
    got = (struct answer){.came = true, .failed = e != NULL};
}
static void beat(struct owners *o, struct lease_book *book, bool leaving, const char *gone) {
    got.came = false;
    owners_beat(o, book, leaving, gone, on_beat, NULL);
    wait_for_answer();
}

TEST(those_who_beat_are_alive_until_they_leave_or_are_silent_for_a_lease) {
    struct owners o = {0};
    beat(&o, &b, false, "");
    beat(&o, &a, false, "");
    CHECK_INT(2, o.count);
    CHECK_INT(0, owners_rank(&o, "host-1-100"));
    CHECK_INT(1, owners_rank(&o, "host-2-100"));
    CHECK_INT(-1, owners_rank(&o, "host-3-100"));
    beat(&o, &b, true, "");
    CHECK(o.count == 1 && !owners_has(&o, "host-2-100"));

    COMMAND("ZADD", "t:owners", "1", "host-9-100");
    beat(&o, &a, false, "");
    CHECK_INT(1, o.count);
    beat(&o, &b, false, "");
    beat(&o, &a, false, "host-2-100");
    CHECK_INT(1, o.count);
    owners_deinit(&o);
}

TEST(quota_is_the_next_whole_number_above_an_equal_share) {
    CHECK_INT(16, owners_quota(16, 1));
    CHECK_INT(8, owners_quota(16, 2));
    CHECK_INT(6, owners_quota(16, 3));
    CHECK_INT(1, owners_quota(16, 40));
    CHECK_INT(16, owners_quota(16, 0));
}

int main(void) {
#define FRESH(name) cmocka_unit_test_setup(name, empty)
    const struct CMUnitTest tests[] = {
        FRESH(a_slot_never_owned_is_free),
        FRESH(taking_gives_a_fence_from_redis_time_and_a_lease),
        FRESH(only_one_of_two_takes_it),
        FRESH(a_lease_that_ran_out_is_taken_with_a_larger_fence),
        FRESH(a_fence_grows_even_when_the_clock_went_back),
        FRESH(renewing_lengthens_it_even_when_it_had_run_out_unnoticed),
        FRESH(an_older_fence_of_the_same_owner_renews_nothing),
        FRESH(a_dead_owners_lease_is_taken_at_once_and_nobody_elses),
        FRESH(an_emptied_redis_gets_its_lease_again),
        FRESH(a_redis_that_went_back_in_time_is_corrected_by_the_larger_fence),
        FRESH(a_released_slot_is_free_and_its_old_owner_cannot_renew),
        FRESH(only_the_named_successor_accepts_and_the_giver_then_marks_it_flushed),
        FRESH(an_offer_taken_back_cannot_be_accepted),
        FRESH(a_record_with_rubbish_in_it_is_an_error_and_no_crash),
        FRESH(names_that_would_break_keys_are_refused),
        FRESH(news_are_read_only_whole),
        FRESH(those_who_beat_are_alive_until_they_leave_or_are_silent_for_a_lease),
        FRESH(quota_is_the_next_whole_number_above_an_equal_share),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
