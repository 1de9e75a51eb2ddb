/* SPDX-License-Identifier: Apache-2.0 */
/* core.cell: tenants' processes, as Lua sees them. Everything a cell sends is checked for form here before a value is made of it. What
 * comes and goes does so over zygote_client.h (that there are cells at all) and cell_link.h (what is said with one). */
#include "bind/bind_cell.h"
#include "base/buf.h"
#include "base/map.h"
#include "base/mem.h"
#include "bind/cell_link.h"
#include "bind/vm.h"
#include "bind/zygote_client.h"
#include "script/message.h"
#include "script/value.h"
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define CELL_TYPE "parley.cell"
enum { VALUES_MAX = 16 };

struct cell {
    struct cell_link link; /* open once it was made, until it has ended */
    struct vm *vm;
    struct bind_wait *spawning; /* who waits for it to be made */
    uint32_t id;
    char key[12]; /* the id as text */
    int pid, pidfd;
    const struct cell_page *page;
    struct zygote_budget budget; /* as it began with */
    uint64_t seen_slices, seen_long_turns;
    int on_message, on_ended, self;
    bool ended;
};

static struct {
    uint32_t last_id;
    struct map by_id;
} cells;

static const struct {
    const char *name;
    uint8_t type;
} types[] = {
    {"load", MESSAGE_LOAD},       {"check", MESSAGE_CHECK}, {"unload", MESSAGE_UNLOAD},  {"run", MESSAGE_RUN},
    {"answer", MESSAGE_ANSWER},   {"drop", MESSAGE_DROP},   {"limit", MESSAGE_LIMIT},    {"ping", MESSAGE_PING},
    {"verbs", MESSAGE_VERBS},     {"hook", MESSAGE_HOOK},   {"hooked", MESSAGE_HOOKED},  {"loaded", MESSAGE_LOADED},
    {"checked", MESSAGE_CHECKED}, {"verb", MESSAGE_VERB},   {"next", MESSAGE_NEXT},      {"failed", MESSAGE_FAILED},
    {"pong", MESSAGE_PONG},       {"cover", MESSAGE_COVER}, {"covered", MESSAGE_COVERED}};

/* -- from a message to Lua ------------------------------------------------------------------------------------------- */

int bind_cell_push_message(lua_State *L, const char *data, size_t len, const char **why) {
    const char *at = data + 4, *end = data + len;
    const char *name = NULL;
    struct message m;
    struct err e = {0};
    int n = 0, top = lua_gettop(L);

    for (size_t i = 0; message_read(&m, data, len) && i < sizeof types / sizeof *types; i++)
        if (types[i].type == m.type && m.type >= MESSAGE_LOADED) name = types[i].name;
    if (name == NULL) {
        *why = "sent a message of no known type";
        return -1;
    }
    *why = "sent a malformed message";
    for (const char *p = at; p < end; n++) {
        p = value_check(p, end, &e);
        if (p == NULL || n >= VALUES_MAX) return -1;
    }
    luaL_checkstack(L, n + 8, "cell message");
    lua_pushstring(L, name);
    for (int i = 0; i < n; i++) {
        at = value_unpack(L, at, end, &e);
        if (at == NULL) {
            lua_settop(L, top);
            return -1;
        }
    }
    return n + 1;
}

/* Pushes what the page says ran last. The page is the cell's: texts are cut and cleaned. */
static void push_page(lua_State *L, const struct cell_page *page) {
    char text[128];

    lua_createtable(L, 0, 6);
    if (page == NULL) return;
    lua_pushboolean(L, page->running != 0);
    lua_setfield(L, -2, "running");
    lua_pushnumber(L, (lua_Number)page->line);
    lua_setfield(L, -2, "line");
    memcpy(text, (const void *)page->call, sizeof page->call);
    text[sizeof page->call - 1] = 0;
    for (char *p = text; *p; p++)
        if (*p < 32 || *p > 126) *p = '?';
    lua_pushstring(L, text);
    lua_setfield(L, -2, "call");
    memcpy(text, (const void *)page->file, sizeof page->file);
    text[sizeof page->file - 1] = 0;
    for (char *p = text; *p; p++)
        if (*p < 32 || *p > 126) *p = '?';
    lua_pushstring(L, text);
    lua_setfield(L, -2, "file");
    lua_pushnumber(L, (lua_Number)page->memory);
    lua_setfield(L, -2, "memory");
    lua_pushnumber(L, (lua_Number)page->slices);
    lua_setfield(L, -2, "slices");
}

/* -- from spawning to the end ---------------------------------------------------------------------------------------- */

static void unref(struct cell *c) {
    bind_unref(c->vm, c->on_message);
    bind_unref(c->vm, c->on_ended);
    bind_unref(c->vm, c->self);
    c->on_message = c->on_ended = c->self = LUA_NOREF;
}

/* STOP, KILL and so on. A zygote that is gone took its cells along. */
static void tell_zygote(enum zygote_type type, const struct cell *c) {
    const struct zygote_message m = {.type = type, .id = c->id};

    zygote_client_say(&m, NULL);
}

static void cell_end(struct cell *c, const char *why) {
    lua_State *L = vm_lua(c->vm);

    if (c->ended) return;
    c->ended = true;
    tell_zygote(ZYGOTE_KILL, c);
    if (bind_push_ref(c->vm, c->on_ended)) {
        lua_pushstring(L, why);
        push_page(L, c->page);
        vm_spawn(c->vm, 2, NULL, NULL);
    }
    cell_link_close(&c->link);
    close(c->pidfd);
    c->pidfd = -1;
    unref(c);
}

static struct cell *cell_of(struct cell_link *l) {
    return (struct cell *)(void *)((char *)l - offsetof(struct cell, link));
}

static void on_said(struct cell_link *l, const char *data, size_t len) {
    struct cell *c = cell_of(l);
    lua_State *L = vm_lua(c->vm);
    const char *why;
    int top = lua_gettop(L);

    if (!bind_push_ref(c->vm, c->on_message)) return;
    int n = bind_cell_push_message(L, data, len, &why);
    if (n < 0) {
        lua_settop(L, top);
        cell_end(c, why);
        return;
    }
    vm_spawn(c->vm, n, NULL, NULL);
}

static void on_over(struct cell_link *l, const char *why) {
    cell_end(cell_of(l), why);
}

static const struct cell_link_events link_events = {on_said, on_over};

static struct cell *find_cell(uint32_t id) {
    char key[12];

    snprintf(key, sizeof key, "%u", id);
    return map_get(&cells.by_id, key);
}

static void cell_not_made(struct cell *c, int code, const char *text) {
    struct bind_wait *w = c->spawning;
    struct err e = {0};

    err_set(&e, code, "no cell: %s", text);
    c->spawning = NULL;
    c->ended = true;
    unref(c);
    bind_wait_fail(w, &e);
}

/* Takes the descriptors. */
static void cell_made(struct cell *c, const struct zygote_message *m, int fds[3]) {
    struct bind_wait *w = c->spawning;
    void *page;

    c->spawning = NULL;
    c->pid = m->pid;
    c->budget = m->budget;
    c->pidfd = fds[1];
    page = mmap(NULL, sizeof(struct cell_page), PROT_READ, MAP_SHARED, fds[2], 0);
    c->page = page == MAP_FAILED ? NULL : page;
    close(fds[2]);
    cell_link_open(&c->link, vm_services(vm_lua(c->vm))->loop, fds[0], &link_events);
    fds[0] = fds[1] = fds[2] = -1;
    lua_rawgeti(bind_wait_state(w), LUA_REGISTRYINDEX, c->self);
    bind_wait_done(w, 1);
}

static void on_zygote_said(const struct zygote_message *m, int fds[3]) {
    struct cell *c = find_cell(m->id);

    if (c == NULL || c->spawning == NULL) return; /* of its end its own socket tells too, behind what it had said */
    if (m->type == ZYGOTE_SPAWNED && m->value == 0 && fds[0] >= 0) {
        cell_made(c, m, fds);
    } else if (m->type == ZYGOTE_SPAWNED && m->value == 0) { /* they are cut off where this process may have no more */
        tell_zygote(ZYGOTE_KILL, c);
        cell_not_made(c, ERR_IO, strerror(EMFILE));
    } else if (m->type == ZYGOTE_ENDED) { /* and what told of its beginning was lost */
        cell_not_made(c, ERR_IO, strerror(ECHILD));
    } else {
        cell_not_made(c, ERR_IO, strerror(m->value));
    }
}

static void add_spawning(void *ids, void *cell) {
    struct cell *c = cell;

    if (c->spawning != NULL) buf_add(ids, &c->id, sizeof c->id);
}

/* Whoever waits for a cell hears of it. What they do then may make, end and free others. */
static void on_zygote_gone(void) {
    struct buf ids = {0};
    uint32_t id;

    map_each(&cells.by_id, add_spawning, &ids);
    for (size_t at = 0; at < ids.len; at += sizeof id) {
        memcpy(&id, ids.data + at, sizeof id);
        struct cell *c = find_cell(id);
        if (c != NULL && c->spawning != NULL) cell_not_made(c, ERR_CLOSED, "the zygote is gone");
    }
    buf_free(&ids);
}

static const struct zygote_events zygote_events = {on_zygote_said, on_zygote_gone};

/* -- for Lua ------------------------------------------------------------------------------------------------------------- */

static struct cell *check_cell(lua_State *L) {
    struct cell **slot = luaL_checkudata(L, 1, CELL_TYPE);

    return *slot;
}

static const struct {
    const char *name;
    size_t at;
} budget_fields[] = {{"tenant", offsetof(struct zygote_budget, tenant)},
                     {"weight", offsetof(struct zygote_budget, weight)},
                     {"soft_mb", offsetof(struct zygote_budget, soft_mb)},
                     {"hard_mb", offsetof(struct zygote_budget, hard_mb)},
                     {"slice_ms", offsetof(struct zygote_budget, slice_ms)},
                     {"invocation_ms", offsetof(struct zygote_budget, invocation_ms)},
                     {"call_ms", offsetof(struct zygote_budget, call_ms)},
                     {"share_percent", offsetof(struct zygote_budget, share_percent)},
                     {"lets_back", offsetof(struct zygote_budget, lets_back)}};

/* The table at index, or nil: numbers by name. What is not given stays 0: the zygote's own. */
static struct zygote_budget check_budget(lua_State *L, int index) {
    struct zygote_budget b = {0};

    if (lua_isnil(L, index)) return b;
    luaL_checktype(L, index, LUA_TTABLE);
    for (size_t i = 0; i < sizeof budget_fields / sizeof *budget_fields; i++) {
        lua_getfield(L, index, budget_fields[i].name);
        lua_Number n = lua_isnil(L, -1) ? 0 : lua_isnumber(L, -1) ? lua_tonumber(L, -1) : -1;
        if (!(n >= 0 && n <= UINT32_MAX))
            luaL_error(L, "budget.%s must be a number from 0 to 2^32 - 1", budget_fields[i].name);
        *(uint32_t *)((char *)&b + budget_fields[i].at) = (uint32_t)n;
        lua_pop(L, 1);
    }
    return b;
}

static int bind_cell_spawn(lua_State *L) {
    struct vm *vm = vm_of(L);
    struct zygote_message ask = {.type = ZYGOTE_SPAWN};
    struct cell *c, **place;
    struct bind_wait *w;
    struct err e = {0};

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "on_message"); /* 2 */
    luaL_checktype(L, 2, LUA_TFUNCTION);
    lua_getfield(L, 1, "on_ended"); /* 3 */
    luaL_checktype(L, 3, LUA_TFUNCTION);
    lua_getfield(L, 1, "budget"); /* 4 */
    ask.budget = check_budget(L, 4);
    lua_getfield(L, 1, "unpaced"); /* 5 */
    bool unpaced = lua_toboolean(L, 5);
    if (!zygote_client_open(vm_services(L), &zygote_events))
        return bind_fail_text(L, ERR_CLOSED, "this program has no zygote, so no cells");
    place = lua_newuserdata(L, sizeof *place); /* 6 */
    *place = NULL;
    luaL_getmetatable(L, CELL_TYPE);
    lua_setmetatable(L, 6);
    w = bind_wait_begin(L);
    c = mem_alloc(sizeof *c);
    *place = c;
    c->vm = vm;
    c->spawning = w;
    c->id = ++cells.last_id;
    c->link.fd = c->pidfd = -1;
    c->on_message = bind_ref(L, 2);
    c->on_ended = bind_ref(L, 3);
    c->self = bind_ref(L, 6);
    c->link.unpaced = unpaced;
    snprintf(c->key, sizeof c->key, "%u", c->id);
    map_put(&cells.by_id, c->key, c);
    ask.id = c->id;
    if (zygote_client_say(&ask, &e) < 0) cell_not_made(c, e.code, e.text);
    return bind_wait_yield(w);
}

/* cell:send(type, value, ...) */
static int cell_lua_send(lua_State *L) {
    struct cell *c = check_cell(L);
    const char *name = luaL_checkstring(L, 2);
    static struct buf b; /* one thread, and nothing here comes back to Lua */
    struct err e = {0};
    uint8_t head[4] = {0};
    int top = lua_gettop(L), rc = 0;

    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, name) == 0 && types[i].type < MESSAGE_LOADED && types[i].type != MESSAGE_LOAD)
            head[0] = types[i].type;
    luaL_argcheck(L, head[0] != 0, 2, "a message type for a cell");
    if (c == NULL || c->ended) return bind_fail_text(L, ERR_CLOSED, "the cell has ended");
    buf_clear(&b);
    buf_add(&b, head, sizeof head);
    for (int i = 3; i <= top && rc == 0; i++) rc = value_pack(L, i, &b, MESSAGE_MAX - b.len, &e);
    if (rc == 0) rc = cell_link_send(&c->link, &b, -1, &e);
    if (rc < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

/* cell:load(version, bundle bytes): by a sealed memfd */
static int cell_lua_load(lua_State *L) {
    struct cell *c = check_cell(L);
    size_t len;
    const char *bytes;
    struct buf b = {0};
    struct err e = {0};
    const uint8_t head[4] = {MESSAGE_LOAD};
    int fd, rc;

    luaL_checkstring(L, 2);
    bytes = luaL_checklstring(L, 3, &len);
    if (c == NULL || c->ended) return bind_fail_text(L, ERR_CLOSED, "the cell has ended");
    fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0 || write(fd, bytes, len) != (ssize_t)len ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) < 0) {
        err_set(&e, ERR_IO, "no memory file for the bundle: %s", strerror(errno));
        if (fd >= 0) close(fd);
        return bind_fail(L, &e);
    }
    buf_add(&b, head, sizeof head);
    rc = value_pack(L, 2, &b, MESSAGE_MAX, &e);
    if (rc == 0)
        rc = cell_link_send(&c->link, &b, fd, &e); /* takes fd */
    else
        close(fd);
    buf_free(&b);
    if (rc < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static int cell_lua_kill(lua_State *L) {
    struct cell *c = check_cell(L);

    if (c != NULL && !c->ended && c->link.fd >= 0) cell_end(c, luaL_optstring(L, 2, "was ended"));
    return 0;
}

static int cell_lua_dry_ms(lua_State *L) {
    struct cell *c = check_cell(L);

    lua_pushnumber(L, c == NULL ? 0 : (lua_Number)cell_link_dry_ms(&c->link));
    return 1;
}

static int cell_lua_page(lua_State *L) {
    struct cell *c = check_cell(L);

    push_page(L, c == NULL ? NULL : c->page);
    return 1;
}

/* CPU seconds the cell has used, from outside, and its pid. */
static int cell_lua_usage(lua_State *L) {
    struct cell *c = check_cell(L);
    clockid_t clock;
    struct timespec t;

    if (c == NULL || c->ended || clock_getcpuclockid(c->pid, &clock) != 0 || clock_gettime(clock, &t) != 0)
        return bind_fail_text(L, ERR_CLOSED, "the cell has ended");
    lua_pushnumber(L, (lua_Number)t.tv_sec + (lua_Number)t.tv_nsec / 1e9);
    lua_pushinteger(L, c->pid);
    return 2;
}

/* What it began with: the zygote may have cut it, and fills in what was not given. */
static int cell_lua_budget(lua_State *L) {
    const struct cell *c = check_cell(L);

    lua_createtable(L, 0, 8);
    for (size_t i = 0; c != NULL && i < sizeof budget_fields / sizeof *budget_fields; i++) {
        uint32_t n;
        memcpy(&n, (const char *)&c->budget + budget_fields[i].at, sizeof n);
        lua_pushnumber(L, n);
        lua_setfield(L, -2, budget_fields[i].name);
    }
    return 1;
}

/* Since it was last asked: whether a slice of it has run or begun, and whether a turn took a whole slice; and whether one runs now. Told
 * by the cell itself: a hint, no proof. */
static int cell_lua_ran(lua_State *L) {
    struct cell *c = check_cell(L);
    bool ran = false, was_long = false, running = false;

    if (c != NULL && c->page != NULL) {
        uint64_t slices = c->page->slices, long_turns = c->page->long_turns;
        running = c->page->running != 0;
        ran = slices != c->seen_slices || running;
        was_long = long_turns != c->seen_long_turns;
        c->seen_slices = slices;
        c->seen_long_turns = long_turns;
    }
    lua_pushboolean(L, ran);
    lua_pushboolean(L, was_long);
    lua_pushboolean(L, running);
    return 3;
}

/* Bytes of it that are in memory, from outside. */
static int cell_lua_resident(lua_State *L) {
#ifdef PARLEY_SANITIZED
    return bind_fail_text(L, ERR_INVALID, "the sanitizer's own memory would be counted");
#else
    struct cell *c = check_cell(L);
    char path[32], text[128];
    unsigned long pages;

    if (c == NULL || c->ended) return bind_fail_text(L, ERR_CLOSED, "the cell has ended");
    snprintf(path, sizeof path, "/proc/%d/statm", c->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    if (sscanf(text, "%*u %lu", &pages) != 1) return bind_fail_text(L, ERR_IO, "its size cannot be read in /proc");
    lua_pushnumber(L, (lua_Number)pages * (lua_Number)sysconf(_SC_PAGESIZE));
    return 1;
#endif
}

/* What its process does, by the kernel: "S" it sleeps until something comes, "R" it runs or waits for a processor, and others. */
static int cell_lua_state(lua_State *L) {
    struct cell *c = check_cell(L);
    char path[32], text[64]; /* pid (at most 15 bytes) S ... */

    if (c == NULL || c->ended) return bind_fail_text(L, ERR_CLOSED, "the cell has ended");
    snprintf(path, sizeof path, "/proc/%d/stat", c->pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *behind = strrchr(text, ')');
    if (behind == NULL || behind[1] != ' ' || behind[2] == 0)
        return bind_fail_text(L, ERR_IO, "its state cannot be read in /proc");
    lua_pushlstring(L, behind + 2, 1);
    return 1;
}

/* cell:hold(how): "idle" it runs when nobody else wants to, "stop" not at all, "go" on after a stop, "normal" again. */
static int cell_lua_hold(lua_State *L) {
    static const char *const names[] = {"idle", "stop", "go", "normal", NULL};
    static const enum zygote_type asks[] = {ZYGOTE_IDLE, ZYGOTE_STOP, ZYGOTE_CONT, ZYGOTE_NORMAL};
    struct cell *c = check_cell(L);
    int which = luaL_checkoption(L, 2, NULL, names);

    if (c != NULL && !c->ended && c->link.fd >= 0) tell_zygote(asks[which], c);
    return 0;
}

static int cell_gc(lua_State *L) { /* only ended cells: others are referenced from the registry */
    struct cell **slot = lua_touserdata(L, 1);
    struct cell *c = *slot;

    if (c == NULL) return 0;
    *slot = NULL;
    map_drop(&cells.by_id, c->key, c);
    if (c->page != NULL) munmap((void *)(uintptr_t)c->page, sizeof *c->page);
    free(c);
    return 0;
}

static const struct bind_fn functions[] = {
    {"spawn", bind_cell_spawn, BIND_YIELDS,
     "cell.spawn{ on_message=, on_ended= [, budget=] [, unpaced=] } -> cell | nil, err",
     "A new process for a tenant's Lua. on_message(type, ...), on_ended(why, page). budget: { tenant=, weight=, "
     "soft_mb=, "
     "hard_mb=, slice_ms=, invocation_ms=, call_ms=, share_percent= }, each as configured unless given. unpaced: it is "
     "read as fast as it sends, where nobody else needs the loop. "
     "cell:send(type, "
     "...), :load(version, bytes), :kill(why), :page(), :usage() -> CPU seconds, pid, :resident() -> bytes, :state() "
     "-> "
     "as in /proc: 'S' it sleeps, 'R' it runs or would, :ran() -> whether its page moved since last asked, whether a "
     "turn was long, whether one runs, :budget() -> as it began, "
     ":hold('idle' | 'stop' | 'go' | 'normal'), "
     ":dry_ms() -> for how long it has sent as fast as it is read."},
    {NULL, NULL, 0, NULL, NULL},
};

/* cell.limits: what a message between script and platform can hold, for the reference. */
static void push_limits(lua_State *L) {
    static const struct {
        const char *name;
        int value;
    } limits[] = {{"message_bytes", MESSAGE_MAX}, {"depth", VALUE_DEPTH}, {"number_keys", VALUE_SPARSE}};

    lua_createtable(L, 0, sizeof limits / sizeof *limits);
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        lua_pushinteger(L, limits[i].value);
        lua_setfield(L, -2, limits[i].name);
    }
}

int bind_open_cell(lua_State *L) {
    static const luaL_Reg methods[] = {
        {"send", cell_lua_send},         {"load", cell_lua_load},     {"kill", cell_lua_kill},
        {"page", cell_lua_page},         {"usage", cell_lua_usage},   {"ran", cell_lua_ran},
        {"resident", cell_lua_resident}, {"state", cell_lua_state},   {"hold", cell_lua_hold},
        {"budget", cell_lua_budget},     {"dry_ms", cell_lua_dry_ms}, {NULL, NULL}};

    luaL_newmetatable(L, CELL_TYPE);
    lua_newtable(L);
    for (const luaL_Reg *m = methods; m->name != NULL; m++) {
        lua_pushcfunction(L, m->func);
        lua_setfield(L, -2, m->name);
    }
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, cell_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    bind_module(L, functions);
    push_limits(L);
    lua_setfield(L, -2, "limits");
    return 1;
}
