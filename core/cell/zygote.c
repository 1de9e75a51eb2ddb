/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/zygote.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "cell/answers.h"
#include "cell/program.h"
#include "cell/refill.h"
#include "cell/walls.h"
#include "cell/warm.h"
#include "cell/weight.h"
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
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

struct worker {
    int fd;
    struct answers answers;
    struct map cells; /* its own number of a cell, as text -> child */
};
struct child {
    struct worker *worker;       /* NULL while it waits, and when that is gone or does not ask about this cell again */
    uint32_t id, tenant, weight; /* tenant 0: it is in no control group */
    pid_t pid;
    unsigned slot;          /* its user id is WALLS_UID + slot: no two living cells share one */
    bool idle;              /* it is SCHED_IDLE */
    int socket, tell, page; /* our ends and its page until it is given away, else -1 */
    char id_key[12], pid_key[12];
};

static struct {
    struct zygote_opts opts;
    struct walls walls;
    int control, epoll, signals;
    bool lets_back;      /* a cell that is SCHED_IDLE can be made SCHED_OTHER again */
    bool sets_limits;    /* those of a cell that waits can be raised */
    struct map children; /* pid, as text -> child */
    unsigned *free_slots, free_count, free_cap, slots;
    struct child *ready[ZYGOTE_READY_MAX]; /* the oldest first */
    int ready_count;
    bool short_of; /* a cell could not be made ahead, or died waiting: none is before the next request */
    struct refill refill;
} zygote;

static void watch(int fd, void *what) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = what};
    epoll_ctl(zygote.epoll, EPOLL_CTL_ADD, fd, &event);
}

/* fds are taken. Of a worker that does not take what it is told nothing more is read. */
static void answer(struct worker *w, const struct zygote_message *m, const int fds[3]) {
    struct epoll_event event = {.events = EPOLLOUT, .data.ptr = w};

    if (!answers_say(&w->answers, m, fds)) epoll_ctl(zygote.epoll, EPOLL_CTL_MOD, w->fd, &event);
}

/* -- spawning -------------------------------------------------------------------------------------------------------- */

/* How the child tells what stands, as its last act before it waits for its tenant. */
struct report {
    int32_t error;
    uint32_t missing;
};

static bool good_enough(uint32_t missing) {
    return zygote.opts.weak || (missing & ~walls_not_built()) == 0;
}

static struct zygote_budget told(const struct zygote_budget *asked, const struct cell_opts *o) {
    return (struct zygote_budget){.tenant = asked->tenant,
                                  .soft_mb = (uint32_t)(o->soft_bytes >> 20),
                                  .hard_mb = (uint32_t)(o->hard_bytes >> 20),
                                  .slice_ms = (uint32_t)o->slice_ms,
                                  .invocation_ms = (uint32_t)o->invocation_ms,
                                  .call_ms = (uint32_t)o->call_ms,
                                  .share_percent = (uint32_t)o->share_percent,
                                  .lets_back = zygote.lets_back};
}

static void run_child(const struct cell_opts *limits, int socket, int tell, struct cell_page *page, unsigned slot,
                      pid_t parent) __attribute__((noreturn));

static void run_child(const struct cell_opts *limits, int socket, int tell, struct cell_page *page, unsigned slot,
                      pid_t parent) {
    struct report r = {0};
    struct cell_opts opts;
    sigset_t none;
    ssize_t n;

    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    r.missing = walls_close(&zygote.walls, socket, tell, WALLS_UID + slot);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (getppid() != parent) _exit(CELL_EXIT_SETUP); /* the zygote died before it could take us along */
    r.error = cell_setup(limits, page);
    r.missing |= walls_limit(limits->hard_bytes);
    r.missing |= walls_seccomp(&zygote.walls);
    send(WALLS_REPORT, &r, sizeof r, MSG_NOSIGNAL);
    if (r.error || !good_enough(r.missing)) _exit(CELL_EXIT_SETUP);
    warm_touch(page);
    do n = read(WALLS_REPORT, &opts, sizeof opts); /* until it is given to a tenant */
    while (n < 0 && errno == EINTR);
    if (n != sizeof opts) _exit(CELL_EXIT_SETUP);
    close(WALLS_REPORT);
    cell_budget(&opts);
    cell_serve(WALLS_SOCKET);
}

static unsigned take_slot(void) {
    return zygote.free_count > 0 ? zygote.free_slots[--zygote.free_count] : zygote.slots++;
}

static void give_slot(unsigned slot) {
    if (zygote.free_count == zygote.free_cap) {
        zygote.free_cap = zygote.free_cap ? 2 * zygote.free_cap : 64;
        zygote.free_slots = mem_realloc(zygote.free_slots, zygote.free_cap * sizeof *zygote.free_slots);
    }
    zygote.free_slots[zygote.free_count++] = slot;
}

static uint32_t given(uint32_t wanted, int otherwise, int most) {
    return wanted == 0 ? (uint32_t)otherwise : wanted > (uint32_t)most ? (uint32_t)most : wanted;
}

static size_t given_mb(uint32_t wanted, size_t otherwise) {
    return wanted == 0 ? otherwise : (size_t)given(wanted, 0, CELL_MB_MAX) << 20;
}

static struct cell_opts budgeted(const struct zygote_budget *b) {
    struct cell_opts o = zygote.opts.cell;

    o.soft_bytes = given_mb(b->soft_mb, o.soft_bytes);
    o.hard_bytes = given_mb(b->hard_mb, o.hard_bytes);
    if (o.soft_bytes > o.hard_bytes) o.soft_bytes = o.hard_bytes / 2; /* room to collect before it is ended */
    o.slice_ms = (int)given(b->slice_ms, o.slice_ms, CELL_SLICE_MS_MAX);
    o.invocation_ms = (int)given(b->invocation_ms, o.invocation_ms, CELL_RUN_MS_MAX);
    o.call_ms = (int)given(b->call_ms, o.call_ms, CELL_RUN_MS_MAX);
    o.share_percent = (int)given(b->share_percent, o.share_percent, 100);
    return o;
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

/* Waits for the child's word, which takes it a fraction of a millisecond; one that was made ahead has said it long ago. */
static int hear(int fd, struct report *r) {
    ssize_t n;

    do n = recv(fd, r, sizeof *r, 0);
    while (n < 0 && errno == EINTR);
    if (n != sizeof *r) return ECHILD; /* it died on its way */
    if (r->error) return r->error;
    return good_enough(r->missing) ? 0 : EPERM;
}

static void leave_worker(struct child *c) {
    if (c->worker) map_drop(&c->worker->cells, c->id_key, c);
    c->worker = NULL;
}

static void drop_ends(struct child *c) {
    int *ends[] = {&c->socket, &c->tell, &c->page};

    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        if (*ends[i] >= 0) close(*ends[i]);
        *ends[i] = -1;
    }
}

/* A cell without a tenant, with limits by opts. NULL with *error set to an errno. Its walls go up while others do something else. */
static struct child *make_child(const struct cell_opts *opts, int *error) {
    int cell[2] = {-1, -1}, tell[2] = {-1, -1};
    struct cell_page *page;
    struct child *c = mem_alloc(sizeof *c);
    pid_t parent = getpid();

    *c = (struct child){.socket = -1, .tell = -1, .page = make_page(&page)};
    if (c->page < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, cell) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, tell) < 0)
        goto fail;
    c->slot = take_slot();
    c->pid = fork();
    if (c->pid == 0) run_child(opts, cell[1], tell[1], page, c->slot, parent);
    if (c->pid < 0) {
        give_slot(c->slot);
        goto fail;
    }
    c->socket = cell[0];
    c->tell = tell[0];
    close(cell[1]);
    close(tell[1]);
    munmap(page, sizeof *page);
    snprintf(c->pid_key, sizeof c->pid_key, "%d", c->pid);
    map_put(&zygote.children, c->pid_key, c);
    return c;
fail:
    *error = errno;
    for (int i = 0; i < 2; i++) {
        if (cell[i] >= 0) close(cell[i]);
        if (tell[i] >= 0) close(tell[i]);
    }
    if (page != MAP_FAILED) munmap(page, sizeof *page);
    drop_ends(c);
    free(c);
    return NULL;
}

static void make_ready(void) {
    int error;
    struct child *c = make_child(&zygote.opts.cell, &error);

    if (c)
        zygote.ready[zygote.ready_count++] = c;
    else
        zygote.short_of = true;
}

static void leave_ready(const struct child *c) {
    for (int i = 0; i < zygote.ready_count; i++)
        if (zygote.ready[i] == c) {
            zygote.ready_count--;
            memmove(&zygote.ready[i], &zygote.ready[i + 1], (size_t)(zygote.ready_count - i) * sizeof *zygote.ready);
            zygote.short_of = true;
            return;
        }
}

static void end_child(struct child *c) { /* reap() frees it */
    kill(c->pid, SIGKILL);
    drop_ends(c);
}

/* One that waited, unless it was killed meanwhile, or a new one; it serves by opts. NULL with *error set to an errno. */
static struct child *take_child(const struct cell_opts *opts, struct report *r, int *error) {
    bool usual = opts->hard_bytes == zygote.opts.cell.hard_bytes;

    for (;;) {
        bool waited = zygote.ready_count > 0 && (usual || zygote.sets_limits);
        struct child *c = waited ? zygote.ready[0] : make_child(opts, error);
        if (!c) return NULL;
        if (waited) leave_ready(c);
        *error = hear(c->tell, r);
        if (*error == 0 && waited && !usual && !walls_limit_again(c->pid, opts->hard_bytes)) *error = ECHILD;
        if (*error == 0 && send(c->tell, opts, sizeof *opts, MSG_NOSIGNAL) < 0) *error = ECHILD;
        if (*error == 0) return c;
        end_child(c);
        if (!waited) return NULL; /* what is wrong with one that waited is not its tenant's affair */
    }
}

static void spawn(struct worker *w, const struct zygote_message *asked) {
    struct zygote_message m = {.type = ZYGOTE_SPAWNED, .id = asked->id};
    struct cell_opts opts = budgeted(&asked->budget);
    struct report r = {0};
    struct child *c = take_child(&opts, &r, &m.value);
    int pidfd = c ? (int)syscall(SYS_pidfd_open, c->pid, 0) : -1; /* it cannot be reaped before we do it */

    zygote.short_of = false;
    m.weak = r.missing;
    m.budget = told(&asked->budget, &opts);
    if (pidfd < 0) {
        if (c) m.value = errno;
        if (c) end_child(c);
        m.type = ZYGOTE_FAILED;
        answer(w, &m, NULL);
        return;
    }
    m.pid = c->pid;
    c->id = asked->id;
    c->worker = w;
    snprintf(c->id_key, sizeof c->id_key, "%u", c->id);
    map_put(&w->cells, c->id_key, c);
    m.budget.weight = c->weight = weight_enter(asked->budget.tenant, asked->budget.weight, c->slot, c->pid);
    c->tenant = m.budget.weight ? asked->budget.tenant : 0;
    answer(w, &m, (int[3]){c->socket, pidfd, c->page});
    c->socket = c->page = -1;
    drop_ends(c);
}

/* -- workers --------------------------------------------------------------------------------------------------------- */

static struct child *find_child(const struct worker *w, uint32_t id) {
    char key[12];

    snprintf(key, sizeof key, "%u", id);
    return map_get(&w->cells, key);
}

static void kill_child(void *arg, void *child) {
    struct child *c = child;

    (void)arg;
    kill(c->pid, SIGKILL);
    c->worker = NULL;
}

static void worker_gone(struct worker *w) {
    map_each(&w->cells, kill_child, NULL);
    map_free(&w->cells);
    answers_free(&w->answers);
    epoll_ctl(zygote.epoll, EPOLL_CTL_DEL, w->fd,
              NULL); /* a copy that the helper for weights inherited would keep it, and point to w */
    close(w->fd);
    free(w);
}

static void set_policy(struct child *c, bool idle) {
    const struct sched_param none = {0};

    if (idle && sched_setscheduler(c->pid, SCHED_IDLE, &none) == 0) c->idle = true;
    if (!idle && c->idle && sched_setscheduler(c->pid, SCHED_OTHER, &none) == 0) c->idle = false;
    /* Where it stays SCHED_IDLE it stays among the idle ones too: its tenant's other cells do not pay for it. */
    if (idle || !c->idle) weight_idle(c->tenant, c->weight, c->slot, c->pid, idle);
}

static void on_worker(struct worker *w) {
    struct zygote_message m;
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = w};

    if (w->answers.first) {
        if (answers_flush(&w->answers)) epoll_ctl(zygote.epoll, EPOLL_CTL_MOD, w->fd, &event);
        return;
    }
    ssize_t n = recv(w->fd, &m, sizeof m, MSG_DONTWAIT);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
    if (n != sizeof m) {
        worker_gone(w);
        return;
    }
    if (m.type == ZYGOTE_SPAWN) {
        spawn(w, &m);
        return;
    }
    struct child *c = find_child(w, m.id);
    if (!c) return; /* it has ended meanwhile */
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
        set_policy(c, true);
        break;
    case ZYGOTE_NORMAL:
        set_policy(c, false);
        break;
    default:
        break;
    }
}

static void reap(void) {
    struct signalfd_siginfo info;
    siginfo_t ended;
    int status;
    pid_t pid;

    while (read(zygote.signals, &info, sizeof info) == sizeof info) {
    }
    /* Looked at before it is reaped: until then its number belongs to nobody else, and after that nobody may go by it. */
    while (ended.si_pid = 0, waitid(P_ALL, 0, &ended, WEXITED | WNOHANG | WNOWAIT) == 0 && (pid = ended.si_pid) > 0) {
        char key[12];
        snprintf(key, sizeof key, "%d", pid);
        struct child *c = map_get(&zygote.children, key);
        if (c) weight_leave(c->tenant, c->slot);
        if (waitpid(pid, &status, 0) != pid || !c) continue;
        map_drop(&zygote.children, key, c);
        struct zygote_message m = {.type = ZYGOTE_ENDED, .id = c->id, .value = status, .pid = pid};
        if (c->worker) answer(c->worker, &m, NULL);
        leave_worker(c);
        leave_ready(c);
        drop_ends(c);
        give_slot(c->slot);
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
    w->fd = w->answers.fd = fd;
    watch(fd, w);
    return true;
}

/* What we may do with a cell is up to whose it is, and to what we may do with what is not ours: tried on one that nobody gets. */
static void try_cell(void) {
    struct report r = {0};
    int error;
    struct child *c = take_child(&zygote.opts.cell, &r, &error);

    if (!c) return;
    set_policy(c, true);
    bool was_idle = c->idle;
    set_policy(c, false);
    zygote.lets_back = was_idle && !c->idle;
    zygote.sets_limits = walls_limit_again(c->pid, 2 * zygote.opts.cell.hard_bytes);
    end_child(c);
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
    weight_open(
        "/sys/fs/cgroup",
        "/proc/self/cgroup"); /* a cell's answer tells whether it has one; before the file system is out of sight */
    program_prepare();
    warm_prepare(&opts->cell);
    walls_prepare(&zygote.walls);
    try_cell();
    watch(control, &zygote.control);
    watch(zygote.signals, &zygote.signals);
    for (;;) {
        struct epoll_event event; /* one at a time: handling it may free what another points to */
        bool missing = zygote.ready_count < zygote.opts.ready && !zygote.short_of;
        int wait_ms = refill_wait_ms(&zygote.refill, missing, missing ? clock_mono_ms() : 0);
        int n = wait_ms == 0 ? 0 : epoll_wait(zygote.epoll, &event, 1, wait_ms);
        if (n == 0) {
            make_ready();
            refill_made(&zygote.refill);
        }
        if (n != 1) continue;
        if (event.data.ptr == &zygote.signals)
            reap();
        else if (event.data.ptr != &zygote.control)
            on_worker(event.data.ptr);
        else if (!on_master())
            break;
    }
    map_each(&zygote.children, kill_child, NULL);
    return 0;
}
