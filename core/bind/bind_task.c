/* SPDX-License-Identifier: Apache-2.0 */
/* core.task and core.timer: coroutines that the loop resumes, and clocks that start them. */
#include "base/mem.h"
#include "bind/vm.h"
#include <stdlib.h>

static int bind_task_spawn(lua_State *L) {
    struct vm *vm = vm_of(L);
    int n = lua_gettop(L);

    luaL_checktype(L, 1, LUA_TFUNCTION);
    if (vm_lua(vm) != L) lua_xmove(L, vm_lua(vm), n);
    vm_spawn(vm, n - 1, NULL, NULL);
    return 0;
}

/* -- sleeping ---------------------------------------------------------------------------------------------- */

struct sleep {
    uv_timer_t timer;
    struct bind_wait *wait;
};

static void on_sleep_closed(uv_handle_t *h) {
    free(h->data);
}

static void on_sleep_over(uv_timer_t *t) {
    struct sleep *s = t->data;
    struct bind_wait *w = s->wait;

    uv_close((uv_handle_t *)t, on_sleep_closed);
    bind_wait_done(w, 0);
}

/* Who sleeps for nothing goes on behind a whole poll of the loop, in the order in which they came: what became ready during a
 * piece of long work has its turn before the next piece. A timer of no time will not do: one that a timer starts is due in the
 * same turn. Nor will an idle handle alone, which runs behind the timers and before the poll, nor a check alone, which runs
 * behind the poll that is under way. */
struct turn {
    uv_idle_t idle;     /* before the poll, which does not wait while there is one: the turn begins */
    uv_check_t check;   /* behind it: they go on */
    struct turn **next; /* who comes now is in that one */
    struct rest *first, **last;
};

struct rest {
    struct bind_wait *wait;
    struct rest *next;
};

static char registry_next_turn;

static void on_check_closed(uv_handle_t *h) {
    free(h->data);
}

static void on_idle_closed(uv_handle_t *h) {
    struct turn *t = h->data;

    uv_close((uv_handle_t *)&t->check, on_check_closed);
}

static void on_polled(uv_check_t *check) {
    struct turn *t = check->data;

    uv_check_stop(check);
    uv_close((uv_handle_t *)&t->idle, on_idle_closed);
    while (t->first) {
        struct rest *r = t->first;
        struct bind_wait *w = r->wait;

        t->first = r->next;
        free(r);
        bind_wait_done(w, 0);
    }
}

static void on_turn(uv_idle_t *idle) {
    struct turn *t = idle->data;

    *t->next = NULL;
    uv_check_start(&t->check, on_polled);
}

static struct turn *next_turn(lua_State *L) {
    lua_pushlightuserdata(L, &registry_next_turn);
    lua_rawget(L, LUA_REGISTRYINDEX);
    struct turn **next = lua_touserdata(L, -1);
    lua_pop(L, 1);

    if (*next) return *next;
    struct turn *t = *next = mem_alloc(sizeof *t);
    *t = (struct turn){.next = next, .last = &t->first};
    uv_check_init(vm_services(L)->loop, &t->check);
    t->check.data = t;
    uv_idle_init(vm_services(L)->loop, &t->idle);
    t->idle.data = t;
    uv_idle_start(&t->idle, on_turn);
    return t;
}

static int rest(lua_State *L) {
    struct bind_wait *w = bind_wait_begin(L);
    struct turn *t = next_turn(L);
    struct rest *r = mem_alloc(sizeof *r);

    *r = (struct rest){.wait = w};
    *t->last = r;
    t->last = &r->next;
    return bind_wait_yield(w);
}

static int bind_task_sleep(lua_State *L) {
    lua_Number ms = luaL_checknumber(L, 1);
    struct sleep *s;
    struct bind_wait *w;

    luaL_argcheck(L, ms >= 0 && ms < 1e12, 1, "milliseconds, zero or more");
    if ((uint64_t)ms == 0) return rest(L);
    w = bind_wait_begin(L);
    s = mem_alloc(sizeof *s);
    s->wait = w;
    uv_timer_init(vm_services(L)->loop, &s->timer);
    s->timer.data = s;
    uv_timer_start(&s->timer, on_sleep_over, (uint64_t)ms, 0);
    return bind_wait_yield(w);
}

/* -- task.wait: a wait that Lua itself ends ----------------------------------------------------------------- */

static int wait_resume(lua_State *L) {
    struct bind_wait **slot = lua_touserdata(L, lua_upvalueindex(1));
    struct bind_wait *w = *slot;
    lua_State *co;
    int n = lua_gettop(L);

    if (w == NULL) return 0; /* a second resume does nothing */
    *slot = NULL;
    co = bind_wait_state(w);
    luaL_checkstack(co, n, "too many results");
    if (co != L) lua_xmove(L, co, n);
    bind_wait_done(w, n);
    return 0;
}

static int bind_task_wait(lua_State *L) {
    struct bind_wait *w;
    struct bind_wait **slot;

    luaL_checktype(L, 1, LUA_TFUNCTION);
    w = bind_wait_begin(L);
    lua_pushvalue(L, 1);
    slot = lua_newuserdata(L, sizeof *slot);
    *slot = w;
    lua_pushcclosure(L, wait_resume, 1);
    /* An error in the register function must not leave a wait behind: the slot is emptied first. */
    if (lua_pcall(L, 1, 0, 0) != 0) {
        *slot = NULL;
        bind_wait_done(w, 0);
        bind_wait_yield(w);
        return lua_error(L);
    }
    return bind_wait_yield(w);
}

static int bind_task_is(lua_State *L) {
    lua_pushboolean(L, lua_pushthread(L) == 0);
    return 1;
}

static const struct bind_fn task_functions[] = {
    {"spawn", bind_task_spawn, BIND_PLAIN, "task.spawn(fn, ...)",
     "Runs fn as a task of its own, at once up to its first wait. Errors are logged."},
    {"sleep", bind_task_sleep, BIND_YIELDS, "task.sleep(ms)", "Waits; 0: until others have had their turn."},
    {"wait", bind_task_wait, BIND_YIELDS, "task.wait(function(resume) ... end) -> ...",
     "Waits until resume(...) is called, from anywhere, and returns what it was given. A second resume does nothing."},
    {"inside", bind_task_is, BIND_PLAIN, "task.inside() -> boolean", "Whether the caller runs in a task and may wait."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_task(lua_State *L) {
    lua_pushlightuserdata(L, &registry_next_turn);
    *(struct turn **)lua_newuserdata(L, sizeof(struct turn *)) = NULL;
    lua_rawset(L, LUA_REGISTRYINDEX);
    bind_module(L, task_functions);
    return 1;
}

/* -- timers -------------------------------------------------------------------------------------------------- */

#define TIMER_TYPE "parley.timer"

struct timer {
    uv_timer_t handle; /* libuv may touch it until its close callback, so it is freed there */
    struct vm *vm;
    int fn;
    bool repeats;
    struct timer **owner; /* the userdata that points at us, or NULL when it was collected */
};

static void on_timer_closed(uv_handle_t *h) {
    free(h->data);
}

static void timer_end(struct timer *t) {
    if (t->owner != NULL) *t->owner = NULL;
    t->owner = NULL;
    bind_unref(t->vm, t->fn);
    t->fn = LUA_NOREF;
    uv_close((uv_handle_t *)&t->handle, on_timer_closed);
}

static void on_timer(uv_timer_t *h) {
    struct timer *t = h->data;
    struct vm *vm = t->vm;

    bind_push_ref(vm, t->fn);
    if (!t->repeats) timer_end(t);
    vm_spawn(vm, 0, NULL, NULL);
}

static int timer_new(lua_State *L, bool repeats) {
    lua_Number ms = luaL_checknumber(L, 1);
    struct vm *vm = vm_of(L);
    struct timer **slot;
    struct timer *t;

    luaL_argcheck(L, ms >= 0 && ms < 1e12, 1, "milliseconds, zero or more");
    luaL_checktype(L, 2, LUA_TFUNCTION);
    slot = lua_newuserdata(L, sizeof *slot);
    *slot = NULL;
    luaL_getmetatable(L, TIMER_TYPE);
    lua_setmetatable(L, -2);
    t = mem_alloc(sizeof *t);
    t->vm = vm;
    t->fn = bind_ref(L, 2);
    t->repeats = repeats;
    t->owner = slot;
    *slot = t;
    uv_timer_init(vm_services(L)->loop, &t->handle);
    t->handle.data = t;
    uv_timer_start(&t->handle, on_timer, (uint64_t)ms, repeats ? (uint64_t)(ms < 1 ? 1 : ms) : 0);
    return 1;
}

static int bind_timer_after(lua_State *L) {
    return timer_new(L, false);
}
static int bind_timer_every(lua_State *L) {
    return timer_new(L, true);
}

static int bind_timer_cancel(lua_State *L) {
    struct timer **slot = luaL_checkudata(L, 1, TIMER_TYPE);

    if (*slot != NULL) timer_end(*slot);
    return 0;
}

/* A timer nobody holds goes on: after() is often used without keeping the handle. */
static int timer_gc(lua_State *L) {
    struct timer **slot = lua_touserdata(L, 1);

    if (*slot != NULL) (*slot)->owner = NULL;
    return 0;
}

static const struct bind_fn timer_functions[] = {
    {"after", bind_timer_after, BIND_PLAIN, "timer.after(ms, fn) -> timer",
     "Runs fn once as a task. timer:cancel() stops it."},
    {"every", bind_timer_every, BIND_PLAIN, "timer.every(ms, fn) -> timer",
     "Runs fn again and again, each time as a task of its own."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_timer(lua_State *L) {
    luaL_newmetatable(L, TIMER_TYPE);
    lua_newtable(L);
    lua_pushcfunction(L, bind_timer_cancel);
    lua_setfield(L, -2, "cancel");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, timer_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    bind_module(L, timer_functions);
    return 1;
}
