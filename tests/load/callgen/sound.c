/* SPDX-License-Identifier: Apache-2.0 */
#include "sound.h"
#include "base/clock.h"
#include "base/mem.h"
#include "track.h"
#include "voice.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum {
    STREAMS = SOUND_STREAMS,
    BATCH = 64,
    FRAME = VOICE_FRAME,
    PACKET = 12 + FRAME,
    TURN_US = 2000,
    PHASES = 10, /* turns of a frame */
    FRAMES_A_SECOND = 50,
    WHEEL = 256, /* turns that a packet may be held up */
    TURNS_BEHIND_MAX = 250,
    STRANGERS = 100000,
    LATE_STEP_US = 100,
    LATE_STEPS = 1000,
};
static const uint32_t FIRST = 0x7F400001; /* 127.64.0.1 */

struct stream {
    _Atomic bool active;
    int next_free;
    struct sockaddr_in to;
    uint8_t type;
    uint16_t sequence;
    uint32_t stamp, ssrc, frames;
    uint64_t last_us; /* bad_line.h */
    _Atomic uint64_t say_until_us;
    struct ear *_Atomic ear;
    struct track *track; /* NULL: an ear hears */
};

/* A packet that is to go out. */
struct due {
    uint32_t stream; /* from STREAMS on: a stranger */
    uint32_t stamp, ssrc;
    uint16_t sequence;
    uint8_t type;
    bool talks;
};

struct sound_opts sound_options;
static struct voice voice;
static struct stream *streams;
static int free_first = -1, free_last = -1, used; /* loop thread */
static _Atomic int top;                           /* streams below it may be active */
static int fd = -1, timer = -1, port;
static uint64_t began_us, flooded;
static struct {
    struct due *list;
    size_t count, cap;
} wheel[WHEEL];
static uint64_t late[LATE_STEPS];
static pthread_t thread;
static _Atomic bool stopping;
static _Atomic uint64_t sent, received, strange;

struct control {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo)) + CMSG_SPACE(sizeof(struct timespec))];
    };
};

/* -- what goes out ------------------------------------------------------------------------------------------------------- */

static struct {
    struct mmsghdr messages[BATCH];
    struct iovec parts[BATCH];
    struct control controls[BATCH];
    uint8_t packets[BATCH][PACKET];
    int count;
} batch;

static void send_batch(void) {
    for (int at = 0; at < batch.count;) {
        int done = sendmmsg(fd, batch.messages + at, (unsigned)(batch.count - at), 0);
        if (done <= 0) {
            if (errno == EINTR) continue;
            at++; /* one that cannot be sent (ECONNREFUSED and the like) does not stop the others */
            continue;
        }
        atomic_fetch_add_explicit(&sent, (uint64_t)done, memory_order_relaxed);
        at += done;
    }
    batch.count = 0;
}

static void send_packet(const struct due *d) {
    struct stream *s = &streams[d->stream < STREAMS ? d->stream : 0];
    int n = batch.count;
    uint8_t *p = batch.packets[n];
    uint32_t stamp = htonl(d->stamp), ssrc = htonl(d->ssrc);
    uint16_t sequence = htons(d->sequence);
    p[0] = 0x80, p[1] = d->type;
    memcpy(p + 2, &sequence, 2), memcpy(p + 4, &stamp, 4), memcpy(p + 8, &ssrc, 4);
    /* Each at another place, so that not all say the same at once. */
    if (d->talks)
        memcpy(p + 12, voice_frame(&voice, d->type == 8, d->stamp + UINT64_C(7919) * FRAME * d->stream), FRAME);
    else
        memset(p + 12, d->type == 8 ? 0xD5 : 0xFF, FRAME);
    batch.parts[n] = (struct iovec){p, PACKET};
    struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(FIRST + d->stream)};
    batch.controls[n].head =
        (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof from), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
    memcpy(CMSG_DATA(&batch.controls[n].head), &from, sizeof from);
    batch.messages[n].msg_hdr = (struct msghdr){.msg_name = &s->to,
                                                .msg_namelen = sizeof s->to,
                                                .msg_iov = &batch.parts[n],
                                                .msg_iovlen = 1,
                                                .msg_control = &batch.controls[n],
                                                .msg_controllen = CMSG_SPACE(sizeof from)};
    if (++batch.count == BATCH) send_batch();
}

/* Through the line: now, later, or never. */
static void send_by_line(struct stream *s, const struct due *d, uint64_t turn, uint64_t now_us) {
    uint64_t at_us[2];
    if (!bad_line_is_bad(&sound_options.line)) {
        send_packet(d);
        return;
    }
    int copies = bad_line_take(&sound_options.line, &s->last_us, now_us, at_us);
    for (int i = 0; i < copies; i++) {
        uint64_t turns = (at_us[i] - now_us) / TURN_US, at = (turn + (turns < WHEEL ? turns : WHEEL - 1)) % WHEEL;
        if (turns == 0) {
            send_packet(d);
            continue;
        }
        if (wheel[at].count == wheel[at].cap) {
            wheel[at].cap = wheel[at].cap ? wheel[at].cap * 2 : 64;
            wheel[at].list = mem_realloc(wheel[at].list, wheel[at].cap * sizeof *wheel[at].list);
        }
        wheel[at].list[wheel[at].count++] = *d;
    }
}

static uint32_t any(void) {
    return (uint32_t)(bad_line_random(&sound_options.line) * 4294967295.0);
}

/* Whether an odd stretch of that many seconds has been reached by so many frames, or just begins. */
static bool in_odd(uint32_t frames, double seconds) {
    return seconds > 0 && (uint32_t)(frames / (seconds * FRAMES_A_SECOND)) % 2 == 1;
}
static bool begins(uint32_t frames, double seconds) {
    return seconds > 0 &&
           (uint32_t)(frames / (seconds * FRAMES_A_SECOND)) != (uint32_t)((frames - 1) / (seconds * FRAMES_A_SECOND));
}

static void send_frame(struct stream *s, uint32_t i, uint64_t turn, uint64_t now_us) {
    s->frames++;
    if (begins(s->frames, sound_options.new_source_s)) s->ssrc = any(), s->sequence = (uint16_t)any(), s->stamp = any();
    struct due d = {
        .stream = i,
        .stamp = s->stamp += FRAME,
        .ssrc = s->ssrc,
        .sequence = ++s->sequence,
        .type = in_odd(s->frames, sound_options.other_codec_s) ? s->type ^ 8 : s->type,
        .talks = now_us < atomic_load_explicit(&s->say_until_us, memory_order_relaxed),
    };
    send_by_line(s, &d, turn, now_us);
    if (!atomic_load_explicit(&sound_options.hostile, memory_order_relaxed)) return;
    for (double more = sound_options.forged; more > 0 && bad_line_random(&sound_options.line) < more; more--) {
        struct due forged = {i, any(), ~d.ssrc, (uint16_t)any(), s->type, true};
        send_packet(&forged);
    }
}

static void send_flood(uint64_t now_us) {
    uint64_t due = (uint64_t)(sound_options.flood * (double)(now_us - began_us) / 1e6);
    if (!atomic_load_explicit(&sound_options.hostile, memory_order_relaxed)) flooded = due;
    for (; flooded < due; flooded++) {
        bool known = sound_options.flood_known;
        struct due d = {
            known ? 0 : STREAMS + any() % STRANGERS, any(), known ? streams[0].ssrc : any(), (uint16_t)any(), 0, true};
        send_packet(&d);
    }
}

static void send_turn(uint64_t turn) {
    uint64_t now_us = clock_mono_us(), late_us = now_us - began_us - turn * TURN_US;
    int end = atomic_load_explicit(&top, memory_order_acquire);
    size_t at = turn % WHEEL;

    late[late_us / LATE_STEP_US < LATE_STEPS ? late_us / LATE_STEP_US : LATE_STEPS - 1]++;
    for (int i = (int)(turn % PHASES); i < end; i += PHASES)
        if (atomic_load_explicit(&streams[i].active, memory_order_acquire))
            send_frame(&streams[i], (uint32_t)i, turn, now_us);
    for (size_t i = 0; i < wheel[at].count; i++)
        if (atomic_load_explicit(&streams[wheel[at].list[i].stream].active, memory_order_acquire))
            send_packet(&wheel[at].list[i]);
    wheel[at].count = 0;
    if (sound_options.flood > 0) send_flood(now_us);
    send_batch();
}

/* -- what comes in ------------------------------------------------------------------------------------------------------- */

static bool is_loud(const uint8_t *codes, size_t len, bool alaw) {
    int loud = 0;
    for (size_t i = 0; i < len; i++) loud += alaw ? ((codes[i] ^ 0x55) & 0x70) >= 0x40 : ((~codes[i]) & 0x70) >= 0x40;
    return loud >= 8;
}

static void hear(struct stream *s, const uint8_t *packet, size_t len, uint64_t now) {
    struct ear *ear = atomic_load(&s->ear);
    uint64_t last = atomic_load_explicit(&ear->last_us, memory_order_relaxed);
    bool loud = is_loud(packet + 12, len - 12, s->type == 8);
    atomic_fetch_add_explicit(&ear->packets, 1, memory_order_relaxed);
    if (last == 0)
        atomic_store_explicit(&ear->first_us, now, memory_order_relaxed);
    else if (now - last > atomic_load_explicit(&ear->longest_us, memory_order_relaxed))
        atomic_store_explicit(&ear->longest_us, now - last, memory_order_relaxed);
    atomic_store_explicit(&ear->last_us, now, memory_order_relaxed);
    if (last && (loud || ear->last_is_loud) &&
        now - last > atomic_load_explicit(&ear->longest_in_sound_us, memory_order_relaxed))
        atomic_store_explicit(&ear->longest_in_sound_us, now - last, memory_order_relaxed);
    ear->last_is_loud = loud;
    if (loud && atomic_load_explicit(&ear->first_sound_us, memory_order_relaxed) == 0)
        atomic_store_explicit(&ear->first_sound_us, now, memory_order_relaxed);
}

static uint32_t stamp_of(const uint8_t *packet) {
    uint32_t stamp;
    memcpy(&stamp, packet + 4, sizeof stamp);
    return ntohl(stamp);
}

static void receive_all(void) {
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static struct control controls[BATCH];
    static uint8_t packets[BATCH][512];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            parts[i] = (struct iovec){packets[i], sizeof packets[i]};
            messages[i].msg_hdr = (struct msghdr){.msg_iov = &parts[i],
                                                  .msg_iovlen = 1,
                                                  .msg_control = &controls[i],
                                                  .msg_controllen = sizeof controls[i]};
        }
        int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
        if (n <= 0) return;
        uint64_t now = clock_mono_us();
        for (int i = 0; i < n; i++) {
            uint32_t at = UINT32_MAX;
            uint64_t came_us = 0;
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c; c = CMSG_NXTHDR(&messages[i].msg_hdr, c)) {
                struct in_pktinfo info;
                struct timespec came;
                if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_TIMESTAMPNS) {
                    memcpy(&came, CMSG_DATA(c), sizeof came);
                    came_us = (uint64_t)came.tv_sec * 1000000 + (uint64_t)came.tv_nsec / 1000;
                }
                if (c->cmsg_level != IPPROTO_IP || c->cmsg_type != IP_PKTINFO) continue;
                memcpy(&info, CMSG_DATA(c), sizeof info);
                at = ntohl(info.ipi_addr.s_addr) - FIRST;
            }
            struct stream *s = at < STREAMS ? &streams[at] : NULL;
            if (s == NULL || messages[i].msg_len <= 12 || (packets[i][1] & 0x7F) != s->type ||
                !atomic_load_explicit(&s->active, memory_order_acquire)) {
                atomic_fetch_add_explicit(&strange, 1, memory_order_relaxed);
                continue;
            }
            atomic_fetch_add_explicit(&received, 1, memory_order_relaxed);
            if (s->track)
                track_take(s->track, stamp_of(packets[i]), came_us);
            else
                hear(s, packets[i], messages[i].msg_len, now);
        }
        if (n < BATCH) return;
    }
}

static void *run(void *arg) {
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = timer, .events = POLLIN}};
    struct sched_param above = {.sched_priority = 5};
    uint64_t turn = 0, ticks;
    (void)arg;
    if (sound_options.first) {
        pthread_setschedparam(pthread_self(), SCHED_RR, &above);
        both[0].fd =
            -1; /* to be woken by what comes would be at the cost of who sends it; the kernel notes when it came */
    }
    while (!atomic_load(&stopping)) {
        poll(both, 2, 100);
        if (both[1].revents && read(timer, &ticks, sizeof ticks) == (ssize_t)sizeof ticks) {
            uint64_t end = turn + ticks;
            if (ticks > TURNS_BEHIND_MAX) turn = end - TURNS_BEHIND_MAX;
            while (turn < end) send_turn(++turn);
        }
        if (both[0].revents || sound_options.first) receive_all();
    }
    return NULL;
}

/* -- streams ------------------------------------------------------------------------------------------------------------- */

int sound_open(int wanted) {
    struct sockaddr_in own = {.sin_family = AF_INET, .sin_port = htons((uint16_t)wanted)};
    socklen_t len = sizeof own;
    int yes = 1, whole = IP_PMTUDISC_PROBE, size = 8 << 20;
    if (voice_open(&voice, sound_options.voice) < 0) return -1;
    streams = mem_alloc(STREAMS * sizeof *streams);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
    setsockopt(fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof whole);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&own, len) < 0 || getsockname(fd, (struct sockaddr *)&own, &len) < 0) return -1;
    port = ntohs(own.sin_port);
    began_us = clock_mono_us();
    uint64_t first_us = began_us + TURN_US;
    struct itimerspec each = {{0, TURN_US * 1000}, {(time_t)(first_us / 1000000), (long)(first_us % 1000000) * 1000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &each, NULL);
    errno = pthread_create(&thread, NULL, run, NULL);
    return errno == 0 ? 0 : -1;
}

int sound_port(void) {
    return port;
}

int sound_sink(void) {
    static int sink_port;
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof any;
    int least = 1;

    if (sink_port) return sink_port;
    int sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    setsockopt(sink, SOL_SOCKET, SO_RCVBUF, &least, sizeof least);
    if (bind(sink, (struct sockaddr *)&any, len) == 0 && getsockname(sink, (struct sockaddr *)&any, &len) == 0)
        sink_port = ntohs(any.sin_port);
    return sink_port ? sink_port : 9; /* "discard": nobody is there, and the kernel says so for each packet */
}

void sound_close(void) {
    if (streams == NULL) return;
    atomic_store(&stopping, true);
    pthread_join(thread, NULL);
    close(fd);
    close(timer);
    free(streams);
    for (int i = 0; i < WHEEL; i++) free(wheel[i].list);
}

static struct stream *take_stream(const char *address, int to, bool alaw) {
    int at = free_first >= 0 ? free_first : used < STREAMS ? used++ : -1;
    if (at < 0) return NULL;
    struct stream *s = &streams[at];
    if (free_first >= 0) free_first = s->next_free;
    memset(&s->to, 0, sizeof s->to);
    s->to.sin_family = AF_INET;
    s->to.sin_port = htons((uint16_t)to);
    inet_pton(AF_INET, address, &s->to.sin_addr);
    s->type = alaw ? 8 : 0;
    s->ssrc += 0x9E3779B9U * (uint32_t)(at + 1);
    s->last_us = 0;
    return s;
}

static void begin(struct stream *s) {
    int at = (int)(s - streams);
    atomic_store_explicit(&s->active, true, memory_order_release);
    if (at >= atomic_load(&top)) atomic_store_explicit(&top, at + 1, memory_order_release);
}

struct stream *sound_start(const char *address, int to, bool alaw, struct ear *ear, char own[16], int *own_port) {
    struct stream *s = take_stream(address, to, alaw);
    if (s == NULL) return NULL;
    struct in_addr self = {htonl(FIRST + (uint32_t)(s - streams))};
    inet_ntop(AF_INET, &self, own, 16);
    *own_port = port;
    atomic_store(&s->ear, ear);
    atomic_store(&s->say_until_us, 0);
    begin(s);
    return s;
}

struct stream *sound_start_tracked(const char *address, int to, bool alaw, struct track *track) {
    struct stream *s = take_stream(address, to, alaw);
    int yes = 1;
    if (s == NULL) return NULL;
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &yes, sizeof yes);
    s->track = track;
    atomic_store(&s->say_until_us, UINT64_MAX);
    begin(s);
    return s;
}

/* The ear may go only when no packet is being heard: callers keep theirs to the end of the program. */
void sound_stop(struct stream *s) {
    atomic_store(&s->active, false);
    /* The longest unused comes first, as ports of Asterisk come again by chance only. */
    s->next_free = -1;
    if (free_first < 0)
        free_first = (int)(s - streams);
    else
        streams[free_last].next_free = (int)(s - streams);
    free_last = (int)(s - streams);
}

void sound_heard_by(struct stream *s, struct ear *ear) {
    atomic_store(&s->ear, ear);
}

void sound_say(struct stream *s, double seconds) {
    atomic_store(&s->say_until_us, clock_mono_us() + (uint64_t)(seconds * 1e6));
}

void sound_counts(uint64_t out[3]) {
    out[0] = atomic_load(&sent), out[1] = atomic_load(&received), out[2] = atomic_load(&strange);
}

uint64_t sound_lateness(double part) {
    uint64_t total = 0, seen = 0;
    for (int i = 0; i < LATE_STEPS; i++) total += late[i];
    for (int i = 0; i < LATE_STEPS; i++) {
        seen += late[i];
        if (seen > 0 && (double)seen >= part * (double)total) return (uint64_t)(i + 1) * LATE_STEP_US;
    }
    return 0;
}
