/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/sandbox.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cell/cover.h"
#include "cell/embedded.h"
#include "cell/lint.h"
#include "cell/pattern.h"
#include "cell/text.h"
#include <errno.h>
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

enum { SHARED_MAX = 1 << 20 };

struct sandbox {
    lua_State *L;
    struct sandbox *next;
    int runs;
    struct cover *cover; /* borrowed; NULL while nobody asks which lines run */
};

static struct {
    size_t soft, hard, used;
    void (*at_hard)(void);
    timer_t timer;
    struct sandbox *all;
    char *shared, *shared_at, *shared_end; /* what was allocated before the process was forked */
    struct run *now;
    bool waits; /* the run of the moment yielded by run_wait() */
    bool stopped;
    bool preparing;
    volatile uint64_t slice_ends_us, timer_due_us; /* 0: not set */
    volatile sig_atomic_t in_slice, calming, slice_over, memory_low;
} box;

/* -- the hook -------------------------------------------------------------------------------------------------------- */

static void on_hook(lua_State *L, lua_Debug *ar);

/* The hook as it stands while nothing is to be stopped. The timer keeps out of it: LuaJIT notes first that it asks no hook any more and
 * then makes it so, and a hook that is set in between is noted, and asked never again. */
static void calm(lua_State *L, const struct sandbox *s) {
    box.calming = 1;
    if (s && s->cover)
        lua_sethook(L, on_hook, LUA_MASKLINE, 0);
    else
        lua_sethook(L, NULL, 0, 0);
    box.calming = 0;
}

static void on_hook(lua_State *L, lua_Debug *ar) {
    if (ar->event == LUA_HOOKLINE) {
        if (box.now && box.now->sandbox->cover && lua_getinfo(L, "S", ar))
            cover_line(box.now->sandbox->cover, ar->source, ar->currentline);
        return;
    }
    if (box.memory_low && box.now) {
        for (struct sandbox *s = box.all; s; s = s->next) lua_gc(s == box.now->sandbox ? L : s->L, LUA_GCCOLLECT, 0);
        box.memory_low = 0;
        box.stopped = sandbox_is_tight();
    }
    if (!box.stopped && !box.slice_over) {
        calm(L, box.now ? box.now->sandbox : NULL);
        return;
    }
    if (!lua_isyieldable(L)) return; /* stays armed: the next instruction asks again */
    place_of_stack(L, &box.now->stood);
    lua_yield(L, 0);
}

static void arm(lua_State *L) {
    lua_sethook(L, on_hook, LUA_MASKCOUNT | (box.now && box.now->sandbox->cover ? LUA_MASKLINE : 0), 1);
}

/* By clock_mono_us(); 0: not again. It repeats, so a signal that comes in the middle of arm() costs a millisecond and no more. */
static void timer_set(uint64_t due_us) {
    struct itimerspec t = {
        .it_value = {.tv_sec = (time_t)(due_us / 1000000), .tv_nsec = (long)(due_us % 1000000) * 1000}};

    if (due_us) t.it_interval.tv_nsec = 1000000;
    box.timer_due_us = due_us;
    timer_settime(box.timer, TIMER_ABSTIME, &t, NULL);
}

/* Setting the timer takes longer than many a slice does. So one that was set for an earlier slice stays, and sees here by the clock
 * what it is for now. Setting a hook from a signal that interrupts the VM's own thread is what lua_sethook is made for. */
static void on_timer(int signal) {
    (void)signal;
    if (!box.in_slice) {
        timer_set(0);
    } else if (clock_mono_us() < box.slice_ends_us) {
        timer_set(box.slice_ends_us);
    } else if (!box.calming) { /* else in a millisecond */
        box.slice_over = 1;
        arm(box.now->L);
    }
}

void sandbox_rest(void) {
    if (box.timer_due_us) timer_set(0);
}

/* -- memory ---------------------------------------------------------------------------------------------------------- */

/* Before the fork: one piece after the other, and what is freed is not used again. So a process that is forked writes its own
 * things nowhere among what it shares with the others. */
static void *allocate_shared(void *p, size_t old, size_t size) {
    char *new = box.shared_at;

    if (size <= old) return p;
    box.shared_at += (size + 15) / 16 * 16;
    if (box.shared_at > box.shared_end) abort(); /* our own Lua has outgrown SHARED_MAX */
    if (p) memcpy(new, p, old);
    return new;
}

static bool is_shared(const char *p) {
    return p >= box.shared && p < box.shared_end;
}

static void *reallocate(void *p, size_t old, size_t size) {
    if (!is_shared(p)) return realloc(p, size);
    void *new = malloc(size);
    if (new) memcpy(new, p, old < size ? old : size);
    return new;
}

/* Never NULL: LuaJIT can be brought to write where it must not when an allocation fails. */
static void *allocate(void *ud, void *p, size_t old, size_t size) {
    struct sandbox *s = ud;

    if (size == 0) {
        box.used -= old;
        if (!is_shared(p)) free(p);
        return NULL;
    }
    box.used += size - (p ? old : 0);
    if (box.preparing) return allocate_shared(p, p ? old : 0, size);
    if (box.used > box.hard) box.at_hard();
    void *new = reallocate(p, old, size);
    if (!new) box.at_hard();
    if (box.used > box.soft && size > old && !box.memory_low && s->L) {
        box.memory_low = 1;
        arm(s->L);
    }
    return new;
}

size_t sandbox_bytes(void) {
    return box.used;
}

bool sandbox_is_tight(void) {
    return box.used > box.soft / 8 * 7;
}

static int on_panic(lua_State *L) { /* an error of ours, outside every protected call */
    fprintf(stderr, "parley-cell: %s\n", lua_isstring(L, -1) ? lua_tostring(L, -1) : "panic");
    abort();
}

void sandbox_limit(size_t soft, size_t hard) {
    box.soft = soft;
    box.hard = hard;
}

int sandbox_setup(size_t soft, size_t hard, void (*at_hard)(void), struct err *e) {
    struct sigaction action = {.sa_handler = on_timer, .sa_flags = SA_RESTART};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};

    event._sigev_un._tid = gettid(); /* timer_create(2): no other thread may set the hook of a VM that runs */
    sandbox_rest();
    sandbox_limit(soft, hard);
    box.at_hard = at_hard;
    if (sigaction(SIGALRM, &action, NULL) < 0 || timer_create(CLOCK_MONOTONIC, &event, &box.timer) < 0)
        return err_set(e, ERR_IO, "no timer: %s", strerror(errno));
    return 0;
}

/* -- functions for builtins.lua --------------------------------------------------------------------------------------- */

/* enter() -> level: one protected call deeper; leave(level) undoes it, also when an error skipped inner leaves. */
static int core_enter(lua_State *L) {
    if (box.now && ++box.now->levels > SANDBOX_PROTECTED_MAX) {
        box.now->levels--;
        place_error(L, "too many protected calls within each other");
    }
    lua_pushinteger(L, box.now ? box.now->levels - 1 : 0);
    return 1;
}

static int core_leave(lua_State *L) {
    if (box.now) box.now->levels = (int)lua_tointeger(L, 1);
    return 0;
}

/* meta(value, name): a field of its metatable, whatever __metatable says. */
static int core_meta(lua_State *L) {
    return luaL_getmetafield(L, 1, lua_tostring(L, 2));
}

static int core_is_c(lua_State *L) {
    lua_pushboolean(L, lua_iscfunction(L, 1));
    return 1;
}

static int core_raise(lua_State *L) {
    place_error(L, "%s", lua_tostring(L, 1));
}

static int core_thread(lua_State *L) {
    lua_pushthread(L);
    return 1;
}

static uint64_t random_next(uint64_t *state) { /* splitmix64 */
    uint64_t z = *state += 0x9e3779b97f4a7c15ULL;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static int core_random(lua_State *L) {
    static uint64_t outside;
    uint64_t *state = !box.now ? &outside : box.now->loading ? &box.now->load_random : &box.now->random;
    lua_Number low = 1, high, r = (lua_Number)(random_next(state) >> 11) * 0x1p-53;
    int args = lua_gettop(L);

    if (args == 0) {
        lua_pushnumber(L, r);
        return 1;
    }
    if (args > 1) low = floor(luaL_checknumber(L, 1));
    high = floor(luaL_checknumber(L, args > 1 ? 2 : 1));
    if (!(low <= high)) place_error(L, "bad argument to 'random' (interval is empty)");
    lua_pushnumber(L, floor(low + r * (high - low + 1)));
    return 1;
}

static const luaL_Reg core[] = {{"enter", core_enter},
                                {"leave", core_leave},
                                {"meta", core_meta},
                                {"is_c", core_is_c},
                                {"raise", core_raise},
                                {"thread", core_thread},
                                {"random", core_random},
                                {"find", pattern_find},
                                {"match", pattern_match},
                                {"step", pattern_step},
                                {"gsub", pattern_gsub},
                                {"rep", text_rep},
                                {"format_check", text_format_check},
                                {"concat", list_concat},
                                {"insert", list_insert},
                                {"remove", list_remove},
                                {"unpack", list_unpack},
                                {"sort", list_sort},
                                {"keys", list_keys},
                                {NULL, NULL}};

static void open_library(lua_State *L, lua_CFunction open, const char *name) {
    lua_pushcfunction(L, open);
    lua_pushstring(L, name);
    lua_call(L, 1, 0);
}

static int add_code(lua_State *L, const void *bytes, size_t len, void *code) {
    (void)L;
    buf_add(code, bytes, len);
    return 0;
}

/* Compiling leaves more garbage than code, and what is shared would lie scattered in it: then it is compiled elsewhere. */
int sandbox_load_own(lua_State *L, const char *text, size_t len) {
    if (!box.preparing) return luaL_loadbufferx(L, text, len, "=parley", "t");
    struct buf code = {0};
    lua_State *other = luaL_newstate();
    int rc = luaL_loadbufferx(other, text, len, "=parley", "t");
    if (rc == 0) {
        lua_dump(other, add_code, &code);
        rc = luaL_loadbufferx(L, code.data, code.len, "=parley", "b");
    } else {
        lua_pushstring(L, lua_tostring(other, -1));
    }
    lua_close(other);
    buf_free(&code);
    return rc;
}

static int open_all(lua_State *L) {
    open_library(L, luaopen_base, "");
    open_library(L, luaopen_string, LUA_STRLIBNAME);
    open_library(L, luaopen_table, LUA_TABLIBNAME);
    open_library(L, luaopen_math, LUA_MATHLIBNAME);
    open_library(L, luaopen_bit, LUA_BITLIBNAME);

    if (sandbox_load_own(L, embedded_builtins, embedded_builtins_len) != 0) lua_error(L);
    lua_pushvalue(L, LUA_GLOBALSINDEX);
    lua_newtable(L);
    for (const luaL_Reg *f = core; f->name; f++) {
        lua_pushcfunction(L, f->func);
        lua_setfield(L, -2, f->name);
    }
    lua_pushinteger(L, TEXT_MAX);
    lua_setfield(L, -2, "text_max");
    lua_call(L, 2, 1); /* the tenant's globals */
    lua_replace(L, LUA_GLOBALSINDEX);
    lua_newtable(L); /* empty, for has_ffi() */
    lua_setfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_pushliteral(L, ""); /* strings have the edited string table, and their metatable is out of reach */
    lua_getmetatable(L, -1);
    lua_pushboolean(L, 0);
    lua_setfield(L, -2, "__metatable");
    return 0;
}

struct sandbox *sandbox_new(void) {
    struct sandbox *s = mem_alloc(sizeof *s);

    s->L = lua_newstate(allocate, s);
    if (!s->L) abort(); /* cannot be: the allocator never fails */
    lua_atpanic(s->L, on_panic);
    luaJIT_setmode(s->L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    if (lua_cpcall(s->L, open_all, NULL) != 0) on_panic(s->L); /* our own Lua is wrong */
    s->next = box.all;
    box.all = s;
    return s;
}

void sandbox_prepare(void) {
    box.soft = box.hard = SIZE_MAX;
    box.shared = mmap(NULL, SHARED_MAX, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (box.shared == MAP_FAILED) abort();
    box.shared_at = box.shared;
    box.shared_end = box.shared + SHARED_MAX;
    box.preparing = true;
}

void sandbox_prepared(void) {
    for (struct sandbox *s = box.all; s; s = s->next) {
        lua_gc(s->L, LUA_GCCOLLECT, 0);
        /* A collection writes to every object, and so makes a copy of all of it: the first one begins late. */
        int pause = lua_gc(s->L, LUA_GCSETPAUSE, 500);
        lua_gc(s->L, LUA_GCRESTART, -1);
        lua_gc(s->L, LUA_GCSETPAUSE, pause);
    }
    box.preparing = false;
}

void sandbox_free(struct sandbox *s) {
    struct sandbox **at = &box.all;

    if (!s) return;
    while (*at != s) at = &(*at)->next;
    *at = s->next;
    lua_State *L = s->L;
    s->L = NULL; /* no hook for a state that is going */
    lua_close(L);
    free(s);
}

void sandbox_cover(struct sandbox *s, struct cover *c) {
    s->cover = c;
}

lua_State *sandbox_lua(struct sandbox *s) {
    return s->L;
}

void sandbox_collect(struct sandbox *s) {
    lua_gc(s->L, LUA_GCCOLLECT, 0);
    if (box.used <= box.soft) box.memory_low = 0;
}

/* The parser notes where libraries are noted that it has loaded its ffi. */
static bool has_ffi(lua_State *L) {
    lua_getfield(L, LUA_REGISTRYINDEX, "_LOADED");
    lua_getfield(L, -1, "ffi");
    bool has = !lua_isnil(L, -1);
    lua_pop(L, 2);
    return has;
}

bool sandbox_compile(lua_State *L, const char *path, const char *source, size_t len) {
    char name[160];
    /* 1LL makes the parser load the ffi library, allow-list or not, and with our allocator that corrupts memory. */
    int line = lint_ffi_number(source, len);

    if (line) {
        lua_pushfstring(L, "%s:%d: what ends with LL, ULL, LLU or i is no number here", path, line);
        return false;
    }
    snprintf(name, sizeof name, "@%s", path);
    bool ok = luaL_loadbufferx(L, source, len, name, "t") == 0;
    if (has_ffi(L)) { /* in a way the lint does not know: this process is not to be trusted any more */
        fprintf(stderr, "parley-cell: %s makes LuaJIT load its ffi\n", path);
        abort();
    }
    return ok;
}

/* -- runs ------------------------------------------------------------------------------------------------------------ */

struct run *run_new(struct sandbox *s) {
    struct run *r = mem_alloc(sizeof *r);

    r->sandbox = s;
    r->L = lua_newthread(s->L);
    r->ref = luaL_ref(s->L, LUA_REGISTRYINDEX);
    s->runs++;
    return r;
}

void run_free(struct run *r) {
    if (!r) return;
    luaL_unref(r->sandbox->L, LUA_REGISTRYINDEX, r->ref);
    r->sandbox->runs--;
    buf_free(&r->asks);
    free(r);
}

enum run_end run_slice(struct run *r, int nargs, int slice_ms) {
    box.now = r;
    box.waits = box.stopped = false;
    box.slice_over = 0;
    calm(r->L, r->sandbox);
    if (box.memory_low) arm(r->L);
    box.slice_ends_us = clock_mono_us() + (uint64_t)slice_ms * 1000;
    box.in_slice = 1;
    if (!box.timer_due_us || box.timer_due_us > box.slice_ends_us) timer_set(box.slice_ends_us);
    int rc = lua_resume(r->L, nargs);
    box.in_slice = 0;
    lua_sethook(r->L, NULL, 0, 0);
    box.now = NULL;

    if (rc == 0) return RUN_DONE;
    if (rc != LUA_YIELD) {
        if (!place_of_stack(r->L, &r->stood)) r->stood = r->function;
        return RUN_ERROR;
    }
    if (box.waits) return RUN_WAITS;
    return box.stopped ? RUN_MEMORY : RUN_SLICED;
}

int run_wait(lua_State *L) {
    box.waits = true;
    return lua_yield(L, 0);
}

struct run *run_now(void) {
    return box.now;
}

int sandbox_runs(const struct sandbox *s) {
    return s->runs;
}
