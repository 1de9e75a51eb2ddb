/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/cover.h"
#include "base/mem.h"
#include "script/bundle.h"
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdlib.h>
#include <string.h>

struct file {
    char path[BUNDLE_PATH_MAX + 1];
    const char *data; /* borrowed */
    size_t len;
    int lines;
    char *ran; /* one byte a line; ours */
};
struct cover {
    struct file *files;
    int count, last; /* last: the file found before, which is most often the next too */
};

static int count_lines(const char *data, size_t len) {
    int n = 1;

    for (size_t i = 0; i < len; i++) n += data[i] == '\n';
    return n;
}

struct cover *cover_new(const void *bytes, size_t len) {
    struct cover *c = mem_alloc(sizeof *c);
    struct bundle_file f;
    size_t at = 0;

    while (bundle_next(bytes, len, &at, &f, NULL) > 0) c->count++;
    c->files = mem_alloc(sizeof *c->files * (size_t)(c->count + 1));
    at = 0;
    for (struct file *to = c->files; bundle_next(bytes, len, &at, &f, NULL) > 0; to++) {
        memcpy(to->path, f.path, f.path_len);
        to->data = f.data;
        to->len = f.len;
        to->lines = count_lines(f.data, f.len);
        to->ran = mem_alloc((size_t)to->lines + 1);
    }
    return c;
}

void cover_free(struct cover *c) {
    if (!c) return;
    for (int i = 0; i < c->count; i++) free(c->files[i].ran);
    free(c->files);
    free(c);
}

static struct file *find(const struct cover *c, const char *path) {
    for (int i = 0; i < c->count; i++)
        if (strcmp(c->files[i].path, path) == 0) return &c->files[i];
    return NULL;
}

void cover_line(struct cover *c, const char *source, int line) {
    struct file *f = c->files + c->last;

    if (source[0] != '@') return;
    if (strcmp(f->path, source + 1) != 0) {
        f = find(c, source + 1);
        if (!f) return;
        c->last = (int)(f - c->files);
    }
    if (line > 0 && line <= f->lines) f->ran[line] = 1;
}

/* -- which lines have code -------------------------------------------------------------------------------------------- */

/* The bytecode knows, and jit.util shows it. In a VM of its own, where the tenant's source is compiled and never run. */
static const char walker[] = "local util, chunk, mark = ...\n"
                             "local function walk(f)\n"
                             "  local info = util.funcinfo(f)\n"
                             "  for pc = 1, info.bytecodes - 1 do mark(util.funcinfo(f, pc).currentline) end\n"
                             "  if not info.children then return end\n"
                             "  for n = -1, -65536, -1 do\n"
                             "    local k = util.funck(f, n)\n"
                             "    if k == nil then return end\n"
                             "    if type(k) == 'proto' then walk(k) end\n"
                             "  end\n"
                             "end\n"
                             "walk(chunk)\n";

struct marking {
    const struct file *file;
    struct buf *out;
};

static int mark(lua_State *L) {
    struct marking *m = lua_touserdata(L, lua_upvalueindex(1));
    int line = (int)lua_tointeger(L, 1);

    if (line > 0 && (size_t)line <= m->out->len) m->out->data[line - 1] = m->file->ran[line] ? '1' : '0';
    return 0;
}

static int mark_all(lua_State *L) {
    struct marking *m = lua_touserdata(L, 1);

    lua_pushcfunction(L, luaopen_base);
    lua_call(L, 0, 0);
    lua_pushcfunction(L, luaopen_jit);
    lua_pushliteral(L, LUA_JITLIBNAME);
    lua_call(L, 1, 0);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    if (luaL_loadbufferx(L, walker, sizeof walker - 1, "=parley", "t") != 0) return lua_error(L);
    lua_getfield(L, LUA_REGISTRYINDEX, "_PRELOAD");
    lua_getfield(L, -1, "jit.util");
    lua_remove(L, -2);
    lua_call(L, 0, 1); /* jit.util */
    if (luaL_loadbufferx(L, m->file->data, m->file->len, "=file", "t") != 0) return lua_error(L);
    lua_pushlightuserdata(L, m);
    lua_pushcclosure(L, mark, 1);
    lua_call(L, 3, 0);
    return 0;
}

bool cover_report(const struct cover *c, const char *path, size_t max, struct buf *out) {
    struct marking m = {.file = find(c, path), .out = out};
    size_t len = strlen(path);

    if (!m.file || len < 4 || strcmp(path + len - 4, ".lua") != 0) return false;
    buf_clear(out);
    for (int i = 0; i < m.file->lines && (size_t)i < max; i++) buf_add(out, "-", 1);
    lua_State *L = luaL_newstate();
    if (!L) return false;
    int rc = lua_cpcall(L, mark_all, &m);
    lua_close(L);
    return rc == 0;
}
