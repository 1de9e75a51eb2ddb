/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/check.h"
#include "script/message.h"
#include "script/value.h"
#include <lauxlib.h>
#include <stdio.h>
#include <string.h>

enum {
    PROBLEMS_MAX = 100,
    PROBLEMS_BYTES = 22 * 1024,
    FLOWS_BYTES = 16 * 1024,
    BUNDLE_BYTES = 20 * 1024,
    FILES_BYTES = 3 * 1024
};

static void problem(struct task *t, const char *file, int line, const char *text) {
    if (t->problem_count >= PROBLEMS_MAX || t->problems.len > PROBLEMS_BYTES) return;
    message_int(&t->problems, ++t->problem_count);
    message_open(&t->problems);
    message_str(&t->problems, "file", 4);
    message_str(&t->problems, file, strlen(file));
    message_str(&t->problems, "line", 4);
    message_int(&t->problems, line);
    message_str(&t->problems, "text", 4);
    message_str(&t->problems, text, strlen(text));
    message_shut(&t->problems);
}

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

static int parse(lua_State *L) { /* (path, source) */
    size_t len;
    const char *source = lua_tolstring(L, 2, &len);

    if (!sandbox_compile(L, lua_tostring(L, 1), source, len)) lua_error(L);
    return 0;
}

/* Parses the file; false with the problem noted when it is no Lua. */
static bool parses(struct task *t) {
    struct run *r = run_new(program_sandbox(t->program));
    char text[1024];
    struct place where;

    lua_pushcfunction(r->L, parse);
    lua_pushstring(r->L, t->path);
    lua_pushlstring(r->L, t->file.data, t->file.len);
    enum run_end end = run_slice(r, 2, t->slice_ms);
    if (end != RUN_DONE) {
        program_error(r, text, &where);
        problem(t, t->path, where.line ? where.line : 1, end == RUN_ERROR ? text : "takes too much to parse");
    }
    run_free(r);
    return end == RUN_DONE;
}

/* Is the file one of those that the worker named? */
static bool is_wanted(const struct task *t) {
    struct message m = {.at = t->wanted.data, .end = t->wanted.data + t->wanted.len};
    size_t len;

    if (t->wanted.len == 0) return false;
    for (m.at++; *m.at != '}';) {
        message_get_int(&m);
        const char *path = message_get_str(&m, &len);
        if (path && len == strlen(t->path) && memcmp(path, t->path, len) == 0) return true;
    }
    return false;
}

bool check_wants(struct task *t, const char *list, size_t len) {
    struct message m = {.at = list, .end = list + len};
    size_t path_len;

    if (*list != '{') return false;
    for (m.at++; !m.bad && *m.at != '}';) {
        message_get_int(&m);
        message_get_str(&m, &path_len);
    }
    if (!m.bad) buf_add(&t->wanted, list, len);
    return !m.bad;
}

bool check_next(struct task *t) {
    while (bundle_next(t->version->bytes, t->version->len, &t->at, &t->file, NULL) > 0) {
        memcpy(t->path, t->file.path, t->file.path_len);
        t->path[t->file.path_len] = '\0';
        size_t len = t->file.path_len;
        if (len <= 4 || strcmp(t->path + len - 4, ".lua") != 0 || !parses(t)) continue;
        if (starts(t->path, "flows/"))
            t->run = program_check_flow(t->program, t->path, &t->nargs);
        else if (strcmp(t->path, "bundle.lua") == 0)
            t->run = program_check_bundle(t->program, t->path, &t->nargs);
        else if (is_wanted(t))
            t->run = program_check_file(t->program, t->path, &t->nargs);
        else
            continue;
        t->invocation_us = 0;
        return true;
    }
    return false;
}

/* Problems that flow.lua found: a list of { file, line, text } on the top. */
static void take_problems(struct task *t, lua_State *L) {
    for (int i = 1; lua_istable(L, -1) && i <= PROBLEMS_MAX; i++) {
        lua_rawgeti(L, -1, i);
        if (!lua_istable(L, -1)) {
            lua_pop(L, 1);
            return;
        }
        lua_getfield(L, -1, "file");
        lua_getfield(L, -2, "line");
        lua_getfield(L, -3, "text");
        problem(t, lua_tostring(L, -3), (int)lua_tointeger(L, -2), lua_tostring(L, -1));
        lua_pop(L, 4);
    }
}

/* It travels within the report's table, which takes one level of what may be nested. */
static bool fits_the_report(const struct buf *value) {
    struct buf b = {0};

    message_open(&b);
    message_int(&b, 1);
    buf_add(&b, value->data, value->len);
    message_shut(&b);
    bool fits = value_check(b.data, b.data + b.len, NULL) != NULL;
    buf_free(&b);
    return fits;
}

void check_take(struct task *t, enum run_end end) {
    struct run *r = t->run;
    lua_State *L = r->L;
    struct err e = {0};
    char text[1024];
    struct place where;

    switch (end) {
    case RUN_DONE:
        if (starts(t->path, "flows/")) {
            take_problems(t, L);
            lua_pop(L, 1);
            size_t before = t->flows.len;
            message_str(&t->flows, t->path, strlen(t->path));
            if (value_pack(L, -1, &t->flows, FLOWS_BYTES, &e) < 0 || t->flows.len > FLOWS_BYTES) {
                t->flows.len = before;
                problem(t, t->path, 1, "the bundle's flows have too many states");
            }
        } else if (is_wanted(t)) {
            size_t before = t->files.len;
            message_str(&t->files, t->path, strlen(t->path));
            if (value_pack(L, -1, &t->files, FILES_BYTES, &e) < 0 || t->files.len > FILES_BYTES) {
                t->files.len = before;
                problem(t, t->path, 1, "the file returns functions with too long names");
            }
        } else {
            buf_clear(&t->bundle);
            if (value_pack(L, -1, &t->bundle, BUNDLE_BYTES, &e) < 0) {
                snprintf(text, sizeof text, "the file must return plain data: %s", e.text);
                problem(t, t->path, 1, text);
            } else if (!fits_the_report(&t->bundle)) {
                buf_clear(&t->bundle);
                snprintf(text, sizeof text, "the file must return plain data: a table is nested deeper than %d",
                         VALUE_DEPTH - 1);
                problem(t, t->path, 1, text);
            }
        }
        break;
    case RUN_ERROR:
        program_error(r, text, &where);
        problem(t, where.file[0] ? where.file : t->path, where.line ? where.line : 1, text);
        break;
    case RUN_WAITS:
        problem(t, t->path, 1, "a file cannot ask for anything while it loads");
        break;
    case RUN_SLICED:
    case RUN_MEMORY:
        where = r->stood;
        problem(t, where.file[0] ? where.file : t->path, where.line ? where.line : 1,
                end == RUN_MEMORY ? "loading the file needs too much memory" : "loading the file takes too long");
        break;
    }
    run_free(r);
    t->run = NULL;
    if (end == RUN_MEMORY) sandbox_collect(program_sandbox(t->program));
}

void check_report(struct task *t, struct buf *out) {
    message_begin(out, MESSAGE_CHECKED);
    message_str(out, t->version->name, strlen(t->version->name));
    message_bool(out, t->problem_count == 0);
    message_open(out);
    message_str(out, "flows", 5);
    message_open(out);
    buf_add(out, t->flows.data, t->flows.len);
    message_shut(out);
    if (t->bundle.len) {
        message_str(out, "bundle", 6);
        buf_add(out, t->bundle.data, t->bundle.len);
    }
    if (t->wanted.len) {
        message_str(out, "files", 5);
        message_open(out);
        buf_add(out, t->files.data, t->files.len);
        message_shut(out);
    }
    message_str(out, "problems", 8);
    message_open(out);
    buf_add(out, t->problems.data, t->problems.len);
    message_shut(out);
    message_shut(out);
}

void check_free(struct task *t) {
    buf_free(&t->flows);
    buf_free(&t->problems);
    buf_free(&t->bundle);
    buf_free(&t->wanted);
    buf_free(&t->files);
}
