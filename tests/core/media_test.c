/* SPDX-License-Identifier: Apache-2.0 */
/* What peers hear of the media thread, how many, and what it refuses. */
#include "world_media.h"

static void check_played(enum media_codec codec) {
    struct media_stream *s;
    enum { SAMPLES = 4321 };
    int16_t pcm[2 * SAMPLES];
    uint8_t want[2 * SAMPLES];
    world_open(NULL);
    struct peer *p = peer_open(codec);
    stream_open(&s, p);
    run_ms(100);
    CHECK(p->packet_count >= 2); /* a live line before anything plays */
    CHECK_INT(p->code_count, first_sound(p));
    tone(pcm, SAMPLES, 437, 8000);
    memcpy(pcm + SAMPLES, pcm, sizeof pcm / 2);
    g711_encode(codec, want, pcm, 2 * SAMPLES);
    play(s, 7, SAMPLES, false);
    play(s, 8, SAMPLES, false);
    struct seen *first = wait_for(MEDIA_PLAYED, 7), *second = wait_for(MEDIA_PLAYED, 8);
    CHECK(first < second);
    CHECK_INT(SAMPLES / 8, first->event.position);
    CHECK(first->stream == s);
    run_ms(100);
    size_t at = first_sound(p);
    CHECK(at + 2 * SAMPLES < p->code_count);
    assert_memory_equal(p->codes + at, want, sizeof want);
    for (at += 2 * SAMPLES; at < p->code_count; at++) CHECK_INT(g711_silence(codec), p->codes[at]);
    media_stream_close(s);
    world_close();
}
TEST(what_is_played_in_ulaw_is_what_the_peer_hears) {
    check_played(MEDIA_ULAW);
}
TEST(what_is_played_in_alaw_is_what_the_peer_hears) {
    check_played(MEDIA_ALAW);
}

TEST(packets_leave_every_20_ms_without_drift) {
    struct media_stream *s;
    struct media_stats stats;
    int off = 0;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    for (int i = 0; i < 20; i++) run_ms(100);
    int n = p->packet_count;
    CHECK(n >= 90 && n <= 110);
    struct arrival *first = &p->packets[0], *last = &p->packets[n - 1];
    for (int i = 1; i < n; i++) {
        struct arrival *a = &p->packets[i];
        uint32_t step = a->rtp.timestamp - a[-1].rtp.timestamp;
        int64_t from_plan =
            (int64_t)(a->at_us - first->at_us) - (a->rtp.timestamp - first->rtp.timestamp) * INT64_C(125);
        CHECK_INT((uint16_t)(a[-1].rtp.seq + 1), a->rtp.seq);
        CHECK_INT(first->rtp.ssrc, a->rtp.ssrc);
        CHECK_INT(step != FRAME, a->rtp.marker); /* only after a gap */
        CHECK_INT(0, step % FRAME);
        if (from_plan < -10000 || from_plan > 10000) off++;
    }
    CHECK(first->rtp.marker);
    CHECK(off <= n / 10); /* the machine may be busy; the plan stands */
    int64_t drift = (int64_t)(last->at_us - first->at_us) - (last->rtp.timestamp - first->rtp.timestamp) * INT64_C(125);
    CHECK(drift > -40000 && drift < 40000);
    media_stream_stats(s, &stats);
    CHECK(stats.sent >= (uint64_t)n);
    media_stream_close(s);
    world_close();
}

TEST(a_stopped_play_fades_and_what_waits_is_told) {
    struct media_stream *s;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    play(s, 1, 8000, true);
    play(s, 2, 8000, false);
    for (int i = 0; i < 10 && first_sound(p) == p->code_count; i++) run_ms(50);
    run_ms(100);
    media_stop(s, 0);
    struct seen *one = wait_for(MEDIA_STOPPED, 1), *two = wait_for(MEDIA_STOPPED, 2);
    run_ms(60);
    CHECK_INT(0, two->event.position);
    size_t end = p->code_count, begin = first_sound(p);
    while (end > 0 && p->codes[end - 1] == g711_silence(MEDIA_ULAW)) end--;
    CHECK(one->event.position >= 100);
    CHECK(llabs((long long)(end - begin) - one->event.position * 8LL) <= 8);
    /* The steepest step of the tone itself is about 8000 * 2 pi * 437 / 8000 = 2750; a click would be up to 8000. */
    const int16_t *table = g711_decode_table(MEDIA_ULAW);
    for (size_t i = begin + 1; i < p->code_count; i++) CHECK(abs(table[p->codes[i]] - table[p->codes[i - 1]]) < 3100);
    /* And softer towards the end. */
    for (size_t i = end - 20; i < end; i++) CHECK(abs(table[p->codes[i]]) < 8000 * 20 / 80 + 200);
    media_stream_close(s);
    world_close();
}

TEST(stopping_one_play_leaves_the_others) {
    struct media_stream *s;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    play(s, 1, 800, false);
    play(s, 2, 800, false);
    play(s, 3, 800, false);
    media_stop(s, 2);
    wait_for(MEDIA_PLAYED, 3);
    CHECK(find(MEDIA_PLAYED, 1) != NULL && find(MEDIA_PLAYED, 1) < find(MEDIA_PLAYED, 3));
    CHECK(find(MEDIA_STOPPED, 2) != NULL);
    CHECK(find(MEDIA_PLAYED, 2) == NULL);
    run_ms(60);
    CHECK(p->codes[first_sound(p) + 1599] != 0xff && p->codes[first_sound(p) + 1600] == 0xff);
    media_stream_close(s);
    world_close();
}

TEST(sixty_four_plays_may_wait_and_no_more) {
    struct media_stream *s;
    struct err e = {0};
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    struct media_audio *a = tone_audio(80, 437, 8000), *none = media_audio_new(NULL, 0);
    for (uint64_t id = 1; id <= 65; id++) CHECK_INT(0, media_play(s, id, a, false, &e));
    CHECK_INT(ERR_LIMIT, media_play(s, 66, a, false, &e));
    CHECK_INT(ERR_INVALID, media_play(s, 66, none, true, &e));
    wait_for(MEDIA_PLAYED, 65);
    for (uint64_t id = 1; id <= 65; id++) CHECK(find(MEDIA_PLAYED, id) != NULL);
    CHECK_INT(0, media_play(s, 67, none, false, &e));
    CHECK_INT(0, wait_for(MEDIA_PLAYED, 67)->event.position);
    media_audio_unref(a);
    media_audio_unref(none);
    media_stream_close(s);
    world_close();
}

TEST(two_hundred_streams_at_once_all_get_their_audio) {
    static struct media_stream *s[200];
    uint8_t codes[FRAME];
    struct media_stats stats;
    uint64_t received = 0;
    world_open(NULL);
    memset(codes, 0x30, sizeof codes);
    for (int i = 0; i < 200; i++) stream_open(&s[i], peer_open(i % 2 ? MEDIA_ULAW : MEDIA_ALAW));
    for (int n = 0; n < 40; n++) {
        for (int i = 0; i < 200; i++) peer_send(w.peers[i], w.peers[i]->codec, codes);
        run_ms(20);
    }
    run_ms(40);
    for (int i = 0; i < 200; i++) {
        CHECK(w.peers[i]->packet_count >= 35);
        media_stream_stats(s[i], &stats);
        received += stats.received;
        CHECK_INT(0, stats.dropped_unknown);
    }
    CHECK(received >= 200 * 38);
    for (int i = 0; i < 200; i++) media_stream_close(s[i]);
    world_close();
}

TEST(more_commands_than_the_ring_holds_are_all_done) {
    struct media_stream *s;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    for (int i = 0; i < 10001; i++) media_mute(s, i % 2 == 0);
    play(s, 9, 800, false);
    wait_for(MEDIA_PLAYED, 9);
    media_stream_close(s);
    world_close();
}

TEST(what_cannot_be_opened_says_why) {
    struct media *m = NULL;
    struct media_stream *s;
    struct err e = {0};
    world_open(NULL);
    int taken = media_port(w.media);
    struct media_opts o = {.address = "127.0.0.1", .port_min = taken, .port_max = taken};
    CHECK_INT(ERR_IO, media_open(&m, &w.loop, &o, &e));
    o.address = "localhost";
    CHECK_INT(ERR_INVALID, media_open(&m, &w.loop, &o, &e));
    o = (struct media_opts){.address = "127.0.0.1", .port_min = 9, .port_max = 8};
    CHECK_INT(ERR_INVALID, media_open(&m, &w.loop, &o, &e));
    struct media_stream_opts bad_address = {"::1", 9, MEDIA_ULAW, NULL, NULL};
    struct media_stream_opts bad_port = {"127.0.0.1", 65536, MEDIA_ULAW, NULL, NULL};
    struct media_stream_opts bad_codec = {"127.0.0.1", 9, (enum media_codec)18, NULL, NULL};
    CHECK_INT(ERR_INVALID, media_stream_open(&s, w.media, &bad_address, &e));
    CHECK_INT(ERR_INVALID, media_stream_open(&s, w.media, &bad_port, &e));
    CHECK_INT(ERR_INVALID, media_stream_open(&s, w.media, &bad_codec, &e));
    world_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_is_played_in_ulaw_is_what_the_peer_hears),
        RUN(what_is_played_in_alaw_is_what_the_peer_hears),
        RUN(packets_leave_every_20_ms_without_drift),
        RUN(a_stopped_play_fades_and_what_waits_is_told),
        RUN(stopping_one_play_leaves_the_others),
        RUN(sixty_four_plays_may_wait_and_no_more),
        RUN(two_hundred_streams_at_once_all_get_their_audio),
        RUN(more_commands_than_the_ring_holds_are_all_done),
        RUN(what_cannot_be_opened_says_why),
    };
    return RUN_ALL(tests);
}
