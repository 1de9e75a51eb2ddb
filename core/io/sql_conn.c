/* SPDX-License-Identifier: Apache-2.0 */
/* A prepared statement belongs to the schema that was selected when it was prepared, also when it is executed after
 * another was selected: the server keeps that with the statement. So the schema is part of the cache's key, and it is
 * selected only to prepare. A server that thought otherwise would fail the test that asks 200 tenants.
 *
 * "No schema" is information_schema: a connection cannot go back to none, and a name without a schema must never be
 * looked up in the tenant's that happened to be there before. */
#include "io/sql_conn.h"
#include "base/mem.h"
#include "io/sql_error.h"
#include "io/sql_fetch.h"
#include <errmsg.h>
#include <mysqld_error.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHED = 64, CONNECT_TIMEOUT_S = 5, GRACE_S = 2, PACKET_MAX = 64 * 1024 * 1024 };
static const char NO_SCHEMA[] = "information_schema";

struct prepared {
    MYSQL_STMT *stmt; /* NULL: a free place */
    char *schema, *text;
    size_t len;
    uint64_t hash;
    uint64_t used; /* larger is later */
};

struct sql_conn {
    const struct sql_opts *opts; /* borrowed from the pool */
    int timeout_ms;
    MYSQL mysql;
    bool open;
    char schema[256]; /* selected */
    struct prepared cache[CACHED];
    uint64_t uses;
};

struct sql_conn *sql_conn_new(const struct sql_opts *o) {
    struct sql_conn *c = mem_alloc(sizeof *c);
    c->opts = o;
    c->timeout_ms = o->statement_timeout_ms;
    return c;
}

bool sql_conn_is_open(const struct sql_conn *c) {
    return c->open;
}
bool sql_conn_in_transaction(const struct sql_conn *c) {
    return c->open && (c->mysql.server_status & SERVER_STATUS_IN_TRANS);
}

static void forget(struct prepared *p) {
    if (p->stmt) mysql_stmt_close(p->stmt);
    free(p->schema);
    free(p->text);
    *p = (struct prepared){0};
}

void sql_conn_close(struct sql_conn *c) {
    if (!c->open) return;
    for (int i = 0; i < CACHED; i++) forget(&c->cache[i]);
    mysql_close(&c->mysql);
    c->open = false;
}

void sql_conn_free(struct sql_conn *c) {
    sql_conn_close(c);
    free(c);
}

/* The connection's own error; closes it when that ends it. */
static int failed(struct sql_conn *c, unsigned number, const char *text, struct sql_error *e) {
    char copy[256];
    snprintf(copy, sizeof copy, "%s", text); /* text goes with the connection */
    if (sql_error_is_lost(number)) sql_conn_close(c);
    return sql_error_set(e, number, copy);
}

static int conn_failed(struct sql_conn *c, struct sql_error *e) {
    return failed(c, mysql_errno(&c->mysql), mysql_error(&c->mysql), e);
}

static int say(struct sql_conn *c, const char *text, struct sql_error *e) {
    return mysql_real_query(&c->mysql, text, strlen(text)) ? conn_failed(c, e) : 0;
}

void sql_conn_check(struct sql_conn *c) {
    if (!c->open) return;
#ifdef MARIADB_BASE_VERSION
    struct pollfd p = {.fd = mysql_get_socket(&c->mysql), .events = POLLIN};
#else
    struct pollfd p = {.fd = c->mysql.net.fd, .events = POLLIN};
#endif
    /* Nothing was asked, so whatever there is to read is a farewell. */
    if (poll(&p, 1, 0) != 0) sql_conn_close(c);
}

static void set_options(struct sql_conn *c) {
    MYSQL *m = &c->mysql;
    unsigned connect_s = CONNECT_TIMEOUT_S, answer_s = (unsigned)(c->timeout_ms + 999) / 1000 + GRACE_S;
    unsigned protocol = c->opts->socket ? MYSQL_PROTOCOL_SOCKET : MYSQL_PROTOCOL_TCP, no = 0;
    unsigned long packet = PACKET_MAX;
    sql_flag reconnect = 0;

    mysql_options(m, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    mysql_options(m, MYSQL_OPT_READ_TIMEOUT, &answer_s); /* for a server that is mute; else its own limit comes first */
    mysql_options(m, MYSQL_OPT_WRITE_TIMEOUT, &answer_s);
    mysql_options(m, MYSQL_OPT_PROTOCOL, &protocol);
    mysql_options(m, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    mysql_options(m, MYSQL_OPT_LOCAL_INFILE, &no); /* no server reads our files */
    mysql_options(m, MYSQL_OPT_MAX_ALLOWED_PACKET, &packet);
    mysql_options(m, MYSQL_OPT_RECONNECT, &reconnect); /* it would lose schema, statements and transaction unseen */
}

static int set_session(struct sql_conn *c, struct sql_error *e) {
    char text[512];
    bool mariadb = strstr(mysql_get_server_info(&c->mysql), "MariaDB") != NULL;
    int lock_s = c->timeout_ms / 3000, n;

    n = snprintf(text, sizeof text,
                 "SET SESSION time_zone='+00:00', autocommit=1, innodb_lock_wait_timeout=%d, "
                 "sql_mode='STRICT_ALL_TABLES,NO_ZERO_DATE,NO_ZERO_IN_DATE,ERROR_FOR_DIVISION_BY_ZERO,"
                 "NO_ENGINE_SUBSTITUTION'",
                 lock_s > 0 ? lock_s : 1);
    if (mariadb)
        snprintf(text + n, sizeof text - (size_t)n, ", max_statement_time=%d.%03d", c->timeout_ms / 1000,
                 c->timeout_ms % 1000);
    else /* SELECT only; for the rest there is the read timeout */
        snprintf(text + n, sizeof text - (size_t)n, ", max_execution_time=%d", c->timeout_ms);
    int rc = say(c, text, e);
    return rc < 0 ? rc : say(c, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", e);
}

int sql_conn_open(struct sql_conn *c, struct sql_error *e) {
    const struct sql_opts *o = c->opts;
    int rc;

    if (mysql_init(&c->mysql) == NULL) abort();
    c->open = true;
    set_options(c);
    if (mysql_real_connect(&c->mysql, o->socket ? NULL : o->host, o->user, o->password, NO_SCHEMA, (unsigned)o->port,
                           o->socket, 0) == NULL) {
        rc = conn_failed(c, e);
        goto close;
    }
    snprintf(c->schema, sizeof c->schema, "%s", NO_SCHEMA);
    rc = set_session(c, e);
    if (rc == 0) return 0;
close:
    sql_conn_close(c);
    return rc;
}

static int choose(struct sql_conn *c, const char *schema, struct sql_error *e) {
    if (strcmp(c->schema, schema) == 0) return 0;
    if (strlen(schema) >= sizeof c->schema) return err_set(&e->e, ERR_INVALID, "the schema's name is too long");
    c->schema[0] = '\0'; /* unknown until it has worked */
    if (mysql_select_db(&c->mysql, schema)) return conn_failed(c, e);
    snprintf(c->schema, sizeof c->schema, "%s", schema);
    return 0;
}

/* -- prepared statements -------------------------------------------------------------------------------------- */

static uint64_t hash_of(const char *schema, const char *text, size_t len) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *s = schema; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    h *= 1099511628211u;
    for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h;
}

static struct prepared *find(struct sql_conn *c, const char *schema, const struct sql_statement *s, uint64_t hash) {
    for (int i = 0; i < CACHED; i++) {
        struct prepared *p = &c->cache[i];
        if (p->stmt && p->hash == hash && p->len == s->len && memcmp(p->text, s->text, s->len) == 0 &&
            strcmp(p->schema, schema) == 0)
            return p;
    }
    return NULL;
}

static struct prepared *place(struct sql_conn *c) {
    struct prepared *oldest = &c->cache[0];
    for (int i = 0; i < CACHED; i++) {
        if (c->cache[i].stmt == NULL) return &c->cache[i];
        if (c->cache[i].used < oldest->used) oldest = &c->cache[i];
    }
    forget(oldest);
    return oldest;
}

static int stmt_failed(struct sql_conn *c, MYSQL_STMT *stmt, struct sql_error *e) {
    return failed(c, mysql_stmt_errno(stmt), mysql_stmt_error(stmt), e);
}

static int prepare_new(struct sql_conn *c, const char *schema, const struct sql_statement *s, MYSQL_STMT **out,
                       struct sql_error *e) {
    int rc = choose(c, schema, e);
    if (rc < 0) return rc;
    MYSQL_STMT *stmt = mysql_stmt_init(&c->mysql);
    if (stmt == NULL) abort();
    if (mysql_stmt_prepare(stmt, s->text, s->len)) {
        rc = stmt_failed(c, stmt, e);
        mysql_stmt_close(stmt);
        return rc;
    }
    *out = stmt;
    return 0;
}

static int prepare(struct sql_conn *c, const struct sql_statement *s, struct prepared **out, struct sql_error *e) {
    const char *schema = s->schema ? s->schema : NO_SCHEMA;
    uint64_t hash = hash_of(schema, s->text, s->len);
    struct prepared *p = find(c, schema, s, hash);

    if (p == NULL) {
        MYSQL_STMT *stmt;
        int rc = prepare_new(c, schema, s, &stmt, e);
        if (rc < 0 && e->number == ER_NO_DB_ERROR) {
            /* DROP DATABASE takes the selection of the connection that runs it; it may have been made again since. */
            c->schema[0] = '\0';
            *e = (struct sql_error){0};
            rc = prepare_new(c, schema, s, &stmt, e);
        }
        if (rc < 0) return rc;
        p = place(c);
        p->stmt = stmt;
        p->schema = mem_strdup(schema);
        p->text = mem_dup(s->text, s->len);
        p->len = s->len;
        p->hash = hash;
    }
    p->used = ++c->uses;
    *out = p;
    return 0;
}

/* -- running -------------------------------------------------------------------------------------------------- */

/* Reads what a procedure sent behind its first result, which nobody asked for. */
static void drain(MYSQL_STMT *stmt) {
    mysql_stmt_free_result(stmt);
    while (mysql_stmt_next_result(stmt) == 0) mysql_stmt_free_result(stmt);
}

/* Sends p for execution. *started: the server may have done it. */
static int start(struct sql_conn *c, struct prepared *p, const struct sql_statement *s, struct arena *scratch,
                 bool *started, struct sql_error *e) {
    int rc = sql_bind(&c->mysql, p->stmt, s->params, s->count, scratch, e);
    if (rc < 0) return rc;
    *started = true;
    /* MariaDB's library says that there are other columns than before with an error number, and calls it a success. */
    if (mysql_stmt_execute(p->stmt) == 0 && mysql_stmt_errno(p->stmt) == 0) return 0;
    *started = mysql_stmt_errno(p->stmt) != CR_SERVER_GONE_ERROR; /* said when it could not even be sent */
    return stmt_failed(c, p->stmt, e);
}

static int execute(struct sql_conn *c, const struct sql_statement *s, struct sql_rows *rows, bool *started,
                   struct sql_error *e) {
    struct arena scratch = {0};
    struct prepared *p = NULL;

    int rc = prepare(c, s, &p, e);
    if (rc == 0) rc = start(c, p, s, &scratch, started, e);
    if (rc < 0 && c->open && p && mysql_stmt_errno(p->stmt) == CR_NEW_STMT_METADATA) {
        /* ALTER TABLE gave a SELECT * more columns than the client library remembers. Only what has columns, which is
         * what reads, can come here, so it is done again. */
        forget(p);
        *e = (struct sql_error){0};
        rc = prepare(c, s, &p, e);
        if (rc == 0) rc = start(c, p, s, &scratch, started, e);
    }
    if (rc == 0) {
        rc = sql_fetch(&c->mysql, p->stmt, rows, &scratch, e);
        if (rc < 0 && sql_error_is_lost(sql_stmt_errno(&c->mysql, p->stmt)))
            sql_conn_close(c);
        else
            drain(p->stmt);
    }
    arena_free(&scratch);
    return rc;
}

int sql_conn_run(struct sql_conn *c, const struct sql_statement *s, struct sql_rows *rows, bool *started,
                 struct sql_error *e) {
    uint64_t began = uv_hrtime();
    *started = false;
    *e = (struct sql_error){0};
    int rc = execute(c, s, rows, started, e);
    if (rc < 0) {
        arena_free(&rows->arena);
        rows->result = (struct sql_result){0};
    }
    if (rc == ERR_CLOSED && *started && uv_hrtime() - began >= (uint64_t)c->timeout_ms * 1000000)
        rc = err_set(&e->e, ERR_TIMEOUT, "no answer in %d ms; the connection was given up", c->timeout_ms);
    return rc;
}

int sql_conn_begin(struct sql_conn *c, const char *schema, struct sql_error *e) {
    *e = (struct sql_error){0};
    int rc = choose(c, schema ? schema : NO_SCHEMA, e);
    return rc < 0 ? rc : say(c, "START TRANSACTION", e);
}

int sql_conn_end(struct sql_conn *c, bool commit, struct sql_error *e) {
    *e = (struct sql_error){0};
    return say(c, commit ? "COMMIT" : "ROLLBACK", e);
}
