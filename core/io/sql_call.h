/* SPDX-License-Identifier: Apache-2.0 */
/* A call of the client library that does not block: started once, continued whenever its socket is ready, until it no
 * longer waits. The library keeps a stack of its own for each connection and leaves it where it would have to wait.
 *
 * Nothing else may be called for the connection while a call waits, and all that it points to must stay.
 */
#pragma once
#include <mysql.h>
#include <stddef.h>

enum sql_call_kind {
    SQL_CALL_CONNECT = 0, /* host, or socket */
    SQL_CALL_QUERY,       /* text, without parameters */
    SQL_CALL_SELECT_DB,   /* text: the schema */
    SQL_CALL_PREPARE,     /* text, with stmt */
    SQL_CALL_EXECUTE,     /* the rest: stmt */
    SQL_CALL_FETCH,       /* rc: 0, MYSQL_DATA_TRUNCATED, MYSQL_NO_DATA or 1 */
    SQL_CALL_FREE_RESULT,
    SQL_CALL_NEXT_RESULT, /* rc: 0 there is one, -1 none, else an error */
};

struct sql_call {
    enum sql_call_kind kind;
    MYSQL *mysql;
    MYSQL_STMT *stmt;
    const char *text;
    size_t len;
    const char *host, *socket, *user, *password, *schema;
    unsigned port;
    int rc; /* once it does not wait: 0 is success */
};

/* Return MYSQL_WAIT_READ and MYSQL_WAIT_WRITE, what the call waits for; 0: it is over. The library's own time limits
 * (MYSQL_WAIT_TIMEOUT in the answer) are not used. */
int sql_call_start(struct sql_call *call);
int sql_call_continue(struct sql_call *call, int ready);
/* Ends a call that waits, with an error. Its connection cannot be used afterwards. */
void sql_call_abandon(struct sql_call *call);
