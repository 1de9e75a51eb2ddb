/* SPDX-License-Identifier: Apache-2.0 */
/* The pool: one thread a connection, one queue for whoever is free, one queue for each connection that is leased.
 *
 *   loop: sql_exec ──> queue ──> thread: blocking call ──> done list ──(uv_async)──> loop: callback
 */
#include "io/sql.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/sql_connection.h"
#include "metrics/metrics.h"
#include <mysql.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>

enum { CONNECTIONS_STANDARD = 8, QUEUE_STANDARD = 4096, TIMEOUT_STANDARD_MS = 15000 };

enum request_kind { REQUEST_EXEC, REQUEST_BEGIN, REQUEST_END };

struct request {
    struct request *next;
    enum request_kind kind;
    struct sql_lease *lease;
    char *schema; /* NULL: none */
    char *text;
    size_t len;
    struct sql_value *params; /* texts in arena */
    int count;
    bool commit;
    struct arena arena;
    sql_cb cb;
    void (*begin_cb)(void *arg, struct sql_lease *lease, const struct sql_error *e);
    void *arg;
    struct sql_answer answer;
    uint64_t asked_us;
};

struct queue {
    struct request *first, **last;
    int len;
};

struct sql_lease {
    struct worker *worker;
};

struct worker {
    pthread_t thread;
    struct sql_pool *pool;
    struct sql_connection *connection;
    struct sql_lease lease;
    struct queue queue; /* of its lease */
    bool leased;
    pthread_cond_t wake;
};

struct sql_pool {
    uv_loop_t *loop;
    struct sql_opts o;
    char *strings[5]; /* what o's pointers point to */
    struct worker *workers;
    int count;
    pthread_mutex_t lock; /* guards everything below */
    struct queue queue, done;
    bool closing;
    uv_async_t async;
    void (*closed)(void *arg);
    void *closed_arg;
    int pending; /* loop thread only: requests without their callback */
    struct metric *seconds, *failures;
};

static void queue_init(struct queue *q) {
    q->first = NULL;
    q->last = &q->first;
    q->len = 0;
}

static void queue_push(struct queue *q, struct request *r) {
    r->next = NULL;
    *q->last = r;
    q->last = &r->next;
    q->len++;
}

static struct request *queue_pop(struct queue *q) {
    struct request *r = q->first;

    if (r == NULL) return NULL;
    q->first = r->next;
    if (q->first == NULL) q->last = &q->first;
    q->len--;
    return r;
}

/* -- threads ------------------------------------------------------------------------------------------------------------ */

static void request_do(struct worker *w, struct request *r) {
    switch (r->kind) {
    case REQUEST_EXEC:
        sql_connection_exec(w->connection, r->lease != NULL, r->schema, r->text, r->len, r->params, r->count, &r->answer);
        break;
    case REQUEST_BEGIN:
        sql_connection_begin(w->connection, r->schema, &r->answer);
        break;
    case REQUEST_END:
        sql_connection_end(w->connection, r->commit, &r->answer);
        break;
    }
}

static void *worker_main(void *arg) {
    struct worker *w = arg;
    struct sql_pool *p = w->pool;
    sigset_t all;

    sigfillset(&all); /* signals are the loop's */
    pthread_sigmask(SIG_BLOCK, &all, NULL);
    mysql_thread_init();
    pthread_mutex_lock(&p->lock);
    for (;;) {
        struct request *r = w->leased ? queue_pop(&w->queue) : queue_pop(&p->queue);
        if (r == NULL) {
            if (p->closing && !w->leased) break;
            pthread_cond_wait(&w->wake, &p->lock);
            continue;
        }
        if (r->kind == REQUEST_BEGIN) {
            w->leased = true;
            r->lease = &w->lease;
        }
        pthread_mutex_unlock(&p->lock);
        request_do(w, r);
        pthread_mutex_lock(&p->lock);
        if (r->kind == REQUEST_END || (r->kind == REQUEST_BEGIN && r->answer.error.e.code != 0)) w->leased = false;
        queue_push(&p->done, r);
        uv_async_send(&p->async);
    }
    pthread_mutex_unlock(&p->lock);
    mysql_thread_end();
    return NULL;
}

/* -- the loop's side ------------------------------------------------------------------------------------------------------ */

static void request_free(struct request *r) {
    arena_free(&r->arena);
    arena_free(&r->answer.arena);
    free(r);
}

static void request_over(struct sql_pool *p, struct request *r) {
    const struct sql_error *e = r->answer.error.e.code != 0 ? &r->answer.error : NULL;

    if (p->seconds != NULL) metric_observe(p->seconds, (double)(clock_mono_us() - r->asked_us) / 1e6);
    if (e != NULL && p->failures != NULL && e->e.code != ERR_EXISTS) metric_add(p->failures, 1);
    p->pending--;
    if (r->kind == REQUEST_BEGIN)
        r->begin_cb(r->arg, e == NULL ? r->lease : NULL, e);
    else if (r->cb != NULL)
        r->cb(r->arg, e == NULL ? &r->answer.result : NULL, e);
    request_free(r);
}

static void pool_free(struct sql_pool *p) {
    for (int i = 0; i < 5; i++) free(p->strings[i]);
    pthread_mutex_destroy(&p->lock);
    free(p->workers);
    free(p);
}

static void on_async_closed(uv_handle_t *h) {
    struct sql_pool *p = h->data;
    void (*closed)(void *arg) = p->closed;
    void *arg = p->closed_arg;

    pool_free(p);
    if (closed != NULL) closed(arg);
}

static void on_async(uv_async_t *h) {
    struct sql_pool *p = h->data;
    struct queue done;
    struct request *r;

    pthread_mutex_lock(&p->lock);
    done = p->done;
    if (done.first == NULL) done.last = &done.first;
    queue_init(&p->done);
    pthread_mutex_unlock(&p->lock);
    while ((r = done.first) != NULL) {
        done.first = r->next;
        request_over(p, r);
    }
    if (p->closing && p->pending == 0 && !uv_is_closing((uv_handle_t *)h)) {
        for (int i = 0; i < p->count; i++) {
            pthread_join(p->workers[i].thread, NULL);
            sql_connection_free(p->workers[i].connection);
            pthread_cond_destroy(&p->workers[i].wake);
        }
        uv_close((uv_handle_t *)h, on_async_closed);
    }
}

static void library_init(void) { mysql_library_init(0, NULL, NULL); }

static char *keep(struct sql_pool *p, int i, const char *text) { return p->strings[i] = mem_strdup(text); }

int sql_pool_open(struct sql_pool **out, uv_loop_t *loop, const struct sql_opts *o, struct metrics *m, struct err *e) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct sql_pool *p;

    if (o->socket == NULL && o->host == NULL) return err_set(e, ERR_INVALID, "SQL server %s: neither socket nor host is given", o->name);
    pthread_once(&once, library_init);
    p = mem_alloc(sizeof *p);
    p->loop = loop;
    p->o = *o;
    p->o.name = keep(p, 0, o->name == NULL ? "main" : o->name);
    p->o.socket = keep(p, 1, o->socket);
    p->o.host = keep(p, 2, o->host);
    p->o.user = keep(p, 3, o->user);
    p->o.password = keep(p, 4, o->password);
    if (p->o.queue_limit <= 0) p->o.queue_limit = QUEUE_STANDARD;
    if (p->o.statement_timeout_ms <= 0) p->o.statement_timeout_ms = TIMEOUT_STANDARD_MS;
    p->count = o->connections > 0 ? o->connections : CONNECTIONS_STANDARD;
    if (m != NULL) {
        p->seconds = metrics_histogram(m, "sql_seconds", "", "time from asking to the answer, queue included");
        p->failures = metrics_counter(m, "sql_failures_total", "", "statements that failed, duplicates not counted");
    }
    pthread_mutex_init(&p->lock, NULL);
    queue_init(&p->queue);
    queue_init(&p->done);
    uv_async_init(loop, &p->async, on_async);
    p->async.data = p;
    p->workers = mem_alloc((size_t)p->count * sizeof *p->workers);
    for (int i = 0; i < p->count; i++) {
        struct worker *w = &p->workers[i];
        w->pool = p;
        w->lease.worker = w;
        w->connection = sql_connection_new(&p->o);
        queue_init(&w->queue);
        pthread_cond_init(&w->wake, NULL);
        if (pthread_create(&w->thread, NULL, worker_main, w) != 0) abort(); /* no threads: nothing can be done */
    }
    *out = p;
    return 0;
}

static void wake_all(struct sql_pool *p) {
    for (int i = 0; i < p->count; i++) pthread_cond_signal(&p->workers[i].wake);
}

void sql_pool_close(struct sql_pool *p, void (*closed)(void *arg), void *arg) {
    pthread_mutex_lock(&p->lock);
    p->closing = true;
    p->closed = closed;
    p->closed_arg = arg;
    wake_all(p);
    pthread_mutex_unlock(&p->lock);
    uv_async_send(&p->async);
}

static void refuse(struct sql_pool *p, struct request *r) {
    err_set(&r->answer.error.e, p->closing ? ERR_CLOSED : ERR_LIMIT,
            p->closing ? "the SQL pool is closing" : "%d statements wait for the database already; try again in a moment", p->queue.len);
    queue_push(&p->done, r);
    uv_async_send(&p->async);
}

static void submit(struct sql_pool *p, struct request *r) {
    struct worker *w = r->lease == NULL ? NULL : r->lease->worker;

    r->asked_us = clock_mono_us();
    p->pending++;
    pthread_mutex_lock(&p->lock);
    if (w != NULL) {
        queue_push(&w->queue, r);
        pthread_cond_signal(&w->wake);
    } else if (p->closing || p->queue.len >= p->o.queue_limit) {
        refuse(p, r);
    } else {
        queue_push(&p->queue, r);
        wake_all(p); /* a few threads: whoever is free takes it */
    }
    pthread_mutex_unlock(&p->lock);
}

void sql_exec(struct sql_pool *p, struct sql_lease *lease, const char *schema, const char *text, size_t len,
              const struct sql_value *params, int count, sql_cb cb, void *arg) {
    struct request *r = mem_alloc(sizeof *r);

    r->kind = REQUEST_EXEC;
    r->lease = lease;
    if (schema != NULL) r->schema = arena_strndup(&r->arena, schema, strlen(schema));
    r->text = arena_strndup(&r->arena, text, len);
    r->len = len;
    r->params = arena_alloc(&r->arena, (size_t)(count + 1) * sizeof *params);
    for (int i = 0; i < count; i++) {
        r->params[i] = params[i];
        if (params[i].type == SQL_TEXT) r->params[i].text = arena_strndup(&r->arena, params[i].text, params[i].len);
    }
    r->count = count;
    r->cb = cb;
    r->arg = arg;
    submit(p, r);
}

void sql_begin(struct sql_pool *p, const char *schema, void (*cb)(void *arg, struct sql_lease *lease, const struct sql_error *e),
               void *arg) {
    struct request *r = mem_alloc(sizeof *r);

    r->kind = REQUEST_BEGIN;
    r->schema = arena_strndup(&r->arena, schema, strlen(schema));
    r->begin_cb = cb;
    r->arg = arg;
    submit(p, r);
}

void sql_end(struct sql_pool *p, struct sql_lease *lease, bool commit, sql_cb cb, void *arg) {
    struct request *r = mem_alloc(sizeof *r);

    r->kind = REQUEST_END;
    r->lease = lease;
    r->commit = commit;
    r->cb = cb;
    r->arg = arg;
    submit(p, r);
}
