/* SPDX-License-Identifier: Apache-2.0 */
/* The master: listeners that outlive workers, one zygote, workers that are started again when they die, and a watchdog.
 *
 * It holds no tenant's data and does nothing that can wait, so that it has no reason to die.
 * SIGTERM, SIGINT: stop everything. SIGHUP: renew everything, with calls up: the configuration is checked by the program
 * that lies there now, then this process becomes that program (exec) with its listeners and its workers, which are old
 * from then on. New workers start beside them, and each old one drains when the new one with its number is ready.
 */
#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "host/host.h"
#include "host/inherit.h"
#include "metrics/metrics.h"
#include "script/zygote.h"
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

enum {
    WORKERS_MAX = 64,
    WATCH_MS = 100,
    START_GRACE_MS = 20000, /* until the first heartbeat */
    RESTART_MIN_MS = 50,
    RESTART_MAX_MS = 5000,
    STOP_MS = 8000, /* then SIGKILL */
    OLD_MS = 60000, /* an old worker has drained by then, or SIGKILL */
    CELL_PROOF_MS = 10000,
    DEAD_MAX = 64,
    DEAD_NEWS_MS = 10000,
};

struct child {
    int index;
    uv_process_t process;
    int pid;
    bool running, ready;
    bool old; /* started by the program before: no process handle, no restart */
    char owner[64];
    int http, https;  /* its listening sockets; opened once */
    uv_pipe_t pipe;   /* to the worker */
    uv_timer_t again; /* restart, with back-off */
    uint64_t started_ms;
    int quick_deaths;
    struct buf line;
};

static struct master {
    uv_loop_t loop;
    struct config *config;
    struct metrics *metrics;
    int config_fd, null_fd, zygote_fd /* our control socket */;
    uv_process_t zygote;
    bool zygote_running;
    struct child children[WORKERS_MAX], old[WORKERS_MAX];
    int count, old_count;
    int old_zygote_fd, old_zygote; /* -1, 0: none */
    const char *config_file;
    uv_process_t check; /* of the configuration, by the program that lies there now */
    bool checking;
    uv_timer_t watch, stop_timer, old_timer;
    uv_signal_t signals[4];
    bool stopping;
    uint64_t last_watch_ms;
    struct {
        char owner[64];
        uint64_t at_ms;
    } dead[DEAD_MAX]; /* a ring */
    int next_dead;
} m;

static void child_start(struct child *c);

/* -- files --------------------------------------------------------------------------------------------------------- */

static void pid_file(const char *name, int pid) {
    const char *dir = config_str(m.config, "run_dir");
    char path[600];
    FILE *f;

    if (!*dir) return;
    snprintf(path, sizeof path, "%s/%s.pid", dir, name);
    if (pid == 0) {
        unlink(path);
        return;
    }
    f = fopen(path, "w");
    if (f == NULL) {
        log_warn("pidfile.failed", "%s: %s", path, strerror(errno));
        return;
    }
    fprintf(f, "%d\n", pid);
    fclose(f);
}

static void child_pid_file(const struct child *c, int pid) {
    char name[32];

    snprintf(name, sizeof name, "worker-%d", c->index);
    pid_file(name, pid);
}

static int listen_on(const char *bind_to, int port, struct err *e) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_PASSIVE, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    int fd, one = 1;

    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(bind_to, service, &hints, &found) != 0)
        return err_set(e, ERR_INVALID, "http.bind: '%s' is not an IP address", bind_to);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        freeaddrinfo(found);
        return err_set(e, ERR_IO, "no socket: %s", strerror(errno));
    }
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0 || listen(fd, 1024) < 0) {
        err_set(e, ERR_IO, "cannot listen on %s port %d: %s%s", bind_to, port, strerror(errno),
                errno == EADDRINUSE ? "; stop what uses it or set http.port / http.tls_port" : "");
        freeaddrinfo(found);
        close(fd);
        return e->code;
    }
    freeaddrinfo(found);
    return fd;
}

/* SO_REUSEPORT would let two masters share a port without a word, so the port is first tried without it. */
static int port_free(const char *bind_to, int port, struct err *e) {
    struct addrinfo hints = {.ai_flags = AI_NUMERICHOST, .ai_socktype = SOCK_STREAM}, *found = NULL;
    char service[16];
    int fd, one = 1, rc = 0;

    if (port == 0) return 0;
    snprintf(service, sizeof service, "%d", port);
    if (getaddrinfo(bind_to, service, &hints, &found) != 0)
        return err_set(e, ERR_INVALID, "http.bind: '%s' is not an IP address", bind_to);
    fd = socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, found->ai_addr, found->ai_addrlen) < 0)
        rc = err_set(e, ERR_IO, "cannot listen on %s port %d: %s%s", bind_to, port, strerror(errno),
                     errno == EADDRINUSE ? "; stop what uses it or set http.port / http.tls_port" : "");
    freeaddrinfo(found);
    close(fd);
    return rc;
}

static int config_to_fd(struct err *e) {
    char *json = config_json(m.config);
    size_t len = strlen(json);
    int fd = memfd_create("parley-config", MFD_CLOEXEC);

    if (fd < 0 || write(fd, json, len) != (ssize_t)len) {
        free(json);
        return err_set(e, ERR_IO, "no memory file: %s", strerror(errno));
    }
    free(json);
    return fd;
}

/* -- zygote --------------------------------------------------------------------------------------------------------- */

static void on_zygote_exit(uv_process_t *p, int64_t status, int signum) {
    m.zygote_running = false;
    uv_close((uv_handle_t *)p, NULL);
    if (m.stopping) return;
    /* Cells died with it and every control socket is dead: workers are restarted one by one to get new ones. */
    log_error("zygote.died", "status %lld signal %d; restarting everything", (long long)status, signum);
    exit(1);
}

static int zygote_start(struct err *e) {
    int pair[2];
    char path[4200], soft[16], hard[16], slice[16], invocation[16], call[16], share[16];
    char *args[] = {path,       "--soft-mb", soft, "--hard-mb",       hard,  "--slice-ms", slice, "--invocation-ms",
                    invocation, "--call-ms", call, "--share-percent", share, NULL,         NULL};
    char *env[] = {NULL};
    uv_stdio_container_t stdio[4];
    uv_process_options_t o = {0};
    int rc;

    snprintf(path, sizeof path, "%s/parley-cell", host_bin());
    snprintf(soft, sizeof soft, "%lld", config_int(m.config, "cells.soft_mb"));
    snprintf(hard, sizeof hard, "%lld", config_int(m.config, "cells.hard_mb"));
    snprintf(slice, sizeof slice, "%lld", config_int(m.config, "cells.slice_ms"));
    snprintf(invocation, sizeof invocation, "%lld", config_int(m.config, "cells.invocation_ms"));
    snprintf(call, sizeof call, "%lld", config_int(m.config, "cells.call_ms"));
    snprintf(share, sizeof share, "%lld", config_int(m.config, "cells.share_percent"));
    if (config_bool(m.config, "cells.weak")) args[13] = "--weak";
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return err_set(e, ERR_IO, "no socket pair: %s", strerror(errno));
    stdio[0].flags = UV_IGNORE;
    stdio[1].flags = UV_IGNORE;
    stdio[2].flags = UV_INHERIT_FD;
    stdio[2].data.fd = STDERR_FILENO;
    stdio[3].flags = UV_INHERIT_FD;
    stdio[3].data.fd = pair[1];
    o.file = path;
    o.args = args;
    o.env = env;
    o.stdio = stdio;
    o.stdio_count = 4;
    o.exit_cb = on_zygote_exit;
    rc = uv_spawn(&m.loop, &m.zygote, &o);
    close(pair[1]);
    if (rc < 0) return err_set(e, ERR_IO, "cannot start %s: %s", path, uv_strerror(rc));
    m.zygote_fd = pair[0];
    m.zygote_running = true;
    pid_file("zygote", m.zygote.pid);
    return 0;
}

/* Gives the zygote one end of a new control socket for worker index; returns the other. */
static int zygote_control(int index) {
    struct zygote_message msg = {.type = ZYGOTE_WORKER, .value = index};
    struct iovec io = {.iov_base = &msg, .iov_len = sizeof msg};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct msghdr h = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    memset(&control, 0, sizeof control);
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(&control.head), &pair[1], sizeof(int));
    if (sendmsg(m.zygote_fd, &h, MSG_NOSIGNAL) < 0) {
        log_error("zygote.unreachable", "%s", strerror(errno));
        close(pair[0]);
        close(pair[1]);
        return -1;
    }
    close(pair[1]);
    return pair[0];
}

static const char *walls_named(uint32_t walls, char *out, size_t cap) {
    static const struct {
        uint32_t wall;
        const char *name;
    } names[] = {{WALL_SECCOMP, "seccomp"},
                 {WALL_RLIMIT, "limits"},
                 {WALL_UID, "a user id of their own (it takes root)"},
                 {WALL_NAMESPACE, "namespaces"}};
    size_t at = 0;

    out[0] = '\0';
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (walls & names[i].wall && at < cap)
            at += (size_t)snprintf(out + at, cap - at, "%s%s", at ? ", " : "", names[i].name);
    return out;
}

/* One cell is made and ended: where that fails every call would end on its fallback, so nothing is started at all. */
static int cells_prove(struct err *e) {
    struct zygote_message msg = {.type = ZYGOTE_SPAWN, .id = 1};
    char missing[160];
    int fd = zygote_control(-1), n = -1;
    struct pollfd answer = {.fd = fd, .events = POLLIN};

    if (fd < 0) return err_set(e, ERR_IO, "the zygote (parley-cell) cannot be reached");
    if (send(fd, &msg, sizeof msg, MSG_NOSIGNAL) == sizeof msg && poll(&answer, 1, CELL_PROOF_MS) > 0)
        n = (int)recv(fd, &msg, sizeof msg, MSG_DONTWAIT); /* what comes with it is of no use here and goes away */
    close(fd);                                             /* with it the zygote ends the cell */
    if (n != sizeof msg) return err_set(e, ERR_IO, "the zygote (parley-cell) makes no cell");
    walls_named(msg.weak, missing, sizeof missing);
    if (msg.type == ZYGOTE_SPAWNED) {
        if (msg.weak) log_warn("cells.weak", "tenants' scripts run without: %s", missing);
        return 0;
    }
    if (msg.value != EPERM || msg.weak == 0) return err_set(e, ERR_IO, "no cell can be made: %s", strerror(msg.value));
    return err_set(e, ERR_DENIED,
                   "tenants' scripts cannot be confined here (cells.weak = true would do without); missing: %s",
                   missing);
}

/* -- workers ------------------------------------------------------------------------------------------------------------ */

static void on_line_written(uv_write_t *r, int status) {
    (void)status;
    free(r->data);
    free(r);
}

static void child_say(struct child *c, const char *line) {
    uv_write_t *r;
    uv_buf_t b;

    if (!c->running) return;
    r = mem_alloc(sizeof *r);
    r->data = mem_strdup(line);
    b = uv_buf_init(r->data, (unsigned)strlen(line));
    if (uv_write(r, (uv_stream_t *)&c->pipe, &b, 1, on_line_written) < 0) on_line_written(r, 0);
}

/* Who has died of late: workers that start learn it too, should nobody have been left to take their slots at once. */
static void tell_of_dead(struct child *c) {
    uint64_t now = clock_mono_ms();
    char line[100];

    for (int i = 0; i < DEAD_MAX; i++) {
        if (m.dead[i].owner[0] == 0 || now - m.dead[i].at_ms > DEAD_NEWS_MS) continue;
        snprintf(line, sizeof line, "dead %s\n", m.dead[i].owner);
        child_say(c, line);
    }
}

/* A new worker is ready: the old one with its number drains, and those whose number there is no more. */
static void old_drain(int index) {
    for (int i = 0; i < m.old_count; i++) {
        struct child *c = &m.old[i];
        if (c->running && (c->index == index || c->index >= m.count)) kill(c->pid, SIGTERM);
    }
}

static void child_line(struct child *c, const char *line) {
    if (strcmp(line, "ready") == 0 && !c->old) {
        c->ready = true;
        log_info("worker.up", "worker %d pid %d", c->index, c->pid);
        tell_of_dead(c);
        old_drain(c->index);
    }
}

static void on_child_read(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct child *c = s->data;

    if (n < 0) {
        uv_read_stop(s);
        return;
    }
    buf_add(&c->line, b->base, (size_t)n);
    for (char *nl; c->line.len > 0 && (nl = memchr(c->line.data, '\n', c->line.len)) != NULL;) {
        *nl = 0;
        child_line(c, c->line.data);
        buf_drop(&c->line, (size_t)(nl - c->line.data) + 1);
    }
}

static void on_child_alloc(uv_handle_t *h, size_t size, uv_buf_t *b) {
    static char space[1024];

    (void)h;
    (void)size;
    *b = uv_buf_init(space, sizeof space);
}

static void on_again(uv_timer_t *t) {
    child_start(t->data);
}

static void maybe_stopped(void) {
    for (int i = 0; i < m.count; i++)
        if (m.children[i].running) return;
    for (int i = 0; i < m.old_count; i++)
        if (m.old[i].running) return;
    if (!m.stopping) return;
    for (int i = 0; i < m.count; i++) child_pid_file(&m.children[i], 0);
    pid_file("master", 0);
    pid_file("zygote", 0);
    log_info("master.ended", "all workers have stopped");
    exit(0); /* the zygote and its cells end when our control socket closes */
}

/* Its slots first: each millisecond here is silence in somebody's ear. */
static void child_gone(struct child *c) {
    char line[100];

    c->running = c->ready = false;
    snprintf(line, sizeof line, "dead %s\n", c->owner);
    for (int i = 0; i < m.count; i++) child_say(&m.children[i], line);
    for (int i = 0; i < m.old_count; i++) child_say(&m.old[i], line);
    snprintf(m.dead[m.next_dead].owner, sizeof m.dead[0].owner, "%s", c->owner);
    m.dead[m.next_dead].at_ms = clock_mono_ms();
    m.next_dead = (m.next_dead + 1) % DEAD_MAX;
    uv_close((uv_handle_t *)&c->pipe, NULL);
    buf_free(&c->line);
}

static void old_exited(struct child *c, int status) {
    child_gone(c);
    log_info("worker.old_exited", "worker %d pid %d: status %d signal %d", c->index, c->pid,
             WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    if (m.stopping) {
        maybe_stopped();
        return;
    }
    for (int i = 0; i < m.old_count; i++)
        if (m.old[i].running) return;
    log_info("master.renewed", "all workers are new");
    uv_timer_stop(&m.old_timer);
    if (m.old_zygote_fd >= 0) close(m.old_zygote_fd); /* it ends with it */
    m.old_zygote_fd = -1;
}

/* libuv waits for its own children only. */
static void on_sigchld(uv_signal_t *s, int signum) {
    int status;

    (void)s;
    (void)signum;
    for (int i = 0; i < m.old_count; i++) {
        struct child *c = &m.old[i];
        if (c->running && waitpid(c->pid, &status, WNOHANG) == c->pid) old_exited(c, status);
    }
    if (m.old_zygote > 0 && waitpid(m.old_zygote, &status, WNOHANG) == m.old_zygote) {
        if (m.old_zygote_fd >= 0) log_error("zygote.old_died", "old workers are without tenants' scripts; they drain");
        m.old_zygote = 0;
    }
}

static void on_old_late(uv_timer_t *t) {
    (void)t;
    for (int i = 0; i < m.old_count; i++) {
        if (!m.old[i].running) continue;
        log_warn("worker.killed", "old worker %d pid %d did not drain in time", m.old[i].index, m.old[i].pid);
        kill(m.old[i].pid, SIGKILL);
    }
}

static void on_child_exit(uv_process_t *p, int64_t status, int signum) {
    struct child *c = p->data;
    uint64_t lived_ms = clock_mono_ms() - c->started_ms;
    uint64_t wait_ms;

    child_gone(c);
    uv_close((uv_handle_t *)&c->process, NULL);
    metrics_reset_column(m.metrics, c->index);
    if (m.stopping) {
        maybe_stopped();
        return;
    }
    log_line(status == 0 && signum == 0 ? LOG_INFO : LOG_WARN, "worker.exited",
             "worker %d status %lld signal %d after %llu ms", c->index, (long long)status, signum,
             (unsigned long long)lived_ms);
    c->quick_deaths = lived_ms < 10000 ? c->quick_deaths + 1 : 0;
    wait_ms = c->quick_deaths <= 1 ? RESTART_MIN_MS : RESTART_MIN_MS << (c->quick_deaths > 7 ? 7 : c->quick_deaths);
    if (wait_ms > RESTART_MAX_MS) wait_ms = RESTART_MAX_MS;
    uv_timer_start(&c->again, on_again, wait_ms, 0);
}

static void child_start(struct child *c) {
    static int incarnation;
    char index[16], path[4200];
    char *args[] = {path, "--worker", index, "--owner", c->owner, NULL};
    uv_stdio_container_t stdio[9];
    uv_process_options_t o = {0};
    int zygote = zygote_control(c->index), rc;
    int fds[] = {[HOST_FD_HTTP] = c->http >= 0 ? c->http : m.null_fd,
                 [HOST_FD_HTTPS] = c->https >= 0 ? c->https : m.null_fd,
                 [HOST_FD_METRICS] = metrics_fd(m.metrics),
                 [HOST_FD_CONFIG] = m.config_fd,
                 [HOST_FD_ZYGOTE] = zygote};
    char boot[64] = "0";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    uint8_t salt[4];

    if (m.stopping) return;
    if (f != NULL) {
        if (fgets(boot, 9, f) == NULL) strcpy(boot, "0"); /* the first 8 digits tell hosts apart */
        fclose(f);
    }
    crypto_random(salt, sizeof salt); /* containers of one host share the boot id */
    snprintf(c->owner, sizeof c->owner, "%.8s-%d-%d-%llx%02x%02x", boot, c->index, ++incarnation,
             (unsigned long long)(clock_wall_us() / 1000), salt[0], salt[1]);
    snprintf(index, sizeof index, "%d", c->index);
    snprintf(path, sizeof path, "%s/parleyd", host_bin());
    for (int fd = 0; fd < 9; fd++) {
        stdio[fd].flags = UV_INHERIT_FD;
        stdio[fd].data.fd = fd < 3 ? (fd == 0 ? m.null_fd : fd) : fd < HOST_FD_MASTER ? fds[fd] : -1;
    }
    if (zygote < 0) stdio[HOST_FD_ZYGOTE].data.fd = m.null_fd;
    uv_pipe_init(&m.loop, &c->pipe, 0);
    c->pipe.data = c;
    stdio[HOST_FD_MASTER].flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE;
    stdio[HOST_FD_MASTER].data.stream = (uv_stream_t *)&c->pipe;
    o.file = path;
    o.args = args;
    o.stdio = stdio;
    o.stdio_count = 9;
    o.exit_cb = on_child_exit;
    c->process.data = c;
    rc = uv_spawn(&m.loop, &c->process, &o);
    if (zygote >= 0) close(zygote);
    c->started_ms = clock_mono_ms();
    if (rc < 0) {
        log_error("worker.not_started", "worker %d: %s", c->index, uv_strerror(rc));
        uv_close((uv_handle_t *)&c->process, NULL);
        uv_close((uv_handle_t *)&c->pipe, NULL);
        uv_timer_start(&c->again, on_again, 1000, 0);
        return;
    }
    c->running = true;
    c->pid = c->process.pid;
    uv_read_start((uv_stream_t *)&c->pipe, on_child_alloc, on_child_read);
    child_pid_file(c, c->pid);
}

/* -- watchdog ------------------------------------------------------------------------------------------------------------ */

static bool stands_still(const struct child *c, enum beat which, uint64_t now, uint64_t limit_ms) {
    uint64_t last = metrics_last_beat_ms(m.metrics, c->index, which);

    if (last < c->started_ms) /* not begun in this incarnation */
        return which == BEAT_LOOP && now - c->started_ms > START_GRACE_MS;
    return now > last && now - last > limit_ms;
}

static void on_watch(uv_timer_t *t) {
    uint64_t now = clock_mono_ms(), limit = (uint64_t)config_int(m.config, "watchdog_ms");
    uint64_t gap = m.last_watch_ms == 0 ? WATCH_MS : now - m.last_watch_ms;

    (void)t;
    m.last_watch_ms = now;
    /* We stood still ourselves (the machine was stopped, or has no time to give): nobody else can be blamed for it. */
    if (gap > 3 * WATCH_MS) return;
    for (int i = 0; i < m.count; i++) {
        struct child *c = &m.children[i];
        const char *what = NULL;
        if (!c->running) continue;
        if (stands_still(c, BEAT_LOOP, now, limit)) what = "its loop";
        if (stands_still(c, BEAT_MEDIA, now, limit)) what = "its media thread";
        if (what == NULL) continue;
        log_error("worker.stuck", "worker %d pid %d: %s stood still for more than %llu ms; killed", c->index, c->pid,
                  what, (unsigned long long)limit);
        uv_process_kill(&c->process, SIGKILL);
        c->started_ms = now; /* not twice while it dies */
    }
}

/* -- signals --------------------------------------------------------------------------------------------------------------- */

static void on_stop_late(uv_timer_t *t) {
    (void)t;
    for (int i = 0; i < m.count; i++) {
        if (!m.children[i].running) continue;
        log_warn("worker.killed", "worker %d did not stop in time", i);
        kill(m.children[i].pid, SIGKILL);
    }
    on_old_late(t);
}

static void stop_all(void) {
    if (m.stopping) return;
    m.stopping = true;
    log_info("master.stopping", "%d workers", m.count);
    for (int i = 0; i < m.count; i++) {
        uv_timer_stop(&m.children[i].again);
        child_say(&m.children[i], "stop\n");
    }
    for (int i = 0; i < m.old_count; i++) child_say(&m.old[i], "stop\n");
    uv_timer_start(&m.stop_timer, on_stop_late, STOP_MS, 0);
    maybe_stopped();
}

/* -- renewing -------------------------------------------------------------------------------------------------------------- */

/* Becomes the program that lies there now. Returns only when that cannot be. */
static void become_new(void) {
    struct inherit given = {0};
    struct err e;
    char path[4200], fd[16];
    char *args[] = {path, "--config", (char *)m.config_file, "--inherit", fd, NULL};

    for (int i = 0; i < m.count; i++) {
        struct child *c = &m.children[i];
        uv_os_fd_t pipe;
        if (c->http >= 0) inherit_listener(&given, "http", i, c->http);
        if (c->https >= 0) inherit_listener(&given, "https", i, c->https);
        if (c->running && uv_fileno((uv_handle_t *)&c->pipe, &pipe) == 0)
            inherit_worker(&given, i, c->pid, pipe, c->owner);
    }
    inherit_zygote(&given, m.zygote.pid, m.zygote_fd);
    snprintf(path, sizeof path, "%s/parleyd", host_bin());
    if (inherit_seal(&given, &e) == 0) {
        snprintf(fd, sizeof fd, "%d", given.fd);
        log_info("master.renewing", "%d workers become old; now: %s", m.count, path);
        execv(path, args);
        err_set(&e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    log_error("master.not_renewed", "%s; all goes on as it was", e.text);
    inherit_undo(&given);
}

static void on_checked(uv_process_t *p, int64_t status, int signum) {
    m.checking = false;
    uv_close((uv_handle_t *)p, NULL);
    if (m.stopping) return;
    if (status == 0 && signum == 0)
        become_new();
    else
        log_error("master.not_renewed", "the new program refused the configuration (above); all goes on as it was");
}

static void renew(void) {
    char path[4200];
    char *args[] = {path, "--check", "--config", (char *)m.config_file, NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO}};
    uv_process_options_t o = {.file = path, .args = args, .stdio = stdio, .stdio_count = 3, .exit_cb = on_checked};
    int rc;

    if (m.checking || m.stopping) return;
    for (int i = 0; i < m.old_count; i++) {
        if (!m.old[i].running) continue;
        log_warn("master.not_renewed", "old workers are still draining; try again when they have gone");
        return;
    }
    snprintf(path, sizeof path, "%s/parleyd", host_bin());
    rc = uv_spawn(&m.loop, &m.check, &o);
    m.checking = rc == 0;
    if (rc == 0) return;
    log_error("master.not_renewed", "%s: %s; all goes on as it was", path, uv_strerror(rc));
    uv_close((uv_handle_t *)&m.check, NULL);
}

static void adopt(const struct inherit *given) {
    for (int i = 0; i < given->worker_count && i < WORKERS_MAX; i++) {
        struct child *c = &m.old[m.old_count++];
        c->index = given->workers[i].index;
        c->pid = given->workers[i].pid;
        c->running = c->old = true;
        snprintf(c->owner, sizeof c->owner, "%s", given->workers[i].owner);
        uv_pipe_init(&m.loop, &c->pipe, 0);
        c->pipe.data = c;
        uv_pipe_open(&c->pipe, given->workers[i].pipe);
        uv_read_start((uv_stream_t *)&c->pipe, on_child_alloc, on_child_read);
    }
    m.old_zygote = given->zygote;
    m.old_zygote_fd = given->zygote_fd;
    if (m.old_count > 0) uv_timer_start(&m.old_timer, on_old_late, OLD_MS, 0);
}

static void on_signal(uv_signal_t *s, int signum) {
    (void)s;
    if (signum == SIGHUP)
        renew();
    else
        stop_all();
}

/* A listener of the program before, when it is where this one shall be; else a new one. Its port must be nobody's. */
static int listener(struct inherit *given, const char *kind, int index, const char *bind_to, int port, struct err *e) {
    static int checked[2]; /* the port that was found free already: http, https */
    int *free_port = &checked[strcmp(kind, "https") == 0];
    int fd = inherit_take_listener(given, kind, index, bind_to, port);

    if (fd < 0 && *free_port != port && port_free(bind_to, port, e) < 0) return e->code;
    *free_port = port; /* from now on it is ours */
    return fd >= 0 ? fd : listen_on(bind_to, port, e);
}

int master_main(const char *config_file, int inherit_fd) {
    static const int signums[] = {SIGTERM, SIGINT, SIGHUP};
    struct inherit given = {0};
    struct err e = {0};
    const char *bind_to;
    int port, tls_port;
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    struct rlimit files;

    signal(SIGPIPE, SIG_IGN);
    log_open("master", -1, STDERR_FILENO, LOG_INFO);
    m.config_file = config_file;
    m.old_zygote_fd = -1;
    if (inherit_fd >= 0 && inherit_read(&given, inherit_fd, &e) < 0) goto fail;
    if (config_load(&m.config, config_file, &e) < 0) goto fail;
    log_open("master", -1, STDERR_FILENO, (enum log_level)log_level_parse(config_str(m.config, "log.level")));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    uv_loop_init(&m.loop);
    m.count = (int)config_int(m.config, "workers");
    if (m.count == 0) m.count = (int)(cores < 1 ? 1 : cores);
    if (m.count > WORKERS_MAX) m.count = WORKERS_MAX;
    bind_to = config_str(m.config, "http.bind");
    port = (int)config_int(m.config, "http.port");
    tls_port = *config_str(m.config, "http.tls_cert") ? (int)config_int(m.config, "http.tls_port") : 0;
    m.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < m.count; i++) {
        struct child *c = &m.children[i];
        c->index = i;
        c->http = c->https = -1;
        if (port != 0 && (c->http = listener(&given, "http", i, bind_to, port, &e)) < 0) goto fail;
        if (tls_port != 0 && (c->https = listener(&given, "https", i, bind_to, tls_port, &e)) < 0) goto fail;
        uv_timer_init(&m.loop, &c->again);
        c->again.data = c;
    }
    if ((m.config_fd = config_to_fd(&e)) < 0) goto fail;
    if (metrics_open(&m.metrics, -1, m.count, 0, &e) < 0) goto fail;
    if (zygote_start(&e) < 0) goto fail;
    if (cells_prove(&e) < 0) {
        pid_file("zygote", 0);
        goto fail;
    }
    for (size_t i = 0; i < sizeof signums / sizeof *signums; i++) {
        uv_signal_init(&m.loop, &m.signals[i]);
        uv_signal_start(&m.signals[i], on_signal, signums[i]);
    }
    uv_signal_init(&m.loop, &m.signals[3]);
    uv_signal_start(&m.signals[3], on_sigchld, SIGCHLD);
    uv_timer_init(&m.loop, &m.watch);
    uv_timer_start(&m.watch, on_watch, WATCH_MS, WATCH_MS);
    uv_timer_init(&m.loop, &m.stop_timer);
    uv_timer_init(&m.loop, &m.old_timer);
    inherit_close_listeners(&given);
    adopt(&given);
    pid_file("master", getpid());
    log_info("master.started", "%d workers, http %s:%d, https %d", m.count, bind_to, port, tls_port);
    on_sigchld(NULL, SIGCHLD); /* one may have ended while there was nobody to be told */
    for (int i = 0; i < m.count; i++) child_start(&m.children[i]);
    uv_run(&m.loop, UV_RUN_DEFAULT);
    return 0;
fail:
    fprintf(stderr, "parleyd: %s\n", e.text);
    return 1;
}
