/* SPDX-License-Identifier: Apache-2.0 */
/* The far end of rtpgen: the media thread with many two-way streams, or a bare loop in its place.
 *
 *     streams_bench media PORT    its input: "open PEER_PORT COUNT VOICE FIRST [listen]": so many streams, each plays the file (16 bit, 8000 Hz)
 *                                 over and over; listen: each has a listener too, as a conversation has. FIRST: those before it are not judged
 *     streams_bench echo PORT     recvmmsg, and sendmmsg of the same packets back to where they came from; its input: "open"
 *
 * Both say "ready", answer "open" with "opened", and then take "begin" and "end"; after that they tell what it cost between the two, as JSON.
 */
#include "base/clock.h"
#include "base/mem.h"
#include "media/media.h"
#include <arpa/inet.h>
#include <dirent.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    FIRST_PEER = 0x7F400001 /* rtpgen's first: 127.64.0.1 */,
    BATCH = 64,
    PACKET_MAX = 1024,
    SAMPLES_MAX = 8000 * 600
};

static void die(const char *what) {
    fprintf(stderr, "streams_bench: %s\n", what);
    exit(1);
}

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

static double process_cpu_s(void) {
    struct rusage used;
    getrusage(RUSAGE_SELF, &used);
    return (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
           (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6;
}

/* What is this process's alone. */
static double private_kb(void) {
    char line[128];
    unsigned long kb, sum = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f != NULL && fgets(line, sizeof line, f))
        if (sscanf(line, "Private_Clean: %lu", &kb) == 1 || sscanf(line, "Private_Dirty: %lu", &kb) == 1) sum += kb;
    if (f != NULL) fclose(f);
    return (double)sum;
}

/* ---- the media thread ---- */

struct sums {
    double received, sent, lost, late, duplicated, reordered, concealed_ms, delay_ms, jitter_ms, mos, unknown;
};

static struct {
    uv_loop_t loop;
    struct media *media;
    struct media_stream **streams;
    int count, first;
    double bare_kb, began_cpu_s, heard_samples, dropped;
    uint64_t began_us, began_ns;
    struct sums before;
} bench;

static void sum(struct sums *out) {
    *out = (struct sums){0};
    for (int i = bench.first; i < bench.count; i++) {
        struct media_stats s;
        media_stream_stats(bench.streams[i], &s);
        out->received += (double)s.received;
        out->sent += (double)s.sent;
        out->lost += (double)s.lost;
        out->late += (double)s.late;
        out->duplicated += (double)s.duplicated;
        out->reordered += (double)s.reordered;
        out->concealed_ms += s.concealed_ms;
        out->delay_ms += s.delay_ms;
        out->jitter_ms += s.jitter_us / 1000.0;
        out->mos += s.mos;
        out->unknown = (double)s.dropped_unknown;
    }
}

static struct media_audio *read_voice(const char *path) {
    int16_t *pcm = mem_alloc(SAMPLES_MAX * sizeof *pcm);
    FILE *f = fopen(path, "rb");
    size_t n = f ? fread(pcm, sizeof *pcm, SAMPLES_MAX, f) : 0;
    if (n == 0) die("no voice");
    fclose(f);
    struct media_audio *a = media_audio_new(pcm, n);
    free(pcm);
    return a;
}

static void on_audio(void *arg, const struct media_heard *heard) {
    (void)arg;
    bench.heard_samples += (double)heard->samples;
    bench.dropped += (double)heard->dropped;
}

static void open_streams(const char *line) {
    struct media_listen_opts listen = {.on_audio = on_audio};
    char voice[200], more[16] = "";
    struct err e;
    int port;

    if (sscanf(line, "open %d %d %199s %d %15s", &port, &bench.count, voice, &bench.first, more) < 4) die(line);
    struct media_audio *audio = read_voice(voice);
    bench.streams = mem_alloc((size_t)bench.count * sizeof(struct media_stream *));
    bench.bare_kb = private_kb();
    for (int i = 0; i < bench.count; i++) {
        struct in_addr at = {htonl(FIRST_PEER + (uint32_t)i)};
        char address[INET_ADDRSTRLEN];
        struct media_listener *listener;
        inet_ntop(AF_INET, &at, address, sizeof address);
        struct media_stream_opts o = {address, port, MEDIA_ULAW, NULL, NULL};
        if (media_stream_open(&bench.streams[i], bench.media, &o, &e) < 0) die(e.text);
        if (media_play(bench.streams[i], 1, audio, true, &e) < 0) die(e.text);
        if (more[0] && media_listen(&listener, bench.streams[i], &listen, &e) < 0) die(e.text);
    }
    media_audio_unref(audio);
}

static void begin(void) {
    sum(&bench.before);
    bench.began_us = clock_mono_us();
    bench.began_ns = thread_cpu_ns("media");
    bench.began_cpu_s = process_cpu_s();
    bench.heard_samples = bench.dropped = 0;
}

static void end(void) {
    double seconds = (double)(clock_mono_us() - bench.began_us) / 1e6;
    double media_s = (double)(thread_cpu_ns("media") - bench.began_ns) / 1e9,
           all_s = process_cpu_s() - bench.began_cpu_s;
    struct sums now, *old = &bench.before;
    int count = bench.count - bench.first;
    sum(&now);
    printf("{\"seconds\": %.2f, \"cpu_percent\": %.1f, \"loop_cpu_percent\": %.1f, \"kb_a_stream\": %.1f, "
           "\"received\": %.0f, \"sent\": %.0f, "
           "\"lost\": %.0f, \"late\": %.0f, \"duplicated\": %.0f, \"reordered\": %.0f, \"unknown\": %.0f, "
           "\"concealed_share\": %.6f, "
           "\"delay_ms\": %.1f, \"jitter_ms\": %.1f, \"mos\": %.2f, \"listeners_heard\": %.3f, \"listeners_missed\": "
           "%.0f}\n",
           seconds, media_s * 100 / seconds, (all_s - media_s) * 100 / seconds,
           (private_kb() - bench.bare_kb) / bench.count, now.received - old->received, now.sent - old->sent,
           now.lost - old->lost, now.late - old->late, now.duplicated - old->duplicated, now.reordered - old->reordered,
           now.unknown - old->unknown, (now.concealed_ms - old->concealed_ms) / 1000 / seconds / count,
           now.delay_ms / count, now.jitter_ms / count, now.mos / count, bench.heard_samples / 8000 / seconds / count,
           bench.dropped);
    fflush(stdout);
    _exit(0); /* thousands of streams are not taken apart for it */
}

/* Lines come whole: who writes them waits for each answer. */
static void on_input(uv_poll_t *poll, int status, int events) {
    char line[300];
    (void)poll, (void)events;
    ssize_t n = status < 0 ? 0 : read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0) _exit(1);
    line[n] = '\0';
    if (strncmp(line, "open ", 5) == 0) {
        open_streams(line);
        puts("opened");
    } else if (strcmp(line, "begin\n") == 0) {
        begin();
        puts("begun");
    } else if (strcmp(line, "end\n") == 0) {
        end();
    }
    fflush(stdout);
}

static int run_media(int port) {
    struct media_opts o = {.address = "127.0.0.1", .port_min = port, .port_max = port};
    uv_poll_t input;
    struct err e;

    uv_loop_init(&bench.loop);
    if (media_open(&bench.media, &bench.loop, &o, &e) < 0) die(e.text);
    puts("ready");
    fflush(stdout);
    uv_poll_init(&bench.loop, &input, STDIN_FILENO);
    uv_poll_start(&input, UV_READABLE, on_input);
    return uv_run(&bench.loop, UV_RUN_DEFAULT);
}

/* ---- the bare loop ---- */

static int echo_fd;

static void *run_echo(void *arg) {
    static struct mmsghdr messages[BATCH];
    static struct iovec parts[BATCH];
    static struct sockaddr_in from[BATCH];
    static uint8_t bytes[BATCH][PACKET_MAX];
    struct sched_param above = {.sched_priority = 10}; /* as the media thread */
    struct pollfd readable = {.fd = echo_fd, .events = POLLIN};

    (void)arg;
    pthread_setschedparam(pthread_self(), SCHED_RR, &above);
    for (;;) {
        poll(&readable, 1, -1);
        for (int n = BATCH; n == BATCH;) {
            for (int i = 0; i < BATCH; i++) {
                parts[i] = (struct iovec){bytes[i], PACKET_MAX};
                messages[i].msg_hdr = (struct msghdr){
                    .msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &parts[i], .msg_iovlen = 1};
            }
            n = recvmmsg(echo_fd, messages, BATCH, MSG_DONTWAIT, NULL);
            for (int i = 0; i < n; i++) parts[i].iov_len = messages[i].msg_len;
            for (int at = 0; at < n;) {
                int done = sendmmsg(echo_fd, messages + at, (unsigned)(n - at), 0);
                at += done > 0 ? done : 1;
            }
        }
    }
    return NULL;
}

static int run_bare(int port) {
    struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int size = 4 << 20, whole = IP_PMTUDISC_PROBE;
    pthread_t thread;
    char line[300];

    echo_fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (bind(echo_fd, (struct sockaddr *)&at, sizeof at) < 0) die("its port is taken");
    setsockopt(echo_fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size);
    setsockopt(echo_fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size);
    setsockopt(echo_fd, IPPROTO_IP, IP_MTU_DISCOVER, &whole, sizeof whole);
    pthread_create(&thread, NULL, run_echo, NULL);
    pthread_setname_np(thread, "echo");
    puts("ready");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (strcmp(line, "end\n") == 0) break;
        if (strcmp(line, "begin\n") == 0) {
            bench.began_us = clock_mono_us();
            bench.began_ns = thread_cpu_ns("echo");
        }
        puts(strcmp(line, "begin\n") == 0 ? "begun" : "opened");
        fflush(stdout);
    }
    double seconds = (double)(clock_mono_us() - bench.began_us) / 1e6;
    printf("{\"seconds\": %.2f, \"cpu_percent\": %.1f}\n", seconds,
           (double)(thread_cpu_ns("echo") - bench.began_ns) / 1e7 / seconds);
    fflush(stdout);
    _exit(0);
}

int main(int argc, char **argv) {
    if (argc != 3 || atoi(argv[2]) < 1) die("usage: streams_bench media|echo PORT");
    return strcmp(argv[1], "echo") == 0 ? run_bare(atoi(argv[2])) : run_media(atoi(argv[2]));
}
