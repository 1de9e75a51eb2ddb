/* SPDX-License-Identifier: Apache-2.0 */
/* Between our values and the binary protocol's, both ways. Rows are taken one by one, so that whoever asks for them can
 * stop in between. */
#pragma once
#include "base/arena.h"
#include "io/sql.h"
#include <mysql.h>

/* Whoever has the rows frees them. */
struct sql_rows {
    struct arena arena;       /* texts and names */
    struct sql_value *values; /* ours; never copied, a long result has megabytes of them */
    struct sql_result result;
};
void sql_rows_free(struct sql_rows *rows); /* they can be used again */

extern size_t sql_result_max; /* bytes of a result; a variable so that a test need not send as many */

struct sql_fetch_cell;
struct sql_fetch {
    MYSQL *mysql; /* all borrowed but meta and memory */
    MYSQL_STMT *stmt;
    struct sql_rows *rows;
    MYSQL_RES *meta;
    const MYSQL_FIELD *fields;
    struct sql_fetch_cell *cells;
    size_t room, bytes;
    char *memory; /* ours, kept for the next statement: the cells and what is bound to them */
    size_t cap;
};

/* The number of the statement's error. While rows are read the client library leaves it with the connection. */
unsigned sql_stmt_errno(MYSQL *mysql, MYSQL_STMT *stmt);
int sql_stmt_failed(MYSQL *mysql, MYSQL_STMT *stmt, struct sql_error *e);
/* What is bound points into scratch and params, which must outlive the execution. */
int sql_bind(MYSQL *mysql, MYSQL_STMT *stmt, const struct sql_value *params, int count, struct arena *scratch,
             struct sql_error *e);
/* Of an executed statement. 0: it has no rows; 1: they can be asked for. */
int sql_fetch_begin(struct sql_fetch *f, MYSQL *mysql, MYSQL_STMT *stmt, struct sql_rows *rows, struct sql_error *e);
/* Takes what a call of mysql_stmt_fetch() brought. 0: that was all; 1: ask for the next. */
int sql_fetch_row(struct sql_fetch *f, int fetched, struct sql_error *e);
void sql_fetch_end(struct sql_fetch *f); /* of a begun one, also after an error */
void sql_fetch_free(struct sql_fetch *f);
