/* SPDX-License-Identifier: Apache-2.0 */
/* Recording, and closing in the middle of it. */
#include "world_media.h"

struct tape {
    int16_t pcm[2 * CODES_MAX];
    size_t samples, calls;
    unsigned lost;
    struct media_recorder *close_in_callback;
};
static void on_audio(void *arg, const int16_t *pcm, size_t samples, unsigned lost) {
    struct tape *t = arg;
    if (t->samples + samples <= CODES_MAX) {
        memcpy(t->pcm + 2 * t->samples, pcm, 2 * samples * sizeof *pcm);
        t->samples += samples;
    }
    t->lost += lost;
    t->calls++;
    if (t->close_in_callback != NULL) {
        struct media_recorder *r = t->close_in_callback;
        t->close_in_callback = NULL;
        media_recorder_close(r, true);
    }
}
static struct media_recorder *record(struct tape *t, struct media_stream *left, enum media_source left_source,
                                     struct media_stream *right, enum media_source right_source) {
    struct media_recorder *r;
    struct media_recorder_opts o = {left, right, left_source, right_source, 100, on_audio, t};
    CHECK_INT(0, media_recorder_open(&r, w.media, &o, NULL));
    return r;
}
static struct tape *tape_make(void) {
    return calloc(1, sizeof(struct tape));
}

TEST(a_recording_has_the_party_left_and_what_it_hears_right) {
    struct media_stream *s;
    struct tape *t = tape_make();
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    struct media_recorder *r = record(t, s, MEDIA_SAYS, s, MEDIA_HEARS);
    play(s, 1, 4000, false);
    talk(p, 30, 10); /* frames of -20988 .. (codes 10 .. 39, all negative) */
    run_ms(100);
    CHECK(t->calls >= 5);
    media_recorder_close(r, true);
    size_t calls = t->calls;
    run_ms(150);
    CHECK_INT(calls, t->calls); /* nothing after close */
    CHECK(t->samples >= 600 * 8 && t->samples % FRAME == 0);

    int frames = 0;
    int16_t last = INT16_MIN, want[4000];
    for (size_t at = 0; at < t->samples; at += FRAME) {
        int16_t left = t->pcm[2 * at];
        size_t same = 0;
        while (same < FRAME && t->pcm[2 * (at + same)] == left) same++;
        if (left == 0 || same < FRAME) continue; /* the latter are made up: what follows the last, or what came late */
        CHECK(left < 0 && left > last);          /* in order: larger codes are softer */
        last = left;
        frames++;
    }
    CHECK(frames >= 20);
    size_t at = 0;
    while (at < t->samples && t->pcm[2 * at + 1] == 0) at++;
    tone(want, 4000, 437, 8000);
    CHECK(at + 4000 <= t->samples);
    for (size_t i = 0; i < 4000; i++) CHECK_INT(want[i], t->pcm[2 * (at + i) + 1]);
    media_stream_close(s);
    world_close();
    free(t);
}

TEST(a_recorder_goes_on_when_its_stream_closes_and_follows_a_new_one) {
    struct media_stream *a, *b;
    struct tape *t = tape_make();
    world_open(NULL);
    stream_open(&a, peer_open(MEDIA_ULAW));
    stream_open(&b, peer_open(MEDIA_ULAW));
    struct media_recorder *r = record(t, a, MEDIA_HEARS, NULL, MEDIA_SAYS);
    play(a, 1, 800, true);
    play(b, 2, 800, true);
    run_ms(200);
    media_stream_close(a);
    run_ms(200);
    size_t while_open = t->samples;
    CHECK(t->pcm[2 * (while_open - 1)] == 0); /* silence, but still a recording */
    media_recorder_set(r, b, NULL);
    run_ms(300);
    CHECK(t->samples > while_open);
    CHECK(t->pcm[2 * (t->samples - 1)] != 0);
    for (size_t i = 0; i < t->samples; i++) CHECK_INT(0, t->pcm[2 * i + 1]);
    media_recorder_close(r, false);
    media_stream_close(b);
    world_close();
    free(t);
}

TEST(a_recorder_may_be_closed_from_its_own_callback) {
    struct media_stream *s;
    struct tape *t = tape_make(), *other = tape_make();
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    t->close_in_callback = record(t, s, MEDIA_HEARS, NULL, MEDIA_SAYS);
    other->close_in_callback = record(other, s, MEDIA_HEARS, NULL, MEDIA_SAYS);
    run_ms(150);
    usleep(250000); /* several chunks wait when the loop comes back */
    run_ms(100);
    size_t calls = t->calls, samples = t->samples;
    CHECK(calls >= 1 && samples >= 100 * 8);
    CHECK(other->calls >= 1);
    CHECK(t->close_in_callback == NULL);
    run_ms(150);
    CHECK_INT(calls, t->calls);
    media_stream_close(s);
    world_close();
    free(t);
    free(other);
}

static void close_it(void *arg, const struct media_event *ev) {
    struct media_stream **s = arg;
    (void)ev;
    if (*s != NULL) media_stream_close(*s);
    CHECK(*s != NULL); /* no event after close */
    *s = NULL;
}

TEST(everything_may_be_closed_in_the_middle_of_everything) {
    struct media_stream *a, *b, *c;
    struct tape *t = tape_make();
    for (int round = 0; round < 8; round++) {
        world_open(NULL);
        struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ULAW), *pc = peer_open(MEDIA_ULAW);
        stream_open(&a, pa);
        stream_open(&b, pb);
        struct media_stream_opts o = {"127.0.0.1", pc->port, MEDIA_ULAW, close_it, &c};
        CHECK_INT(0, media_stream_open(&c, w.media, &o, NULL));
        CHECK_INT(ERR_EXISTS, media_stream_open(&c, w.media, &o, NULL));
        struct media_recorder *r = record(t, a, MEDIA_SAYS, b, MEDIA_HEARS);
        struct media_recorder *left_open = record(t, b, MEDIA_SAYS, a, MEDIA_HEARS);
        CHECK(left_open != NULL);
        CHECK_INT(0, media_join(a, b, NULL));
        CHECK_INT(0, media_join(a, c, NULL));
        for (uint64_t id = 1; id <= 3; id++) play(a, id, 700, id == 3);
        play(b, 4, 80, true);
        play(c, 5, 160, false); /* its end closes c */
        if (round % 2) run_ms(100);
        media_stop(b, 4);
        if (round % 4 > 1) run_ms(10);
        media_stream_close(a);
        if (round & 4) media_recorder_close(r, true);
        stream_open(&a, pa); /* the same peer at once again */
        play(a, 6, 800, true);
        if (round % 2) run_ms(60);
        if (round == 7) media_stream_close(b);
        world_close();
    }
    free(t);
}

TEST(closing_goes_on_after_media_close) {
    struct media_stream *s;
    struct tape *t = tape_make();
    world_open(NULL);
    stream_open(&s, peer_open(MEDIA_ULAW));
    struct media_recorder *r = record(t, s, MEDIA_SAYS, NULL, MEDIA_SAYS);
    run_ms(50);
    media_close(w.media, on_closed, &w.closed);
    struct media_stream_opts o = {"127.0.0.1", 9, MEDIA_ULAW, NULL, NULL};
    CHECK_INT(ERR_CLOSED, media_stream_open(&s, w.media, &o, NULL));
    play(s, 1, 800, false);
    media_recorder_close(r, false);
    media_stream_close(s);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK(w.closed);
    CHECK_INT(0, uv_loop_close(&w.loop));
    close(w.peers[0]->fd);
    free(w.peers[0]);
    free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_recording_has_the_party_left_and_what_it_hears_right),
        RUN(a_recorder_goes_on_when_its_stream_closes_and_follows_a_new_one),
        RUN(a_recorder_may_be_closed_from_its_own_callback),
        RUN(everything_may_be_closed_in_the_middle_of_everything),
        RUN(closing_goes_on_after_media_close),
    };
    return RUN_ALL(tests);
}
