/* SPDX-License-Identifier: Apache-2.0 */
/* One UDP socket for all: each media channel has an address of its own in 127.64.0.0/10, named in IP_PKTINFO, so that packets
 * of thousands of streams go out and come in by sendmmsg and recvmmsg. */
#include "base/clock.h"
#include "callgen.h"
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum { STREAMS = 1 << 15, BATCH = 64, FRAME = 160, PACKET = 12 + FRAME };
static const uint32_t FIRST = 0x7F400001; /* 127.64.0.1 */

struct stream {
    _Atomic bool active;
    int next_free;
    struct sockaddr_in to;
    uint8_t type, silence;
    uint16_t sequence;
    uint32_t stamp, ssrc;
    _Atomic uint64_t say_until_us;
    struct ear *_Atomic ear;
};

static struct stream *streams;
static int free_first = -1, free_last = -1, used; /* loop thread */
static _Atomic int top;                           /* streams below it may be active */
static int fd = -1, timer = -1, port;
static pthread_t thread;
static _Atomic bool stopping;
static _Atomic uint64_t sent, received, strange;

struct control {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
    };
};

static void send_batch(struct mmsghdr *messages, int n) {
    for (int at = 0; at < n;) {
        int done = sendmmsg(fd, messages + at, (unsigned)(n - at), 0);
        if (done <= 0) {
            if (errno == EINTR) continue;
            at++; /* one that cannot be sent (ECONNREFUSED and the like) does not stop the others */
            continue;
        }
        atomic_fetch_add_explicit(&sent, (uint64_t)done, memory_order_relaxed);
        at += done;
    }
}

static void send_all(void) {
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static struct control controls[BATCH];
    static uint8_t packets[BATCH][PACKET];
    uint64_t now = clock_mono_us();
    int n = 0, end = atomic_load_explicit(&top, memory_order_acquire);

    for (int i = 0; i < end; i++) {
        struct stream *s = &streams[i];
        if (!atomic_load_explicit(&s->active, memory_order_acquire)) continue;
        uint8_t *p = packets[n];
        uint32_t stamp = htonl(s->stamp += FRAME), ssrc = htonl(s->ssrc);
        uint16_t sequence = htons(++s->sequence);
        p[0] = 0x80, p[1] = s->type;
        memcpy(p + 2, &sequence, 2), memcpy(p + 4, &stamp, 4), memcpy(p + 8, &ssrc, 4);
        memset(p + 12, s->silence, FRAME);
        if (now < atomic_load_explicit(&s->say_until_us, memory_order_relaxed))
            for (int k = 0; k < FRAME; k += 2) p[12 + k] = s->silence ^ 0x60; /* a loud tone of 4 kHz */
        parts[n] = (struct iovec){p, PACKET};
        struct in_pktinfo from = {.ipi_spec_dst.s_addr = htonl(FIRST + (uint32_t)i)};
        controls[n].head =
            (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof from), .cmsg_level = IPPROTO_IP, .cmsg_type = IP_PKTINFO};
        memcpy(CMSG_DATA(&controls[n].head), &from, sizeof from);
        messages[n].msg_hdr = (struct msghdr){.msg_name = &s->to,
                                              .msg_namelen = sizeof s->to,
                                              .msg_iov = &parts[n],
                                              .msg_iovlen = 1,
                                              .msg_control = &controls[n],
                                              .msg_controllen = sizeof controls[n]};
        if (++n == BATCH) send_batch(messages, n), n = 0;
    }
    if (n) send_batch(messages, n);
}

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
            for (struct cmsghdr *c = CMSG_FIRSTHDR(&messages[i].msg_hdr); c; c = CMSG_NXTHDR(&messages[i].msg_hdr, c)) {
                struct in_pktinfo info;
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
            hear(s, packets[i], messages[i].msg_len, now);
        }
        if (n < BATCH) return;
    }
}

static void *run(void *arg) {
    struct pollfd both[2] = {{.fd = fd, .events = POLLIN}, {.fd = timer, .events = POLLIN}};
    uint64_t ticks;
    (void)arg;
    while (!atomic_load(&stopping)) {
        poll(both, 2, 100);
        if (both[0].revents) receive_all();
        if (both[1].revents && read(timer, &ticks, sizeof ticks) == (ssize_t)sizeof ticks) send_all();
    }
    return NULL;
}

int sound_open(void) {
    struct sockaddr_in any = {.sin_family = AF_INET};
    socklen_t len = sizeof any;
    int yes = 1, size = 8 << 20;
    struct itimerspec each = {{0, 20000000}, {0, 20000000}};
    streams = mem_alloc(STREAMS * sizeof *streams);
    fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
    setsockopt(fd, IPPROTO_IP, IP_PKTINFO, &yes, sizeof yes);
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) < 0)
        setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    if (bind(fd, (struct sockaddr *)&any, len) < 0 || getsockname(fd, (struct sockaddr *)&any, &len) < 0) return -1;
    port = ntohs(any.sin_port);
    timerfd_settime(timer, 0, &each, NULL);
    return pthread_create(&thread, NULL, run, NULL) == 0 ? 0 : -1;
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
}

struct stream *sound_start(const char *address, int to, bool alaw, struct ear *ear, char own[16], int *own_port) {
    int at = free_first >= 0 ? free_first : used < STREAMS ? used++ : -1;
    if (at < 0) return NULL;
    struct stream *s = &streams[at];
    if (free_first >= 0) free_first = s->next_free;
    struct in_addr self = {htonl(FIRST + (uint32_t)at)};
    inet_ntop(AF_INET, &self, own, 16);
    *own_port = port;
    memset(&s->to, 0, sizeof s->to);
    s->to.sin_family = AF_INET;
    s->to.sin_port = htons((uint16_t)to);
    inet_pton(AF_INET, address, &s->to.sin_addr);
    s->type = alaw ? 8 : 0;
    s->silence = alaw ? 0xD5 : 0xFF;
    s->ssrc += 0x9E3779B9U * (uint32_t)(at + 1);
    atomic_store(&s->ear, ear);
    atomic_store(&s->say_until_us, 0);
    atomic_store_explicit(&s->active, true, memory_order_release);
    if (at >= atomic_load(&top)) atomic_store_explicit(&top, at + 1, memory_order_release);
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
