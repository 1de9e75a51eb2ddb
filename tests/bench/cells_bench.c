/* SPDX-License-Identifier: Apache-2.0 */
/* What a tenant's process costs: cells_bench PARLEY-CELL COUNT. Plays master and worker; prints a row a figure, its columns
 * parted by |. */
#include "cell_host.h"
#include "script/bundle.h"
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROUNDS = 20000, ROUNDS_COLD = 2000, SAMPLE = 200, PAUSE_US = 20000 };

static int bundle;

/* 12 states, of which the first asks for the time for ever. */
static void make_bundle(void) {
    struct buf source = {0}, b = {0};

    buf_add_str(&source, "local flow = require 'flow'\nreturn flow.define {\n  start = 'ask',\n"
                         "  ask = function(call) while true do call:now() end end,\n");
    for (int i = 1; i < 12; i++)
        buf_printf(&source,
                   "  step%d = function(call)\n    call:say('This is step %d, thank you for calling.')\n"
                   "    local key = call:menu { prompt = 'Press one for more.', ['1'] = 'step%d', otherwise = 'ask' }\n"
                   "    call.data.key%d = key\n    return key\n  end,\n",
                   i, i, i, i);
    buf_add_str(&source, "}\n");
    bundle_begin(&b);
    if (bundle_add(&b, "flows/main.lua", 14, source.data, source.len, NULL) < 0) host_die("bundle");
    bundle = host_seal(&b);
    buf_free(&source);
    buf_free(&b);
}

static void run(struct cell *c) {
    struct buf b = {0};

    message_begin(&b, MESSAGE_RUN);
    host_str(&b, "c1");
    host_str(&b, "v1");
    host_str(&b, "flows/main.lua");
    host_str(&b, "ask");
    message_int(&b, 1);
    for (int i = 0; i < 2; i++) message_open(&b), message_shut(&b);
    host_say(c, &b);
    buf_free(&b);
    if (host_hear(c).type != MESSAGE_VERB) host_die("the flow does not ask");
    c->n = 1;
}

static void answer(struct cell *c) {
    static struct buf b;

    message_begin(&b, MESSAGE_ANSWER);
    host_str(&b, "c1");
    message_int(&b, 1);
    message_int(&b, c->n++);
    message_bool(&b, true);
    message_int(&b, 1700000000);
    host_say(c, &b);
    if (host_hear(c).type != MESSAGE_VERB) host_die("the flow does not ask");
}

static void round_trips(struct cell *c, void (*there_and_back)(struct cell *c), int pause_us, const char *name,
                        int rounds) {
    static double us[ROUNDS];

    for (int i = 0; i < rounds; i++) {
        if (pause_us) usleep((useconds_t)pause_us);
        double from = host_now_us();
        there_and_back(c);
        us[i] = host_now_us() - from;
    }
    printf("%s|p50 %.1f us|p99 %.1f us\n", name, host_at(us, rounds, .5), host_at(us, rounds, .99));
}

static void echo(struct cell *c) {
    char bytes[64] = {0};

    if (send(c->fd, bytes, sizeof bytes, MSG_NOSIGNAL) < 0 || recv(c->fd, bytes, sizeof bytes, 0) <= 0)
        host_die("echo");
}

/* The yardstick: a process of a cell's priority that does nothing but send back what it hears. */
static void bare_round_trips(void) {
    struct cell c = {0};
    char bytes[64];
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) host_die("socketpair");
    fflush(stdout);
    c.pid = fork();
    if (c.pid == 0) {
        close(pair[0]);
        setpriority(PRIO_PROCESS, 0, 5);
        for (ssize_t n; (n = recv(pair[1], bytes, sizeof bytes, 0)) > 0;) send(pair[1], bytes, (size_t)n, MSG_NOSIGNAL);
        _exit(0);
    }
    close(pair[1]);
    c.fd = pair[0];
    round_trips(&c, echo, 0, "a bare process that sends back what it hears, one after the other", ROUNDS);
    round_trips(&c, echo, 1000, "a bare process that sends back what it hears, one a millisecond", ROUNDS_COLD);
    close(c.fd);
}

/* KiB of the process that are its own, from the rollup's line of that name. */
static double rollup(int pid, const char *line_name) {
    char path[64], line[256];
    double kb = 0;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", pid);
    FILE *f = fopen(path, "r");
    if (!f) host_die(path);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, line_name, strlen(line_name)) == 0) kb += atof(line + strlen(line_name));
    fclose(f);
    return kb;
}

static double own_kb(int pid) {
    return rollup(pid, "Private_Dirty:") + rollup(pid, "Private_Clean:");
}

static double available_kb(void) {
    char line[256];
    double kb = 0;
    FILE *f = fopen("/proc/meminfo", "r");

    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %lf", &kb) == 1) break;
    if (f) fclose(f);
    return kb;
}

int main(int argc, char **argv) {
    int most = argc == 3 ? atoi(argv[2]) : 0, made = 0, problem = 0;
    struct rlimit files;

    if (most < 2 * SAMPLE) {
        fprintf(stderr, "cells_bench PARLEY-CELL COUNT (at least %d)\n", 2 * SAMPLE);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_bundle();
    int zygote = host_start(argv[1]);

    struct cell *cells = calloc((size_t)most, sizeof *cells);
    double *ms = calloc((size_t)most, sizeof *ms), *spawned = calloc((size_t)most, sizeof *ms),
           *cpu = calloc((size_t)most, sizeof *ms), *at_zygote = calloc((size_t)most, sizeof *ms);
    double before = available_kb();
    for (made = 0; made < most; made++) {
        if (made < SAMPLE) usleep(PAUSE_US); /* tenants come now and then; behind these they come all at once */
        double from = host_now_us();
        double zygote_us = host_cpu_us(zygote);
        problem = host_spawn((uint32_t)made + 1, NULL, &cells[made]);
        if (problem) break;
        spawned[made] = (host_now_us() - from) / 1e3;
        host_load(&cells[made], bundle);
        run(&cells[made]);
        ms[made] = (host_now_us() - from) / 1e3;
        cpu[made] = host_cpu_us(cells[made].pid) / 1e3;
        at_zygote[made] = (host_cpu_us(zygote) - zygote_us) / 1e3;
        if (made == 0) bare_round_trips();
        if (made == 0) round_trips(&cells[0], answer, 0, "a verb there and back, one after the other", ROUNDS);
        if (made == 0) round_trips(&cells[0], answer, 1000, "a verb there and back, one a millisecond", ROUNDS_COLD);
    }
    double after = available_kb();
    if (made < 2 * SAMPLE) host_die("too few cells");
    printf("spawn to running flow, one now and then|p50 %.2f ms|p99 %.2f ms\n", host_at(ms, SAMPLE, .5),
           host_at(ms, SAMPLE, .99));
    printf("of that until the cell is there|p50 %.2f ms|p99 %.2f ms\n", host_at(spawned, SAMPLE, .5),
           host_at(spawned, SAMPLE, .99));
    printf("all at once, the first %d|p50 %.2f ms|p99 %.2f ms\n", SAMPLE, host_at(ms + SAMPLE, SAMPLE, .5),
           host_at(ms + SAMPLE, SAMPLE, .99));
    printf("all at once, the last %d|p50 %.2f ms|p99 %.2f ms\n", SAMPLE, host_at(ms + made - SAMPLE, SAMPLE, .5),
           host_at(ms + made - SAMPLE, SAMPLE, .99));
    printf("processor time of one, all of them|of the cell %.2f ms|of the zygote %.2f ms\n", host_at(cpu, made, .5),
           host_at(at_zygote, made, .5));
    printf("cells at once|%d of %d|%s\n", made, most, problem ? strerror(problem) : "all");
    round_trips(&cells[made / 2], answer, 0, "a verb there and back, with all of them there", ROUNDS);
    double own[SAMPLE], shared[SAMPLE];
    for (int i = 0; i < SAMPLE; i++) {
        int pid = cells[(long)i * made / SAMPLE].pid;
        own[i] = own_kb(pid);
        shared[i] = rollup(pid, "Pss:");
    }
    printf("private memory at rest|p50 %.0f KiB|most %.0f KiB\n", host_at(own, SAMPLE, .5), host_at(own, SAMPLE, 1));
    printf("of the one that has asked for %d verbs|%.0f KiB|\n", ROUNDS + ROUNDS_COLD, own_kb(cells[0].pid));
    printf("in use by Lua in one of them|%.0f KiB|\n", (double)cells[made - 1].page->memory / 1024);
    printf("proportional set size|p50 %.0f KiB|most %.0f KiB\n", host_at(shared, SAMPLE, .5),
           host_at(shared, SAMPLE, 1));
    printf("memory the machine has less, the kernel's part included|%.0f KiB a cell|\n", (before - after) / made);
    return 0;
}
