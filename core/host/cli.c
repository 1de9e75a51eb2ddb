/* SPDX-License-Identifier: Apache-2.0 */
/* parley: the platform VM as a command line program. */
#include "base/log.h"
#include "base/mem.h"
#include "bind/vm.h"
#include "host/host.h"
#include "host/services.h"
#include "metrics/metrics.h"
#include "script/passing.h"
#include "script/zygote.h"
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void on_ended(void *arg, bool ok, int status) {
    (void)arg;
    fflush(stdout);
    exit(ok ? status : 1);
}

/* A zygote of our own, started with the first cell: for checking and testing bundles. Whoever runs this has the machine to
 * himself, so cells get whole seconds, and walls that need root may be missing. */
static int own_zygote(void) {
    struct zygote_message msg = {.type = ZYGOTE_WORKER};
    char path[4200];
    int master[2], worker[2];
    pid_t pid;

    snprintf(path, sizeof path, "%s/parley-cell", host_bin());
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, master) < 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, worker) < 0)
        return -1;
    pid = fork();
    if (pid == 0) {
        char *env[] = {NULL};
        char *args[] = {path, "--weak", "--share-percent", "100", NULL};
        if (master[1] == 3)
            fcntl(3, F_SETFD, 0);
        else
            dup2(master[1], 3);
        execve(path, args, env);
        _exit(127);
    }
    close(master[1]);
    if (passing_send(master[0], &msg, sizeof msg, &worker[1], 1, 0) < 0) return -1;
    close(worker[1]);
    return worker[0]; /* master[0] stays open until we end, and the zygote with it */
}

static void load_config(struct vm_services *s) {
    const char *file = getenv("PARLEY_CONFIG");
    static struct config *config;
    struct err e = {0};

    if (file == NULL || !*file) return; /* commands that only speak HTTP need none */
    if (config_load(&config, file, &e) < 0) {
        fprintf(stderr, "parley: %s\n", e.text);
        exit(1);
    }
    s->config = config;
}

int cli_main(int argc, char **argv) {
    static uv_loop_t loop;
    static struct vm_services services;
    struct err e = {0};
    char file[4200];
    struct vm *vm;
    bool run = argc >= 3 && strcmp(argv[1], "run") == 0;
    const char *level = getenv("PARLEY_LOG");

    signal(SIGPIPE, SIG_IGN);
    setvbuf(stdout, NULL, _IOLBF, 0);
    log_open("parley", -1, STDERR_FILENO,
             level == NULL || log_level_parse(level) < 0 ? LOG_WARN : (enum log_level)log_level_parse(level));
    services.zygote_fd = -1;
    services.zygote_start = own_zygote;
    uv_loop_init(&loop);
    services.loop = &loop;
    services.worker = -1;
    services.program = "parley";
    services.owner = "command line";
    load_config(&services);
    if (metrics_open(&services.metrics, -1, 1, 0, &e) < 0 || services_open(&services, &e) < 0) goto fail;
    vm = vm_new(&services, host_root());
    if (run)
        snprintf(file, sizeof file, "%s", argv[2]);
    else
        snprintf(file, sizeof file, "%s/lua/cli.lua", host_root());
    if (vm_run_file(vm, file, argc - (run ? 3 : 1), argv + (run ? 3 : 1), on_ended, NULL, &e) < 0) goto fail;
    uv_run(&loop, UV_RUN_DEFAULT);
    fprintf(stderr, "parley: the program waits for something that never comes\n");
    return 1;
fail:
    fprintf(stderr, "parley: %s\n", e.text);
    return 1;
}
