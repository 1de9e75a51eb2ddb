/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU weight of a tenant: its cells, of whatever worker, stand in one control group, so that on a full machine a tenant with
 * eight cells gets no more than one with a single cell. Only where there is a tree of control groups that may be written: version
 * 2 with the cpu controller (cpu.weight), or the cpu tree of version 1 (cpu.shares). Elsewhere cells have their nice value alone.
 *
 * Cells that are made idle, of whatever tenant, stand in one group of the least weight: SCHED_IDLE counts among the processes of
 * one group only, and a tenant's other cells shall not pay for it.
 *
 * The groups lie in "parley-cells", below the service's own group where that is possible: on version 1 always, on version 2 where
 * systemd has delegated it (Delegate=yes); so they are stopped, limited and counted with the service. Elsewhere at the tree's root.
 *
 * Moving a process waits for the kernel, some milliseconds; so a helper process does it, and nobody waits for a cell because of it.
 *
 * Ownership  The groups are made with a tenant's first cell and removed with its last. Zygotes that share a tree (an old one and
 *            its successor) use the same ones; one that another has removed is made again.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* In the zygote, before it loses sight of the file system. mounts: "/sys/fs/cgroup"; own: "/proc/self/cgroup", a file that names our
 * own groups. False when there is no such tree. */
bool weight_open(const char *mounts, const char *own);
/* A cell of the tenant begins. weight: 1 to 10000, 0 for 100. place: a number below 65,536 that no other living cell has; pid: a child
 * that is not reaped. Returns the weight it has, 0 when it has none (tenant 0 too, and a place beyond). */
uint32_t weight_enter(uint32_t tenant, uint32_t weight, unsigned place, pid_t pid);
/* A cell that entered, with the weight it has, goes among the idle ones, or back to its tenant's. Among the idle ones it does not go while
 * the helper is 1,024 messages behind: it keeps its weight then, and the way back does nothing. */
void weight_idle(uint32_t tenant, uint32_t weight, unsigned place, pid_t pid, bool yes);
/* A cell that entered has ended and is about to be reaped: whatever the helper still comes to, it moves no process of that number. */
void weight_leave(uint32_t tenant, unsigned place);
