/* SPDX-License-Identifier: Apache-2.0 */
/* The media thread as a worker uses it, with real UDP peers on the loopback interface. */
#include "media/g711.h"
#include "media/media.h"
#include "media/rtp.h"
#include "metrics/metrics.h"
#include "test.h"
#include <arpa/inet.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { FRAME = 160, CODES_MAX = 8000 * 5, PACKETS_MAX = 300, EVENTS_MAX = 400, PORT_MIN = 23000, PORT_MAX = 23999 };

/* What Asterisk is to us: an address that sends and gets RTP. */
struct peer {
    int fd, port;
    enum media_codec codec;
    uint16_t seq;
    uint32_t timestamp, ssrc;
    struct arrival {
        uint64_t at_us;
        struct rtp rtp;
    } packets[PACKETS_MAX];
    int packet_count;
    uint8_t codes[CODES_MAX]; /* all payloads one after the other */
    size_t code_count;
};

struct seen {
    struct media_event event;
    struct media_stream *stream;
};

static struct world {
    uv_loop_t loop;
    struct media *media;
    struct sockaddr_in media_at;
    struct peer *peers[256];
    int peer_count;
    struct seen seen[EVENTS_MAX];
    int seen_count;
    bool closed;
} w;

static void on_closed(void *arg) {
    *(bool *)arg = true;
}

static void world_open(struct metrics *metrics) {
    struct err e = {0};
    memset(&w, 0, sizeof w);
    CHECK_INT(0, uv_loop_init(&w.loop));
    struct media_opts o = {.address = "127.0.0.1", .port_min = PORT_MIN, .port_max = PORT_MAX, .metrics = metrics};
    CHECK_INT(0, media_open(&w.media, &w.loop, &o, &e));
    CHECK(media_port(w.media) >= PORT_MIN && media_port(w.media) <= PORT_MAX);
    CHECK_STR("127.0.0.1", media_address(w.media));
    w.media_at.sin_family = AF_INET;
    w.media_at.sin_port = htons((uint16_t)media_port(w.media));
    w.media_at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
}

static void world_close(void) {
    media_close(w.media, on_closed, &w.closed);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK(w.closed);
    CHECK_INT(0, uv_loop_close(&w.loop));
    for (int i = 0; i < w.peer_count; i++) {
        close(w.peers[i]->fd);
        free(w.peers[i]);
    }
}

static struct peer *peer_open(enum media_codec codec) {
    struct peer *p = calloc(1, sizeof *p);
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int on = 1;
    p->codec = codec;
    p->ssrc = 0x1000u + (unsigned)w.peer_count;
    p->seq = 65530; /* wraps soon */
    p->timestamp = 0xffffff00;
    p->fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    CHECK_INT(0, bind(p->fd, (struct sockaddr *)&at, sizeof at));
    CHECK_INT(0, getsockname(p->fd, (struct sockaddr *)&at, &len));
    CHECK_INT(0, setsockopt(p->fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on));
    p->port = ntohs(at.sin_port);
    w.peers[w.peer_count++] = p;
    return p;
}

static void peer_send(struct peer *p, int payload_type, const uint8_t codes[FRAME]) {
    uint8_t packet[RTP_HEADER_BYTES + FRAME];
    rtp_build(packet,
              &(struct rtp){
                  .payload_type = (uint8_t)payload_type, .seq = p->seq++, .timestamp = p->timestamp, .ssrc = p->ssrc});
    p->timestamp += FRAME;
    memcpy(packet + RTP_HEADER_BYTES, codes, FRAME);
    sendto(p->fd, packet, sizeof packet, 0, (struct sockaddr *)&w.media_at, sizeof w.media_at);
}

static void peer_receive(struct peer *p) {
    uint8_t packet[2048];
    char control[256];
    struct iovec iov = {packet, sizeof packet};
    for (;;) {
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t len = recvmsg(p->fd, &m, 0);
        if (len < 0) return;
        if (p->packet_count == PACKETS_MAX || p->code_count + FRAME > CODES_MAX) continue;
        struct arrival *a = &p->packets[p->packet_count++];
        CHECK(rtp_parse(&a->rtp, packet, (size_t)len));
        CHECK_INT(FRAME, a->rtp.payload_len);
        CHECK_INT(p->codec, a->rtp.payload_type);
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        CHECK(c != NULL && c->cmsg_type == SCM_TIMESTAMPNS);
        struct timespec at;
        memcpy(&at, CMSG_DATA(c), sizeof at);
        a->at_us = (uint64_t)at.tv_sec * 1000000 + (uint64_t)at.tv_nsec / 1000;
        memcpy(p->codes + p->code_count, a->rtp.payload, FRAME);
        p->code_count += FRAME;
    }
}

static void peers_receive(void) {
    for (int i = 0; i < w.peer_count; i++) peer_receive(w.peers[i]);
}

static void on_event(void *arg, const struct media_event *ev) {
    if (w.seen_count < EVENTS_MAX) w.seen[w.seen_count++] = (struct seen){*ev, *(struct media_stream **)arg};
}

static void stream_open(struct media_stream **out, const struct peer *p) {
    struct err e = {0};
    struct media_stream_opts o = {"127.0.0.1", p->port, p->codec, on_event, out};
    CHECK_INT(0, media_stream_open(out, w.media, &o, &e));
}

static void on_time(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}
static void run_ms(unsigned ms) {
    uv_timer_t timer;
    bool over = false;
    uv_update_time(&w.loop);
    uv_timer_init(&w.loop, &timer);
    timer.data = &over;
    uv_timer_start(&timer, on_time, ms, 0);
    while (!over) uv_run(&w.loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&w.loop, UV_RUN_NOWAIT);
    peers_receive();
}

static struct seen *find(enum media_event_type type, uint64_t id) {
    for (int i = 0; i < w.seen_count; i++)
        if (w.seen[i].event.type == type && w.seen[i].event.id == id) return &w.seen[i];
    return NULL;
}
/* Runs until the event has come, 5 s at most. */
static struct seen *wait_for(enum media_event_type type, uint64_t id) {
    for (int i = 0; i < 250 && find(type, id) == NULL; i++) run_ms(20);
    CHECK(find(type, id) != NULL);
    return find(type, id);
}

/* A tone that begins loud and in which no sample becomes the code of silence. */
static void tone(int16_t *pcm, size_t samples, double hz, double level) {
    for (size_t i = 0; i < samples; i++) {
        pcm[i] = (int16_t)lround(level * cos(2 * M_PI * hz * (double)i / 8000));
        if (pcm[i] > -40 && pcm[i] < 40) pcm[i] = 40;
    }
}
static struct media_audio *tone_audio(size_t samples, double hz, double level) {
    int16_t *pcm = malloc(samples * sizeof *pcm);
    tone(pcm, samples, hz, level);
    struct media_audio *a = media_audio_new(pcm, samples);
    free(pcm);
    return a;
}
static void play(struct media_stream *s, uint64_t id, size_t samples, bool loop) {
    struct media_audio *a = tone_audio(samples, 437, 8000);
    CHECK_INT(0, media_play(s, id, a, loop, NULL));
    media_audio_unref(a); /* the queue has its own reference */
}

/* Where p heard the first code that is not silence. */
static size_t first_sound(const struct peer *p) {
    size_t i = 0;
    while (i < p->code_count && p->codes[i] == g711_silence(p->codec)) i++;
    return i;
}

/* Frames that p heard in which each code is the same: which codes, in order, silence left out. */
static int heard_codes(const struct peer *p, uint8_t *out) {
    int count = 0;
    for (size_t at = 0; at + FRAME <= p->code_count; at += FRAME)
        if (p->codes[at] != g711_silence(p->codec)) out[count++] = p->codes[at];
    return count;
}

/* ---- out ---- */

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

/* ---- in ---- */

/* Frames of one code each, counting up, every 20 ms. */
static void talk(struct peer *p, int frames, int first_code) {
    uint8_t codes[FRAME];
    for (int i = 0; i < frames; i++) {
        memset(codes, first_code + i, sizeof codes);
        peer_send(p, p->codec, codes);
        run_ms(20);
    }
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
    CHECK(metrics_last_beat_ms(metrics, 0, BEAT_MEDIA) > 0);
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
        CHECK_INT(quiet_ms + 200, x->event.position);
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

/* ---- recording ---- */

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
        for (size_t i = 0; i < FRAME; i++) CHECK_INT(left, t->pcm[2 * (at + i)]);
        if (left == 0) continue;
        CHECK(left < 0 && left > last); /* in order: larger codes are softer */
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

/* ---- many, and closing ---- */

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
        RUN(joined_peers_hear_each_other_and_a_muted_one_is_not_heard),
        RUN(three_joined_are_mixed_and_cut_and_never_wrap),
        RUN(nine_streams_cannot_be_joined_with_one),
        RUN(unknown_sources_and_wrong_payload_types_are_dropped),
        RUN(the_first_source_is_kept_until_it_has_been_silent_for_half_a_second),
        RUN(lost_packets_are_counted),
        RUN(speech_quiet_and_silence_of_the_line_are_told),
        RUN(a_recording_has_the_party_left_and_what_it_hears_right),
        RUN(a_recorder_goes_on_when_its_stream_closes_and_follows_a_new_one),
        RUN(a_recorder_may_be_closed_from_its_own_callback),
        RUN(two_hundred_streams_at_once_all_get_their_audio),
        RUN(everything_may_be_closed_in_the_middle_of_everything),
        RUN(closing_goes_on_after_media_close),
        RUN(more_commands_than_the_ring_holds_are_all_done),
        RUN(what_cannot_be_opened_says_why),
    };
    return RUN_ALL(tests);
}
