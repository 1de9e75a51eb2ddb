/* SPDX-License-Identifier: Apache-2.0 */
/* A world for tests of the media thread: a loop, the thread, and peers on the loopback interface that take down what they
 * hear. */
#pragma once
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

static inline void on_closed(void *arg) {
    *(bool *)arg = true;
}

static inline void world_open(struct metrics *metrics) {
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

static inline void world_close(void) {
    media_close(w.media, on_closed, &w.closed);
    uv_run(&w.loop, UV_RUN_DEFAULT);
    CHECK(w.closed);
    CHECK_INT(0, uv_loop_close(&w.loop));
    for (int i = 0; i < w.peer_count; i++) {
        close(w.peers[i]->fd);
        free(w.peers[i]);
    }
}

static inline struct peer *peer_open(enum media_codec codec) {
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

static inline void peer_send(struct peer *p, int payload_type, const uint8_t codes[FRAME]) {
    uint8_t packet[RTP_HEADER_BYTES + FRAME];
    rtp_build(packet,
              &(struct rtp){
                  .payload_type = (uint8_t)payload_type, .seq = p->seq++, .timestamp = p->timestamp, .ssrc = p->ssrc});
    p->timestamp += FRAME;
    memcpy(packet + RTP_HEADER_BYTES, codes, FRAME);
    sendto(p->fd, packet, sizeof packet, 0, (struct sockaddr *)&w.media_at, sizeof w.media_at);
}

static inline void peer_receive(struct peer *p) {
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

static inline void peers_receive(void) {
    for (int i = 0; i < w.peer_count; i++) peer_receive(w.peers[i]);
}

static inline void on_event(void *arg, const struct media_event *ev) {
    if (w.seen_count < EVENTS_MAX) w.seen[w.seen_count++] = (struct seen){*ev, *(struct media_stream **)arg};
}

static inline void stream_open(struct media_stream **out, const struct peer *p) {
    struct err e = {0};
    struct media_stream_opts o = {"127.0.0.1", p->port, p->codec, on_event, out};
    CHECK_INT(0, media_stream_open(out, w.media, &o, &e));
}

static inline void on_time(uv_timer_t *timer) {
    *(bool *)timer->data = true;
}
static inline void run_ms(unsigned ms) {
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

static inline struct seen *find(enum media_event_type type, uint64_t id) {
    for (int i = 0; i < w.seen_count; i++)
        if (w.seen[i].event.type == type && w.seen[i].event.id == id) return &w.seen[i];
    return NULL;
}
/* Runs until the event has come, 5 s at most. */
static inline struct seen *wait_for(enum media_event_type type, uint64_t id) {
    for (int i = 0; i < 250 && find(type, id) == NULL; i++) run_ms(20);
    CHECK(find(type, id) != NULL);
    return find(type, id);
}

/* A tone that begins loud and in which no sample becomes the code of silence. */
static inline void tone(int16_t *pcm, size_t samples, double hz, double level) {
    for (size_t i = 0; i < samples; i++) {
        pcm[i] = (int16_t)lround(level * cos(2 * M_PI * hz * (double)i / 8000));
        if (pcm[i] > -40 && pcm[i] < 40) pcm[i] = 40;
    }
}
static inline struct media_audio *tone_audio(size_t samples, double hz, double level) {
    int16_t *pcm = malloc(samples * sizeof *pcm);
    tone(pcm, samples, hz, level);
    struct media_audio *a = media_audio_new(pcm, samples);
    free(pcm);
    return a;
}
static inline void play(struct media_stream *s, uint64_t id, size_t samples, bool loop) {
    struct media_audio *a = tone_audio(samples, 437, 8000);
    CHECK_INT(0, media_play(s, id, a, loop, NULL));
    media_audio_unref(a); /* the queue has its own reference */
}

/* Where p heard the first code that is not silence. */
static inline size_t first_sound(const struct peer *p) {
    size_t i = 0;
    while (i < p->code_count && p->codes[i] == g711_silence(p->codec)) i++;
    return i;
}

/* Frames of one code each, counting up, every 20 ms. */
static inline void talk(struct peer *p, int frames, int first_code) {
    uint8_t codes[FRAME];
    for (int i = 0; i < frames; i++) {
        memset(codes, first_code + i, sizeof codes);
        peer_send(p, p->codec, codes);
        run_ms(20);
    }
}
