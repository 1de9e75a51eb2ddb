/* SPDX-License-Identifier: Apache-2.0 */
/* What the pool's files share: sql.c (what callers ask), sql_seat.c (which connection does what), sql_job.c (what waits and
 * what has ended). All on the loop thread.
 */
#pragma once
#include "io/sql_conn.h"
#include <uv.h>

enum sql_job_kind { SQL_JOB_RUN = 0, SQL_JOB_BEGIN, SQL_JOB_COMMIT, SQL_JOB_ROLLBACK };

/* Belongs to the list it is in, and to the seat while it runs. */
struct sql_job {
    struct sql_job *next;
    enum sql_job_kind kind;
    int passed;          /* how many behind it were taken first */
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
    struct sql_lease *next; /* in the pool's list */
    char *schema;
    struct sql_seat *seat; /* NULL before it begins and once the pool closes */
    struct sql_jobs jobs;
    bool answered;           /* a statement of it; before that a lost connection has taken nothing with it */
    struct sql_error broken; /* why nothing but an end is possible; e.code 0: sound */
};

/* A connection's place in the pool. */
struct sql_seat {
    struct sql_pool *pool;
    struct sql_conn *conn;
    void (*then)(struct sql_seat *s, int rc); /* what the connection's operation is for; NULL: it has none */
    struct sql_job *job;                      /* being done */
    bool again;                               /* for the second time */
    struct sql_lease *lease;
    bool rests;    /* until the next turn of the loop: it has done many jobs in a row */
    uint64_t used; /* when it was last busy; larger is later */
    bool counted;  /* in the pool's open */
};

struct sql_pool {
    struct sql_opts opts; /* strings ours */
    struct sql_seat *seats;
    uint64_t uses;
    struct sql_lease *leases; /* all that have not ended */
    struct sql_jobs queue, done;
    struct sql_job *spare; /* jobs that have ended, with their memory for the next */
    int spares;
    uv_idle_t turn;   /* runs while something is left for the next turn of the loop */
    uv_timer_t sweep; /* runs while something waits */
    uv_timer_t retry; /* runs between two attempts to connect */
    int handles;
    int open;                 /* connections */
    struct sql_seat *opening; /* one at a time */
    struct sql_error error;   /* of the attempt */
    unsigned failures;        /* to connect, in a row */
    struct sql_error away;    /* why the last attempt failed */
    bool told;                /* the log, that the server is away */
    bool closing, over;       /* over: its handles are closed too */
    uint64_t close_by_ms;
    void (*closed)(void *arg);
    void *closed_arg;
    struct metric *ok, *errors, *seconds, *waiting, *connections; /* NULL without metrics */
};

/* -- sql_job.c */
struct sql_job *sql_job_new(struct sql_pool *p);
void sql_jobs_free_spare(struct sql_pool *p);
void sql_jobs_push(struct sql_jobs *l, struct sql_job *j);
struct sql_job *sql_jobs_pop(struct sql_jobs *l); /* NULL when empty */
/* The first of this kind among the first few, or else the first. One that was passed over some times goes first. */
struct sql_job *sql_jobs_pop_kind(struct sql_jobs *l, enum sql_job_kind kind);
/* A job has ended; its caller is told later. */
void sql_job_done(struct sql_pool *p, struct sql_job *j);
void sql_job_fail(struct sql_pool *p, struct sql_job *j, int code, const char *text);
/* Tells the callers of a bounded number of jobs, the rest in the next turn. Never inside what a caller called. */
void sql_jobs_deliver(struct sql_pool *p);
void sql_jobs_expire(struct sql_pool *p); /* those that have waited too long for a connection */

/* -- sql_seat.c */
void sql_seat_init(struct sql_pool *p, struct sql_seat *s, uv_loop_t *loop);
void sql_seat_work(struct sql_seat *s);  /* there is a job for it */
void sql_seats_feed(struct sql_pool *p); /* there are jobs in the queue */
void sql_seats_sweep(struct sql_pool *p);
void sql_seats_go_on(struct sql_pool *p);
bool sql_seats_are_busy(const struct sql_pool *p);
void sql_seats_close(struct sql_pool *p); /* those that are busy when they have done their job */
void sql_seats_cancel(struct sql_pool *p);

/* -- sql.c */
void sql_pool_later(struct sql_pool *p); /* something is left for the next turn */
void sql_pool_idle(struct sql_pool *p);  /* nothing may be left, now that the pool closes */
