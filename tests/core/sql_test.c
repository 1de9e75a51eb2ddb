/* SPDX-License-Identifier: Apache-2.0 */
/* io/sql: values, statements and transactions. */
#include "base/mem.h"
#include "io/sql_error.h"
#include "io/sql_reads.h"
#include "world_sql.h"

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
    CHECK_STR("2026-11-22 10:00:00|0999-01-02 03:04:05.67|9999-12-31 23:59:59.999\n",
              ask("SELECT CAST('2026-11-22 10:00:00.9' AS DATETIME), CAST('0999-01-02 03:04:05.678' AS DATETIME(2)), "
                  "CAST('9999-12-31 23:59:59.999' AS DATETIME(3))")
                  .text);
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

TEST(what_leaves_its_transaction_alone_is_known_by_its_first_word) {
    static const char *const dml[] = {"SELECT 1",           "(select 1)", "/* x */ Insert INTO k VALUES (1)",
                                      "UPDATE k SET a = 1", "DELETE\n",   "replace(k) VALUES (1)"};
    static const char *const other[] = {"CALL p()",
                                        "CREATE TABLE k (i INT)",
                                        "WITH a AS (SELECT 1) SELECT 1",
                                        "UPDATES",
                                        "SELECT_1",
                                        "/*!SELECT 1*/",
                                        "SELEC",
                                        ""};
    for (size_t i = 0; i < sizeof dml / sizeof *dml; i++) assert_true(sql_text_is_dml(dml[i], strlen(dml[i])));
    for (size_t i = 0; i < sizeof other / sizeof *other; i++) assert_false(sql_text_is_dml(other[i], strlen(other[i])));
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

static unsigned long another_version(void) {
    return MARIADB_PACKAGE_VERSION_ID + 1;
}

TEST(a_library_of_another_version_was_read_by_the_layout_of_ours) {
    struct sql_reads r = {0};
    MYSQL m;
    fresh_schema();
    mysql_init(&m);
    CHECK(mysql_real_connect(&m, NULL, "root", "", NULL, 0, world_mysql_socket, 0) != NULL);
    sql_reads_library = another_version;
    CHECK(!sql_reads_watch(&r, &m));
    open_pool(1); /* whose statements are answered all the same */
    CHECK_STR("7\n", ask("SELECT 7").text);
    close_pool();
    sql_reads_library = mysql_get_client_version;
#ifdef SQL_READS_KNOWN
    CHECK(sql_reads_watch(&r, &m));
#endif
    mysql_close(&m);
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

TEST(a_statement_between_two_transactions_is_in_neither) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE x (i INT)");
    for (int i = 0; i < 2; i++) {
        struct sql_lease *lease = begin("t");
        CHECK_INT(0, in(lease, "SELECT 1").code); /* touches no table, so that nothing has begun at the server */
        CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
        CHECK_INT(0, end(lease, false).code);
        must("INSERT INTO x VALUES (2)");
        CHECK_INT(i + 1, world_mysql_number("SELECT COUNT(*) FROM t.x"));
    }
    CHECK_STR("2\n2\n", ask("SELECT i FROM x").text);
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

TEST(a_statement_that_may_have_ended_the_transaction_before_it_failed_ends_the_lease) {
    fresh_schema();
    open_pool(1);
    must("CREATE TABLE x (i INT PRIMARY KEY)");
    must("CREATE PROCEDURE p() BEGIN COMMIT; INSERT INTO x VALUES (2); SIGNAL SQLSTATE '45000'; END");
    struct sql_lease *lease = begin("t");
    CHECK_INT(0, in(lease, "INSERT INTO x VALUES (1)").code);
    CHECK_INT(ERR_EXISTS, in(lease, "INSERT INTO x VALUES (1)").code); /* this one has not, and is forgiven */
    struct answer failed = in(lease, "CALL p()"), after = in(lease, "INSERT INTO x VALUES (3)");
    CHECK_INT(1644, failed.number);
    CHECK_INT(failed.code, after.code);
    CHECK_STR(failed.error, after.error);
    CHECK_INT(failed.code, end(lease, true).code);
    CHECK_STR("1\n", ask("SELECT i FROM x").text);
    close_pool();
    struct sql_error full; /* every row lock of the server is taken, which no test can bring about */
    CHECK_INT(ERR_BUSY, sql_error_set(&full, 1206, "The total number of locks exceeds the lock table size"));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(each_type_comes_back_as_the_header_says),
        RUN(parameters_of_each_type_go_in_as_they_are),
        RUN(an_integer_beyond_int64_is_an_error_and_not_wrapped),
        RUN(a_blob_of_16_mib_goes_both_ways_and_a_longer_one_is_refused),
        RUN(a_parameter_is_never_sql_whatever_it_holds),
        RUN(errors_say_what_a_program_can_do),
        RUN(what_would_change_the_connection_for_the_next_is_refused),
        RUN(what_leaves_its_transaction_alone_is_known_by_its_first_word),
        RUN(a_procedure_that_fails_after_its_first_result_has_failed),
        RUN(a_statement_without_schema_does_not_see_the_tenant_before_it),
        RUN(a_cached_statement_follows_its_table),
        RUN(a_schema_dropped_and_made_again_is_found_by_the_connection_that_did_it),
        RUN(more_statements_than_the_cache_holds_are_closed_at_the_server),
        RUN(a_library_of_another_version_was_read_by_the_layout_of_ours),
        RUN(a_transaction_is_seen_by_others_when_it_commits_and_never_when_not),
        RUN(a_statement_between_two_transactions_is_in_neither),
        RUN(a_statement_that_ends_the_transaction_by_itself_is_noticed),
        RUN(a_statement_that_may_have_ended_the_transaction_before_it_failed_ends_the_lease),
        RUN(a_hundred_transactions_at_once_lose_no_step),
        RUN(a_deadlock_is_busy_and_nothing_more_runs_in_its_transaction),
        RUN(waiting_too_long_for_a_lock_is_busy),
    };
    return cmocka_run_group_tests(tests, sql_world_start, sql_world_end);
}
