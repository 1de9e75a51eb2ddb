/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU weight of a tenant: its cells, of whatever worker, stand in one control group, so that on a full machine a tenant with
 * eight cells gets no more than one with a single cell. Only where there is a tree of control groups that may be written: version
 * 2 with the cpu controller (cpu.weight), or the cpu tree of version 1 (cpu.shares). Elsewhere cells have their nice value alone.
 *
 * Moving a process waits for the kernel, some milliseconds; so a helper process does it, and nobody waits for a cell because of it.
 *
 * Ownership  The groups, below "parley-cells" in the tree, are made with a tenant's first cell and removed with its last. An
 *            old zygote and its successor use the same ones.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* In the zygote, before it loses sight of the file system. False when there is no such tree. */
bool weight_open(void);
/* A cell of the tenant begins. weight: 1 to 10000, 0 for 100. Returns the weight it has, 0 when it has none (tenant 0 too). */
uint32_t weight_enter(uint32_t tenant, uint32_t weight, pid_t pid);
/* The least there is, or its own again: SCHED_IDLE counts among the cells of one group only. */
void weight_least(uint32_t tenant, bool yes);
/* A cell that entered has ended and was reaped. */
void weight_leave(uint32_t tenant);
