/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/intake.h"
#include "test.h"
#include <stdbool.h>

/* A cell that sends messages of len whenever it is read, from *now on. How many are read until `until`. */
static uint64_t flood(struct intake *i, size_t len, uint64_t *now, uint64_t until) {
    uint64_t n = 0;
    while (*now < until) {
        n++;
        *now += intake_take(i, len, *now);
    }
    return n;
}

TEST(a_burst_of_thousands_of_calls_is_read_at_once) {
    struct intake i;
    intake_open(&i, 1000);
    for (int n = 0; n < INTAKE_MESSAGES_BURST - 1; n++) CHECK_INT(0, intake_take(&i, 100, 1000));
    CHECK_INT(0, intake_dry_ms(&i, 1000));
}

TEST(small_messages_without_end_are_read_at_their_rate) {
    struct intake i;
    uint64_t now = 1000;
    intake_open(&i, now);
    uint64_t n = flood(&i, 10, &now, 61000);
    CHECK(n >= INTAKE_MESSAGES_BURST + 59ull * INTAKE_MESSAGES);
    CHECK(n <= INTAKE_MESSAGES_BURST + 61ull * INTAKE_MESSAGES);
}

TEST(large_messages_without_end_are_read_at_their_rate) {
    struct intake i;
    uint64_t now = 1000, len = 64 * 1024;
    intake_open(&i, now);
    uint64_t bytes = flood(&i, len, &now, 61000) * len;
    CHECK(bytes >= INTAKE_BYTES_BURST + 59ull * INTAKE_BYTES);
    CHECK(bytes <= INTAKE_BYTES_BURST + 61ull * INTAKE_BYTES + len);
}

TEST(a_message_of_any_size_is_paid_for_before_the_next) {
    struct intake i;
    intake_open(&i, 1000);
    uint64_t rest = intake_take(&i, INTAKE_BYTES_BURST + INTAKE_BYTES, 1000); /* owes a second's worth */
    CHECK(rest >= 1000 && rest <= 1000 + INTAKE_REST_MS);
    CHECK_INT(0, intake_take(&i, 1, 1000 + rest));
}

TEST(it_is_read_again_for_more_than_one_message) {
    struct intake i;
    uint64_t now = 1000, rests = 0, n = 0;
    intake_open(&i, now);
    for (; now < 11000; n++) {
        uint64_t rest = intake_take(&i, 10, now);
        rests += rest > 0;
        now += rest;
    }
    CHECK(n / rests >= INTAKE_MESSAGES * INTAKE_REST_MS / 1000);
}

TEST(it_is_dry_from_its_first_rest_until_a_bucket_is_half_full_again) {
    struct intake i;
    uint64_t now = 1000;
    intake_open(&i, now);
    CHECK_INT(0, intake_dry_ms(&i, now));
    flood(&i, 10, &now, 31000);
    uint64_t dry = intake_dry_ms(&i, now);
    CHECK(dry >= 29900 && dry <= 30100);
    CHECK(intake_dry_ms(&i, now + 500) > dry);
    CHECK_INT(0, intake_dry_ms(&i, now + 1100)); /* both are half full */
    flood(&i, 10, &now, now + 5000);
    CHECK(intake_dry_ms(&i, now) < 5100); /* it does not remember the first time */
}

TEST(a_clock_that_stands_still_gives_no_tokens) {
    struct intake i;
    intake_open(&i, 1000);
    bool rested = false;
    for (int n = 0; n < INTAKE_MESSAGES_BURST; n++) rested = intake_take(&i, 1, n % 2 ? 1000 : 999) > 0;
    CHECK(rested);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_burst_of_thousands_of_calls_is_read_at_once),
        RUN(small_messages_without_end_are_read_at_their_rate),
        RUN(large_messages_without_end_are_read_at_their_rate),
        RUN(a_message_of_any_size_is_paid_for_before_the_next),
        RUN(it_is_read_again_for_more_than_one_message),
        RUN(it_is_dry_from_its_first_rest_until_a_bucket_is_half_full_again),
        RUN(a_clock_that_stands_still_gives_no_tokens),
    };
    return RUN_ALL(tests);
}
