/* SPDX-License-Identifier: Apache-2.0 */
/* The platform VM of a worker: trusted Lua (lua/, plugins/), interpreted (vm.c says why), and what C offers to it as modules core.*.
 *
 * Each request, call event or job runs as a task: a coroutine that the loop resumes. A function marked BIND_YIELDS
 * waits by yielding its task; bind_wait is how. Outside of a task such a function raises.
 *
 *   begin = bind_wait_begin(L)      the task is remembered
 *   some_async_call(..., cb, begin)
 *   return bind_wait_yield(begin)   yields, or returns the results at once when cb has come already
 *   cb: push results on bind_wait_state(w), bind_wait_done(w, how many)
 *
 * Threads    Loop thread only.
 */
#pragma once
#include "base/config.h"
#include "base/err.h"
#include <jansson.h>
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <uv.h>

struct blob_store;
struct buf;
struct http_client;
struct http_pool;
struct media;
struct metrics;
struct net;
struct redis;
struct telephony;
struct work_queue;

enum { VM_SQL_MAX = 8 };
struct sql_pool;

/* Everything a VM can reach; NULL where this program has none of it (then the module's functions fail with a clear error).
 * All borrowed: they outlive the VM. */
struct vm_services {
    uv_loop_t *loop;
    const struct config *config;
    struct metrics *metrics;
    struct net *net;
    struct http_client *http_client;
    struct http_pool *http_pool;
    struct redis *redis;
    struct blob_store *blobs;
    struct sql_pool *sql[VM_SQL_MAX];
    const char *sql_names[VM_SQL_MAX];
    int sql_count;
    struct media *media;
    struct telephony *telephony;
    struct work_queue *passwords; /* Argon2 */
    struct work_queue *packing;   /* deflate: ends of calls wait for it */
    struct work_queue *encoding;  /* MP3 */
    int zygote_fd;                /* control socket to the zygote, -1: none yet */
    int (*zygote_start)(void); /* gives that socket when the first cell is asked for, or -1; NULL: no cells without */
    void (*zygote_lost)(
        void);  /* there are no cells any more, and no way to another zygote; may not come back. NULL: so be it */
    int worker; /* index, -1: a command line program */
    const char *owner;   /* this incarnation's name */
    const char *program; /* "parleyd" or "parley" */
};

struct vm;
struct vm *vm_new(const struct vm_services *s, const char *root /* folder that holds lua/ and plugins/ */);
void vm_free(struct vm *vm);
lua_State *vm_lua(struct vm *vm);
struct vm_services *vm_services(lua_State *L);
const char *vm_root(const struct vm *vm); /* the folder that holds lua/, plugins/, schema/ */
struct vm *vm_of(lua_State *L);

/* Starts file as a task with string arguments. done comes when it ended: ok, or the error's text (already logged).
 * status: the number the file returned, else 0. */
int vm_run_file(struct vm *vm, const char *file, int argc, char **argv, void (*done)(void *arg, bool ok, int status),
                void *arg, struct err *e);

/* A task made in C: push function and nargs on vm_lua(), then vm_spawn. done (may be NULL): results are on co's stack, n of
 * them; or ok = false and one string. Borrowed for the call. */
typedef void (*vm_done)(void *arg, lua_State *co, bool ok, int n);
void vm_spawn(struct vm *vm, int nargs, vm_done done, void *arg);

struct bind_wait;
struct bind_wait *bind_wait_begin(lua_State *L);
lua_State *bind_wait_state(struct bind_wait *w);
void bind_wait_done(struct bind_wait *w, int results);
int bind_wait_yield(struct bind_wait *w);
void bind_wait_drop(struct bind_wait *w); /* its VM ends, and the task stays where it waits */

/* Pushes nil, { code =, text = }; returns 2. */
int bind_fail(lua_State *L, const struct err *e);
int bind_fail_text(lua_State *L, int code, const char *text);
/* For waits: the same on the waiting state, then done. */
void bind_wait_fail(struct bind_wait *w, const struct err *e);

/* A Lua function kept by C: ref, call as a task, unref. */
int bind_ref(lua_State *L, int idx); /* LUA_REFNIL for nil */
void bind_unref(struct vm *vm, int ref);
bool bind_push_ref(struct vm *vm, int ref); /* pushes the function on vm_lua(); false when there is none */

/* Rows of a module: the one source for the manual and for the check that each function has a test. */
enum { BIND_PLAIN = 0, BIND_YIELDS = 1 };
struct bind_fn {
    const char *name;
    lua_CFunction fn;
    int flags;
    const char *form;
    const char *doc;
};
/* Pushes a new table with the functions. */
void bind_module(lua_State *L, const struct bind_fn *functions);
/* Makes the type of a userdata that has methods and an end. */
void bind_make_type(lua_State *L, const char *name, const luaL_Reg *methods, lua_CFunction gc);

/* JSON values and Lua values. json null is the light userdata NULL (core.json.null). Integers beyond 2^53 fail. */
int bind_json_push(lua_State *L, const json_t *value, struct err *e);
json_t *bind_json_take(lua_State *L, int idx, struct err *e); /* new reference or NULL */
/* Appends the value as core.json.encode writes it. idx counts from the bottom. */
int bind_json_write(lua_State *L, int idx, struct buf *out, struct err *e);

/* The modules. Each pushes its table. */
int bind_open_task(lua_State *L);
int bind_open_timer(lua_State *L);
int bind_open_json(lua_State *L);
int bind_open_log(lua_State *L);
int bind_open_clock(lua_State *L);
int bind_open_crypto(lua_State *L);
int bind_open_deflate(lua_State *L);
int bind_open_float32(lua_State *L);
int bind_open_metrics(lua_State *L);
int bind_open_config(lua_State *L);
int bind_open_worker(lua_State *L);
int bind_open_fault(lua_State *L);
int bind_open_process(lua_State *L);
int bind_open_blob(lua_State *L);
int bind_open_phone(lua_State *L);
int bind_open_file(lua_State *L);
int bind_open_sql(lua_State *L);
int bind_open_redis(lua_State *L);
int bind_open_http(lua_State *L);
int bind_open_ws(lua_State *L);
int bind_open_telephony(lua_State *L);
int bind_open_media(lua_State *L);
int bind_open_mp3(lua_State *L);
int bind_open_pcm(lua_State *L);
int bind_open_remains(lua_State *L);
int bind_open_cell(lua_State *L);
int bind_open_bundle(lua_State *L);
