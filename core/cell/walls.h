/* SPDX-License-Identifier: Apache-2.0 */
/* What stands around a cell besides its sandbox. The zygote puts up once what its children inherit (namespaces, an empty root,
 * the seccomp program); the rest each cell does for itself before it reads its first message. */
#pragma once
#include "script/zygote.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct walls {
    uint32_t missing;  /* of zygote_wall */
    void *filter;      /* seccomp program, ours for the life of the process */
    size_t filter_len; /* bytes */
    int root;          /* we may change user ids */
};
/* In the zygote, before it serves. Missing ones are set in w->missing. */
void walls_prepare(struct walls *w);
/* In the child: socket becomes WALLS_SOCKET, report WALLS_REPORT, all else is closed. Returns the walls that are missing; its
 * page is already mapped. uid: for this cell alone. */
uint32_t walls_close(const struct walls *w, int socket, int report, unsigned uid);
/* In the child. hard_bytes: of Lua memory. Returns WALL_RLIMIT or 0. */
uint32_t walls_limit(size_t hard_bytes);
/* The last one, when the timer is made: after it only what a cell's loop needs is allowed. Returns WALL_SECCOMP or 0. */
uint32_t walls_seccomp(const struct walls *w);
/* In the zygote: a cell that has not been told anything yet gets other limits by hard_bytes, which it could not raise itself. False,
 * and perhaps half done, without CAP_SYS_RESOURCE: root in a container lacks it. */
bool walls_limit_again(pid_t pid, size_t hard_bytes);
/* Walls a program of this build cannot have; they are reported, not required. */
uint32_t walls_not_built(void);
enum { WALLS_SOCKET = 3, WALLS_REPORT = 4, WALLS_UID = 900000 };
