/* SPDX-License-Identifier: Apache-2.0 */
#include "base/buf.h"
#include "script/message.h"
#include "script/value.h"
#include "test.h"
#include <lauxlib.h>
#include <lualib.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lua_State *vm(void) {
    lua_State *L = luaL_newstate();
    luaL_openlibs(L);
    return L;
}

static void eval(lua_State *L, const char *source) {
    if (luaL_dostring(L, source) != 0) fail_msg("%s", lua_tostring(L, -1));
}

/* Packs what source returns, reads it back and leaves both on the stack. */
static void round_trip(lua_State *L, const char *source) {
    struct buf b = {0};
    struct err e = {0};

    eval(L, source);
    CHECK_INT(0, value_pack(L, -1, &b, 1 << 20, &e));
    CHECK(value_check(b.data, b.data + b.len, &e) == b.data + b.len);
    CHECK(value_unpack(L, b.data, b.data + b.len, &e) == b.data + b.len);
    buf_free(&b);
}

TEST(plain_values_come_back_as_they_were) {
    static const char *sources[] = {"return nil",     "return true",          "return false", "return 0",
                                    "return -1",      "return 2^53",          "return -2^53", "return 2^53 + 2",
                                    "return 0.5",     "return -1e300",        "return 1/0",   "return ''",
                                    "return 'a\\0b'", "return ('x'):rep(300)"};
    lua_State *L = vm();
    for (size_t i = 0; i < sizeof sources / sizeof *sources; i++) {
        round_trip(L, sources[i]);
        CHECK(lua_rawequal(L, -1, -2));
        lua_settop(L, 0);
    }
    lua_close(L);
}

TEST(minus_zero_and_nan_survive) {
    lua_State *L = vm();
    round_trip(L, "return -0.0");
    CHECK(signbit(lua_tonumber(L, -1)));
    round_trip(L, "return 0/0");
    CHECK(isnan(lua_tonumber(L, -1)));
    lua_close(L);
}

TEST(tables_come_back_whole) {
    lua_State *L = vm();
    eval(L, "function same(a, b) if type(a) ~= 'table' then return a == b end\n"
            "for k, v in pairs(a) do if not same(v, b[k]) then return false end end\n"
            "for k in pairs(b) do if a[k] == nil then return false end end return true end");
    lua_getglobal(L, "same");
    round_trip(L,
               "return { 1, 2, { x = { y = {} } }, [true] = 'yes', [-3] = 'minus', [0.5] = 'half', ['a b'] = false }");
    lua_call(L, 2, 1);
    CHECK(lua_toboolean(L, -1));
    lua_close(L);
}

static void refused(const char *source, size_t limit, int code, const char *text) {
    lua_State *L = vm();
    struct buf b = {0};
    struct err e = {0};

    buf_add_str(&b, "kept");
    eval(L, source);
    int top = lua_gettop(L);
    CHECK_INT(code, value_pack(L, -1, &b, limit, &e));
    if (strstr(e.text, text) == NULL) fail_msg("'%s' not in '%s'", text, e.text);
    CHECK_STR("kept", b.data ? (b.data[b.len] = 0, b.data) : "");
    CHECK_INT(top, lua_gettop(L));
    buf_free(&b);
    lua_close(L);
}

TEST(what_cannot_be_sent_is_named_by_its_key) {
    refused("return { lead = { list = { 1, print } } }", 1 << 20, ERR_INVALID,
            "a function cannot be sent, at 'lead.list[2]'");
    refused("return { lead = { [{}] = 1 } }", 1 << 20, ERR_INVALID, "a table cannot be a key, at 'lead[?]'");
    refused("return io.stdout", 1 << 20, ERR_INVALID, "a userdata cannot be sent");
    refused("local t = {} t.me = t return t", 1 << 20, ERR_INVALID, "nested deeper than 16");
    refused("local t = {} for i = 1, 16 do t = { t } end return t", 1 << 20, ERR_INVALID, "nested deeper");
    refused("return { text = ('x'):rep(1000) }", 500, ERR_LIMIT, "too large at 'text'");
}

TEST(sixteen_deep_is_allowed) {
    lua_State *L = vm();
    round_trip(L, "local t = {} for i = 1, 15 do t = { t } end return t");
    CHECK(lua_istable(L, -1));
    lua_close(L);
}

TEST(metatables_are_neither_asked_nor_sent) {
    lua_State *L = vm();
    round_trip(L, "return setmetatable({ 1 }, { __index = error, __len = error, __pairs = error })");
    CHECK(!lua_getmetatable(L, -1));
    lua_close(L);
}

TEST(null_is_nil) {
    lua_State *L = vm();
    struct buf b = {0};
    lua_newtable(L);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "gone");
    CHECK_INT(0, value_pack(L, -1, &b, 100, NULL));
    CHECK(value_unpack(L, b.data, b.data + b.len, NULL));
    lua_pushnil(L);
    CHECK_INT(0, lua_next(L, -2));
    buf_free(&b);
    lua_close(L);
}

TEST(bytes_of_bad_form_are_refused) {
    static const struct {
        const char *bytes;
        size_t len;
    } bad[] = {{"", 0},
               {"x", 1},
               {"s", 1},
               {"s\x05"
                "abc",
                5},
               {"i\x80", 2},
               {"d1234567", 8},
               {"{", 1},
               {"{t", 2},
               {"{zt}", 4},
               {"{{}t}", 5},
               {"{t}", 3},
               {"}", 1},
               {"i\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11},
               {"{d\0\0\0\0\0\0\xf8\x7ft}", 12},
               {"s\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01x", 12},
               {"i\x82\x80\x80\x80\x80\x80\x80\x20", 9} /* 2^53 + 1 */};
    lua_State *L = vm();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char *exact = malloc(bad[i].len ? bad[i].len : 1); /* so that a read past the end is seen */
        struct err e = {0};
        memcpy(exact, bad[i].bytes, bad[i].len);
        CHECK(value_unpack(L, exact, exact + bad[i].len, &e) == NULL);
        CHECK_INT(ERR_PROTOCOL, e.code);
        CHECK_INT(0, lua_gettop(L));
        free(exact);
    }
    lua_close(L);
}

TEST(number_keys_chosen_to_collide_are_refused_on_both_sides) {
    lua_State *L = vm();
    struct buf b = {0};
    struct err e = {0};
    eval(L, "local t = {} for i = 1, 257 do t[i * 2^20] = true end return { zips = t }");
    CHECK_INT(ERR_INVALID, value_pack(L, -1, &b, 1 << 20, &e));
    CHECK_STR("more than 256 number keys that are no list, at 'zips': text keys have no limit", e.text);
    message_open(&b);
    for (int i = 1; i <= 257; i++) message_int(&b, (int64_t)i << 20), message_bool(&b, true);
    message_shut(&b);
    CHECK(value_check(b.data, b.data + b.len, &e) == NULL);
    CHECK_INT(ERR_PROTOCOL, e.code);
    buf_free(&b);
    lua_close(L);
}

TEST(long_lists_and_some_other_number_keys_are_sent_however_the_table_was_filled) {
    lua_State *L = vm();
    eval(
        L,
        "function same(a, b) for k, v in pairs(a) do if b[k] ~= v then return false end end return next(b) ~= nil end");
    lua_pop(L, lua_gettop(L));
    round_trip(L, "local t = {} for i = 3000, 1, -1 do t[i] = i end for i = 1, 256 do t[-i] = i end return t");
    lua_getglobal(L, "same");
    lua_insert(L, -3);
    lua_call(L, 2, 1);
    CHECK(lua_toboolean(L, -1));
    lua_close(L);
}

TEST(a_deep_value_is_refused_without_deep_recursion) {
    struct buf b = {0};
    struct err e = {0};
    for (int i = 0; i < 100000; i++) buf_add_str(&b, "{t");
    CHECK(value_check(b.data, b.data + b.len, &e) == NULL);
    buf_free(&b);
}

TEST(a_message_is_read_as_it_was_written) {
    struct buf b = {0};
    struct message m;
    size_t len;

    message_begin(&b, MESSAGE_VERB);
    message_str(&b, "c-1", 3);
    message_int(&b, -7);
    message_bool(&b, true);
    message_open(&b);
    message_int(&b, 1);
    message_str(&b, "x", 1);
    message_shut(&b);
    CHECK(message_read(&m, b.data, b.len));
    CHECK_INT(MESSAGE_VERB, m.type);
    const char *text = message_get_str(&m, &len);
    CHECK(len == 3 && memcmp(text, "c-1", 3) == 0);
    CHECK_INT(-7, message_get_int(&m));
    CHECK(message_get_bool(&m));
    CHECK(message_get_any(&m, &len) && len == 7);
    CHECK(!m.bad);
    CHECK(message_get_any(&m, &len) == NULL && m.bad);
    buf_free(&b);
}

TEST(a_wrong_type_makes_the_whole_message_bad) {
    struct buf b = {0};
    struct message m;
    size_t len;

    message_begin(&b, MESSAGE_DROP);
    message_int(&b, 5);
    message_int(&b, 6);
    CHECK(message_read(&m, b.data, b.len));
    CHECK(message_get_str(&m, &len) == NULL && m.bad);
    CHECK_INT(0, message_get_int(&m));
    CHECK(!message_read(&m, "\1\0\0", 3));
    CHECK(!message_read(&m, "\1\0\1\0", 4));
    buf_free(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {RUN(plain_values_come_back_as_they_were),
                                       RUN(minus_zero_and_nan_survive),
                                       RUN(tables_come_back_whole),
                                       RUN(what_cannot_be_sent_is_named_by_its_key),
                                       RUN(sixteen_deep_is_allowed),
                                       RUN(metatables_are_neither_asked_nor_sent),
                                       RUN(null_is_nil),
                                       RUN(bytes_of_bad_form_are_refused),
                                       RUN(number_keys_chosen_to_collide_are_refused_on_both_sides),
                                       RUN(long_lists_and_some_other_number_keys_are_sent_however_the_table_was_filled),
                                       RUN(a_deep_value_is_refused_without_deep_recursion),
                                       RUN(a_message_is_read_as_it_was_written),
                                       RUN(a_wrong_type_makes_the_whole_message_bad)};
    return RUN_ALL(tests);
}
