/* SPDX-License-Identifier: Apache-2.0 */
/* The master's inside: what its parts share. One process, one loop, no thread besides.
 *
 *   master.c   beginning, signals, end      child.c      one worker
 *   cells.c    the zygote                   watchdog.c   workers that stand still
 *   renew.c    another program takes over, with calls up
 */
#pragma once
#include "base/buf.h"
#include "base/config.h"
#include "host/inherit.h"
#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

struct metrics;

enum { WORKERS_MAX = 64, DEAD_MAX = 64 };

struct child {
    int index;
    uv_process_t process;
    int pid;
    bool running, ready;
    bool old; /* started by the program before: no process handle, no restart */
    char owner[64];
    int http, https;                 /* its listening sockets; opened once */
    uv_pipe_t pipe;                  /* to the worker */
    uv_timer_t again;                /* restart, with back-off */
    uint64_t started_ms, starved_ms; /* the latter: when it was last told */
    int quick_deaths;
    struct buf line;
};

struct master {
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
};
extern struct master master;

/* The file NAME.pid in run_dir; pid 0: away with it. */
void pid_file(const char *name, int pid);

/* -- workers */
void child_start(struct child *c);
void child_listen(struct child *c);                /* to its pipe */
void child_say(struct child *c, const char *line); /* host.h has the lines */
void child_gone(struct child *c);                  /* tells the others to take its slots */
void master_maybe_end(void);                       /* exits when all have stopped */

void watchdog_start(void);

/* -- the zygote */
int zygote_start(struct err *e);
/* Gives the zygote one end of a new control socket for worker index; returns the other, or -1. */
int zygote_control(int index);
int cells_prove(struct err *e);

/* -- renewing */
void renew(void);
void old_adopt(const struct inherit *given);
void old_drain(int index); /* a new worker is ready */
void old_reap(void);       /* SIGCHLD */
void old_kill(void);       /* those that still run */
