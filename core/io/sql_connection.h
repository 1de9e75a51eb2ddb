/* SPDX-License-Identifier: Apache-2.0 */
/* One blocking connection, used by one thread of the pool. Everything here blocks. */
#pragma once
#include "base/arena.h"
#include "io/sql.h"

struct sql_connection;
struct sql_answer {
    struct sql_result result;  /* its texts live in arena */
    struct sql_error error;    /* error.e.code 0: it went well */
    struct arena arena;
};

struct sql_connection *sql_connection_new(const struct sql_opts *o);  /* borrows *o; connects at first use */
void sql_connection_free(struct sql_connection *c);
/* schema NULL: as it is. Reconnects and repeats once what the server cannot have seen, unless in_transaction. */
void sql_connection_exec(struct sql_connection *c, bool in_transaction, const char *schema, const char *text, size_t len,
                         const struct sql_value *params, int count, struct sql_answer *a);
void sql_connection_begin(struct sql_connection *c, const char *schema, struct sql_answer *a);
void sql_connection_end(struct sql_connection *c, bool commit, struct sql_answer *a);
