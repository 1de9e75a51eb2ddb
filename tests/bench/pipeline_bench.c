/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does with the sound of its callers, without Asterisk and calls: media thread, VAD, a listener each, and in the platform's
 * Lua (pipeline.lua) a recogniser each, over WebSocket.
 *
 *     pipeline_bench PORT PEER_PORT COUNT VOICE URL RATE
 *
 * The peers are rtpgen's. It says "ready", takes "begin" and "end", and then tells what was done between the two, as JSON. The legs are
 * played here: each is a media stream (see CMakeLists.txt).
 */
#include "base/clock.h"
#include "base/mem.h"
#include "bind/vm.h"
#include "io/net.h"
#include "media/media.h"
#include "metrics/metrics.h"
#include "telephony/leg.h"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { FIRST_PEER = 0x7F400001 };

static struct {
    uv_loop_t loop;
    struct media *media;
    struct vm *vm;
    int peer_port, legs;
    double began_media_s, began_loop_s;
    uint64_t began_us;
    struct metrics *metrics;
} bench;

/* ---- legs ---- */

struct leg {
    struct media_stream *stream;
};
struct slot *__wrap_bind_check_slot(lua_State *L, int arg);
struct leg *__wrap_leg_open(struct slot *s, const struct leg_opts *o);
struct media_stream *__wrap_leg_stream(struct leg *l);
void __wrap_leg_close(struct leg *l, bool keep);

struct slot *__wrap_bind_check_slot(lua_State *L, int arg) {
    (void)L, (void)arg;
    return (struct slot *)&bench; /* not looked into */
}

struct leg *__wrap_leg_open(struct slot *s, const struct leg_opts *o) {
    struct in_addr at = {htonl(FIRST_PEER + (uint32_t)bench.legs++)};
    struct leg *l = mem_alloc(sizeof *l);
    char address[INET_ADDRSTRLEN];
    struct err e = {0};
    (void)s;
    inet_ntop(AF_INET, &at, address, sizeof address);
    struct media_stream_opts m = {address, bench.peer_port, o->codec, o->on_media, o->arg};
    media_stream_open(&l->stream, bench.media, &m, &e);
    o->on_ready(o->arg, e.code ? &e : NULL);
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

/* ---- figures ---- */

static double clock_s(clockid_t id) {
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* Of all threads but the loop's: the media thread's. */
static double media_s(void) {
    return clock_s(CLOCK_PROCESS_CPUTIME_ID) - clock_s(CLOCK_THREAD_CPUTIME_ID);
}

static double private_mb(void) {
    char line[128];
    unsigned long kb, all = 0;
    FILE *f = fopen("/proc/self/smaps_rollup", "r");
    while (f != NULL && fgets(line, sizeof line, f))
        if (sscanf(line, "Private_Clean: %lu", &kb) == 1 || sscanf(line, "Private_Dirty: %lu", &kb) == 1) all += kb;
    if (f != NULL) fclose(f);
    return (double)all / 1024;
}

static void on_told(void *arg, lua_State *co, bool ok, int n) {
    double seconds = (double)(clock_mono_us() - bench.began_us) / 1e6;
    (void)arg;
    if (!ok || n != 1) {
        fprintf(stderr, "pipeline_bench: %s\n", ok ? "nothing was told" : lua_tostring(co, -1));
        _exit(1);
    }
    printf("{\"seconds\": %.2f, \"media_cpu_percent\": %.1f, \"loop_cpu_percent\": %.1f, \"private_mb\": %.1f, "
           "\"seen\": %s}\n",
           seconds, (media_s() - bench.began_media_s) * 100 / seconds,
           (clock_s(CLOCK_THREAD_CPUTIME_ID) - bench.began_loop_s) * 100 / seconds, private_mb(), lua_tostring(co, -1));
    fflush(stdout);
    _exit(0);
}

static void call_lua(const char *name, vm_done done) {
    lua_State *L = vm_lua(bench.vm);
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "bench");
    lua_getfield(L, -1, name); /* loaded, bench, function */
    lua_replace(L, -3);
    lua_pop(L, 1);
    vm_spawn(bench.vm, 0, done, NULL);
}

static void on_input(uv_poll_t *poll, int status, int events) {
    char line[100];
    (void)poll, (void)events;
    ssize_t n = status < 0 ? 0 : read(STDIN_FILENO, line, sizeof line - 1);
    if (n <= 0) _exit(1);
    line[n] = '\0';
    if (strcmp(line, "begin\n") == 0) {
        bench.began_us = clock_mono_us();
        bench.began_media_s = media_s();
        bench.began_loop_s = clock_s(CLOCK_THREAD_CPUTIME_ID);
        call_lua("begin", NULL);
        puts("begun");
        fflush(stdout);
    } else if (strcmp(line, "end\n") == 0) {
        call_lua("finish", on_told);
    }
}

static void on_ran(void *arg, bool ok, int status) {
    (void)arg;
    if (!ok || status != 0) {
        fprintf(stderr, "pipeline_bench: pipeline.lua ended\n");
        _exit(1);
    }
    puts("ready");
    fflush(stdout);
}

static void die(const char *what) {
    fprintf(stderr, "pipeline_bench: %s\n", what);
    exit(1);
}

int main(int argc, char **argv) {
    struct rlimit files = {20000, 20000};
    struct vm_services services = {.loop = &bench.loop, .zygote_fd = -1, .worker = -1, .program = "parleyd"};
    struct net *net;
    uv_poll_t input;
    struct err e;

    if (argc != 7) die("usage: pipeline_bench PORT PEER_PORT COUNT VOICE URL RATE");
    struct media_opts o = {.address = "127.0.0.1", .port_min = atoi(argv[1]), .port_max = atoi(argv[1])};
    bench.peer_port = atoi(argv[2]);
    setrlimit(RLIMIT_NOFILE, &files);
    uv_loop_init(&bench.loop);
    if (metrics_open(&bench.metrics, -1, 1, 0, &e) < 0 || net_open(&net, &bench.loop, bench.metrics, &e) < 0)
        die(e.text);
    if (media_open(&bench.media, &bench.loop, &o, &e) < 0) die(e.text);
    services.net = net;
    services.media = bench.media;
    services.metrics = bench.metrics;
    bench.vm = vm_new(&services, ".");
    uv_poll_init(&bench.loop, &input, STDIN_FILENO);
    uv_poll_start(&input, UV_READABLE, on_input);
    if (vm_run_file(bench.vm, "tests/bench/pipeline.lua", argc - 3, argv + 3, on_ran, NULL, &e) < 0) die(e.text);
    return uv_run(&bench.loop, UV_RUN_DEFAULT);
}
