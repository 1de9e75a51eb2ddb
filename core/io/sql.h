/* SPDX-License-Identifier: Apache-2.0 */
/* SQL over MariaDB Connector/C's non-blocking calls: a pool of connections per server, opened as they are needed.
 *
 * Parameters are always bound (binary protocol prepared statements, cached per connection by (schema, text), LRU 64).
 * A connection remembers its schema and changes it only when needed. utf8mb4, UTC, READ COMMITTED, strict mode,
 * no multi-statements. A connection that is lost is opened again: a plain statement that did not start is retried once;
 * so is a transaction's first one, even if it did start when it is SELECT, INSERT, UPDATE, DELETE or REPLACE, which
 * commit nothing by themselves. A later statement of a transaction fails with ERR_CLOSED.
 * Threads    Loop thread only; callbacks come on the loop, in any order between connections.
 */
#pragma once
#include "base/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

enum sql_type { SQL_NULL = 0, SQL_INT, SQL_DOUBLE, SQL_TEXT }; /* TEXT: any bytes; decimals, dates, times as text */
struct sql_value {
    enum sql_type type;
    int64_t integer; /* BIGINT UNSIGNED above INT64_MAX is an error, never wrapped */
    double number;
    const char *text;
    size_t len;
};
struct sql_result {
    int columns; /* 0 for a statement without rows */
    const char *const *names;
    size_t rows;
    const struct sql_value *values; /* rows * columns, row by row */
    uint64_t affected;
    uint64_t insert_id;
};
/* e.code: ERR_EXISTS duplicate key (1062), ERR_BUSY deadlock, lock wait, lock table full (1213, 1205, 1206), ERR_INVALID
 * syntax and data errors, ERR_CLOSED connection lost, ERR_LIMIT queue full, ERR_TIMEOUT */
struct sql_error {
    struct err e;
    unsigned number; /* MySQL's errno, 0 when not from the server */
};

struct sql_pool;
struct sql_lease; /* one connection held for a transaction */
struct metrics;
struct sql_opts {
    const char *name;   /* of the server: "main" */
    const char *socket; /* unix socket, or NULL */
    const char *host;
    int port;
    const char *user, *password;
    int connections;          /* at most; default 8 */
    int queue_limit;          /* statements waiting; default 4096, then ERR_LIMIT */
    int statement_timeout_ms; /* default 15000 */
};
typedef void (*sql_cb)(void *arg, const struct sql_result *r,
                       const struct sql_error *e); /* r NULL on error; borrowed */

int sql_pool_open(struct sql_pool **out, uv_loop_t *loop, const struct sql_opts *o, struct metrics *m, struct err *e);
void sql_pool_close(struct sql_pool *p, void (*closed)(void *arg), void *arg);
/* lease NULL: any connection. schema NULL: none selected (only without lease). Copies text and parameters. */
void sql_exec(struct sql_pool *p, struct sql_lease *lease, const char *schema, const char *text, size_t len,
              const struct sql_value *params, int count, sql_cb cb, void *arg);
/* Waits for a connection, selects schema and starts a transaction. lease NULL on error. */
void sql_begin(struct sql_pool *p, const char *schema,
               void (*cb)(void *arg, struct sql_lease *lease, const struct sql_error *e), void *arg);
/* Ends the transaction and gives the connection back (the lease is gone once called). */
void sql_end(struct sql_pool *p, struct sql_lease *lease, bool commit, sql_cb cb, void *arg);
/* How many wait for a connection now. */
int sql_pool_waiting(const struct sql_pool *p);
