/* SPDX-License-Identifier: Apache-2.0 */
/* Named fault points: places between two writes at which a test lets this process die, as a power cut would.
 *
 *   FAULT_POINT("slot.leased");            in C
 *   fault.point("call.row_written")        in Lua (core.fault)
 *
 * Armed by the environment alone, when the process starts; unarmed a point is a test of one flag:
 *   PARLEY_FAULT=NAME[:NTH]   every worker dies at its NTH passing of NAME
 *   PARLEY_FAULT=/FOLDER      a worker dies at NAME while there is a file /FOLDER/NAME; the file may hold NTH. It is
 *                             removed first, so that one process dies for it, once
 * The names stand in lua/faults.txt with what lies before and behind each; parleyd --faults prints them.
 *
 * Threads    Any.
 */
#pragma once
#include <stdbool.h>

extern bool fault_armed;
/* Reads PARLEY_FAULT. Called once, by those who may die: workers. */
void fault_open(void);
/* A point is passed: does not return when its time has come. */
void fault_pass(const char *name);

#define FAULT_POINT(name)                  \
    do {                                   \
        if (fault_armed) fault_pass(name); \
    } while (0)
