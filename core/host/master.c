/* SPDX-License-Identifier: Apache-2.0 */
/* The master: listeners that outlive workers, one zygote, workers that are started again when they die.
 *
 * It holds no tenant's data and does nothing that can wait, so that it has no reason to die.
 * SIGTERM, SIGINT: stop everything. SIGHUP: renew everything, with calls up (renew.c).
 */
#include "host/master.h"
#include "base/log.h"
#include "host/host.h"
#include "host/port.h"
#include "metrics/metrics.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { STOP_MS = 8000 }; /* then SIGKILL */

struct master master;

void pid_file(const char *name, int pid) {
    const char *dir = config_str(master.config, "run_dir");
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

/* -- signals --------------------------------------------------------------------------------------------------------------- */

static void on_stop_late(uv_timer_t *t) {
    (void)t;
    for (int i = 0; i < master.count; i++) {
        if (!master.children[i].running) continue;
        log_warn("worker.killed", "worker %d did not stop in time", i);
        kill(master.children[i].pid, SIGKILL);
    }
    old_kill();
}

static void stop_all(void) {
    if (master.stopping) return;
    master.stopping = true;
    log_info("master.stopping", "%d workers", master.count);
    for (int i = 0; i < master.count; i++) {
        uv_timer_stop(&master.children[i].again);
        child_say(&master.children[i], "stop\n");
    }
    for (int i = 0; i < master.old_count; i++) child_say(&master.old[i], "stop\n");
    uv_timer_start(&master.stop_timer, on_stop_late, STOP_MS, 0);
    master_maybe_end();
}

static void on_sigchld(uv_signal_t *s, int signum) {
    (void)s;
    (void)signum;
    old_reap();
}

static void on_signal(uv_signal_t *s, int signum) {
    (void)s;
    if (signum == SIGHUP)
        renew();
    else
        stop_all();
}

/* -- beginning ------------------------------------------------------------------------------------------------------------- */

static int config_to_fd(struct err *e) {
    char *json = config_json(master.config);
    size_t len = strlen(json);
    int fd = memfd_create("parley-config", MFD_CLOEXEC);

    if (fd < 0 || write(fd, json, len) != (ssize_t)len) {
        free(json);
        return err_set(e, ERR_IO, "no memory file: %s", strerror(errno));
    }
    free(json);
    return fd;
}

/* A listener of the program before, when it is where this one shall be; else a new one. Its port must be nobody's. */
static int listener(struct inherit *given, const char *kind, int index, const char *bind_to, int port, struct err *e) {
    static int checked[2]; /* the port that was found free already: http, https */
    int *free_port = &checked[strcmp(kind, "https") == 0];
    int fd = inherit_take_listener(given, kind, index, bind_to, port);

    if (fd < 0 && *free_port != port && port_is_free(bind_to, port, e) < 0) return e->code;
    *free_port = port; /* from now on it is ours */
    return fd >= 0 ? fd : port_listen(bind_to, port, e);
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
    master.config_file = config_file;
    master.old_zygote_fd = -1;
    if (inherit_fd >= 0 && inherit_read(&given, inherit_fd, &e) < 0) goto fail;
    if (config_load(&master.config, config_file, &e) < 0) goto fail;
    log_open("master", -1, STDERR_FILENO, (enum log_level)log_level_parse(config_str(master.config, "log.level")));
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    uv_loop_init(&master.loop);
    master.count = (int)config_int(master.config, "workers");
    if (master.count == 0) master.count = (int)(cores < 1 ? 1 : cores);
    if (master.count > WORKERS_MAX) master.count = WORKERS_MAX;
    bind_to = config_str(master.config, "http.bind");
    port = (int)config_int(master.config, "http.port");
    tls_port = *config_str(master.config, "http.tls_cert") ? (int)config_int(master.config, "http.tls_port") : 0;
    master.null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int i = 0; i < master.count; i++) {
        struct child *c = &master.children[i];
        c->index = i;
        c->http = c->https = -1;
        if (port != 0 && (c->http = listener(&given, "http", i, bind_to, port, &e)) < 0) goto fail;
        if (tls_port != 0 && (c->https = listener(&given, "https", i, bind_to, tls_port, &e)) < 0) goto fail;
        uv_timer_init(&master.loop, &c->again);
        c->again.data = c;
    }
    if ((master.config_fd = config_to_fd(&e)) < 0) goto fail;
    if (metrics_open(&master.metrics, -1, master.count, 0, &e) < 0) goto fail;
    if (zygote_start(&e) < 0) goto fail;
    if (cells_prove(&e) < 0) {
        pid_file("zygote", 0);
        goto fail;
    }
    for (size_t i = 0; i < sizeof signums / sizeof *signums; i++) {
        uv_signal_init(&master.loop, &master.signals[i]);
        uv_signal_start(&master.signals[i], on_signal, signums[i]);
    }
    uv_signal_init(&master.loop, &master.signals[3]);
    uv_signal_start(&master.signals[3], on_sigchld, SIGCHLD);
    watchdog_start();
    uv_timer_init(&master.loop, &master.stop_timer);
    uv_timer_init(&master.loop, &master.old_timer);
    inherit_close_listeners(&given);
    old_adopt(&given);
    pid_file("master", getpid());
    log_info("master.started", "%d workers, http %s:%d, https %d", master.count, bind_to, port, tls_port);
    old_reap(); /* one may have ended while there was nobody to be told */
    for (int i = 0; i < master.count; i++) child_start(&master.children[i]);
    uv_run(&master.loop, UV_RUN_DEFAULT);
    return 0;
fail:
    fprintf(stderr, "parleyd: %s\n", e.text);
    return 1;
}
