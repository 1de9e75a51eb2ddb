/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking connection of a pool: opens, remembers its schema and its prepared statements, runs one thing at a time.
 *
 * Ownership  Everything of a result lies in the rows' arena; whoever has the rows frees that.
 * Threads    One thread only, that has called mysql_thread_init(). Never the loop's.
 * Errors     0 or a negative err_code with *e filled in. After an error look at sql_conn_is_open().
 */
#pragma once
#include "base/arena.h"
#include "io/sql.h"

struct sql_rows {
    struct arena arena;
    struct sql_result result;
};
struct sql_statement {
    const char *schema; /* NULL: none */
    const char *text;
    size_t len;
    const struct sql_value *params;
    int count;
};

struct sql_conn;
struct sql_conn *sql_conn_new(const struct sql_opts *o); /* o is borrowed */
void sql_conn_free(struct sql_conn *c);
int sql_conn_open(struct sql_conn *c, struct sql_error *e);
void sql_conn_close(struct sql_conn *c);
bool sql_conn_is_open(const struct sql_conn *c);
/* Closes it when the server has hung up while it lay idle, so that no statement finds out. */
void sql_conn_check(struct sql_conn *c);

/* *started: the server may have done it, so it must not be sent again. */
int sql_conn_run(struct sql_conn *c, const struct sql_statement *s, struct sql_rows *rows, bool *started,
                 struct sql_error *e);
int sql_conn_begin(struct sql_conn *c, const char *schema, struct sql_error *e);
int sql_conn_end(struct sql_conn *c, bool commit, struct sql_error *e);
bool sql_conn_in_transaction(const struct sql_conn *c);
