/* SPDX-License-Identifier: Apache-2.0 */
/* PCM that comes in pieces, both ends of it. */
#include "base/err.h"
#include "media/feed.h"
#include "test.h"
#include <math.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

enum { OUT_MAX = 8000 * 10 };
static int16_t out[OUT_MAX];
static int out_count;
static bool over;

static struct feed *feed_open(int rate, int prebuffer_ms) {
    struct feed *f;
    struct err e = {0};
    if (feed_new(&f, 1, rate, prebuffer_ms, &e) < 0) fail_msg("%s", e.text);
    out_count = 0;
    over = false;
    return f;
}

static int take(struct feed *f) {
    int n = feed_take(f, out + out_count, FRAME_SAMPLES, false, &over);
    CHECK(n <= FRAME_SAMPLES && (over || n == FRAME_SAMPLES));
    out_count += n;
    return n;
}
static void take_all(struct feed *f) {
    while (!over) take(f);
}

static void tone(int16_t *pcm, int samples, int rate) {
    for (int i = 0; i < samples; i++) pcm[i] = (int16_t)lround(8000 * cos(2 * M_PI * 400 * i / rate));
}

/* The most that the waveform bends anywhere: a tone of 400 Hz at 8000 bends by 785 a sample, a cut of it by thousands. */
static int bend(int from, int to) {
    int most = 0;
    for (int i = from < 2 ? 2 : from; i < to; i++) {
        int now = abs(out[i] - 2 * out[i - 1] + out[i - 2]);
        if (now > most) most = now;
    }
    return most;
}

TEST(pieces_cut_anywhere_come_out_as_one) {
    int16_t pcm[8000];
    tone(pcm, 8000, 8000);
    struct feed *f = feed_open(8000, 0);
    unsigned seed = 5;
    for (size_t at = 0; at < sizeof pcm;) {
        seed = seed * 1103515245 + 12345;
        size_t len = seed >> 16 & 1023;
        if (len > sizeof pcm - at) len = sizeof pcm - at;
        CHECK_INT(0, feed_append(f, (const char *)pcm + at, len, NULL));
        at += len;
        while (f->appended - f->sent > 2 * FRAME_SAMPLES) take(f);
    }
    feed_end(f);
    take_all(f);
    CHECK_INT(8000, out_count);
    assert_memory_equal(pcm, out, sizeof pcm);
    CHECK_INT(8000, f->sent);
    CHECK_INT(0, f->underruns);
    CHECK_INT(ERR_CLOSED, feed_append(f, pcm, 2, NULL));
    feed_free(f);
}

static void check_rate(int rate) {
    int16_t pcm[24000];
    tone(pcm, rate, rate);
    struct feed *f = feed_open(rate, 0);
    for (int at = 0; at < rate; at += rate / 50) CHECK_INT(0, feed_append(f, pcm + at, (size_t)rate / 50 * 2, NULL));
    feed_end(f);
    take_all(f);
    CHECK(out_count >= 7999 && out_count <= 8001);
    for (int i = 200; i < 7800; i++) CHECK(abs(out[i] - (int)lround(8000 * cos(2 * M_PI * 400 * i / 8000))) < 100);
    feed_free(f);
}
TEST(what_comes_at_16_and_24_khz_is_the_same_sound_in_the_same_time) {
    check_rate(16000);
    check_rate(24000);
}

TEST(where_the_next_piece_is_late_nothing_clicks_and_the_wait_is_counted) {
    int16_t pcm[8000];
    tone(pcm, 8000, 8000);
    int most = 0;
    for (int cut = 1590; cut <= 1770; cut += 10) { /* anywhere in a frame, its edge too */
        for (int wait = 1; wait <= 8; wait++) {
            struct feed *f = feed_open(8000, 0);
            feed_append(f, pcm, (size_t)cut * 2, NULL);
            while (f->running || f->sent == 0) take(f);
            for (int i = 1; i < wait; i++) take(f);
            CHECK_INT(cut, f->sent);
            CHECK_INT(0, f->underruns); /* it might have been the end */
            feed_append(f, pcm + cut, (size_t)(8000 - cut) * 2, NULL);
            feed_end(f);
            take_all(f);
            CHECK_INT(8000, f->sent);
            CHECK_INT(1, f->underruns);
            CHECK_INT(out_count - 8000, f->starved);
            CHECK(f->starved > 0 && f->starved <= (unsigned)wait * FRAME_SAMPLES);
            most = bend(0, out_count) > most ? bend(0, out_count) : most;
            if (wait > 4) CHECK_INT(0, out[cut + 490]); /* silence in a long wait */
            feed_free(f);
        }
    }
    print_message("the sharpest bend: %d\n", most);
    /* It goes on in another phase, faded in within 10 samples; cut off hard it would bend by 16000. */
    CHECK(most < 3000);
}

TEST(an_end_that_is_told_late_is_no_wait_and_does_not_click) {
    int16_t pcm[1000];
    tone(pcm, 1000, 8000);
    for (int wait = 0; wait <= 8; wait++) {
        struct feed *f = feed_open(8000, 0);
        feed_append(f, pcm, sizeof pcm, NULL);
        while (f->running || f->sent == 0) take(f);
        for (int i = 0; i < wait; i++) take(f);
        feed_end(f);
        take_all(f);
        memset(out + out_count, 0, 4 * sizeof *out);
        CHECK(bend(0, out_count + 4) < 2000);
        CHECK_INT(1000, f->sent);
        CHECK_INT(0, f->underruns);
        CHECK_INT(0, f->starved);
        feed_free(f);
    }
}

TEST(it_begins_when_enough_is_there_or_it_is_whole) {
    int16_t pcm[800] = {1, 1, 1};
    struct feed *f = feed_open(8000, 60);
    feed_append(f, pcm, 479 * 2, NULL);
    take(f);
    CHECK_INT(0, f->sent);
    CHECK_INT(0, out[0]);
    feed_append(f, pcm, 2, NULL);
    take(f);
    CHECK_INT(FRAME_SAMPLES, f->sent);
    CHECK_INT(0, f->starved); /* waiting for the beginning is none */
    feed_free(f);
    f = feed_open(8000, 60);
    feed_append(f, pcm, 10 * 2, NULL);
    feed_end(f);
    take_all(f);
    CHECK_INT(10, out_count);
    feed_free(f);
    f = feed_open(8000, 60); /* nothing at all */
    feed_end(f);
    take_all(f);
    CHECK_INT(0, out_count);
    feed_free(f);
}

TEST(a_stopped_one_fades_out_in_10_ms_wherever_it_is) {
    int16_t pcm[1600];
    tone(pcm, 1600, 8000);
    for (int frames = 1; frames < 14; frames++) { /* from the sixth on it waits for more */
        struct feed *f = feed_open(8000, 0);
        feed_append(f, pcm, 840 * 2, NULL);
        for (int i = 0; i < frames; i++) take(f);
        uint64_t before = f->sent;
        int n = feed_take(f, out + out_count, FRAME_SAMPLES, true, &over);
        CHECK(over);
        CHECK(n <= 80 && f->sent - before <= 80);
        CHECK(frames > 8 ? n == 0 : n > 0); /* it had faded by itself */
        out_count += n;
        memset(out + out_count, 0, 4 * sizeof *out);
        CHECK(bend(0, out_count + 4) < 2000);
        feed_free(f);
    }
}

TEST(two_minutes_may_wait_and_no_more) {
    static int16_t second[8000];
    struct feed *f = feed_open(8000, 0);
    struct err e = {0};
    for (int i = 0; i < 120; i++) CHECK_INT(0, feed_append(f, second, sizeof second, &e));
    CHECK_INT(ERR_LIMIT, feed_append(f, second, sizeof second, &e));
    CHECK_INT(120 * 8000, f->appended);
    for (int i = 0; i < 50; i++) {
        out_count = 0;
        take(f);
    }
    CHECK_INT(0, feed_append(f, second, sizeof second, &e));
    feed_free(f);
    struct feed *none;
    CHECK_INT(ERR_INVALID, feed_new(&none, 1, 44100, 0, &e));
    CHECK_INT(ERR_INVALID, feed_new(&none, 1, 8000, 2001, &e));
}

/* A saw that the reader can check, written by one thread while another reads. */
static void *write_saw(void *arg) {
    int16_t pcm[700];
    unsigned seed = 1, at = 0;
    while (at < 2000000) {
        seed = seed * 1103515245 + 12345;
        unsigned n = seed >> 16 & 511;
        for (unsigned i = 0; i < n; i++) pcm[i] = (int16_t)(at++ % 30000 + 1);
        while (feed_append(arg, pcm, n * 2, NULL) < 0) sched_yield();
    }
    feed_end(arg);
    return NULL;
}
TEST(both_ends_run_at_once) {
    struct feed *f = feed_open(8000, 0);
    pthread_t writer;
    unsigned at = 0;
    pthread_create(&writer, NULL, write_saw, f);
    while (!over) {
        out_count = 0;
        uint64_t before = f->sent;
        take(f);
        /* After a wait the first are faded in: of those only how many is known. */
        for (int i = 0; i < (int)(f->sent - before); i++, at++)
            if (f->waiting == 0 && f->starved == 0) CHECK_INT(at % 30000 + 1, out[i]);
    }
    pthread_join(writer, NULL);
    CHECK(at >= 2000000);
    CHECK_INT(f->appended, at);
    feed_free(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(pieces_cut_anywhere_come_out_as_one),
        RUN(what_comes_at_16_and_24_khz_is_the_same_sound_in_the_same_time),
        RUN(where_the_next_piece_is_late_nothing_clicks_and_the_wait_is_counted),
        RUN(an_end_that_is_told_late_is_no_wait_and_does_not_click),
        RUN(it_begins_when_enough_is_there_or_it_is_whole),
        RUN(a_stopped_one_fades_out_in_10_ms_wherever_it_is),
        RUN(two_minutes_may_wait_and_no_more),
        RUN(both_ends_run_at_once),
    };
    return RUN_ALL(tests);
}
