/* SPDX-License-Identifier: Apache-2.0 */
/* What the pool (sql.c, loop thread) and its seats (sql_seat.c, a thread each) share, and under which lock. */
#pragma once
#include "io/sql_conn.h"
#include <uv.h>

enum sql_job_kind { SQL_JOB_RUN = 0, SQL_JOB_BEGIN, SQL_JOB_COMMIT, SQL_JOB_ROLLBACK };

/* Belongs to the list it is in, and to the seat while it runs. */
struct sql_job {
    struct sql_job *next;
    enum sql_job_kind kind;
    struct arena copies; /* of the statement */
    struct sql_statement statement;
    struct sql_lease *lease; /* NULL: any connection */
    uint64_t queued_ns;
    sql_cb cb; /* may be NULL */
    void (*begun)(void *arg, struct sql_lease *lease, const struct sql_error *e);
    void *arg;
    struct sql_rows rows;
    struct sql_error error; /* e.code 0: it worked */
};
struct sql_jobs {
    struct sql_job *head, *tail;
    int len;
};

struct sql_lease {
    struct sql_lease *next; /* in the pool's list; loop thread */
    char *schema;
    struct sql_seat *seat;   /* NULL before it begins and once the pool stops; under the lock */
    struct sql_jobs jobs;    /* under the lock */
    struct sql_error broken; /* why nothing but an end is possible; e.code 0: sound. The seat's thread */
};

struct sql_seat {
    struct sql_pool *pool;
    uv_thread_t thread;
    struct sql_conn *conn; /* its thread's */
    unsigned failures;     /* to connect, in a row; its thread's */
    uv_cond_t leased_work;
    struct sql_lease *lease; /* under the lock */
    bool counted;            /* in the pool's open; under the lock */
};

struct sql_pool {
    struct sql_opts opts; /* strings ours */
    struct sql_seat *seats;
    struct sql_lease *leases; /* all that have not ended; loop thread, as what follows */
    uv_async_t wake;
    uv_timer_t sweep;
    int handles;
    bool closing;
    void (*closed)(void *arg);
    void *closed_arg;
    struct metric *ok, *errors, *seconds, *waiting, *connections; /* NULL without metrics; any thread */

    uv_mutex_t lock; /* of what follows */
    uv_cond_t work, stopping;
    struct sql_jobs queue, done;
    bool stop;
    int running, open;     /* threads, connections */
    struct sql_error away; /* why the last attempt to connect failed */
    bool told;             /* the log, that the server is away */
};

void sql_jobs_push(struct sql_jobs *l, struct sql_job *j);
struct sql_job *sql_jobs_pop(struct sql_jobs *l); /* NULL when empty */
/* Hands a job that has ended to the loop. With the lock. */
void sql_job_done(struct sql_pool *p, struct sql_job *j);
/* The thread of a struct sql_seat, until the pool stops. */
void sql_seat_run(void *seat);
