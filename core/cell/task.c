/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/task.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cell/check.h"
#include <stdlib.h>

enum { CALLS_MAX = 65536 /* well above limits.calls_per_tenant, as those of a dead worker come on top */ };

static struct {
    struct cell_opts opts;
    struct task *all;
    struct map calls;          /* call -> its task */
    int hooks;                 /* of them */
    struct task *first, *last; /* ready, the next in turn first */
} tasks;

void task_setup(const struct cell_opts *opts) {
    tasks.opts = *opts;
}

struct task *task_all(void) {
    return tasks.all;
}

int task_hooks(void) {
    return tasks.hooks;
}

bool task_any_ready(void) {
    return tasks.first != NULL;
}

struct task *task_of_call(const char *call) {
    return map_get(&tasks.calls, call);
}

struct task *task_add(enum task_kind kind) {
    struct task *t = mem_alloc(sizeof *t);

    t->kind = kind;
    t->slice_ms = tasks.opts.slice_ms;
    t->invocation_ms = tasks.opts.invocation_ms;
    t->total_ms = tasks.opts.call_ms;
    if (kind == TASK_HOOK) tasks.hooks++;
    t->next = tasks.all;
    if (t->next) t->next->before = t;
    tasks.all = t;
    return t;
}

void task_ready(struct task *t) {
    if (t->ready) return;
    t->ready = true;
    t->ready_next = NULL;
    t->ready_before = tasks.last;
    if (tasks.last)
        tasks.last->ready_next = t;
    else
        tasks.first = t;
    tasks.last = t;
}

static void unready(struct task *t) {
    if (!t->ready) return;
    *(t->ready_before ? &t->ready_before->ready_next : &tasks.first) = t->ready_next;
    *(t->ready_next ? &t->ready_next->ready_before : &tasks.last) = t->ready_before;
    t->ready = false;
}

struct task *task_take_ready(void) {
    struct task *t = tasks.first;

    unready(t);
    return t;
}

void task_end_run(struct task *t) {
    unready(t);
    t->waits = false;
    run_free(t->run);
    t->run = NULL;
    t->program = NULL;
    if (t->version && t->version->worn) version_sweep(t->version);
}

void task_end(struct task *t) {
    task_end_run(t);
    check_free(t);
    if (t->kind == TASK_CALL) map_drop(&tasks.calls, t->call, t);
    if (t->kind == TASK_HOOK) tasks.hooks--;
    *(t->before ? &t->before->next : &tasks.all) = t->next;
    if (t->next) t->next->before = t->before;
    free(t);
}

struct task *task_for_call(const char *call) {
    struct task *t = map_get(&tasks.calls, call);

    if (t) return t;
    if (tasks.calls.count >= CALLS_MAX) return NULL;
    t = task_add(TASK_CALL);
    str_copy(t->call, sizeof t->call, call);
    map_put(&tasks.calls, t->call, t);
    return t;
}
