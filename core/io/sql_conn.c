/* SPDX-License-Identifier: Apache-2.0 */
/* An operation is a chain of calls of the library: call() names the next one and the function that looks at its result,
 * drive() makes them, one after another, until one has to wait. All else here are those functions, in the order in
 * which they follow each other: open: connected, session_set, isolated; run: prepare, chosen, prepared, executed, fetched,
 * drain; begin: begun; end: said.
 *
 * "No schema" is information_schema: a connection cannot go back to none, and a name without a schema must never be
 * looked up in the tenant's that happened to be there before. */
#include "io/sql_conn.h"
#include "base/clock.h"
#include "base/mem.h"
#include "io/sql_cache.h"
#include "io/sql_call.h"
#include "io/sql_error.h"
#include "io/sql_lookup.h"
#include "io/sql_reads.h"
#include "io/sql_wire.h"
#include <errmsg.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    CONNECT_MS = 5000,
    GRACE_MS = 2000, /* a statement's own limit is the server's; this much later we no longer wait for that */
    PACKET_MAX = 64 * 1024 * 1024,
    SLICE = 256 * 1024, /* bytes of rows in one turn of the loop */
    STACK = 128 * 1024, /* of the library's calls. They use 4 KiB of it, and an untouched page costs nothing */
};
static const char NO_SCHEMA[] = "information_schema";

struct sql_conn {
    const struct sql_opts *opts; /* borrowed from the pool */
    struct sql_conn_events events;
    void (*gone)(void *arg);
    void *gone_arg;
    MYSQL mysql;
    bool open;
    struct sql_wire wire;
    struct sql_reads reads;
    uint64_t heard_ms; /* when an operation last ended well; the loop's clock stands still in a long turn */
    char schema[256];  /* selected */
    bool autocommit;
    bool leased;  /* between sql_conn_begin() and sql_conn_end() */
    bool touched; /* in that time: the server has begun a transaction */
    bool cut;     /* and a statement has ended it */
    struct sql_cache cache;

    void (*then)(struct sql_conn *c); /* what looks at the call's result; NULL: there is none */
    struct sql_call call;
    bool waits;  /* the call does */
    bool paused; /* between two rows */
    bool busy, opening;
    int rc; /* of the last operation */
    struct sql_error *error;
    uint64_t due_ms; /* on the loop's clock */
    bool late;

    struct sql_lookup *lookup; /* of opening */
    struct sql_addresses addresses;
    int at;
    char text[512];

    const char *wanted; /* schema, of run and begin */
    const struct sql_statement *statement;
    struct sql_rows *rows;
    struct arena scratch;
    MYSQL_STMT *stmt;
    struct sql_fetch fetch;
    size_t slice_end;      /* in bytes of rows */
    unsigned skipped;      /* rows that nobody wants any more */
    bool started, renewed; /* renewed: prepared a second time */
};

/* -- calls ---------------------------------------------------------------------------------------------------- */

static void drive(struct sql_conn *c, int ready);

/* Nothing was asked, so whatever there is to read is a farewell. */
static void look_for_farewell(struct sql_conn *c) {
    if (c->open && sql_wire_is_readable(&c->wire)) sql_conn_close(c);
}

static void on_ready(void *arg, int ready) {
    struct sql_conn *c = arg;
    if (c->busy) {
        if (!c->waits) return; /* it goes on by itself */
        drive(c, ready);
    } else {
        look_for_farewell(c);
        if (c->open) return;
    }
    if (!c->busy) c->events.ended(c->events.arg);
}

static void call(struct sql_conn *c, enum sql_call_kind kind, void (*then)(struct sql_conn *c)) {
    c->call.kind = kind;
    c->then = then;
}

/* The server begins a transaction with the first statement that touches a table. */
static void look_at_transaction(struct sql_conn *c) {
    bool in = sql_conn_in_transaction(c);
    c->cut = c->touched && !in;
    c->touched = c->touched || in;
}

static void finish(struct sql_conn *c, int rc) {
    if (c->leased) look_at_transaction(c);
    c->then = NULL;
    c->busy = false;
    c->rc = rc;
    if (rc == 0) c->heard_ms = clock_mono_ms();
    arena_clear(&c->scratch);
    if (rc < 0 && c->rows) sql_rows_free(c->rows);
    c->rows = NULL;
}

/* The loop shall watch the socket that the call waits for. */
static int watch(struct sql_conn *c, int waits) {
    if (c->wire.watch == NULL) {
        int rc = sql_wire_open(&c->wire, (int)mysql_get_socket(&c->mysql));
        if (rc < 0) return rc;
    }
    return sql_wire_wait(&c->wire, waits & (MYSQL_WAIT_READ | MYSQL_WAIT_WRITE));
}

/* Begins the call. Most send, and then nothing can have come yet. */
static int ask(struct sql_conn *c) {
    c->reads.in_vain = c->call.kind == SQL_CALL_EXECUTE || c->call.kind == SQL_CALL_QUERY ||
                       c->call.kind == SQL_CALL_PREPARE || c->call.kind == SQL_CALL_SELECT_DB;
    int waits = sql_call_start(&c->call);
    c->reads.in_vain = false;
    return waits;
}

static void drive(struct sql_conn *c, int ready) {
    while (c->then && !c->paused) {
        int waits = c->waits ? sql_call_continue(&c->call, ready) : ask(c);
        c->waits = waits != 0;
        if (c->waits) {
            int rc = watch(c, waits);
            if (rc < 0) sql_conn_cancel(c, ERR_IO, uv_strerror(rc));
            return;
        }
        c->then(c);
    }
    if (!c->paused && c->wire.watch) sql_wire_wait(&c->wire, MYSQL_WAIT_READ); /* a farewell, perhaps */
}

static void operation(struct sql_conn *c, int limit_ms, struct sql_error *e) {
    c->busy = true;
    c->opening = c->late = false;
    c->due_ms = uv_now(c->wire.loop) + (uint64_t)limit_ms;
    c->error = e;
    *e = (struct sql_error){0};
}

static int answer_ms(const struct sql_conn *c) {
    return c->opts->statement_timeout_ms + GRACE_MS;
}

/* The connection's own error; closes it when that ends it. */
static int failed(struct sql_conn *c, unsigned number, const char *text) {
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text); /* text goes with the connection */
    if (sql_error_is_lost(number)) sql_conn_close(c);
    return sql_error_set(c->error, number, copy);
}

static int conn_failed(struct sql_conn *c) {
    return failed(c, mysql_errno(&c->mysql), mysql_error(&c->mysql));
}

static int stmt_failed(struct sql_conn *c, MYSQL_STMT *stmt) {
    return failed(c, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
}

static void say(struct sql_conn *c, const char *text, void (*then)(struct sql_conn *c)) {
    c->call.text = text;
    c->call.len = strlen(text);
    call(c, SQL_CALL_QUERY, then);
}

static void said(struct sql_conn *c) {
    finish(c, c->call.rc ? conn_failed(c) : 0);
}

/* -- opening and closing -------------------------------------------------------------------------------------- */

static void connect_next(struct sql_conn *c);

static void opened(struct sql_conn *c, int rc) {
    if (rc < 0) sql_conn_close(c);
    c->opening = false;
    finish(c, rc);
}

static void isolated(struct sql_conn *c) {
    opened(c, c->call.rc ? conn_failed(c) : 0);
}

static void session_set(struct sql_conn *c) {
    if (c->call.rc)
        opened(c, conn_failed(c));
    else
        say(c, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", isolated);
}

static void connected(struct sql_conn *c) {
    if (c->call.rc) {
        int rc = conn_failed(c);
        sql_conn_close(c);
        if (++c->at < c->addresses.count)
            connect_next(c);
        else
            finish(c, rc);
        return;
    }
    int watched = watch(c, MYSQL_WAIT_READ); /* a fast server may not have made us wait once */
    if (watched < 0) {
        opened(c, err_set(&c->error->e, ERR_IO, "%s", uv_strerror(watched)));
        return;
    }
    sql_reads_watch(&c->reads, &c->mysql);
    snprintf(c->schema, sizeof c->schema, "%s", NO_SCHEMA);
    c->autocommit = true;
    bool mariadb = strstr(mysql_get_server_info(&c->mysql), "MariaDB") != NULL;
    int limit_ms = c->opts->statement_timeout_ms, lock_s = limit_ms / 3000, n;
    n = snprintf(c->text, sizeof c->text,
                 "SET SESSION time_zone='+00:00', autocommit=1, innodb_lock_wait_timeout=%d, "
                 "sql_mode='STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
                 "NO_ENGINE_SUBSTITUTION'",
                 lock_s > 0 ? lock_s : 1);
    if (mariadb)
        snprintf(c->text + n, sizeof c->text - (size_t)n, ", max_statement_time=%d.%03d", limit_ms / 1000,
                 limit_ms % 1000);
    else /* SELECT only; for the rest there is our own limit */
        snprintf(c->text + n, sizeof c->text - (size_t)n, ", max_execution_time=%d", limit_ms);
    say(c, c->text, session_set);
}

static void set_options(struct sql_conn *c) {
    MYSQL *m = &c->mysql;
    unsigned protocol = c->opts->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP, no = 0, write_s = 1;
    size_t stack = STACK;
    unsigned long packet = PACKET_MAX;
    my_bool reconnect = 0;

    mysql_options(m, MYSQL_OPT_NONBLOCK, &stack);
    mysql_options(m, MYSQL_OPT_WRITE_TIMEOUT, &write_s); /* of the few bytes that say goodbye: they do block */
    mysql_options(m, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &no); /* no server reads our files */
    mysql_options(m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    mysql_options(m, MYSQL_OPT_RECONNECT, &reconnect); /* it would lose schema, statements and transaction unseen */
}

/* Each address has its share of the time, so that one that is silent does not hide the next. */
static void connect_next(struct sql_conn *c) {
    const struct sql_opts *o = c->opts;
    c->due_ms = uv_now(c->wire.loop) + (uint64_t)(CONNECT_MS / (c->addresses.count - c->at));
    c->late = false;
    if (mysql_init(&c->mysql) == NULL) abort();
    c->open = true;
    set_options(c);
    c->call = (struct sql_call){.mysql = &c->mysql,
                                .host = o->socket ? NULL : c->addresses.text[c->at],
                                .socket = o->socket,
                                .user = o->user,
                                .password = o->password,
                                .schema = NO_SCHEMA,
                                .port = (unsigned)o->port};
    call(c, SQL_CALL_CONNECT, connected);
}

static int not_found(struct sql_conn *c, const char *why) {
    return err_set(&c->error->e, ERR_CLOSED, "the server's name %s is not found: %s", c->opts->host, why);
}

static void on_found(void *arg, const struct sql_addresses *found, const char *why) {
    struct sql_conn *c = arg;
    c->lookup = NULL;
    if (why) {
        finish(c, not_found(c, why));
    } else {
        c->addresses = *found;
        connect_next(c);
        drive(c, 0);
    }
    if (!c->busy) c->events.ended(c->events.arg);
}

void sql_conn_open(struct sql_conn *c, struct sql_error *e) {
    const struct sql_opts *o = c->opts;
    const char *why = NULL;

    operation(c, CONNECT_MS, e);
    c->opening = true;
    c->at = 0;
    c->addresses.count = 1;
    if (o->socket == NULL && !sql_address_is(o->host)) {
        c->lookup = sql_lookup(c->wire.loop, o->host, on_found, c, &why);
        if (why) finish(c, not_found(c, why));
        return;
    }
    if (o->socket == NULL) snprintf(c->addresses.text[0], sizeof c->addresses.text[0], "%s", o->host);
    connect_next(c);
    drive(c, 0);
}

void sql_conn_close(struct sql_conn *c) {
    if (!c->open) return;
    sql_fetch_end(&c->fetch);
    mysql_close(&c->mysql);
    sql_cache_clear(&c->cache); /* after it, so that nothing is said about each of them */
    sql_wire_close(&c->wire);
    c->open = c->leased = false;
}

void sql_conn_check(struct sql_conn *c) {
    if (c->heard_ms != clock_mono_ms()) look_for_farewell(c); /* it has just answered: a system call for nothing */
}

/* -- schema --------------------------------------------------------------------------------------------------- */

static void chosen(struct sql_conn *c, void (*then)(struct sql_conn *c)) {
    if (c->call.rc) {
        finish(c, conn_failed(c));
        return;
    }
    snprintf(c->schema, sizeof c->schema, "%s", c->wanted);
    then(c);
}

/* True when it is there already. Otherwise then follows. */
static bool choose(struct sql_conn *c, void (*then)(struct sql_conn *c)) {
    if (strcmp(c->schema, c->wanted) == 0) return true;
    if (strlen(c->wanted) >= sizeof c->schema) {
        finish(c, err_set(&c->error->e, ERR_INVALID, "the schema's name is too long"));
        return false;
    }
    c->schema[0] = '\0'; /* unknown until it has worked */
    c->call.text = c->wanted;
    call(c, SQL_CALL_SELECT_DB, then);
    return false;
}

/* -- autocommit ----------------------------------------------------------------------------------------------- */

static void autocommit_said(struct sql_conn *c, void (*then)(struct sql_conn *c)) {
    if (c->call.rc) {
        finish(c, conn_failed(c));
        return;
    }
    c->autocommit = !c->autocommit;
    then(c);
}

/* -- running -------------------------------------------------------------------------------------------------- */

static void prepare(struct sql_conn *c);

/* The rows that nobody wants any more, and what a procedure sent behind its first result, which nobody asked for. */
static void drained(struct sql_conn *c) {
    if (c->call.rc == 0 && c->call.kind == SQL_CALL_NEXT_RESULT)
        call(c, SQL_CALL_FREE_RESULT, drained);
    else if (c->call.rc == 0 && mysql_stmt_more_results(c->stmt))
        call(c, SQL_CALL_NEXT_RESULT, drained);
    else if (c->call.rc > 0 && c->call.kind == SQL_CALL_NEXT_RESULT && c->error->e.code == 0)
        finish(c, stmt_failed(c, c->stmt)); /* it went wrong after its first result */
    else
        finish(c, c->error->e.code);
}

static void drain(struct sql_conn *c) {
    sql_fetch_end(&c->fetch);
    call(c, SQL_CALL_FREE_RESULT, drained);
}

static void pause_at(struct sql_conn *c) {
    c->paused = true;
    c->events.later(c->events.arg);
}

static void skip(struct sql_conn *c) {
    if (c->call.rc == 0 || c->call.rc == MYSQL_DATA_TRUNCATED) {
        call(c, SQL_CALL_FETCH, skip);
        if (++c->skipped % 64 == 0) pause_at(c);
    } else {
        drain(c);
    }
}

static void fetched(struct sql_conn *c) {
    int rc = sql_fetch_row(&c->fetch, c->call.rc, c->error);
    if (rc > 0) {
        call(c, SQL_CALL_FETCH, fetched);
        if (c->fetch.bytes < c->slice_end) return;
        c->slice_end = c->fetch.bytes + SLICE;
        pause_at(c);
    } else if (rc == 0) {
        drain(c);
    } else if (sql_error_is_lost(sql_stmt_errno(&c->mysql, c->stmt)) ||
               (rc == ERR_LIMIT && !sql_conn_in_transaction(c))) {
        sql_conn_close(c); /* lost; or too large, and nobody knows how much more would come */
        finish(c, rc);
    } else {
        c->skipped = 0;
        skip(c);
    }
}

/* Its result has been read away: to forget a statement with an unread one would wait for the server. */
static void renew(struct sql_conn *c) {
    sql_cache_forget(&c->cache, c->stmt);
    *c->error = (struct sql_error){0};
    prepare(c);
}

static void executed(struct sql_conn *c) {
    int rc;
    /* MariaDB's library says that there are other columns than before with an error number, and calls it a success. */
    if (c->call.rc == 0 && mysql_stmt_errno(c->stmt) == 0) {
        rc = sql_fetch_begin(&c->fetch, &c->mysql, c->stmt, c->rows, c->error);
        c->slice_end = SLICE;
        if (rc > 0)
            call(c, SQL_CALL_FETCH, fetched);
        else if (rc == 0 && !mysql_stmt_more_results(c->stmt))
            finish(c, 0); /* no rows: nothing to be given back */
        else
            drain(c);
        return;
    }
    unsigned number = mysql_stmt_errno(c->stmt);
    c->started = number != CR_SERVER_GONE_ERROR; /* said when it could not even be sent */
    rc = stmt_failed(c, c->stmt);
    if (c->open && number == CR_NEW_STMT_METADATA && !c->renewed) {
        /* ALTER TABLE gave a SELECT * more columns than the client library remembers. Only what has columns, which is
         * what reads, can come here, so it is done again. */
        c->renewed = true;
        call(c, SQL_CALL_FREE_RESULT, renew);
    } else {
        if (number == CR_NEW_STMT_METADATA) sql_conn_close(c); /* again: what it sent lies there unread */
        finish(c, rc);
    }
}

static void execute(struct sql_conn *c, MYSQL_STMT *stmt) {
    c->stmt = stmt;
    c->call.stmt = stmt;
    int rc = sql_bind(&c->mysql, stmt, c->statement->params, c->statement->count, &c->scratch, c->error);
    if (rc < 0) {
        finish(c, rc);
        return;
    }
    c->started = true;
    call(c, SQL_CALL_EXECUTE, executed);
}

static void prepared(struct sql_conn *c) {
    MYSQL_STMT *stmt = c->stmt;
    if (c->call.rc == 0) {
        sql_cache_add(&c->cache, c->wanted, c->statement->text, c->statement->len, stmt);
        execute(c, stmt);
        return;
    }
    int rc = stmt_failed(c, stmt);
    mysql_stmt_close(stmt);
    if (rc < 0 && c->error->number == ER_NO_DB_ERROR && !c->renewed) {
        /* DROP DATABASE takes the selection of the connection that runs it; it may have been made again since. */
        c->renewed = true;
        c->schema[0] = '\0';
        *c->error = (struct sql_error){0};
        prepare(c);
    } else {
        finish(c, rc);
    }
}

static void prepare_new(struct sql_conn *c) {
    MYSQL_STMT *stmt = mysql_stmt_init(&c->mysql);
    if (stmt == NULL) abort();
    c->stmt = stmt;
    c->call.stmt = stmt;
    c->call.text = c->statement->text;
    c->call.len = c->statement->len;
    call(c, SQL_CALL_PREPARE, prepared);
}

static void prepare_chosen(struct sql_conn *c) {
    chosen(c, prepare_new);
}

static void prepare(struct sql_conn *c) {
    MYSQL_STMT *stmt = sql_cache_find(&c->cache, c->wanted, c->statement->text, c->statement->len);
    if (stmt)
        execute(c, stmt);
    else if (choose(c, prepare_chosen))
        prepare_new(c);
}

static void prepare_alone(struct sql_conn *c) {
    autocommit_said(c, prepare);
}

void sql_conn_run(struct sql_conn *c, const struct sql_statement *s, struct sql_rows *rows, struct sql_error *e) {
    operation(c, answer_ms(c), e);
    c->started = c->renewed = false;
    c->statement = s;
    c->rows = rows;
    c->wanted = s->schema ? s->schema : NO_SCHEMA;
    if (c->autocommit || c->leased)
        prepare(c);
    else
        say(c, "SET autocommit=1", prepare_alone);
    drive(c, 0);
}

/* -- transactions --------------------------------------------------------------------------------------------- */

static void begun(struct sql_conn *c) {
    finish(c, 0);
    c->leased = true;
    c->touched = c->cut = false;
}

static void begun_said(struct sql_conn *c) {
    autocommit_said(c, begun);
}

static void begin(struct sql_conn *c) {
    if (c->autocommit)
        say(c, "SET autocommit=0", begun_said);
    else
        begun(c);
}

static void begin_chosen(struct sql_conn *c) {
    chosen(c, begin);
}

void sql_conn_begin(struct sql_conn *c, const char *schema, struct sql_error *e) {
    operation(c, answer_ms(c), e);
    c->wanted = schema ? schema : NO_SCHEMA;
    if (choose(c, begin_chosen)) begin(c);
    drive(c, 0);
}

void sql_conn_end(struct sql_conn *c, bool commit, struct sql_error *e) {
    operation(c, answer_ms(c), e);
    c->leased = false;
    say(c, commit ? "COMMIT" : "ROLLBACK", said);
    drive(c, 0);
}

/* -- what else there is --------------------------------------------------------------------------------------- */

void sql_conn_go_on(struct sql_conn *c) {
    if (!c->paused) return;
    c->paused = false;
    drive(c, 0);
    if (!c->busy) c->events.ended(c->events.arg);
}

void sql_conn_cancel(struct sql_conn *c, int code, const char *text) {
    bool preparing = c->waits && c->call.kind == SQL_CALL_PREPARE;

    if (!c->busy) return;
    if (c->lookup) sql_lookup_forget(c->lookup);
    c->lookup = NULL;
    sql_wire_cut(&c->wire);
    if (c->waits) sql_call_abandon(&c->call);
    c->waits = c->paused = false;
    sql_conn_close(c);
    if (preparing) mysql_stmt_close(c->stmt); /* not in the cache yet */
    finish(c, err_set(&c->error->e, code, "%s", text));
}

bool sql_conn_is_late(struct sql_conn *c) {
    bool due = c->busy && uv_now(c->wire.loop) >= c->due_ms, late = due && c->late;
    c->late = due; /* said twice: when our own loop stood still, the answer may lie in the socket */
    return late;
}

void sql_conn_give_up(struct sql_conn *c) {
    char text[128];
    if (c->opening && c->lookup == NULL && c->at + 1 < c->addresses.count) {
        sql_wire_cut(&c->wire);
        if (c->waits) sql_call_abandon(&c->call);
        c->waits = false;
        sql_conn_close(c);
        c->at++;
        connect_next(c);
        drive(c, 0);
        if (!c->busy) c->events.ended(c->events.arg);
        return;
    }
    if (c->opening) {
        sql_conn_cancel(c, ERR_CLOSED, "the server did not let us in in 5 s");
        return;
    }
    snprintf(text, sizeof text, "no answer in %d ms; the connection was given up", c->opts->statement_timeout_ms);
    sql_conn_cancel(c, ERR_TIMEOUT, text);
}

bool sql_conn_is_busy(const struct sql_conn *c) {
    return c->busy;
}
int sql_conn_result(const struct sql_conn *c) {
    return c->rc;
}
bool sql_conn_started(const struct sql_conn *c) {
    return c->started;
}
bool sql_conn_is_open(const struct sql_conn *c) {
    return c->open && !c->opening;
}
bool sql_conn_in_transaction(const struct sql_conn *c) {
    return c->open && (c->mysql.server_status & SERVER_STATUS_IN_TRANS);
}

bool sql_conn_transaction_was_cut(const struct sql_conn *c) {
    return c->cut;
}
bool sql_conn_autocommits(const struct sql_conn *c) {
    return c->autocommit;
}

struct sql_conn *sql_conn_new(uv_loop_t *loop, const struct sql_opts *o, const struct sql_conn_events *events) {
    struct sql_conn *c = mem_alloc(sizeof *c);
    c->opts = o;
    c->events = *events;
    c->wire.loop = loop;
    c->wire.ready = on_ready;
    c->wire.arg = c;
    return c;
}

static void on_gone(void *arg) {
    struct sql_conn *c = arg;
    arena_free(&c->scratch);
    sql_fetch_free(&c->fetch);
    void (*gone)(void *arg) = c->gone;
    void *gone_arg = c->gone_arg;
    free(c);
    gone(gone_arg);
}

void sql_conn_free(struct sql_conn *c, void (*gone)(void *arg), void *arg) {
    c->gone = gone;
    c->gone_arg = arg;
    c->wire.gone = on_gone;
    sql_conn_close(c);
    if (c->wire.closing == 0) on_gone(c);
}
