/* SPDX-License-Identifier: Apache-2.0 */
/* How master and workers talk to the zygote (program parley-cell), over SOCK_SEQPACKET sockets.
 *
 * The master execs parley-cell with its control socket as fd 3 and an empty environment. On it it sends
 *   ZYGOTE_WORKER worker number, with one end of a socket pair: that worker's control socket (SCM_RIGHTS)
 * On a worker's control socket:
 *   ZYGOTE_SPAWN id, budget -> ZYGOTE_SPAWNED id, errno, pid, budget as it is, with three fds: cell socket, pidfd, page (memfd
 *                        of struct cell_page)
 *   ZYGOTE_KILL id       SIGKILL; ZYGOTE_STOP id / ZYGOTE_CONT id: SIGSTOP / SIGCONT; ZYGOTE_IDLE id: SCHED_IDLE;
 *   ZYGOTE_NORMAL id     undoes it, where the kernel lets us (root)
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
    ZYGOTE_FAILED,
    ZYGOTE_NORMAL
};
/* What one cell starts with instead of the zygote's own options. 0: as there; what is too much is cut to the most that the
 * option itself may be. */
struct zygote_budget {
    uint32_t tenant; /* cells of one tenant share one CPU weight; 0: it has none of its own */
    uint32_t weight; /* 1 to 10000, 100 unless given; in SPAWNED 0 where there are no control groups */
    uint32_t soft_mb, hard_mb;
    uint32_t slice_ms, invocation_ms, call_ms;
    uint32_t share_percent; /* of each second */
    uint32_t lets_back;     /* in SPAWNED: 1 where NORMAL undoes IDLE */
};
struct zygote_message {
    uint32_t type;
    uint32_t id;   /* of the cell: the worker's own numbering */
    int32_t value; /* worker number, errno or status */
    int32_t pid;
    uint32_t weak;               /* in SPAWNED: which walls are missing (bit mask of zygote_wall); 0: all stand */
    struct zygote_budget budget; /* in SPAWN and SPAWNED */
};
enum zygote_wall { WALL_SECCOMP = 1, WALL_RLIMIT = 2, WALL_UID = 4, WALL_NAMESPACE = 8 };

/* The page a worker reads after a cell died: what ran there. Written by the cell before each slice; hostile. */
struct cell_page {
    volatile uint32_t running; /* 1 while a slice runs */
    volatile uint32_t line;
    char call[64];
    char file[128];
    volatile uint64_t slices, memory; /* bytes in use as the cell counts */
    volatile uint64_t long_turns;     /* how many used most of a slice's processor time */
};

/* Budgets and limits a cell starts with; the zygote's argv: parley-cell [--soft-mb 32] [--hard-mb 64] [--slice-ms 2]
 * [--invocation-ms 1000] [--call-ms 10000] [--share-percent 50] [--ready 4] [--weak] */
