/* SPDX-License-Identifier: Apache-2.0 */
/* A VM for hostile source, and runs in it: coroutines that are cut into slices and can be stopped for good.
 *
 * Interpreter only. The globals are an allow-list (builtins.lua); what LuaJIT does unsafely or without bound is replaced.
 * A timer signal arms a count hook that yields the running coroutine; one that is not resumed again has been stopped, and no
 * pcall of its own notices. The allocator never returns NULL: above the soft limit it arms the same hook, which collects
 * garbage and stops the run when that did not help; at the hard limit it ends the process.
 *
 * Ownership  A run belongs to who made it and ends before its sandbox.
 * Threads    One thread, one process: limits, the timer and the run of the moment are the process's.
 * Errors     A run's error value is on its stack after RUN_ERROR; it may be anything.
 * Units      Bytes and milliseconds; the names say so.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"
#include "cell/place.h"
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

enum { SANDBOX_PROTECTED_MAX = 180 /* pcall within pcall */ };

/* Once per process, before the first sandbox. at_hard is called when the hard limit is reached and must not return. */
int sandbox_setup(size_t soft_bytes, size_t hard_bytes, void (*at_hard)(void), struct err *e);
void sandbox_limit(size_t soft_bytes, size_t hard_bytes); /* others, while no run is at work */
size_t sandbox_bytes(void);                               /* in use by all sandboxes */
bool sandbox_is_tight(void);                              /* above 7/8 of the soft limit */

struct sandbox;
/* Around the making of sandboxes in the process that others are forked from: nothing of a tenant may be in them, and what
 * nobody changes of them is in memory once for all processes. */
void sandbox_prepare(void);
void sandbox_prepared(void);
struct sandbox *sandbox_new(void);
void sandbox_free(struct sandbox *s);
lua_State *sandbox_lua(struct sandbox *s); /* its main state: only for work that calls no tenant code */
void sandbox_collect(struct sandbox *s);
struct cover;
/* From now on each line that runs is noted in c; NULL: no more. Borrowed. */
void sandbox_cover(struct sandbox *s, struct cover *c);

enum run_end {
    RUN_DONE,   /* results are on the stack */
    RUN_WAITS,  /* it yielded by run_wait() */
    RUN_SLICED, /* its slice is over */
    RUN_MEMORY, /* stopped: free it */
    RUN_ERROR
};
struct run {
    struct sandbox *sandbox; /* borrowed */
    lua_State *L;            /* the coroutine; its first slice calls the function that was pushed on it */
    void *owner;             /* the caller's */
    uint64_t random;         /* state of math.random */
    int loading;             /* > 0 while a file's own code runs: no verbs, random numbers of its own */
    uint64_t load_random;
    struct place function; /* of the flow's state, set by builtins */
    int function_last;
    struct place stood; /* where the last slice ended */
    struct buf asks;    /* at RUN_WAITS: the verb's name and its arguments as values; for flow.c */
    int ref, levels;    /* ours */
};
struct run *run_new(struct sandbox *s);
void run_free(struct run *r);
int sandbox_runs(const struct sandbox *s); /* made and not freed */
/* Runs for at most slice_ms (and what one C function takes). The caller pushed nargs values (and first the function). */
enum run_end run_slice(struct run *r, int nargs, int slice_ms);
/* When no slice will begin soon: the timer of the last one need not wake the process. */
void sandbox_rest(void);
/* From a C function within the run: return run_wait(L) makes run_slice() return RUN_WAITS; nargs of the next slice are the
 * function's results. */
int run_wait(lua_State *L);
struct run *run_now(void); /* the run of the moment, or NULL */

/* Our own Lua, as text: pushes its function and returns 0, or the message. */
int sandbox_load_own(lua_State *L, const char *text, size_t len);
/* luaL_loadbufferx for a file of the tenant; pushes the function and returns true, or the message. */
bool sandbox_compile(lua_State *L, const char *path, const char *source, size_t len);
