/* SPDX-License-Identifier: Apache-2.0 */
/* How master and workers talk to the zygote (program parley-cell), over SOCK_SEQPACKET sockets.
 *
 * The master execs parley-cell with its control socket as fd 3 and an empty environment. On it it sends
 *   ZYGOTE_WORKER worker number, with one end of a socket pair: that worker's control socket (SCM_RIGHTS)
 * On a worker's control socket:
 *   ZYGOTE_SPAWN id      -> ZYGOTE_SPAWNED id, errno, pid with three fds: cell socket, pidfd, page (memfd of struct cell_page)
 *   ZYGOTE_KILL id       SIGKILL; ZYGOTE_STOP id / ZYGOTE_CONT id: SIGSTOP / SIGCONT; ZYGOTE_IDLE id: SCHED_IDLE
 *   ZYGOTE_ENDED id, status   (to the worker) a cell was reaped; status as waitpid gives it
 * When a control socket closes, all cells of that worker are killed. When the master's closes, everything ends.
 */
#pragma once
#include <stdint.h>

enum zygote_type {
    ZYGOTE_WORKER = 1,
    ZYGOTE_SPAWN,
    ZYGOTE_SPAWNED,
    ZYGOTE_KILL,
    ZYGOTE_STOP,
    ZYGOTE_CONT,
    ZYGOTE_IDLE,
    ZYGOTE_ENDED,
    ZYGOTE_FAILED
};
struct zygote_message {
    uint32_t type;
    uint32_t id;   /* of the cell: the worker's own numbering */
    int32_t value; /* worker number, errno or status */
    int32_t pid;
    uint32_t weak; /* in SPAWNED: which walls are missing (bit mask of zygote_wall); 0: all stand */
};
enum zygote_wall { WALL_SECCOMP = 1, WALL_RLIMIT = 2, WALL_UID = 4, WALL_NAMESPACE = 8 };

/* The page a worker reads after a cell died: what ran there. Written by the cell before each slice; hostile. */
struct cell_page {
    volatile uint32_t running; /* 1 while a slice runs */
    volatile uint32_t line;
    char call[64];
    char file[128];
    volatile uint64_t slices, memory; /* bytes in use as the cell counts */
};

/* Budgets and limits a cell starts with; the zygote's argv: parley-cell [--soft-mb 32] [--hard-mb 64] [--slice-ms 2]
 * [--invocation-ms 1000] [--call-ms 10000] [--share-percent 50] [--weak] */
