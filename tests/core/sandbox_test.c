/* SPDX-License-Identifier: Apache-2.0 */
/* The built-ins that were replaced give what Lua gives; runs are cut into slices, stopped at any moment and for their memory.
 * What hostile source does is in escapes_test.c and escapes_cell_test.c. */
#include "base/buf.h"
#include "base/clock.h"
#include "cell/program.h"
#include "test.h"
#include <lauxlib.h>
#include <lualib.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_HARD = 77 };

static void at_hard(void) {
    _exit(EXIT_HARD);
}

/* -- the same as Lua ------------------------------------------------------------------------------------------------- */

static const char *const expressions[] = {
    "('hello world'):find('o w')",
    "('hello'):find('l+')",
    "('hello'):find('xyz')",
    "('hello'):find('', 10)",
    "('hello'):find('', 6)",
    "('a.b'):find('.', 2, true)",
    "('hello'):find('l', -2)",
    "('hello'):find('(l)(l)')",
    "('hello'):find('()ll()')",
    "('key = value'):match('^(%w+)%s*=%s*(%w+)$')",
    "('  x '):match('^%s*(.-)%s*$')",
    "('[[x]]'):match('%[%[(.-)%]%]')",
    "('f(a(b)c)d'):match('%b()')",
    "('THE (quick) fox'):find('%((%a+)%)')",
    "('abcabc'):match('(abc)%1')",
    "('x'):match('x*?')",
    "('aaa'):match('^(a-)$')",
    "('THE (quick) fox'):gsub('%f[%a]%a+', 'w')",
    "('hello world'):gsub('o', '0')",
    "('hello world'):gsub('o', '0', 1)",
    "('abc'):gsub('', '-')",
    "('abc'):gsub('%w', '%0%0')",
    "('hello'):gsub('(l)(l)', '%2-%1')",
    "('abc'):gsub('%w*', 'x')",
    "('abc'):gsub('^a', 'x')",
    "('abc'):gsub('b', '%%')",
    "('$name is $x'):gsub('%$(%w+)', { name = 'Lua' })",
    "('4+5'):gsub('%d', function(d) return d * 2 end)",
    "('abc'):gsub('', function() return '-' end)",
    "('abc'):gsub('%w*', function() return 'x' end)",
    "('abc'):gsub('b', function() return false end)",
    "('a b c'):gsub('%w', { a = 1, b = true and 'B' })",
    "('hello'):gsub('()', '%1')",
    "('abc'):gsub('^a', function() return 'x' end)",
    "('abcd'):gsub('.', function(c) return c end, 2)",
    "('x'):rep(3)",
    "('x'):rep(0)",
    "('x'):rep(-1)",
    "('ab'):rep(3, ',')",
    "(''):rep(1000000000)",
    "('%d %s %5.2f %q'):format(1, 'a', 2.5, 'q\"')",
    "('%s %s %s'):format(nil, true, 'x')",
    "('%5s|%-5s|%05d'):format('a', 'b', 42)",
    "('%x %X %c %e %g %i %o %u %%'):format(255, 255, 65, 1, 0.1, 3, 8, 9)",
    "table.concat({ 1, 2, 'x' }, ', ')",
    "table.concat({})",
    "table.concat({ 1, 2, 3 }, '-', 2, 3)",
    "table.concat({ 0.1, 1e100, -5 })",
    "select('#', unpack({ 1, nil, 3 }, 1, 3))",
    "unpack({ 1, 2, 3 }, 2)",
    "unpack({}, 1, 0)",
    "(function() local t = { 3, 1, 2 } table.sort(t) return table.concat(t, ' ') end)()",
    "(function() local t = { 'b', 'a', 'B', '' } table.sort(t) return table.concat(t, ' ') end)()",
    "(function() local t = { 3, 1, 2 } table.sort(t, function(a, b) return a > b end) return table.concat(t, ' ') "
    "end)()",
    "(function() local t = {} table.insert(t, 'a') table.insert(t, 1, 'b') table.insert(t, 2, 'c') return "
    "table.concat(t, ' ') end)()",
    "(function() local t = { 1, 2, 3 } return table.remove(t, 1), table.remove(t), #t, table.remove({}) end)()",
    "(function() local r = {} for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do r[#r + 1] = k .. v end return "
    "table.concat(r, ' ') end)()",
    "(function() local r = {} for w in ('one two'):gmatch('%a*') do r[#r + 1] = '<' .. w .. '>' end return "
    "table.concat(r) end)()",
    "(function() local s = 0 for k, v in pairs({ 1, 2, x = 3 }) do s = s + v end return s end)()",
    "pcall(function() return 1, nil, 3 end)",
    "pcall(error, 'x', 0)",
    "select('#', pcall(error))",
    "xpcall(function() error('x', 0) end, function(m) return m .. '!' end)",
    "xpcall(function(...) return ... end, print, 1, 2)",
    "tostring(nil)",
    "tostring(1.5)",
    "tostring(setmetatable({}, { __tostring = function() return 'me' end }))",
    "('%s'):format(setmetatable({}, { __tostring = function() return 'me' end }))",
    "tonumber('0x10')",
    "tonumber('z', 36)",
    "#'abc'",
    "math.max(1, 3, 2)",
    "math.floor(-0.5)",
    "bit.band(0xff, 0x0f)",
    "string.byte('abc', 1, -1)",
    "('x'):byte(10)",
    "getmetatable(setmetatable({}, { __metatable = 'no' }))",
};

static void push_text_of_all(lua_State *L, int from) { /* results as one comparable text */
    struct buf b = {0};
    for (int i = from; i <= lua_gettop(L); i++) {
        buf_printf(&b, "%s:", lua_typename(L, lua_type(L, i)));
        if (lua_isboolean(L, i))
            buf_add_str(&b, lua_toboolean(L, i) ? "true" : "false");
        else if (!lua_isnil(L, i))
            buf_add_str(&b, lua_tostring(L, i) ? lua_tostring(L, i) : "?");
        buf_add_str(&b, "; ");
    }
    lua_pushlstring(L, b.data ? b.data : "", b.len);
    buf_free(&b);
}

TEST(replaced_functions_give_what_lua_gives) {
    struct sandbox *s;
    struct err e = {0};
    lua_State *plain = luaL_newstate();

    CHECK_INT(0, sandbox_setup(16 << 20, 64 << 20, at_hard, &e));
    luaL_openlibs(plain);
    s = sandbox_new();
    for (size_t i = 0; i < sizeof expressions / sizeof *expressions; i++) {
        char source[512];
        snprintf(source, sizeof source, "return %s", expressions[i]);
        CHECK(luaL_dostring(plain, source) == 0);
        push_text_of_all(plain, 1);
        struct run *r = run_new(s);
        CHECK(sandbox_compile(r->L, "x.lua", source, strlen(source)));
        if (run_slice(r, 0, 100) != RUN_DONE) fail_msg("%s: %s", source, lua_tostring(r->L, -1));
        push_text_of_all(r->L, 1);
        if (strcmp(lua_tostring(plain, -1), lua_tostring(r->L, -1)) != 0)
            fail_msg("%s: Lua gives %s, we give %s", expressions[i], lua_tostring(plain, -1), lua_tostring(r->L, -1));
        lua_settop(plain, 0);
        run_free(r);
    }
    sandbox_free(s);
    lua_close(plain);
}

static const char SLICED[] =
    "local function f(n) local t = {} for i = 1, n do t[#t + 1] = (i * 7919) % 1009 end\n"
    "table.sort(t, function(a, b) return a < b end)\n"
    "local s = (('%d,'):rep(50)):format(unpack(t, 1, 50)):gsub('%d+', function(d) return d + 1 end)\n"
    "local ok, v = pcall(function() local o = setmetatable({}, { __index = function(_, k) for i = 1, 100 do end return "
    "k end })\n"
    "return o.x .. s end) local sum = 0 for _, v in pairs(t) do sum = sum + v end return v .. sum end\n"
    "local r for i = 1, 60 do r = f(3000) end return r";

TEST(cutting_a_run_into_slices_changes_nothing) {
    struct err e = {0};
    int slices = 0;

    CHECK_INT(0, sandbox_setup(64 << 20, 256 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *whole = run_new(s), *cut = run_new(s);
    CHECK(sandbox_compile(whole->L, "x.lua", SLICED, strlen(SLICED)));
    CHECK(sandbox_compile(cut->L, "x.lua", SLICED, strlen(SLICED)));
    CHECK_INT(RUN_DONE, run_slice(whole, 0, 100000));
    enum run_end end;
    while ((end = run_slice(cut, 0, 1)) == RUN_SLICED) {
        slices++;
        CHECK_STR("x.lua", cut->stood.file);
    }
    CHECK_INT(RUN_DONE, end);
    CHECK(slices > 20);
    CHECK_STR(lua_tostring(whole->L, -1), lua_tostring(cut->L, -1));
    run_free(whole);
    run_free(cut);
    sandbox_free(s);
}

/* The timer of an earlier slice stands for later ones. */
TEST(a_slice_is_as_long_as_it_says_however_long_others_were) {
    static const char done[] = "return 1", endless[] = "while true do end";
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(64 << 20, 256 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    for (int i = 0; i < 4; i++) {
        struct run *first = run_new(s), *then = run_new(s);
        CHECK(sandbox_compile(first->L, "x.lua", done, strlen(done)));
        CHECK(sandbox_compile(then->L, "x.lua", endless, strlen(endless)));
        CHECK_INT(RUN_DONE, run_slice(first, 0, i % 2 ? 1 : 100000));
        if (i >= 2) sandbox_rest();
        uint64_t began = clock_mono_ms();
        CHECK_INT(RUN_SLICED, run_slice(then, 0, 50));
        uint64_t took = clock_mono_ms() - began;
        CHECK(took >= 49 && took < 5000); /* on a machine that does other things too */
        run_free(first);
        run_free(then);
    }
    sandbox_free(s);
}

TEST(runs_stopped_at_any_moment_leave_the_vm_whole) {
    struct err e = {0};
    enum run_end end = RUN_DONE;

    CHECK_INT(0, sandbox_setup(4 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    srand(1);
    for (int i = 0; i < 150; i++) {
        struct run *r = run_new(s);
        CHECK(sandbox_compile(r->L, "x.lua", SLICED, strlen(SLICED)));
        int slices = rand() % 6;
        for (int k = 0; k <= slices && (k == 0 || end == RUN_SLICED); k++) end = run_slice(r, 0, 1);
        CHECK(end == RUN_SLICED || end == RUN_DONE);
        run_free(r);
    }
    sandbox_collect(s);
    struct run *r = run_new(s);
    CHECK(sandbox_compile(r->L, "x.lua", SLICED, strlen(SLICED)));
    CHECK_INT(RUN_DONE, run_slice(r, 0, 100000));
    run_free(r);
    sandbox_free(s);
    CHECK_INT(0, (int)sandbox_bytes());
}

TEST(a_stopped_run_tells_where_it_stood) {
    static const char source[] = "local x = 1\npcall(function()\n  while true do\n    x = x + 1\n  end\nend)";
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(16 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *r = run_new(s);
    CHECK(sandbox_compile(r->L, "spin.lua", source, strlen(source)));
    CHECK_INT(RUN_SLICED, run_slice(r, 0, 5));
    CHECK_STR("spin.lua", r->stood.file);
    CHECK(r->stood.line >= 3 && r->stood.line <= 5);
    run_free(r); /* never resumed */
    r = run_new(s);
    CHECK(sandbox_compile(r->L, "after.lua", "return 42", 9));
    CHECK_INT(RUN_DONE, run_slice(r, 0, 100));
    CHECK_INT(42, lua_tointeger(r->L, -1));
    run_free(r);
    sandbox_free(s);
    CHECK_INT(0, (int)sandbox_bytes());
}

TEST(memory_of_a_stopped_run_comes_back) {
    static const char bomb[] = "local t = {} while true do t[#t + 1] = { #t } end";
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(8 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    for (int i = 0; i < 5; i++) {
        struct run *r = run_new(s);
        CHECK(sandbox_compile(r->L, "bomb.lua", bomb, strlen(bomb)));
        enum run_end end;
        while ((end = run_slice(r, 0, 50)) == RUN_SLICED) {
        }
        CHECK_INT(RUN_MEMORY, end);
        CHECK_STR("bomb.lua", r->stood.file);
        CHECK(sandbox_is_tight());
        run_free(r);
        sandbox_collect(s);
        CHECK(!sandbox_is_tight());
    }
    sandbox_free(s);
}

TEST(garbage_alone_stops_nobody) {
    static const char busy[] = "for i = 1, 200000 do local t = { i, tostring(i) .. "
                               "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' } end return 'ok'";
    struct err e = {0};
    enum run_end end;

    CHECK_INT(0, sandbox_setup(1 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *r = run_new(s);
    CHECK(sandbox_compile(r->L, "busy.lua", busy, strlen(busy)));
    while ((end = run_slice(r, 0, 50)) == RUN_SLICED) {
    }
    CHECK_INT(RUN_DONE, end);
    run_free(r);
    sandbox_free(s);
}

/* What the lint does not know of: here the parser is asked without it. */
TEST(a_process_whose_parser_has_loaded_the_ffi_ends) {
    struct err e = {0};
    int status;

    pid_t pid = fork();
    if (pid == 0) {
        if (sandbox_setup(8 << 20, 64 << 20, at_hard, &e) < 0) _exit(1);
        lua_State *L = sandbox_lua(sandbox_new());
        if (!sandbox_compile(L, "before.lua", "return 1", 8)) _exit(1);
        luaL_loadbufferx(L, "return 1LL", 10, "=unseen", "t");
        sandbox_compile(L, "after.lua", "return 1", 8);
        _exit(0);
    }
    CHECK_INT(pid, waitpid(pid, &status, 0));
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void) {
    const struct CMUnitTest tests[] = {RUN(replaced_functions_give_what_lua_gives),
                                       RUN(cutting_a_run_into_slices_changes_nothing),
                                       RUN(a_slice_is_as_long_as_it_says_however_long_others_were),
                                       RUN(runs_stopped_at_any_moment_leave_the_vm_whole),
                                       RUN(a_stopped_run_tells_where_it_stood),
                                       RUN(memory_of_a_stopped_run_comes_back),
                                       RUN(garbage_alone_stops_nobody),
                                       RUN(a_process_whose_parser_has_loaded_the_ffi_ends)};
    return RUN_ALL(tests);
}
