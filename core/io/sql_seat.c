/* SPDX-License-Identifier: Apache-2.0 */
/* A seat: a thread that does jobs over its connection. Functions hold the pool's lock unless they say otherwise. */
#include "io/sql_seat.h"
#include "base/log.h"
#include "metrics/metrics.h"
#include <mysql.h>

enum { BACKOFF_MIN_MS = 20, BACKOFF_MAX_MS = 1000 };

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

void sql_job_done(struct sql_pool *p, struct sql_job *j) {
    sql_jobs_push(&p->done, j);
    uv_async_send(&p->wake);
}

/* -- connecting ----------------------------------------------------------------------------------------------- */

static void count_open(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    bool open = sql_conn_is_open(s->conn);
    if (open == s->counted) return;
    s->counted = open;
    p->open += open ? 1 : -1;
    if (p->connections) metric_set(p->connections, p->open);
}

static void back_off(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    uint64_t ms = s->failures < 6 ? (uint64_t)BACKOFF_MIN_MS << s->failures : BACKOFF_MAX_MS;
    unsigned random = 0;

    s->failures++;
    if (p->open > 0) uv_cond_signal(&p->work); /* a seat with a connection may be free */
    uv_random(NULL, NULL, &random, sizeof random, 0, NULL);
    if (!p->stop) uv_cond_timedwait(&p->stopping, &p->lock, (ms / 2 + random % (ms / 2 + 1)) * 1000000);
}

/* Makes sure of a connection; false when there is none yet, after a pause. */
static bool seat_connect(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    struct sql_error e = {0};
    int rc = 0;

    uv_mutex_unlock(&p->lock);
    sql_conn_check(s->conn);
    if (!sql_conn_is_open(s->conn)) rc = sql_conn_open(s->conn, &e);
    uv_mutex_lock(&p->lock);
    count_open(s);
    if (rc < 0) {
        p->away = e;
        if (!p->told) log_warn("sql.away", "%s: %s", p->opts.name, e.e.text);
        p->told = true;
        back_off(s);
        return false;
    }
    if (p->told) log_info("sql.connected", "%s: connected", p->opts.name);
    p->told = false;
    s->failures = 0;
    return true;
}

/* -- doing; without the lock ---------------------------------------------------------------------------------- */

/* Once more on a new connection, for what the server cannot have done. */
static bool reconnected(struct sql_seat *s) {
    struct sql_error e;
    return !sql_conn_is_open(s->conn) && sql_conn_open(s->conn, &e) == 0;
}

static void run_plain(struct sql_seat *s, struct sql_job *j) {
    bool started;
    int rc = sql_conn_run(s->conn, &j->statement, &j->rows, &started, &j->error);
    if (rc == ERR_CLOSED && !started && reconnected(s))
        rc = sql_conn_run(s->conn, &j->statement, &j->rows, &started, &j->error);
    if (!sql_conn_in_transaction(s->conn)) return;
    /* A procedure may have begun one. It must not go on under the next tenant's statements. */
    sql_conn_close(s->conn);
    if (rc == 0) err_set(&j->error.e, ERR_INVALID, "the statement began a transaction, which was rolled back");
}

static void run_begin(struct sql_seat *s, struct sql_job *j) {
    int rc = sql_conn_begin(s->conn, j->statement.schema, &j->error);
    if (rc == ERR_CLOSED && reconnected(s)) sql_conn_begin(s->conn, j->statement.schema, &j->error);
}

static void run_in_lease(struct sql_seat *s, struct sql_job *j) {
    struct sql_lease *lease = j->lease;
    bool started;

    if (lease->broken.e.code) {
        j->error = lease->broken;
        return;
    }
    int rc = sql_conn_run(s->conn, &j->statement, &j->rows, &started, &j->error);
    if (!sql_conn_is_open(s->conn))
        err_set(&lease->broken.e, ERR_CLOSED, "the transaction's connection was lost");
    else if (rc == ERR_BUSY) /* a deadlock has ended the transaction: the next statement would be on its own */
        lease->broken = j->error;
    else if (rc == 0 && !sql_conn_in_transaction(s->conn))
        err_set(&lease->broken.e, ERR_INVALID, "a statement ended the transaction by itself (as DDL does)");
}

static void run_end(struct sql_seat *s, struct sql_job *j) {
    struct sql_lease *lease = j->lease;
    bool wanted = j->kind == SQL_JOB_COMMIT, commit = wanted && lease->broken.e.code == 0;

    if (sql_conn_is_open(s->conn) && sql_conn_end(s->conn, commit, &j->error) < 0) {
        sql_conn_close(s->conn); /* whatever is left of it ends there */
        if (!commit)
            j->error = (struct sql_error){0};
        else if (j->error.e.code == ERR_CLOSED)
            err_set(&j->error.e, ERR_CLOSED, "the connection was lost in the commit, which may have happened");
    }
    if (wanted && !commit) j->error = lease->broken;
}

static void seat_do(struct sql_seat *s, struct sql_job *j) {
    if (j->kind == SQL_JOB_BEGIN)
        run_begin(s, j);
    else if (j->kind != SQL_JOB_RUN)
        run_end(s, j);
    else if (j->lease)
        run_in_lease(s, j);
    else
        run_plain(s, j);
}

/* -- the thread ----------------------------------------------------------------------------------------------- */

static struct sql_job *next_job(struct sql_seat *s) {
    struct sql_pool *p = s->pool;
    while (!p->stop) {
        struct sql_job *j;
        if (s->lease) {
            if ((j = sql_jobs_pop(&s->lease->jobs)) != NULL) return j;
            uv_cond_wait(&s->leased_work, &p->lock);
        } else if (p->queue.head == NULL) {
            uv_cond_wait(&p->work, &p->lock);
        } else if (seat_connect(s)) {
            if ((j = sql_jobs_pop(&p->queue)) != NULL) return j; /* another seat may have been faster */
        }
    }
    return NULL;
}

void sql_seat_run(void *seat) {
    struct sql_seat *s = seat;
    struct sql_pool *p = s->pool;
    struct sql_job *j;

    mysql_thread_init();
    uv_mutex_lock(&p->lock);
    while ((j = next_job(s)) != NULL) {
        uv_mutex_unlock(&p->lock);
        seat_do(s, j);
        uv_mutex_lock(&p->lock);
        count_open(s);
        if (j->kind == SQL_JOB_BEGIN && j->error.e.code == 0) {
            s->lease = j->lease;
            s->lease->seat = s;
        } else if (j->kind == SQL_JOB_COMMIT || j->kind == SQL_JOB_ROLLBACK) {
            s->lease = NULL;
        }
        sql_job_done(p, j);
    }
    if (s->lease) s->lease->seat = NULL;
    uv_mutex_unlock(&p->lock);
    sql_conn_free(s->conn); /* an open transaction is rolled back with it */
    mysql_thread_end();
    uv_mutex_lock(&p->lock);
    if (s->counted && p->connections) metric_set(p->connections, --p->open);
    p->running--;
    uv_async_send(&p->wake);
    uv_mutex_unlock(&p->lock);
}
