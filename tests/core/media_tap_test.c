/* SPDX-License-Identifier: Apache-2.0 */
/* What a party says, as a listener gets it. */
#include "world_media.h"

enum { EAR_MAX = 24000 * 4 };
struct ear {
    int16_t pcm[EAR_MAX]; /* each sample at its position */
    size_t end, batches, batch_max, batch_min;
    uint64_t dropped;
    int closed;
    struct media_listener *listener, *close_too;
};

static void on_audio(void *arg, const struct media_heard *heard) {
    struct ear *ear = arg;
    CHECK(heard->position >= ear->end);
    if (heard->position + heard->samples <= EAR_MAX) {
        memcpy(ear->pcm + heard->position, heard->pcm, heard->samples * sizeof *heard->pcm);
        ear->end = heard->position + heard->samples;
    }
    ear->batches++;
    if (heard->samples > ear->batch_max) ear->batch_max = heard->samples;
    ear->dropped += heard->dropped;
    if (ear->close_too == NULL) return;
    media_listener_close(ear->close_too);
    ear->close_too = NULL;
    media_listener_close(ear->listener);
}
static void on_ear_closed(void *arg) {
    ((struct ear *)arg)->closed++;
}

static struct ear *ear_open(struct media_stream *s, int rate, int batch_ms, int keep_ms) {
    struct ear *ear = calloc(1, sizeof *ear);
    struct err e = {0};
    struct media_listen_opts o = {rate, batch_ms, keep_ms, on_audio, on_ear_closed, ear};
    if (media_listen(&ear->listener, s, &o, &e) < 0) fail_msg("%s", e.text);
    return ear;
}

/* A pure tone of 440 Hz at a level of 8000, for so many frames. */
static void say(struct peer *p, int frames) {
    static int at;
    for (int f = 0; f < frames; f++) {
        int16_t pcm[FRAME];
        uint8_t codes[FRAME];
        for (int i = 0; i < FRAME; i++) pcm[i] = (int16_t)lround(8000 * sin(2 * M_PI * 440 * at++ / 8000));
        g711_encode(p->codec, codes, pcm, FRAME);
        peer_send(p, p->codec, codes);
        run_ms(20);
    }
}

/* The level of one frequency in a window of 50 ms from `from` on, in which 20 Hz make a whole round. */
static double level(const int16_t *pcm, int rate, double hz) {
    double re = 0, im = 0;
    int n = rate / 20;
    for (int i = 0; i < n; i++) {
        re += pcm[i] * cos(2 * M_PI * hz * i / rate);
        im += pcm[i] * sin(2 * M_PI * hz * i / rate);
    }
    return 2 * sqrt(re * re + im * im) / n;
}

static void check_rate(int rate) {
    struct media_stream *s;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    struct ear *ear = ear_open(s, rate, 60, 0);
    say(p, 50);
    run_ms(150);
    CHECK(ear->batches >= 15 && ear->batch_max == (size_t)rate * 60 / 1000);
    CHECK(ear->end >= (size_t)rate && ear->end <= (size_t)rate * 3 / 2);
    /* Somewhere in the middle a busy machine has lost nothing: 50 ms of the tone, of its level, and nothing in its mirrors. */
    double best = 0;
    size_t where = 0;
    for (size_t at = 0; at + (size_t)rate / 20 < ear->end; at += (size_t)rate / 100) {
        double now = level(ear->pcm + at, rate, 440);
        if (now > best) best = now, where = at;
    }
    print_message("%d Hz: tone %.0f", rate, best);
    CHECK(best > 7600 && best < 8400);
    for (double hz = 8000 - 440; rate > 8000 && hz < rate / 2; hz += 880) {
        double mirror = level(ear->pcm + where, rate, hz);
        print_message(", mirror at %.0f Hz %.1f dB", hz, 20 * log10(mirror / best + 1e-9));
        CHECK(mirror < best / 300);
    }
    print_message("\n");
    media_listener_close(ear->listener);
    size_t batches = ear->batches;
    run_ms(150);
    CHECK_INT(batches, ear->batches);
    media_stream_close(s);
    CHECK_INT(0, ear->closed);
    world_close();
    free(ear);
}
TEST(a_listener_at_8_khz_gets_what_the_party_says) {
    check_rate(8000);
}
TEST(at_16_khz_it_is_the_same_sound_without_mirrors) {
    check_rate(16000);
}
TEST(at_24_khz_too) {
    check_rate(24000);
}

TEST(a_loop_that_is_behind_loses_what_came_beyond_the_bound_and_is_told_how_much) {
    struct media_stream *s;
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    struct ear *ear = ear_open(s, 16000, 100, 200);
    run_ms(300);
    CHECK_INT(0, ear->dropped);
    usleep(1000 * 1000);
    run_ms(300);
    CHECK(ear->dropped >= 30 && ear->dropped <= 45); /* of 50: 10 were kept */
    CHECK(ear->end >= 16000 * 14 / 10);              /* and the clock went on */
    media_stream_close(s);
    world_close();
    free(ear);
}

TEST(a_muted_party_is_silence) {
    struct media_stream *s;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ALAW);
    stream_open(&s, p);
    media_mute(s, true);
    struct ear *ear = ear_open(s, 0, 0, 0);
    say(p, 20);
    CHECK(ear->end >= 8000 * 3 / 10);
    for (size_t i = 0; i < ear->end; i++) CHECK_INT(0, ear->pcm[i]);
    media_listener_close(ear->listener);
    media_stream_close(s);
    world_close();
    free(ear);
}

TEST(a_stream_that_closes_ends_its_listeners_and_tells_them) {
    struct media_stream *s, *other;
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    stream_open(&other, peer_open(MEDIA_ULAW));
    struct ear *a = ear_open(s, 8000, 20, 0), *b = ear_open(other, 16000, 20, 0), *c = ear_open(s, 24000, 20, 0);
    run_ms(100);
    media_stream_close(s);
    CHECK(a->closed == 1 && b->closed == 0 && c->closed == 1);
    size_t heard = a->batches, still = b->batches;
    run_ms(100);
    CHECK_INT(heard, a->batches);
    CHECK(b->batches > still);
    world_close(); /* with the other one open */
    CHECK_INT(0, b->closed);
    free(a);
    free(b);
    free(c);
}

TEST(listeners_may_be_closed_from_their_own_callback) {
    struct media_stream *s;
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    struct ear *a = ear_open(s, 8000, 40, 0), *b = ear_open(s, 8000, 40, 0), *c = ear_open(s, 8000, 40, 0);
    b->close_too = a->listener; /* the newest is read first, so a comes after b */
    run_ms(200);
    CHECK_INT(1, b->batches);
    size_t heard = a->batches;
    run_ms(100);
    CHECK_INT(heard, a->batches);
    CHECK(c->batches >= 3);
    media_stream_close(s);
    CHECK_INT(0, a->closed + b->closed);
    world_close();
    free(a);
    free(b);
    free(c);
}

TEST(what_cannot_be_listened_to_is_refused) {
    struct media_stream *s;
    struct media_listener *l;
    struct err e = {0};
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    const struct media_listen_opts bad[] = {{44100, 0, 0, on_audio, NULL, NULL}, {0, 10, 0, on_audio, NULL, NULL},
                                            {0, 1001, 0, on_audio, NULL, NULL},  {0, 500, 400, on_audio, NULL, NULL},
                                            {0, 0, 10001, on_audio, NULL, NULL}, {0, 0, 0, NULL, NULL, NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_INT(ERR_INVALID, media_listen(&l, s, &bad[i], &e));
    media_stream_close(s);
    world_close();
}

/* Whom nobody reads is told of once, however long the loop stands still: else thousands of them leave no room. */
TEST(a_loop_that_stood_still_is_told_of_who_began_to_speak_meanwhile) {
    enum { MANY = 128, LISTENERS = 2 };
    struct media_stream *speaks, *silent[MANY];
    int speech = 0;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    struct ear *ears[MANY][LISTENERS];
    stream_open(&speaks, p);
    for (int i = 0; i < MANY; i++) {
        struct media_stream_opts o = {"127.0.0.2", 20000 + i, MEDIA_ULAW, NULL, NULL};
        CHECK_INT(0, media_stream_open(&silent[i], w.media, &o, NULL));
        for (int k = 0; k < LISTENERS; k++) ears[i][k] = ear_open(silent[i], 8000, 20, 2000);
    }
    run_ms(100);
    usleep(1000000); /* nobody looks at the loop */
    for (int f = 0; f < 30; f++) {
        int16_t pcm[FRAME];
        uint8_t codes[FRAME];
        for (int i = 0; i < FRAME; i++) pcm[i] = (int16_t)lround(8000 * sin(2 * M_PI * 440 * (f * FRAME + i) / 8000));
        g711_encode(p->codec, codes, pcm, FRAME);
        peer_send(p, p->codec, codes);
        usleep(20000);
    }
    run_ms(100);
    for (int i = 0; i < w.seen_count; i++) speech += w.seen[i].stream == speaks && w.seen[i].event.type == MEDIA_SPEECH;
    CHECK_INT(1, speech);
    size_t before = ears[0][0]->batches;
    CHECK(before > 0);
    run_ms(200);
    CHECK(ears[0][0]->batches > before); /* and goes on being read */
    for (int i = 0; i < MANY; i++) media_stream_close(silent[i]);
    media_stream_close(speaks);
    world_close();
    for (int i = 0; i < MANY; i++)
        for (int k = 0; k < LISTENERS; k++) free(ears[i][k]);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_listener_at_8_khz_gets_what_the_party_says),
        RUN(at_16_khz_it_is_the_same_sound_without_mirrors),
        RUN(at_24_khz_too),
        RUN(a_loop_that_is_behind_loses_what_came_beyond_the_bound_and_is_told_how_much),
        RUN(a_muted_party_is_silence),
        RUN(a_stream_that_closes_ends_its_listeners_and_tells_them),
        RUN(listeners_may_be_closed_from_their_own_callback),
        RUN(what_cannot_be_listened_to_is_refused),
        RUN(a_loop_that_stood_still_is_told_of_who_began_to_speak_meanwhile),
    };
    return RUN_ALL(tests);
}
