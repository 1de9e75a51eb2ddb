/* SPDX-License-Identifier: Apache-2.0 */
/* What a tenant's process costs: cells_bench PARLEY-CELL COUNT. Plays master and worker; prints a row a figure, its columns
 * parted by |. */
#include "base/buf.h"
#include "base/clock.h"
#include "script/bundle.h"
#include "script/message.h"
#include "script/passing.h"
#include "script/zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20000, ROUNDS_COLD = 2000, SAMPLE = 200 };

struct cell {
    int fd, pid;
    const struct cell_page *page;
    int n; /* of the verb it waits for */
};
static int control, bundle, zygote;

static void die(const char *what) {
    fprintf(stderr, "cells_bench: %s: %s\n", what, strerror(errno));
    exit(1);
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double at(double *values, int count, double part) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[(int)(part * (count - 1))];
}

static void start_zygote(const char *path) {
    struct zygote_message m = {.type = ZYGOTE_WORKER, .value = 1};
    int master[2], worker[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, master) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, worker) < 0)
        die("socketpair");
    zygote = fork();
    if (zygote == 0) {
        int high = fcntl(master[1], F_DUPFD, 50);
        char *empty[] = {NULL}, *args[] = {"parley-cell", geteuid() == 0 ? NULL : "--weak", NULL};
        dup2(high, 3);
        close(high);
        execve(path, args, empty);
        die(path);
    }
    close(master[1]);
    if (passing_send(master[0], &m, sizeof m, &worker[1], 1, 0) < 0) die("the zygote");
    close(worker[1]);
    control = worker[0]; /* master[0] stays open until we end, and the zygote with it */
}

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
    if (bundle_add(&b, "flows/main.lua", 14, source.data, source.len, NULL) < 0) die("bundle");
    bundle = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (write(bundle, b.data, b.len) != (ssize_t)b.len ||
        fcntl(bundle, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        die("bundle");
    buf_free(&source);
    buf_free(&b);
}

static void say(int fd, struct buf *b, int pass) {
    if (passing_send(fd, b->data, b->len, &pass, pass >= 0, 0) < 0) die("send");
}

static void str(struct buf *b, const char *text) {
    message_str(b, text, strlen(text));
}

/* Waits for a message of the cell. */
static uint8_t hear(int fd) {
    static char bytes[MESSAGE_MAX];
    struct message m;
    ssize_t n = recv(fd, bytes, sizeof bytes, 0);

    if (n <= 0 || !message_read(&m, bytes, (size_t)n)) die("the cell is gone");
    return m.type;
}

/* 0, or an errno that tells why there is none. */
static int spawn(uint32_t id, struct cell *c) {
    struct zygote_message m = {.type = ZYGOTE_SPAWN, .id = id, .budget.tenant = id};
    struct pollfd p = {.fd = control, .events = POLLIN};
    int fds[3];

    if (send(control, &m, sizeof m, MSG_NOSIGNAL) != sizeof m || poll(&p, 1, 10000) != 1 ||
        passing_receive(control, &m, sizeof m, fds, 3) != sizeof m)
        die("the zygote is gone");
    if (m.type != ZYGOTE_SPAWNED) return m.value;
    c->fd = fds[0];
    c->pid = m.pid;
    c->page = mmap(NULL, sizeof *c->page, PROT_READ, MAP_SHARED, fds[2], 0);
    if (c->page == MAP_FAILED) return errno;
    close(fds[2]);
    return 0; /* the pidfd stays open, as in a worker */
}

static void load(struct cell *c) {
    static const char *const verbs[] = {"say",  "menu",   "gather", "record",      "transfer", "hangup",
                                        "wait", "answer", "play",   "create_lead", "log",      "now"};
    struct buf b = {0};

    message_begin(&b, MESSAGE_VERBS);
    message_open(&b);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        message_int(&b, (int64_t)i + 1);
        message_open(&b);
        str(&b, "name");
        str(&b, verbs[i]);
        message_shut(&b);
    }
    message_shut(&b);
    say(c->fd, &b, -1);
    message_begin(&b, MESSAGE_LOAD);
    str(&b, "v1");
    say(c->fd, &b, bundle);
    buf_free(&b);
    if (hear(c->fd) != MESSAGE_LOADED) die("not loaded");
}

static void run(struct cell *c) {
    struct buf b = {0};

    message_begin(&b, MESSAGE_RUN);
    str(&b, "c1");
    str(&b, "v1");
    str(&b, "flows/main.lua");
    str(&b, "ask");
    message_int(&b, 1);
    for (int i = 0; i < 2; i++) message_open(&b), message_shut(&b);
    say(c->fd, &b, -1);
    buf_free(&b);
    if (hear(c->fd) != MESSAGE_VERB) die("the flow does not ask");
    c->n = 1;
}

static void answer(struct cell *c) {
    static struct buf b;

    message_begin(&b, MESSAGE_ANSWER);
    str(&b, "c1");
    message_int(&b, 1);
    message_int(&b, c->n++);
    message_bool(&b, true);
    message_int(&b, 1700000000);
    say(c->fd, &b, -1);
    if (hear(c->fd) != MESSAGE_VERB) die("the flow does not ask");
}

static double now_us(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* Milliseconds of processor time that a process has used. */
static double cpu_ms(int pid) {
    clockid_t clock;
    struct timespec t;

    if (clock_getcpuclockid(pid, &clock) != 0 || clock_gettime(clock, &t) < 0) die("a process is gone");
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void round_trips(struct cell *c, void (*there_and_back)(struct cell *c), int pause_us, const char *name,
                        int rounds) {
    static double us[ROUNDS];

    for (int i = 0; i < rounds; i++) {
        if (pause_us) usleep((useconds_t)pause_us);
        double from = now_us();
        there_and_back(c);
        us[i] = now_us() - from;
    }
    printf("%s|p50 %.1f us|p99 %.1f us\n", name, at(us, rounds, .5), at(us, rounds, .99));
}

static void echo(struct cell *c) {
    char bytes[64] = {0};

    if (send(c->fd, bytes, sizeof bytes, MSG_NOSIGNAL) < 0 || recv(c->fd, bytes, sizeof bytes, 0) <= 0) die("echo");
}

/* The yardstick: a process of a cell's priority that does nothing but send back what it hears. */
static void bare_round_trips(void) {
    struct cell c = {0};
    char bytes[64];
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) die("socketpair");
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
    if (!f) return 0;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, line_name, strlen(line_name)) == 0) kb += atof(line + strlen(line_name));
    fclose(f);
    return kb;
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

    if (most < SAMPLE) {
        fprintf(stderr, "cells_bench PARLEY-CELL COUNT (at least %d)\n", SAMPLE);
        return 2;
    }
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    make_bundle();
    start_zygote(argv[1]);

    struct cell *cells = calloc((size_t)most, sizeof *cells);
    double *ms = calloc((size_t)most, sizeof *ms), *spawned = calloc((size_t)most, sizeof *ms),
           *cpu = calloc((size_t)most, sizeof *ms), *at_zygote = calloc((size_t)most, sizeof *ms);
    double before = available_kb();
    for (made = 0; made < most; made++) {
        uint64_t from = clock_mono_us();
        double zygote_ms = cpu_ms(zygote);
        problem = spawn((uint32_t)made + 1, &cells[made]);
        if (problem) break;
        spawned[made] = (double)(clock_mono_us() - from) / 1e3;
        load(&cells[made]);
        run(&cells[made]);
        ms[made] = (double)(clock_mono_us() - from) / 1e3;
        cpu[made] = cpu_ms(cells[made].pid);
        at_zygote[made] = cpu_ms(zygote) - zygote_ms;
        if (made == 0) bare_round_trips();
        if (made == 0) round_trips(&cells[0], answer, 0, "a verb there and back, one after the other", ROUNDS);
        if (made == 0) round_trips(&cells[0], answer, 1000, "a verb there and back, one a millisecond", ROUNDS_COLD);
    }
    double after = available_kb();
    if (made < SAMPLE) die("too few cells");
    printf("spawn to running flow, the first %d|p50 %.2f ms|p99 %.2f ms\n", SAMPLE, at(ms, SAMPLE, .5),
           at(ms, SAMPLE, .99));
    printf("of that until the cell is there|p50 %.2f ms|p99 %.2f ms\n", at(spawned, SAMPLE, .5),
           at(spawned, SAMPLE, .99));
    printf("the last %d|p50 %.2f ms|p99 %.2f ms\n", SAMPLE, at(ms + made - SAMPLE, SAMPLE, .5),
           at(ms + made - SAMPLE, SAMPLE, .99));
    printf("processor time of one, all of them|of the cell %.2f ms|of the zygote %.2f ms\n", at(cpu, made, .5),
           at(at_zygote, made, .5));
    printf("cells at once|%d of %d|%s\n", made, most, problem ? strerror(problem) : "all");
    round_trips(&cells[made / 2], answer, 0, "a verb there and back, with all of them there", ROUNDS);
    double own[SAMPLE], shared[SAMPLE];
    for (int i = 0; i < SAMPLE; i++) {
        int pid = cells[(long)i * made / SAMPLE].pid;
        own[i] = rollup(pid, "Private_Dirty:") + rollup(pid, "Private_Clean:");
        shared[i] = rollup(pid, "Pss:");
    }
    printf("private memory at rest|p50 %.0f KiB|most %.0f KiB\n", at(own, SAMPLE, .5), at(own, SAMPLE, 1));
    printf("of that in use by Lua|%.0f KiB|\n", (double)cells[made - 1].page->memory / 1024);
    printf("proportional set size|p50 %.0f KiB|most %.0f KiB\n", at(shared, SAMPLE, .5), at(shared, SAMPLE, 1));
    printf("memory the machine has less, the kernel's part included|%.0f KiB a cell|\n", (before - after) / made);
    return 0;
}
