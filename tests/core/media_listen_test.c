/* SPDX-License-Identifier: Apache-2.0 */
/* What the media thread hears of peers, and whom it lets hear it. */
#include "media/slice.h"
#include "world_media.h"

/* Frames that p heard in which each code is the same: which codes, in order, silence left out. Others are those made up in
 * place of a packet that a busy machine brought too late, or after the last, and those faded in after them. */
static int heard_codes(const struct peer *p, uint8_t *out) {
    int count = 0;
    for (size_t at = 0; at + FRAME <= p->code_count; at += FRAME)
        if (p->codes[at] != g711_silence(p->codec) && memcmp(p->codes + at, p->codes + at + 1, FRAME - 1) == 0)
            out[count++] = p->codes[at];
    return count;
}

TEST(joined_peers_hear_each_other_and_a_muted_one_is_not_heard) {
    struct media_stream *a, *b, *c;
    uint8_t codes[PACKETS_MAX];
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ULAW), *pc = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    stream_open(&b, pb);
    stream_open(&c, pc);
    CHECK_INT(ERR_INVALID, media_join(a, a, NULL));
    CHECK_INT(0, media_join(a, b, NULL));
    CHECK_INT(0, media_join(b, a, NULL)); /* once is enough */
    talk(pa, 40, 10);
    run_ms(100);
    int n = heard_codes(pb, codes);
    CHECK(n >= 25); /* of 40; the buffer may drop or repeat none, but a busy machine may lose some */
    for (int i = 1; i < n; i++) CHECK(codes[i] > codes[i - 1]);
    CHECK_INT(0, heard_codes(pa, codes)); /* nobody hears himself, nor what he is not joined with */
    CHECK_INT(0, heard_codes(pc, codes));

    media_mute(a, true);
    run_ms(40);
    pb->code_count = 0;
    talk(pa, 10, 10);
    CHECK_INT(0, heard_codes(pb, codes));
    media_mute(a, false);
    media_unjoin(b, a);
    run_ms(40);
    pb->code_count = 0;
    talk(pa, 10, 10);
    CHECK_INT(0, heard_codes(pb, codes));

    media_stream_close(a);
    media_stream_close(b);
    media_stream_close(c);
    world_close();
}

/* More than share the time of one slice: a has its ticks at another time than b. */
TEST(peers_of_different_slices_hear_each_other_in_order) {
    struct media_stream *a, *b, *between[SLICE_FULL];
    uint8_t codes[PACKETS_MAX];
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    for (int i = 0; i < SLICE_FULL - 1; i++) stream_open(&between[i], peer_open(MEDIA_ULAW));
    struct peer *pb = peer_open(MEDIA_ULAW);
    stream_open(&b, pb);
    CHECK_INT(0, media_join(a, b, NULL));
    talk(pa, 40, 10);
    run_ms(100);
    int n = heard_codes(pb, codes);
    CHECK(n >= 25);
    for (int i = 1; i < n; i++) CHECK(codes[i] > codes[i - 1]);
    talk(pb, 40, 10);
    run_ms(100);
    n = heard_codes(pa, codes);
    CHECK(n >= 25);
    for (int i = 1; i < n; i++) CHECK(codes[i] > codes[i - 1]);
    for (int i = 0; i < SLICE_FULL - 1; i++) media_stream_close(between[i]);
    media_stream_close(a);
    media_stream_close(b);
    world_close();
}

TEST(three_joined_are_mixed_and_cut_and_never_wrap) {
    struct media_stream *a, *b, *c;
    uint8_t loud[FRAME];
    int cut = 0;
    world_open(NULL);
    struct peer *pa = peer_open(MEDIA_ULAW), *pb = peer_open(MEDIA_ALAW), *pc = peer_open(MEDIA_ULAW);
    stream_open(&a, pa);
    stream_open(&b, pb);
    stream_open(&c, pc);
    CHECK_INT(0, media_join(a, c, NULL));
    CHECK_INT(0, media_join(b, c, NULL));
    for (int i = 0; i < 20; i++) {
        memset(loud, 0x80, sizeof loud); /* the loudest of µ-law, and of A-law */
        peer_send(pa, MEDIA_ULAW, loud);
        memset(loud, 0xaa, sizeof loud);
        peer_send(pb, MEDIA_ALAW, loud);
        run_ms(20);
    }
    for (size_t i = 0; i < pc->code_count; i++) {
        CHECK(g711_decode_table(MEDIA_ULAW)[pc->codes[i]] >= 0);
        if (pc->codes[i] == 0x80) cut++;
    }
    CHECK(cut > 5 * FRAME);
    media_stream_close(c);
    media_stream_close(b);
    media_stream_close(a);
    world_close();
}

TEST(nine_streams_cannot_be_joined_with_one) {
    struct media_stream *s[10];
    world_open(NULL);
    for (int i = 0; i < 10; i++) stream_open(&s[i], peer_open(MEDIA_ULAW));
    for (int i = 1; i <= 8; i++) CHECK_INT(0, media_join(s[0], s[i], NULL));
    CHECK_INT(ERR_LIMIT, media_join(s[0], s[9], NULL));
    media_stream_close(s[3]); /* makes room */
    CHECK_INT(0, media_join(s[9], s[0], NULL));
    run_ms(60);
    world_close(); /* with all the others open */
}

TEST(unknown_sources_and_wrong_payload_types_are_dropped) {
    struct media_stream *s;
    struct media_stats stats;
    struct metrics *metrics;
    uint8_t codes[FRAME], garbage[100] = {0};
    memset(codes, 0x20, sizeof codes);
    CHECK_INT(0, metrics_open(&metrics, -1, 1, 0, NULL));
    world_open(metrics);
    struct peer *known = peer_open(MEDIA_ULAW), *unknown = peer_open(MEDIA_ULAW);
    stream_open(&s, known);
    for (int i = 0; i < 5; i++) {
        peer_send(unknown, MEDIA_ULAW, codes);
        peer_send(known, 101, codes);
        peer_send(known, MEDIA_ALAW, codes);
    }
    sendto(known->fd, garbage, sizeof garbage, 0, (struct sockaddr *)&w.media_at, sizeof w.media_at);
    run_ms(80);
    media_stream_stats(s, &stats);
    CHECK_INT(0, stats.received);
    CHECK_INT(5, stats.dropped_unknown);
    CHECK(find(MEDIA_HEARD, 0) == NULL);
    peer_send(known, MEDIA_ULAW, codes);
    peer_send(known, 101, codes); /* counts as a number, not as a loss */
    peer_send(known, MEDIA_ULAW, codes);
    wait_for(MEDIA_HEARD, 0);
    run_ms(40);
    media_stream_stats(s, &stats);
    CHECK_INT(2, stats.received);
    CHECK_INT(0, stats.lost);
    CHECK(metrics_last_beat(metrics, 0, BEAT_MEDIA).at_ms > 0);
    CHECK_INT(5, metric_value(metrics_counter(metrics, "media_packets_unknown_total", "", "")));
    CHECK_INT(1, metric_value(metrics_counter(metrics, "media_packets_invalid_total", "", "")));
    media_stream_close(s);
    peer_send(known, MEDIA_ULAW, codes);
    run_ms(60);
    CHECK_INT(6, metric_value(metrics_counter(metrics, "media_packets_unknown_total", "", "")));
    world_close();
    metrics_close(metrics);
}

TEST(the_first_source_is_kept_until_it_has_been_silent_for_half_a_second) {
    struct media_stream *s;
    struct media_stats stats;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    talk(p, 5, 10);
    p->ssrc++;
    talk(p, 5, 10);
    media_stream_stats(s, &stats);
    CHECK_INT(5, stats.received);
    run_ms(600);
    talk(p, 5, 10);
    run_ms(20);
    media_stream_stats(s, &stats);
    CHECK_INT(10, stats.received);
    CHECK_INT(0, stats.lost);
    media_stream_close(s);
    world_close();
}

TEST(lost_packets_are_counted) {
    struct media_stream *s;
    struct media_stats stats;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    talk(p, 5, 10);
    p->seq += 3;
    p->timestamp += 3 * FRAME;
    talk(p, 5, 10);
    run_ms(20);
    media_stream_stats(s, &stats);
    CHECK_INT(10, stats.received);
    CHECK_INT(3, stats.lost);
    media_stream_close(s);
    world_close();
}

/* Asterisk does not hand on the packets of a key, but the numbers after them. It says so before the next packet of sound, or after it. */
TEST(what_a_key_took_of_the_numbers_is_not_lost) {
    struct media_stream *s;
    struct media_stats stats;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    talk(p, 5, 10);
    p->seq += 8;
    p->timestamp += 5 * FRAME;
    talk(p, 2, 10);
    media_key(s);
    talk(p, 5, 10);
    media_key(s);
    run_ms(20);
    p->seq += 8;
    p->timestamp += 5 * FRAME;
    talk(p, 5, 10);
    p->seq += 3; /* this is */
    p->timestamp += 3 * FRAME;
    talk(p, 5, 10);
    run_ms(20);
    media_stream_stats(s, &stats);
    CHECK_INT(3, stats.lost);
    media_stream_close(s);
    world_close();
}

TEST(duplicates_reordering_and_lateness_are_told_apart_and_lower_the_mos) {
    struct media_stream *s;
    struct media_stats stats;
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ULAW);
    stream_open(&s, p);
    media_stream_stats(s, &stats);
    CHECK(stats.mos > 4.3); /* nothing is known against it */
    talk(p, 10, 10);
    media_stream_stats(s, &stats);
    CHECK_INT(0, stats.lost + stats.duplicated + stats.reordered);
    CHECK(stats.mos > 3.5 && stats.mos < 4.5); /* a busy machine may bring some late */
    CHECK(stats.delay_ms >= 20 && stats.delay_ms <= 260);
    CHECK(stats.jitter_us < 20000);
    p->seq--, p->timestamp -= FRAME;
    talk(p, 1, 20); /* again */
    p->seq++, p->timestamp += FRAME;
    talk(p, 1, 21);
    p->seq -= 2, p->timestamp -= 2 * FRAME;
    talk(p, 1, 20); /* the one left out */
    p->seq++, p->timestamp += FRAME;
    talk(p, 1, 22);
    p->seq += 9, p->timestamp += 9 * FRAME;
    talk(p, 5, 23);
    run_ms(100);
    struct media_stats after;
    media_stream_stats(s, &after);
    CHECK_INT(18, after.received);
    CHECK_INT(1, after.duplicated);
    CHECK_INT(1, after.reordered);
    CHECK_INT(9, after.lost);
    CHECK(after.mos < 2.5);
    CHECK(after.concealed_ms >= 60); /* of each gap only so much, and after the last one */
    media_stream_close(s);
    world_close();
}

TEST(speech_quiet_and_silence_of_the_line_are_told) {
    struct media_stream *s;
    int16_t pcm[FRAME];
    uint8_t codes[FRAME];
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ALAW);
    stream_open(&s, p);
    tone(pcm, FRAME, 400, 6000);
    g711_encode(MEDIA_ALAW, codes, pcm, FRAME);
    for (int i = 0; i < 25; i++) {
        peer_send(p, MEDIA_ALAW, codes);
        run_ms(20);
    }
    struct seen *speech = wait_for(MEDIA_SPEECH, 0);
    CHECK(find(MEDIA_HEARD, 0) != NULL && find(MEDIA_HEARD, 0) < speech);
    struct seen *silent = wait_for(MEDIA_SILENT, 0);
    uint32_t quiet_ms = 0;
    for (struct seen *x = speech + 1; x < silent; x++) {
        CHECK(x->event.type == MEDIA_QUIET);
        CHECK_INT(quiet_ms == 0 ? 160 : quiet_ms == 160 ? 200 : quiet_ms + 200, x->event.position);
        quiet_ms = x->event.position;
    }
    CHECK(quiet_ms >= 1400);
    run_ms(100);
    int told = w.seen_count;
    for (int i = 0; i < told; i++) CHECK(&w.seen[i] <= silent || w.seen[i].event.type == MEDIA_QUIET); /* only once */
    peer_send(p, MEDIA_ALAW, codes);
    for (int i = 0; i < 50 && w.seen[w.seen_count - 1].event.type != MEDIA_HEARD; i++) run_ms(5);
    CHECK_INT(MEDIA_HEARD, w.seen[w.seen_count - 1].event.type); /* again */
    media_stream_close(s);
    world_close();
}

TEST(speech_is_told_with_how_long_ago_it_was_noticed) {
    struct media_stream *s;
    int16_t pcm[FRAME];
    uint8_t codes[FRAME];
    world_open(NULL);
    struct peer *p = peer_open(MEDIA_ALAW);
    stream_open(&s, p);
    tone(pcm, FRAME, 400, 6000);
    g711_encode(MEDIA_ALAW, codes, pcm, FRAME);
    for (int i = 0; i < 25; i++) {
        peer_send(p, MEDIA_ALAW, codes);
        usleep(20000); /* the loop is busy with something else */
    }
    CHECK(wait_for(MEDIA_SPEECH, 0)->event.position >= 100);
    media_stream_close(s);
    world_close();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(joined_peers_hear_each_other_and_a_muted_one_is_not_heard),
        RUN(speech_is_told_with_how_long_ago_it_was_noticed),
        RUN(peers_of_different_slices_hear_each_other_in_order),
        RUN(three_joined_are_mixed_and_cut_and_never_wrap),
        RUN(nine_streams_cannot_be_joined_with_one),
        RUN(unknown_sources_and_wrong_payload_types_are_dropped),
        RUN(the_first_source_is_kept_until_it_has_been_silent_for_half_a_second),
        RUN(lost_packets_are_counted),
        RUN(what_a_key_took_of_the_numbers_is_not_lost),
        RUN(duplicates_reordering_and_lateness_are_told_apart_and_lower_the_mos),
        RUN(speech_quiet_and_silence_of_the_line_are_told),
    };
    return RUN_ALL(tests);
}
