/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "base/mem.h"
#include "io/sql.h"
#include "io/sql_error.h"
#include "io/sql_fetch.h"
#include "world_mysql.h"
#include <poll.h>
#include <pthread.h>
#include <sys/un.h>

static uv_loop_t loop;
static struct sql_pool *pool;
static int closed;

static void open_pool_with(int connections, int queue_limit, int timeout_ms) {
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
static void open_pool(int connections) {
    open_pool_with(connections, 0, 5000);
}

static void on_closed(void *arg) {
    (*(int *)arg)++;
}
static void close_pool(void) {
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

static void note(void *arg, const struct sql_result *r, const struct sql_error *e) {
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

static struct sql_value text_value(const char *s) {
    return (struct sql_value){.type = SQL_TEXT, .text = s, .len = strlen(s)};
}
static struct sql_value int_value(int64_t n) {
    return (struct sql_value){.type = SQL_INT, .integer = n};
}

static struct answer ask_with(struct sql_lease *lease, const char *schema, const char *text,
                              const struct sql_value *params, int count) {
    struct answer a = {0};
    sql_exec(pool, lease, schema, text, strlen(text), params, count, note, &a);
    CHECK_INT(0, a.done); /* never from inside */
    CHECK(world_turn(&loop, &a.done, 1, 20000));
    CHECK_INT(1, a.done);
    return a;
}
static struct answer ask(const char *text) {
    return ask_with(NULL, "t", text, NULL, 0);
}
static void must(const char *text) {
    struct answer a = ask(text);
    if (a.code) fail_msg("%s: %s", text, a.error);
}

struct begun {
    int done;
    struct sql_lease *lease;
    struct sql_error error;
};
static void on_begun(void *arg, struct sql_lease *lease, const struct sql_error *e) {
    struct begun *b = arg;
    b->done++;
    b->lease = lease;
    if (e) b->error = *e;
}
static struct sql_lease *begin(const char *schema) {
    struct begun b = {0};
    sql_begin(pool, schema, on_begun, &b);
    CHECK(world_turn(&loop, &b.done, 1, 8000));
    assert_non_null(b.lease);
    return b.lease;
}
static struct answer end(struct sql_lease *lease, bool commit) {
    struct answer a = {0};
    sql_end(pool, lease, commit, note, &a);
    CHECK(world_turn(&loop, &a.done, 1, 8000));
    return a;
}
static struct answer in(struct sql_lease *lease, const char *text) {
    return ask_with(lease, NULL, text, NULL, 0);
}

static void fresh_schema(void) {
    world_mysql_do("DROP DATABASE IF EXISTS t");
    world_mysql_do("CREATE DATABASE t CHARACTER SET utf8mb4");
}

/* -- values --------------------------------------------------------------------------------------------------- */

TEST(each_type_comes_back_as_the_header_says) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE v (id BIGINT AUTO_INCREMENT PRIMARY KEY, i INT, s SMALLINT UNSIGNED, b BIGINT, u BIGINT "
         "UNSIGNED, "
         "f FLOAT, d DOUBLE, n DECIMAL(20,6), day DATE, t TIME(3), at DATETIME(6), c VARCHAR(50), bin VARBINARY(50), "
         "y YEAR, flag BOOLEAN, e ENUM('one','two'))");
    struct answer a =
        ask("INSERT INTO v (i,s,b,u,f,d,n,day,t,at,c,bin,y,flag,e) VALUES (-5, 65535, -9223372036854775808, "
            "9223372036854775807, 0.5, 1e300, 12345678901234.567891, '2026-02-28', '-101:02:03.456', "
            "'2026-11-22 10:00:00.000123', 'Zoë ☎', x'00ff', 2026, true, 'two')");
    CHECK_STR("", a.error);
    CHECK_INT(1, a.affected);
    CHECK_INT(1, a.insert_id);
    CHECK_INT(0, a.columns);
    a = ask("SELECT i,s,b,u,f,d,n,day,t,at,c,HEX(bin),y,flag,e FROM v");
    CHECK_STR("-5|65535|-9223372036854775808|9223372036854775807|0.5|1e+300|12345678901234.567891|2026-02-28|"
              "-101:02:03.456|2026-11-22 10:00:00.000123|Zoë ☎|00FF|2026|1|two\n",
              a.text);
    a = ask("SELECT bin FROM v");
    CHECK_INT(SQL_TEXT, a.type);
    CHECK_INT(2, a.len);
    must("INSERT INTO v () VALUES ()");
    CHECK_STR("NULL|NULL|NULL|NULL|NULL\n", ask("SELECT i, n, at, c, bin FROM v WHERE id = 2").text);
    CHECK_STR("2026-11-22 10:00:00.000000\n", ask("SELECT CAST('2026-11-22 10:00:00' AS DATETIME(6))").text);
    close_pool();
}

TEST(parameters_of_each_type_go_in_as_they_are) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE v (i BIGINT, d DOUBLE, c VARCHAR(50), bin VARBINARY(50), at DATETIME(6), n DECIMAL(20,6), x "
         "INT)");
    const struct sql_value params[] = {int_value(INT64_MIN),
                                       {.type = SQL_DOUBLE, .number = 0.1},
                                       text_value("Zoë ☎"),
                                       {.type = SQL_TEXT, .text = "\xff\0\xfe", .len = 3},
                                       text_value("2026-11-22 10:00:00.000123"),
                                       text_value("12.345678"),
                                       {0}};
    struct answer a = ask_with(NULL, "t", "INSERT INTO v VALUES (?,?,?,?,?,?,?)", params, 7);
    CHECK_STR("", a.error);
    CHECK_STR("-9223372036854775808|0.1|Zoë ☎|FF00FE|2026-11-22 10:00:00.000123|12.345678|NULL\n",
              ask("SELECT i, d, c, HEX(bin), at, n, x FROM v").text);
    CHECK_INT(1, ask_with(NULL, "t", "SELECT 1 FROM v WHERE c = ? AND bin = ?", params + 2, 2).rows);
    close_pool();
}

TEST(an_integer_beyond_int64_is_an_error_and_not_wrapped) {
    open_pool(1);
    struct answer a = ask("SELECT CAST(18446744073709551615 AS UNSIGNED)");
    CHECK_INT(ERR_INVALID, a.code);
    CHECK_STR("7\n", ask("SELECT 7").text); /* the connection is still in step */
    close_pool();
}

static size_t large_len;
static int large_ok;
static void note_large(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct answer *a = arg;
    a->done++;
    a->code = e ? e->e.code : 0;
    if (r == NULL || r->rows == 0) return;
    large_len = r->values[0].len;
    large_ok = 1;
    for (size_t i = 0; i < large_len; i++)
        if ((unsigned char)r->values[0].text[i] != (unsigned char)(i * 7 + 255)) large_ok = 0;
}

TEST(a_blob_of_16_mib_goes_both_ways_and_a_longer_one_is_refused) {
    const size_t len = 16 * 1024 * 1024;
    char *bytes = mem_alloc(len + 1);
    for (size_t i = 0; i < len; i++) bytes[i] = (char)(i * 7 + 255);
    fresh_schema();
    open_pool(2);
    must("CREATE TABLE b (data LONGBLOB)");
    struct sql_value v = {.type = SQL_TEXT, .text = bytes, .len = len};
    struct answer a = ask_with(NULL, "t", "INSERT INTO b VALUES (?)", &v, 1);
    CHECK_STR("", a.error);
    static const char select[] = "SELECT data FROM b";
    struct answer got = {0};
    sql_exec(pool, NULL, "t", select, strlen(select), NULL, 0, note_large, &got);
    CHECK(world_turn(&loop, &got.done, 1, 8000));
    CHECK_INT(0, got.code);
    CHECK_INT(len, large_len);
    CHECK(large_ok);
    v.len = len + 1;
    CHECK_INT(ERR_LIMIT, ask_with(NULL, "t", "INSERT INTO b VALUES (?)", &v, 1).code);
    close_pool();
    free(bytes);
}

TEST(a_parameter_is_never_sql_whatever_it_holds) {
    static const char *const nasty[] = {
        "'; DROP TABLE s; -- ",  "\\'; DROP TABLE s; #", "\" OR 1=1 --",     "?", "%s%n", "\xbf' OR 1=1",
        "x' UNION SELECT 1 -- ", "'||(SELECT 1)||'",     "\xf0\x9f\x92\xa3", ""};
    fresh_schema();
    open_pool(2);
    must("CREATE TABLE s (id INT AUTO_INCREMENT PRIMARY KEY, v VARBINARY(100))");
    for (size_t i = 0; i < sizeof nasty / sizeof *nasty; i++) {
        struct sql_value v = text_value(nasty[i]);
        CHECK_INT(0, ask_with(NULL, "t", "INSERT INTO s (v) VALUES (?)", &v, 1).code);
        struct answer a = ask_with(NULL, "t", "SELECT v FROM s WHERE v = ?", &v, 1);
        CHECK_INT(1, a.rows);
        CHECK_INT(strlen(nasty[i]), a.len);
    }
    CHECK_INT(ERR_INVALID, ask("SELECT 1; DROP TABLE s").code); /* one statement, or none */
    CHECK_STR("10\n", ask("SELECT COUNT(*) FROM s").text);
    close_pool();
}

/* -- statements ----------------------------------------------------------------------------------------------- */

TEST(errors_say_what_a_program_can_do) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE k (id INT PRIMARY KEY, name VARCHAR(3) NOT NULL)");
    must("INSERT INTO k VALUES (1, 'a')");
    struct answer a = ask("INSERT INTO k VALUES (1, 'b')");
    CHECK_INT(ERR_EXISTS, a.code);
    CHECK_INT(1062, a.number);
    a = ask("SELEC 1");
    CHECK_INT(ERR_INVALID, a.code);
    CHECK_INT(1064, a.number);
    CHECK_INT(ERR_INVALID, ask("INSERT INTO k VALUES (2, 'long')").code); /* strict: nothing is cut */
    CHECK_INT(ERR_INVALID, ask("INSERT INTO k (id) VALUES (2)").code);
    CHECK_INT(ERR_INVALID, ask("INSERT INTO k VALUES ('x', 'a')").code);
    CHECK_INT(ERR_INVALID, ask("SELECT * FROM missing").code);
    CHECK_INT(ERR_NOT_FOUND, ask_with(NULL, "no_such_schema", "SELECT 1", NULL, 0).code);
    CHECK_INT(ERR_INVALID, ask("SELECT ?").code);
    const struct sql_value two[] = {int_value(1), int_value(2)};
    CHECK_INT(ERR_INVALID, ask_with(NULL, "t", "SELECT ?", two, 2).code);
    CHECK_STR("1\n", ask("SELECT COUNT(*) FROM k").text);
    close_pool();
}

TEST(what_would_change_the_connection_for_the_next_is_refused) {
    static const char *const bad[] = {"USE mysql",
                                      " use`mysql`",
                                      "/* x */ USE mysql",
                                      "-- x\nUSE mysql",
                                      "# x\n USE mysql",
                                      "/*!USE mysql*/",
                                      "/*M!100000 USE mysql*/",
                                      "SET time_zone='+05:00'",
                                      "BEGIN",
                                      "START TRANSACTION",
                                      "commit",
                                      "LOCK TABLES k READ",
                                      "XA START 'x'",
                                      ";USE mysql"};
    static const char *const good[] = {
        "SELECT 1", "/* USE x */ SELECT 1", "UPDATE k SET a = 1", "USER", "SETTLE", "", "/*", "--"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_non_null(sql_text_refused(bad[i], strlen(bad[i])));
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) assert_null(sql_text_refused(good[i], strlen(good[i])));
    fresh_schema();
    open_pool(1);
    CHECK_INT(ERR_INVALID, ask("USE mysql").code);
    CHECK_STR("t\n", ask("SELECT DATABASE()").text);
    must("CREATE PROCEDURE p() BEGIN START TRANSACTION; SELECT 1; END");
    CHECK_INT(ERR_INVALID, ask("CALL p()").code);
    CHECK_STR("0|+00:00\n", ask("SELECT @@in_transaction, @@time_zone").text);
    close_pool();
}

TEST(a_procedure_that_fails_after_its_first_result_has_failed) {
    fresh_schema();
    open_pool(1);
    must("CREATE PROCEDURE late() BEGIN SELECT 1; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'too late'; END");
    CHECK(ask("CALL late()").code < 0);
    must("CREATE PROCEDURE begins() BEGIN START TRANSACTION; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'no'; END");
    CHECK(ask("CALL begins()").code < 0);
    CHECK_STR("0\n", ask("SELECT @@in_transaction").text);
    close_pool();
}

TEST(a_statement_without_schema_does_not_see_the_tenant_before_it) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE secret (a INT)");
    must("SELECT * FROM secret");
    CHECK(ask_with(NULL, NULL, "SELECT * FROM secret", NULL, 0).code < 0);
    CHECK_STR("5\n", ask_with(NULL, NULL, "SELECT 2 + 3", NULL, 0).text);
    close_pool();
}

TEST(a_cached_statement_follows_its_table) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE a (x INT)");
    must("INSERT INTO a VALUES (1)");
    CHECK_STR("1\n", ask("SELECT * FROM a").text);
    must("ALTER TABLE a ADD COLUMN y VARCHAR(10) DEFAULT 'new'");
    CHECK_STR("1|new\n", ask("SELECT * FROM a").text);
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO a (x) VALUES (2), (3)").code);
    CHECK_STR("1|new\n2|new\n3|new\n", in(lease, "SELECT * FROM a").text);
    CHECK_INT(0, end(lease, true).code);
    must("ALTER TABLE a ADD COLUMN z INT"); /* in the connection of the next transaction it is cached */
    lease = begin("t");
    CHECK_INT(0, in(lease, "DELETE FROM a WHERE x > 1").code);
    CHECK_STR("1|new|NULL\n", in(lease, "SELECT * FROM a").text);
    CHECK_INT(0, end(lease, true).code);
    CHECK_STR("1\n", ask("SELECT COUNT(*) FROM a").text);
    must("ALTER TABLE a DROP COLUMN z");
    must("ALTER TABLE a MODIFY x VARCHAR(10)");
    struct answer a = ask("SELECT * FROM a");
    CHECK_STR("1|new\n", a.text);
    CHECK_INT(SQL_TEXT, a.type);
    must("DROP TABLE a");
    CHECK_INT(ERR_INVALID, ask("SELECT * FROM a").code);
    must("CREATE TABLE a (z INT)");
    CHECK_INT(1, ask("SELECT * FROM a").columns);
    close_pool();
}

TEST(a_schema_dropped_and_made_again_is_found_by_the_connection_that_did_it) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE a (x INT)");
    must("DROP DATABASE t");
    CHECK(ask("SELECT * FROM a").code < 0);
    CHECK_INT(0, ask_with(NULL, NULL, "CREATE DATABASE t", NULL, 0).code);
    must("CREATE TABLE a (x INT)");
    must("DROP DATABASE t");
    world_mysql_do("CREATE DATABASE t"); /* by another, so this one has lost its selection and does not know */
    must("CREATE TABLE a (x INT)");
    must("SELECT * FROM a");
    close_pool();
}

TEST(more_statements_than_the_cache_holds_are_closed_at_the_server) {
    char text[64], want[16];
    fresh_schema();
    open_pool(1);
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 100; i++) {
            snprintf(text, sizeof text, "SELECT %d", i);
            snprintf(want, sizeof want, "%d\n", i);
            CHECK_STR(want, ask(text).text);
        }
    long left = world_mysql_number("SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
                                   "WHERE VARIABLE_NAME = 'PREPARED_STMT_COUNT'");
    CHECK(left <= 64);
    close_pool();
}

/* -- many ----------------------------------------------------------------------------------------------------- */

enum { TENANTS = 200, ASKED = 20 };
struct tenant_check {
    int *done, *wrong;
    int tenant;
    bool insert;
};
static void check_tenant(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct tenant_check *c = arg;
    char name[16];
    (*c->done)++;
    snprintf(name, sizeof name, "tn_%d", c->tenant);
    if (r == NULL) {
        fprintf(stderr, "%s\n", e->e.text);
        (*c->wrong)++;
        return;
    }
    if (c->insert) return;
    if (r->rows < 1) (*c->wrong)++;
    for (size_t i = 0; i < r->rows; i++) {
        const struct sql_value *row = &r->values[i * 2];
        if (row[0].integer != c->tenant || row[1].len != strlen(name) || memcmp(row[1].text, name, row[1].len) != 0)
            (*c->wrong)++;
    }
}

static void make_tenants(void) {
    struct buf text = {0};
    MYSQL m;
    mysql_init(&m);
    CHECK(mysql_real_connect(&m, NULL, "root", "", NULL, 0, world_mysql_socket, CLIENT_MULTI_STATEMENTS) != NULL);
    for (int i = 0; i < TENANTS; i++)
        buf_printf(&text,
                   "CREATE DATABASE tn_%d; CREATE TABLE tn_%d.own (tenant INT, KEY (tenant)); INSERT INTO tn_%d.own "
                   "VALUES (%d);",
                   i, i, i, i);
    CHECK_INT(0, mysql_real_query(&m, text.data, text.len));
    while (mysql_next_result(&m) == 0) continue;
    CHECK_STR("", mysql_error(&m));
    mysql_close(&m);
    buf_free(&text);
}

TEST(two_hundred_tenants_over_eight_connections_see_only_their_own_rows) {
    static const char select[] = "SELECT tenant, DATABASE() FROM own", insert[] = "INSERT INTO own VALUES (?)";
    static const char other[] = "SELECT tenant, DATABASE() FROM own WHERE tenant >= ? LIMIT 3";
    static struct tenant_check checks[TENANTS * ASKED];
    int done = 0, wrong = 0;
    unsigned random = 7;
    make_tenants();
    open_pool_with(8, 10000, 15000);
    for (int i = 0; i < TENANTS * ASKED; i++) {
        char schema[16];
        random = random * 1103515245 + 12345;
        int tenant = (int)(random >> 16) % TENANTS;
        int kind = (int)(random >> 8) % 5;
        checks[i] = (struct tenant_check){&done, &wrong, tenant, kind == 0};
        snprintf(schema, sizeof schema, "tn_%d", tenant);
        const struct sql_value v = int_value(tenant);
        if (kind == 0)
            sql_exec(pool, NULL, schema, insert, strlen(insert), &v, 1, check_tenant, &checks[i]);
        else if (kind == 1)
            sql_exec(pool, NULL, schema, other, strlen(other), &v, 1, check_tenant, &checks[i]);
        else
            sql_exec(pool, NULL, schema, select, strlen(select), NULL, 0, check_tenant, &checks[i]);
    }
    CHECK(world_turn(&loop, &done, TENANTS * ASKED, 15000));
    CHECK_INT(0, wrong);
    /* And nothing was written into another's schema. */
    for (int i = 0; i < TENANTS; i += 37) {
        char text[128];
        snprintf(text, sizeof text, "SELECT COUNT(*) FROM tn_%d.own WHERE tenant <> %d", i, i);
        CHECK_STR("0\n", ask_with(NULL, NULL, text, NULL, 0).text);
    }
    close_pool();
}

struct tally {
    int done, ok, limited, other;
};
static void count_up(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct tally *t = arg;
    t->done++;
    if (r)
        t->ok++;
    else if (e->e.code == ERR_LIMIT)
        t->limited++;
    else
        t->other++;
}

TEST(five_thousand_waiting_statements_are_all_answered_and_more_than_the_limit_refused) {
    static const char insert[] = "INSERT INTO n VALUES (?)";
    struct tally t = {0};
    fresh_schema();
    open_pool_with(8, 5000, 15000);
    must("CREATE TABLE n (i INT)");
    struct sql_lease *held[8]; /* so that all do wait */
    for (int i = 0; i < 8; i++) held[i] = begin("t");
    for (int i = 0; i < 5010; i++) {
        const struct sql_value v = int_value(i);
        sql_exec(pool, NULL, "t", insert, strlen(insert), &v, 1, count_up, &t);
    }
    CHECK(world_turn(&loop, &t.limited, 10, 1000));
    CHECK_INT(0, t.ok);
    for (int i = 0; i < 8; i++) end(held[i], false);
    CHECK(world_turn(&loop, &t.done, 5010, 15000));
    CHECK_INT(5000, t.ok);
    CHECK_INT(10, t.limited);
    CHECK_STR("5000|5000\n", ask("SELECT COUNT(*), COUNT(DISTINCT i) FROM n").text);
    close_pool();
}

TEST(a_statement_that_finds_no_free_connection_in_time_ends) {
    open_pool_with(1, 0, 300);
    struct sql_lease *lease = begin(NULL);
    CHECK_INT(ERR_TIMEOUT, ask_with(NULL, NULL, "SELECT 1", NULL, 0).code);
    end(lease, false);
    CHECK_INT(0, ask_with(NULL, NULL, "SELECT 1", NULL, 0).code);
    close_pool();
}

TEST(a_statement_that_runs_too_long_ends) {
    fresh_schema();
    open_pool_with(1, 0, 300);
    must("CREATE TABLE digit (d INT)");
    must("INSERT INTO digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)");
    struct answer a =
        ask("SELECT SUM(a.d * b.d + c.d * e.d - f.d * g.d + h.d * i.d - j.d) FROM digit a, digit b, digit c, "
            "digit e, digit f, digit g, digit h, digit i, digit j");
    CHECK_INT(ERR_TIMEOUT, a.code);
    CHECK_STR("10\n", ask("SELECT COUNT(*) FROM digit").text);
    close_pool();
}

/* -- transactions --------------------------------------------------------------------------------------------- */

TEST(a_transaction_is_seen_by_others_when_it_commits_and_never_when_not) {
    fresh_schema();
    open_pool(2);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    CHECK_STR("1\n", in(lease, "SELECT COUNT(*) FROM x").text);
    CHECK_STR("0\n", ask("SELECT COUNT(*) FROM x").text);
    CHECK_INT(0, end(lease, true).code);
    CHECK_STR("1\n", ask("SELECT COUNT(*) FROM x").text);
    lease = begin("t");
    CHECK_INT(0, in(lease, "DELETE FROM x").code);
    CHECK_STR("0\n", in(lease, "SELECT COUNT(*) FROM x").text);
    CHECK_INT(0, end(lease, false).code);
    CHECK_STR("1\n", ask("SELECT COUNT(*) FROM x").text);
    close_pool();
}

TEST(a_statement_that_ends_the_transaction_by_itself_is_noticed) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    CHECK_INT(ERR_INVALID, in(lease, "COMMIT").code); /* refused, goes on */
    CHECK_INT(0, in(lease, "CREATE TABLE y (i INT)").code);
    CHECK_INT(ERR_INVALID, in(lease, "INSERT INTO x VALUES (2)").code);
    CHECK_INT(ERR_INVALID, end(lease, true).code);
    CHECK_STR("1\n", ask("SELECT COUNT(*) FROM x").text);
    close_pool();
}

struct climber {
    int *done, *failed;
    struct sql_lease *lease;
    int step;
};
static void climb(void *arg, const struct sql_result *r, const struct sql_error *e);
static void climb_begun(void *arg, struct sql_lease *lease, const struct sql_error *e) {
    struct climber *c = arg;
    static const char lock[] = "SELECT n FROM c WHERE id = 1 FOR UPDATE";
    if (e) {
        (*c->failed)++;
        (*c->done)++;
        return;
    }
    c->lease = lease;
    sql_exec(pool, lease, "t", lock, strlen(lock), NULL, 0, climb, c);
}
static void climb(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct climber *c = arg;
    if (e) (*c->failed)++;
    if (e || c->step == 2) {
        (*c->done)++;
        return;
    }
    if (c->step++ == 0) { /* what was read is what is written: a lost lock would lose a step */
        const struct sql_value v = int_value(r->values[0].integer + 1);
        static const char update[] = "UPDATE c SET n = ? WHERE id = 1";
        sql_exec(pool, c->lease, "t", update, strlen(update), &v, 1, climb, c);
    } else {
        sql_end(pool, c->lease, true, climb, c);
    }
}

TEST(a_hundred_transactions_at_once_lose_no_step) {
    static struct climber climbers[100];
    int done = 0, failed = 0;
    fresh_schema();
    open_pool_with(8, 0, 15000);
    must("CREATE TABLE c (id INT PRIMARY KEY, n INT)");
    must("INSERT INTO c VALUES (1, 0)");
    for (int i = 0; i < 100; i++) {
        climbers[i] = (struct climber){.done = &done, .failed = &failed};
        sql_begin(pool, "t", climb_begun, &climbers[i]);
    }
    CHECK(world_turn(&loop, &done, 100, 10000));
    CHECK_INT(0, failed);
    CHECK_STR("100\n", ask("SELECT n FROM c").text);
    close_pool();
}

TEST(a_deadlock_is_busy_and_nothing_more_runs_in_its_transaction) {
    static const char one[] = "UPDATE d SET n = n + 1 WHERE id = 1", two[] = "UPDATE d SET n = n + 1 WHERE id = 2";
    fresh_schema();
    open_pool(3);
    must("CREATE TABLE d (id INT PRIMARY KEY, n INT)");
    must("INSERT INTO d VALUES (1, 0), (2, 0)");
    struct sql_lease *a = begin("t"), *b = begin("t");
    CHECK_INT(0, in(a, one).code);
    CHECK_INT(0, in(b, two).code);
    struct answer from_a = {0}, from_b = {0};
    sql_exec(pool, a, "t", two, strlen(two), NULL, 0, note, &from_a);
    sql_exec(pool, b, "t", one, strlen(one), NULL, 0, note, &from_b);
    CHECK(world_turn(&loop, &from_a.done, 1, 8000));
    CHECK(world_turn(&loop, &from_b.done, 1, 8000));
    CHECK((from_a.code == ERR_BUSY) != (from_b.code == ERR_BUSY));
    struct sql_lease *victim = from_a.code ? a : b, *winner = from_a.code ? b : a;
    CHECK_INT(1213, from_a.code ? from_a.number : from_b.number);
    CHECK_INT(ERR_BUSY, in(victim, "UPDATE d SET n = 1000").code);
    CHECK_INT(ERR_BUSY, end(victim, true).code);
    CHECK_INT(0, end(winner, true).code);
    CHECK_STR("1|1\n2|1\n", ask("SELECT id, n FROM d ORDER BY id").text);
    close_pool();
}

TEST(waiting_too_long_for_a_lock_is_busy) {
    fresh_schema();
    open_pool_with(2, 0, 3000); /* so the lock wait is one second */
    must("CREATE TABLE w (id INT PRIMARY KEY)");
    must("INSERT INTO w VALUES (1)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "DELETE FROM w").code);
    struct answer a = ask("DELETE FROM w");
    CHECK_INT(ERR_BUSY, a.code);
    CHECK_INT(1205, a.number);
    CHECK_INT(0, end(lease, false).code);
    CHECK_STR("1\n", ask("SELECT COUNT(*) FROM w").text);
    close_pool();
}

/* -- losses --------------------------------------------------------------------------------------------------- */

static void kill_connection(const char *id) {
    char text[128];
    snprintf(text, sizeof text, "KILL %.20s", id);
    world_mysql_do(text);
    snprintf(text, sizeof text, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE ID = %.20s", id);
    for (int i = 0; i < 200 && world_mysql_number(text) > 0; i++) usleep(5000);
}

TEST(a_connection_killed_while_idle_is_not_noticed_by_a_statement) {
    open_pool(1);
    for (int i = 0; i < 3; i++) {
        struct answer id = ask_with(NULL, NULL, "SELECT CONNECTION_ID()", NULL, 0);
        kill_connection(id.text);
        struct answer a = ask_with(NULL, NULL, "SELECT CONNECTION_ID()", NULL, 0);
        CHECK_STR("", a.error);
        CHECK(strcmp(a.text, id.text) != 0);
        kill_connection(a.text);
        CHECK_INT(0, end(begin(NULL), true).code); /* nor by a transaction that begins */
    }
    close_pool();
}

TEST(a_connection_killed_in_a_transaction_ends_it) {
    fresh_schema();
    open_pool(2);
    must("CREATE TABLE x (i INT)");
    for (int commit = 0; commit < 2; commit++) {
        struct sql_lease *lease = begin("t");
        CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
        kill_connection(in(lease, "SELECT CONNECTION_ID()").text);
        CHECK_INT(ERR_CLOSED, in(lease, "INSERT INTO x VALUES (2)").code);
        CHECK_INT(ERR_CLOSED, in(lease, "INSERT INTO x VALUES (3)").code);
        CHECK_INT(commit ? ERR_CLOSED : 0, end(lease, commit).code);
    }
    struct sql_lease *lease = begin("t"); /* and one lost right before its commit */
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (4)").code);
    kill_connection(in(lease, "SELECT CONNECTION_ID()").text);
    CHECK_INT(ERR_CLOSED, end(lease, true).code);
    CHECK_STR("0\n", ask("SELECT COUNT(*) FROM x").text);
    close_pool();
}

TEST(a_statement_killed_while_it_runs_is_not_run_again) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE ran (i INT) ENGINE=MyISAM"); /* keeps what a killed statement did */
    static const char text[] = "INSERT INTO ran SELECT 1 UNION ALL SELECT SLEEP(3)";
    char id[32] = "";
    struct answer a = {0}, first = ask("SELECT CONNECTION_ID()");
    sql_exec(pool, NULL, "t", text, strlen(text), NULL, 0, note, &a);
    world_turn_for(&loop, 100);
    snprintf(id, sizeof id, "%.20s", first.text);
    kill_connection(id);
    CHECK(world_turn(&loop, &a.done, 1, 2000));
    CHECK_INT(ERR_CLOSED, a.code);
    world_turn_for(&loop, 50);
    CHECK_INT(0, world_mysql_number(
                     "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO ran%'"));
    CHECK_INT(0, ask("SELECT 1").code);
    close_pool();
}

TEST(a_server_that_dies_in_a_statement_ends_it_and_the_transaction) {
    fresh_schema();
    open_pool_with(3, 0, 8000);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    struct answer plain = {0}, leased = {0}, ended = {0};
    sql_exec(pool, NULL, "t", "SELECT SLEEP(5)", 15, NULL, 0, note, &plain);
    sql_exec(pool, lease, "t", "SELECT SLEEP(5)", 15, NULL, 0, note, &leased);
    sql_end(pool, lease, true, note, &ended);
    world_turn_for(&loop, 100);
    world_kill(&world_mysql_pid, SIGKILL);
    CHECK(world_turn(&loop, &plain.done, 1, 2000));
    CHECK(world_turn(&loop, &ended.done, 1, 2000));
    CHECK_INT(ERR_CLOSED, plain.code);
    CHECK_INT(ERR_CLOSED, leased.code);
    CHECK_INT(ERR_CLOSED, ended.code);
    world_mysql_start();
    CHECK_STR("0\n", ask("SELECT COUNT(*) FROM x").text);
    close_pool();
}

TEST(a_server_that_restarts_is_waited_for) {
    fresh_schema();
    open_pool_with(4, 0, 8000);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    world_kill(&world_mysql_pid, SIGKILL);
    struct answer asked = {0};
    sql_exec(pool, NULL, "t", "INSERT INTO x VALUES (2)", 24, NULL, 0, note, &asked);
    CHECK_INT(ERR_CLOSED, in(lease, "INSERT INTO x VALUES (3)").code);
    CHECK_INT(ERR_CLOSED, end(lease, true).code);
    world_mysql_spawn();
    CHECK(world_turn(&loop, &asked.done, 1, 8000));
    CHECK_STR("", asked.error);
    CHECK_STR("2\n", ask("SELECT i FROM x").text);
    close_pool();
}

TEST(while_the_server_is_away_statements_end_and_the_pool_closes) {
    open_pool_with(2, 0, 400);
    CHECK_INT(0, ask_with(NULL, NULL, "SELECT 1", NULL, 0).code);
    world_kill(&world_mysql_pid, SIGTERM);
    struct answer a = ask_with(NULL, NULL, "SELECT 1", NULL, 0);
    CHECK_INT(ERR_CLOSED, a.code);
    struct begun b = {0};
    sql_begin(pool, NULL, on_begun, &b);
    CHECK(world_turn(&loop, &b.done, 1, 2000));
    CHECK(b.lease == NULL);
    CHECK_INT(ERR_CLOSED, b.error.e.code);
    struct answer waiting = {0};
    sql_exec(pool, NULL, NULL, "SELECT 1", 8, NULL, 0, note, &waiting);
    close_pool();
    CHECK_INT(1, waiting.done);
    CHECK_INT(ERR_CANCELLED, waiting.code);
    world_mysql_start();
}

TEST(a_server_that_refuses_us_says_so) {
    const struct sql_opts opts = {.name = "main",
                                  .socket = world_mysql_socket,
                                  .user = "nobody",
                                  .password = "wrong",
                                  .connections = 1,
                                  .statement_timeout_ms = 200};
    struct err e;
    closed = 0;
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK_INT(0, sql_pool_open(&pool, &loop, &opts, NULL, &e));
    struct answer a = ask_with(NULL, NULL, "SELECT 1", NULL, 0);
    CHECK_INT(ERR_DENIED, a.code);
    CHECK_INT(1045, a.number);
    close_pool();
}

TEST(closing_answers_everything_and_rolls_back_what_was_open) {
    struct answer running = {0}, leased = {0}, late = {0};
    struct tally queued = {0};
    fresh_schema();
    open_pool(2);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    sql_exec(pool, NULL, "t", "SELECT SLEEP(0.3)", 17, NULL, 0, note, &running);
    world_turn_for(&loop, 50);
    for (int i = 0; i < 20; i++) sql_exec(pool, NULL, "t", "SELECT 1", 8, NULL, 0, count_up, &queued);
    sql_exec(pool, lease, "t", "SELECT 1", 8, NULL, 0, note, &leased);
    sql_pool_close(pool, on_closed, &closed);
    sql_exec(pool, NULL, "t", "SELECT 1", 8, NULL, 0, note, &late);
    sql_end(pool, lease, true, NULL, NULL);
    CHECK(world_turn(&loop, &closed, 1, 6000));
    CHECK_INT(0, uv_loop_close(&loop));
    CHECK_INT(1, running.done);
    CHECK_INT(0, running.code);
    CHECK_INT(20, queued.done);
    CHECK_INT(1, leased.done);
    CHECK_INT(ERR_CLOSED, late.code);
    CHECK_INT(0, world_mysql_number("SELECT COUNT(*) FROM t.x"));
}

/* -- what the loop feels -------------------------------------------------------------------------------------- */

/* How often the loop turned, and how many callers were told in one turn at most. */
static int turns, told_in_turn, told_at_most;
static void on_turn(uv_prepare_t *prepare) {
    (void)prepare;
    turns++;
    told_in_turn = 0;
}
static uv_prepare_t turn_watch;
static void watch_turns(void) {
    turns = told_in_turn = told_at_most = 0;
    uv_prepare_init(&loop, &turn_watch);
    uv_prepare_start(&turn_watch, on_turn);
    uv_unref((uv_handle_t *)&turn_watch);
}
static void unwatch_turns(void) {
    uv_close((uv_handle_t *)&turn_watch, NULL);
}
static void count_told(void *arg, const struct sql_result *r, const struct sql_error *e) {
    if (++told_in_turn > told_at_most) told_at_most = told_in_turn;
    count_up(arg, r, e);
}

TEST(a_thousand_that_waited_too_long_are_told_a_few_at_a_time) {
    struct tally t = {0};
    open_pool_with(1, 0, 300);
    struct sql_lease *lease = begin(NULL);
    watch_turns();
    for (int i = 0; i < 1000; i++) sql_exec(pool, NULL, NULL, "SELECT 1", 8, NULL, 0, count_told, &t);
    CHECK_INT(1000, sql_pool_waiting(pool));
    CHECK(world_turn(&loop, &t.done, 1000, 8000));
    CHECK_INT(1000, t.other);
    CHECK_INT(0, sql_pool_waiting(pool));
    CHECK(told_at_most <= 64);
    unwatch_turns();
    end(lease, false);
    close_pool();
}

TEST(a_thousand_that_are_refused_or_fail_at_once_are_told_a_few_at_a_time) {
    struct tally t = {0};
    const struct sql_value one = int_value(1);
    fresh_schema();
    open_pool_with(1, 500, 5000);
    must("SELECT 1");
    watch_turns();
    for (int i = 0; i < 1000; i++)
        sql_exec(pool, NULL, "t", "SELECT 1", 8, &one, 1, count_told, &t); /* none is wanted */
    for (int i = 0; i < 1000; i++) sql_exec(pool, NULL, "t", "SELECT 2", 8, NULL, 0, count_told, &t);
    CHECK_INT(0, t.done);
    CHECK(world_turn(&loop, &t.done, 2000, 8000));
    CHECK_INT(1000, t.other);
    CHECK(t.limited > 0); /* a fast server may have answered some meanwhile */
    CHECK_INT(1000, t.limited + t.ok);
    CHECK(told_at_most <= 64);
    unwatch_turns();
    close_pool();
}

static long connections_of_the_pool(void) {
    return world_mysql_number("SELECT COUNT(*) - 1 FROM information_schema.PROCESSLIST WHERE USER = 'root'");
}

TEST(connections_are_opened_as_they_are_needed_and_the_same_one_stays_in_use) {
    struct tally t = {0};
    open_pool(8);
    for (int i = 0; i < 100 && connections_of_the_pool() > 0; i++) world_turn_for(&loop, 10); /* those of other tests */
    CHECK_INT(0, connections_of_the_pool());
    struct answer first = ask_with(NULL, NULL, "SELECT CONNECTION_ID()", NULL, 0);
    for (int i = 0; i < 50; i++) CHECK_STR(first.text, ask_with(NULL, NULL, "SELECT CONNECTION_ID()", NULL, 0).text);
    CHECK_INT(1, connections_of_the_pool());
    for (int i = 0; i < 50; i++) sql_exec(pool, NULL, NULL, "SELECT SLEEP(0.1)", 17, NULL, 0, count_up, &t);
    CHECK(world_turn(&loop, &t.done, 50, 8000));
    CHECK_INT(50, t.ok);
    CHECK_INT(8, connections_of_the_pool());
    close_pool();
}

static void make_digits(void) {
    must("CREATE TABLE digit (d INT)");
    must("INSERT INTO digit VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)");
}

TEST(a_long_result_leaves_the_loop_its_turns) {
    fresh_schema();
    open_pool_with(1, 0, 15000);
    make_digits();
    watch_turns();
    struct answer a = ask("SELECT a.d, b.d, c.d, 'and some text' FROM digit a, digit b, digit c, digit e, digit f");
    CHECK_INT(100000, a.rows);
    CHECK(turns >= 50);
    unwatch_turns();
    close_pool();
}

TEST(rows_without_end_are_given_up_and_the_next_statement_is_answered) {
    static const char endless[] = "SELECT REPEAT('x', 100000) FROM digit a, digit b, digit c, digit e, digit f";
    static const char long_row[] = "SELECT REPEAT('x', 23000000), REPEAT('y', 23000000), REPEAT('z', 23000000)";
    const size_t before = sql_result_max;
    sql_result_max = 4 * 1024 * 1024;
    fresh_schema();
    open_pool_with(1, 0, 15000);
    make_digits();
    struct answer a = ask(endless);
    CHECK_INT(ERR_LIMIT, a.code);
    CHECK_STR("10\n", ask("SELECT COUNT(*) FROM digit").text);
    a = ask(long_row); /* more than the client library takes: it hangs up */
    CHECK_INT(ERR_CLOSED, a.code);
    CHECK_STR("10\n", ask("SELECT COUNT(*) FROM digit").text);
    struct sql_lease *lease = begin("t"); /* a transaction outlives it, when there is an end */
    CHECK_INT(0, in(lease, "DELETE FROM digit WHERE d > 5").code);
    CHECK_INT(36, in(lease, "SELECT REPEAT('x', 100000) FROM digit a, digit b").rows);
    CHECK_INT(ERR_LIMIT, in(lease, "SELECT REPEAT('x', 100000) FROM digit a, digit b, digit c").code);
    CHECK_STR("6\n", in(lease, "SELECT COUNT(*) FROM digit").text);
    CHECK_INT(0, end(lease, true).code);
    close_pool();
    sql_result_max = before;
}

/* -- a server that is mute ------------------------------------------------------------------------------------ */

static void make_mute(void) {
    int status;
    kill(world_mysql_pid, SIGSTOP);
    CHECK_INT(world_mysql_pid, waitpid(world_mysql_pid, &status, WUNTRACED)); /* all its threads have stopped */
}

TEST(a_mute_server_is_given_up_and_the_next_connection_works) {
    fresh_schema();
    open_pool_with(3, 0, 300);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t"), *other = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    must("SELECT 1");
    struct answer prepared = {0}, new = {0}, leased = {0}, committed = {0}, waiting = {0};
    make_mute();
    sql_exec(pool, NULL, "t", "SELECT 1", 8, NULL, 0, note, &prepared);
    sql_exec(pool, lease, "t", "INSERT INTO x VALUES (2)", 24, NULL, 0, note, &leased);
    sql_exec(pool, other, "t", "SELECT 2", 8, NULL, 0, note, &new); /* mute while it is prepared */
    sql_exec(pool, NULL, "t", "SELECT 3", 8, NULL, 0, note, &waiting);
    CHECK(world_turn(&loop, &prepared.done, 1, 6000));
    CHECK(world_turn(&loop, &leased.done, 1, 6000));
    CHECK(world_turn(&loop, &new.done, 1, 6000));
    CHECK(world_turn(&loop, &waiting.done, 1, 6000));
    kill(world_mysql_pid, SIGCONT);
    CHECK_INT(ERR_TIMEOUT, prepared.code);
    CHECK_INT(ERR_TIMEOUT, leased.code);
    CHECK_INT(ERR_TIMEOUT, new.code);
    CHECK_INT(ERR_TIMEOUT, waiting.code);
    CHECK_INT(ERR_CLOSED, in(lease, "INSERT INTO x VALUES (3)").code);
    sql_end(pool, lease, true, note, &committed);
    CHECK(world_turn(&loop, &committed.done, 1, 6000));
    CHECK_INT(ERR_CLOSED, committed.code);
    CHECK_INT(0, end(other, false).code);
    struct answer a = ask("SELECT COUNT(*) FROM x");
    CHECK_STR("", a.error);
    CHECK_STR("0\n", a.text);
    close_pool();
}

TEST(a_commit_without_an_answer_may_have_happened) {
    struct answer a = {0};
    fresh_schema();
    open_pool_with(1, 0, 300);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    make_mute();
    sql_end(pool, lease, true, note, &a);
    CHECK(world_turn(&loop, &a.done, 1, 6000));
    kill(world_mysql_pid, SIGCONT);
    CHECK_INT(ERR_CLOSED, a.code);
    CHECK(strstr(a.error, "may have happened") != NULL);
    close_pool();
}

TEST(closing_does_not_wait_for_a_mute_server) {
    fresh_schema();
    open_pool_with(2, 0, 15000);
    must("CREATE TABLE x (i INT)");
    struct sql_lease *lease = begin("t");
    must("SELECT 1");
    struct answer plain = {0}, leased = {0}, queued = {0};
    make_mute();
    sql_exec(pool, NULL, "t", "SELECT 2", 8, NULL, 0, note, &plain);
    sql_exec(pool, lease, "t", "INSERT INTO x VALUES (1)", 24, NULL, 0, note, &leased);
    sql_exec(pool, lease, "t", "INSERT INTO x VALUES (2)", 24, NULL, 0, note, &queued);
    close_pool();
    kill(world_mysql_pid, SIGCONT);
    CHECK_INT(ERR_CANCELLED, plain.code);
    CHECK_INT(ERR_CANCELLED, leased.code);
    CHECK_INT(ERR_CANCELLED, queued.code);

    struct answer first = {0}; /* and when it does not even let us in */
    open_pool_with(2, 0, 15000);
    make_mute();
    sql_exec(pool, NULL, "t", "SELECT 1", 8, NULL, 0, note, &first);
    world_turn_for(&loop, 50);
    sql_pool_close(pool, on_closed, &closed);
    CHECK(world_turn(&loop, &closed, 1, 1000));
    CHECK_INT(0, uv_loop_close(&loop));
    kill(world_mysql_pid, SIGCONT);
    CHECK_INT(ERR_CANCELLED, first.code);
}

static void close_it(void *arg, const struct sql_result *r, const struct sql_error *e) {
    (void)r, (void)e;
    sql_pool_close(arg, on_closed, &closed);
}

TEST(a_pool_can_be_closed_from_a_callback_while_rows_arrive) {
    struct answer rows = {0};
    static const char text[] = "SELECT a.d, REPEAT('x', 100) FROM digit a, digit b, digit c, digit e, digit f";
    fresh_schema();
    open_pool(2);
    make_digits();
    sql_exec(pool, NULL, "t", text, strlen(text), NULL, 0, note, &rows);
    sql_exec(pool, NULL, "t", "SELECT 1", 8, NULL, 0, close_it, pool);
    CHECK(world_turn(&loop, &closed, 1, 8000));
    CHECK_INT(0, uv_loop_close(&loop));
    CHECK_INT(1, rows.done);
    CHECK(rows.code == 0 || rows.code == ERR_CANCELLED);
}

/* -- a server by its name ------------------------------------------------------------------------------------- */

/* One connection of TCP, carried on to the server's unix socket. */
static void *carry(void *arg) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    int from = accept(*(int *)arg, NULL, NULL), server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct pollfd ends[2] = {{.fd = from, .events = POLLIN}, {.fd = server, .events = POLLIN}};
    char bytes[4096];

    snprintf(to.sun_path, sizeof to.sun_path, "%s", world_mysql_socket);
    bool up = from >= 0 && connect(server, (struct sockaddr *)&to, sizeof to) == 0;
    while (up && poll(ends, 2, -1) > 0)
        for (int i = 0; up && i < 2; i++) {
            if (ends[i].revents == 0) continue;
            ssize_t n = read(ends[i].fd, bytes, sizeof bytes);
            up = n > 0 && write(ends[!i].fd, bytes, (size_t)n) == n;
        }
    close(from);
    close(server);
    return NULL;
}

static void open_pool_at(const char *host, int port) {
    const struct sql_opts opts = {.name = "main",
                                  .host = host,
                                  .port = port,
                                  .user = "root",
                                  .password = "",
                                  .connections = 1,
                                  .statement_timeout_ms = 3000};
    struct err e;
    closed = 0;
    CHECK_INT(0, uv_loop_init(&loop));
    CHECK_INT(0, sql_pool_open(&pool, &loop, &opts, NULL, &e));
}

TEST(a_server_is_found_by_name_and_by_address_and_one_that_is_not_says_so) {
    static const char *const hosts[] = {"localhost", "127.0.0.1"}; /* localhost may be ::1 first: the next is tried */
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(0, bind(listener, (struct sockaddr *)&at, len));
    CHECK_INT(0, getsockname(listener, (struct sockaddr *)&at, &len));
    CHECK_INT(0, listen(listener, 4));
    for (int i = 0; i < 2; i++) {
        pthread_t carrier;
        CHECK_INT(0, pthread_create(&carrier, NULL, carry, &listener));
        open_pool_at(hosts[i], ntohs(at.sin_port));
        struct answer a = ask_with(NULL, NULL, "SELECT 1", NULL, 0);
        CHECK_STR("", a.error);
        close_pool();
        pthread_join(carrier, NULL);
    }
    close(listener);
    open_pool_at("no-such-host.invalid", 3306);
    struct answer a = ask_with(NULL, NULL, "SELECT 1", NULL, 0);
    CHECK_INT(ERR_CLOSED, a.code);
    close_pool();
    open_pool_at("127.0.0.1", ntohs(at.sin_port));
    CHECK_INT(ERR_CLOSED, ask_with(NULL, NULL, "SELECT 1", NULL, 0).code);
    close_pool();
}

static int start_world(void **state) {
    (void)state;
    world_mysql_start();
    return 0;
}

static int end_world(void **state) {
    (void)state;
    world_kill(&world_mysql_pid, SIGKILL);
    world_end();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(each_type_comes_back_as_the_header_says),
        RUN(parameters_of_each_type_go_in_as_they_are),
        RUN(an_integer_beyond_int64_is_an_error_and_not_wrapped),
        RUN(a_blob_of_16_mib_goes_both_ways_and_a_longer_one_is_refused),
        RUN(a_parameter_is_never_sql_whatever_it_holds),
        RUN(errors_say_what_a_program_can_do),
        RUN(what_would_change_the_connection_for_the_next_is_refused),
        RUN(a_procedure_that_fails_after_its_first_result_has_failed),
        RUN(a_statement_without_schema_does_not_see_the_tenant_before_it),
        RUN(a_cached_statement_follows_its_table),
        RUN(a_schema_dropped_and_made_again_is_found_by_the_connection_that_did_it),
        RUN(more_statements_than_the_cache_holds_are_closed_at_the_server),
        RUN(two_hundred_tenants_over_eight_connections_see_only_their_own_rows),
        RUN(five_thousand_waiting_statements_are_all_answered_and_more_than_the_limit_refused),
        RUN(a_statement_that_finds_no_free_connection_in_time_ends),
        RUN(a_statement_that_runs_too_long_ends),
        RUN(a_transaction_is_seen_by_others_when_it_commits_and_never_when_not),
        RUN(a_statement_that_ends_the_transaction_by_itself_is_noticed),
        RUN(a_hundred_transactions_at_once_lose_no_step),
        RUN(a_deadlock_is_busy_and_nothing_more_runs_in_its_transaction),
        RUN(waiting_too_long_for_a_lock_is_busy),
        RUN(a_connection_killed_while_idle_is_not_noticed_by_a_statement),
        RUN(a_connection_killed_in_a_transaction_ends_it),
        RUN(a_statement_killed_while_it_runs_is_not_run_again),
        RUN(a_server_that_dies_in_a_statement_ends_it_and_the_transaction),
        RUN(a_server_that_restarts_is_waited_for),
        RUN(while_the_server_is_away_statements_end_and_the_pool_closes),
        RUN(a_server_that_refuses_us_says_so),
        RUN(closing_answers_everything_and_rolls_back_what_was_open),
        RUN(a_thousand_that_waited_too_long_are_told_a_few_at_a_time),
        RUN(a_thousand_that_are_refused_or_fail_at_once_are_told_a_few_at_a_time),
        RUN(connections_are_opened_as_they_are_needed_and_the_same_one_stays_in_use),
        RUN(a_long_result_leaves_the_loop_its_turns),
        RUN(rows_without_end_are_given_up_and_the_next_statement_is_answered),
        RUN(a_mute_server_is_given_up_and_the_next_connection_works),
        RUN(a_commit_without_an_answer_may_have_happened),
        RUN(closing_does_not_wait_for_a_mute_server),
        RUN(a_server_is_found_by_name_and_by_address_and_one_that_is_not_says_so),
        RUN(a_pool_can_be_closed_from_a_callback_while_rows_arrive),
    };
    return cmocka_run_group_tests(tests, start_world, end_world);
}
