/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's control socket to the zygote, with core.cell above it and a zygote that is played here: one that does not read until
 * the test does. */
#include "base/buf.h"
#include "bind/vm.h"
#include "bind/zygote_client.h"
#include "script/message.h"
#include "script/passing.h"
#include "until.h"
#include <errno.h>
#include <lauxlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t loop;
static struct vm_services *services; /* the VM's */
static struct vm *vm;
static int zygote, started; /* its end of the control socket; how often one was started */
static int lost;            /* how often we heard that there will be none */

static const char program[] =
    "local cell, task = require 'core.cell', require 'core.task'\n"
    "cells, refused, code, ended, said = {}, 0, '', 0, 0\n"
    "function ask(n)\n"
    "  for _ = 1, n do\n"
    "    task.spawn(function()\n"
    "      local made, err = cell.spawn{ on_message = function() said = said + 1 end, on_ended = function() ended = "
    "ended + 1 end }\n"
    "      if made then cells[#cells + 1] = made else refused, code = refused + 1, err.code end\n"
    "    end)\n"
    "  end\n"
    "end";

static void on_done(void *arg, lua_State *co, bool ok, int n) {
    (void)arg;
    (void)n;
    if (!ok) fail_msg("%s", lua_tostring(co, -1));
}

static void lua(const char *code) {
    if (luaL_loadstring(vm_lua(vm), code) != 0) fail_msg("%s", lua_tostring(vm_lua(vm), -1));
    vm_spawn(vm, 0, on_done, NULL);
}

static int number(const char *expression) {
    char code[128];

    snprintf(code, sizeof code, "return %s", expression);
    CHECK_INT(0, luaL_loadstring(vm_lua(vm), code));
    CHECK_INT(0, lua_pcall(vm_lua(vm), 0, 1, 0));
    int n = (int)lua_tointeger(vm_lua(vm), -1);
    lua_pop(vm_lua(vm), 1);
    return n;
}

static bool code_is(const char *code) {
    lua_getglobal(vm_lua(vm), "code");
    bool is = strcmp(lua_tostring(vm_lua(vm), -1), code) == 0;
    lua_pop(vm_lua(vm), 1);
    return is;
}

static int start(void) {
    int pair[2];

    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    zygote = pair[1];
    started++;
    return pair[0];
}

static int open_world(void **state) {
    (void)state;
    uv_loop_init(&loop);
    vm = vm_new(&(struct vm_services){.loop = &loop, .zygote_fd = start()}, ".");
    services = vm_services(vm_lua(vm));
    started = lost = 0;
    lua(program);
    return 0;
}

static int close_world(void **state) {
    (void)state;
    lua("for _, cell in ipairs(cells) do cell:kill() end");
    close(zygote);
    UNTIL(services->zygote_fd < 0);
    vm_free(vm);
    while (uv_run(&loop, UV_RUN_NOWAIT)) {
    }
    return uv_loop_close(&loop);
}

/* The next thing the zygote hears; the loop runs while there is nothing. False: the worker has hung up. */
static bool hear(struct zygote_message *m) {
    ssize_t n;

    UNTIL((n = recv(zygote, m, sizeof *m, MSG_DONTWAIT)) >= 0 || errno != EAGAIN);
    if (n > 0) CHECK_INT(sizeof *m, n);
    return n > 0;
}

static uint32_t hear_spawn(void) {
    struct zygote_message m;

    CHECK(hear(&m));
    CHECK_INT(ZYGOTE_SPAWN, m.type);
    return m.id;
}

static void refuse(uint32_t id, enum zygote_type type) {
    struct zygote_message m = {.type = type, .id = id, .value = EAGAIN};

    CHECK_INT(0, passing_send(zygote, &m, sizeof m, NULL, 0, 0));
}

/* A cell that is a socket and a page. Returns its number; *end is its end. */
static uint32_t make_with(int *end) {
    struct zygote_message m = {.type = ZYGOTE_SPAWNED, .pid = getpid()};
    int pair[2], page = memfd_create("page", MFD_CLOEXEC), made = number("#cells");

    lua("ask(1)");
    m.id = hear_spawn();
    CHECK_INT(0, ftruncate(page, sizeof(struct cell_page)));
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    CHECK_INT(0, passing_send(zygote, &m, sizeof m, (int[]){pair[0], page, page}, 3, 0));
    close(pair[0]);
    close(page);
    *end = pair[1];
    UNTIL(number("#cells") == made + 1);
    return m.id;
}

/* One whose socket nobody reads. */
static uint32_t make_one(void) {
    static int unread;

    return make_with(&unread);
}

TEST(cells_that_were_asked_for_faster_than_the_zygote_reads_never_came) {
    lua("ask(1000)");
    RUN_FOR(20);
    uint32_t first = hear_spawn();
    for (uint32_t i = 1; i < 1000; i++) CHECK_INT(first + i, hear_spawn());
    CHECK_INT(0, number("refused"));
    for (int i = 0; i < 1000; i++) {
        refuse(first + (uint32_t)i, ZYGOTE_FAILED);
        if (i % 100 == 99) UNTIL(number("refused") == i + 1);
    }
}

TEST(a_stop_and_a_kill_behind_a_full_socket_were_lost) {
    struct zygote_message m;
    uint32_t id = make_one();

    lua("ask(1000) cells[1]:hold 'stop' cells[1]:kill 'tested'");
    CHECK_INT(1, number("ended"));
    for (int i = 0; i < 1000; i++) hear_spawn();
    CHECK(hear(&m));
    CHECK_INT(ZYGOTE_STOP, m.type);
    CHECK_INT(id, m.id);
    CHECK(hear(&m));
    CHECK_INT(ZYGOTE_KILL, m.type);
    CHECK_INT(id, m.id);
}

TEST(who_asks_when_too_many_wait_is_told_to_come_again) {
    lua("ask(6000)");
    int refused = number("refused");
    CHECK(refused > 0 && refused <= 6000 - ZYGOTE_SPAWNS_MAX);
    CHECK(code_is("busy"));
    for (int i = 0; i < 6000 - refused; i++) hear_spawn();
    CHECK_INT(refused, number("refused"));
}

TEST(who_waits_for_a_cell_hears_that_the_zygote_died) {
    lua("ask(1000)");
    close(zygote);
    UNTIL(number("refused") == 1000);
    CHECK(code_is("closed"));
    lua("ask(1)");
    CHECK_INT(1001, number("refused"));
}

TEST(who_waits_hears_of_a_cell_that_ended_before_it_was_told_of) {
    lua("ask(1)");
    refuse(hear_spawn(), ZYGOTE_ENDED);
    UNTIL(number("refused") == 1);
}

/* Its poll handle was made a second time while it stood in the loop. */
TEST(a_zygote_that_died_and_came_again_makes_cells) {
    services->zygote_start = start;
    for (int i = 1; i <= 3; i++) {
        lua("ask(2)");
        close(zygote);
        UNTIL(number("refused") == 2 * i);
    }
    make_one();
    CHECK_INT(3, started);
    CHECK_INT(1, number("#cells"));
}

/* While those who wait are told one by one, others ask the next zygote, and cells that were never made are collected. */
TEST(asking_again_from_within_the_news_that_it_died_is_fine) {
    services->zygote_start = start;
    lua("local cell, task = require 'core.cell', require 'core.task'\n"
        "again = 0\n"
        "for _ = 1, 3 do task.spawn(function()\n"
        "  for _ = 1, 2 do\n"
        "    cell.spawn{ on_message = function() end, on_ended = function() end }\n"
        "    collectgarbage()\n"
        "    again = again + 1\n"
        "  end\n"
        "end) end");
    for (int i = 1; i <= 2; i++) {
        close(zygote);
        UNTIL(number("again") == 3 * i);
        if (i == 1) CHECK_INT(1, started);
    }
    lua("ask(1)"); /* the world ends with one that is there */
    refuse(hear_spawn(), ZYGOTE_FAILED);
    UNTIL(number("refused") == 1);
}

TEST(a_zygote_that_reads_nothing_more_is_given_up_and_ends_our_cells) {
    struct zygote_message m;
    int heard = 0;

    make_one();
    lua("ask(1000)");
    lua("for _ = 1, 20000 do cells[1]:hold 'stop' end");
    UNTIL(number("refused") == 1000);
    while (hear(&m)) heard++;
    CHECK(heard < 1000); /* and then its end of the socket says that we are gone */
}

/* It was ended by what the zygote told, before its own socket was read. */
TEST(what_a_cell_had_said_was_lost_when_its_end_was_told_sooner) {
    struct buf pong = {0};
    int end;
    uint32_t id = make_with(&end);

    message_begin(&pong, MESSAGE_PONG);
    message_int(&pong, 1);
    for (int i = 0; i < 100; i++) CHECK_INT(pong.len, send(end, pong.data, pong.len, MSG_NOSIGNAL));
    close(end);
    refuse(id, ZYGOTE_ENDED);
    UNTIL(number("ended") == 1);
    CHECK_INT(100, number("said"));
    buf_free(&pong);
}

static void on_lost(void) {
    lost++;
}

TEST(a_worker_whose_zygote_was_given_up_had_no_cells_until_somebody_restarted_it) {
    services->zygote_lost = on_lost;
    make_one();
    lua("ask(1000)");
    lua("for _ = 1, 20000 do cells[1]:hold 'stop' end");
    UNTIL(number("refused") == 1000);
    CHECK_INT(1, lost);
}

TEST(who_can_have_another_zygote_has_lost_none) {
    services->zygote_lost = on_lost;
    services->zygote_start = start;
    lua("ask(2)");
    close(zygote);
    UNTIL(number("refused") == 2);
    make_one();
    CHECK_INT(0, lost);
}

int main(void) {
#define WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WORLD(cells_that_were_asked_for_faster_than_the_zygote_reads_never_came),
        WORLD(a_stop_and_a_kill_behind_a_full_socket_were_lost),
        WORLD(who_asks_when_too_many_wait_is_told_to_come_again),
        WORLD(who_waits_for_a_cell_hears_that_the_zygote_died),
        WORLD(who_waits_hears_of_a_cell_that_ended_before_it_was_told_of),
        WORLD(a_zygote_that_died_and_came_again_makes_cells),
        WORLD(asking_again_from_within_the_news_that_it_died_is_fine),
        WORLD(a_zygote_that_reads_nothing_more_is_given_up_and_ends_our_cells),
        WORLD(what_a_cell_had_said_was_lost_when_its_end_was_told_sooner),
        WORLD(a_worker_whose_zygote_was_given_up_had_no_cells_until_somebody_restarted_it),
        WORLD(who_can_have_another_zygote_has_lost_none),
    };
    return RUN_ALL(tests);
}
