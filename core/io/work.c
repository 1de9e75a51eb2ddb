/* SPDX-License-Identifier: Apache-2.0 */
#include "io/work.h"
#include "base/mem.h"
#include <assert.h>
#include <stdlib.h>

struct job {
    uv_work_t work;
    struct job *next;
    struct work_queue *queue;
    void (*run)(void *arg);
    void (*done)(void *arg);
    void *arg;
};

struct work_queue {
    uv_loop_t *loop;
    const char *name; /* borrowed: a literal */
    int running, running_max;
    int waiting, waiting_max;
    struct job *first, **last;
};

struct work_queue *work_queue_new(uv_loop_t *loop, const char *name, int running_max, int waiting_max) {
    struct work_queue *q = mem_alloc(sizeof *q);

    q->loop = loop;
    q->name = name;
    q->running_max = running_max;
    q->waiting_max = waiting_max;
    q->last = &q->first;
    return q;
}

void work_queue_free(struct work_queue *q) {
    if (q == NULL) return;
    assert(q->running == 0 && q->waiting == 0);
    free(q);
}

int work_queue_len(const struct work_queue *q) {
    return q->running + q->waiting;
}

static void on_run(uv_work_t *w) {
    struct job *j = w->data;

    j->run(j->arg);
}

static void job_start(struct job *j);

static void on_done(uv_work_t *w, int status) {
    struct job *j = w->data;
    struct work_queue *q = j->queue;
    void (*done)(void *arg) = j->done;
    void *arg = j->arg;

    (void)status; /* never cancelled */
    free(j);
    q->running--;
    if (q->first != NULL) {
        struct job *next = q->first;
        q->first = next->next;
        if (q->first == NULL) q->last = &q->first;
        q->waiting--;
        job_start(next);
    }
    done(arg); /* last: it may free the queue */
}

static void job_start(struct job *j) {
    j->queue->running++;
    j->work.data = j;
    uv_queue_work(j->queue->loop, &j->work, on_run, on_done);
}

int work_submit(struct work_queue *q, void (*run)(void *arg), void (*done)(void *arg), void *arg, struct err *e) {
    struct job *j;

    if (q->running >= q->running_max && q->waiting >= q->waiting_max)
        return err_set(e, ERR_BUSY, "too much work is waiting for %s (%d); try again in a moment", q->name, q->waiting);
    j = mem_alloc(sizeof *j);
    j->queue = q;
    j->run = run;
    j->done = done;
    j->arg = arg;
    if (q->running < q->running_max) {
        job_start(j);
    } else {
        *q->last = j;
        q->last = &j->next;
        q->waiting++;
    }
    return 0;
}
