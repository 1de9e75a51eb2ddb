/* SPDX-License-Identifier: Apache-2.0 */
/* One worker as its master sees it: started with its files, heard over its pipe, started again with back-off. */
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "crypto/crypto.h"
#include "host/host.h"
#include "host/master.h"
#include "metrics/metrics.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    RESTART_MIN_MS = 50,
    RESTART_MAX_MS = 5000,
    DEAD_NEWS_MS = 10000,
};

static void child_pid_file(const struct child *c, int pid) {
    char name[32];

    snprintf(name, sizeof name, "worker-%d", c->index);
    pid_file(name, pid);
}

/* -- its pipe ------------------------------------------------------------------------------------------------------------ */

static void on_line_written(uv_write_t *r, int status) {
    (void)status;
    free(r->data);
    free(r);
}

void child_say(struct child *c, const char *line) {
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
        if (master.dead[i].owner[0] == 0 || now - master.dead[i].at_ms > DEAD_NEWS_MS) continue;
        snprintf(line, sizeof line, "dead %s\n", master.dead[i].owner);
        child_say(c, line);
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

void child_listen(struct child *c) {
    uv_read_start((uv_stream_t *)&c->pipe, on_child_alloc, on_child_read);
}

/* -- its life ------------------------------------------------------------------------------------------------------------ */

static void on_again(uv_timer_t *t) {
    child_start(t->data);
}

void master_maybe_end(void) {
    for (int i = 0; i < master.count; i++)
        if (master.children[i].running) return;
    for (int i = 0; i < master.old_count; i++)
        if (master.old[i].running) return;
    if (!master.stopping) return;
    for (int i = 0; i < master.count; i++) child_pid_file(&master.children[i], 0);
    pid_file("master", 0);
    pid_file("zygote", 0);
    log_info("master.ended", "all workers have stopped");
    exit(0); /* the zygote and its cells end when our control socket closes */
}

/* Its slots first: each millisecond here is silence in somebody's ear. */
void child_gone(struct child *c) {
    char line[100];

    c->running = c->ready = false;
    snprintf(line, sizeof line, "dead %s\n", c->owner);
    for (int i = 0; i < master.count; i++) child_say(&master.children[i], line);
    for (int i = 0; i < master.old_count; i++) child_say(&master.old[i], line);
    snprintf(master.dead[master.next_dead].owner, sizeof master.dead[0].owner, "%s", c->owner);
    master.dead[master.next_dead].at_ms = clock_mono_ms();
    master.next_dead = (master.next_dead + 1) % DEAD_MAX;
    uv_close((uv_handle_t *)&c->pipe, NULL);
    buf_free(&c->line);
}

static void on_child_exit(uv_process_t *p, int64_t status, int signum) {
    struct child *c = p->data;
    uint64_t lived_ms = clock_mono_ms() - c->started_ms;
    uint64_t wait_ms;

    child_gone(c);
    uv_close((uv_handle_t *)&c->process, NULL);
    metrics_reset_column(master.metrics, c->index);
    if (master.stopping) {
        master_maybe_end();
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

void child_start(struct child *c) {
    static int incarnation;
    char index[16], path[4200];
    char *args[] = {path, "--worker", index, "--owner", c->owner, NULL};
    uv_stdio_container_t stdio[9];
    uv_process_options_t o = {0};
    int zygote = zygote_control(c->index), rc;
    int fds[] = {[HOST_FD_HTTP] = c->http >= 0 ? c->http : master.null_fd,
                 [HOST_FD_HTTPS] = c->https >= 0 ? c->https : master.null_fd,
                 [HOST_FD_METRICS] = metrics_fd(master.metrics),
                 [HOST_FD_CONFIG] = master.config_fd,
                 [HOST_FD_ZYGOTE] = zygote};
    char boot[64] = "0";
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "r");
    uint8_t salt[4];

    if (master.stopping) return;
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
        stdio[fd].data.fd = fd < 3 ? (fd == 0 ? master.null_fd : fd) : fd < HOST_FD_MASTER ? fds[fd] : -1;
    }
    if (zygote < 0) stdio[HOST_FD_ZYGOTE].data.fd = master.null_fd;
    uv_pipe_init(&master.loop, &c->pipe, 0);
    c->pipe.data = c;
    stdio[HOST_FD_MASTER].flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE;
    stdio[HOST_FD_MASTER].data.stream = (uv_stream_t *)&c->pipe;
    o.file = path;
    o.args = args;
    o.stdio = stdio;
    o.stdio_count = 9;
    o.exit_cb = on_child_exit;
    c->process.data = c;
    rc = uv_spawn(&master.loop, &c->process, &o);
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
    child_listen(c);
    child_pid_file(c, c->pid);
}
