/* SPDX-License-Identifier: Apache-2.0 */
/* The files of tests/core/escapes: attempts to get out of a cell, or to harm what runs there afterwards. The first lines of each, as
 * comments:
 *   -- tries: what            -- known from: where
 *   -- expect: ok VALUE       it ends well; VALUE, where given, is what it returned
 *   -- expect: error TEXT     it raises, and TEXT stands in the error
 *   -- expect: refused TEXT   the bundle or the parser takes it not
 *   -- expect: cpu            it runs until its time is over
 *   -- expect: memory         it is stopped for its memory
 *   -- expect: hard           the hard limit ends the process
 *   -- states: a b            it is a flow, of which these are visited in turn; the value is call.data. Verbs: say and ask give
 *                             their first argument, fail gives nil and an error, refuse raises
 *   -- bare: killed           with all of LuaJIT at hand it asks for a system call that kills; "lean": but not in a program with
 *                             sanitizers, whose filter is wider. Without walls it returns "escaped", or ends well as another program
 * A crash, a hang or another end fails, and so does harm to what runs afterwards. */
#pragma once
#include "base/mem.h"
#include "cell/program.h"
#include "cells.h"
#include <dirent.h>

enum { SLICE_MS = 2, SPIN_MS = 60, CPU_MS = 20000, HANG_MS = 60000 };
static const char FOLDER[] = "tests/core/escapes", VERBS[] = "say ask fail refuse now";

struct attempt {
    char name[256], expect[16], text[256], states[64], bare[16];
    char *source;
    size_t len;
};

static inline char *read_file(const char *path, size_t *len) {
    FILE *f = fopen(path, "rb");
    struct buf b = {0};
    char part[4096];
    size_t n;

    if (!f) fail_msg("%s is missing", path);
    while ((n = fread(part, 1, sizeof part, f)) > 0) buf_add(&b, part, n);
    fclose(f);
    *len = b.len;
    return buf_take(&b);
}

/* What stands behind "-- word: " in one of the first lines. */
static inline void header(const struct attempt *a, const char *word, char *out, size_t cap) {
    char start[32];
    size_t n = (size_t)snprintf(start, sizeof start, "-- %s: ", word), head = a->len < 1000 ? a->len : 1000;
    const char *at = memmem(a->source, head, start, n);

    *out = '\0';
    if (!at) return;
    at += n;
    while (at < a->source + a->len && *at != '\n' && cap > 1) {
        *out++ = *at++;
        cap--;
    }
    *out = '\0';
}

static struct attempt *attempts;
static int attempt_count;

static inline int read_attempts(void **state) {
    struct dirent **names;
    int n = scandir(FOLDER, &names, NULL, alphasort);

    (void)state;
    CHECK(n > 0);
    attempts = mem_alloc((size_t)n * sizeof *attempts);
    for (int i = 0; i < n; i++) {
        size_t len = strlen(names[i]->d_name);
        if (len > 4 && strcmp(names[i]->d_name + len - 4, ".lua") == 0) {
            struct attempt *a = &attempts[attempt_count++];
            char path[512], expect[300], tries[300], known[300];
            snprintf(a->name, sizeof a->name, "%s", names[i]->d_name);
            snprintf(path, sizeof path, "%s/%s", FOLDER, a->name);
            a->source = read_file(path, &a->len);
            header(a, "expect", expect, sizeof expect);
            header(a, "states", a->states, sizeof a->states);
            header(a, "bare", a->bare, sizeof a->bare);
            header(a, "tries", tries, sizeof tries);
            header(a, "known from", known, sizeof known);
            size_t word = strcspn(expect, " ");
            snprintf(a->expect, sizeof a->expect, "%.*s", (int)word, expect);
            snprintf(a->text, sizeof a->text, "%s", expect[word] ? expect + word + 1 : "");
            if (!*a->expect || !*tries || !*known) fail_msg("%s: has no tries, known from or expect", a->name);
        }
        free(names[i]);
    }
    free(names);
    return 0;
}

static inline int free_attempts(void **state) {
    (void)state;
    for (int i = 0; i < attempt_count; i++) free(attempts[i].source);
    free(attempts);
    return 0;
}

/* ESCAPES=part of a name: only those. */
static inline bool wanted(const struct attempt *a) {
    const char *only = getenv("ESCAPES");
    return !only || strstr(a->name, only);
}

/* The outcome against what was expected; got may be "error TEXT" or "ok VALUE". */
static inline bool as_expected(const struct attempt *a, const char *got) {
    size_t word = strcspn(got, " ");
    const char *text = got[word] ? got + word + 1 : "";

    if (strlen(a->expect) != word || strncmp(got, a->expect, word) != 0) return false;
    if (!*a->text) return true;
    if (strcmp(a->expect, "ok") != 0) return strstr(text, a->text) != NULL;
    return strcmp(text, a->text) == 0;
}

/* A file that is no flow runs within this one. */
static const char MAIN[] =
    "local flow = require 'flow'\n"
    "return flow.define{ start = 'a', a = function(call) call.data.value = require 'attack' end }";

static inline bool is_flow(const struct attempt *a) {
    return a->states[0] != '\0';
}

static inline bool make_bundle(const struct attempt *a, struct buf *b, struct err *e) {
    const char *path = is_flow(a) ? "flows/attack.lua" : "attack.lua";

    bundle_begin(b);
    return bundle_add(b, path, strlen(path), a->source, a->len, e) == 0 &&
           bundle_add(b, "flows/main.lua", 14, MAIN, strlen(MAIN), e) == 0;
}

/* The value as text; a plain file's own stands in {value=...}. */
static inline const char *shown_result(const struct attempt *a, const char *data, size_t len) {
    static char text[MESSAGE_MAX + 8];
    struct message m = {.at = data, .end = data + len};

    snprintf(text, sizeof text, "ok %s", shown(&m));
    size_t n = strlen(text);
    if (is_flow(a) || strncmp(text, "ok {value=", 10) != 0) return text;
    memmove(text + 3, text + 10, n - 9);
    text[n - 8] = '\0';
    return text;
}

/* The next state in *at, or false. */
static inline bool next_state(const char **at, char state[64]) {
    *at += strspn(*at, " ");
    size_t n = strcspn(*at, " ");
    snprintf(state, 64, "%.*s", (int)n, *at);
    *at += n;
    return n > 0;
}

/* -- what a run must find untouched ---------------------------------------------------------------------------------- */

static const char PROBE[] =
    "local flow = require 'flow'\n"
    "local known = ' _G _VERSION assert bit error getmetatable ipairs math next os pairs pcall rawequal rawget "
    "rawset\\\n"
    " require select setmetatable string table tonumber tostring type unpack xpcall '\n"
    "local function whole(call)\n"
    "  for name in pairs(_G) do assert(known:find(' ' .. name .. ' ', 1, true) or known:find('\\n ' .. name .. ' ', "
    "1,\n"
    "    true) or known:find(' ' .. name .. '\\n', 1, true), name) end\n"
    "  assert(('ab'):rep(2) == 'abab' and ('a1'):find('%d') == 2 and ('x'):gsub('x', 'y') == 'y' and ('x'):upper() == "
    "'X')\n"
    "  assert(('%d'):format(7) == '7' and table.concat({ 1, 2 }, '-') == '1-2' and #('x'):rep(1000) == 1000)\n"
    "  local t = { 3, 1, 2 } table.sort(t) table.insert(t, 4) assert(table.concat(t) == '1234' and table.remove(t) == "
    "4)\n"
    "  assert(select('#', unpack(t)) == 3 and tostring(1.5) == '1.5' and tonumber('0x10') == 16 and math.floor(2.5) == "
    "2)\n"
    "  assert(not pcall(error) and getmetatable('') == nil and getmetatable(_G) == nil and getmetatable(string) == "
    "nil)\n"
    "  assert(bit.band(7, 3) == 3 and type(next) == 'function' and not pcall(function() return nil .. 'x' end))\n"
    "  local n = 0 for _ in ('a b c'):gmatch('%a') do n = n + 1 end assert(n == 3)\n"
    "  assert(call:say('hear') == 'hear' and select(2, call:fail()).code == 'failed' and not pcall(call.refuse, "
    "call))\n"
    "  call.data.whole = 'yes'\n"
    "end\n"
    "return flow.define{ start = 'a', a = whole }";
