/* SPDX-License-Identifier: Apache-2.0 */
/* The pool. A seat is a thread with its connection; free seats take jobs from one queue, a leased seat takes only those
 * of its lease. Whatever has ended goes to one list, which the loop empties.
 *
 *     loop: sql_exec -> queue ------> seat: connect if need be, take, run -> done -> loop: callback
 *           sql_exec(lease) -> lease's queue -> its seat
 *
 * A seat connects before it takes a job, so while the server is away jobs wait in the queue, where the loop finds
 * those that have waited too long.
 */
#include "io/sql.h"
#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sql_error.h"
#include "io/sql_seat.h"
#include "metrics/metrics.h"
#include <mysql.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECTIONS = 8,
    QUEUE_LIMIT = 4096,
    TIMEOUT_MS = 15000,
    AWAY_MS = 3000, /* how long a job waits for a server that is away */
    SWEEP_MS = 100,
    VALUE_MAX = 16 * 1024 * 1024,
    PARAMS_MAX_BYTES = 48 * 1024 * 1024,
};

/* -- what has ended ------------------------------------------------------------------------------------------- */

static void lease_free(struct sql_pool *p, struct sql_lease *lease) {
    struct sql_lease **at = &p->leases;
    while (*at && *at != lease) at = &(*at)->next;
    if (*at) *at = lease->next;
    free(lease->schema);
    free(lease);
}

static void job_deliver(struct sql_pool *p, struct sql_job *j) {
    const struct sql_error *e = j->error.e.code ? &j->error : NULL;
    struct metric *counter = e ? p->errors : p->ok;

    if (counter) metric_add(counter, 1);
    if (p->seconds) metric_observe(p->seconds, (double)(uv_hrtime() - j->queued_ns) / 1e9);
    if (j->kind == SQL_JOB_BEGIN) {
        if (e == NULL && p->closing) { /* its seat ends without asking */
            err_set(&j->error.e, ERR_CLOSED, "the SQL pool is closed");
            e = &j->error;
        }
        struct sql_lease *lease = j->lease;
        if (e && !p->closing) lease_free(p, lease);
        j->begun(j->arg, e ? NULL : lease, e);
    } else {
        if (j->kind != SQL_JOB_RUN && !p->closing) lease_free(p, j->lease); /* a closing seat may still look at it */
        if (j->cb) j->cb(j->arg, e ? NULL : &j->rows.result, e);
    }
    arena_free(&j->copies);
    arena_free(&j->rows.arena);
    free(j);
}

static void deliver(struct sql_pool *p) {
    struct sql_job *j;
    uv_mutex_lock(&p->lock);
    struct sql_jobs done = p->done;
    p->done = (struct sql_jobs){0};
    if (p->waiting) metric_set(p->waiting, p->queue.len);
    uv_mutex_unlock(&p->lock);
    while ((j = sql_jobs_pop(&done)) != NULL) job_deliver(p, j);
}

/* With the lock. */
static void job_fail(struct sql_pool *p, struct sql_job *j, int code, const char *text) {
    err_set(&j->error.e, code, "%s", text);
    sql_job_done(p, j);
}

/* -- asking --------------------------------------------------------------------------------------------------- */

/* Ends jobs that have waited too long. The queue is in the order of time, so only its head needs a look. */
static void on_sweep(uv_timer_t *t) {
    struct sql_pool *p = t->data;
    uint64_t now = uv_hrtime();

    uv_mutex_lock(&p->lock);
    while (p->queue.head) {
        uint64_t waited_ms = (now - p->queue.head->queued_ns) / 1000000;
        bool away = p->open == 0 && p->away.e.code != 0;
        if (waited_ms < (uint64_t)p->opts.statement_timeout_ms && !(away && waited_ms >= AWAY_MS)) break;
        struct sql_job *j = sql_jobs_pop(&p->queue);
        if (away) {
            j->error = p->away;
            sql_job_done(p, j);
        } else {
            job_fail(p, j, ERR_TIMEOUT, "no connection was free in time");
        }
    }
    if (p->queue.head == NULL) uv_timer_stop(&p->sweep);
    uv_mutex_unlock(&p->lock);
}

static void refuse(struct sql_pool *p, struct sql_job *j, int code, const char *text) {
    uv_mutex_lock(&p->lock);
    job_fail(p, j, code, text);
    uv_mutex_unlock(&p->lock);
}

static void submit(struct sql_pool *p, struct sql_job *j) {
    uv_mutex_lock(&p->lock);
    if (p->stop) {
        job_fail(p, j, ERR_CLOSED, "the SQL pool is closed");
    } else if (p->queue.len >= p->opts.queue_limit) {
        job_fail(p, j, ERR_LIMIT, "too many statements wait; try again in a moment");
    } else {
        sql_jobs_push(&p->queue, j);
        uv_cond_signal(&p->work);
        if (!uv_is_active((uv_handle_t *)&p->sweep)) uv_timer_start(&p->sweep, on_sweep, SWEEP_MS, SWEEP_MS);
    }
    uv_mutex_unlock(&p->lock);
}

static void submit_leased(struct sql_pool *p, struct sql_job *j) {
    struct sql_lease *lease = j->lease;
    uv_mutex_lock(&p->lock);
    if (lease->seat == NULL || p->stop) {
        job_fail(p, j, ERR_CLOSED, "the SQL pool is closed");
    } else if (j->kind == SQL_JOB_RUN && lease->jobs.len >= p->opts.queue_limit) {
        job_fail(p, j, ERR_LIMIT, "too many statements wait in this transaction");
    } else {
        sql_jobs_push(&lease->jobs, j);
        uv_cond_signal(&lease->seat->leased_work);
    }
    uv_mutex_unlock(&p->lock);
}

static struct sql_job *job_new(enum sql_job_kind kind, struct sql_lease *lease, const char *schema, void *arg) {
    struct sql_job *j = mem_alloc(sizeof *j);
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
    struct sql_job *j = job_new(SQL_JOB_RUN, lease, schema, arg);
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
    struct sql_job *j = job_new(SQL_JOB_BEGIN, lease, schema, arg);
    j->begun = cb;
    submit(p, j);
}

void sql_end(struct sql_pool *p, struct sql_lease *lease, bool commit, sql_cb cb, void *arg) {
    struct sql_job *j = job_new(commit ? SQL_JOB_COMMIT : SQL_JOB_ROLLBACK, lease, NULL, arg);
    j->cb = cb;
    submit_leased(p, j);
}

/* -- open and close ------------------------------------------------------------------------------------------- */

static void pool_free(struct sql_pool *p) {
    while (p->done.head) deliver(p); /* whoever asks again from here is refused, and must not do so for ever */
    while (p->leases) lease_free(p, p->leases);
    for (int i = 0; i < p->opts.connections; i++) uv_cond_destroy(&p->seats[i].leased_work);
    free(p->seats);
    uv_cond_destroy(&p->work);
    uv_cond_destroy(&p->stopping);
    uv_mutex_destroy(&p->lock);
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

static void on_handle_closed(uv_handle_t *h) {
    struct sql_pool *p = h->data;
    if (--p->handles == 0) pool_free(p);
}

static void on_wake(uv_async_t *async) {
    struct sql_pool *p = async->data;
    struct sql_job *j;

    deliver(p);
    uv_mutex_lock(&p->lock);
    bool over = p->stop && p->running == 0;
    uv_mutex_unlock(&p->lock);
    if (!over || uv_is_closing((uv_handle_t *)&p->wake)) return;
    for (int i = 0; i < p->opts.connections; i++) uv_thread_join(&p->seats[i].thread);
    for (struct sql_lease *l = p->leases; l; l = l->next)
        while ((j = sql_jobs_pop(&l->jobs)) != NULL) refuse(p, j, ERR_CANCELLED, "the SQL pool is closed");
    uv_close((uv_handle_t *)&p->wake, on_handle_closed);
    uv_close((uv_handle_t *)&p->sweep, on_handle_closed);
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
    uv_once(&library_once, library_begin); /* before there are threads */

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
    if (uv_mutex_init(&p->lock) || uv_cond_init(&p->work) || uv_cond_init(&p->stopping)) abort();
    uv_async_init(loop, &p->wake, on_wake);
    uv_timer_init(loop, &p->sweep);
    p->handles = 2;
    p->wake.data = p;
    p->sweep.data = p;
    p->seats = mem_alloc((size_t)p->opts.connections * sizeof *p->seats);
    p->running = p->opts.connections;

    sigset_t all, before;
    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, &before);
    for (int i = 0; i < p->opts.connections; i++) {
        struct sql_seat *s = &p->seats[i];
        s->pool = p;
        s->conn = sql_conn_new(&p->opts);
        if (uv_cond_init(&s->leased_work) || uv_thread_create(&s->thread, sql_seat_run, s)) abort();
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    *out = p;
    return 0;
}

void sql_pool_close(struct sql_pool *p, void (*closed)(void *arg), void *arg) {
    struct sql_job *j;
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    uv_timer_stop(&p->sweep);
    uv_mutex_lock(&p->lock);
    p->stop = true;
    while ((j = sql_jobs_pop(&p->queue)) != NULL) job_fail(p, j, ERR_CANCELLED, "the SQL pool is closed");
    uv_cond_broadcast(&p->work);
    uv_cond_broadcast(&p->stopping);
    for (int i = 0; i < p->opts.connections; i++) uv_cond_signal(&p->seats[i].leased_work);
    uv_async_send(&p->wake);
    uv_mutex_unlock(&p->lock);
}
