/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/vm.h"
#include "base/log.h"
#include "base/mem.h"
#include <luajit.h>
#include <lualib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IDLE_TASKS_MAX = 64 };

struct vm {
    lua_State *L;
    struct task *idle; /* coroutines that have ended their work and wait for more */
    int idle_count;
    struct vm_services services;
    char *root;
};

/* A task lives in the registry, keyed by its coroutine. One that has ended well is used again: for a short request, making
 * a coroutine and throwing it away is a tenth of all its work. */
struct task {
    lua_State *co;
    int ref; /* keeps co from the collector */
    bool busy;
    vm_done done;
    void *arg;
    struct task *next; /* in vm->idle */
};

struct bind_wait {
    struct vm *vm;
    struct task *task; /* stays until its coroutine has ended, which it cannot while it waits (see bind_wait_begin) */
    int results;       /* -1: not done yet */
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

static struct task *task_new(struct vm *vm) {
    lua_State *L = vm->L;
    struct task *t;

    lua_pushlightuserdata(L, &registry_tasks);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_State *co = lua_newthread(L); /* tasks, co */
    int ref = luaL_ref(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, co);
    t = lua_newuserdata(L, sizeof *t); /* tasks, key, task */
    *t = (struct task){.co = co, .ref = ref};
    lua_rawset(L, -3);
    lua_pop(L, 1);
    return t;
}

static void task_free(struct vm *vm, struct task *t) {
    lua_State *L = vm->L;

    luaL_unref(L, LUA_REGISTRYINDEX, t->ref);
    lua_pushlightuserdata(L, &registry_tasks);
    lua_rawget(L, LUA_REGISTRYINDEX);
    lua_pushlightuserdata(L, t->co);
    lua_pushnil(L);
    lua_rawset(L, -3); /* t may be gone with the next collection */
    lua_pop(L, 1);
}

static struct task *task_take(struct vm *vm) {
    struct task *t = vm->idle;
    if (t == NULL) return task_new(vm);
    vm->idle = t->next;
    vm->idle_count--;
    return t;
}

static void task_give_back(struct vm *vm, struct task *t, bool usable) {
    t->busy = false;
    t->done = NULL;
    if (!usable || vm->idle_count == IDLE_TASKS_MAX) {
        task_free(vm, t);
        return;
    }
    lua_settop(t->co, 0);
    t->next = vm->idle;
    vm->idle = t;
    vm->idle_count++;
}

/* Pushes on L what was raised in co, as text: a table may tell itself. */
static void push_raised(lua_State *L, lua_State *co) {
    lua_pushvalue(co, -1);
    lua_xmove(co, L, 1);
    if (lua_isstring(L, -1)) return;
    if (luaL_getmetafield(L, -1, "__tostring")) {
        lua_insert(L, -2);
        if (lua_pcall(L, 1, 1, 0) == 0 && lua_isstring(L, -1)) return;
    }
    lua_pop(L, 1);
    lua_pushstring(L, luaL_typename(co, -1));
}

static void task_failed(struct vm *vm, lua_State *co) {
    lua_State *L = vm->L;

    push_raised(L, co);
    /* luaL_traceback shows where the coroutine stood: its stack is kept after an error. */
    luaL_traceback(L, co, lua_tostring(L, -1), 0);
    log_line(LOG_ERROR, "task.failed", "%s", lua_tostring(L, -1));
    lua_pop(L, 2);
}

static void task_resume(struct vm *vm, struct task *t, int nargs) {
    lua_State *co = t->co;
    int status = lua_resume(co, nargs);

    if (status == LUA_YIELD) return;
    if (status != 0 && t->done == NULL) task_failed(vm, co);
    if (status != 0 && !lua_isstring(co, -1)) {
        push_raised(vm->L, co);
        lua_xmove(vm->L, co, 1);
    }
    if (t->done != NULL) t->done(t->arg, co, status == 0, status == 0 ? lua_gettop(co) : 1);
    task_give_back(vm, t, status == 0);
}

void vm_spawn(struct vm *vm, int nargs, vm_done done, void *arg) {
    struct task *t = task_take(vm);

    t->busy = true;
    t->done = done;
    t->arg = arg;
    lua_xmove(vm->L, t->co, nargs + 1); /* fn, args... */
    task_resume(vm, t, nargs);
}

/* -- waiting ---------------------------------------------------------------------------------------------- */

struct bind_wait *bind_wait_begin(lua_State *L) {
    struct vm *vm = vm_of(L);
    struct bind_wait *w;

    struct task *t = task_of(vm, L);
    if (t == NULL || !t->busy) luaL_error(L, "this function waits and can only be called from a task");
    /* Before anything is begun: what a coroutine that cannot wait had begun would resume whoever uses it next. */
    if (!lua_isyieldable(L))
        luaL_error(L, "this function waits and cannot be called from inside gsub, sort or the like");
    w = mem_alloc(sizeof *w);
    w->vm = vm;
    w->task = t;
    w->results = -1;
    return w;
}

lua_State *bind_wait_state(struct bind_wait *w) {
    return w->task->co;
}

void bind_wait_done(struct bind_wait *w, int results) {
    struct vm *vm = w->vm;
    struct task *t = w->task;

    if (!w->yielded) {
        w->results = results;
        return;
    }
    free(w);
    task_resume(vm, t, results);
}

int bind_wait_yield(struct bind_wait *w) {
    int results = w->results;

    if (results < 0) {
        w->yielded = true;
        return lua_yield(w->task->co, 0);
    }
    free(w);
    return results;
}

void bind_wait_drop(struct bind_wait *w) {
    free(w);
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
    bind_wait_done(w, bind_fail(w->task->co, e));
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

void bind_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc) {
    luaL_newmetatable(L, name);
    lua_newtable(L);
    for (; methods->name != NULL; methods++) {
        lua_pushcfunction(L, methods->func);
        lua_setfield(L, -2, methods->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
}

/* -- the VM ------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    lua_CFunction open;
} modules[] = {
    {"core.task", bind_open_task},
    {"core.timer", bind_open_timer},
    {"core.json", bind_open_json},
    {"core.log", bind_open_log},
    {"core.clock", bind_open_clock},
    {"core.crypto", bind_open_crypto},
    {"core.metrics", bind_open_metrics},
    {"core.config", bind_open_config},
    {"core.worker", bind_open_worker},
    {"core.process", bind_open_process},
    {"core.blob", bind_open_blob},
    {"core.phone", bind_open_phone},
    {"core.file", bind_open_file},
    {"core.sql", bind_open_sql},
    {"core.redis", bind_open_redis},
    {"core.http", bind_open_http},
    {"core.telephony", bind_open_telephony},
    {"core.media", bind_open_media},
    {"core.cell", bind_open_cell},
    {"core.bundle", bind_open_bundle},
    {"core.fault", bind_open_fault},
    {"core.deflate", bind_open_deflate},
    {"core.ws", bind_open_ws},
    {"core.float32", bind_open_float32},
    {"core.mp3", bind_open_mp3},
    {"core.pcm", bind_open_pcm},
    {"core.remains", bind_open_remains},
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
    /* LuaJIT as Debian 12 has it ends compiled loops over pairs() early, without a word (its issues 827 and 1510): an UPDATE
     * went out without its columns. What we run gains next to nothing from being compiled. */
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
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
