/* SPDX-License-Identifier: Apache-2.0 */
/* Between our values and the binary protocol's, both ways. */
#pragma once
#include "io/sql_conn.h"
#include <mysql.h>

/* MySQL 8 has bool where MariaDB keeps its own. */
#ifdef MARIADB_BASE_VERSION
typedef my_bool sql_flag;
#else
typedef bool sql_flag;
#endif

/* The number of the statement's error. While rows are read the client library leaves it with the connection. */
unsigned sql_stmt_errno(MYSQL *mysql, MYSQL_STMT *stmt);
int sql_stmt_failed(MYSQL *mysql, MYSQL_STMT *stmt, struct sql_error *e);
/* What is bound points into scratch and params, which must outlive the execution. */
int sql_bind(MYSQL *mysql, MYSQL_STMT *stmt, const struct sql_value *params, int count, struct arena *scratch,
             struct sql_error *e);
/* Reads all rows of an executed statement into rows. */
int sql_fetch(MYSQL *mysql, MYSQL_STMT *stmt, struct sql_rows *rows, struct arena *scratch, struct sql_error *e);
