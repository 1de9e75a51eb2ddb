/* SPDX-License-Identifier: Apache-2.0 */
#include "media/recording.h"
#include "media/ring.h"
#include "media/session.h"
#include "test.h"
#include <pthread.h>
#include <sched.h>
#include <string.h>

TEST(first_in_is_first_out_and_full_is_refused) {
    struct ring r;
    int n = 0;
    ring_init(&r, sizeof n, 3);
    CHECK(!ring_pop(&r, &n));
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < 3; i++) CHECK(ring_push(&r, &(int){10 * round + i}));
        CHECK(!ring_push(&r, &(int){99}));
        CHECK(ring_slot(&r) == NULL);
        CHECK_INT(3, ring_count(&r));
        CHECK_INT(10 * round + 1, *(int *)ring_peek(&r, 1));
        for (int i = 0; i < 3; i++) CHECK(ring_pop(&r, &n) && n == 10 * round + i);
    }
    CHECK_INT(3, ring_free_count(&r));
    ring_deinit(&r);
}

enum { MANY = 200000 };
static void *produce(void *arg) {
    struct ring *r = arg;
    for (uint64_t i = 0; i < MANY;) {
        uint64_t pair[2] = {i, ~i};
        if (ring_push(r, pair))
            i++;
        else
            sched_yield();
    }
    return NULL;
}
TEST(two_threads_see_every_element_once_and_whole) {
    struct ring r;
    pthread_t producer;
    uint64_t pair[2];
    ring_init(&r, sizeof pair, 61);
    CHECK_INT(0, pthread_create(&producer, NULL, produce, &r));
    for (uint64_t i = 0; i < MANY;) {
        if (!ring_pop(&r, pair)) {
            sched_yield();
            continue;
        }
        CHECK(pair[0] == i && pair[1] == ~i);
        i++;
    }
    pthread_join(producer, NULL);
    CHECK_INT(0, ring_count(&r));
    ring_deinit(&r);
}

/* ---- recordings are rings of frames ---- */

static int16_t frame_of_left(const int16_t *pcm, unsigned i) {
    return pcm[(size_t)i * RECORDING_FRAME_SAMPLES];
}

TEST(a_full_recording_counts_what_it_lost_and_says_where) {
    static struct session left;
    struct recording r = {.sides = {{.source = MEDIA_SAYS}}};
    const int16_t *pcm;
    unsigned lost = 0;
    recording_init(&r, 25);
    recording_set(&r, &left, NULL);
    for (int i = 0; i < 510; i++) {
        left.says[0] = (int16_t)i;
        CHECK(recording_tick(&r) == (i % 25 == 24));
    }
    CHECK_INT(25, recording_read(&r, 0, 25, &pcm, &lost));
    CHECK_INT(0, lost);
    CHECK_INT(24, frame_of_left(pcm, 24));
    ring_drop(&r.frames, 25);
    recording_skip(&r, 3);
    left.says[0] = 1000;
    recording_tick(&r);
    CHECK_INT(475,
              recording_read(&r, 0, 1000, &pcm, &lost)); /* 25 .. 499: up to the loss, which is at the ring's end too */
    CHECK_INT(499, frame_of_left(pcm, 474));
    CHECK_INT(1, recording_read(&r, 475, 1000, &pcm, &lost));
    CHECK_INT(13, lost);
    CHECK_INT(1000, frame_of_left(pcm, 0));
    CHECK_INT(0, pcm[1]); /* no right stream */
    CHECK_INT(0, recording_read(&r, 476, 1000, &pcm, &lost));
    recording_deinit(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(first_in_is_first_out_and_full_is_refused),
        RUN(two_threads_see_every_element_once_and_whole),
        RUN(a_full_recording_counts_what_it_lost_and_says_where),
    };
    return RUN_ALL(tests);
}
