/* SPDX-License-Identifier: Apache-2.0 */
/* Plays whose sound comes in pieces, as peers hear them, and what is made softer for a while. */
#include "media/feed.h"
#include "media/player.h"
#include "world_media.h"

static void begin(struct media_stream *s, uint64_t id, int rate) {
    struct err e = {0};
    struct media_play_opts o = {.rate = rate};
    if (media_play_begin(s, id, &o, &e) < 0) fail_msg("%s", e.text);
}

TEST(what_comes_in_pieces_is_heard_whole_in_its_place_of_the_queue) {
    struct media_stream *s;
    enum { PIECE = 1000, PIECES = 4, SAMPLES = PIECE * PIECES };
    int16_t pcm[SAMPLES];
    uint8_t want[800 + SAMPLES + 800];
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ALAW);
    stream_open(&s, p);
    tone(pcm, 800, 437, 8000);
    g711_encode(MEDIA_ALAW, want, pcm, 800);
    memcpy(want + 800 + SAMPLES, want, 800);
    tone(pcm, SAMPLES, 300, 6000);
    g711_encode(MEDIA_ALAW, want + 800, pcm, SAMPLES);
    play(s, 1, 800, false);
    begin(s, 2, 8000);
    play(s, 3, 800, false);
    CHECK_INT(ERR_EXISTS, media_play_begin(s, 2, &(struct media_play_opts){0}, NULL));
    for (int i = 0; i < PIECES; i++) {
        CHECK_INT(0, media_play_append(s, 2, pcm + i * PIECE, PIECE * 2, NULL));
        if (i == 1) run_ms(20);
    }
    CHECK_INT(0, media_play_end(s, 2, NULL));
    struct media_play_state now;
    CHECK_INT(0, media_play_state(s, 2, &now, NULL));
    CHECK_INT(SAMPLES / 8, now.sent_ms + now.waiting_ms);
    wait_for(MEDIA_PLAYED, 3);
    struct seen *played = find(MEDIA_PLAYED, 2);
    CHECK(played != NULL && find(MEDIA_PLAYED, 1) < played && played < find(MEDIA_PLAYED, 3));
    CHECK_INT(SAMPLES / 8, played->event.position);
    CHECK_INT(0, played->event.underruns + played->event.starved_ms);
    CHECK_INT(ERR_NOT_FOUND, media_play_append(s, 2, pcm, 2, NULL));
    CHECK_INT(ERR_NOT_FOUND, media_play_end(s, 2, NULL));
    CHECK_INT(ERR_NOT_FOUND, media_play_state(s, 2, &now, NULL));
    run_ms(60);
    assert_memory_equal(want, p->codes + first_sound(p), sizeof want);
    media_stream_close(s);
    world_close();
}

TEST(a_wait_for_more_is_silence_and_is_told_with_the_position_of_what_was_sent) {
    struct media_stream *s;
    int16_t pcm[2400];
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    tone(pcm, 2400, 300, 6000);
    begin(s, 1, 24000);
    run_ms(60);
    media_play_append(s, 1, pcm, sizeof pcm, NULL); /* 100 ms */
    run_ms(400);
    struct media_play_state now;
    CHECK_INT(0, media_play_state(s, 1, &now, NULL));
    CHECK(now.sent_ms >= 90 && now.sent_ms <= 100);
    media_play_append(s, 1, pcm, sizeof pcm, NULL);
    media_play_end(s, 1, NULL);
    struct seen *played = wait_for(MEDIA_PLAYED, 1);
    CHECK(played->event.position >= 199 && played->event.position <= 201);
    CHECK_INT(1, played->event.underruns);
    CHECK(played->event.starved_ms >= 200 && played->event.starved_ms <= 1000);
    size_t silence = 0, at = first_sound(p);
    for (size_t i = at; i < at + 8 * 300; i++) silence += p->codes[i] == g711_silence(MEDIA_ULAW);
    CHECK(silence > 8 * 100);
    media_stream_close(s);
    world_close();
}

/* The kernel's clock of arrivals. */
static uint64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

TEST(its_first_sample_is_told_when_it_goes_out_once_and_with_how_long_ago_that_was) {
    struct media_stream *s;
    int16_t pcm[2400];
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    tone(pcm, 2400, 300, 6000);
    begin(s, 7, 24000);
    begin(s, 8, 8000);
    run_ms(100);
    CHECK(find(MEDIA_BEGUN, 7) == NULL); /* silence that waits for it is none of it */
    media_play_append(s, 7, pcm, sizeof pcm, NULL);
    media_play_append(s, 8, pcm, sizeof pcm, NULL);
    usleep(100 * 1000); /* the loop is busy */
    for (int i = 0; i < 200 && find(MEDIA_BEGUN, 7) == NULL; i++) uv_run(&w.loop, UV_RUN_NOWAIT);
    CHECK(find(MEDIA_BEGUN, 7) != NULL);
    uint64_t told_us = now_us() - find(MEDIA_BEGUN, 7)->event.position * 1000ull;
    run_ms(300);
    CHECK(find(MEDIA_BEGUN, 8) == NULL); /* the one before it waits for more, not it */
    uint64_t heard_us = p->packets[first_sound(p) / FRAME].at_us;
    CHECK(find(MEDIA_BEGUN, 7)->event.position >= 40);
    CHECK(told_us + 15000 > heard_us && told_us < heard_us + 15000);
    media_play_append(s, 7, pcm, sizeof pcm, NULL); /* after a wait it does not begin again */
    media_play_end(s, 7, NULL);
    media_play_end(s, 8, NULL);
    wait_for(MEDIA_PLAYED, 8);
    CHECK(find(MEDIA_BEGUN, 7) < find(MEDIA_PLAYED, 7) && find(MEDIA_PLAYED, 7) < find(MEDIA_BEGUN, 8));
    int begun = 0;
    for (int i = 0; i < w.seen_count; i++) begun += w.seen[i].event.type == MEDIA_BEGUN;
    CHECK_INT(2, begun);
    media_stream_close(s);
    world_close();
}

TEST(what_was_stopped_before_its_first_sample_has_not_begun) {
    struct media_stream *s;
    int16_t pcm[800];
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    tone(pcm, 800, 300, 6000);
    play(s, 1, 800, true);
    begin(s, 2, 8000);
    media_play_append(s, 2, pcm, sizeof pcm, NULL);
    begin(s, 3, 8000);
    run_ms(60);
    media_stop(s, 2);
    media_stop(s, 1);
    CHECK_INT(0, wait_for(MEDIA_STOPPED, 2)->event.position);
    media_play_end(s, 3, NULL); /* nothing came */
    wait_for(MEDIA_PLAYED, 3);
    for (int i = 0; i < w.seen_count; i++) CHECK(w.seen[i].event.type != MEDIA_BEGUN);
    media_stream_close(s);
    world_close();
}

static bool note_moment(void *arg, const struct play *play, enum play_moment moment) {
    int *told = arg; /* [0]: so many are refused; then how many came of each moment */
    CHECK(!play->over || moment != PLAY_BEGUN || play->sent > 0);
    if (told[0] > 0) {
        told[0]--;
        return false;
    }
    told[1 + moment]++;
    return true;
}

TEST(that_it_has_begun_is_told_again_when_there_was_no_room_for_it) {
    struct player player = {0};
    struct feed *f;
    int16_t pcm[FRAME * 5];
    int told[4] = {2, 0, 0, 0};
    tone(pcm, FRAME * 5, 300, 6000);
    CHECK_INT(0, feed_new(&f, 1, 8000, 0, NULL));
    CHECK_INT(0, feed_append(f, pcm, sizeof pcm, NULL));
    feed_end(f);
    player_add(&player, &(struct play){.id = 1, .feed = f});
    for (int frame = 1; frame <= 5; frame++) {
        int32_t sum[FRAME] = {0};
        player_frame(&player, sum, note_moment, told);
        CHECK_INT(frame >= 3, told[1 + PLAY_BEGUN]);
    }
    CHECK_INT(1, told[1 + PLAY_PLAYED]);
    CHECK_INT(0, player.count);
    feed_free(f);
}

TEST(stopped_in_the_middle_it_fades_and_tells_how_much_was_sent) {
    struct media_stream *s;
    static int16_t pcm[8000];
    uint8_t want[8000];
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    tone(pcm, 8000, 437, 8000);
    g711_encode(MEDIA_ULAW, want, pcm, 8000);
    begin(s, 5, 8000);
    begin(s, 6, 16000); /* waits behind it */
    media_play_append(s, 5, pcm, sizeof pcm, NULL);
    run_ms(200);
    media_stop(s, 0);
    struct seen *stopped = wait_for(MEDIA_STOPPED, 5);
    CHECK_INT(0, wait_for(MEDIA_STOPPED, 6)->event.position);
    media_play_append(s, 5, pcm, 2, NULL); /* comes too late and is nobody's */
    run_ms(60);
    size_t at = first_sound(p), sent = stopped->event.position * 8u;
    CHECK(sent >= 8 * 100 && sent <= 8 * 600);
    assert_memory_equal(want, p->codes + at, sent - 80);
    const int16_t *table = g711_decode_table(MEDIA_ULAW);
    for (size_t i = sent - 80; i < sent; i++)
        CHECK(abs(table[p->codes[at + i]]) <= abs(pcm[i]) * (int)(sent - i) / 80 + 300);
    for (size_t i = at + sent; i < p->code_count; i++) CHECK_INT(g711_silence(MEDIA_ULAW), p->codes[i]);
    media_stream_close(s);
    world_close();
}

/* The loudest that p heard in the last so many ms. */
static int loudest(const struct peer *p, size_t ms) {
    int most = 0;
    for (size_t i = p->code_count - 8 * ms; i < p->code_count; i++) {
        int now = abs(g711_decode_table(p->codec)[p->codes[i]]);
        if (now > most) most = now;
    }
    return most;
}

TEST(what_is_played_can_be_made_softer_and_loud_again_without_a_step) {
    struct media_stream *s, *other;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ALAW), *q = peer_open(MEDIA_ALAW);
    stream_open(&s, p);
    stream_open(&other, q);
    struct media_audio *a = tone_audio(8000, 400, 8000);
    CHECK_INT(0, media_play(s, 1, a, true, NULL));
    CHECK_INT(0, media_play(other, 1, a, true, NULL));
    run_ms(200);
    CHECK(loudest(p, 60) > 7700);
    size_t from = p->code_count;
    media_duck(s, -12, 60);
    run_ms(240);
    CHECK(loudest(p, 60) > 1900 && loudest(p, 60) < 2110); /* 8000 less 12 dB are 2010 */
    CHECK(loudest(q, 60) > 7700);                          /* the others are as they were */
    media_duck(s, 0, 60);
    run_ms(240);
    CHECK(loudest(p, 60) > 7700);
    const int16_t *table = g711_decode_table(MEDIA_ALAW);
    for (size_t i = from; i < p->code_count; i++) CHECK(abs(table[p->codes[i]] - table[p->codes[i - 1]]) < 3200);
    media_audio_unref(a);
    media_stream_close(s);
    media_stream_close(other);
    world_close();
}

TEST(those_joined_are_not_made_softer) {
    struct media_stream *a, *b;
    uint8_t loud[FRAME];
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    stream_open(&b, pb);
    CHECK_INT(0, media_join(a, b, NULL));
    media_duck(b, -60, 5);
    memset(loud, 0x90, sizeof loud);
    for (int i = 0; i < 15; i++) {
        peer_send(pa, MEDIA_ULAW, loud);
        run_ms(20);
    }
    CHECK_INT(g711_decode_table(MEDIA_ULAW)[0x90], loudest(pb, 200));
    media_stream_close(a);
    media_stream_close(b);
    world_close();
}

TEST(closing_in_the_middle_leaves_nothing_behind) {
    struct media_stream *s;
    static int16_t pcm[16000];
    for (int round = 0; round < 6; round++) {
        world_open(NULL);
        stream_open(&s, peer_open(MEDIA_ULAW));
        for (uint64_t id = 1; id <= 3; id++) {
            begin(s, id, id == 2 ? 24000 : 8000);
            media_play_append(s, id, pcm, sizeof pcm, NULL);
        }
        if (round % 2) run_ms(60);
        if (round % 3 == 0) media_stop(s, 2);
        if (round % 3 == 1) media_stop(s, 0);
        if (round < 4) media_stream_close(s);
        if (round % 2) run_ms(30);
        world_close();
    }
    world_open(NULL); /* one that began after the thread was told to end */
    stream_open(&s, peer_open(MEDIA_ULAW));
    media_close(w.media, on_closed, &w.closed);
    begin(s, 9, 8000);
    media_play_append(s, 9, pcm, 320, NULL);
    media_stream_close(s);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK(w.closed);
    CHECK_INT(0, uv_loop_close(&w.loop));
    close(w.peers[0]->fd);
    free(w.peers[0]);
}

TEST(sixty_four_may_wait_whatever_their_kind) {
    struct media_stream *s;
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    for (uint64_t id = 1; id <= 65; id++) begin(s, id, 8000);
    CHECK_INT(ERR_LIMIT, media_play_begin(s, 66, &(struct media_play_opts){0}, NULL));
    for (uint64_t id = 1; id <= 65; id++) CHECK_INT(0, media_play_end(s, id, NULL));
    wait_for(MEDIA_PLAYED, 65);
    CHECK_INT(ERR_INVALID, media_play_begin(s, 67, &(struct media_play_opts){.rate = 11025}, NULL));
    begin(s, 68, 8000);
    media_stream_close(s);
    world_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_comes_in_pieces_is_heard_whole_in_its_place_of_the_queue),
        RUN(a_wait_for_more_is_silence_and_is_told_with_the_position_of_what_was_sent),
        RUN(its_first_sample_is_told_when_it_goes_out_once_and_with_how_long_ago_that_was),
        RUN(what_was_stopped_before_its_first_sample_has_not_begun),
        RUN(that_it_has_begun_is_told_again_when_there_was_no_room_for_it),
        RUN(stopped_in_the_middle_it_fades_and_tells_how_much_was_sent),
        RUN(what_is_played_can_be_made_softer_and_loud_again_without_a_step),
        RUN(those_joined_are_not_made_softer),
        RUN(closing_in_the_middle_leaves_nothing_behind),
        RUN(sixty_four_may_wait_whatever_their_kind),
    };
    return RUN_ALL(tests);
}
