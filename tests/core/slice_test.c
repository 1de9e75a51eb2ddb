/* SPDX-License-Identifier: Apache-2.0 */
/* Which sessions have their ticks together. */
#include "media/recording.h"
#include "media/session.h"
#include "media/slice.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

enum { MANY = 5000 };

static struct slice slices[SLICES];
static struct session *all;

static void begin(int sessions) {
    memset(slices, 0, sizeof slices);
    all = calloc(MANY, sizeof *all);
    for (int i = 0; i < sessions; i++) slice_add_session(slices, &all[i]);
}

/* The sessions that are really in it. */
static int length(const struct slice *s) {
    int n = 0;
    for (const struct session *at = s->sessions; at != NULL; at = at->next, n++)
        CHECK(at->next == NULL || at->next->prev == at);
    CHECK_INT(s->session_count, n);
    return n;
}

TEST(few_have_their_ticks_together) {
    begin(SLICE_FULL);
    CHECK_INT(SLICE_FULL, length(&slices[0]));
    for (int i = 1; i < SLICES; i++) CHECK(slice_is_empty(&slices[i]));
    slice_add_session(slices, &all[SLICE_FULL]);
    CHECK_INT(1, length(&slices[1]));
    free(all);
}

TEST(thousands_are_spread_alike) {
    begin(MANY);
    for (int i = 0; i < SLICES; i++) CHECK_INT(MANY / SLICES, length(&slices[i]));
    free(all);
}

TEST(who_comes_takes_the_place_of_who_went) {
    begin(MANY);
    for (int i = 0; i < MANY; i += 2) slice_remove_session(slices, &all[i]);
    for (int i = 0; i < MANY; i += 2) slice_add_session(slices, &all[i]);
    for (int i = 0; i < SLICES; i++) CHECK_INT(MANY / SLICES, length(&slices[i]));
    for (int i = 0; i < MANY; i++) slice_remove_session(slices, &all[i]);
    for (int i = 0; i < SLICES; i++) CHECK(slice_is_empty(&slices[i]));
    free(all);
}

TEST(a_recording_is_with_its_left_party_and_stays_there) {
    struct recording r = {0}, silent = {0};
    begin(3 * SLICE_FULL);
    struct session *left = &all[2 * SLICE_FULL];
    recording_set(&r, left, &all[0]);
    slice_add_recording(slices, &r);
    slice_add_recording(slices, &silent);
    CHECK(slices[2].recordings == &r);
    CHECK(slices[0].recordings == &silent);
    recording_set(&r, &all[0], NULL);
    slice_remove_session(slices, left);
    for (int i = 2 * SLICE_FULL + 1; i < 3 * SLICE_FULL; i++) slice_remove_session(slices, &all[i]);
    CHECK(!slice_is_empty(&slices[2])); /* its ticks go on */
    slice_remove_recording(slices, &r);
    CHECK(slice_is_empty(&slices[2]));
    free(all);
}

TEST(who_ends_is_silence_in_all_recordings_of_him_and_in_no_others) {
    static struct session a, b;
    struct recording both = {0}, turned = {0}, other = {0};
    recording_set(&both, &a, &b);
    recording_set(&turned, &b, &a);
    recording_set(&other, &b, &b);
    recording_leave(&a);
    CHECK(both.sides[RECORDING_LEFT].session == NULL && both.sides[RECORDING_RIGHT].session == &b);
    CHECK(turned.sides[RECORDING_LEFT].session == &b && turned.sides[RECORDING_RIGHT].session == NULL);
    CHECK(other.sides[RECORDING_LEFT].session == &b && other.sides[RECORDING_RIGHT].session == &b);
    CHECK(a.recorded == NULL);
    recording_set(&turned, NULL, NULL);
    recording_leave(&b);
    CHECK(b.recorded == NULL && other.sides[RECORDING_RIGHT].session == NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(few_have_their_ticks_together),
        RUN(thousands_are_spread_alike),
        RUN(who_comes_takes_the_place_of_who_went),
        RUN(a_recording_is_with_its_left_party_and_stays_there),
        RUN(who_ends_is_silence_in_all_recordings_of_him_and_in_no_others),
    };
    return RUN_ALL(tests);
}
