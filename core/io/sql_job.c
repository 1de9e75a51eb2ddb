/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that wait and jobs that have ended. Under overload a thousand may end at once. Telling a caller runs its code, so
 * each turn of the loop tells a few, and sockets and timers have their turn in between. */
#include "base/mem.h"
#include "io/sql_pool.h"
#include "metrics/metrics.h"
#include <stdlib.h>

enum {
    PORTION = 64, /* callers told in one go */
    SPARES = 64,
    LOOK = 8,       /* jobs looked at for one of a kind */
    PASSED = 8,     /* by so many at most */
    AWAY_MS = 3000, /* how long a job waits for a server that is away */
};

struct sql_job *sql_job_new(struct sql_pool *p) {
    struct sql_job *j = p->spare;
    if (j == NULL) return mem_alloc(sizeof *j);
    p->spare = j->next;
    p->spares--;
    j->next = NULL;
    return j;
}

static void job_free(struct sql_pool *p, struct sql_job *j) {
    sql_rows_free(&j->rows);
    if (p->spares == SPARES) {
        arena_free(&j->copies);
        free(j);
        return;
    }
    arena_clear(&j->copies);
    *j = (struct sql_job){.copies = j->copies, .next = p->spare};
    p->spare = j;
    p->spares++;
}

void sql_jobs_free_spare(struct sql_pool *p) {
    while (p->spare) {
        struct sql_job *j = sql_job_new(p);
        arena_free(&j->copies);
        free(j);
    }
}

void sql_jobs_push(struct sql_jobs *l, struct sql_job *j) {
    j->next = NULL;
    if (l->head)
        l->tail->next = j;
    else
        l->head = j;
    l->tail = j;
    l->len++;
}

struct sql_job *sql_jobs_pop(struct sql_jobs *l) {
    struct sql_job *j = l->head;
    if (j == NULL) return NULL;
    l->head = j->next;
    l->len--;
    return j;
}

struct sql_job *sql_jobs_pop_kind(struct sql_jobs *l, enum sql_job_kind kind) {
    struct sql_job *before = NULL, *j = l->head;

    if (j == NULL || j->passed == PASSED) return sql_jobs_pop(l); /* no other was passed over more often */
    for (int i = 0; i < LOOK && j && j->kind != kind; i++) {
        before = j;
        j = j->next;
    }
    if (before == NULL || j == NULL || j->kind != kind) return sql_jobs_pop(l);
    for (struct sql_job *over = l->head; over != j; over = over->next) over->passed++;
    before->next = j->next;
    if (l->tail == j) l->tail = before;
    l->len--;
    return j;
}

void sql_job_done(struct sql_pool *p, struct sql_job *j) {
    sql_jobs_push(&p->done, j);
}

void sql_job_fail(struct sql_pool *p, struct sql_job *j, int code, const char *text) {
    err_set(&j->error.e, code, "%s", text);
    sql_job_done(p, j);
}

static void lease_free(struct sql_pool *p, struct sql_lease *lease) {
    struct sql_lease **at = &p->leases;
    while (*at && *at != lease) at = &(*at)->next;
    if (*at) *at = lease->next;
    free(lease->schema);
    free(lease);
}

static void job_deliver(struct sql_pool *p, struct sql_job *j) {
    struct sql_lease *lease = j->lease;

    if (j->kind == SQL_JOB_BEGIN && j->error.e.code == 0 && lease->seat == NULL) /* it closed meanwhile */
        err_set(&j->error.e, ERR_CLOSED, "the SQL pool is closed");
    const struct sql_error *e = j->error.e.code ? &j->error : NULL;
    if (p->ok) metric_add(e ? p->errors : p->ok, 1);
    if (p->seconds) metric_observe(p->seconds, (double)(uv_hrtime() - j->queued_ns) / 1e9);
    if (j->kind == SQL_JOB_BEGIN) {
        if (e) lease_free(p, lease);
        j->begun(j->arg, e ? NULL : lease, e);
    } else {
        if (j->kind != SQL_JOB_RUN) lease_free(p, lease);
        if (j->cb) j->cb(j->arg, e ? NULL : &j->rows.result, e);
    }
    job_free(p, j);
}

void sql_jobs_deliver(struct sql_pool *p) {
    struct sql_job *j;
    if (p->waiting) metric_set(p->waiting, p->queue.len);
    if (uv_is_active((uv_handle_t *)&p->turn)) return; /* what is left from before comes first, in its turn */
    for (int i = 0; i < PORTION && (j = sql_jobs_pop(&p->done)) != NULL; i++) job_deliver(p, j);
    if (p->done.head) sql_pool_later(p);
}

/* The queue is in the order of time, so only its head needs a look. */
void sql_jobs_expire(struct sql_pool *p) {
    uint64_t now = uv_hrtime();
    bool away = p->open == 0 && p->away.e.code != 0;

    while (p->queue.head) {
        uint64_t waited_ms = (now - p->queue.head->queued_ns) / 1000000;
        if (waited_ms < (uint64_t)p->opts.statement_timeout_ms && !(away && waited_ms >= AWAY_MS)) break;
        struct sql_job *j = sql_jobs_pop(&p->queue);
        if (away) {
            j->error = p->away;
            sql_job_done(p, j);
        } else {
            sql_job_fail(p, j, ERR_TIMEOUT, "no connection was free in time");
        }
    }
}
