/* SPDX-License-Identifier: Apache-2.0 */
#include "cell_host.h"
#include "script/passing.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static int control;

void host_die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}

int host_start(const char *path) {
    struct zygote_message m = {.type = ZYGOTE_WORKER, .value = 1};
    int master[2], worker[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, master) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, worker) < 0)
        host_die("socketpair");
    int pid = fork();
    if (pid == 0) {
        int high = fcntl(master[1], F_DUPFD, 50);
        char *empty[] = {NULL}, *args[] = {"parley-cell", geteuid() == 0 ? NULL : "--weak", NULL};
        dup2(high, 3);
        close(high);
        execve(path, args, empty);
        host_die(path);
    }
    close(master[1]);
    if (passing_send(master[0], &m, sizeof m, &worker[1], 1, 0) < 0) host_die("the zygote");
    close(worker[1]);
    control = worker[0]; /* master[0] stays open until we end, and the zygote with it */
    return pid;
}

int host_spawn(uint32_t id, const struct zygote_budget *budget, struct cell *c) {
    struct zygote_message m = {.type = ZYGOTE_SPAWN, .id = id};
    struct pollfd p = {.fd = control, .events = POLLIN};
    int fds[3];

    if (budget) m.budget = *budget;
    m.budget.tenant = id;
    if (send(control, &m, sizeof m, MSG_NOSIGNAL) != sizeof m || poll(&p, 1, 10000) != 1 ||
        passing_receive(control, &m, sizeof m, fds, 3) != sizeof m)
        host_die("the zygote is gone");
    if (m.type != ZYGOTE_SPAWNED) return m.value;
    c->fd = fds[0];
    c->pid = m.pid;
    c->page = mmap(NULL, sizeof *c->page, PROT_READ, MAP_SHARED, fds[2], 0);
    if (c->page == MAP_FAILED) return errno;
    close(fds[2]);
    return 0; /* the pidfd stays open, as in a worker */
}

int host_seal(const struct buf *bundle) {
    int fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0 || write(fd, bundle->data, bundle->len) != (ssize_t)bundle->len ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0)
        host_die("the bundle");
    return fd;
}

static void say(struct cell *c, const struct buf *b, int pass) {
    if (passing_send(c->fd, b->data, b->len, &pass, pass >= 0, 0) < 0) host_die("send");
}

void host_say(struct cell *c, const struct buf *b) {
    say(c, b, -1);
}

void host_str(struct buf *b, const char *text) {
    message_str(b, text, strlen(text));
}

struct message host_hear(struct cell *c) {
    static char bytes[MESSAGE_MAX];
    struct message m;
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);

    if (n <= 0 || !message_read(&m, bytes, (size_t)n)) host_die("the cell is gone");
    return m;
}

void host_load(struct cell *c, int bundle) {
    static const char *const verbs[] = {"say",  "menu",   "gather", "record",      "transfer", "hangup",
                                        "wait", "answer", "play",   "create_lead", "log",      "now"};
    struct buf b = {0};

    message_begin(&b, MESSAGE_VERBS);
    message_open(&b);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        message_int(&b, (int64_t)i + 1);
        message_open(&b);
        host_str(&b, "name");
        host_str(&b, verbs[i]);
        message_shut(&b);
    }
    message_shut(&b);
    say(c, &b, -1);
    message_begin(&b, MESSAGE_LOAD);
    host_str(&b, "v1");
    say(c, &b, bundle);
    buf_free(&b);
    if (host_hear(c).type != MESSAGE_LOADED) host_die("not loaded");
}

double host_now_us(void) {
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double host_cpu_us(int pid) {
    clockid_t clock = CLOCK_PROCESS_CPUTIME_ID;
    struct timespec t;

    if ((pid && clock_getcpuclockid(pid, &clock) != 0) || clock_gettime(clock, &t) < 0) host_die("a process is gone");
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double host_at(double *values, int count, double part) {
    qsort(values, (size_t)count, sizeof *values, compare);
    return values[(int)(part * (count - 1))];
}
