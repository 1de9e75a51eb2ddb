/* SPDX-License-Identifier: Apache-2.0 */
/* core.ws against servers that do what no decent one does, and with Lua that does what no careful task does. */
#include "bind/vm.h"
#include "io/net_inside.h"
#include "test.h"
#include "ws_played.h"

static struct world w;
static struct vm *vm;
static int listener;
static struct buf heard;

static void on_done(void *arg, lua_State *co, bool ok, int n) {
    (void)n;
    if (!ok) fail_msg("%s", lua_tostring(co, -1));
    if (arg) *(bool *)arg = true;
}

/* Runs text as a task; it may wait for ever. */
static void start_with(const char *text, bool *done) {
    if (luaL_loadstring(vm_lua(vm), text) != 0) fail_msg("%s", lua_tostring(vm_lua(vm), -1));
    vm_spawn(vm, 0, on_done, done);
}
static void start(const char *text) {
    start_with(text, NULL);
}
/* The same, and the loop until the task has ended. */
static void lua(const char *text) {
    bool done = false;
    start_with(text, &done);
    if (!world_turn(&w, &done, 40000)) fail_msg("does not end: %s", text);
}

static bool is(const char *expression) {
    lua_State *L = vm_lua(vm);
    char *text = mem_printf("return %s", expression);
    if (luaL_dostring(L, text) != 0) fail_msg("%s", lua_tostring(L, -1));
    bool yes = lua_toboolean(L, -1);
    lua_pop(L, 1);
    free(text);
    return yes;
}
static void until(const char *expression) {
    bool never = false;
    uint64_t late = clock_mono_ms() + 40000; /* a busy machine with sanitizers */
    while (!is(expression) && clock_mono_ms() < late) world_turn(&w, &never, 5);
    if (!is(expression)) fail_msg("never: %s", expression);
}

static void open_world(void) {
    int port;
    world_open(&w, NULL);
    listener = listen_loopback(&port);
    fcntl(listener, F_SETFL, O_NONBLOCK);
    vm = vm_new(&(struct vm_services){.loop = &w.loop, .net = w.net, .zygote_fd = -1}, ".");
    lua("ws, task = require 'core.ws', require 'core.task'\n"
        "function open(more)\n"
        "  more = more or {}\n"
        "  more.url, more.connect_ms = URL, more.connect_ms or 60000\n"
        "  socket, why = ws.open(more)\n"
        "end\n"
        "function forget() socket = nil collectgarbage() collectgarbage() end\n"
        "function code(ok, err) return not ok and err.code end");
    lua_pushfstring(vm_lua(vm), "ws://127.0.0.1:%d/", port);
    lua_setglobal(vm_lua(vm), "URL");
}
static void close_world(void) {
    vm_free(vm);
    world_close(&w);
    close(listener);
    buf_free(&heard);
}

/* The other end of a socket that Lua opens with what is in options, and frames that come with the handshake's answer. */
static int open_with(const char *options, const char *frames, size_t len) {
    char *text = mem_printf("socket = nil open(%s)", options);
    start(text);
    free(text);
    int fd = played_accept(&w, listener, &heard);
    played_answer(fd, &heard, frames, len);
    until("socket");
    buf_clear(&heard);
    return fd;
}
static int open_one(const char *options) {
    return open_with(options, NULL, 0);
}

/* Says it again and again, until most bytes have gone or nobody takes more; how many have. */
static size_t flood(int fd, const char *text, size_t len, size_t most) {
    size_t sent = 0;
    bool never = false;
    for (int idle = 0; sent < most && idle < 50;) {
        size_t at = sent % len;
        ssize_t n = send(fd, text + at, len - at, MSG_NOSIGNAL);
        if (n > 0) {
            sent += (size_t)n;
            idle = 0;
        } else if (n < 0 && errno != EAGAIN) {
            break;
        } else {
            world_turn(&w, &never, 2);
            idle++;
        }
    }
    return sent;
}

/* count unfragmented binary messages of 1000 bytes, one after the other. */
static char *many_messages(int count, size_t *len) {
    struct buf b = {0};
    char body[1000];
    memset(body, 'm', sizeof body);
    for (int i = 0; i < count; i++) {
        buf_add(&b, "\x82\x7E\x03\xE8", 4);
        buf_add(&b, body, sizeof body);
    }
    *len = b.len;
    return buf_take(&b);
}

static bool is_left(int fd) {
    return hear(&w, fd, &heard, NULL);
}

/* -- what servers do ------------------------------------------------------------------------------------------- */

TEST(frames_without_end_are_read_no_further_than_they_are_taken_and_none_is_lost) {
    size_t len;
    char *messages = many_messages(1000, &len), whole[64];
    open_world();
    int fd = open_one("{ hold_limit = 10000 }");
    size_t sent = flood(fd, messages, len, (size_t)200 << 20);
    CHECK(sent < (size_t)40 << 20); /* what the kernel takes */
    close(fd);                      /* in the middle of a frame */
    start("count = 0\n"
          "repeat\n"
          "  local data, binary = socket:next()\n"
          "  if data then count = count + (#data == 1000 and binary and 1 or 0) else ended = binary end\n"
          "until not data");
    until("ended");
    snprintf(whole, sizeof whole, "count == %zu", sent / 1004);
    CHECK(is(whole));
    CHECK(is("ended.code == 'closed'"));
    free(messages);
    close_world();
}

/* Told by a socket that is quiet then: nothing else would wake who waits. */
TEST(what_was_held_back_is_told_when_the_server_says_nothing_more) {
    size_t len;
    char *messages = many_messages(300, &len);
    open_world();
    int fd = open_one("{ hold_limit = 2000 }");
    CHECK_INT(len, flood(fd, messages, len, len));
    lua("task.sleep(50) for _ = 1, 300 do assert(#socket:next() == 1000) end");
    free(messages);
    close(fd);
    close_world();
}

TEST(empty_messages_are_held_to_a_limit_too) {
    open_world();
    int fd = open_one("{ hold_limit = 100000 }");
    CHECK(flood(fd, "\x82\x00", 2, (size_t)200 << 20) < (size_t)40 << 20);
    lua("for _ = 1, 20000 do assert(socket:next() == '') end");
    close(fd);
    close_world();
}

TEST(a_message_in_fragments_is_whole_and_fragments_without_end_are_refused) {
    char body[512] = {0};
    open_world();
    int fd = open_one("{ message_limit = 1000 }");
    start("first, second = socket:next() more, why = socket:next()");
    say_bytes(fd, "\x02\x00", 2);
    flood(fd, "\x00\x00", 2, 200000);
    for (int i = 0; i < 2; i++) {
        say_bytes(fd, "\x00\x7E\x01\xF4", 4);
        say_bytes(fd, body, 500);
        say_bytes(fd, "\x89\x01p\x8A\x00", 5); /* a ping and a pong in between */
    }
    say_bytes(fd, "\x80\x00", 2);
    until("first");
    CHECK(is("#first == 1000 and second == true"));
    say_bytes(fd, "\x01\x7E\x01\xF4", 4);
    say_bytes(fd, body, 500);
    flood(fd, "\x00\x01x", 3, 3000);
    until("why");
    CHECK(is("more == nil and why.code == 'limit'"));
    CHECK(hear(&w, fd, &heard, "\x88\x82"));
    close(fd);
    close_world();
}

TEST(a_frame_that_announces_more_than_there_is_memory_ends_it) {
    char body[4096] = {0};
    open_world();
    int fd = open_one("{ message_limit = 100000 }");
    start("data, why = socket:next()");
    say_bytes(fd, "\x82\x7F\x40\0\0\0\0\0\0\0", 10);
    flood(fd, body, sizeof body, 1 << 20);
    until("why");
    CHECK(is("why.code == 'limit'"));
    close(fd);
    close_world();
}

TEST(empty_messages_and_those_that_come_with_the_handshake_are_told) {
    open_world();
    int fd = open_with("", "\x81\x00\x82\x00\x81\x02hi", 8);
    lua("local function take(text, binary)\n"
        "  local got, is = socket:next()\n"
        "  assert(got == text and is == binary)\n"
        "end\n"
        "take('', false) take('', true) take('hi', false)");
    close(fd);
    close_world();
}

TEST(frames_that_break_the_protocol_end_it) {
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"\x80\x01x", 3},                    /* goes on with nothing */
               {"\x01\x01x\x81\x01y", 6},           /* begins another before the end */
               {"\xC1\x01x", 3},                    /* compressed */
               {"\x83\x01x", 3},                    /* no such kind */
               {"\x09\x00", 2},                     /* a ping in fragments */
               {"\x89\x7E\x00\x80", 4},             /* a ping that is too long */
               {"\x82\x7F\xFF\0\0\0\0\0\0\0", 10}}; /* a negative length */
    open_world();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lua("socket, told, why = nil");
        int fd = open_one("");
        start("told, why = socket:next()");
        say_bytes(fd, bad[i].bytes, bad[i].len);
        until("why");
        CHECK(is("told == nil and type(why.code) == 'string'"));
        CHECK(is_left(fd));
        close(fd);
    }
    close_world();
}

TEST(a_handshake_that_is_never_complete_is_given_up) {
    bool never = false;
    open_world();
    uint64_t late = clock_mono_ms() + 40000;
    start("open{ connect_ms = 300 }");
    int fd = played_accept(&w, listener, &heard);
    say(fd, "HTTP/1.1 101 Yes\r\nX: ");
    while (!is("why") && clock_mono_ms() < late) {
        send(fd, "x", 1, MSG_NOSIGNAL);
        world_turn(&w, &never, 5);
    }
    CHECK(is("socket == nil and why.code == 'timeout'"));
    close(fd);
    close_world();
}

TEST(an_answer_that_is_no_handshake_is_told) {
    static const char *const answers[] = {
        "HTTP/1.1 101 Yes\r\nUpgr",
        "nonsense\r\n\r\n",
        "\r\n\r\n",
        "HTTP/1.1 101 Yes\r\n\r\n",
        "HTTP/1.1 101 Yes\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: ws://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n"};
    open_world();
    for (size_t i = 0; i <= sizeof answers / sizeof *answers; i++) {
        lua("socket, why = nil");
        start("open{ connect_ms = 3000 }"); /* of some libwebsockets waits for more */
        int fd = played_accept(&w, listener, &heard);
        if (i == sizeof answers / sizeof *answers) /* headers without end */
            flood(fd, "X-A: bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb\r\n", 57, (size_t)40 << 20);
        else
            say(fd, answers[i]);
        if (i == 0) close(fd);
        until("why");
        CHECK(is("socket == nil and type(why.code) == 'string'"));
        if (i) close(fd);
    }
    close_world();
}

TEST(what_came_before_the_end_is_still_there) {
    bool never = false;
    open_world();
    int fd = open_one("");
    say_bytes(fd, "\x81\x01\x61\x81\x01\x62\x81\x7E\x10", 9);
    close(fd);
    world_turn(&w, &never, 100);
    lua("assert(socket:next() == 'a' and socket:next() == 'b')\n"
        "for _ = 1, 2 do assert(code(socket:next()) == 'closed') end\n"
        "assert(code(socket:send('x')) == 'closed' and code(socket:drain()) == 'closed' and socket:queued() == 0)\n"
        "socket:close() socket:drop()");
    close_world();
}

TEST(a_server_that_says_good_bye_and_stays_is_left) {
    open_world();
    int fd = open_one("");
    start("data, why = socket:next()");
    say_bytes(fd, "\x88\x02\x0F\xA1", 4);
    CHECK(hear(&w, fd, &heard, "\x88\x82"));
    until("why");
    CHECK(is("why.code == 'closed' and why.text:find('4001', 1, true)"));
    CHECK(is_left(fd));
    close(fd);
    close_world();
}

TEST(a_server_that_answers_no_good_bye_is_left) {
    struct ws_client_times kept = ws_client_times;
    open_world();
    ws_client_times.close = 50;
    int fd = open_one("");
    start("data, why = socket:next()");
    flood(fd, "\x82\x00", 2, 100000);
    until("data");
    lua("socket:close(4000)\n"
        "assert(code(socket:send('x')) == 'closed')");
    flood(fd, "\x82\x00", 2, 100000);
    CHECK(is_left(fd));
    close(fd);
    close_world();
    ws_client_times = kept;
}

/* -- what Lua does --------------------------------------------------------------------------------------------- */

TEST(it_can_be_ended_wherever_lua_runs) {
    static const char *const ends[] = {"close", "drop"};
    open_world();
    for (int i = 0; i < 2; i++) {
        lua_pushstring(vm_lua(vm), ends[i]);
        lua_setglobal(vm_lua(vm), "how");
        lua("socket, why, left, ended, drained = nil\n"
            "open{ on_begin = function(begun) begun[how](begun) begun[how](begun) end }\n"
            "assert(socket == nil and why.code == 'closed')");
        start("local opened = ws.open{ url = URL, connect_ms = 60000 }\n" /* as soon as it has opened */
              "opened[how](opened)\n"
              "left = code(opened:next())");
        int fd = played_accept(&w, listener, &heard);
        played_answer(fd, &heard, "\x81\x01x\x81\x01y", 6);
        say_bytes(fd, "\x88\x02\x03\xE8", 4);
        until("left");
        close(fd);
        fd = open_one(""); /* with the message it has just got, and others behind that */
        start("local got = socket:next()\n"
              "socket[how](socket)\n"
              "assert(got == 'a' and code(socket:send('x')) == 'closed')\n"
              "repeat got, ended = socket:next() until not got");
        say_bytes(fd, "\x81\x01\x61\x81\x01\x62\x88\x02\x03\xE8", 10);
        until("ended");
        CHECK(is("ended.code == 'closed'"));
        close(fd);
        fd = open_one("{ queue_limit = 10e6 }"); /* by another task than those that wait */
        start("for _ = 1, 9 do assert(socket:send(('x'):rep(1e6), true)) end drained = code(socket:drain())");
        start("left = nil left = code(socket:next())");
        CHECK(is("left == nil and drained == nil"));
        lua("assert(not pcall(socket.next, socket) and not pcall(socket.drain, socket))");
        lua("socket:drop()");
        until("left and drained");
        close(fd);
    }
    close_world();
}

TEST(a_socket_that_nobody_holds_is_dropped) {
    bool never = false;
    open_world();
    int fd = open_one("{ hold_limit = 50 }");
    say_bytes(fd, "\x81\x01\x61\x81\x01\x62\x81\x01\x63", 9);
    world_turn(&w, &never, 20);
    lua("assert(socket:send(('x'):rep(100000)))");
    lua("forget()");
    CHECK(is_left(fd));
    close(fd);
    fd = open_one(""); /* one that a task waits for is held by it */
    start("local held = socket socket = nil told = held:next()");
    lua("forget()");
    say_bytes(fd, "\x81\x01z", 3);
    until("told == 'z'");
    lua("forget()");
    CHECK(is_left(fd));
    close(fd);
    close_world();
}

/* The wait that never began held the socket for ever. */
TEST(a_wait_where_nobody_can_wait_holds_nothing) {
    bool never = false;
    open_world();
    CHECK(is("not pcall(ws.open, { url = URL })")); /* no task */
    world_turn(&w, &never, 50);
    CHECK(accept(listener, NULL, NULL) < 0);
    int fd = open_one("");
    CHECK(is("not pcall(socket.next, socket)"));
    lua("assert(socket:send(('x'):rep(100)))\n"
        "for _, how in ipairs{ 'next', 'drain' } do\n"
        "  assert(not pcall(table.sort, { 2, 1 }, function() socket[how](socket) end))\n"
        "end");
    lua("forget()");
    CHECK(is_left(fd));
    close(fd);
    close_world();
}

/* The task went on, and the connection with nobody to hear of it. */
TEST(an_error_in_on_begin_is_the_callers_and_the_connection_goes) {
    bool never = false;
    open_world();
    lua("local ok, text = pcall(ws.open, { url = URL, on_begin = function(begun) socket = begun error('no', 0) end })\n"
        "assert(not ok and text == 'no')\n"
        "task.sleep(50)\n"
        "assert(code(socket:next()) == 'closed')\n"
        "ok, text = pcall(ws.open, { url = URL, on_begin = function(begun) begun:next() end })\n"
        "assert(not ok and text:find('waits', 1, true))\n"
        "forget()");
    world_turn(&w, &never, 50);
    for (int fd; (fd = accept(listener, NULL, NULL)) >= 0; close(fd)) CHECK(is_left(fd));
    close_world();
}

TEST(sends_are_bounded_and_drained_when_they_are_written) {
    bool never = false;
    open_world();
    int fd = open_one("{ queue_limit = 3e6 }");
    start("assert(socket:send('')) drained = socket:drain()");
    CHECK(is("not drained and socket:queued() == 0"));
    until("drained");
    CHECK(hear(&w, fd, &heard, "\x81\x80"));
    lua("local whole, err = ('x'):rep(1e6), nil\n" /* nobody reads it */
        "sent, drained = 0, nil\n"
        "for _ = 1, 100 do\n"
        "  local ok\n"
        "  ok, err = socket:send(whole, true)\n"
        "  if not ok then break end\n"
        "  sent = sent + 1\n"
        "end\n"
        "assert(sent == 3 and err.code == 'limit' and socket:queued() == 3e6)\n"
        "local ok, refused = socket:send(('x'):rep(3e6 + 1))\n"
        "assert(not ok and refused.code == 'limit')");
    start("drained = socket:drain()");
    for (int i = 0; i < 2000 && !is("drained"); i++) {
        char part[65536];
        if (recv(fd, part, sizeof part, 0) < 0) world_turn(&w, &never, 2);
    }
    CHECK(is("drained and socket:queued() == 0"));
    close(fd);
    close_world();
}

TEST(what_no_socket_is_opened_with_raises) {
    open_world();
    lua("for _, wrong in ipairs{ {}, { url = 1e9, headers = 'X: y' }, { url = URL, headers = { 'x' } }, { url = URL, "
        "headers = { x = {} } },\n"
        "    { url = URL, connect_ms = -1 }, { url = URL, connect_ms = 0 / 0 }, { url = URL, message_limit = 0 }, { "
        "url = URL, hold_limit = 1e12 },\n"
        "    { url = URL, queue_limit = 0 / 0 } } do\n"
        "  assert(not pcall(ws.open, wrong))\n"
        "end\n"
        "local many = {}\n"
        "for i = 1, 31 do many['X-' .. i] = 'y' end\n"
        "assert(not pcall(ws.open, { url = URL, headers = many }))\n"
        "for _, wrong in ipairs{ { url = 'ws://h/\\r\\nX: y' }, { url = URL, headers = { ['X\\r\\nY'] = 'z' } }, { url "
        "= URL, headers = { X = 'y\\nZ: z' } },\n"
        "    { url = URL, protocol = 'a\\r\\nX: y' }, { url = URL .. ('x'):rep(5000) } } do\n"
        "  assert(code(ws.open(wrong)) == 'invalid')\n"
        "end\n"
        "collectgarbage()");
    close_world();
}

/* A finalizer that ran after the socket's own was given the NULL that this had left. */
TEST(a_socket_that_is_collected_already_is_not_used) {
    open_world();
    lua("local kept = {}\n"
        "local proxy = newproxy(true)\n"
        "getmetatable(proxy).__gc = function() used = { pcall(kept[1].send, kept[1], 'x') } end\n"
        "kept[2] = proxy\n"
        "function keep() kept[1], keep = socket, nil end");
    int fd = open_one("");
    lua("keep()");
    lua("forget()");
    CHECK(is_left(fd));
    CHECK(is("used and used[1] == false"));
    close(fd);
    close_world();
}

TEST(a_vm_that_ends_while_its_tasks_wait_leaves_nothing) {
    open_world();
    int fd = open_one("{ queue_limit = 10e6 }");
    start("for _ = 1, 9 do socket:send(('x'):rep(1e6)) end socket:drain()");
    start("socket:next()");
    start("ws.open{ url = URL }");
    int other = played_accept(&w, listener, &heard);
    close_world();
    close(fd);
    close(other);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(frames_without_end_are_read_no_further_than_they_are_taken_and_none_is_lost),
        RUN(what_was_held_back_is_told_when_the_server_says_nothing_more),
        RUN(empty_messages_are_held_to_a_limit_too),
        RUN(a_message_in_fragments_is_whole_and_fragments_without_end_are_refused),
        RUN(a_frame_that_announces_more_than_there_is_memory_ends_it),
        RUN(empty_messages_and_those_that_come_with_the_handshake_are_told),
        RUN(frames_that_break_the_protocol_end_it),
        RUN(a_handshake_that_is_never_complete_is_given_up),
        RUN(an_answer_that_is_no_handshake_is_told),
        RUN(what_came_before_the_end_is_still_there),
        RUN(a_server_that_says_good_bye_and_stays_is_left),
        RUN(a_server_that_answers_no_good_bye_is_left),
        RUN(it_can_be_ended_wherever_lua_runs),
        RUN(a_socket_that_nobody_holds_is_dropped),
        RUN(a_wait_where_nobody_can_wait_holds_nothing),
        RUN(an_error_in_on_begin_is_the_callers_and_the_connection_goes),
        RUN(sends_are_bounded_and_drained_when_they_are_written),
        RUN(what_no_socket_is_opened_with_raises),
        RUN(a_socket_that_is_collected_already_is_not_used),
        RUN(a_vm_that_ends_while_its_tasks_wait_leaves_nothing),
    };
    if (getenv("ONLY")) cmocka_set_test_filter(getenv("ONLY"));
    return RUN_ALL(tests);
}
