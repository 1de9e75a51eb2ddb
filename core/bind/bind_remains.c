/* SPDX-License-Identifier: Apache-2.0 */
/* core.remains: files of what waits in memory to be written, for whoever comes when this process has died (io/remains.h). */
#include "bind/vm.h"
#include "io/remains.h"

#define FILE_TYPE "parley.remains"
enum { BYTES_MAX = 64 * 1024 * 1024 };

static int push_file(lua_State *L, int (*open_file)(struct remains **, const char *, const char *, struct err *)) {
    const char *folder = luaL_checkstring(L, 1), *name = luaL_checkstring(L, 2);
    struct remains **slot = lua_newuserdata(L, sizeof *slot);
    struct err e = {0};

    *slot = NULL;
    luaL_getmetatable(L, FILE_TYPE);
    lua_setmetatable(L, -2);
    return open_file(slot, folder, name, &e) < 0 ? bind_fail(L, &e) : 1;
}

static int bind_remains_create(lua_State *L) {
    return push_file(L, remains_create);
}
static int bind_remains_take(lua_State *L) {
    return push_file(L, remains_take);
}

static struct remains *check_file(lua_State *L) {
    struct remains *r = *(struct remains **)luaL_checkudata(L, 1, FILE_TYPE);

    luaL_argcheck(L, r != NULL, 1, "the file was removed or left");
    return r;
}

static int done(lua_State *L, int rc, const struct err *e) {
    if (rc < 0) return bind_fail(L, e);
    lua_pushboolean(L, 1);
    return 1;
}

static int lua_file_add(lua_State *L) {
    struct remains *r = check_file(L);
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    struct err e = {0};

    return done(L, remains_add(r, bytes, len, &e), &e);
}

static int lua_file_clear(lua_State *L) {
    struct err e = {0};

    return done(L, remains_clear(check_file(L), &e), &e);
}

static int lua_file_read(lua_State *L) {
    struct remains *r = check_file(L);
    struct buf out = {0};
    struct err e = {0};
    int rc = remains_read(r, BYTES_MAX, &out, &e);

    if (rc == 0) lua_pushlstring(L, out.data == NULL ? "" : out.data, out.len);
    buf_free(&out);
    return rc < 0 ? bind_fail(L, &e) : 1;
}

static int end_file(lua_State *L, void (*end)(struct remains *)) {
    struct remains **slot = luaL_checkudata(L, 1, FILE_TYPE);

    if (*slot != NULL) end(*slot);
    *slot = NULL;
    return 0;
}

static int lua_file_remove(lua_State *L) {
    return end_file(L, remains_remove);
}
static int lua_file_leave(lua_State *L) {
    return end_file(L, remains_leave);
}

static const struct bind_fn functions[] = {
    {"create", bind_remains_create, BIND_PLAIN, "remains.create(folder, name) -> file | nil, err",
     "This process's own. file:add(bytes) and file:clear() -> true | nil, err; file:remove()."},
    {"take", bind_remains_take, BIND_PLAIN, "remains.take(folder, name) -> file | nil, err",
     "A dead one's; err.code is busy while its owner lives. file:read() -> bytes | nil, err; file:remove(), or "
     "file:leave() for the next who "
     "takes it."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_remains(lua_State *L) {
    static const luaL_Reg methods[] = {{"add", lua_file_add},       {"clear", lua_file_clear}, {"read", lua_file_read},
                                       {"remove", lua_file_remove}, {"leave", lua_file_leave}, {NULL, NULL}};

    bind_make_type(L, FILE_TYPE, methods, lua_file_leave);
    bind_module(L, functions);
    return 1;
}
