/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis of a test's own on a UNIX socket in a folder of its own; gone with private_redis_stop(). */
#pragma once
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

struct private_redis {
    char dir[64], url[128];
    pid_t pid;
};

/* False when this machine has no Redis server. redis-tools brings it under another name; it acts by the name it is called. */
static inline bool private_redis_run(struct private_redis *r) {
    char path[96], ping[160];
    snprintf(path, sizeof path, "%s/redis.sock", r->dir);
    r->pid = fork();
    if (r->pid == 0) {
        char *const argv[] = {"redis-server", "--port", "0",         "--unixsocket", path,    "--save", "",
                              "--appendonly", "no",     "--logfile", "/dev/null",    "--dir", r->dir,   NULL};
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execvp("redis-server", argv);
        execvp("redis-check-rdb", argv);
        _exit(127);
    }
    snprintf(ping, sizeof ping, "redis-cli -s %s ping 2>/dev/null | grep -q PONG", path);
    for (int i = 0; i < 2000; i++) {
        if (access(path, F_OK) == 0 && system(ping) == 0) return true;
        if (waitpid(r->pid, NULL, WNOHANG) == r->pid) return false;
        usleep(10000);
    }
    return false;
}

static inline bool private_redis_start(struct private_redis *r) {
    snprintf(r->dir, sizeof r->dir, "/tmp/parley-redis-XXXXXX");
    if (mkdtemp(r->dir) == NULL) return false;
    snprintf(r->url, sizeof r->url, "unix://%s/redis.sock", r->dir);
    return private_redis_run(r);
}

/* Ends the server and with it all it held; private_redis_run() starts an empty one at the same place. */
static inline void private_redis_kill(struct private_redis *r) {
    kill(r->pid, SIGKILL);
    waitpid(r->pid, NULL, 0);
    r->pid = 0;
}

static inline void private_redis_stop(struct private_redis *r) {
    char path[96];
    if (r->pid) private_redis_kill(r);
    snprintf(path, sizeof path, "%s/redis.sock", r->dir);
    unlink(path);
    rmdir(r->dir);
}
