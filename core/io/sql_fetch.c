/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_fetch.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sql_error.h"
#include <stdlib.h>
#include <string.h>

enum { TEXT_BYTES = 512 }; /* a longer value is fetched a second time, into a place of its size */
static const size_t RESULT_MAX = 256u * 1024 * 1024;

unsigned sql_stmt_errno(MYSQL *mysql, MYSQL_STMT *stmt) {
    return mysql_stmt_errno(stmt) ? mysql_stmt_errno(stmt) : mysql_errno(mysql);
}

int sql_stmt_failed(MYSQL *mysql, MYSQL_STMT *stmt, struct sql_error *e) {
    if (mysql_stmt_errno(stmt)) return sql_error_set(e, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
    return sql_error_set(e, mysql_errno(mysql), mysql_error(mysql));
}

int sql_bind(MYSQL *mysql, MYSQL_STMT *stmt, const struct sql_value *params, int count, struct arena *scratch,
             struct sql_error *e) {
    unsigned long wanted = mysql_stmt_param_count(stmt);
    e->number = 0;
    if (wanted != (unsigned long)count)
        return err_set(&e->e, ERR_INVALID, "the statement has %lu parameters, %d are given", wanted, count);
    if (count == 0) return 0;

    MYSQL_BIND *binds = arena_alloc(scratch, (size_t)count * sizeof *binds);
    for (int i = 0; i < count; i++) {
        const struct sql_value *v = &params[i];
        switch (v->type) {
        case SQL_NULL:
            binds[i].buffer_type = MYSQL_TYPE_NULL;
            break;
        case SQL_INT:
            binds[i].buffer_type = MYSQL_TYPE_LONGLONG;
            binds[i].buffer = (void *)&v->integer;
            break;
        case SQL_DOUBLE:
            binds[i].buffer_type = MYSQL_TYPE_DOUBLE;
            binds[i].buffer = (void *)&v->number;
            break;
        case SQL_TEXT:
            /* Text is compared by the column's collation and finds its index; bytes that are no text must not be
             * called text, or the server refuses them. */
            binds[i].buffer_type = str_is_utf8(v->text, v->len) ? MYSQL_TYPE_STRING : MYSQL_TYPE_BLOB;
            binds[i].buffer = (void *)v->text;
            binds[i].buffer_length = v->len;
            binds[i].length = arena_alloc(scratch, sizeof *binds[i].length);
            *binds[i].length = v->len;
            break;
        }
    }
    return mysql_stmt_bind_param(stmt, binds) ? sql_stmt_failed(mysql, stmt, e) : 0;
}

/* Where one column of the row at hand arrives. */
struct cell {
    int64_t integer;
    double number;
    char *text;
    unsigned long len;
    sql_flag is_null, error;
};

static enum sql_type type_of(const MYSQL_FIELD *f) {
    switch (f->type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_YEAR:
        return SQL_INT;
    case MYSQL_TYPE_FLOAT:
    case MYSQL_TYPE_DOUBLE:
        return SQL_DOUBLE;
    default:
        return SQL_TEXT;
    }
}

static void bind_cell(MYSQL_BIND *b, struct cell *cell, const MYSQL_FIELD *f, struct arena *scratch) {
    b->is_null = &cell->is_null;
    b->error = &cell->error;
    b->length = &cell->len;
    switch (type_of(f)) {
    case SQL_INT:
        b->buffer_type = MYSQL_TYPE_LONGLONG;
        b->buffer = &cell->integer;
        b->is_unsigned = (f->flags & UNSIGNED_FLAG) != 0;
        break;
    case SQL_DOUBLE:
        b->buffer_type = MYSQL_TYPE_DOUBLE;
        b->buffer = &cell->number;
        break;
    default:
        cell->text = arena_alloc(scratch, TEXT_BYTES);
        b->buffer_type = MYSQL_TYPE_STRING;
        b->buffer = cell->text;
        b->buffer_length = TEXT_BYTES;
    }
}

/* A value longer than its cell: asked for again, into the result. */
static int fetch_long(MYSQL *mysql, MYSQL_STMT *stmt, unsigned column, const struct cell *cell, char *out,
                      struct sql_error *e) {
    unsigned long len = cell->len;
    sql_flag is_null = 0, error = 0;
    MYSQL_BIND b = {.buffer_type = MYSQL_TYPE_STRING, .buffer = out, .buffer_length = len, .length = &len};
    b.is_null = &is_null;
    b.error = &error;
    if (mysql_stmt_fetch_column(stmt, &b, column, 0)) return sql_stmt_failed(mysql, stmt, e);
    return 0;
}

static int take_cell(MYSQL *mysql, MYSQL_STMT *stmt, unsigned column, const MYSQL_FIELD *f, const struct cell *cell,
                     struct sql_value *out, struct arena *keep, struct sql_error *e) {
    if (cell->is_null) return 0; /* zeroed is SQL_NULL */
    out->type = type_of(f);
    switch (out->type) {
    case SQL_INT:
        if ((f->flags & UNSIGNED_FLAG) && cell->integer < 0)
            return err_set(&e->e, ERR_INVALID, "column %s holds an integer above %lld", f->name, (long long)INT64_MAX);
        out->integer = cell->integer;
        return 0;
    case SQL_DOUBLE:
        out->number = cell->number;
        return 0;
    default: {
        char *text = arena_alloc(keep, cell->len + 1);
        out->text = text;
        out->len = cell->len;
        if (cell->len > TEXT_BYTES) return fetch_long(mysql, stmt, column, cell, text, e);
        memcpy(text, cell->text, cell->len);
        return 0;
    }
    }
}

static int fetch_all(MYSQL *mysql, MYSQL_STMT *stmt, const MYSQL_FIELD *fields, struct cell *cells,
                     struct sql_rows *rows, struct sql_error *e) {
    struct sql_result *r = &rows->result;
    struct sql_value *values = NULL;
    size_t columns = (size_t)r->columns, room = 0, bytes = 0;
    int rc;

    for (;;) {
        rc = mysql_stmt_fetch(stmt);
        if (rc == MYSQL_NO_DATA) break;
        if (rc != 0 && rc != MYSQL_DATA_TRUNCATED) {
            rc = sql_stmt_failed(mysql, stmt, e);
            goto free_values;
        }
        if (r->rows == room) {
            room = room ? room * 2 : 8;
            values = mem_realloc(values, room * columns * sizeof *values);
        }
        struct sql_value *row = values + r->rows * columns;
        memset(row, 0, columns * sizeof *row);
        for (unsigned i = 0; i < columns; i++) {
            bytes += sizeof *row + (type_of(&fields[i]) == SQL_TEXT && !cells[i].is_null ? cells[i].len : 0);
            if (bytes > RESULT_MAX) {
                rc = err_set(&e->e, ERR_LIMIT, "the result is larger than %zu MiB", RESULT_MAX >> 20);
                goto free_values;
            }
            rc = take_cell(mysql, stmt, i, &fields[i], &cells[i], &row[i], &rows->arena, e);
            if (rc < 0) goto free_values;
        }
        r->rows++;
    }
    if (r->rows) {
        void *kept = arena_alloc(&rows->arena, r->rows * columns * sizeof *values);
        memcpy(kept, values, r->rows * columns * sizeof *values);
        r->values = kept;
    }
    rc = 0;
free_values:
    free(values);
    return rc;
}

int sql_fetch(MYSQL *mysql, MYSQL_STMT *stmt, struct sql_rows *rows, struct arena *scratch, struct sql_error *e) {
    struct sql_result *r = &rows->result;
    int rc;

    e->number = 0;
    /* Asked for after each execution: ALTER TABLE may have given SELECT * other columns. */
    MYSQL_RES *meta = mysql_stmt_result_metadata(stmt);
    if (meta == NULL) {
        if (sql_stmt_errno(mysql, stmt)) return sql_stmt_failed(mysql, stmt, e);
        r->affected = mysql_stmt_affected_rows(stmt);
        r->insert_id = mysql_stmt_insert_id(stmt);
        return 0;
    }
    unsigned columns = mysql_num_fields(meta);
    const MYSQL_FIELD *fields = mysql_fetch_fields(meta);
    MYSQL_BIND *binds = arena_alloc(scratch, columns * sizeof *binds);
    struct cell *cells = arena_alloc(scratch, columns * sizeof *cells);
    const char **names = arena_alloc(&rows->arena, columns * sizeof *names);
    for (unsigned i = 0; i < columns; i++) {
        names[i] = arena_strndup(&rows->arena, fields[i].name, strlen(fields[i].name));
        bind_cell(&binds[i], &cells[i], &fields[i], scratch);
    }
    r->columns = (int)columns;
    r->names = names;
    if (mysql_stmt_bind_result(stmt, binds))
        rc = sql_stmt_failed(mysql, stmt, e);
    else
        rc = fetch_all(mysql, stmt, fields, cells, rows, e);
    mysql_free_result(meta);
    return rc;
}
