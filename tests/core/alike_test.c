/* SPDX-License-Identifier: Apache-2.0 */
/* The built-ins that were replaced beside LuaJIT's own: thousands of random calls (alike.lua), their results and errors
 * compared. PARLEY_ALIKE: batches of each kind instead of so few. */
#include "cell/program.h"
#include "test.h"
#include <lauxlib.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { CALLS = 200, BATCHES = 20, SHOWN = 20, SLICE_MS = 100 };
static const char *const kinds[] = {"find",   "match",  "gmatch", "gsub", "format", "rep",      "concat",
                                    "insert", "remove", "pop",    "sort", "unpack", "tostring", "tonumber"};

static void at_hard(void) {
    _exit(77);
}

static char *read_file(const char *path, size_t *len) {
    struct buf b = {0};
    char part[4096];
    size_t n;
    FILE *f = fopen(path, "r");

    if (!f) fail_msg("%s is missing", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0) buf_add(&b, part, n);
    fclose(f);
    *len = b.len;
    return buf_take(&b);
}

static void push_batch(lua_State *L, const char *kind, int seed) {
    lua_pushstring(L, kind);
    lua_pushinteger(L, seed);
    lua_pushinteger(L, CALLS);
}

/* Prints the lines that differ; how many. */
static int compare(const char *theirs, const char *ours) {
    int differ = 0;

    while (*theirs && *ours) {
        size_t a = strcspn(theirs, "\n"), b = strcspn(ours, "\n");
        if (a != b || memcmp(theirs, ours, a) != 0) {
            print_error("LuaJIT: %.*s\nours:   %.*s\n", (int)a, theirs, (int)b, ours);
            differ++;
        }
        theirs += a + (theirs[a] == '\n');
        ours += b + (ours[b] == '\n');
    }
    CHECK_STR(theirs, ours);
    return differ;
}

/* Runs what stands on r's stack to its end. */
static void run(struct run *r, int nargs) {
    enum run_end end;

    while ((end = run_slice(r, nargs, SLICE_MS)) == RUN_SLICED) nargs = 0;
    if (end != RUN_DONE) fail_msg("ours: %s", lua_tostring(r->L, -1));
}

TEST(random_calls_of_what_was_replaced_give_what_lua_gives) {
    const char *batches = getenv("PARLEY_ALIKE");
    int count = batches ? atoi(batches) : BATCHES;
    size_t len;
    char *source = read_file("tests/core/alike.lua", &len);
    lua_State *plain = luaL_newstate();
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(32 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *loading = run_new(s);
    luaL_openlibs(plain);
    CHECK(luaL_loadbuffer(plain, source, len, "@alike.lua") == 0 && lua_pcall(plain, 0, 1, 0) == 0);
    CHECK(sandbox_compile(loading->L, "alike.lua", source, len));
    run(loading, 0);
    int differ = 0;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        for (int seed = 1; seed <= count && differ < SHOWN; seed++) {
            struct run *r = run_new(s);
            lua_pushvalue(plain, 1);
            push_batch(plain, kinds[i], seed);
            if (lua_pcall(plain, 3, 1, 0)) fail_msg("LuaJIT: %s", lua_tostring(plain, -1));
            lua_pushvalue(loading->L, 1);
            lua_xmove(loading->L, r->L, 1);
            push_batch(r->L, kinds[i], seed);
            run(r, 3);
            differ += compare(lua_tostring(plain, -1), lua_tostring(r->L, -1));
            lua_settop(plain, 1);
            run_free(r);
        }
    CHECK_INT(0, differ);
    run_free(loading);
    sandbox_free(s);
    lua_close(plain);
    free(source);
}

/* What came of it, or the error. */
static const char *result(struct run *r, const char *source) {
    if (!sandbox_compile(r->L, "x.lua", source, strlen(source))) fail_msg("%s", lua_tostring(r->L, -1));
    enum run_end end = run_slice(r, 0, SLICE_MS);
    CHECK(end == RUN_DONE || end == RUN_ERROR);
    return lua_tostring(r->L, -1);
}

/* It fell over the list of its own parts, three for each match. */
TEST(gsub_with_a_function_replaces_as_many_matches_as_the_budget_allows) {
    static const char source[] =
        "local out, n = ('x'):rep(400000):gsub('.', function() return 'yy' end)\n"
        "local none, all = ('x'):rep(1048576):gsub('.', function() return '' end)\n"
        "local ok, text = pcall(string.gsub, ('x'):rep(600000), '.', function() return 'yy' end)\n"
        "return n == 400000 and out == ('y'):rep(800000) and none == '' and all == 1048576 and not ok and text";
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(32 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *r = run_new(s);
    CHECK(sandbox_compile(r->L, "x.lua", source, sizeof source - 1));
    run(r, 0);
    CHECK(strstr(lua_tostring(r->L, -1), "the result of string.gsub is longer than 1048576 bytes"));
    run_free(r);
    sandbox_free(s);
}

/* It moved the items behind, where LuaJIT's own, which counts on from the fraction, leaves out the last. */
TEST(an_item_is_removed_at_a_fraction_as_luas_own_does) {
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(32 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *r = run_new(s);
    CHECK_STR("3: 1,2,4,4",
              result(r, "local t = { 1, 2, 3, 4, 5 } return table.remove(t, 3.5) .. ': ' .. table.concat(t, ',')"));
    run_free(r);
    sandbox_free(s);
}

/* The author of a script was told of a line of ours. */
TEST(what_cannot_be_compared_or_formatted_is_an_error_of_the_scripts_line) {
    static const char *const cases[][2] = {
        {"table.sort({ 1, 'a' })", "x.lua:2: attempt to compare string with number"},
        {"table.sort({ {}, {} })", "x.lua:2: attempt to compare two table values"},
        {"string.format()", "x.lua:2: bad argument #1 to 'format' (string expected, got nil)"},
        {"('a'):gsub('a', { a = {} })", "x.lua:2: invalid replacement value (a table)"},
        {"('a'):gsub('(', function() end)", "x.lua:2: unfinished capture"},
        {"for w in ('a'):gmatch('[') do end", "x.lua:2: malformed pattern (missing ']')"},
    };
    struct err e = {0};
    char source[256];

    CHECK_INT(0, sandbox_setup(32 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct run *r = run_new(s);
        snprintf(source, sizeof source, "local function f()\n  %s\nend\nf()", cases[i][0]);
        CHECK_STR(cases[i][1], result(r, source));
        run_free(r);
    }
    sandbox_free(s);
}

TEST(an_order_that_makes_no_sense_loses_nothing_and_ends) {
    static const char source[] =
        "local orders = { function() return true end, function() return false end, function(a, b) return a <= b end,\n"
        "  function() return math.random(2) == 1 end, function(a, b) return (a * 7) % 5 < b end }\n"
        "for _, before in ipairs(orders) do for n = 0, 70 do\n"
        "  local list, sum = {}, 0 for i = 1, n do list[i] = i * i end\n"
        "  table.sort(list, before)\n"
        "  for i = 1, n do sum = sum + list[i] end\n"
        "  if #list ~= n or sum ~= n * (n + 1) * (2 * n + 1) / 6 then return 'lost one of ' .. n end\n"
        "end end return 'all there'";
    struct err e = {0};

    CHECK_INT(0, sandbox_setup(32 << 20, 64 << 20, at_hard, &e));
    struct sandbox *s = sandbox_new();
    struct run *r = run_new(s);
    CHECK(sandbox_compile(r->L, "x.lua", source, strlen(source)));
    run(r, 0);
    CHECK_STR("all there", lua_tostring(r->L, -1));
    run_free(r);
    sandbox_free(s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(what_cannot_be_compared_or_formatted_is_an_error_of_the_scripts_line),
        RUN(an_order_that_makes_no_sense_loses_nothing_and_ends),
        RUN(gsub_with_a_function_replaces_as_many_matches_as_the_budget_allows),
        RUN(an_item_is_removed_at_a_fraction_as_luas_own_does),
        RUN(random_calls_of_what_was_replaced_give_what_lua_gives),
    };
    return RUN_ALL(tests);
}
