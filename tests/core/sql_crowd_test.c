/* SPDX-License-Identifier: Apache-2.0 */
/* io/sql: more statements than connections, more rows than memory, and a loop that has other work. */
#include "base/buf.h"
#include "io/sql_error.h"
#include "io/sql_fetch.h"
#include "world_sql.h"

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

struct ender {
    struct tally *ended;
    const struct tally *alone;
    int alone_before; /* single statements that had ended when the transaction began */
};
static void end_at_once(void *arg, struct sql_lease *lease, const struct sql_error *e) {
    struct ender *t = arg;
    assert_null(e);
    t->alone_before = t->alone->done;
    sql_end(pool, lease, true, count_up, t->ended);
}

TEST(a_busy_connection_goes_on_with_its_own_kind_and_lets_nobody_wait_for_long) {
    static const char sets[] = "SELECT VARIABLE_VALUE FROM information_schema.GLOBAL_STATUS "
                               "WHERE VARIABLE_NAME = 'COM_SET_OPTION'";
    struct tally alone = {0}, ended = {0};
    struct ender enders[40];
    open_pool(1);
    ask_with(NULL, NULL, "SELECT 1", NULL, 0);
    long before = world_mysql_number(sets);
    for (int i = 0; i < 40; i++) {
        enders[i] = (struct ender){.ended = &ended, .alone = &alone};
        sql_exec(pool, NULL, NULL, "SELECT 1", 8, NULL, 0, count_up, &alone);
        sql_begin(pool, NULL, end_at_once, &enders[i]);
    }
    CHECK(world_turn(&loop, &ended.done, 40, 8000));
    CHECK_INT(40, alone.ok);
    CHECK_INT(40, ended.ok);
    CHECK(world_mysql_number(sets) - before < 40); /* 79 when each takes what is first */

    alone = ended = (struct tally){0};
    sql_exec(pool, NULL, NULL, "SELECT SLEEP(0.05)", 18, NULL, 0, count_up, &alone);
    sql_begin(pool, NULL, end_at_once, enders);
    for (int i = 0; i < 60; i++) sql_exec(pool, NULL, NULL, "SELECT 1", 8, NULL, 0, count_up, &alone);
    CHECK(world_turn(&loop, &ended.done, 1, 8000));
    CHECK(world_turn(&loop, &alone.done, 61, 8000));
    CHECK(enders[0].alone_before <= 1 + 8);
    CHECK_INT(0, sql_pool_waiting(pool));
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

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(two_hundred_tenants_over_eight_connections_see_only_their_own_rows),
        RUN(five_thousand_waiting_statements_are_all_answered_and_more_than_the_limit_refused),
        RUN(a_statement_that_finds_no_free_connection_in_time_ends),
        RUN(a_statement_that_runs_too_long_ends),
        RUN(a_thousand_that_waited_too_long_are_told_a_few_at_a_time),
        RUN(a_thousand_that_are_refused_or_fail_at_once_are_told_a_few_at_a_time),
        RUN(connections_are_opened_as_they_are_needed_and_the_same_one_stays_in_use),
        RUN(a_busy_connection_goes_on_with_its_own_kind_and_lets_nobody_wait_for_long),
        RUN(a_long_result_leaves_the_loop_its_turns),
        RUN(rows_without_end_are_given_up_and_the_next_statement_is_answered),
        RUN(a_pool_can_be_closed_from_a_callback_while_rows_arrive),
    };
    return cmocka_run_group_tests(tests, sql_world_start, sql_world_end);
}
