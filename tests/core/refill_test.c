/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/refill.h"
#include "test.h"

enum { BEGAN = 5000 };

/* When one is made, with a request every so often; 0: not within a second. */
static uint64_t made_at(struct refill *r, uint64_t now, uint64_t pause_ms) {
    for (uint64_t end = now + 1000; now < end; now += pause_ms) {
        int wait_ms = refill_wait_ms(r, true, now);
        if (wait_ms == 0) return now;
        CHECK(wait_ms > 0);
        if ((uint64_t)wait_ms < pause_ms) return now + (uint64_t)wait_ms; /* nothing has come by then */
    }
    return 0;
}

TEST(a_cell_is_made_when_the_zygote_has_had_a_rest) {
    struct refill r = {0};
    CHECK_INT(BEGAN + REFILL_REST_MS, made_at(&r, BEGAN, 100));
}

/* The place stayed empty for as long as the zygote had something to do. */
TEST(cells_that_were_given_away_were_not_replaced_while_others_kept_asking) {
    struct refill r = {0};
    CHECK_INT(BEGAN + REFILL_LATE_MS, made_at(&r, BEGAN, 1));
    refill_made(&r);
    CHECK_INT(BEGAN + 2 * REFILL_LATE_MS,
              made_at(&r, BEGAN + REFILL_LATE_MS, 1)); /* and so is the next one, no sooner */
}

TEST(nothing_is_waited_for_while_none_is_missing_and_the_time_begins_anew_behind_that) {
    struct refill r = {0};
    CHECK(refill_wait_ms(&r, true, BEGAN) > 0);
    CHECK_INT(-1, refill_wait_ms(&r, false, BEGAN + 1));
    CHECK(refill_wait_ms(&r, true, BEGAN + REFILL_LATE_MS) > 0);
}

/* The time of one that was made in a rest was taken for the next one's, which was made at once, before whoever had been given a cell. */
TEST(one_that_was_made_in_a_rest_left_its_time_to_the_next_one) {
    struct refill r = {0};
    CHECK(refill_wait_ms(&r, true, BEGAN) > 0);
    refill_made(&r);
    CHECK(refill_wait_ms(&r, true, BEGAN + REFILL_LATE_MS) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_cell_is_made_when_the_zygote_has_had_a_rest),
        RUN(cells_that_were_given_away_were_not_replaced_while_others_kept_asking),
        RUN(one_that_was_made_in_a_rest_left_its_time_to_the_next_one),
        RUN(nothing_is_waited_for_while_none_is_missing_and_the_time_begins_anew_behind_that),
    };
    return RUN_ALL(tests);
}
