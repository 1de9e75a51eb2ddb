/* SPDX-License-Identifier: Apache-2.0 */
/* What each wall around a tenant's code costs: handler_bench PARLEY-CELL FOLDER RUNS ROUNDS. The handler of FOLDER is run by plain LuaJIT
 * and with one thing more after the other, up to a cell that is asked over its socket. All give the same answers, or it ends.
 * Each way takes its turn in each round; a figure is the median of its rounds. Prints a row a way: name | runs/s | CPU us | p50 us | p99 us. */
#include "cell/program.h"
#include "cell_host.h"
#include "script/value.h"
#include <lauxlib.h>
#include <luajit.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEADS = 64, HOOK_EVERY = 1000, SLICE_MS = 2, ROUNDS_MAX = 15, RESULT_MAX = 60000 };
static const char WRAPPER[] =
    "local handle = require 'handler'\n"
    "return function(input) return handle(input.lead, function() return input.known end) end\n";

static struct buf handler, bundle, inputs[LEADS];
static char lines[LEADS][512]; /* what the first way made of each */

struct way {
    const char *name;
    void (*run)(struct way *w, int lead, char line[512]);
    lua_State *L; /* of the ways without a cell; its function and inputs are at the top of the stack */
    struct program *program;
    struct cell cell;
    double rate[ROUNDS_MAX], cpu[ROUNDS_MAX], p50[ROUNDS_MAX], p99[ROUNDS_MAX];
};

static void die_of(lua_State *L) {
    fprintf(stderr, "handler_bench: %s\n", lua_tostring(L, -1));
    exit(1);
}

static void read_file(const char *folder, const char *name, struct buf *b) {
    char path[1024], part[4096];
    size_t n;

    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    if (!f) host_die(path);
    while ((n = fread(part, 1, sizeof part, f)) > 0) buf_add(b, part, n);
    fclose(f);
}

static void make_inputs(const char *folder) {
    lua_State *L = luaL_newstate();
    char path[1024];
    struct err e;

    snprintf(path, sizeof path, "%s/leads.lua", folder);
    luaL_openlibs(L);
    if (luaL_dofile(L, path)) die_of(L);
    for (int i = 0; i < LEADS; i++) {
        lua_newtable(L);
        lua_rawgeti(L, 1, i + 1);
        lua_setfield(L, -2, "lead");
        lua_pushliteral(L, "3");
        lua_setfield(L, -2, "known");
        if (value_pack(L, -1, &inputs[i], RESULT_MAX, &e) < 0) host_die(e.text);
        lua_pop(L, 1);
    }
    lua_close(L);
}

static void make_bundle(void) {
    bundle_begin(&bundle);
    if (bundle_add(&bundle, "handler.lua", 11, handler.data, handler.len, NULL) < 0 ||
        bundle_add(&bundle, "scoring.lua", 11, WRAPPER, sizeof WRAPPER - 1, NULL) < 0)
        host_die("the bundle");
}

/* The field `line` of the result on the top. */
static void take_line(lua_State *L, char line[512]) {
    if (!lua_istable(L, -1)) host_die("no result");
    lua_getfield(L, -1, "line");
    snprintf(line, 512, "%s", lua_tostring(L, -1));
    lua_pop(L, 2);
}

/* -- in a VM that is called directly ---------------------------------------------------------------------------------- */

static int give_handler(lua_State *L) { /* require */
    lua_pushvalue(L, lua_upvalueindex(1));
    return 1;
}

static bool compile(lua_State *L, bool ours, const char *path, const char *text, size_t len) {
    return ours ? sandbox_compile(L, path, text, len) : luaL_loadbuffer(L, text, len, path) == 0;
}

static void fill(lua_State *L, bool ours) {
    if (!compile(L, ours, "handler.lua", handler.data, handler.len) || lua_pcall(L, 0, 1, 0)) die_of(L);
    lua_pushcclosure(L, give_handler, 1);
    lua_setglobal(L, "require");
    if (!compile(L, ours, "scoring.lua", WRAPPER, sizeof WRAPPER - 1) || lua_pcall(L, 0, 1, 0)) die_of(L);
    luaL_checkstack(L, LEADS + 8, NULL);
    for (int i = 0; i < LEADS; i++) value_unpack(L, inputs[i].data, inputs[i].data + inputs[i].len, NULL);
}

static void run_direct(struct way *w, int lead, char line[512]) {
    lua_State *L = w->L;

    lua_pushvalue(L, 1);
    lua_pushvalue(L, lead + 2);
    if (lua_pcall(L, 1, 1, 0)) die_of(L);
    if (line)
        take_line(L, line);
    else
        lua_pop(L, 1);
}

static void on_count(lua_State *L, lua_Debug *ar) { /* what a budget by counting would do at the least */
    (void)L;
    (void)ar;
}

static lua_State *plain(bool compiled, bool counted) {
    lua_State *L = luaL_newstate();

    luaL_openlibs(L);
    if (!compiled) luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    fill(L, false);
    if (counted) lua_sethook(L, on_count, LUA_MASKCOUNT, HOOK_EVERY);
    return L;
}

/* -- as a cell does it ----------------------------------------------------------------------------------------------- */

static void run_in_slices(struct way *w, int lead, char line[512]) {
    static struct buf out;
    int nargs;
    struct err e;
    struct run *r = program_hook(w->program, "scoring.lua", "", inputs[lead].data, inputs[lead].len, &nargs);
    enum run_end end;

    while ((end = run_slice(r, nargs, SLICE_MS)) == RUN_SLICED) nargs = 0;
    if (end != RUN_DONE) die_of(r->L);
    buf_clear(&out);
    if (value_pack(r->L, 1, &out, RESULT_MAX, &e) < 0) host_die(e.text);
    if (line) take_line(r->L, line);
    run_free(r);
}

static void run_in_cell(struct way *w, int lead, char line[512]) {
    static struct buf b;
    static int64_t id;

    message_begin(&b, MESSAGE_HOOK);
    message_int(&b, ++id);
    host_str(&b, "v1");
    host_str(&b, "scoring.lua");
    host_str(&b, "");
    buf_add(&b, inputs[lead].data, inputs[lead].len);
    host_say(&w->cell, &b);
    struct message m = host_hear(&w->cell);
    if (m.type != MESSAGE_HOOKED || message_get_int(&m) != id || !message_get_bool(&m)) host_die("the hook failed");
    if (!line) return;
    lua_State *L = luaL_newstate();
    if (!value_unpack(L, m.at, m.end, NULL)) host_die("the hook's result");
    take_line(L, line);
    lua_close(L);
}

/* -- measuring ------------------------------------------------------------------------------------------------------- */

static void same_answers(struct way *w, bool first) {
    char line[512];

    for (int i = 0; i < LEADS; i++) {
        w->run(w, i, first ? lines[i] : line);
        if (first || strcmp(lines[i], line) == 0) continue;
        fprintf(stderr, "handler_bench: %s gives '%s', not '%s'\n", w->name, line, lines[i]);
        exit(1);
    }
}

static double cpu_of(const struct way *w) {
    return host_cpu_us(0) + (w->cell.pid ? host_cpu_us(w->cell.pid) : 0);
}

static void measure(struct way *w, int runs, int round) {
    static double *us;

    if (!us) us = calloc((size_t)runs, sizeof *us);
    double from = host_now_us(), cpu = cpu_of(w), last = from;
    for (int i = 0; i < runs; i++) {
        w->run(w, i % LEADS, NULL);
        double now = host_now_us();
        us[i] = now - last;
        last = now;
    }
    cpu = cpu_of(w) - cpu;
    if (round < 0) return; /* to get warm */
    w->cpu[round] = cpu / runs;
    w->rate[round] = runs / (last - from) * 1e6;
    w->p50[round] = host_at(us, runs, .5);
    w->p99[round] = host_at(us, runs, .99);
}

static void at_hard(void) {
    host_die("the memory");
}

int main(int argc, char **argv) {
    int runs = argc == 5 ? atoi(argv[3]) : 0, rounds = argc == 5 ? atoi(argv[4]) : 0;
    struct zygote_budget budget = {.share_percent = 100, .call_ms = 1 << 30};
    struct err e;

    if (runs < LEADS || rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "handler_bench PARLEY-CELL FOLDER RUNS ROUNDS\n");
        return 2;
    }
    read_file(argv[2], "handler.lua", &handler);
    make_inputs(argv[2]);
    make_bundle();
    if (sandbox_setup(32 << 20, 64 << 20, at_hard, &e) < 0) host_die(e.text);
    struct sandbox *s = sandbox_new();
    fill(sandbox_lua(s), true);
    struct way ways[] = {
        {.name = "compiled", .run = run_direct, .L = plain(true, false)},
        {.name = "interpreted", .run = run_direct, .L = plain(false, false)},
        {.name = "counted", .run = run_direct, .L = plain(false, true)},
        {.name = "library", .run = run_direct, .L = sandbox_lua(s)},
        {.name = "slices", .run = run_in_slices, .program = program_open(bundle.data, bundle.len, NULL, 0)},
        {.name = "cell", .run = run_in_cell},
    };
    int count = sizeof ways / sizeof *ways;
    struct way *in_cell = &ways[count - 1];
    host_start(argv[1]);
    if (host_spawn(1, &budget, &in_cell->cell)) host_die("no cell");
    host_load(&in_cell->cell, host_seal(&bundle));
    for (int i = 0; i < count; i++) same_answers(&ways[i], i == 0);
    for (int round = -1; round < rounds; round++)
        for (int i = 0; i < count; i++) measure(&ways[i], runs, round);
    for (int i = 0; i < count; i++) {
        struct way *w = &ways[i];
        printf("%s|%.0f|%.2f|%.2f|%.2f\n", w->name, host_at(w->rate, rounds, .5), host_at(w->cpu, rounds, .5),
               host_at(w->p50, rounds, .5), host_at(w->p99, rounds, .5));
    }
    return 0;
}
