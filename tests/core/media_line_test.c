/* SPDX-License-Identifier: Apache-2.0 */
/* What bad lines and hostile senders do to those who talk, and to those beside them. Seconds of sound, so the bounds are wide: a busy
 * machine is a bad line too. Figures of it stand in tests/bench/RESULTS.md. */
#include "../load/bad_line.h"
#include "base/clock.h"
#include "world_media.h"
#include <pthread.h>
#include <stdatomic.h>

enum { TURN_MS = 2, FRAME_MS = 20, FLIGHTS_MAX = 4096 };

/* A packet on its way. */
struct flight {
    uint64_t at_us;
    struct peer *from;
    size_t len;
    uint8_t bytes[RTP_HEADER_BYTES + FRAME];
};

static struct line {
    struct bad_line how;
    uint64_t last_us[256], until_us;
    struct flight flights[FLIGHTS_MAX];
    int count;
} line;

static void line_open(struct bad_line how) {
    memset(&line, 0, sizeof line);
    line.how = how;
    line.how.random = 7;
}

static void launch(struct peer *p, int payload_type, uint32_t ssrc, uint16_t seq, uint32_t timestamp, int code,
                   uint64_t at_us) {
    CHECK(line.count < FLIGHTS_MAX);
    struct flight *f = &line.flights[line.count++];
    *f = (struct flight){.at_us = at_us, .from = p, .len = sizeof f->bytes};
    rtp_build(f->bytes,
              &(struct rtp){.payload_type = (uint8_t)payload_type, .seq = seq, .timestamp = timestamp, .ssrc = ssrc});
    memset(f->bytes + RTP_HEADER_BYTES, code, FRAME);
}

/* The next frame of that code, through the line. */
static void speak(int i, int payload_type, int code) {
    struct peer *p = w.peers[i];
    uint64_t at_us[2];
    int copies = bad_line_take(&line.how, &line.last_us[i], clock_mono_us(), at_us);
    for (int k = 0; k < copies; k++) launch(p, payload_type, p->ssrc, p->seq, p->timestamp, code, at_us[k]);
    p->seq++;
    p->timestamp += FRAME;
}

static void deliver(void) {
    uint64_t now_us = clock_mono_us();
    int kept = 0;
    for (int i = 0; i < line.count; i++) {
        struct flight *f = &line.flights[i];
        if (f->at_us > now_us)
            line.flights[kept++] = *f;
        else
            sendto(f->from->fd, f->bytes, f->len, 0, (struct sockaddr *)&w.media_at, sizeof w.media_at);
    }
    line.count = kept;
}

/* By the clock, so that who talks keeps his pace however long a turn takes. */
static void run_line_ms(unsigned ms) {
    if (line.until_us == 0) line.until_us = clock_mono_us();
    for (line.until_us += ms * 1000; clock_mono_us() < line.until_us; deliver()) run_ms(TURN_MS);
}

/* The first `peers` talk for so many frames, each of a code of its own, counting up. */
static void talk_over_line(int peers, int frames, int payload_type) {
    for (int n = 0; n < frames; n++) {
        for (int i = 0; i < peers; i++) speak(i, payload_type, 1 + n);
        run_line_ms(FRAME_MS);
    }
    run_line_ms(200);
}

/* Frames that p heard in which each code is the same, which do not count up. */
static int heard_out_of_order(const struct peer *p, int *heard) {
    int last = 0, wrong = 0;
    *heard = 0;
    for (size_t at = 0; at + FRAME <= p->code_count; at += FRAME) {
        const uint8_t *codes = p->codes + at;
        if (codes[0] == g711_silence(p->codec) || memcmp(codes, codes + 1, FRAME - 1) != 0) continue;
        wrong += codes[0] <= last;
        last = codes[0];
        ++*heard;
    }
    return wrong;
}

TEST(one_packet_of_twenty_is_lost_and_made_up_and_the_mos_says_so) {
    static struct media_stream *s[8];
    struct media_stats stats, sum = {0};
    double mos = 0;
    world_open(NULL);
    for (int i = 0; i < 8; i++) stream_open(&s[i], peer_open(MEDIA_ULAW));
    line_open((struct bad_line){.loss = 0.05});
    talk_over_line(8, 100, MEDIA_ULAW);
    for (int i = 0; i < 8; i++) {
        media_stream_stats(s[i], &stats);
        sum.received += stats.received;
        sum.lost += stats.lost;
        sum.concealed_ms += stats.concealed_ms;
        mos += stats.mos / 8;
    }
    CHECK(sum.received > 8 * 85 && sum.lost >= 15 && sum.lost <= 70); /* 40 of 800 */
    CHECK(sum.concealed_ms >= sum.lost * 10);
    CHECK(mos > 2 && mos < 4.3);
    for (int i = 0; i < 8; i++) media_stream_close(s[i]);
    world_close();
}

TEST(what_comes_late_in_any_order_and_twice_is_heard_once_in_its_order) {
    struct media_stream *a, *b;
    struct media_stats stats;
    int heard;
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    stream_open(&b, pb);
    CHECK_INT(0, media_join(a, b, NULL));
    line_open((struct bad_line){.jitter_us = 60000, .overtaken = 0.1, .duplicated = 0.1});
    talk_over_line(1, 110, MEDIA_ULAW);
    media_stream_stats(a, &stats);
    CHECK_INT(0, stats.lost);
    CHECK_INT(110, stats.received);
    CHECK(stats.duplicated >= 2 && stats.reordered >= 2);
    CHECK(stats.delay_ms > 20 && stats.delay_ms < 320); /* it plays 200 ms behind at most */
    CHECK(stats.jitter_us > 2000);
    CHECK_INT(0, heard_out_of_order(pb, &heard));
    CHECK(heard > 30);
    media_stream_close(a);
    media_stream_close(b);
    world_close();
}

TEST(forged_packets_from_the_right_address_are_neither_heard_nor_counted) {
    struct media_stream *a, *b;
    struct media_stats stats;
    int heard;
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    stream_open(&b, pb);
    CHECK_INT(0, media_join(a, b, NULL));
    line_open((struct bad_line){0});
    for (int n = 0; n < 60; n++) {
        speak(0, MEDIA_ULAW, 60 + n);
        for (int k = 0; k < 3; k++)
            launch(pa, MEDIA_ULAW, ~pa->ssrc - (uint32_t)k, (uint16_t)(pa->seq + k),
                   pa->timestamp + (uint32_t)k * FRAME, 1, 0);
        run_line_ms(FRAME_MS);
    }
    run_line_ms(100);
    media_stream_stats(a, &stats);
    CHECK_INT(60, stats.received);
    CHECK_INT(0, stats.lost + stats.duplicated);
    CHECK_INT(0, heard_out_of_order(pb, &heard));
    CHECK(heard > 20);
    media_stream_close(a);
    media_stream_close(b);
    world_close();
}

TEST(another_source_with_numbers_of_its_own_is_heard_when_the_old_one_has_gone) {
    struct media_stream *s;
    struct media_stats stats;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    line_open((struct bad_line){0});
    talk_over_line(1, 30, MEDIA_ULAW);
    for (int k = 0; k < 2; k++) {
        p->ssrc += 0x1234567, p->seq = (uint16_t)(p->seq * 31 + 7), p->timestamp -= 0x40000000;
        talk_over_line(1, 60, MEDIA_ULAW);
    }
    media_stream_stats(s, &stats);
    /* Of each of the two half a second is not taken: it could be a stranger's. */
    CHECK(stats.received >= 30 + 2 * 20 && stats.received <= 30 + 2 * 52);
    CHECK_INT(0, stats.lost);
    media_stream_close(s);
    world_close();
}

TEST(sound_in_a_codec_that_was_not_agreed_on_is_a_gap_and_no_noise) {
    struct media_stream *a, *b;
    struct media_stats stats;
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    stream_open(&b, pb);
    CHECK_INT(0, media_join(a, b, NULL));
    line_open((struct bad_line){0});
    for (int k = 0; k < 3; k++) {
        talk_over_line(1, 20, MEDIA_ULAW);
        talk_over_line(1, 10, MEDIA_ALAW);
        talk_over_line(1, 5, 18);
    }
    media_stream_stats(a, &stats);
    CHECK_INT(60, stats.received);
    CHECK_INT(0, stats.lost);
    CHECK(stats.concealed_ms > 0 && stats.concealed_ms <= 3 * 60 + 300);
    media_stream_close(a);
    media_stream_close(b);
    world_close();
}

/* Without a pause, from strangers and as the first peer: nonsense, headers with every bit, and sound with any number. */
struct flood {
    pthread_t id;
    atomic_bool over;
    atomic_ulong sent;
    bool known;
};

static void *run_flood(void *arg) {
    struct flood *f = arg;
    struct bad_line any = {.random = 3};
    uint8_t bytes[1500];
    int fd = f->known ? w.peers[0]->fd : socket(AF_INET, SOCK_DGRAM, 0);
    while (!atomic_load(&f->over)) {
        size_t len = (size_t)(bad_line_random(&any) * 400);
        for (size_t i = 0; i < len; i++) bytes[i] = (uint8_t)(bad_line_random(&any) * 256);
        if (len >= RTP_HEADER_BYTES && bytes[0] % 2)
            rtp_build(bytes, &(struct rtp){.seq = (uint16_t)(bytes[1] << 8 | bytes[2]),
                                           .timestamp = bytes[3] * 1000003u,
                                           .ssrc = w.peers[0]->ssrc});
        for (int k = 0; k < 20; k++) sendto(fd, bytes, len, 0, (struct sockaddr *)&w.media_at, sizeof w.media_at);
        atomic_fetch_add(&f->sent, 20);
        usleep(500); /* some 20,000 a second: more would be a test of the machine */
    }
    if (!f->known) close(fd);
    return NULL;
}

static void check_flood(bool known) {
    static struct media_stream *s[6];
    struct flood flood = {.known = known};
    struct media_stats stats;
    world_open(NULL);
    for (int i = 0; i < 6; i++) stream_open(&s[i], peer_open(MEDIA_ULAW));
    line_open((struct bad_line){0});
    talk_over_line(6, 10, MEDIA_ULAW);
    CHECK_INT(0, pthread_create(&flood.id, NULL, run_flood, &flood));
    talk_over_line(6, 100, MEDIA_ULAW);
    atomic_store(&flood.over, true);
    pthread_join(flood.id, NULL);
    run_line_ms(100);
    CHECK(atomic_load(&flood.sent) > 1000);
    for (int i = 1; i < 6; i++) { /* the first one's sound is the attacker's to spoil */
        media_stream_stats(s[i], &stats);
        CHECK(stats.received >= 80 && stats.lost <= 25);
        CHECK(w.peers[i]->packet_count >= 60);
    }
    media_stream_stats(s[0], &stats);
    CHECK(known == (stats.dropped_unknown == 0));
    for (int i = 0; i < 6; i++) media_stream_close(s[i]);
    world_close();
}
TEST(a_flood_of_strangers_takes_nothing_from_those_who_talk) {
    check_flood(false);
}
TEST(a_flood_as_one_who_talks_takes_nothing_from_the_others) {
    check_flood(true);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(one_packet_of_twenty_is_lost_and_made_up_and_the_mos_says_so),
        RUN(what_comes_late_in_any_order_and_twice_is_heard_once_in_its_order),
        RUN(forged_packets_from_the_right_address_are_neither_heard_nor_counted),
        RUN(another_source_with_numbers_of_its_own_is_heard_when_the_old_one_has_gone),
        RUN(sound_in_a_codec_that_was_not_agreed_on_is_a_gap_and_no_noise),
        RUN(a_flood_of_strangers_takes_nothing_from_those_who_talk),
        RUN(a_flood_as_one_who_talks_takes_nothing_from_the_others),
    };
    return RUN_ALL(tests);
}
