/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell runs: the visits of a call, the check of a bundle, or a hook. */
#pragma once
#include "base/buf.h"
#include "cell/cell.h"
#include "cell/program.h"
#include "cell/version.h"
#include <stdbool.h>
#include <stdint.h>

enum task_kind { TASK_CALL, TASK_CHECK, TASK_HOOK };
struct task {
    struct task *next, *before;             /* of all */
    struct task *ready_next, *ready_before; /* of those that can go on */
    enum task_kind kind;
    bool ready;
    struct version *version; /* borrowed; NULL while a call has no visit */
    struct program *program; /* borrowed: version's, or worn */
    struct run *run;         /* ours; NULL between visits */
    int nargs;               /* of the next slice */
    uint64_t invocation_us, total_us;
    int slice_ms, invocation_ms, total_ms;
    /* call */
    char call[129];
    int64_t visit;
    int64_t n; /* of the verb it waits for, or of the last one */
    bool waits;
    /* check */
    size_t at;               /* in the bundle */
    struct bundle_file file; /* being run */
    char path[BUNDLE_PATH_MAX + 1];
    struct buf flows, problems, bundle, wanted, files; /* wanted: a list of paths, as a value */
    int problem_count;
    /* hook */
    int64_t hook; /* the worker's number for it */
};

/* With the budget that tasks begin with. */
void task_setup(const struct cell_opts *opts);
struct task *task_add(enum task_kind kind);
/* The call's task; NULL when there is none. */
struct task *task_of_call(const char *call);
/* The same, made when there is none; NULL when there are too many. */
struct task *task_for_call(const char *call);
/* All of them, linked by next. */
struct task *task_all(void);
int task_hooks(void);
/* It can go on: it comes behind those that can already. */
void task_ready(struct task *t);
bool task_any_ready(void);
/* The one whose turn it is; there must be one. */
struct task *task_take_ready(void);
/* Ends its run, and what is worn goes with the last run in it; then the task itself. */
void task_end_run(struct task *t);
void task_end(struct task *t);
