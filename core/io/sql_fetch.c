/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_fetch.h"
#include "base/mem.h"
#include "base/str.h"
#include "io/sql_error.h"
#include <stdlib.h>
#include <string.h>

enum {
    TEXT_BYTES = 512, /* a longer value is fetched a second time, into a place of its size */
    KEPT_BYTES = 16384,
    MOMENT_BYTES = 32,
};
size_t sql_result_max = 256u * 1024 * 1024;

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

void sql_rows_free(struct sql_rows *rows) {
    arena_free(&rows->arena);
    free(rows->values);
    *rows = (struct sql_rows){0};
}

/* Where one column of the row at hand arrives. */
struct sql_fetch_cell {
    int64_t integer;
    double number;
    MYSQL_TIME time;
    char *text;
    unsigned long room, len;
    my_bool is_null, error;
};

/* A date with its time is fetched as numbers: the library writes it by printf. */
static bool is_moment(const MYSQL_FIELD *f) {
    return f->type == MYSQL_TYPE_DATETIME || f->type == MYSQL_TYPE_TIMESTAMP;
}

static char *add_digits(char *at, unsigned long n, int count) {
    for (int i = count - 1; i >= 0; i--, n /= 10) at[i] = (char)('0' + n % 10);
    return at + count;
}

/* As the server writes it: 2026-11-22 10:00:00.000123 */
static size_t write_moment(const MYSQL_TIME *t, unsigned decimals, char out[MOMENT_BYTES]) {
    static const unsigned long scale[] = {1000000, 100000, 10000, 1000, 100, 10, 1};
    char *at = add_digits(out, t->year, 4);
    *at++ = '-';
    at = add_digits(at, t->month, 2);
    *at++ = '-';
    at = add_digits(at, t->day, 2);
    *at++ = ' ';
    at = add_digits(at, t->hour, 2);
    *at++ = ':';
    at = add_digits(at, t->minute, 2);
    *at++ = ':';
    at = add_digits(at, t->second, 2);
    if (decimals > 0 && decimals <= 6) {
        *at++ = '.';
        at = add_digits(at, t->second_part / scale[decimals], (int)decimals);
    }
    return (size_t)(at - out);
}

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

/* What no value of the column is longer than, as far as that is not much. */
static size_t text_bytes(const MYSQL_FIELD *f) {
    return f->length < TEXT_BYTES ? f->length : TEXT_BYTES;
}

/* text: room for what a text has */
static void bind_cell(MYSQL_BIND *b, struct sql_fetch_cell *cell, const MYSQL_FIELD *f, char *text) {
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
        if (is_moment(f)) {
            b->buffer_type = f->type;
            b->buffer = &cell->time;
            b->buffer_length = sizeof cell->time;
            break;
        }
        cell->text = text;
        cell->room = text_bytes(f);
        b->buffer_type = MYSQL_TYPE_STRING;
        b->buffer = text;
        b->buffer_length = cell->room;
    }
}

/* A value longer than its cell: asked for again, into the result. */
static int fetch_long(MYSQL *mysql, MYSQL_STMT *stmt, unsigned column, const struct sql_fetch_cell *cell, char *out,
                      struct sql_error *e) {
    unsigned long len = cell->len;
    my_bool is_null = 0, error = 0;
    MYSQL_BIND b = {.buffer_type = MYSQL_TYPE_STRING, .buffer = out, .buffer_length = len, .length = &len};
    b.is_null = &is_null;
    b.error = &error;
    if (mysql_stmt_fetch_column(stmt, &b, column, 0)) return sql_stmt_failed(mysql, stmt, e);
    return 0;
}

static int take_cell(MYSQL *mysql, MYSQL_STMT *stmt, unsigned column, const MYSQL_FIELD *f,
                     const struct sql_fetch_cell *cell, struct sql_value *out, struct arena *keep,
                     struct sql_error *e) {
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
        if (is_moment(f)) {
            char *moment = arena_alloc(keep, MOMENT_BYTES);
            out->text = moment;
            out->len = write_moment(&cell->time, f->decimals, moment);
            return 0;
        }
        char *text = arena_alloc(keep, cell->len + 1);
        out->text = text;
        out->len = cell->len;
        if (cell->len > cell->room) return fetch_long(mysql, stmt, column, cell, text, e);
        memcpy(text, cell->text, cell->len);
        return 0;
    }
    }
}

/* One row, from the cells to the end of the values. */
static int take_row(struct sql_fetch *f, struct sql_error *e) {
    struct sql_result *r = &f->rows->result;
    size_t columns = (size_t)r->columns;

    if (r->rows == f->room) {
        f->room = f->room ? f->room * 2 : 8;
        f->rows->values = mem_realloc(f->rows->values, f->room * columns * sizeof *f->rows->values);
    }
    struct sql_value *row = f->rows->values + r->rows * columns;
    memset(row, 0, columns * sizeof *row);
    for (unsigned i = 0; i < columns; i++) {
        const struct sql_fetch_cell *cell = &f->cells[i];
        f->bytes += sizeof *row + (type_of(&f->fields[i]) == SQL_TEXT && !cell->is_null ? cell->len : 0);
        if (f->bytes > sql_result_max)
            return err_set(&e->e, ERR_LIMIT, "the result is larger than %zu MiB", sql_result_max >> 20);
        int rc = take_cell(f->mysql, f->stmt, i, &f->fields[i], cell, &row[i], &f->rows->arena, e);
        if (rc < 0) return rc;
    }
    r->rows++;
    return 0;
}

/* The cells and then the binds, zeroed, and behind them the texts. */
static MYSQL_BIND *take_memory(struct sql_fetch *f, unsigned columns) {
    size_t cells = columns * sizeof *f->cells, binds = columns * sizeof(MYSQL_BIND), texts = 0;
    for (unsigned i = 0; i < columns; i++) texts += text_bytes(&f->fields[i]);
    if (cells + binds + texts > f->cap) {
        free(f->memory);
        f->cap = cells + binds + texts;
        f->memory = mem_alloc(f->cap);
    }
    memset(f->memory, 0, cells + binds);
    f->cells = (struct sql_fetch_cell *)f->memory;
    return (MYSQL_BIND *)(f->memory + cells);
}

int sql_fetch_begin(struct sql_fetch *f, MYSQL *mysql, MYSQL_STMT *stmt, struct sql_rows *rows, struct sql_error *e) {
    struct sql_result *r = &rows->result;

    *f = (struct sql_fetch){.mysql = mysql, .stmt = stmt, .rows = rows, .memory = f->memory, .cap = f->cap};
    e->number = 0;
    /* Asked for after each execution: ALTER TABLE may have given SELECT * other columns. */
    f->meta = mysql_stmt_result_metadata(stmt);
    if (f->meta == NULL) {
        if (sql_stmt_errno(mysql, stmt)) return sql_stmt_failed(mysql, stmt, e);
        r->affected = mysql_stmt_affected_rows(stmt);
        r->insert_id = mysql_stmt_insert_id(stmt);
        return 0;
    }
    unsigned columns = mysql_num_fields(f->meta);
    f->fields = mysql_fetch_fields(f->meta);
    MYSQL_BIND *binds = take_memory(f, columns);
    char *text = (char *)(binds + columns);
    const char **names = arena_alloc(&rows->arena, columns * sizeof *names);
    for (unsigned i = 0; i < columns; i++) {
        names[i] = arena_strndup(&rows->arena, f->fields[i].name, strlen(f->fields[i].name));
        bind_cell(&binds[i], &f->cells[i], &f->fields[i], text);
        text += text_bytes(&f->fields[i]);
    }
    r->columns = (int)columns;
    r->names = names;
    return mysql_stmt_bind_result(stmt, binds) ? sql_stmt_failed(mysql, stmt, e) : 1;
}

int sql_fetch_row(struct sql_fetch *f, int fetched, struct sql_error *e) {
    if (fetched == MYSQL_NO_DATA) {
        f->rows->result.values = f->rows->values;
        return 0;
    }
    if (fetched != 0 && fetched != MYSQL_DATA_TRUNCATED) return sql_stmt_failed(f->mysql, f->stmt, e);
    int rc = take_row(f, e);
    return rc < 0 ? rc : 1;
}

void sql_fetch_end(struct sql_fetch *f) {
    bool keeps = f->cap <= KEPT_BYTES;
    if (f->meta) mysql_free_result(f->meta);
    if (!keeps) free(f->memory);
    *f = (struct sql_fetch){.memory = keeps ? f->memory : NULL, .cap = keeps ? f->cap : 0};
}

void sql_fetch_free(struct sql_fetch *f) {
    free(f->memory);
    *f = (struct sql_fetch){0};
}
