/* SPDX-License-Identifier: Apache-2.0 */
/* What a test's world is made of: a folder that goes away with it, programs that end with it, a loop that ends empty. */
#pragma once
#include "base/log.h"
#include "test.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <uv.h>

static char world_dir[64];

static inline int world_remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
    (void)st, (void)type, (void)at;
    return remove(path);
}

static inline void world_end(void) {
    if (world_dir[0]) nftw(world_dir, world_remove_one, 16, FTW_DEPTH | FTW_PHYS);
    world_dir[0] = '\0';
}

static inline void world_begin(void) {
    const char *base = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
    snprintf(world_dir, sizeof world_dir, "%.40s/parley-XXXXXX", base);
    assert_non_null(mkdtemp(world_dir));
}

/* Starts a program with its output in world_dir/NAME.log. It dies with the test, however that ends. */
static inline pid_t world_spawn(const char *name, const char *program, char *const argv[]) {
    char log[128];
    pid_t parent = getpid();
    snprintf(log, sizeof log, "%s/%s.log", world_dir, name);
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent) _exit(126);
        int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
        dup2(fd, 1);
        dup2(fd, 2);
        execvp(program, argv);
        _exit(127);
    }
    assert_true(pid > 0);
    return pid;
}

static inline void world_kill(pid_t *pid, int signal) {
    if (*pid <= 0) return;
    kill(*pid, signal);
    waitpid(*pid, NULL, 0);
    *pid = 0;
}

/* A port of 127.0.0.1 that nobody listens on. */
static inline int world_free_port(void) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(0, bind(fd, (struct sockaddr *)&at, len));
    CHECK_INT(0, getsockname(fd, (struct sockaddr *)&at, &len));
    close(fd);
    return ntohs(at.sin_port);
}

/* Turns the loop until *flag, for at most limit_ms; false when that has passed. */
static inline void world_on_tick(uv_timer_t *t) {
    (void)t;
}
static inline bool world_turn(uv_loop_t *loop, const int *flag, int want, int limit_ms) {
    uv_timer_t tick; /* wakes the loop, so that the limit holds while nothing happens */
    uint64_t until = uv_hrtime() + (uint64_t)limit_ms * 1000000;
    uv_timer_init(loop, &tick);
    uv_timer_start(&tick, world_on_tick, 20, 20);
    while (*flag < want && uv_hrtime() < until) uv_run(loop, UV_RUN_ONCE);
    uv_close((uv_handle_t *)&tick, NULL);
    uv_run(loop, UV_RUN_NOWAIT);
    return *flag >= want;
}

/* Lets the loop turn for a while. */
static inline void world_turn_for(uv_loop_t *loop, int ms) {
    const int never = 0;
    world_turn(loop, &never, 1, ms);
}
