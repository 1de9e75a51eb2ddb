/* SPDX-License-Identifier: Apache-2.0 */
/* One connection of a pool: opens, remembers its schema and its prepared statements, does one thing at a time, and never
 * blocks its loop.
 *
 *     sql_conn_run() ... sql_conn_is_busy() -> loop: ended() -> sql_conn_result()
 *
 * What is asked may be over when the asking function returns (then it is not busy, and ended does not come), so whoever
 * asks looks, and needs no stack for each of a thousand statements that fail at once.
 *
 * Ownership  Statement, rows and error are borrowed until the operation is over.
 * Threads    The loop's only.
 * Errors     The result is 0 or a negative err_code with *e filled in. After an error look at sql_conn_is_open().
 */
#pragma once
#include "io/sql.h"
#include "io/sql_fetch.h"

struct sql_statement {
    const char *schema; /* NULL: none */
    const char *text;
    size_t len;
    const struct sql_value *params;
    int count;
};

struct sql_conn;
struct sql_conn_events {
    void (*ended)(void *arg); /* the operation; or, while there is none, the connection: the server hung up */
    void (*later)(void *arg); /* wants sql_conn_go_on() in the next turn of the loop */
    void *arg;
};
struct sql_conn *sql_conn_new(uv_loop_t *loop, const struct sql_opts *o, const struct sql_conn_events *events);
/* Not while it is busy. gone: nothing of it is left. */
void sql_conn_free(struct sql_conn *c, void (*gone)(void *arg), void *arg);

void sql_conn_open(struct sql_conn *c, struct sql_error *e);
void sql_conn_run(struct sql_conn *c, const struct sql_statement *s, struct sql_rows *rows, struct sql_error *e);
/* What runs from here to sql_conn_end() is one transaction. A connection that had one last has autocommit off, so the next
 * begins without a word to the server; one that ran a single statement last has it on. Each side is changed when needed. */
void sql_conn_begin(struct sql_conn *c, const char *schema, struct sql_error *e);
void sql_conn_end(struct sql_conn *c, bool commit, struct sql_error *e);

bool sql_conn_is_busy(const struct sql_conn *c);
int sql_conn_result(const struct sql_conn *c); /* of the last operation */
/* The server may have done the statement that failed, so it must not be sent again. */
bool sql_conn_started(const struct sql_conn *c);
void sql_conn_go_on(struct sql_conn *c); /* nothing when it is not asked for */
/* Ends an operation that has had its time, and with it the connection, whose state nobody knows. ended does not come. */
bool sql_conn_is_late(struct sql_conn *c);
void sql_conn_give_up(struct sql_conn *c);
void sql_conn_cancel(struct sql_conn *c, int code, const char *text);

bool sql_conn_is_open(const struct sql_conn *c);
bool sql_conn_in_transaction(const struct sql_conn *c);
/* A statement has ended the transaction by itself. This is what the server's flag tells after a statement that worked: we
 * were in a transaction, now we are not, as after DDL behind a statement that touched a table.
 * Not noticed: DDL as the first statement (there is no transaction yet; what it did stays whatever the end is), and a
 * procedure that commits and then touches a table again (there is one, but another: what was before the CALL stays).
 * An error packet has no such flag, so of a statement that failed nothing is known but by its error and its kind. */
bool sql_conn_transaction_was_cut(const struct sql_conn *c);
bool sql_conn_autocommits(const struct sql_conn *c);
void sql_conn_close(struct sql_conn *c); /* not while it is busy */
/* Closes it when the server has hung up while it lay idle, so that no statement finds out. One that has answered in this
 * millisecond is believed. */
void sql_conn_check(struct sql_conn *c);
