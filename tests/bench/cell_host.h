/* SPDX-License-Identifier: Apache-2.0 */
/* Plays master and worker for programs that measure cells: a real zygote, and cells of it that are talked to without a loop.
 * Whatever goes wrong ends the program. */
#pragma once
#include "base/buf.h"
#include "script/message.h"
#include "script/zygote.h"
#include <stdint.h>

struct cell {
    int fd, pid;
    const struct cell_page *page;
    int n; /* of the verb it waits for */
};

void host_die(const char *what) __attribute__((noreturn));
int host_start(const char *path); /* of parley-cell; the zygote's pid */
/* 0, or an errno that tells why there is none. budget may be NULL; each has a tenant of its own. */
int host_spawn(uint32_t id, const struct zygote_budget *budget, struct cell *c);
/* A sealed memory file of a bundle's bytes. */
int host_seal(const struct buf *bundle);
void host_load(struct cell *c, int bundle); /* verbs and a bundle, as version "v1" */
void host_say(struct cell *c, const struct buf *message);
/* Waits for the next message, whose bytes stay until the next call. */
struct message host_hear(struct cell *c);
void host_str(struct buf *b, const char *text);

double host_now_us(void);
double host_cpu_us(int pid); /* processor time a process has used; 0: this one */
/* Of values that are sorted by it: the one at a part of them, as .99. */
double host_at(double *values, int count, double part);
