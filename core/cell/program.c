/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/program.h"
#include "base/mem.h"
#include "base/str.h"
#include "cell/embedded.h"
#include "cell/lint.h"
#include "script/value.h"
#include <lauxlib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { VERB_ARGS_MAX = 64, ASKS_MAX = MESSAGE_MAX - 512, ANSWER_SLOTS = 3 * VALUE_DEPTH + 8 };

struct program {
    struct sandbox *sandbox;
    const char *bytes;
    size_t len;
    const char *verbs; /* only while opening */
    size_t verbs_len;
    int run, check_flow, check_bundle, check_file, hook, offer; /* in the registry */
};

static struct program *prepared; /* made before the process was forked; for the first that is opened */

/* Argument of lua_cpcall: nothing of ours may raise outside a protected call. */
struct making {
    struct program *program;
    struct run *run;
    const struct visit *visit;
    int function, nargs;
    const char *path, *name, *input; /* name and input: a hook's */
    size_t input_len;
};

bool program_file(const struct program *p, const char *path, size_t path_len, struct bundle_file *f) {
    size_t at = 0;

    while (bundle_next(p->bytes, p->len, &at, f, NULL) > 0)
        if (f->path_len == path_len && memcmp(f->path, path, path_len) == 0) return true;
    return false;
}

/* -- functions for flow.lua ------------------------------------------------------------------------------------------ */

static struct program *this_program(lua_State *L) {
    return lua_touserdata(L, lua_upvalueindex(1));
}

static int core_compile(lua_State *L) {
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    struct bundle_file f;

    if (!program_file(this_program(L), path, len, &f) || strlen(path) != len) {
        lua_pushnil(L);
        lua_pushfstring(L, "the bundle has no file %s", path);
        return 2;
    }
    if (sandbox_compile(L, path, f.data, f.len)) {
        if (lua_istable(L, 2)) {
            lua_pushvalue(L, 2);
            lua_setfenv(L, -2);
        }
        return 1;
    }
    lua_pushnil(L);
    lua_insert(L, -2);
    return 2;
}

static int core_loading(lua_State *L) {
    struct run *r = run_now();
    int step = (int)lua_tointeger(L, 1);

    if (!r) return 0;
    if (r->loading == 0) r->load_random = 0; /* the same in every process, whichever call comes first */
    r->loading += step;
    return 0;
}

static int core_state(lua_State *L) {
    struct run *r = run_now();

    if (r) place_of_function(L, 1, &r->function, &r->function_last);
    return 0;
}

/* raise(text [, verb]): when the verb was called as `return call:verb()` no frame is left, but the source tells where. */
static int core_raise(lua_State *L) {
    struct run *r = run_now();
    const char *text = lua_tostring(L, 1), *verb = lua_tostring(L, 2);
    struct place p;
    struct bundle_file f;

    if (verb && r && r->function.line && !place_of_stack(L, &p) &&
        program_file(this_program(L), r->function.file, strlen(r->function.file), &f)) {
        int line = lint_tail_call(f.data, f.len, r->function.line, r->function_last, verb);
        lua_pushfstring(L, "%s:%d: %s", r->function.file, line ? line : r->function.line, text);
        return lua_error(L);
    }
    place_error(L, "%s", text ? text : "error");
}

/* verb(name, ...): packs and waits; the host's two answer values are its results. */
static int core_verb(lua_State *L) {
    struct run *r = run_now();
    int args = lua_gettop(L) - 1, rc = 0;
    size_t len;
    const char *name = luaL_checklstring(L, 1, &len);
    struct err e = {0};

    if (r && r->loading)
        snprintf(e.text, sizeof e.text, "a file cannot ask for anything while it loads; do it in a state");
    else if (!r || !r->owner)
        snprintf(e.text, sizeof e.text, "no call is running here; what a hook may know, the time too, is in its input");
    else if (args > VERB_ARGS_MAX)
        snprintf(e.text, sizeof e.text, "more than %d arguments", VERB_ARGS_MAX);
    if (!e.text[0]) {
        buf_clear(&r->asks);
        message_str(&r->asks, name, len);
        message_open(&r->asks);
        size_t list = r->asks.len - 1;
        for (int i = 1; i <= args && rc == 0; i++) {
            if (lua_isnil(L, i + 1)) continue;
            message_int(&r->asks, i);
            if (r->asks.len < ASKS_MAX)
                rc = value_pack(L, i + 1, &r->asks, ASKS_MAX - r->asks.len, &e);
            else
                rc = err_set(&e, ERR_LIMIT, "the arguments are too large");
        }
        message_shut(&r->asks);
        /* Each has its bounds, and all together too: else the worker takes the cell for broken. */
        if (rc == 0 && !value_check(r->asks.data + list, r->asks.data + r->asks.len, NULL))
            rc = err_set(&e, ERR_INVALID, "the arguments are nested deeper than %d or have more than %d number keys",
                         VALUE_DEPTH - 1, VALUE_SPARSE);
        if (rc == 0 && !lua_checkstack(L, ANSWER_SLOTS)) /* raises too: the answer must find room */
            rc = err_set(&e, ERR_LIMIT, "no room on the stack");
        if (rc == 0) return run_wait(L);
    }
    lua_pushvalue(L, lua_upvalueindex(1));
    lua_pushcclosure(L, core_raise, 1);
    lua_pushfstring(L, "%s: %s", name, e.text);
    lua_pushvalue(L, 1);
    lua_call(L, 2, 0);
    return 0;
}

static int core_here(lua_State *L) {
    struct place p;

    if (!place_of_stack(L, &p)) return 0;
    lua_pushstring(L, p.file);
    lua_pushinteger(L, p.line);
    return 2;
}

static int core_spec(lua_State *L) {
    if (luaL_loadbufferx(L, embedded_spec, embedded_spec_len, "=parley", "t") != 0) return lua_error(L);
    return 1;
}

static int core_thread(lua_State *L) {
    lua_pushthread(L);
    return 1;
}

struct listing {
    lua_State *L;
    const char *file;
    int n;
};

static void on_literal(void *ud, int line, const char *text, size_t len) {
    struct listing *l = ud;

    if (l->n >= 100) return;
    lua_createtable(l->L, 0, 3);
    lua_pushstring(l->L, l->file);
    lua_setfield(l->L, -2, "file");
    lua_pushinteger(l->L, line);
    lua_setfield(l->L, -2, "line");
    lua_pushlstring(l->L, text, len);
    lua_setfield(l->L, -2, "name");
    lua_rawseti(l->L, -2, ++l->n);
}

static int core_lint(lua_State *L) {
    struct place p;
    struct bundle_file f;
    struct listing l = {.L = L, .file = p.file};
    int last = 0;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    lua_newtable(L);
    if (place_of_function(L, 1, &p, &last) && program_file(this_program(L), p.file, strlen(p.file), &f))
        lint_returns(f.data, f.len, p.line, last, on_literal, &l);
    return 1;
}

static int core_return_line(lua_State *L) {
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    struct bundle_file f;

    lua_pushinteger(L, program_file(this_program(L), path, len, &f) ? lint_file_return(f.data, f.len) : 1);
    return 1;
}

/* -- opening --------------------------------------------------------------------------------------------------------- */

static void add_function(lua_State *L, struct program *p, const char *name, lua_CFunction f) {
    lua_pushlightuserdata(L, p);
    lua_pushcclosure(L, f, 1);
    lua_setfield(L, -2, name);
}

/* { { name = "say", sound = true, ... } } -> { "say", say = true }: names, and whether each needs the caller's line; what is not of that form is
 * left out. */
static void push_verbs(lua_State *L, const struct program *p) {
    int n = 0;

    lua_newtable(L);
    if (!p->verbs || !value_unpack(L, p->verbs, p->verbs + p->verbs_len, NULL)) return;
    for (int i = 1; lua_istable(L, -1) && i <= 200; i++) {
        lua_rawgeti(L, -1, i);
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            break;
        }
        lua_pushliteral(L, "name");
        lua_rawget(L, -2);
        if (lua_type(L, -1) == LUA_TSTRING) {
            lua_pushvalue(L, -1);
            lua_rawseti(L, -5, ++n);
            lua_pushliteral(L, "sound");
            lua_rawget(L, -3);
            lua_pushboolean(L, lua_toboolean(L, -1));
            lua_replace(L, -2);
            lua_rawset(L, -5); /* list[name] = sound */
            lua_pop(L, 1);
        } else {
            lua_pop(L, 2);
        }
    }
    lua_pop(L, 1);
}

static int open_program(lua_State *L) {
    struct making *m = lua_touserdata(L, 1);
    struct program *p = m->program;

    if (sandbox_load_own(L, embedded_flow, embedded_flow_len) != 0) return lua_error(L);
    lua_newtable(L);
    add_function(L, p, "compile", core_compile);
    add_function(L, p, "loading", core_loading);
    add_function(L, p, "state", core_state);
    add_function(L, p, "raise", core_raise);
    add_function(L, p, "verb", core_verb);
    add_function(L, p, "here", core_here);
    add_function(L, p, "spec", core_spec);
    add_function(L, p, "thread", core_thread);
    add_function(L, p, "lint", core_lint);
    add_function(L, p, "return_line", core_return_line);
    lua_call(L, 1, 6);
    p->offer = luaL_ref(L, LUA_REGISTRYINDEX);
    p->hook = luaL_ref(L, LUA_REGISTRYINDEX);
    p->check_file = luaL_ref(L, LUA_REGISTRYINDEX);
    p->check_bundle = luaL_ref(L, LUA_REGISTRYINDEX);
    p->check_flow = luaL_ref(L, LUA_REGISTRYINDEX);
    p->run = luaL_ref(L, LUA_REGISTRYINDEX);
    return 0;
}

static int offer_verbs(lua_State *L) {
    struct making *m = lua_touserdata(L, 1);

    lua_rawgeti(L, LUA_REGISTRYINDEX, m->program->offer);
    push_verbs(L, m->program);
    lua_call(L, 1, 0);
    return 0;
}

static void protect(struct program *p, lua_CFunction f, struct making *m) {
    lua_State *L = sandbox_lua(p->sandbox);

    if (lua_cpcall(L, f, m) == 0) return;
    fprintf(stderr, "parley-cell: %s\n",
            lua_isstring(L, -1) ? lua_tostring(L, -1) : "error"); /* ours, not the tenant's */
    abort();
}

static struct program *make_program(void) {
    struct program *p = mem_alloc(sizeof *p);
    struct making m = {.program = p};

    p->sandbox = sandbox_new();
    protect(p, open_program, &m);
    return p;
}

void program_prepare(void) {
    sandbox_prepare();
    prepared = make_program();
    sandbox_prepared();
}

struct program *program_open(const void *bytes, size_t len, const char *verbs, size_t verbs_len) {
    struct program *p = prepared ? prepared : make_program();
    struct making m = {.program = p};

    prepared = NULL;
    p->bytes = bytes;
    p->len = len;
    p->verbs = verbs;
    p->verbs_len = verbs_len;
    protect(p, offer_verbs, &m);
    p->verbs = NULL;
    return p;
}

void program_close(struct program *p) {
    if (!p) return;
    sandbox_free(p->sandbox);
    free(p);
}

struct sandbox *program_sandbox(struct program *p) {
    return p->sandbox;
}

/* -- runs ------------------------------------------------------------------------------------------------------------ */

/* Random numbers start from `seed` of the table on the top. */
static void seed_random(lua_State *L, struct run *r) {
    lua_pushliteral(L, "seed");
    lua_rawget(L, -2);
    if (lua_type(L, -1) == LUA_TNUMBER) {
        double seed = lua_tonumber(L, -1);
        memcpy(&r->random, &seed, sizeof seed);
    } else if (lua_type(L, -1) == LUA_TSTRING) {
        size_t len;
        const char *seed = lua_tolstring(L, -1, &len);
        for (size_t i = 0; i < len; i++) /* FNV-1a */
            r->random = (r->random ^ (uint8_t)seed[i]) * 0x100000001b3ULL;
    }
    lua_pop(L, 1);
}

static int make_run(lua_State *L) {
    struct making *m = lua_touserdata(L, 1);
    int args = 1;

    m->run = run_new(m->program->sandbox);
    lua_State *to = m->run->L;
    lua_rawgeti(to, LUA_REGISTRYINDEX, m->function);
    lua_pushstring(to, m->path);
    if (m->visit) {
        const struct visit *v = m->visit;
        lua_pushstring(to, v->state);
        value_unpack(to, v->data, v->data + v->data_len, NULL);
        value_unpack(to, v->info, v->info + v->info_len, NULL);
        args = 4;
        if (lua_istable(to, -1)) seed_random(to, m->run);
    } else if (m->input) {
        lua_pushstring(to, m->name);
        value_unpack(to, m->input, m->input + m->input_len, NULL);
        args = 3;
        seed_random(to, m->run);
    }
    m->nargs = args;
    return 0;
}

static struct run *make(struct program *p, int function, const char *path, const struct visit *v, int *nargs) {
    struct making m = {.program = p, .visit = v, .function = function, .path = path};

    protect(p, make_run, &m);
    *nargs = m.nargs;
    return m.run;
}

struct run *program_visit(struct program *p, const struct visit *v, int *nargs) {
    return make(p, p->run, v->file, v, nargs);
}

struct run *program_check_flow(struct program *p, const char *path, int *nargs) {
    return make(p, p->check_flow, path, NULL, nargs);
}

struct run *program_check_bundle(struct program *p, const char *path, int *nargs) {
    return make(p, p->check_bundle, path, NULL, nargs);
}

struct run *program_check_file(struct program *p, const char *path, int *nargs) {
    return make(p, p->check_file, path, NULL, nargs);
}

struct run *program_hook(struct program *p, const char *path, const char *name, const char *input, size_t len,
                         int *nargs) {
    struct making m = {.program = p, .function = p->hook, .path = path, .name = name, .input = input, .input_len = len};

    protect(p, make_run, &m);
    *nargs = m.nargs;
    return m.run;
}

/* "file:line: text" with file in the bundle: moves the place out of the text. */
static bool split_place(char *text, struct place *where) {
    char *colon = strchr(text, ':');
    long line = 0;

    if (!colon || colon == text || (size_t)(colon - text) >= sizeof where->file) return false;
    if (bundle_path_check(text, (size_t)(colon - text), NULL) < 0) return false;
    char *p = colon + 1;
    while (*p >= '0' && *p <= '9' && line < 100000000) line = line * 10 + *p++ - '0';
    if (p == colon + 1 || p[0] != ':' || p[1] != ' ') return false;
    memcpy(where->file, text, (size_t)(colon - text));
    where->file[colon - text] = '\0';
    where->line = (int)line;
    memmove(text, p + 2, strlen(p + 2) + 1);
    return true;
}

void program_error(struct run *r, char text[1024], struct place *where) {
    lua_State *L = r->L;
    const char *found = NULL;
    size_t len = 0, n = 0;

    if (lua_gettop(L) > 0 && lua_istable(L, -1) && lua_checkstack(L, 2)) { /* error(err) with what a verb gave back */
        lua_pushliteral(L, "text");
        lua_rawget(L, -2);
    }
    if (lua_gettop(L) > 0 && lua_type(L, -1) == LUA_TSTRING) found = lua_tolstring(L, -1, &len);
    if (!found) found = "the error is no text", len = strlen(found);
    for (size_t i = 0; i < len && n < 1000; i++) text[n++] = found[i] == 0 ? ' ' : found[i];
    text[n] = '\0';
    if (strncmp(text, "parley:", 7) == 0 &&
        (found = strstr(text, ": "))) /* a line of ours: of no use to a script's author */
        memmove(text, found + 2, strlen(found + 2) + 1);
    if (!split_place(text, where)) *where = r->stood.line ? r->stood : r->function;
}
