/* SPDX-License-Identifier: Apache-2.0 */
/* A seat: a connection and what it does for the pool. Like the connection it is a chain: attempt() names what looks at the
 * result, work() goes from one to the next and from job to job until it must wait.
 *
 *     queue ──> a seat that has just done a job takes the first of the kind its autocommit is for, of the first few
 *           ├─> the free seat used last (its statements are prepared, its schema is often the right one), of those whose
 *           │   autocommit is as the job wants it, if there are any
 *           └─> none is free: one more is opened, one at a time
 *     lease's queue ──> its seat
 *
 * A seat is given a job when it has a connection, so while the server is away jobs wait in the queue.
 */
#include "base/log.h"
#include "io/sql_error.h"
#include "io/sql_pool.h"
#include "metrics/metrics.h"
#include <strings.h>

enum {
    BACKOFF_MIN_MS = 20,
    BACKOFF_MAX_MS = 1000,
    IN_A_ROW = 16, /* jobs; a server may answer before we could wait, and the queue is long */
};

static void count_open(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    bool open = sql_conn_is_open(s->conn);
    if (open == s->counted) return;
    s->counted = open;
    p->open += open ? 1 : -1;
    if (p->connections) metric_set(p->connections, p->open);
}

static void job_end(struct sql_seat *s) {
    struct sql_job *j = s->job;
    s->job = NULL;
    sql_job_done(s->pool, j);
}

/* -- jobs ----------------------------------------------------------------------------------------------------- */

/* True when an operation failed before the server can have begun it, for want of a connection. */
static bool may_repeat(struct sql_seat *s, int rc) {
    if (rc != ERR_CLOSED || s->again || sql_conn_is_open(s->conn) || s->pool->closing) return false;
    s->again = true;
    return true;
}

static void plain_ran(struct sql_seat *s, int rc);
static void plain_reopened(struct sql_seat *s, int rc);

static void run_plain(struct sql_seat *s) {
    s->then = plain_ran;
    sql_conn_run(s->conn, &s->job->statement, &s->job->rows, &s->job->error);
}

static bool is_call(const struct sql_statement *s) {
    const char *at = s->text;
    while (*at == ' ' || *at == '\n' || *at == '\t') at++;
    return strncasecmp(at, "CALL", 4) == 0;
}

static void plain_ran(struct sql_seat *s, int rc) {
    if (!sql_conn_started(s->conn) && may_repeat(s, rc)) {
        s->then = plain_reopened;
        sql_conn_open(s->conn, &s->job->error);
        return;
    }
    if (sql_conn_in_transaction(s->conn)) {
        /* A procedure may have begun one. It must not go on under the next tenant's statements. */
        sql_conn_close(s->conn);
        if (rc == 0) err_set(&s->job->error.e, ERR_INVALID, "the statement began a transaction, which was rolled back");
    }
    /* An error tells nothing of a transaction that the procedure had begun before it. */
    if (rc < 0 && is_call(&s->job->statement)) sql_conn_close(s->conn);
    job_end(s);
}

static void plain_reopened(struct sql_seat *s, int rc) {
    if (rc < 0)
        job_end(s);
    else
        run_plain(s);
}

static void begun(struct sql_seat *s, int rc);
static void begin_reopened(struct sql_seat *s, int rc);

static void run_begin(struct sql_seat *s) {
    s->then = begun;
    sql_conn_begin(s->conn, s->job->statement.schema, &s->job->error);
}

static void begun(struct sql_seat *s, int rc) {
    if (may_repeat(s, rc)) {
        s->then = begin_reopened;
        sql_conn_open(s->conn, &s->job->error);
        return;
    }
    if (rc == 0 && !s->pool->closing) {
        s->lease = s->job->lease;
        s->lease->seat = s;
    }
    job_end(s);
}

static void begin_reopened(struct sql_seat *s, int rc) {
    if (rc < 0)
        job_end(s);
    else
        run_begin(s);
}

static void lease_lost(struct sql_lease *lease) {
    if (lease->broken.e.code == 0) err_set(&lease->broken.e, ERR_CLOSED, "the transaction's connection was lost");
}

static void leased_ran(struct sql_seat *s, int rc);
static void lease_reopened(struct sql_seat *s, int rc);
static void lease_begun_again(struct sql_seat *s, int rc);

static void run_leased(struct sql_seat *s) {
    s->then = leased_ran;
    sql_conn_run(s->conn, &s->job->statement, &s->job->rows, &s->job->error);
}

static void reopen_lease(struct sql_seat *s) {
    s->again = true;
    s->then = lease_reopened;
    sql_conn_open(s->conn, &s->job->error);
}

static void lease_not_begun(struct sql_seat *s) {
    s->lease->broken = s->job->error;
    job_end(s);
}

static void lease_reopened(struct sql_seat *s, int rc) {
    if (rc < 0) {
        lease_not_begun(s);
        return;
    }
    s->then = lease_begun_again;
    sql_conn_begin(s->conn, s->lease->schema, &s->job->error);
}

static void lease_begun_again(struct sql_seat *s, int rc) {
    if (rc < 0)
        lease_not_begun(s);
    else
        run_leased(s);
}

/* To begin says nothing to the server, so the first statement is what finds out that a firewall or a restart has taken
 * the idle connection. Whatever it did there was not committed. */
static bool may_begin_again(struct sql_seat *s, int rc) {
    const struct sql_statement *first = &s->job->statement;
    if (s->lease->answered || (sql_conn_started(s->conn) && !sql_text_is_dml(first->text, first->len))) return false;
    return may_repeat(s, rc);
}

/* A deadlock has: the next statement would be on its own. What is not DML may have, before it failed, and an error says
 * nothing of it. */
static bool may_have_ended(const struct sql_statement *failed, int rc) {
    return rc == ERR_BUSY || !sql_text_is_dml(failed->text, failed->len);
}

static void leased_ran(struct sql_seat *s, int rc) {
    struct sql_lease *lease = s->lease;
    if (may_begin_again(s, rc)) {
        reopen_lease(s);
        return;
    }
    lease->answered = true;
    if (!sql_conn_is_open(s->conn))
        lease_lost(lease);
    else if (rc < 0 && may_have_ended(&s->job->statement, rc))
        lease->broken = s->job->error;
    else if (rc == 0 && sql_conn_transaction_was_cut(s->conn))
        err_set(&lease->broken.e, ERR_INVALID, "a statement ended the transaction by itself (as DDL does)");
    job_end(s);
}

static void run_in_lease(struct sql_seat *s) {
    if (s->lease->broken.e.code) {
        s->job->error = s->lease->broken;
        job_end(s);
        return;
    }
    if (sql_conn_is_open(s->conn))
        run_leased(s);
    else
        reopen_lease(s); /* lost since it began, or the lease would be broken */
}

static void lease_ended(struct sql_seat *s, int rc) {
    struct sql_job *j = s->job;
    bool wanted = j->kind == SQL_JOB_COMMIT, broken = s->lease->broken.e.code != 0;

    if (rc < 0) {
        bool lost = !sql_conn_is_open(s->conn);
        sql_conn_close(s->conn);                      /* whatever is left of it ends there */
        if (!wanted || broken || !s->lease->answered) /* nothing was to be committed */
            j->error = (struct sql_error){0};
        else if (lost)
            err_set(&j->error.e, ERR_CLOSED, "the connection was lost in the commit, which may have happened");
    }
    if (wanted && broken) j->error = s->lease->broken;
    s->lease->seat = NULL;
    s->lease = NULL;
    job_end(s);
}

static void run_end(struct sql_seat *s) {
    bool commit = s->job->kind == SQL_JOB_COMMIT && s->lease->broken.e.code == 0;
    if (!sql_conn_is_open(s->conn)) {
        lease_ended(s, 0);
        return;
    }
    s->then = lease_ended;
    sql_conn_end(s->conn, commit, &s->job->error);
}

static void begin_job(struct sql_seat *s, struct sql_job *j) {
    s->job = j;
    s->again = false;
    s->used = ++s->pool->uses;
    if (j->kind == SQL_JOB_BEGIN)
        run_begin(s);
    else if (j->kind != SQL_JOB_RUN)
        run_end(s);
    else if (j->lease)
        run_in_lease(s);
    else
        run_plain(s);
}

/* -- from job to job ------------------------------------------------------------------------------------------ */

static void leave(struct sql_seat *s) {
    struct sql_job *j;
    if (s->lease) {
        while ((j = sql_jobs_pop(&s->lease->jobs)) != NULL)
            sql_job_fail(s->pool, j, ERR_CANCELLED, "the SQL pool is closed");
        s->lease->seat = NULL;
        s->lease = NULL;
    }
    sql_conn_close(s->conn); /* an open transaction is rolled back with it */
}

static struct sql_job *next_job(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    if (p->closing) {
        leave(s);
        return NULL;
    }
    if (s->rests) return NULL;
    if (s->lease) return sql_jobs_pop(&s->lease->jobs);
    if (p->queue.head == NULL || !sql_conn_is_open(s->conn)) return NULL;
    sql_conn_check(s->conn);
    if (!sql_conn_is_open(s->conn)) return NULL;
    /* To change autocommit is a round trip, so under load each seat goes on with its own kind, while there is some. */
    return sql_jobs_pop_kind(&p->queue, sql_conn_autocommits(s->conn) ? SQL_JOB_RUN : SQL_JOB_BEGIN);
}

void sql_seat_work(struct sql_seat *s) {
    int row = 0;
    while (!sql_conn_is_busy(s->conn)) {
        void (*then)(struct sql_seat * s, int rc) = s->then;
        struct sql_job *j;
        s->then = NULL;
        if (then) {
            then(s, sql_conn_result(s->conn));
        } else if ((j = next_job(s)) != NULL) {
            if (++row == IN_A_ROW) {
                s->rests = true;
                sql_pool_later(s->pool);
            }
            begin_job(s, j);
        } else {
            break;
        }
    }
    count_open(s);
}

/* -- connecting ----------------------------------------------------------------------------------------------- */

static void on_retry(uv_timer_t *t) {
    struct sql_pool *p = t->data;
    sql_seats_feed(p);
}

static void back_off(struct sql_pool *p) {
    uint64_t ms = p->failures < 6 ? (uint64_t)BACKOFF_MIN_MS << p->failures : BACKOFF_MAX_MS;
    unsigned random = 0;

    p->failures++;
    uv_random(NULL, NULL, &random, sizeof random, 0, NULL);
    if (!p->closing) uv_timer_start(&p->retry, on_retry, ms / 2 + random % (ms / 2 + 1), 0);
}

static void opened(struct sql_seat *s, int rc) {
    struct sql_pool *p = s->pool;
    p->opening = NULL;
    if (rc < 0) {
        p->away = p->error;
        if (!p->told && !p->closing) log_warn("sql.away", "%s: %s", p->opts.name, p->away.e.text);
        p->told = true;
        back_off(p);
        return;
    }
    if (p->told) log_info("sql.connected", "%s: connected", p->opts.name);
    p->told = false;
    p->failures = 0;
    p->away = (struct sql_error){0};
}

static void open_one(struct sql_pool *p) {
    for (int i = 0; i < p->opts.connections; i++) {
        struct sql_seat *s = &p->seats[i];
        if (sql_conn_is_open(s->conn) || sql_conn_is_busy(s->conn) || s->lease || s->job) continue;
        p->opening = s;
        s->then = opened;
        sql_conn_open(s->conn, &p->error);
        sql_seat_work(s);
        return;
    }
}

static bool is_better(const struct sql_seat *s, const struct sql_seat *than, const struct sql_job *j) {
    bool wants = j->kind != SQL_JOB_BEGIN, fits = sql_conn_autocommits(s->conn) == wants;
    if (fits != (sql_conn_autocommits(than->conn) == wants)) return fits;
    return s->used > than->used;
}

/* For the first job of the queue. */
static struct sql_seat *free_seat(struct sql_pool *p) {
    struct sql_seat *best = NULL;
    for (int i = 0; i < p->opts.connections; i++) {
        struct sql_seat *s = &p->seats[i];
        if (!sql_conn_is_open(s->conn) || sql_conn_is_busy(s->conn) || s->lease || s->job || s->then) continue;
        if (s->rests) continue;
        if (best == NULL || is_better(s, best, p->queue.head)) best = s;
    }
    return best;
}

void sql_seats_feed(struct sql_pool *p) {
    struct sql_seat *s;
    while (p->queue.head && (s = free_seat(p)) != NULL) sql_seat_work(s);
    if (p->queue.head && p->opening == NULL && !uv_is_active((uv_handle_t *)&p->retry)) open_one(p);
    if (p->done.head) sql_pool_later(p);
}

/* -- all of them ---------------------------------------------------------------------------------------------- */

/* After whatever happened to a seat's connection outside of what a caller called. */
static void settle(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    if (s->lease && s->lease->answered && s->job == NULL && !sql_conn_is_open(s->conn)) lease_lost(s->lease);
    sql_seat_work(s);
    sql_seats_feed(p);
    sql_jobs_deliver(p);
    sql_pool_idle(p);
}

static void on_ended(void *arg) {
    settle(arg);
}

static void on_later(void *arg) {
    struct sql_seat *s = arg;
    sql_pool_later(s->pool);
}

void sql_seat_init(struct sql_pool *p, struct sql_seat *s, uv_loop_t *loop) {
    const struct sql_conn_events events = {.ended = on_ended, .later = on_later, .arg = s};
    s->pool = p;
    s->conn = sql_conn_new(loop, &p->opts, &events);
}

void sql_seats_sweep(struct sql_pool *p) {
    for (int i = 0; i < p->opts.connections; i++) {
        struct sql_seat *s = &p->seats[i];
        if (!sql_conn_is_late(s->conn)) continue;
        sql_conn_give_up(s->conn);
        sql_seat_work(s);
    }
}

void sql_seats_go_on(struct sql_pool *p) {
    for (int i = 0; i < p->opts.connections; i++) {
        struct sql_seat *s = &p->seats[i];
        if (s->rests) {
            s->rests = false;
            sql_seat_work(s);
        }
        sql_conn_go_on(s->conn);
    }
    sql_seats_feed(p);
}

bool sql_seats_are_busy(const struct sql_pool *p) {
    for (int i = 0; i < p->opts.connections; i++)
        if (sql_conn_is_busy(p->seats[i].conn)) return true;
    return false;
}

void sql_seats_close(struct sql_pool *p) {
    if (p->opening) sql_conn_cancel(p->opening->conn, ERR_CANCELLED, "the SQL pool is closed");
    for (int i = 0; i < p->opts.connections; i++) sql_seat_work(&p->seats[i]);
}

void sql_seats_cancel(struct sql_pool *p) {
    for (int i = 0; i < p->opts.connections; i++) {
        sql_conn_cancel(p->seats[i].conn, ERR_CANCELLED, "the SQL pool is closed");
        sql_seat_work(&p->seats[i]);
    }
}
