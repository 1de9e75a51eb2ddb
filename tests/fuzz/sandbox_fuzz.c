/* SPDX-License-Identifier: Apache-2.0 */
/* A tenant's flow in the sandbox, with its verbs answered, up to three visits. An input whose first byte is below 9 is read by a
 * small grammar, which makes a program of odd arguments to everything a tenant may call, with 7 and 8 also of jumps, closures and
 * lists of values; its end holds the answers. Any other input is source.
 *
 * Whatever it is: it ends within its budget and no single step takes long, memory stays below the hard limit and comes back,
 * what it asks and leaves are messages its worker takes, and a program opened afterwards finds everything as it should be. */
#include "base/buf.h"
#include "cell/program.h"
#include "script/value.h"
#include <lauxlib.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

enum {
    SOFT_BYTES = 2 << 20,
    HARD_BYTES = 1 << 30, /* more than one instruction adds: some 250 texts of nearly the soft limit, twice */
    VISIT_MS = 15,
    STEP_MS = 3000,
    HANG_S = 20,
    SOURCE_MAX = 6000,
    DEPTH = 5
};

/* -- the grammar ----------------------------------------------------------------------------------------------------- */

struct gen {
    const uint8_t *at, *end;
    struct buf out;
    int depth;
    bool jumps; /* and closures over what they jump out of */
    unsigned labels;
};

static unsigned pick(struct gen *g, unsigned n) {
    return g->at < g->end ? *g->at++ % n : 0;
}

static void put(struct gen *g, const char *text) {
    buf_add_str(&g->out, text);
}

static bool is_full(const struct gen *g) {
    return g->at >= g->end || g->out.len > SOURCE_MAX || g->depth > DEPTH;
}

#define ANY(g, list) put(g, list[pick(g, sizeof list / sizeof *list)])

static const char *const names[] = {"a", "b", "c", "d", "e", "f", "_G", "string", "table", "call", "call.data"};
static const char *const numbers[] = {"0",        "1",       "-1",   "2",       "3",     "0.5",       "100",   "1000",
                                      "2 ^ 31",   "-2 ^ 31", "1e9",  "2 ^ 53",  "1e300", "1 / 0",     "0 / 0", "-0",
                                      "(-1 / 0)", "255",     "1e-5", "1048577", "4000",  "2 ^ 31 - 1"};
static const char *const texts[] = {"''",
                                    "'x'",
                                    "'abc'",
                                    "'%w+'",
                                    "'(.)(.-)'",
                                    "'%b()'",
                                    "'%f[%w]'",
                                    "'[^%z-\\255]'",
                                    "'%1'",
                                    "'%s %d %q %5.2f'",
                                    "'\\0\\255'",
                                    "'__index'",
                                    "'a\\0b'",
                                    "('x'):rep(1000)",
                                    "('(a'):rep(31)",
                                    "('a-'):rep(20)",
                                    "('ab '):rep(20000)",
                                    "'1e5'",
                                    "'0x10'",
                                    "'flow'",
                                    "'k' .. a"};
static const char *const builtins[] = {
    "assert",        "error",         "getmetatable", "ipairs",         "next",          "pairs",         "pcall",
    "rawequal",      "rawget",        "rawset",       "require",        "select",        "setmetatable",  "tonumber",
    "tostring",      "type",          "unpack",       "xpcall",         "string.byte",   "string.char",   "string.find",
    "string.format", "string.gmatch", "string.gsub",  "string.len",     "string.lower",  "string.match",  "string.rep",
    "string.sub",    "string.upper",  "table.concat", "table.insert",   "table.maxn",    "table.remove",  "table.sort",
    "math.random",   "math.floor",    "math.fmod",    "math.ldexp",     "math.max",      "bit.tohex",     "bit.lshift",
    "bit.bor",       "os.time",       "flow.define",  "string.reverse", "string.format", "table.sort",    "string.gsub",
    "string.find",   "pcall",         "table.concat", "table.insert",   "setmetatable",  "string.format", "unpack"};
static const char *const metamethods[] = {"__index", "__newindex",  "__call", "__add", "__concat",
                                          "__eq",    "__lt",        "__le",   "__unm", "__tostring",
                                          "__len",   "__metatable", "__mode"};
static const char *const operators[] = {" + ", " - ", " * ",  " / ",  " % ",  " ^ ",   " .. ",
                                        " < ", " > ", " == ", " ~= ", " <= ", " and ", " or "};
static const char *const verbs[] = {"say", "ask", "say", "ask", "now", "nothing"};

static void block(struct gen *g);
static void expression(struct gen *g);

static void arguments(struct gen *g) {
    unsigned n = pick(g, 5);

    put(g, "(");
    for (unsigned i = 0; i < n; i++) {
        if (i) put(g, ", ");
        expression(g);
    }
    put(g, ")");
}

static void function(struct gen *g) {
    put(g, "function(x, ...) ");
    block(g);
    put(g, " end");
}

static void constructor(struct gen *g) {
    unsigned n = pick(g, 6);

    put(g, "{ ");
    for (unsigned i = 0; i < n; i++) {
        if (pick(g, 3) == 0) {
            put(g, "[");
            expression(g);
            put(g, " or 1] = ");
        }
        expression(g);
        put(g, ", ");
    }
    put(g, "}");
}

static void with_metatable(struct gen *g) {
    put(g, "setmetatable({}, { ");
    for (unsigned n = 1 + pick(g, 3); n > 0; n--) {
        ANY(g, metamethods);
        put(g, " = ");
        if (pick(g, 3))
            function(g);
        else
            ANY(g, builtins);
        put(g, ", ");
    }
    put(g, "})");
}

static void expression(struct gen *g) {
    g->depth++;
    switch (is_full(g) ? 0 : pick(g, 16)) {
    case 0:
        ANY(g, names);
        break;
    case 1:
    case 2:
        ANY(g, numbers);
        break;
    case 3:
    case 4:
        ANY(g, texts);
        break;
    case 5:
        constructor(g);
        break;
    case 6:
        function(g);
        break;
    case 7:
        put(g, "(");
        expression(g);
        ANY(g, operators);
        expression(g);
        put(g, ")");
        break;
    case 8:
        put(g, pick(g, 2) ? "#(" : "-(");
        expression(g);
        put(g, ")");
        break;
    case 9:
    case 10:
        ANY(g, builtins);
        arguments(g);
        break;
    case 11:
        ANY(g, names);
        put(g, "[");
        expression(g);
        put(g, "]");
        break;
    case 12:
        put(g, "call:");
        ANY(g, verbs);
        arguments(g);
        break;
    case 13:
        with_metatable(g);
        break;
    case 14:
        put(g, "pcall");
        arguments(g);
        break;
    case 15:
        ANY(g, builtins);
        break;
    }
    g->depth--;
}

/* A loop with a variable that a closure keeps, left or begun again in one of the ways there are. */
static void jumping(struct gen *g) {
    unsigned way = pick(g, 4), label = ++g->labels;
    char jump[40], target[40];

    snprintf(jump, sizeof jump, " then goto l%u end ", label);
    snprintf(target, sizeof target, " ::l%u:: ", label);
    put(g, way == 0   ? "for i = 1, 9 do local y, z = i, "
           : way == 1 ? "do local n = 0 "
           : way == 2 ? "repeat local y, z = a, "
                      : "for y, z in next, { 1, x = 2, ");
    if (way == 1) {
        put(g, target);
        put(g, "n = n + 1 local y, z = n, ");
    }
    expression(g);
    if (way == 3) put(g, " } do");
    put(g, " e = function(...) y, z = z, y or ... return z, y, ... end ");
    block(g);
    put(g, way == 1 ? " if n < 9 and " : " if ");
    expression(g);
    put(g, way == 2 ? " then break end " : jump);
    put(g, " f = function() z = y return e(z) end ");
    block(g);
    if (way == 0 || way == 3) put(g, target);
    if (way != 2) {
        put(g, " end");
        return;
    }
    put(g, " until (function() return y or z end)() or ");
    expression(g);
}

/* Lists of values: from and to a function of any number, and to several variables at once. */
static void listing(struct gen *g) {
    put(g, "do local y, z = (function(...) local p, q = ... ");
    block(g);
    put(g, " p, q, c = ..., ");
    expression(g);
    put(g, " return select('#', ...), q, ... end)");
    arguments(g);
    put(g, " a, b = z, y, ");
    expression(g);
    put(g, " f = { e(y), e(z) } end");
}

static void statement(struct gen *g) {
    g->depth++;
    switch (is_full(g) ? 0 : pick(g, g->jumps ? 16 : 12)) {
    case 0:
        ANY(g, names);
        put(g, " = ");
        expression(g);
        break;
    case 1:
        ANY(g, names);
        put(g, "[");
        expression(g);
        put(g, "] = ");
        expression(g);
        break;
    case 2:
        put(g, "if ");
        expression(g);
        put(g, " then ");
        block(g);
        put(g, " else ");
        block(g);
        put(g, " end");
        break;
    case 3:
        put(g, "for i = 1, ");
        put(g, pick(g, 4) ? "20" : "3000");
        put(g, " do a = i ");
        block(g);
        put(g, " end");
        break;
    case 4:
        put(g, "for k, v in ");
        put(g, pick(g, 2) ? "pairs(" : "next, (");
        expression(g);
        put(g, ") do b, c = k, v ");
        block(g);
        put(g, " end");
        break;
    case 5:
        put(g, "for x in string.gmatch(");
        expression(g);
        put(g, ", ");
        ANY(g, texts);
        put(g, ") do d = x ");
        block(g);
        put(g, " end");
        break;
    case 6:
        put(g, "repeat ");
        block(g);
        put(g, " until ");
        expression(g);
        break;
    case 7:
        put(g, "do return ");
        expression(g);
        put(g, " end");
        break;
    case 8:
        put(g, "local _ = ");
        expression(g);
        break;
    case 9:
        put(g, "call.data.x = ");
        expression(g);
        break;
    case 10:
        put(g, "pcall(");
        function(g);
        put(g, ")");
        break;
    case 11:
        put(g, "call:");
        ANY(g, verbs);
        arguments(g);
        break;
    case 12:
    case 13:
    case 14:
        jumping(g);
        break;
    case 15:
        listing(g);
        break;
    }
    put(g, "\n");
    g->depth--;
}

static void block(struct gen *g) {
    for (unsigned n = pick(g, 4); n > 0 && !is_full(g); n--) statement(g);
}

/* Most are caught, so that those behind them run too. */
static void statements(struct gen *g, unsigned n) {
    for (; n > 0; n--) {
        bool caught = pick(g, 8) > 0;
        if (caught) put(g, "pcall(function() ");
        statement(g);
        if (caught) put(g, "end)\n");
    }
}

static void make_program(struct gen *g) {
    put(g, "local flow = require 'flow'\n"
           "local a, b, c, d, e, f = {}, 'x', 3, nil, function(...) return ... end, { 3, 1, 2 }\n"
           "local call\nreturn flow.define { start = 'a', a = function(given) call = given\n");
    statements(g, 2 + pick(g, 8));
    put(g, "return 'b' end, b = function(given) call = call or given\n");
    statements(g, pick(g, 5));
    put(g, "end }\n");
}

/* -- running it ------------------------------------------------------------------------------------------------------ */

static void broken(const char *what, const char *more) {
    fprintf(stderr, "sandbox_fuzz: %s%s%s\n", what, *more ? ": " : "", more);
    abort();
}

static void at_hard(void) {
    broken("reaches the hard limit past the soft one", "");
}

static void on_hang(int signal) {
    (void)signal;
    broken("hangs", "");
}

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* A value made of the input's last bytes. */
static void put_answer(struct gen *g, struct buf *out, int depth) {
    static const double odd[] = {0, 1, -1, 0.5, 1e300, 9007199254740992.0, -0.0, 3};
    unsigned n;

    switch (pick(g, 6)) {
    case 0:
        message_nil(out);
        break;
    case 1:
        message_bool(out, pick(g, 2));
        break;
    case 2: {
        double d = odd[pick(g, 8)];
        buf_add(out, "d", 1);
        buf_add(out, &d, sizeof d); /* little-endian, as all we fuzz on */
        break;
    }
    case 3:
        n = pick(g, 32);
        if (n > (size_t)(g->end - g->at)) n = (unsigned)(g->end - g->at);
        message_str(out, (const char *)g->at, n);
        g->at += n;
        break;
    default:
        message_open(out);
        n = depth < 4 ? pick(g, 4) : 0;
        for (unsigned i = 1; i <= n; i++) {
            message_int(out, (int)i);
            put_answer(g, out, depth + 1);
        }
        message_str(out, "raise", 5);
        message_bool(out, pick(g, 4) == 1);
        message_shut(out);
    }
}

static void answer_verb(struct run *r, struct gen *answers) {
    struct buf b = {0};
    struct message m;
    size_t len;

    message_begin(&b, MESSAGE_VERB);
    message_str(&b, "c1", 2);
    message_int(&b, 1);
    message_int(&b, 1);
    buf_add(&b, r->asks.data, r->asks.len);
    bool ok = message_read(&m, b.data, b.len) && message_get_str(&m, &len);
    message_get_int(&m);
    message_get_int(&m);
    message_get_str(&m, &len);
    const char *args = message_get_any(&m, &len);
    if (!ok || m.bad || m.at != m.end) broken("a verb that its worker would refuse", "");
    ok = pick(answers, 3) != 1;
    lua_pushboolean(r->L, ok);
    if (ok && pick(answers, 2)) { /* its first argument comes back */
        if (!value_unpack(r->L, args, args + len, NULL)) broken("arguments that cannot be read", "");
        lua_rawgeti(r->L, -1, 1);
        lua_remove(r->L, -2);
    } else {
        buf_clear(&b);
        put_answer(answers, &b, 0);
        if (!value_unpack(r->L, b.data, b.data + b.len, NULL)) broken("an answer that cannot be read", "");
    }
    buf_free(&b);
}

static char why[1024]; /* the last visit ended otherwise than well */

/* Returns whether the state ended well; next gets the name of the next one, data what it left. */
static bool visit(struct program *p, const char *file, const char *state, int limit_ms, struct gen *answers,
                  struct buf *data, char next[72]) {
    static const char info[] = "{s\x02" /* as message_str() writes them */
                               "ids\x02"
                               "c1s\x04"
                               "seeds\x01x}";
    struct visit v = {file, state, data->data, info, data->len, sizeof info - 1};
    struct place where;
    struct err e = {0};
    int nargs;
    bool well = false;

    struct run *r = program_visit(p, &v, &nargs);
    r->owner = r;
    next[0] = '\0';
    snprintf(why, sizeof why, "out of time");
    for (double start = cpu_ms(), before = start;; before = cpu_ms()) {
        enum run_end end = run_slice(r, nargs, 2);
        nargs = 0;
        if (sandbox_bytes() > HARD_BYTES) broken("more memory than the hard limit", "");
        if (end == RUN_MEMORY) snprintf(why, sizeof why, "out of memory");
        if (end == RUN_WAITS) {
            answer_verb(r, answers);
            nargs = 2;
        } else if (end == RUN_DONE) {
            const char *kind = lua_tostring(r->L, 1), *name = lua_tostring(r->L, 2);
            buf_clear(data);
            well = kind && strcmp(kind, "next") == 0 && value_pack(r->L, 3, data, MESSAGE_DATA_MAX, &e) == 0;
            if (well && (!value_check(data->data, data->data + data->len, &e) || data->data[0] != '{'))
                broken("call.data that its worker would refuse", e.text);
            if (well && name) snprintf(next, 72, "%s", name);
        } else if (end == RUN_ERROR) {
            program_error(r, why, &where);
        }
        if (cpu_ms() - before > STEP_MS) broken("a step that takes too long", "");
        if (end == RUN_DONE || end == RUN_ERROR || end == RUN_MEMORY || cpu_ms() - start > limit_ms) break;
    }
    run_free(r);
    return well;
}

static const char PROBE[] =
    "local flow = require 'flow'\n"
    "return flow.define{ start = 'a', a = function(call)\n"
    "  assert(('ab'):rep(2) == 'abab' and ('a1'):find('%d') == 2 and ('x'):gsub('x', 'y') == 'y' and ('x'):upper() == "
    "'X')\n"
    "  assert(('%d'):format(7) == '7' and table.concat({ 1, 2 }, '-') == '1-2')\n"
    "  local t = { 3, 1, 2 } table.sort(t) table.insert(t, 4) assert(table.concat(t) == '1234' and table.remove(t) == "
    "4)\n"
    "  assert(select('#', unpack(t)) == 3 and tostring(1.5) == '1.5' and tonumber('0x10') == 16 and math.floor(2.5) == "
    "2)\n"
    "  assert(not pcall(error) and getmetatable('') == nil and getmetatable(_G) == nil and getmetatable(string) == "
    "nil)\n"
    "  assert(ffi == nil and io == nil and debug == nil and load == nil and coroutine == nil and x == nil)\n"
    "end }";

static struct program *open_program(const char *source, size_t len, struct buf *bundle) {
    static const char *const offered[] = {"ask", "now", "say"};
    static struct buf list; /* read while opening */
    struct err e = {0};

    buf_clear(&list);
    message_open(&list);
    for (int i = 0; i < 3; i++) {
        message_int(&list, i + 1);
        message_open(&list);
        message_str(&list, "name", 4);
        message_str(&list, offered[i], 3);
        message_shut(&list);
    }
    message_shut(&list);
    bundle_begin(bundle);
    if (bundle_add(bundle, "flows/attack.lua", 16, source, len, &e) < 0) return NULL;
    bundle_add(bundle, "flows/probe.lua", 15, PROBE, sizeof PROBE - 1, &e);
    return program_open(bundle->data, bundle->len, list.data, list.len);
}

static void set_up(void) {
    static bool done;
    struct err e = {0};

    if (done) return;
    done = true;
    if (sandbox_setup(SOFT_BYTES, HARD_BYTES, at_hard, &e) < 0) broken("no sandbox", e.text);
    signal(SIGPROF, on_hang); /* the sandbox has taken libFuzzer's own alarm */
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static struct gen g, answers;
    static struct buf bundle, data;
    struct program *p;
    char next[72], state[72];

    set_up();
    setitimer(ITIMER_PROF, &(struct itimerval){.it_value.tv_sec = HANG_S}, NULL);
    buf_clear(&bundle);
    buf_clear(&g.out);
    size_t tail = len / 4;
    answers = (struct gen){.at = bytes + len - tail, .end = bytes + len};
    if (len && bytes[0] < 9) {
        g = (struct gen){.at = bytes + 1, .end = bytes + len - tail, .out = g.out, .jumps = bytes[0] > 6};
        make_program(&g);
        if (getenv("SHOW")) fwrite(g.out.data, 1, g.out.len, stderr);
        p = open_program(g.out.data, g.out.len, &bundle);
    } else {
        p = open_program((const char *)bytes, len, &bundle);
    }
    if (!p) return 0;
    buf_clear(&data);
    message_nil(&data);
    if (!visit(p, "flows/probe.lua", "a", STEP_MS, &answers, &data, next))
        broken("a fresh program is harmed by what ran before", why);
    snprintf(next, sizeof next, "a");
    buf_clear(&data);
    message_nil(&data);
    for (int i = 0; i < 3 && next[0]; i++) {
        snprintf(state, sizeof state, "%s", next);
        if (!visit(p, "flows/attack.lua", state, VISIT_MS, &answers, &data, next)) break;
    }
    program_close(p);
    if (sandbox_bytes() != 0) broken("memory that does not come back", "");
    return 0;
}
