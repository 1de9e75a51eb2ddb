/* SPDX-License-Identifier: Apache-2.0 */
/* io/sql: connections that end, a server that dies, that is mute, that is not where it was said to be. */
#include "io/sql_error.h"
#include "world_sql.h"
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/un.h>

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
        CHECK_INT(0, end(begin(NULL), true).code);            /* nor by a transaction that begins */
        for (int ask_first = 0; ask_first < 2; ask_first++) { /* nor by one that has begun and asked for nothing yet */
            id = ask_with(NULL, NULL, "SELECT CONNECTION_ID()", NULL, 0);
            struct sql_lease *lease = begin(NULL);
            kill_connection(id.text);
            world_turn_for(&loop, 10);
            if (ask_first) CHECK_INT(0, in(lease, "SELECT 1").code);
            CHECK_INT(0, end(lease, true).code);
        }
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

/* -- a server over TCP ---------------------------------------------------------------------------------------- */

static atomic_bool forgotten; /* the connection: the next packet from the client is answered with a reset */

static bool is_forgotten(int from) {
    const struct linger reset = {.l_onoff = 1};
    if (!atomic_exchange(&forgotten, false)) return false;
    setsockopt(from, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    return true;
}

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
            if (i == 0 && is_forgotten(from)) {
                up = false;
                continue;
            }
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

static int listen_for_tcp(int *port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(0, bind(listener, (struct sockaddr *)&at, len));
    CHECK_INT(0, getsockname(listener, (struct sockaddr *)&at, &len));
    CHECK_INT(0, listen(listener, 4));
    *port = ntohs(at.sin_port);
    return listener;
}

/* A transaction whose connection was forgotten while it lay idle, autocommit off, and that begins with text. */
static struct answer begin_on_forgotten(const char *text, const char *then, int *committed) {
    struct answer a, second = {0};
    CHECK_INT(0, end(begin("t"), false).code);
    struct sql_lease *lease = begin("t");
    atomic_store(&forgotten, true);
    a = in(lease, text);
    CHECK(!atomic_load(&forgotten));
    if (then) second = in(lease, then);
    *committed = end(lease, true).code;
    CHECK_INT(a.code, second.code);
    return a;
}

TEST(a_connection_forgotten_while_idle_is_not_noticed_by_a_transactions_first_statement) {
    static const char insert[] = "INSERT INTO x VALUES (1)";
    pthread_t carriers[4];
    int port, committed, listener = listen_for_tcp(&port);
    fresh_schema();
    world_mysql_do("CREATE TABLE t.x (i INT)");
    world_mysql_do("CREATE PROCEDURE t.p() INSERT INTO t.x VALUES (3)");
    for (int i = 0; i < 4; i++) CHECK_INT(0, pthread_create(&carriers[i], NULL, carry, &listener));
    open_pool_at("127.0.0.1", port);

    CHECK_STR("", begin_on_forgotten(insert, NULL, &committed).error); /* lost while it is prepared */
    CHECK_INT(0, committed);
    CHECK_STR("", begin_on_forgotten(insert, "INSERT INTO x VALUES (2)", &committed).error); /* while it is executed */
    CHECK_INT(0, committed);
    CHECK_STR("1\n1\n2\n", ask("SELECT i FROM x ORDER BY i").text);

    must("CALL p()"); /* prepared: a procedure that may have run, and committed, is not run again */
    CHECK_INT(ERR_CLOSED, begin_on_forgotten("CALL p()", insert, &committed).code);
    CHECK_INT(ERR_CLOSED, committed);

    struct sql_lease *lease = begin("t"); /* nor is a transaction that has done something */
    CHECK_INT(0, in(lease, insert).code);
    atomic_store(&forgotten, true);
    CHECK_INT(ERR_CLOSED, in(lease, insert).code);
    CHECK_INT(ERR_CLOSED, end(lease, true).code);
    CHECK_INT(4, world_mysql_number("SELECT COUNT(*) FROM t.x"));
    close_pool();
    shutdown(listener, SHUT_RDWR); /* for those that had nothing to carry */
    for (int i = 0; i < 4; i++) pthread_join(carriers[i], NULL);
    close(listener);
}

struct long_turn {
    struct answer first, second;
};

/* The connection is gone before the loop has its next turn, and its clock has not moved. */
static void kill_and_ask(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct long_turn *t = arg;
    note(&t->first, r, e);
    kill_connection(t->first.text);
    usleep(100000); /* the carrier hears of it */
    sql_exec(pool, NULL, NULL, "SELECT CONNECTION_ID()", 22, NULL, 0, note, &t->second);
}

TEST(a_connection_lost_in_the_turn_of_its_answer_was_noticed_by_the_next_statement) {
    struct long_turn t = {0};
    pthread_t carriers[2];
    int port, listener = listen_for_tcp(&port);
    for (int i = 0; i < 2; i++) CHECK_INT(0, pthread_create(&carriers[i], NULL, carry, &listener));
    open_pool_at("127.0.0.1", port);
    sql_exec(pool, NULL, NULL, "SELECT CONNECTION_ID()", 22, NULL, 0, kill_and_ask, &t);
    CHECK(world_turn(&loop, &t.second.done, 1, 8000));
    CHECK_STR("", t.second.error);
    CHECK(strcmp(t.first.text, t.second.text) != 0);
    close_pool();
    shutdown(listener, SHUT_RDWR);
    for (int i = 0; i < 2; i++) pthread_join(carriers[i], NULL);
    close(listener);
}

TEST(a_server_is_found_by_name_and_by_address_and_one_that_is_not_says_so) {
    static const char *const hosts[] = {"localhost", "127.0.0.1"}; /* localhost may be ::1 first: the next is tried */
    int port, listener = listen_for_tcp(&port);
    for (int i = 0; i < 2; i++) {
        pthread_t carrier;
        CHECK_INT(0, pthread_create(&carrier, NULL, carry, &listener));
        open_pool_at(hosts[i], port);
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
    open_pool_at("127.0.0.1", port);
    CHECK_INT(ERR_CLOSED, ask_with(NULL, NULL, "SELECT 1", NULL, 0).code);
    close_pool();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_connection_killed_while_idle_is_not_noticed_by_a_statement),
        RUN(a_connection_killed_in_a_transaction_ends_it),
        RUN(a_statement_killed_while_it_runs_is_not_run_again),
        RUN(a_server_that_dies_in_a_statement_ends_it_and_the_transaction),
        RUN(a_server_that_restarts_is_waited_for),
        RUN(while_the_server_is_away_statements_end_and_the_pool_closes),
        RUN(a_server_that_refuses_us_says_so),
        RUN(closing_answers_everything_and_rolls_back_what_was_open),
        RUN(a_mute_server_is_given_up_and_the_next_connection_works),
        RUN(a_commit_without_an_answer_may_have_happened),
        RUN(closing_does_not_wait_for_a_mute_server),
        RUN(a_connection_forgotten_while_idle_is_not_noticed_by_a_transactions_first_statement),
        RUN(a_connection_lost_in_the_turn_of_its_answer_was_noticed_by_the_next_statement),
        RUN(a_server_is_found_by_name_and_by_address_and_one_that_is_not_says_so),
    };
    return cmocka_run_group_tests(tests, sql_world_start, sql_world_end);
}
