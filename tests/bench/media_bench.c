/* SPDX-License-Identifier: Apache-2.0 */
/* What a packet costs the media thread, both ways (one in and one out), over the loopback interface.
 *
 *     media_bench [seconds per run]
 *
 * For 10, 100 and 500 streams: peers of one thread send a frame each every 20 ms and count what they get. The cost is the
 * media thread's CPU time, the kernel's part included, by the packets it received and sent; "talk": all streams play.
 * First the yardstick: the same packets through recvmmsg and sendmmsg alone, by this kernel on this machine.
 */
#include "base/clock.h"
#include "media/g711.h"
#include "media/media.h"
#include "media/rtp.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { STREAMS = 500, FRAME = 160 };

static struct peers {
    int fds[STREAMS], count;
    struct sockaddr_in media;
    atomic_bool over;
    unsigned long sent, received;
} peers;

/* Nanoseconds of CPU of this process's thread with that name. */
static uint64_t thread_cpu_ns(const char *name) {
    DIR *tasks = opendir("/proc/self/task");
    uint64_t ns = 0;
    for (struct dirent *d; (d = readdir(tasks)) != NULL;) {
        char path[300], text[64] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", d->d_name);
        FILE *f = fopen(path, "r");
        if (f == NULL) continue;
        if (fgets(text, sizeof text, f) == NULL) text[0] = '\0';
        fclose(f);
        text[strcspn(text, "\n")] = '\0';
        if (strcmp(text, name) != 0) continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/schedstat", d->d_name);
        f = fopen(path, "r");
        if (f != NULL && fscanf(f, "%lu", &ns) != 1) ns = 0;
        if (f != NULL) fclose(f);
    }
    closedir(tasks);
    return ns;
}

static void *run_peers(void *arg) {
    uint8_t packet[RTP_HEADER_BYTES + FRAME], in[2048];
    uint16_t seq = 0;
    (void)arg;
    for (int i = 0; i < FRAME; i++) packet[RTP_HEADER_BYTES + i] = (uint8_t)(i * 37 % 127);
    for (uint64_t next_us = clock_mono_us(); !atomic_load(&peers.over); next_us += 20000, seq++) {
        uint64_t now_us = clock_mono_us();
        if (now_us < next_us) usleep((useconds_t)(next_us - now_us));
        for (int i = 0; i < peers.count; i++) {
            rtp_build(packet, &(struct rtp){.seq = seq, .timestamp = seq * FRAME, .ssrc = (unsigned)i});
            if (sendto(peers.fds[i], packet, sizeof packet, 0, (struct sockaddr *)&peers.media, sizeof peers.media) > 0)
                peers.sent++;
            while (recv(peers.fds[i], in, sizeof in, MSG_DONTWAIT) > 0) peers.received++;
        }
    }
    return NULL;
}

static int bound_socket(struct sockaddr_in *at) {
    int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
    socklen_t len = sizeof *at;
    *at = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)at, sizeof *at) < 0) exit(1);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    getsockname(fd, (struct sockaddr *)at, &len);
    return fd;
}

static uint64_t cpu_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* In batches of 64, the receive buffer full each time, to and from `count` addresses. */
static void bench_bare(int count, unsigned rounds) {
    enum { BATCH = 64, BYTES = RTP_HEADER_BYTES + FRAME };
    static struct sockaddr_in at[STREAMS], from[BATCH];
    static uint8_t bytes[BATCH][1024];
    static struct mmsghdr in[BATCH], out[BATCH];
    static struct iovec in_iov[BATCH], out_iov[BATCH];
    int fds[STREAMS];
    struct sockaddr_in ours;
    uint64_t in_ns = 0, out_ns = 0, received = 0, sent = 0;
    int fd = bound_socket(&ours);

    for (int i = 0; i < BATCH; i++) {
        in_iov[i] = (struct iovec){bytes[i], sizeof bytes[i]};
        out_iov[i] = (struct iovec){bytes[i], BYTES};
        in[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_iov = &in_iov[i], .msg_iovlen = 1};
        out[i].msg_hdr = (struct msghdr){.msg_iov = &out_iov[i], .msg_iovlen = 1, .msg_namelen = sizeof *at};
    }
    for (int i = 0; i < count; i++) fds[i] = bound_socket(&at[i]);
    while (rounds-- > 0) {
        for (int i = 0; i < count; i++) sendto(fds[i], bytes, BYTES, 0, (struct sockaddr *)&ours, sizeof ours);
        uint64_t begin = cpu_ns();
        for (int n = BATCH; n == BATCH; received += n > 0 ? (unsigned)n : 0) {
            for (int i = 0; i < BATCH; i++) in[i].msg_hdr.msg_namelen = sizeof *at;
            n = recvmmsg(fd, in, BATCH, MSG_DONTWAIT, NULL);
        }
        uint64_t middle = cpu_ns();
        for (int i = 0, n; i < count; i += n) {
            n = count - i < BATCH ? count - i : BATCH;
            for (int k = 0; k < n; k++) out[k].msg_hdr.msg_name = &at[i + k];
            n = sendmmsg(fd, out, (unsigned)n, 0);
            if (n <= 0) exit(1);
            sent += (unsigned)n;
        }
        out_ns += cpu_ns() - middle;
        in_ns += middle - begin;
        for (int i = 0; i < count; i++) recv(fds[i], bytes, sizeof bytes, MSG_DONTWAIT);
    }
    double in_us = (double)in_ns / 1e3 / (double)received, out_us = (double)out_ns / 1e3 / (double)sent;
    printf("%4d addresses, bare loop: %.2f us in + %.2f us out = %.2f us a packet both ways\n", count, in_us, out_us,
           in_us + out_us);
    for (int i = 0; i < count; i++) close(fds[i]);
    close(fd);
}

static void on_time(uv_timer_t *timer) {
    uv_stop(timer->loop);
}

static void bench(int count, bool talk, unsigned seconds) {
    static struct media_stream *streams[STREAMS];
    static int16_t pcm[8000];
    struct media *media;
    struct err e;
    uv_loop_t loop;
    uv_timer_t timer;
    pthread_t thread;
    struct media_opts o = {.address = "127.0.0.1", .port_min = 24000, .port_max = 24999};

    uv_loop_init(&loop);
    if (media_open(&media, &loop, &o, &e) < 0) {
        fprintf(stderr, "%s\n", e.text);
        exit(1);
    }
    memset(&peers, 0, sizeof peers);
    peers.count = count;
    peers.media = (struct sockaddr_in){.sin_family = AF_INET,
                                       .sin_port = htons((uint16_t)media_port(media)),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    for (int i = 0; i < 8000; i++) pcm[i] = (int16_t)(8000 * sin(i * 0.34));
    struct media_audio *audio = media_audio_new(pcm, 8000);
    for (int i = 0; i < count; i++) {
        struct sockaddr_in at;
        peers.fds[i] = bound_socket(&at);
        struct media_stream_opts so = {"127.0.0.1", ntohs(at.sin_port), MEDIA_ULAW, NULL, NULL};
        if (media_stream_open(&streams[i], media, &so, &e) < 0) exit(1);
        if (talk) media_play(streams[i], 1, audio, true, &e);
    }
    pthread_create(&thread, NULL, run_peers, NULL);
    usleep(300000);
    struct media_stats before, after;
    uint64_t packets = 0, sent = 0, late = 0, lost = 0;
    for (int i = 0; i < count; i++) {
        media_stream_stats(streams[i], &before);
        packets -= before.received;
        sent -= before.sent;
    }
    uint64_t used_ns = thread_cpu_ns("media"), begin_us = clock_mono_us();
    uv_timer_init(&loop, &timer);
    uv_timer_start(&timer, on_time, seconds * 1000, 0);
    uv_run(&loop, UV_RUN_DEFAULT);
    used_ns = thread_cpu_ns("media") - used_ns;
    uint64_t took_us = clock_mono_us() - begin_us;
    for (int i = 0; i < count; i++) {
        media_stream_stats(streams[i], &after);
        packets += after.received;
        sent += after.sent;
        late += after.late;
        lost += after.lost;
    }
    double s = (double)took_us / 1e6;
    printf("%4d streams %-6s %7.0f packets/s in %7.0f out  %5.2f us a packet both ways  %5.1f %% of a core  lost %lu "
           "late %lu\n",
           count, talk ? "talk" : "silent", (double)packets / s, (double)sent / s,
           (double)used_ns / 1e3 / ((double)(packets + sent) / 2), (double)used_ns / 1e7 / s, lost, late);
    fflush(stdout);
    atomic_store(&peers.over, true);
    pthread_join(thread, NULL);
    for (int i = 0; i < count; i++) close(peers.fds[i]);
    media_audio_unref(audio);
    media_close(media, NULL, NULL);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

int main(int argc, char **argv) {
    static const int counts[] = {10, 100, 500};
    unsigned seconds = argc > 1 ? (unsigned)atoi(argv[1]) : 5;
    struct rlimit files = {4096, 4096};
    setrlimit(RLIMIT_NOFILE, &files);
    for (int i = 0; i < 3; i++) bench_bare(counts[i], 100000 / (unsigned)counts[i]);
    for (int i = 0; i < 3; i++) bench(counts[i], false, seconds);
    for (int i = 0; i < 3; i++) bench(counts[i], true, seconds);
    return 0;
}
