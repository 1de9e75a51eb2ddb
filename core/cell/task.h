/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell runs: the visits of a call, the check of a bundle, or a hook. */
#pragma once
#include "base/buf.h"
#include "cell/cover.h"
#include "cell/program.h"
#include <stdbool.h>
#include <stdint.h>

/* A version of the bundle; kept while loaded. */
struct version {
    struct version *next;
    char name[129];
    void *bytes; /* mapped */
    size_t len;
    struct cover *cover;     /* ours; NULL unless somebody asked which lines run */
    struct program *program; /* the one new visits start in */
    struct worn *worn;       /* programs whose own data fills the memory: they end with the last visit in them */
};
struct worn {
    struct worn *next;
    struct program *program;
};

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
