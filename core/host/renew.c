/* SPDX-License-Identifier: Apache-2.0 */
/* Renewing everything with calls up: this process becomes the program that lies there now (exec) with its listeners and its
 * workers, which are old from then on. New workers start beside them, and each old one drains when the new one with its
 * number is ready. What keeps that from being is found out before: the new program checks the configuration first. */
#include "base/log.h"
#include "host/host.h"
#include "host/inherit.h"
#include "host/master.h"
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OLD_MS = 60000 /* an old worker has drained by then, or SIGKILL */ };

/* -- the old ones -------------------------------------------------------------------------------------------------------- */

/* A new worker is ready: the old one with its number drains, and those whose number there is no more. */
void old_drain(int index) {
    for (int i = 0; i < master.old_count; i++) {
        struct child *c = &master.old[i];
        if (c->running && (c->index == index || c->index >= master.count)) kill(c->pid, SIGTERM);
    }
}

static void old_exited(struct child *c, int status) {
    child_gone(c);
    log_info("worker.old_exited", "worker %d pid %d: status %d signal %d", c->index, c->pid,
             WIFEXITED(status) ? WEXITSTATUS(status) : 0, WIFSIGNALED(status) ? WTERMSIG(status) : 0);
    if (master.stopping) {
        master_maybe_end();
        return;
    }
    for (int i = 0; i < master.old_count; i++)
        if (master.old[i].running) return;
    log_info("master.renewed", "all workers are new");
    uv_timer_stop(&master.old_timer);
    if (master.old_zygote_fd >= 0) close(master.old_zygote_fd); /* it ends with it */
    master.old_zygote_fd = -1;
}

/* libuv waits for its own children only. */
void old_reap(void) {
    int status;

    for (int i = 0; i < master.old_count; i++) {
        struct child *c = &master.old[i];
        if (c->running && waitpid(c->pid, &status, WNOHANG) == c->pid) old_exited(c, status);
    }
    if (master.old_zygote > 0 && waitpid(master.old_zygote, &status, WNOHANG) == master.old_zygote) {
        if (master.old_zygote_fd >= 0)
            log_error("zygote.old_died", "old workers are without tenants' scripts; they drain");
        master.old_zygote = 0;
    }
}

void old_kill(void) {
    for (int i = 0; i < master.old_count; i++) {
        if (!master.old[i].running) continue;
        log_warn("worker.killed", "old worker %d pid %d did not drain in time", master.old[i].index, master.old[i].pid);
        kill(master.old[i].pid, SIGKILL);
    }
}

static void on_old_late(uv_timer_t *t) {
    (void)t;
    old_kill();
}

void old_adopt(const struct inherit *given) {
    for (int i = 0; i < given->worker_count && i < WORKERS_MAX; i++) {
        struct child *c = &master.old[master.old_count++];
        c->index = given->workers[i].index;
        c->pid = given->workers[i].pid;
        c->running = c->old = true;
        snprintf(c->owner, sizeof c->owner, "%s", given->workers[i].owner);
        uv_pipe_init(&master.loop, &c->pipe, 0);
        c->pipe.data = c;
        uv_pipe_open(&c->pipe, given->workers[i].pipe);
        child_listen(c);
    }
    master.old_zygote = given->zygote;
    master.old_zygote_fd = given->zygote_fd;
    if (master.old_count > 0) uv_timer_start(&master.old_timer, on_old_late, OLD_MS, 0);
}

/* -- becoming new -------------------------------------------------------------------------------------------------------- */

/* Becomes the program that lies there now. Returns only when that cannot be. */
static void become_new(void) {
    struct inherit given = {0};
    struct err e;
    char path[4200], fd[16];
    char *args[] = {path, "--config", (char *)master.config_file, "--inherit", fd, NULL};

    for (int i = 0; i < master.count; i++) {
        struct child *c = &master.children[i];
        uv_os_fd_t pipe;
        if (c->http >= 0) inherit_listener(&given, "http", i, c->http);
        if (c->https >= 0) inherit_listener(&given, "https", i, c->https);
        if (c->running && uv_fileno((uv_handle_t *)&c->pipe, &pipe) == 0)
            inherit_worker(&given, i, c->pid, pipe, c->owner);
    }
    inherit_zygote(&given, master.zygote.pid, master.zygote_fd);
    snprintf(path, sizeof path, "%s/parleyd", host_bin());
    if (inherit_seal(&given, &e) == 0) {
        snprintf(fd, sizeof fd, "%d", given.fd);
        log_info("master.renewing", "%d workers become old; now: %s", master.count, path);
        execv(path, args);
        err_set(&e, ERR_IO, "%s: %s", path, strerror(errno));
    }
    log_error("master.not_renewed", "%s; all goes on as it was", e.text);
    inherit_undo(&given);
}

static void on_checked(uv_process_t *p, int64_t status, int signum) {
    master.checking = false;
    uv_close((uv_handle_t *)p, NULL);
    if (master.stopping) return;
    if (status == 0 && signum == 0)
        become_new();
    else
        log_error("master.not_renewed", "the new program refused the configuration (above); all goes on as it was");
}

void renew(void) {
    char path[4200];
    char *args[] = {path, "--check", "--config", (char *)master.config_file, NULL};
    uv_stdio_container_t stdio[3] = {
        {.flags = UV_IGNORE}, {.flags = UV_IGNORE}, {.flags = UV_INHERIT_FD, .data.fd = STDERR_FILENO}};
    uv_process_options_t o = {.file = path, .args = args, .stdio = stdio, .stdio_count = 3, .exit_cb = on_checked};
    int rc;

    if (master.checking || master.stopping) return;
    for (int i = 0; i < master.old_count; i++) {
        if (!master.old[i].running) continue;
        log_warn("master.not_renewed", "old workers are still draining; try again when they have gone");
        return;
    }
    snprintf(path, sizeof path, "%s/parleyd", host_bin());
    rc = uv_spawn(&master.loop, &master.check, &o);
    master.checking = rc == 0;
    if (rc == 0) return;
    log_error("master.not_renewed", "%s: %s; all goes on as it was", path, uv_strerror(rc));
    uv_close((uv_handle_t *)&master.check, NULL);
}
