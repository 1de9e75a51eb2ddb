/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: connections to one server that take statements from one queue. This file is what callers ask; a statement is
 * on its way to the server when sql_exec() returns, if a connection is free.
 *
 *     sql_exec ── queue ──────────> sql_seat.c: a connection does it ── sql_job.c: done ──> callback
 *     sql_exec(lease) ── lease's queue ─┘      └─ sql_conn.c, one call of the library after another
 *
 * Nothing here blocks, and there are no threads but for the lookup of a server's name.
 */
#include "io/sql.h"
#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sql_error.h"
#include "io/sql_pool.h"
#include "metrics/metrics.h"
#include <mysql.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS = 8,
    QUEUE_LIMIT = 4096,
    TIMEOUT_MS = 15000,
    SWEEP_MS = 100,
    CLOSE_MS = 3000, /* what runs when the pool closes has so much more time */
    VALUE_MAX = 16 * 1024 * 1024,
    PARAMS_MAX_BYTES = 48 * 1024 * 1024,
};

/* -- turns of the loop ---------------------------------------------------------------------------------------- */

static void on_turn(uv_idle_t *turn) {
    struct sql_pool *p = turn->data;
    uv_idle_stop(turn);  /* who has more to do starts it again */
    sql_jobs_deliver(p); /* first: what follows may ask for the next turn, and then nobody is told in this one */
    sql_seats_go_on(p);
    sql_pool_idle(p);
}

void sql_pool_later(struct sql_pool *p) {
    if (!p->over) uv_idle_start(&p->turn, on_turn);
}

static void on_sweep(uv_timer_t *t) {
    struct sql_pool *p = t->data;
    if (p->closing && uv_now(t->loop) >= p->close_by_ms)
        sql_seats_cancel(p);
    else
        sql_seats_sweep(p);
    sql_jobs_expire(p);
    sql_seats_feed(p);
    if (p->queue.head == NULL && !sql_seats_are_busy(p)) uv_timer_stop(&p->sweep);
    sql_pool_later(p);
}

static void watch_time(struct sql_pool *p) {
    if (!uv_is_active((uv_handle_t *)&p->sweep)) uv_timer_start(&p->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
}

/* -- asking --------------------------------------------------------------------------------------------------- */

static void refuse(struct sql_pool *p, struct sql_job *j, int code, const char *text) {
    sql_job_fail(p, j, code, text);
    sql_pool_later(p);
}

static void submit(struct sql_pool *p, struct sql_job *j) {
    if (p->closing) {
        refuse(p, j, ERR_CLOSED, "the SQL pool is closed");
    } else if (p->queue.len >= p->opts.queue_limit) {
        refuse(p, j, ERR_LIMIT, "too many statements wait; try again in a moment");
    } else {
        sql_jobs_push(&p->queue, j);
        watch_time(p);
        sql_seats_feed(p);
    }
}

static void submit_leased(struct sql_pool *p, struct sql_job *j) {
    struct sql_lease *lease = j->lease;
    if (lease->seat == NULL) {
        refuse(p, j, ERR_CLOSED, "the SQL pool is closed");
    } else if (j->kind == SQL_JOB_RUN && lease->jobs.len >= p->opts.queue_limit) {
        refuse(p, j, ERR_LIMIT, "too many statements wait in this transaction");
    } else {
        sql_jobs_push(&lease->jobs, j);
        watch_time(p);
        sql_seat_work(lease->seat);
        sql_seats_feed(p); /* it may have ended at once, and given the connection back */
    }
}

int sql_pool_waiting(const struct sql_pool *p) {
    return p->queue.len;
}

static struct sql_job *job_new(struct sql_pool *p, enum sql_job_kind kind, struct sql_lease *lease, const char *schema,
                               void *arg) {
    struct sql_job *j = sql_job_new(p);
    j->kind = kind;
    j->lease = lease;
    j->arg = arg;
    j->queued_ns = uv_hrtime();
    if (schema) j->statement.schema = arena_strndup(&j->copies, schema, strlen(schema));
    return j;
}

static int copy_params(struct sql_job *j, const struct sql_value *params, int count) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        if (params[i].type != SQL_TEXT) continue;
        bytes += params[i].len;
        if (params[i].len > VALUE_MAX || bytes > PARAMS_MAX_BYTES) return ERR_LIMIT;
    }
    struct sql_value *copy = arena_alloc(&j->copies, (size_t)count * sizeof *copy);
    for (int i = 0; i < count; i++) {
        copy[i] = params[i];
        if (copy[i].type == SQL_TEXT) copy[i].text = arena_strndup(&j->copies, params[i].text, params[i].len);
    }
    j->statement.params = copy;
    j->statement.count = count;
    return 0;
}

void sql_exec(struct sql_pool *p, struct sql_lease *lease, const char *schema, const char *text, size_t len,
              const struct sql_value *params, int count, sql_cb cb, void *arg) {
    if (schema == NULL && lease) schema = lease->schema;
    struct sql_job *j = job_new(p, SQL_JOB_RUN, lease, schema, arg);
    j->cb = cb;
    j->statement.text = arena_strndup(&j->copies, text, len);
    j->statement.len = len;
    const char *word = sql_text_refused(text, len);
    if (word)
        refuse(
            p, j, ERR_INVALID,
            arena_printf(&j->copies, "a statement cannot begin with %s: schema and transaction are the pool's", word));
    else if (copy_params(j, params, count) < 0)
        refuse(p, j, ERR_LIMIT, "a parameter is longer than 16 MiB, or all together than 48 MiB");
    else if (lease)
        submit_leased(p, j);
    else
        submit(p, j);
}

void sql_begin(struct sql_pool *p, const char *schema,
               void (*cb)(void *arg, struct sql_lease *lease, const struct sql_error *e), void *arg) {
    struct sql_lease *lease = mem_alloc(sizeof *lease);
    lease->schema = mem_strdup(schema);
    lease->next = p->leases;
    p->leases = lease;
    struct sql_job *j = job_new(p, SQL_JOB_BEGIN, lease, schema, arg);
    j->begun = cb;
    submit(p, j);
}

void sql_end(struct sql_pool *p, struct sql_lease *lease, bool commit, sql_cb cb, void *arg) {
    struct sql_job *j = job_new(p, commit ? SQL_JOB_COMMIT : SQL_JOB_ROLLBACK, lease, NULL, arg);
    j->cb = cb;
    submit_leased(p, j);
}

/* -- open and close ------------------------------------------------------------------------------------------- */

static void pool_free(struct sql_pool *p) {
    while (p->done.head) sql_jobs_deliver(p); /* whoever asks again from here is refused, and must not do so for ever */
    while (p->leases) {
        struct sql_lease *lease = p->leases;
        p->leases = lease->next;
        free(lease->schema);
        free(lease);
    }
    sql_jobs_free_spare(p);
    free(p->seats);
    free((char *)p->opts.name);
    free((char *)p->opts.socket);
    free((char *)p->opts.host);
    free((char *)p->opts.user);
    free((char *)p->opts.password);
    void (*closed)(void *arg) = p->closed;
    void *arg = p->closed_arg;
    free(p);
    if (closed) closed(arg);
}

static void on_gone(void *arg) {
    struct sql_pool *p = arg;
    if (--p->handles == 0) pool_free(p);
}

static void on_handle_closed(uv_handle_t *h) {
    on_gone(h->data);
}

void sql_pool_idle(struct sql_pool *p) {
    if (!p->closing || p->over || p->done.head || sql_seats_are_busy(p)) return;
    p->over = true;
    uv_close((uv_handle_t *)&p->turn, on_handle_closed);
    uv_close((uv_handle_t *)&p->sweep, on_handle_closed);
    uv_close((uv_handle_t *)&p->retry, on_handle_closed);
    for (int i = 0; i < p->opts.connections; i++) sql_conn_free(p->seats[i].conn, on_gone, p);
}

static void measure(struct sql_pool *p, struct metrics *m) {
    static const char total[] = "sql_statements_total", help[] = "SQL statements by how they ended.";
    struct buf labels = {0};
    if (m == NULL) return;
    buf_add_str(&labels, "server=\"");
    str_json(&labels, p->opts.name, strlen(p->opts.name));
    buf_add_str(&labels, "\"");
    p->seconds = metrics_histogram(m, "sql_seconds", labels.data, "Time from asking to the answer, with waiting.");
    p->waiting = metrics_gauge(m, "sql_waiting", labels.data, "Statements that wait for a connection.");
    p->connections = metrics_gauge(m, "sql_connections", labels.data, "Open SQL connections.");
    char *ok = mem_printf("result=\"ok\",%s", labels.data), *error = mem_printf("result=\"error\",%s", labels.data);
    p->ok = metrics_counter(m, total, ok, help);
    p->errors = metrics_counter(m, total, error, help);
    free(ok);
    free(error);
    buf_free(&labels);
}

static uv_once_t library_once = UV_ONCE_INIT;
static void library_begin(void) {
    if (mysql_library_init(0, NULL, NULL)) abort();
}

int sql_pool_open(struct sql_pool **out, uv_loop_t *loop, const struct sql_opts *o, struct metrics *m, struct err *e) {
    if (o->socket == NULL && o->host == NULL) return err_set(e, ERR_INVALID, "neither a socket nor a host is given");
    if (o->connections < 0 || o->connections > 256 || o->queue_limit < 0 || o->statement_timeout_ms < 0)
        return err_set(e, ERR_INVALID, "connections, queue limit or timeout make no sense");
    uv_once(&library_once, library_begin);

    struct sql_pool *p = mem_alloc(sizeof *p);
    p->opts = *o;
    p->opts.name = mem_strdup(o->name ? o->name : "main");
    p->opts.socket = mem_strdup(o->socket);
    p->opts.host = mem_strdup(o->host);
    p->opts.user = mem_strdup(o->user);
    p->opts.password = mem_strdup(o->password);
    if (o->connections == 0) p->opts.connections = CONNECTIONS;
    if (o->queue_limit == 0) p->opts.queue_limit = QUEUE_LIMIT;
    if (o->statement_timeout_ms == 0) p->opts.statement_timeout_ms = TIMEOUT_MS;
    measure(p, m);
    uv_idle_init(loop, &p->turn);
    uv_timer_init(loop, &p->sweep);
    uv_timer_init(loop, &p->retry);
    p->turn.data = p->sweep.data = p->retry.data = p;
    p->seats = mem_alloc((size_t)p->opts.connections * sizeof *p->seats);
    for (int i = 0; i < p->opts.connections; i++) sql_seat_init(p, &p->seats[i], loop);
    p->handles = 3 + p->opts.connections;
    *out = p;
    return 0;
}

void sql_pool_close(struct sql_pool *p, void (*closed)(void *arg), void *arg) {
    struct sql_job *j;
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    p->close_by_ms = uv_now(p->sweep.loop) + CLOSE_MS;
    uv_timer_stop(&p->retry);
    while ((j = sql_jobs_pop(&p->queue)) != NULL) sql_job_fail(p, j, ERR_CANCELLED, "the SQL pool is closed");
    sql_seats_close(p);
    watch_time(p);
    sql_pool_later(p);
}
