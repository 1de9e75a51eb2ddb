/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_connection.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include <errmsg.h>
#include <mysql.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE = 64, SCHEMA_MAX = 80, CONNECT_TIMEOUT_S = 3, PARAMS_MAX = 256, COLUMNS_MAX = 256, CELL_MAX = 16 * 1024 * 1024 };

struct prepared {
    MYSQL_STMT *stmt; /* NULL: free place */
    uint64_t hash;
    char *text;
    char schema[SCHEMA_MAX]; /* a statement is bound to the schema it was prepared in */
    uint64_t used;
};

struct sql_connection {
    const struct sql_opts *o;
    MYSQL *mysql; /* NULL: not connected */
    char schema[SCHEMA_MAX];
    struct prepared cache[CACHE];
    uint64_t uses;
};

struct sql_connection *sql_connection_new(const struct sql_opts *o) {
    struct sql_connection *c = mem_alloc(sizeof *c);

    c->o = o;
    return c;
}

static void prepared_drop(struct prepared *p) {
    if (p->stmt != NULL) mysql_stmt_close(p->stmt);
    free(p->text);
    memset(p, 0, sizeof *p);
}

static void disconnect(struct sql_connection *c) {
    for (int i = 0; i < CACHE; i++) prepared_drop(&c->cache[i]);
    if (c->mysql != NULL) mysql_close(c->mysql);
    c->mysql = NULL;
    c->schema[0] = 0;
}

void sql_connection_free(struct sql_connection *c) {
    if (c == NULL) return;
    disconnect(c);
    free(c);
}

/* -- errors ------------------------------------------------------------------------------------------------------------ */

static bool is_loss(unsigned number) { return number == CR_SERVER_GONE_ERROR || number == CR_SERVER_LOST || number == ER_CONNECTION_KILLED; }

static int code_of(unsigned number) {
    switch (number) {
    case ER_DUP_ENTRY:
        return ERR_EXISTS;
    case ER_LOCK_DEADLOCK:
    case ER_LOCK_WAIT_TIMEOUT:
        return ERR_BUSY;
    case ER_CON_COUNT_ERROR:
        return ERR_LIMIT;
    case ER_ACCESS_DENIED_ERROR:
    case ER_DBACCESS_DENIED_ERROR:
        return ERR_DENIED;
    default:
        return is_loss(number) || (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) ? ERR_CLOSED : ERR_INVALID;
    }
}

static void set_error(struct sql_answer *a, unsigned number, const char *text) {
    a->error.number = number;
    err_set(&a->error.e, code_of(number), "%s", text);
}

/* A read that ran into our own limit looks like a lost server: the clock tells them apart. */
static void set_statement_error(struct sql_connection *c, struct sql_answer *a, unsigned number, const char *text, uint64_t began_ms) {
    int limit = c->o->statement_timeout_ms;

    set_error(a, number, text);
    if (number == CR_SERVER_LOST && limit > 0 && clock_mono_ms() - began_ms + 50 >= (uint64_t)limit)
        err_set(&a->error.e, ERR_TIMEOUT, "the statement took longer than %d ms", limit);
}

/* -- connecting ---------------------------------------------------------------------------------------------------------- */

static int connect_now(struct sql_connection *c, struct sql_answer *a) {
    static const char setup[] = "SET time_zone = '+00:00', sql_mode = 'STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'";
    unsigned connect_s = CONNECT_TIMEOUT_S;
    unsigned read_s = (unsigned)(c->o->statement_timeout_ms + 999) / 1000;
    my_bool off = 0;

    if (c->mysql != NULL) return 0;
    c->mysql = mysql_init(NULL);
    mysql_options(c->mysql, MYSQL_OPT_CONNECT_TIMEOUT, &connect_s);
    if (read_s > 0) mysql_options(c->mysql, MYSQL_OPT_READ_TIMEOUT, &read_s);
    if (read_s > 0) mysql_options(c->mysql, MYSQL_OPT_WRITE_TIMEOUT, &read_s);
    mysql_options(c->mysql, MYSQL_OPT_RECONNECT, &off);
    mysql_options(c->mysql, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    if (mysql_real_connect(c->mysql, c->o->socket != NULL ? NULL : c->o->host, c->o->user, c->o->password, NULL, (unsigned)c->o->port,
                           c->o->socket, 0) == NULL ||
        mysql_query(c->mysql, setup) != 0 || mysql_query(c->mysql, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED") != 0) {
        set_error(a, mysql_errno(c->mysql), mysql_error(c->mysql));
        disconnect(c);
        return -1;
    }
    return 0;
}

static int use_schema(struct sql_connection *c, const char *schema, struct sql_answer *a) {
    if (schema == NULL || strcmp(schema, c->schema) == 0) return 0;
    if (strlen(schema) >= SCHEMA_MAX) {
        err_set(&a->error.e, ERR_INVALID, "the schema's name is too long");
        return -1;
    }
    if (mysql_select_db(c->mysql, schema) != 0) {
        set_error(a, mysql_errno(c->mysql), mysql_error(c->mysql));
        c->schema[0] = 0; /* what is selected now is not known */
        return -1;
    }
    str_copy(c->schema, sizeof c->schema, schema);
    return 0;
}

/* -- statements ------------------------------------------------------------------------------------------------------------ */

static uint64_t hash_of(const char *schema, const char *text, size_t len) {
    uint64_t h = 14695981039346656037u;

    for (const char *p = schema; *p; p++) h = (h ^ (unsigned char)*p) * 1099511628211u;
    h *= 1099511628211u;
    for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h;
}

/* The prepared statement for (schema, text), from the cache or made new in the place unused for longest. */
static struct prepared *prepare(struct sql_connection *c, const char *text, size_t len, struct sql_answer *a) {
    uint64_t hash = hash_of(c->schema, text, len);
    struct prepared *place = &c->cache[0];

    for (int i = 0; i < CACHE; i++) {
        struct prepared *p = &c->cache[i];
        if (p->stmt != NULL && p->hash == hash && strlen(p->text) == len && memcmp(p->text, text, len) == 0 &&
            strcmp(p->schema, c->schema) == 0) {
            p->used = ++c->uses;
            return p;
        }
        if (p->used < place->used) place = p;
    }
    prepared_drop(place);
    place->stmt = mysql_stmt_init(c->mysql);
    if (mysql_stmt_prepare(place->stmt, text, len) != 0) {
        set_error(a, mysql_stmt_errno(place->stmt), mysql_stmt_error(place->stmt));
        prepared_drop(place);
        return NULL;
    }
    place->hash = hash;
    place->text = mem_alloc(len + 1);
    memcpy(place->text, text, len);
    str_copy(place->schema, sizeof place->schema, c->schema);
    place->used = ++c->uses;
    return place;
}

static void bind_params(const struct sql_value *params, int count, MYSQL_BIND *bind) {
    memset(bind, 0, (size_t)count * sizeof *bind);
    for (int i = 0; i < count; i++) {
        const struct sql_value *v = &params[i];
        switch (v->type) {
        case SQL_NULL:
            bind[i].buffer_type = MYSQL_TYPE_NULL;
            break;
        case SQL_INT:
            bind[i].buffer_type = MYSQL_TYPE_LONGLONG;
            bind[i].buffer = (void *)(uintptr_t)&v->integer;
            break;
        case SQL_DOUBLE:
            bind[i].buffer_type = MYSQL_TYPE_DOUBLE;
            bind[i].buffer = (void *)(uintptr_t)&v->number;
            break;
        case SQL_TEXT:
            bind[i].buffer_type = MYSQL_TYPE_STRING;
            bind[i].buffer = (void *)(uintptr_t)v->text;
            bind[i].buffer_length = v->len;
            break;
        }
    }
}

struct column {
    enum sql_type type;
    bool is_unsigned;
    int64_t integer;
    double number;
    char *text;
    unsigned long len;
    my_bool null, cut;
};

static int fetch_rows(MYSQL_STMT *stmt, MYSQL_RES *meta, struct sql_answer *a) {
    int columns = (int)mysql_num_fields(meta);
    MYSQL_FIELD *fields;
    MYSQL_BIND bind[COLUMNS_MAX];
    struct column *col;
    const char **names;
    struct sql_value *values;
    size_t rows, row = 0;
    my_bool lengths = 1;
    int rc;

    if (columns > COLUMNS_MAX) return err_set(&a->error.e, ERR_LIMIT, "more than %d columns", COLUMNS_MAX);
    mysql_stmt_attr_set(stmt, STMT_ATTR_UPDATE_MAX_LENGTH, &lengths);
    if (mysql_stmt_store_result(stmt) != 0) {
        set_error(a, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
        return -1;
    }
    fields = mysql_fetch_fields(meta);
    rows = (size_t)mysql_stmt_num_rows(stmt);
    col = arena_alloc(&a->arena, (size_t)columns * sizeof *col);
    names = arena_alloc(&a->arena, (size_t)columns * sizeof *names);
    values = arena_alloc(&a->arena, (rows == 0 ? 1 : rows) * (size_t)columns * sizeof *values);
    memset(bind, 0, (size_t)columns * sizeof *bind);
    for (int i = 0; i < columns; i++) {
        names[i] = arena_strndup(&a->arena, fields[i].name, strlen(fields[i].name));
        bind[i].is_null = &col[i].null;
        bind[i].length = &col[i].len;
        bind[i].error = &col[i].cut;
        switch (fields[i].type) {
        case MYSQL_TYPE_TINY:
        case MYSQL_TYPE_SHORT:
        case MYSQL_TYPE_INT24:
        case MYSQL_TYPE_LONG:
        case MYSQL_TYPE_LONGLONG:
        case MYSQL_TYPE_YEAR:
            col[i].type = SQL_INT;
            col[i].is_unsigned = (fields[i].flags & UNSIGNED_FLAG) != 0;
            bind[i].buffer_type = MYSQL_TYPE_LONGLONG;
            bind[i].is_unsigned = col[i].is_unsigned;
            bind[i].buffer = &col[i].integer;
            break;
        case MYSQL_TYPE_FLOAT:
        case MYSQL_TYPE_DOUBLE:
            col[i].type = SQL_DOUBLE;
            bind[i].buffer_type = MYSQL_TYPE_DOUBLE;
            bind[i].buffer = &col[i].number;
            break;
        default: { /* text, bytes, decimals, dates and times: as text */
            /* A date's max_length is that of its binary form; its text takes at most 27 characters. */
            unsigned long size = fields[i].max_length < 64 ? 64 : fields[i].max_length;
            if (size > CELL_MAX) return err_set(&a->error.e, ERR_LIMIT, "column %s holds more than 16 MiB", names[i]);
            col[i].type = SQL_TEXT;
            col[i].text = arena_alloc(&a->arena, size + 1);
            bind[i].buffer_type = MYSQL_TYPE_STRING;
            bind[i].buffer = col[i].text;
            bind[i].buffer_length = size;
            break;
        }
        }
    }
    if (mysql_stmt_bind_result(stmt, bind) != 0) {
        set_error(a, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
        return -1;
    }
    while (row < rows && (rc = mysql_stmt_fetch(stmt)) != MYSQL_NO_DATA) {
        if (rc == 1) {
            set_error(a, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
            return -1;
        }
        for (int i = 0; i < columns; i++) {
            struct sql_value *v = &values[row * (size_t)columns + (size_t)i];
            if (col[i].null) continue; /* SQL_NULL is 0 */
            v->type = col[i].type;
            if (v->type == SQL_INT) {
                if (col[i].is_unsigned && col[i].integer < 0)
                    return err_set(&a->error.e, ERR_INVALID, "column %s holds an integer beyond 2^63; select it as text", names[i]);
                v->integer = col[i].integer;
            } else if (v->type == SQL_DOUBLE) {
                v->number = col[i].number;
            } else {
                if (col[i].len > bind[i].buffer_length)
                    return err_set(&a->error.e, ERR_LIMIT, "column %s came longer than it was said to be", names[i]);
                v->text = arena_strndup(&a->arena, col[i].text, col[i].len);
                v->len = col[i].len;
            }
        }
        row++;
    }
    a->result.columns = columns;
    a->result.names = names;
    a->result.rows = row;
    a->result.values = values;
    return 0;
}

/* repeatable: the server cannot have seen the statement. */
static int exec_once(struct sql_connection *c, const char *schema, const char *text, size_t len, const struct sql_value *params, int count,
                     struct sql_answer *a, bool *repeatable) {
    MYSQL_BIND bind[PARAMS_MAX];
    struct prepared *p;
    MYSQL_RES *meta;
    uint64_t began_ms = clock_mono_ms();
    int rc = 0;

    *repeatable = true;
    if (use_schema(c, schema, a) < 0) return -1;
    p = prepare(c, text, len, a);
    if (p == NULL) return -1;
    if ((int)mysql_stmt_param_count(p->stmt) != count)
        return err_set(&a->error.e, ERR_INVALID, "the statement has %lu places for parameters, %d were given",
                       mysql_stmt_param_count(p->stmt), count);
    bind_params(params, count, bind);
    if (count > 0 && mysql_stmt_bind_param(p->stmt, bind) != 0) {
        set_error(a, mysql_stmt_errno(p->stmt), mysql_stmt_error(p->stmt));
        return -1;
    }
    if (mysql_stmt_execute(p->stmt) != 0) {
        unsigned number = mysql_stmt_errno(p->stmt);
        *repeatable = number == CR_SERVER_GONE_ERROR; /* lost in the middle: it may have been done */
        set_statement_error(c, a, number, mysql_stmt_error(p->stmt), began_ms);
        /* The table was changed under it: prepare it again next time. */
        if (a->error.e.code != ERR_CLOSED && number != ER_DUP_ENTRY && a->error.e.code != ERR_BUSY) prepared_drop(p);
        return -1;
    }
    *repeatable = false;
    meta = mysql_stmt_result_metadata(p->stmt);
    if (meta == NULL) {
        a->result.affected = mysql_stmt_affected_rows(p->stmt);
        a->result.insert_id = mysql_stmt_insert_id(p->stmt);
        return 0;
    }
    rc = fetch_rows(p->stmt, meta, a);
    mysql_free_result(meta);
    mysql_stmt_free_result(p->stmt);
    return rc;
}

static void forget_answer(struct sql_answer *a) {
    memset(&a->error, 0, sizeof a->error);
    memset(&a->result, 0, sizeof a->result);
}

void sql_connection_exec(struct sql_connection *c, bool in_transaction, const char *schema, const char *text, size_t len,
                         const struct sql_value *params, int count, struct sql_answer *a) {
    for (int attempt = 0; attempt < 2; attempt++) {
        bool repeatable;
        forget_answer(a);
        if (in_transaction && c->mysql == NULL) {
            err_set(&a->error.e, ERR_CLOSED, "the connection was lost, and the transaction with it");
            return;
        }
        if (connect_now(c, a) < 0) return;
        if (exec_once(c, schema, text, len, params, count, a, &repeatable) == 0) return;
        if (a->error.e.code == ERR_CLOSED || a->error.e.code == ERR_TIMEOUT) {
            disconnect(c);
            if (in_transaction || !repeatable || a->error.e.code == ERR_TIMEOUT) return;
        } else if (a->error.number == ER_NO_DB_ERROR && schema != NULL && !in_transaction) {
            c->schema[0] = 0; /* the schema was dropped and made anew behind our back */
        } else {
            return;
        }
    }
}

void sql_connection_begin(struct sql_connection *c, const char *schema, struct sql_answer *a) {
    for (int attempt = 0; attempt < 2; attempt++) {
        forget_answer(a);
        if (connect_now(c, a) < 0) return;
        if (use_schema(c, schema, a) == 0) {
            if (mysql_query(c->mysql, "START TRANSACTION") == 0) return;
            set_error(a, mysql_errno(c->mysql), mysql_error(c->mysql));
        }
        if (a->error.e.code != ERR_CLOSED) return;
        disconnect(c);
    }
}

void sql_connection_end(struct sql_connection *c, bool commit, struct sql_answer *a) {
    if (c->mysql == NULL) {
        if (commit) err_set(&a->error.e, ERR_CLOSED, "the connection was lost, and the transaction with it");
        return;
    }
    if (mysql_query(c->mysql, commit ? "COMMIT" : "ROLLBACK") == 0) return;
    set_error(a, mysql_errno(c->mysql), mysql_error(c->mysql));
    disconnect(c); /* whatever state it is in, the next user gets a clean one */
    if (!commit) memset(&a->error, 0, sizeof a->error);
}
