/* SPDX-License-Identifier: Apache-2.0 */
/* A pool of io/sql on a private MariaDB, and what its tests ask it by. */
#pragma once
#include "io/sql.h"
#include "world_mysql.h"

static uv_loop_t loop;
static struct sql_pool *pool;
static int closed;

static inline void open_pool_with(int connections, int queue_limit, int timeout_ms) {
    const struct sql_opts opts = {.name = "main",
                                  .socket = world_mysql_socket,
                                  .user = "root",
                                  .password = "",
                                  .connections = connections,
                                  .queue_limit = queue_limit,
                                  .statement_timeout_ms = timeout_ms};
    struct err e;
    closed = 0;
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK_INT(0, sql_pool_open(&pool, &loop, &opts, NULL, &e));
}
static inline void open_pool(int connections) {
    open_pool_with(connections, 0, 5000);
}

static inline void on_closed(void *arg) {
    (*(int *)arg)++;
}
static inline void close_pool(void) {
    sql_pool_close(pool, on_closed, &closed);
    CHECK(world_turn(&loop, &closed, 1, 6000));
    CHECK_INT(0, uv_loop_close(&loop));
}

/* What one statement gave: all cells as text, "NULL" for NULL, with | between columns and newline behind rows. */
struct answer {
    int done;
    int code;
    unsigned number;
    char error[256];
    char text[1024];
    int columns;
    size_t rows;
    enum sql_type type; /* of the first cell */
    size_t len;
    uint64_t affected, insert_id;
};

static inline void note(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct answer *a = arg;
    size_t used = 0;
    a->done++;
    if (r == NULL) {
        a->code = e->e.code;
        a->number = e->number;
        snprintf(a->error, sizeof a->error, "%s", e->e.text);
        return;
    }
    assert_null(e);
    a->columns = r->columns;
    a->rows = r->rows;
    a->affected = r->affected;
    a->insert_id = r->insert_id;
    for (size_t i = 0; i < r->rows * (size_t)r->columns; i++) {
        const struct sql_value *v = &r->values[i];
        char cell[512] = "NULL";
        if (i == 0) a->type = v->type, a->len = v->len;
        if (v->type == SQL_INT) snprintf(cell, sizeof cell, "%lld", (long long)v->integer);
        if (v->type == SQL_DOUBLE) snprintf(cell, sizeof cell, "%g", v->number);
        if (v->type == SQL_TEXT) snprintf(cell, sizeof cell, "%.*s", (int)(v->len < 500 ? v->len : 500), v->text);
        if (used + strlen(cell) + 2 > sizeof a->text) return;
        used += (size_t)sprintf(a->text + used, "%s%s", cell, (i + 1) % (size_t)r->columns ? "|" : "\n");
    }
}

static inline struct sql_value text_value(const char *s) {
    return (struct sql_value){.type = SQL_TEXT, .text = s, .len = strlen(s)};
}
static inline struct sql_value int_value(int64_t n) {
    return (struct sql_value){.type = SQL_INT, .integer = n};
}

static inline struct answer ask_with(struct sql_lease *lease, const char *schema, const char *text,
                                     const struct sql_value *params, int count) {
    struct answer a = {0};
    sql_exec(pool, lease, schema, text, strlen(text), params, count, note, &a);
    CHECK_INT(0, a.done); /* never from inside */
    CHECK(world_turn(&loop, &a.done, 1, 20000));
    CHECK_INT(1, a.done);
    return a;
}
static inline struct answer ask(const char *text) {
    return ask_with(NULL, "t", text, NULL, 0);
}
static inline void must(const char *text) {
    struct answer a = ask(text);
    if (a.code) fail_msg("%s: %s", text, a.error);
}

struct begun {
    int done;
    struct sql_lease *lease;
    struct sql_error error;
};
static inline void on_begun(void *arg, struct sql_lease *lease, const struct sql_error *e) {
    struct begun *b = arg;
    b->done++;
    b->lease = lease;
    if (e) b->error = *e;
}
static inline struct sql_lease *begin(const char *schema) {
    struct begun b = {0};
    sql_begin(pool, schema, on_begun, &b);
    CHECK(world_turn(&loop, &b.done, 1, 8000));
    assert_non_null(b.lease);
    return b.lease;
}
static inline struct answer end(struct sql_lease *lease, bool commit) {
    struct answer a = {0};
    sql_end(pool, lease, commit, note, &a);
    CHECK(world_turn(&loop, &a.done, 1, 8000));
    return a;
}
static inline struct answer in(struct sql_lease *lease, const char *text) {
    return ask_with(lease, NULL, text, NULL, 0);
}

static inline void fresh_schema(void) {
    world_mysql_do("DROP DATABASE IF EXISTS t");
    world_mysql_do("CREATE DATABASE t CHARACTER SET utf8mb4");
}

/* How many statements have ended, and how. */
struct tally {
    int done, ok, limited, other;
};
static inline void count_up(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct tally *t = arg;
    t->done++;
    if (r)
        t->ok++;
    else if (e->e.code == ERR_LIMIT)
        t->limited++;
    else
        t->other++;
}

static inline int sql_world_start(void **state) {
    (void)state;
    world_mysql_start();
    return 0;
}

static inline int sql_world_end(void **state) {
    (void)state;
    world_kill(&world_mysql_pid, SIGKILL);
    world_end();
    return 0;
}
