/* SPDX-License-Identifier: Apache-2.0 */
/* What the server's and the client library's error numbers mean to a caller. */
#pragma once
#include "io/sql.h"

/* Fills *e and returns its code. number 0: ours. */
int sql_error_set(struct sql_error *e, unsigned number, const char *text);
/* True when no more can be said over a connection that gave this. */
bool sql_error_is_lost(unsigned number);
/* The first word of a statement that would change the connection for those who use it next (USE, SET, BEGIN, ...), or
 * NULL. Such a statement is refused: schema and transaction are the pool's own to set. */
const char *sql_text_refused(const char *text, size_t len);
/* SELECT, INSERT, UPDATE, DELETE or REPLACE: what it does it does in its transaction, and cannot begin or end one. */
bool sql_text_is_dml(const char *text, size_t len);
