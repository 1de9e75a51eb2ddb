/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's Lua, loop and media thread with callers who speak RTP to it: conversations_bench ROOT SCRIPT WORDS...
 *
 *   callers' thread: a packet each 20 ms ──> media thread ──> loop ──> SCRIPT: conversations (lua/calls/talk)
 *                    when what came was sound <── media thread <──────────┘
 *
 * A leg is its media stream here, without an Asterisk, and the script has a module "callers":
 *   open() -> i               the next leg is this caller's; he is silent
 *   close(i)                  his line is free for another
 *   speak(i, ms)              from his next packet on
 *   heard(i) -> silence, gap  ms from his first packet of that to the last one with sound that came before he had ended; from his last packet
 *                             of it to the first one with sound. nil where there was none. The kernel's times.
 *   memory() -> KiB, KiB      of the system's that this process has (its proportional set), and of C's heap that is in use */
#include "base/log.h"
#include "bind/bind_telephony.h"
#include "bind/vm.h"
#include "media/media.h"
#include "media/rtp.h"
#include "metrics/metrics.h"
#include "telephony/leg.h"
#include <arpa/inet.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CALLERS = 600, FRAME = 160, FRAME_MS = 20, SLOTS = 20, PORT_MIN = 24000, PORT_MAX = 24399 };

struct caller {
    int fd, port;
    bool used; /* the loop's */
    uint16_t seq;
    uint32_t timestamp;
    unsigned left;         /* packets of speech */
    atomic_uint asked;     /* so many more, by the loop */
    atomic_llong began_us; /* 0: what was asked for has not begun */
    atomic_llong ended_us, last_during_us, first_after_us;
};
static struct caller callers[CALLERS];
static int caller_count;
static struct caller *party; /* of the next leg */
static struct sockaddr_in media_at;
static uint8_t speech[FRAME];

/* ---- the leg ---- */

struct leg {
    struct media_stream *stream;
};
static struct media *media;

struct slot *__wrap_bind_check_slot(lua_State *L, int arg);
struct leg *__wrap_leg_open(struct slot *s, const struct leg_opts *o);
struct media_stream *__wrap_leg_stream(struct leg *l);
void __wrap_leg_close(struct leg *l, bool keep);

struct slot *__wrap_bind_check_slot(lua_State *L, int arg) {
    (void)L, (void)arg;
    return (struct slot *)party; /* not looked into */
}
struct leg *__wrap_leg_open(struct slot *s, const struct leg_opts *o) {
    struct media_stream_opts m = {"127.0.0.1", party->port, o->codec, o->on_media, o->arg};
    struct leg *l = calloc(1, sizeof *l);
    struct err e = {0};
    (void)s;
    if (media_stream_open(&l->stream, media, &m, &e) < 0) {
        fprintf(stderr, "conversations_bench: %s\n", e.text);
        exit(1);
    }
    o->on_ready(o->arg, NULL);
    return l;
}
struct media_stream *__wrap_leg_stream(struct leg *l) {
    return l->stream;
}
void __wrap_leg_close(struct leg *l, bool keep) {
    (void)keep;
    media_stream_close(l->stream);
    free(l);
}

/* ---- the callers' thread ---- */

static long long wall_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void speak_one(struct caller *c) {
    uint8_t packet[RTP_HEADER_BYTES + FRAME];
    unsigned asked = c->left > 0 ? 0 : atomic_exchange(&c->asked, 0);
    bool begins = asked > 0;
    if (begins) {
        c->left = asked;
        atomic_store(&c->ended_us, 0);
        atomic_store(&c->last_during_us, 0);
        atomic_store(&c->first_after_us, 0);
    }
    rtp_build(packet, &(struct rtp){.seq = c->seq++, .timestamp = c->timestamp, .ssrc = (unsigned)c->port});
    c->timestamp += FRAME;
    if (c->left > 0)
        memcpy(packet + RTP_HEADER_BYTES, speech, FRAME);
    else
        memset(packet + RTP_HEADER_BYTES, 0xff, FRAME);
    sendto(c->fd, packet, sizeof packet, 0, (struct sockaddr *)&media_at, sizeof media_at);
    if (begins) atomic_store(&c->began_us, wall_us());
    if (c->left > 0 && --c->left == 0) atomic_store(&c->ended_us, wall_us());
}

static bool is_sound(const uint8_t *packet, ssize_t len) {
    for (ssize_t i = RTP_HEADER_BYTES; i < len; i++)
        if ((packet[i] | 0x80) != 0xff) return true;
    return false;
}

static void hear_one(struct caller *c) {
    uint8_t packet[1024];
    char control[128];
    struct iovec iov = {packet, sizeof packet};
    for (;;) {
        struct msghdr m = {.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
        ssize_t len = recvmsg(c->fd, &m, MSG_DONTWAIT);
        if (len < 0) return;
        struct cmsghdr *head = CMSG_FIRSTHDR(&m);
        if (head == NULL || head->cmsg_type != SCM_TIMESTAMPNS || !is_sound(packet, len)) continue;
        struct timespec at;
        memcpy(&at, CMSG_DATA(head), sizeof at);
        long long us = at.tv_sec * 1000000LL + at.tv_nsec / 1000;
        long long began = atomic_load(&c->began_us), ended = atomic_load(&c->ended_us);
        if (began == 0 || us < began) continue;
        if (ended == 0 || us <= ended)
            atomic_store(&c->last_during_us, us);
        else if (atomic_load(&c->first_after_us) == 0)
            atomic_store(&c->first_after_us, us);
    }
}

/* A twentieth of them each millisecond: telephones do not speak in step. */
static void *run_callers(void *arg) {
    struct timespec next;
    (void)arg;
    clock_gettime(CLOCK_MONOTONIC, &next);
    for (int slot = 0;; slot = (slot + 1) % SLOTS) {
        next.tv_nsec += FRAME_MS * 1000000 / SLOTS;
        if (next.tv_nsec >= 1000000000) {
            next.tv_nsec -= 1000000000;
            next.tv_sec++;
        }
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
        for (int i = slot; i < caller_count; i += SLOTS) {
            hear_one(&callers[i]);
            speak_one(&callers[i]);
        }
    }
    return NULL;
}

static void make_callers(int count) {
    for (int i = 0; i < FRAME; i++) speech[i] = (uint8_t)(i % 8 < 4 ? 0x90 : 0x10); /* 1000 Hz, loud */
    for (int i = 0; i < count; i++) {
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof at;
        int on = 1;
        callers[i].fd = socket(AF_INET, SOCK_DGRAM, 0);
        if (callers[i].fd < 0 || bind(callers[i].fd, (struct sockaddr *)&at, sizeof at) < 0) {
            perror("conversations_bench");
            exit(1);
        }
        getsockname(callers[i].fd, (struct sockaddr *)&at, &len);
        setsockopt(callers[i].fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on);
        callers[i].port = ntohs(at.sin_port);
    }
    caller_count = count;
}

/* ---- what the script has ---- */

static struct caller *check_caller(lua_State *L) {
    int i = (int)luaL_checkinteger(L, 1);
    luaL_argcheck(L, i >= 1 && i <= caller_count, 1, "a caller");
    return &callers[i - 1];
}

static int lua_open_caller(lua_State *L) {
    for (int i = 0; i < caller_count; i++) {
        if (callers[i].used) continue;
        callers[i].used = true;
        party = &callers[i];
        lua_pushinteger(L, i + 1);
        return 1;
    }
    return luaL_error(L, "all callers are in use");
}

static int lua_close_caller(lua_State *L) {
    check_caller(L)->used = false;
    return 0;
}

static int lua_speak(lua_State *L) {
    struct caller *c = check_caller(L);
    atomic_store(&c->began_us, 0);
    atomic_store(&c->asked, (unsigned)luaL_checkinteger(L, 2) / FRAME_MS);
    return 0;
}

static void push_ms(lua_State *L, long long from_us, long long to_us) {
    if (from_us == 0 || to_us == 0)
        lua_pushnil(L);
    else
        lua_pushnumber(L, (lua_Number)(to_us - from_us) / 1000);
}

static int lua_heard(lua_State *L) {
    struct caller *c = check_caller(L);
    push_ms(L, atomic_load(&c->began_us), atomic_load(&c->last_during_us));
    push_ms(L, atomic_load(&c->ended_us), atomic_load(&c->first_after_us));
    return 2;
}

static int lua_memory(lua_State *L) {
    struct mallinfo2 heap = mallinfo2();
    char line[256];
    long kb = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f != NULL && fgets(line, sizeof line, f) != NULL)
        if (sscanf(line, "Pss: %ld", &kb) == 1) break;
    if (f != NULL) fclose(f);
    lua_pushnumber(L, (lua_Number)kb);
    lua_pushnumber(L, (lua_Number)(heap.uordblks + heap.hblkhd) / 1024);
    return 2;
}

static void give_callers(lua_State *L) {
    static const luaL_Reg functions[] = {{"open", lua_open_caller}, {"close", lua_close_caller}, {"speak", lua_speak},
                                         {"heard", lua_heard},      {"memory", lua_memory},      {NULL, NULL}};
    lua_getglobal(L, "package");
    lua_getfield(L, -1, "loaded");
    lua_newtable(L);
    luaL_register(L, NULL, functions);
    lua_setfield(L, -2, "callers");
    lua_pop(L, 2);
}

/* ---- the program ---- */

static void on_ended(void *arg, bool ok, int status) {
    (void)arg;
    fflush(stdout);
    _exit(ok ? status : 1);
}

int main(int argc, char **argv) {
    static uv_loop_t loop;
    static struct vm_services services = {.zygote_fd = -1, .worker = -1, .program = "parley", .owner = "bench"};
    struct rlimit files;
    struct err e = {0};
    pthread_t thread;

    if (argc < 3) {
        fprintf(stderr, "conversations_bench ROOT SCRIPT WORDS...\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    log_open("bench", -1, STDERR_FILENO, LOG_WARN);
    uv_loop_init(&loop);
    services.loop = &loop;
    if (metrics_open(&services.metrics, -1, 1, 0, &e) < 0) goto fail;
    struct media_opts o = {
        .address = "127.0.0.1", .port_min = PORT_MIN, .port_max = PORT_MAX, .metrics = services.metrics};
    if (media_open(&media, &loop, &o, &e) < 0) goto fail;
    services.media = media;
    media_at = (struct sockaddr_in){.sin_family = AF_INET,
                                    .sin_port = htons((uint16_t)media_port(media)),
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    make_callers(CALLERS);
    pthread_create(&thread, NULL, run_callers, NULL);
    struct vm *vm = vm_new(&services, argv[1]);
    give_callers(vm_lua(vm));
    if (vm_run_file(vm, argv[2], argc - 3, argv + 3, on_ended, NULL, &e) < 0) goto fail;
    uv_run(&loop, UV_RUN_DEFAULT);
    fprintf(stderr, "conversations_bench: the script waits for something that never comes\n");
    return 1;
fail:
    fprintf(stderr, "conversations_bench: %s\n", e.text);
    return 1;
}
