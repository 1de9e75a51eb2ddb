/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_call.h"

static int waits_for(int status) {
    return status & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE | MYSQL_WAIT_EXCEPT | MYSQL_WAIT_TIMEOUT);
}

int sql_call_start(struct sql_call *call) {
    MYSQL *connected = NULL;
    my_bool failed = 0;
    int status = 0;

    call->rc = 0;
    switch (call->kind) {
    case SQL_CALL_CONNECT:
        status = mysql_real_connect_start(&connected, call->mysql, call->host, call->user, call->password, call->schema,
                                          call->port, call->socket, 0);
        call->rc = connected == NULL;
        break;
    case SQL_CALL_QUERY:
        status = mysql_real_query_start(&call->rc, call->mysql, call->text, call->len);
        break;
    case SQL_CALL_SELECT_DB:
        status = mysql_select_db_start(&call->rc, call->mysql, call->text);
        break;
    case SQL_CALL_PREPARE:
        status = mysql_stmt_prepare_start(&call->rc, call->stmt, call->text, call->len);
        break;
    case SQL_CALL_EXECUTE:
        status = mysql_stmt_execute_start(&call->rc, call->stmt);
        break;
    case SQL_CALL_FETCH:
        status = mysql_stmt_fetch_start(&call->rc, call->stmt);
        break;
    case SQL_CALL_FREE_RESULT:
        status = mysql_stmt_free_result_start(&failed, call->stmt);
        call->rc = failed;
        break;
    case SQL_CALL_NEXT_RESULT:
        status = mysql_stmt_next_result_start(&call->rc, call->stmt);
        break;
    }
    return waits_for(status);
}

int sql_call_continue(struct sql_call *call, int ready) {
    MYSQL *connected = NULL;
    my_bool failed = 0;
    int status = 0;

    switch (call->kind) {
    case SQL_CALL_CONNECT:
        status = mysql_real_connect_cont(&connected, call->mysql, ready);
        call->rc = connected == NULL;
        break;
    case SQL_CALL_QUERY:
        status = mysql_real_query_cont(&call->rc, call->mysql, ready);
        break;
    case SQL_CALL_SELECT_DB:
        status = mysql_select_db_cont(&call->rc, call->mysql, ready);
        break;
    case SQL_CALL_PREPARE:
        status = mysql_stmt_prepare_cont(&call->rc, call->stmt, ready);
        break;
    case SQL_CALL_EXECUTE:
        status = mysql_stmt_execute_cont(&call->rc, call->stmt, ready);
        break;
    case SQL_CALL_FETCH:
        status = mysql_stmt_fetch_cont(&call->rc, call->stmt, ready);
        break;
    case SQL_CALL_FREE_RESULT:
        status = mysql_stmt_free_result_cont(&failed, call->stmt, ready);
        call->rc = failed;
        break;
    case SQL_CALL_NEXT_RESULT:
        status = mysql_stmt_next_result_cont(&call->rc, call->stmt, ready);
        break;
    }
    return waits_for(status);
}

void sql_call_abandon(struct sql_call *call) {
    /* Told that time is up the library gives up the socket, and what it had allocated. It may then try a next address. */
    while (sql_call_continue(call, MYSQL_WAIT_TIMEOUT)) continue;
}
