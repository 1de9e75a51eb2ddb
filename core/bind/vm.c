/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/vm.h"
#include "base/log.h"
#include "base/mem.h"
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct vm {
    lua_State *L;
    struct vm_services services;
    char *root;
};

/* A task lives in the registry, keyed by its coroutine, until the coroutine has ended. */
struct task {
    vm_done done;
    void *arg;
};

struct bind_wait {
    struct vm *vm;
    lua_State *co;
    int ref;     /* keeps the coroutine from the collector */
    int results; /* -1: not done yet */
    bool yielded;
};

static char registry_vm;
static char registry_tasks;

struct vm *vm_of(lua_State *L) {
    struct vm *vm;

    lua_pushlightuserdata(L, &registry_vm);
    lua_rawget(L, LUA_REGISTRYINDEX);
    vm = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return vm;
}

struct vm_services *vm_services(lua_State *L) {
    return &vm_of(L)->services;
}

lua_State *vm_lua(struct vm *vm) {
    return vm->L;
}

const char *vm_root(const struct vm *vm) {
    return vm->root;
}

/* -- tasks ------------------------------------------------------------------------------------------------ */

static struct task *task_of(struct vm *vm, lua_State *co) {
    lua_State *L = vm->L;
    struct task *t;

    lua_pushlightuserdata(L, &registry_tasks);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, co);
    lua_rawget(L, -2);
    t = lua_touserdata(L, -1);
    lua_pop(L, 2);
    return t;
}

/* value on the stack top is consumed */
static void task_set(struct vm *vm, lua_State *co) {
    lua_State *L = vm->L;

    lua_pushlightuserdata(L, &registry_tasks);
    lua_rawget(L, LUA_REGISTRYINDEX); /* value, tasks */
    lua_insert(L, -2);                /* tasks, value */
    lua_pushlightuserdata(L, co);
    lua_insert(L, -2); /* tasks, key, value */
    lua_rawset(L, -3);
    lua_pop(L, 1);
}

static void task_failed(struct vm *vm, lua_State *co) {
    lua_State *L = vm->L;
    const char *text = lua_isstring(co, -1) ? lua_tostring(co, -1) : luaL_typename(co, -1);

    /* luaL_traceback shows where the coroutine stood: its stack is kept after an error. */
    luaL_traceback(L, co, text, 0);
    log_line(LOG_ERROR, "task.failed", "%s", lua_tostring(L, -1));
    lua_pop(L, 1);
}

static void task_resume(struct vm *vm, lua_State *co, int nargs) {
    int status = lua_resume(co, nargs);
    struct task *t;
    struct task copy = {0};

    if (status == LUA_YIELD) return;
    t = task_of(vm, co);
    if (t != NULL) copy = *t;
    if (status != 0 && copy.done == NULL) task_failed(vm, co);
    if (status != 0 && !lua_isstring(co, -1)) lua_pushstring(co, luaL_typename(co, -1));
    if (copy.done != NULL) copy.done(copy.arg, co, status == 0, status == 0 ? lua_gettop(co) : 1);
    lua_pushnil(vm->L);
    task_set(vm, co);
}

void vm_spawn(struct vm *vm, int nargs, vm_done done, void *arg) {
    lua_State *L = vm->L;
    lua_State *co = lua_newthread(L); /* fn, args..., co */
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    struct task *t;

    lua_xmove(L, co, nargs + 1);
    t = lua_newuserdata(L, sizeof *t);
    t->done = done;
    t->arg = arg;
    task_set(vm, co);
    task_resume(vm, co, nargs);
    luaL_unref(L, LUA_REGISTRYINDEX, ref);
}

/* -- waiting ---------------------------------------------------------------------------------------------- */

struct bind_wait *bind_wait_begin(lua_State *L) {
    struct vm *vm = vm_of(L);
    struct bind_wait *w;

    if (task_of(vm, L) == NULL) luaL_error(L, "this function waits and can only be called from a task");
    w = mem_alloc(sizeof *w);
    w->vm = vm;
    w->co = L;
    w->results = -1;
    lua_pushthread(L);
    lua_xmove(L, vm->L, vm->L == L ? 0 : 1);
    w->ref = luaL_ref(vm->L, LUA_REGISTRYINDEX);
    return w;
}

lua_State *bind_wait_state(struct bind_wait *w) {
    return w->co;
}

void bind_wait_done(struct bind_wait *w, int results) {
    struct vm *vm = w->vm;
    lua_State *co = w->co;
    int ref = w->ref;

    if (!w->yielded) {
        w->results = results;
        return;
    }
    free(w);
    task_resume(vm, co, results);
    luaL_unref(vm->L, LUA_REGISTRYINDEX, ref);
}

int bind_wait_yield(struct bind_wait *w) {
    int results = w->results;

    if (results < 0) {
        w->yielded = true;
        return lua_yield(w->co, 0);
    }
    luaL_unref(w->vm->L, LUA_REGISTRYINDEX, w->ref);
    free(w);
    return results;
}

int bind_fail(lua_State *L, const struct err *e) {
    return bind_fail_text(L, e->code, e->text);
}

int bind_fail_text(lua_State *L, int code, const char *text) {
    lua_pushnil(L);
    lua_createtable(L, 0, 2);
    lua_pushstring(L, err_name(code));
    lua_setfield(L, -2, "code");
    lua_pushstring(L, text);
    lua_setfield(L, -2, "text");
    return 2;
}

void bind_wait_fail(struct bind_wait *w, const struct err *e) {
    bind_wait_done(w, bind_fail(w->co, e));
}

/* -- references and modules ------------------------------------------------------------------------------- */

int bind_ref(lua_State *L, int idx) {
    lua_pushvalue(L, idx);
    return luaL_ref(L, LUA_REGISTRYINDEX);
}

void bind_unref(struct vm *vm, int ref) {
    luaL_unref(vm->L, LUA_REGISTRYINDEX, ref);
}

bool bind_push_ref(struct vm *vm, int ref) {
    if (ref == LUA_REFNIL || ref == LUA_NOREF) return false;
    lua_rawgeti(vm->L, LUA_REGISTRYINDEX, ref);
    return true;
}

void bind_module(lua_State *L, const struct bind_fn *functions) {
    lua_newtable(L);
    for (const struct bind_fn *f = functions; f->name != NULL; f++) {
        lua_pushcfunction(L, f->fn);
        lua_setfield(L, -2, f->name);
    }
}

/* -- the VM ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    lua_CFunction open;
} modules[] = {
    {"core.task", bind_open_task},           {"core.timer", bind_open_timer},
    {"core.json", bind_open_json},           {"core.log", bind_open_log},
    {"core.clock", bind_open_clock},         {"core.crypto", bind_open_crypto},
    {"core.metrics", bind_open_metrics},     {"core.config", bind_open_config},
    {"core.worker", bind_open_worker},       {"core.process", bind_open_process},
    {"core.blob", bind_open_blob},           {"core.phone", bind_open_phone},
    {"core.file", bind_open_file},           {"core.sql", bind_open_sql},
    {"core.redis", bind_open_redis},         {"core.http", bind_open_http},
    {"core.telephony", bind_open_telephony}, {"core.media", bind_open_media},
    {"core.cell", bind_open_cell},           {"core.bundle", bind_open_bundle},
    {"core.fault", bind_open_fault},
};

static int on_panic(lua_State *L) {
    log_line(LOG_ERROR, "vm.panic", "%s", lua_isstring(L, -1) ? lua_tostring(L, -1) : "error object");
    abort();
}

struct vm *vm_new(const struct vm_services *s, const char *root) {
    struct vm *vm = mem_alloc(sizeof *vm);
    lua_State *L = luaL_newstate();

    if (L == NULL) abort();
    vm->L = L;
    vm->services = *s;
    vm->root = mem_strdup(root);
    lua_atpanic(L, on_panic);
    luaL_openlibs(L);
    lua_pushlightuserdata(L, &registry_vm);
    lua_pushlightuserdata(L, vm);
    lua_rawset(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, &registry_tasks);
    lua_newtable(L);
    lua_rawset(L, LUA_REGISTRYINDEX);

    lua_getglobal(L, "package"); /* package */
    lua_pushfstring(
        L,
        "%s/lua/?.lua;%s/lua/?/init.lua;%s/?.lua;%s/?/init.lua;/usr/share/lua/5.1/?.lua;/usr/share/lua/5.1/?/init.lua",
        root, root, root, root);
    lua_setfield(L, -2, "path");
    lua_pushliteral(
        L, "/usr/lib/x86_64-linux-gnu/lua/5.1/?.so;/usr/lib/aarch64-linux-gnu/lua/5.1/?.so;/usr/lib/lua/5.1/?.so");
    lua_setfield(L, -2, "cpath");
    lua_getfield(L, -1, "preload"); /* package, preload */
    for (size_t i = 0; i < sizeof modules / sizeof *modules; i++) {
        lua_pushcfunction(L, modules[i].open);
        lua_setfield(L, -2, modules[i].name);
    }
    lua_pop(L, 2);
    return vm;
}

void vm_free(struct vm *vm) {
    if (vm == NULL) return;
    lua_close(vm->L);
    free(vm->root);
    free(vm);
}

struct file_run {
    void (*done)(void *arg, bool ok, int status);
    void *arg;
    struct vm *vm;
};

static void on_file_done(void *arg, lua_State *co, bool ok, int n) {
    struct file_run *run = arg;
    int status = ok && n > 0 && lua_isnumber(co, -n) ? (int)lua_tointeger(co, -n) : 0;

    if (!ok) task_failed(run->vm, co);
    run->done(run->arg, ok, status);
    free(run);
}

int vm_run_file(struct vm *vm, const char *file, int argc, char **argv, void (*done)(void *arg, bool ok, int status),
                void *arg, struct err *e) {
    lua_State *L = vm->L;
    struct file_run *run;

    if (luaL_loadfile(L, file) != 0) {
        err_set(e, ERR_INVALID, "%s", lua_tostring(L, -1));
        lua_pop(L, 1);
        return ERR_INVALID;
    }
    for (int i = 0; i < argc; i++) lua_pushstring(L, argv[i]);
    run = mem_alloc(sizeof *run);
    run->done = done;
    run->arg = arg;
    run->vm = vm;
    vm_spawn(vm, argc, on_file_done, run);
    return 0;
}
