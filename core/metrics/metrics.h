/* SPDX-License-Identifier: Apache-2.0 */
/* Counters, gauges and histograms in one shared page, readable by every process of this host.
 *
 * The master maps the page (memfd) before it forks workers and passes the fd on; worker N writes to its own column,
 * exposition sums the columns (gauges: sum too), so /metrics answers for the whole host from any worker.
 * A series = name + sorted label set; it is found by hash, made on first use under a process-shared lock, never removed.
 * When the page is full new series go to metrics_dropped_total. Adding is lock free. Thread safe.
 * Exposition format: Prometheus text 0.0.4.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include <stdint.h>

struct metrics;
/* fd -1: makes the page (memfd) for columns processes. column: which one this process writes. */
int metrics_open(struct metrics **out, int fd, int columns, int column, struct err *e);
int metrics_fd(const struct metrics *m);
void metrics_close(struct metrics *m);

struct metric; /* a handle to a series in this process's column; stays valid until metrics_close */
/* labels: "tenant=\"acme\",kind=\"call\"" (already escaped) or "". help is kept from the first use of the name. */
struct metric *metrics_counter(struct metrics *m, const char *name, const char *labels, const char *help);
struct metric *metrics_gauge(struct metrics *m, const char *name, const char *labels, const char *help);
/* Bounds: 16 fixed exponential buckets 0.001 .. 32.768 (seconds) and +Inf. */
struct metric *metrics_histogram(struct metrics *m, const char *name, const char *labels, const char *help);
void metric_add(struct metric *s, double n);
void metric_set(struct metric *s, double n);
void metric_observe(struct metric *s, double value);
double metric_value(const struct metric *s);              /* this column only */
void metrics_reset_column(struct metrics *m, int column); /* gauges of a dead worker go to 0; counters stay */
void metrics_write(struct metrics *m, struct buf *out);   /* the exposition */

/* Heartbeats: one per worker loop and one per media thread, in the same page. */
enum beat { BEAT_LOOP = 0, BEAT_MEDIA = 1 };
struct heartbeat {
    uint64_t at_ms, cpu_ms; /* monotonic; CPU time of the thread by then */
    int thread;             /* its kernel id */
};
void metrics_beat(struct metrics *m, enum beat which); /* the calling thread's, now */
struct heartbeat metrics_last_beat(const struct metrics *m, int column, enum beat which); /* zeros: none yet */
