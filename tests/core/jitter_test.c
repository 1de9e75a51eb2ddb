/* SPDX-License-Identifier: Apache-2.0 */
#include "media/g711.h"
#include "media/jitter.h"
#include "media/vad.h"
#include "test.h"
#include <stdlib.h>
#include <string.h>

enum { START = 0xffffff00 /* so that the timestamps wrap at once */ };

/* Packet n is filled with the code n + 1; A-law, which has no code for 0. */
static bool put(struct jitter *j, unsigned n) {
    uint8_t codes[FRAME_SAMPLES];
    memset(codes, (int)n + 1, sizeof codes);
    return jitter_put(j, START + n * FRAME_SAMPLES, false, codes, sizeof codes);
}
enum { SILENCE = -1, MADE_UP = -2 };
/* Which packet the next frame was, by its second half: after a gap the first is faded in. */
static int get(struct jitter *j) {
    int16_t pcm[FRAME_SAMPLES], *last = &pcm[FRAME_SAMPLES - 1];
    jitter_get(j, pcm, g711_decode_table(MEDIA_ALAW));
    for (int i = FRAME_SAMPLES / 2; i < FRAME_SAMPLES; i++)
        if (pcm[i] != *last) return MADE_UP;
    for (int n = 0; n < 255; n++)
        if (*last != 0 && g711_decode_table(MEDIA_ALAW)[n + 1] == *last) return n;
    return SILENCE;
}

static struct jitter *jitter_make(void) {
    return calloc(1, sizeof(struct jitter));
}

TEST(packets_come_out_40_ms_later_in_order_whatever_order_they_came_in) {
    struct jitter *j = jitter_make();
    CHECK_INT(SILENCE, get(j));
    CHECK(put(j, 0));
    CHECK_INT(SILENCE, get(j));
    CHECK(put(j, 2));
    CHECK(put(j, 1));
    CHECK_INT(SILENCE, get(j));
    for (int n = 0; n < 3; n++) CHECK_INT(n, get(j));
    free(j);
}

TEST(what_never_came_is_made_up_for_60_ms_and_then_silence) {
    struct jitter *j = jitter_make();
    put(j, 0);
    put(j, 2);
    CHECK_INT(SILENCE, get(j));
    CHECK_INT(SILENCE, get(j));
    CHECK_INT(0, j->concealed); /* nobody had spoken yet */
    CHECK_INT(0, get(j));
    CHECK_INT(MADE_UP, get(j));
    CHECK_INT(FRAME_SAMPLES, j->concealed);
    CHECK_INT(2, get(j));
    for (int i = 0; i < 3; i++) CHECK_INT(MADE_UP, get(j));
    for (int i = 0; i < 9; i++) CHECK_INT(SILENCE, get(j));
    CHECK_INT(4 * FRAME_SAMPLES, j->concealed);
    free(j);
}

TEST(packets_of_odd_lengths_are_put_together_and_only_what_is_missing_is_made_up) {
    struct jitter *j = jitter_make();
    int16_t pcm[FRAME_SAMPLES];
    uint8_t codes[100];
    memset(codes, 60, sizeof codes);
    for (unsigned at = 0; at < 1000; at += 100)
        if (at != 400) jitter_put(j, START + at, false, codes, sizeof codes);
    int there = 0;
    for (int i = 0; i < 8; i++) {
        jitter_get(j, pcm, g711_decode_table(MEDIA_ALAW));
        for (int n = 0; n < FRAME_SAMPLES; n++) there += pcm[n] == g711_decode_table(MEDIA_ALAW)[60];
    }
    /* 860 of those 960 came; made up of a constant are it for 10 of the 12.5 ms, and some that came are faded in. */
    CHECK_INT(100, j->concealed);
    CHECK(there > 860 && there <= 960);
    free(j);
}

TEST(what_came_far_too_early_is_not_played_when_the_buffer_becomes_deeper) {
    struct jitter *j = jitter_make();
    put(j, 0);
    for (int i = 0; i < 6; i++) get(j);
    put(j, 28); /* lies where 2 and 3 would, once round the ring */
    CHECK(!put(j, 1));
    CHECK_INT(1, get(j));
    CHECK_INT(MADE_UP, get(j));
    free(j);
}

TEST(a_late_packet_makes_the_buffer_deeper) {
    struct jitter *j = jitter_make();
    put(j, 0);
    for (int i = 0; i < 4; i++) get(j); /* packet 1 should have come out with the last */
    CHECK(!put(j, 1));
    CHECK_INT(1, get(j));
    CHECK(put(j, 2));
    CHECK_INT(2, get(j));
    free(j);
}

TEST(a_buffer_that_was_too_deep_for_two_seconds_drops_a_frame) {
    struct jitter *j = jitter_make();
    unsigned next = 0;
    for (; next < 6; next++) put(j, next); /* 100 ms more than needed */
    get(j);
    get(j);
    int last = -1, dropped = 0;
    for (; next < 210; next++) {
        put(j, next);
        int n = get(j);
        CHECK(n == last + 1 || n == last + 2);
        if (n == last + 2) dropped++;
        last = n;
    }
    CHECK_INT(1, dropped); /* not in the first window, in which packet 0 had only the 40 ms */
    free(j);
}

TEST(a_step_of_the_timestamps_is_followed) {
    struct jitter *j = jitter_make();
    uint8_t codes[FRAME_SAMPLES];
    memset(codes, 50, sizeof codes);
    put(j, 0);
    CHECK(jitter_put(j, START + 10000000, false, codes, sizeof codes));
    CHECK_INT(SILENCE, get(j));
    CHECK_INT(SILENCE, get(j));
    CHECK_INT(49, get(j));
    /* Back again: a few are taken for late ones first, unless the marker says what it is. */
    for (int i = 0; i < 9; i++) CHECK(!put(j, 1));
    CHECK_INT(MADE_UP, get(j));
    put(j, 2);
    get(j);
    get(j);
    CHECK_INT(2, get(j));
    CHECK(!jitter_put(j, START - 10000000, true, codes, sizeof codes));
    get(j);
    get(j);
    CHECK_INT(49, get(j));
    free(j);
}

TEST(time_that_passed_unheard_is_left_out) {
    struct jitter *j = jitter_make();
    for (unsigned n = 0; n < 8; n++) put(j, n);
    jitter_skip(j, 4);
    CHECK_INT(2, get(j));
    jitter_skip(j, 1000000);
    CHECK_INT(MADE_UP, get(j)); /* fades */
    for (int i = 0; i < 2; i++) get(j);
    CHECK_INT(SILENCE, get(j));
    free(j);
}

/* ---- the VAD ---- */

static void noise(int16_t pcm[FRAME_SAMPLES], int level, unsigned *seed) {
    for (int i = 0; i < FRAME_SAMPLES; i++) {
        *seed = *seed * 1103515245 + 12345;
        pcm[i] = (int16_t)((int)(*seed >> 16) % (2 * level + 1) - level);
    }
}

static const int16_t nothing[FRAME_SAMPLES];

/* Frames of noise until the VAD says `want`; -1 when it does not within max. */
static int frames_until(struct vad *v, int level, enum vad_change want, int max) {
    int16_t pcm[FRAME_SAMPLES];
    unsigned seed = 1;
    uint32_t quiet_ms = 0;
    for (int n = 1; n <= max; n++) {
        noise(pcm, level, &seed);
        if (vad_frame(v, pcm, nothing, &quiet_ms) == want) return n;
    }
    return -1;
}

TEST(speech_begins_after_60_ms_and_quiet_after_160) {
    struct vad v;
    vad_init(&v);
    CHECK_INT(3, frames_until(&v, 3000, VAD_SPEECH, 100));
    CHECK_INT(8, frames_until(&v, 20, VAD_QUIET, 100));
    CHECK(!v.speaking);
}

TEST(quiet_is_told_after_160_ms_and_every_200_with_its_length) {
    struct vad v;
    int16_t silence[FRAME_SAMPLES] = {0};
    uint32_t quiet_ms = 0, told = 0;
    vad_init(&v);
    for (int n = 1; n <= 50; n++) {
        if (vad_frame(&v, silence, nothing, &quiet_ms) != VAD_QUIET) continue;
        CHECK_INT(told == 0 ? 160 : 200 * told, quiet_ms);
        CHECK_INT(told == 0 ? 8 : 10 * told, n);
        told++;
    }
    CHECK_INT(6, told);
}

TEST(a_click_is_no_speech) {
    struct vad v;
    vad_init(&v);
    for (int i = 0; i < 20; i++) {
        CHECK_INT(-1, frames_until(&v, 8000, VAD_SPEECH, 2));
        CHECK_INT(-1, frames_until(&v, 10, VAD_SPEECH, 5));
    }
}

TEST(a_steady_noise_becomes_the_floor_and_speech_above_it_is_heard) {
    struct vad v;
    vad_init(&v);
    frames_until(&v, 1000, VAD_SPEECH, 10); /* a fan is switched on: taken for speech at first */
    frames_until(&v, 1000, VAD_QUIET, 5000);
    CHECK(!v.speaking);
    CHECK_INT(-1, frames_until(&v, 1000, VAD_SPEECH, 1000));
    CHECK_INT(3, frames_until(&v, 9000, VAD_SPEECH, 20));
}

/* How many of 100 frames are the beginning of speech while we play a sentence with gaps, of which so much comes back 60 ms later. */
static int begun_by_echo(int sent_level, int echo_level, int voice_level) {
    struct vad v;
    int16_t sent[FRAME_SAMPLES], pcm[FRAME_SAMPLES], voice[FRAME_SAMPLES];
    unsigned a = 1, b = 2, c = 3;
    int begun = 0;
    uint32_t quiet_ms = 0;
    vad_init(&v);
    for (int n = 0; n < 100; n++) {
        noise(sent, n % 12 < 9 ? sent_level : 0, &a);
        noise(pcm, n >= 3 && (n - 3) % 12 < 9 ? echo_level : 10, &b);
        noise(voice, n >= 50 ? voice_level : 0, &c);
        for (int i = 0; i < FRAME_SAMPLES; i++) pcm[i] = (int16_t)(pcm[i] + voice[i]);
        begun += vad_frame(&v, pcm, sent, &quiet_ms) == VAD_SPEECH;
    }
    return begun;
}

TEST(our_own_echo_20_db_below_what_is_played_is_no_speech_and_who_speaks_over_it_is_heard) {
    CHECK_INT(0, begun_by_echo(9000, 900, 0));
    CHECK_INT(1, begun_by_echo(9000, 900, 6000));
    CHECK(begun_by_echo(0, 900, 0) > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(packets_come_out_40_ms_later_in_order_whatever_order_they_came_in),
        RUN(what_never_came_is_made_up_for_60_ms_and_then_silence),
        RUN(packets_of_odd_lengths_are_put_together_and_only_what_is_missing_is_made_up),
        RUN(what_came_far_too_early_is_not_played_when_the_buffer_becomes_deeper),
        RUN(a_late_packet_makes_the_buffer_deeper),
        RUN(a_buffer_that_was_too_deep_for_two_seconds_drops_a_frame),
        RUN(a_step_of_the_timestamps_is_followed),
        RUN(time_that_passed_unheard_is_left_out),
        RUN(speech_begins_after_60_ms_and_quiet_after_160),
        RUN(quiet_is_told_after_160_ms_and_every_200_with_its_length),
        RUN(a_click_is_no_speech),
        RUN(a_steady_noise_becomes_the_floor_and_speech_above_it_is_heard),
        RUN(our_own_echo_20_db_below_what_is_played_is_no_speech_and_who_speaks_over_it_is_heard),
    };
    g711_init();
    return RUN_ALL(tests);
}
