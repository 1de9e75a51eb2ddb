/* SPDX-License-Identifier: Apache-2.0 */
/* The master's zygote: started once, gives each worker a control socket, and is proved before anything else starts. */
#include "base/log.h"
#include "host/host.h"
#include "host/master.h"
#include "script/passing.h"
#include "script/zygote.h"
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { CELL_PROOF_MS = 10000, CELL_PROOF_TENANT = UINT32_MAX };

static void on_zygote_exit(uv_process_t *p, int64_t status, int signum) {
    master.zygote_running = false;
    uv_close((uv_handle_t *)p, NULL);
    if (master.stopping) return;
    /* Cells died with it and every control socket is dead: workers are restarted one by one to get new ones. */
    log_error("zygote.died", "status %lld signal %d; restarting everything", (long long)status, signum);
    exit(1);
}

int zygote_start(struct err *e) {
    int pair[2];
    char path[4200], soft[16], hard[16], slice[16], invocation[16], call[16], share[16], ready[16];
    char *args[] = {path,  "--soft-mb",       soft,       "--hard-mb", hard, "--slice-ms",
                    slice, "--invocation-ms", invocation, "--call-ms", call, "--share-percent",
                    share, "--ready",         ready,      NULL,        NULL};
    char *env[] = {NULL};
    uv_stdio_container_t stdio[4];
    uv_process_options_t o = {0};
    int rc;

    snprintf(path, sizeof path, "%s/parley-cell", host_bin());
    snprintf(soft, sizeof soft, "%lld", config_int(master.config, "cells.soft_mb"));
    snprintf(hard, sizeof hard, "%lld", config_int(master.config, "cells.hard_mb"));
    snprintf(slice, sizeof slice, "%lld", config_int(master.config, "cells.slice_ms"));
    snprintf(invocation, sizeof invocation, "%lld", config_int(master.config, "cells.invocation_ms"));
    snprintf(call, sizeof call, "%lld", config_int(master.config, "cells.call_ms"));
    snprintf(share, sizeof share, "%lld", config_int(master.config, "cells.share_percent"));
    snprintf(ready, sizeof ready, "%lld", config_int(master.config, "cells.ready"));
    if (config_bool(master.config, "cells.weak")) args[15] = "--weak";
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
    rc = uv_spawn(&master.loop, &master.zygote, &o);
    close(pair[1]);
    if (rc < 0) return err_set(e, ERR_IO, "cannot start %s: %s", path, uv_strerror(rc));
    master.zygote_fd = pair[0];
    master.zygote_running = true;
    pid_file("zygote", master.zygote.pid);
    return 0;
}

/* Gives the zygote one end of a new control socket for worker index; returns the other. */
int zygote_control(int index) {
    struct zygote_message msg = {.type = ZYGOTE_WORKER, .value = index};
    int pair[2], rc;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0) return -1;
    rc = passing_send(master.zygote_fd, &msg, sizeof msg, &pair[1], 1, 0);
    close(pair[1]);
    if (rc == 0) return pair[0];
    log_error("zygote.unreachable", "%s", strerror(-rc));
    close(pair[0]);
    return -1;
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
int cells_prove(struct err *e) {
    struct zygote_message msg = {.type = ZYGOTE_SPAWN, .id = 1, .budget.tenant = CELL_PROOF_TENANT};
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
        if (msg.budget.weight == 0)
            log_info("cells.no_weight", "no tree of control groups with the cpu controller can be written: on a full "
                                        "machine a tenant's cells weigh as processes of nice 5");
        return 0;
    }
    if (msg.value != EPERM || msg.weak == 0) return err_set(e, ERR_IO, "no cell can be made: %s", strerror(msg.value));
    return err_set(e, ERR_DENIED,
                   "tenants' scripts cannot be confined here (cells.weak = true would do without); missing: %s",
                   missing);
}
