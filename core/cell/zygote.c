/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/zygote.h"
#include "base/mem.h"
#include "cell/walls.h"
#include "script/passing.h"
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker {
    struct worker *next;
    int fd, number;
};
struct child {
    struct child *next;
    struct worker *worker; /* NULL when it is gone */
    uint32_t id;
    pid_t pid;
    unsigned slot; /* its user id is WALLS_UID + slot: no two living cells share one */
};

static struct {
    struct zygote_opts opts;
    struct walls walls;
    int control, epoll, signals;
    struct worker *workers;
    struct child *children;
} zygote;

static void watch(int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    epoll_ctl(zygote.epoll, EPOLL_CTL_ADD, fd, &event);
}

static void answer(struct worker *w, const struct zygote_message *m, const int fds[3]) {
    /* A worker that does not read has worse troubles. */
    passing_send(w->fd, m, sizeof *m, fds, fds ? 3 : 0, MSG_DONTWAIT);
}

/* -- spawning -------------------------------------------------------------------------------------------------------- */

/* How the child tells what stands, as its last act before it serves. */
struct report {
    int32_t error;
    uint32_t missing;
};

static bool good_enough(uint32_t missing) {
    return zygote.opts.weak || (missing & ~walls_not_built()) == 0;
}

static void run_child(int socket, int tell, struct cell_page *page, unsigned slot, pid_t parent)
    __attribute__((noreturn));

static void run_child(int socket, int tell, struct cell_page *page, unsigned slot, pid_t parent) {
    struct report r = {0};
    sigset_t none;

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    sigemptyset(&none);
    r.error = cell_setup(&zygote.opts.cell, page);
    r.missing = walls_close(&zygote.walls, socket, tell, zygote.opts.cell.hard_bytes, WALLS_UID + slot);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() != parent) _exit(CELL_EXIT_SETUP); /* the zygote died before it could take us along */
    r.missing |= walls_seccomp(&zygote.walls);
    send(WALLS_REPORT, &r, sizeof r, MSG_NOSIGNAL);
    close(WALLS_REPORT);
    if (r.error || !good_enough(r.missing)) _exit(CELL_EXIT_SETUP);
    cell_serve(WALLS_SOCKET);
}

static unsigned free_slot(void) {
    for (unsigned slot = 0;; slot++) {
        struct child *c = zygote.children;
        while (c && c->slot != slot) c = c->next;
        if (!c) return slot;
    }
}

static int make_page(struct cell_page **page) {
    int fd = memfd_create("cell", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    *page = MAP_FAILED;
    if (fd < 0) return -1;
    if (ftruncate(fd, sizeof **page) == 0 && fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        *page = mmap(NULL, sizeof **page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (*page != MAP_FAILED) return fd;
    close(fd);
    return -1;
}

/* Waits for the child's word, which takes it a fraction of a millisecond. */
static int hear(int fd, struct report *r) {
    ssize_t n;

    do n = recv(fd, r, sizeof *r, 0);
    while (n < 0 && errno == EINTR);
    if (n != sizeof *r) return ECHILD; /* it died on its way */
    if (r->error) return r->error;
    return good_enough(r->missing) ? 0 : EPERM;
}

static void spawn(struct worker *w, uint32_t id) {
    struct zygote_message m = {.type = ZYGOTE_SPAWNED, .id = id};
    int cell[2] = {-1, -1}, tell[2] = {-1, -1}, pidfd = -1;
    struct report r = {0};
    struct cell_page *page;
    struct child *c = mem_alloc(sizeof *c);
    pid_t parent = getpid();
    int page_fd = make_page(&page);

    if (page_fd < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, cell) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, tell) < 0) {
        m.value = errno;
        goto done;
    }
    c->slot = free_slot();
    c->pid = fork();
    if (c->pid == 0) run_child(cell[1], tell[1], page, c->slot, parent);
    if (c->pid < 0) {
        m.value = errno;
        goto done;
    }
    c->id = id;
    c->worker = w;
    c->next = zygote.children;
    zygote.children = c;
    close(tell[1]);
    tell[1] = -1;
    pidfd = (int)syscall(SYS_pidfd_open, c->pid, 0); /* it cannot be reaped before we do it */
    m.value = pidfd < 0 ? errno : hear(tell[0], &r);
    m.pid = c->pid;
    m.weak = r.missing;
    if (m.value) {
        kill(c->pid, SIGKILL);
        c->worker = NULL; /* nobody asks about it again */
    }
    c = NULL;
done:
    if (m.value) m.type = ZYGOTE_FAILED;
    answer(w, &m, m.value ? NULL : (int[3]){cell[0], pidfd, page_fd});
    free(c);
    for (int i = 0; i < 2; i++) {
        if (cell[i] >= 0) close(cell[i]);
        if (tell[i] >= 0) close(tell[i]);
    }
    if (pidfd >= 0) close(pidfd);
    if (page_fd >= 0) close(page_fd);
    if (page != MAP_FAILED) munmap(page, sizeof *page);
}

/* -- workers --------------------------------------------------------------------------------------------------------- */

static struct child *find_child(struct worker *w, uint32_t id) {
    struct child *c = zygote.children;

    while (c && (c->worker != w || c->id != id)) c = c->next;
    return c;
}

static void worker_gone(struct worker *w) {
    struct worker **at = &zygote.workers;

    for (struct child *c = zygote.children; c; c = c->next) {
        if (c->worker != w) continue;
        kill(c->pid, SIGKILL);
        c->worker = NULL;
    }
    while (*at != w) at = &(*at)->next;
    *at = w->next;
    close(w->fd);
    free(w);
}

static void on_worker(struct worker *w) {
    struct zygote_message m;
    ssize_t n = recv(w->fd, &m, sizeof m, MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n != sizeof m) {
        worker_gone(w);
        return;
    }
    if (m.type == ZYGOTE_SPAWN) {
        spawn(w, m.id);
        return;
    }
    struct child *c = find_child(w, m.id);
    if (!c) return; /* it has ended meanwhile */
    struct sched_param none = {0};
    switch (m.type) {
    case ZYGOTE_KILL:
        kill(c->pid, SIGKILL);
        break;
    case ZYGOTE_STOP:
        kill(c->pid, SIGSTOP);
        break;
    case ZYGOTE_CONT:
        kill(c->pid, SIGCONT);
        break;
    case ZYGOTE_IDLE:
        sched_setscheduler(c->pid, SCHED_IDLE, &none);
        break;
    default:
        break;
    }
}

static void reap(void) {
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    while (read(zygote.signals, &info, sizeof info) == sizeof info) {
    }
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        struct child **at = &zygote.children;
        while (*at && (*at)->pid != pid) at = &(*at)->next;
        struct child *c = *at;
        if (!c) continue;
        *at = c->next;
        struct zygote_message m = {.type = ZYGOTE_ENDED, .id = c->id, .value = status, .pid = pid};
        if (c->worker) answer(c->worker, &m, NULL);
        free(c);
    }
}

/* -- the master ------------------------------------------------------------------------------------------------------ */

/* False when the master is gone. */
static bool on_master(void) {
    struct zygote_message m;
    int fd;
    ssize_t n = passing_receive(zygote.control, &m, sizeof m, &fd, 1);

    if (n == -EAGAIN || n == -EINTR) return true;
    if (n == 0 || (n < 0 && n != -EMSGSIZE)) return false;
    if (n != sizeof m || m.type != ZYGOTE_WORKER || fd < 0) {
        if (fd >= 0) close(fd);
        return true;
    }
    struct worker *w = mem_alloc(sizeof *w);
    w->fd = fd;
    w->number = m.value;
    w->next = zygote.workers;
    zygote.workers = w;
    watch(fd, w);
    return true;
}

int zygote_serve(int control, const struct zygote_opts *opts) {
    sigset_t mask;

    zygote.opts = *opts;
    zygote.control = control;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigprocmask(SIG_BLOCK, &mask, NULL);
    zygote.epoll = epoll_create1(EPOLL_CLOEXEC);
    zygote.signals = signalfd(-1, &mask, SFD_NONBLOCK | SFD_CLOEXEC);
    if (zygote.epoll < 0 || zygote.signals < 0) return CELL_EXIT_SETUP;
    walls_prepare(&zygote.walls);
    watch(control, &zygote.control);
    watch(zygote.signals, &zygote.signals);
    for (;;) {
        struct epoll_event event; /* one at a time: handling it may free what another points to */
        if (epoll_wait(zygote.epoll, &event, 1, -1) != 1) continue;
        if (event.data.ptr == &zygote.signals)
            reap();
        else if (event.data.ptr != &zygote.control)
            on_worker(event.data.ptr);
        else if (!on_master())
            break;
    }
    for (struct child *c = zygote.children; c; c = c->next) kill(c->pid, SIGKILL);
    return 0;
}
