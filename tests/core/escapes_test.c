/* SPDX-License-Identifier: Apache-2.0 */
/* Every file of tests/core/escapes against the sandbox alone, the walls of the process alone, and both in a real cell. Its first
 * lines, as comments:
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
#include "base/mem.h"
#include "cell/program.h"
#include "cell/walls.h"
#include "cells.h"
#include <dirent.h>
#include <luajit.h>
#include <lualib.h>
#include <sys/stat.h>

enum {
    SLICE_MS = 2,
    SPIN_MS = 60,
    CPU_MS = 20000,
    HANG_MS = 60000,
    BARE_MS = 50,
    EXIT_HARD = 77,
#ifdef PARLEY_SANITIZED
    LONGEST_SLICE_MS = 5000,
#else
    LONGEST_SLICE_MS = 500,
#endif
};
static const char FOLDER[] = "tests/core/escapes", WITNESS[] = "/tmp/parley_escaped",
                  VERBS[] = "say ask fail refuse now";

/* -- the attempts ---------------------------------------------------------------------------------------------------- */

struct attempt {
    char name[256], expect[16], text[256], states[64], bare[16];
    char *source;
    size_t len;
};

static char *read_file(const char *path, size_t *len) {
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
static void header(const struct attempt *a, const char *word, char *out, size_t cap) {
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

static int read_attempts(void **state) {
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

static int free_attempts(void **state) {
    (void)state;
    for (int i = 0; i < attempt_count; i++) free(attempts[i].source);
    free(attempts);
    return 0;
}

/* ESCAPES=part of a name: only those. */
static bool wanted(const struct attempt *a) {
    const char *only = getenv("ESCAPES");
    return !only || strstr(a->name, only);
}

/* The outcome against what was expected; got may be "error TEXT" or "ok VALUE". */
static bool as_expected(const struct attempt *a, const char *got) {
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

static bool is_flow(const struct attempt *a) {
    return a->states[0] != '\0';
}

static bool make_bundle(const struct attempt *a, struct buf *b, struct err *e) {
    const char *path = is_flow(a) ? "flows/attack.lua" : "attack.lua";

    bundle_begin(b);
    return bundle_add(b, path, strlen(path), a->source, a->len, e) == 0 &&
           bundle_add(b, "flows/main.lua", 14, MAIN, strlen(MAIN), e) == 0;
}

/* The value as text; a plain file's own stands in {value=...}. */
static const char *shown_result(const struct attempt *a, const char *data, size_t len) {
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
static bool next_state(const char **at, char state[64]) {
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

/* -- the sandbox alone ----------------------------------------------------------------------------------------------- */

static void at_hard(void) {
    _exit(EXIT_HARD);
}

static double cpu_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* The verb that a run waits for, as the cell would send it: a message its worker takes. Then the answer. */
static bool answer_verb(struct run *r, const char **what) {
    struct buf b = {0};
    struct message m;
    size_t len, name_len;

    message_begin(&b, MESSAGE_VERB);
    add_str(&b, "c1");
    message_int(&b, 1);
    message_int(&b, 1);
    buf_add(&b, r->asks.data, r->asks.len);
    *what = "a message that its worker would refuse";
    bool ok = message_read(&m, b.data, b.len) && message_get_str(&m, &len);
    message_get_int(&m);
    message_get_int(&m);
    const char *name = message_get_str(&m, &name_len), *args = message_get_any(&m, &len);
    if (!ok || m.bad || m.at != m.end) return false;
    *what = "a list of arguments that cannot be unpacked";
    lua_pushboolean(r->L, name[0] == 's' || name[0] == 'a');
    if (name[0] == 'f' || name[0] == 'r') {
        lua_newtable(r->L);
        lua_pushliteral(r->L, "failed");
        lua_setfield(r->L, -2, "code");
        lua_pushboolean(r->L, name[0] == 'r');
        lua_setfield(r->L, -2, "raise");
    } else {
        if (!value_unpack(r->L, args, args + len, NULL)) return false;
        lua_rawgeti(r->L, -1, 1);
        lua_remove(r->L, -2);
    }
    buf_free(&b);
    return true;
}

/* One visit to its end; got says which. data: what the state finds, then what it leaves. */
static bool visit(struct program *p, const char *file, const char *state, int cpu_limit_ms, struct buf *data,
                  double *longest, char got[2048]) {
    static char text[1024];
    struct buf info = {0};
    struct err e = {0};
    struct place where;
    int nargs;
    const char *what;

    add_lua(&info, "{ id = 'c1', from = '+15550001', seed = 'x', why = 'hangup', error = { text = 'x' } }");
    struct visit v = {file, state, data->data, info.data, data->len, info.len};
    struct run *r = program_visit(p, &v, &nargs);
    r->owner = r;
    double start = cpu_ms();
    got[0] = '\0';
    while (!got[0]) {
        double before = cpu_ms();
        enum run_end end = run_slice(r, nargs, SLICE_MS);
        nargs = 0;
        if (end == RUN_DONE) {
            buf_clear(data);
            if (lua_tostring(r->L, 1) && strcmp(lua_tostring(r->L, 1), "next") != 0)
                snprintf(got, 2048, "error %s", lua_tostring(r->L, 2));
            else if (value_pack(r->L, 3, data, MESSAGE_DATA_MAX, &e) < 0)
                snprintf(got, 2048, "error call.data: %s", e.text);
            else
                snprintf(got, 2048, "ok");
        }
        if (end == RUN_ERROR) {
            program_error(r, text, &where);
            snprintf(got, 2048, "error %s", text);
        }
        if (end == RUN_WAITS) {
            if (!answer_verb(r, &what)) snprintf(got, 2048, "%s", what);
            nargs = 2;
        }
        if (cpu_ms() - before > *longest) *longest = cpu_ms() - before;
        if (end == RUN_MEMORY) snprintf(got, 2048, "memory");
        if (end == RUN_SLICED && cpu_ms() - start > cpu_limit_ms) snprintf(got, 2048, "cpu");
    }
    run_free(r);
    if (strcmp(got, "memory") == 0) sandbox_collect(program_sandbox(p));
    buf_free(&info);
    return strcmp(got, "ok") == 0;
}

/* A program of these bytes with the verbs offered. */
static struct program *open_program(const struct buf *bundle) {
    struct buf verbs = {0};
    int n = 0;

    message_open(&verbs);
    for (const char *name = VERBS; *name; name += strspn(name, " ")) {
        size_t len = strcspn(name, " ");
        message_int(&verbs, ++n);
        message_open(&verbs);
        message_str(&verbs, "name", 4);
        message_str(&verbs, name, len);
        message_shut(&verbs);
        name += len;
    }
    message_shut(&verbs);
    struct program *p = program_open(bundle->data, bundle->len, verbs.data, verbs.len);
    buf_free(&verbs);
    return p;
}

/* Runs it in this process. got: how it ended. */
static void try_in_sandbox(const struct attempt *a, char got[2048], double *longest) {
    struct buf bundle = {0}, probe = {0}, data = {0};
    struct err e = {0};
    char state[64], probed[2048];

    CHECK_INT(0, sandbox_setup(16 << 20, 64 << 20, at_hard, &e));
    if (!make_bundle(a, &bundle, &e)) {
        snprintf(got, 2048, "refused %s", e.text);
        return;
    }
    struct program *p = open_program(&bundle);
    struct run *r = run_new(program_sandbox(p));
    if (!sandbox_compile(r->L, "attack.lua", a->source, a->len)) {
        snprintf(got, 2048, "refused %s", lua_tostring(r->L, -1));
        run_free(r);
    } else {
        run_free(r);
        const char *states = is_flow(a) ? a->states : "a";
        int limit_ms = strcmp(a->expect, "cpu") == 0 ? SPIN_MS : CPU_MS;
        message_open(&data);
        message_shut(&data);
        bool well = true;
        while (well && next_state(&states, state))
            well = visit(p, is_flow(a) ? "flows/attack.lua" : "flows/main.lua", state, limit_ms, &data, longest, got);
        if (well) snprintf(got, 2048, "%s", shown_result(a, data.data, data.len));
    }
    /* Another run of the same VM, and a VM of its own. */
    r = run_new(program_sandbox(p));
    if (!sandbox_compile(r->L, "x.lua", "return 6 * 7", 12) || run_slice(r, 0, 1000) != RUN_DONE ||
        lua_tointeger(r->L, -1) != 42)
        snprintf(got, 2048, "another run that does not answer");
    run_free(r);
    bundle_begin(&probe);
    bundle_add(&probe, "flows/probe.lua", 15, PROBE, strlen(PROBE), &e);
    struct program *fresh = open_program(&probe);
    buf_clear(&data);
    message_nil(&data);
    double ignored = 0;
    if (!visit(fresh, "flows/probe.lua", "a", CPU_MS, &data, &ignored, probed) && strcmp(a->expect, "memory") != 0)
        snprintf(got, 2048, "a fresh program that is harmed: %.1900s", probed);
    program_close(fresh);
    program_close(p);
    if (sandbox_bytes() != 0) snprintf(got, 2048, "%zu bytes that are not given back", sandbox_bytes());
}

/* Waits for the child, at most limit_ms; false when it had to be killed. */
static bool wait_for(pid_t pid, int limit_ms, int *status) {
    uint64_t until = clock_mono_ms() + (uint64_t)limit_ms;

    while (waitpid(pid, status, WNOHANG) == 0) {
        if (clock_mono_ms() > until) {
            kill(pid, SIGKILL);
            waitpid(pid, status, 0);
            return false;
        }
        usleep(500);
    }
    return true;
}

TEST(the_sandbox_alone_stops_every_attempt) {
    int tried = 0, failed = 0;

    for (int i = 0; i < attempt_count; i++) {
        const struct attempt *a = &attempts[i];
        int out[2], status;
        char got[2048] = "", line[2200] = "";
        if (!wanted(a)) continue;
        tried++;
        CHECK(pipe(out) == 0);
        fflush(NULL);
        pid_t pid = fork(); /* so that a crash is an outcome */
        if (pid == 0) {
            double longest = 0;
            try_in_sandbox(a, got, &longest);
            int n = snprintf(line, sizeof line, "%s, longest step %.0f ms", got, longest);
            if (write(out[1], line, (size_t)n) < 0) _exit(2);
            _exit(!as_expected(a, got) || longest > LONGEST_SLICE_MS);
        }
        close(out[1]);
        bool ended = wait_for(pid, HANG_MS, &status);
        ssize_t n = read(out[0], line, sizeof line - 1);
        line[n > 0 ? n : 0] = '\0';
        close(out[0]);
        if (!ended)
            snprintf(line, sizeof line, "hangs");
        else if (WIFSIGNALED(status))
            snprintf(line, sizeof line, "crashes with signal %d", WTERMSIG(status));
        bool hard = strcmp(a->expect, "hard") == 0 && WIFEXITED(status) && WEXITSTATUS(status) == EXIT_HARD;
        if (hard || (ended && WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
            if (getenv("ESCAPES_VERBOSE")) print_message("%s: %s\n", a->name, line);
            continue;
        }
        failed++;
        print_error("%s: wanted %s %s, got %s\n", a->name, a->expect, a->text, line);
    }
    print_message("%d attempts, %d not stopped as they should be\n", tried, failed);
    CHECK(tried >= 180 || getenv("ESCAPES"));
    CHECK_INT(0, failed);
}

/* -- the walls alone: all of LuaJIT, in a process as a cell is -------------------------------------------------------- */

/* Stands in for the library, so that flows get as far as they can. */
static const char PRELUDE[] =
    "package.preload.flow = function() return { define = function(t) return t end, done = {} } end\n"
    "return function(chunk, states)\n"
    "  local call = setmetatable({ data = {} }, { __index = function() return function(_, ...) return ... end end })\n"
    "  local flow = chunk()\n"
    "  if states == '' then return flow end\n"
    "  for state in states:gmatch('%S+') do flow[state](call) end\n"
    "  return call.data.value\n"
    "end";

/* Exits with 0: "escaped". Everything else is a failed attempt. */
static void run_bare(const struct attempt *a) __attribute__((noreturn));
static void run_bare(const struct attempt *a) {
    lua_State *L = luaL_newstate();

    if (!L) _exit(3);
    luaL_openlibs(L);
    luaJIT_setmode(L, 0, LUAJIT_MODE_ENGINE | LUAJIT_MODE_OFF);
    if (luaL_loadstring(L, PRELUDE) || lua_pcall(L, 0, 1, 0)) _exit(4);
    if (luaL_loadbufferx(L, a->source, a->len, "=attack", NULL)) _exit(5);
    lua_pushstring(L, a->states);
    if (lua_pcall(L, 2, 1, 0)) {
        if (getenv("ESCAPES_VERBOSE") && lua_isstring(L, -1)) fprintf(stderr, "%s: %s\n", a->name, lua_tostring(L, -1));
        _exit(6);
    }
    _exit(lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "escaped") == 0 ? 0 : 7);
}

static pid_t start_bare(const struct attempt *a, const struct walls *w, unsigned uid) {
    int socket[2], report[2];
    pid_t pid;

    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, socket) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, report) == 0);
    fflush(NULL);
    pid = fork();
    if (pid == 0) {
        if (w) {
            uint32_t missing = walls_close(w, socket[1], report[1], uid);
            missing = (missing | walls_limit(64 << 20)) & ~walls_not_built();
            if (walls_seccomp(w)) _exit(8);
            if (missing & ~(uint32_t)(WALL_UID | WALL_NAMESPACE)) _exit(8);
        }
        run_bare(a);
    }
    for (int i = 0; i < 2; i++) {
        close(socket[i]);
        close(report[i]);
    }
    return pid;
}

static bool is_let(const struct attempt *a) { /* in a program with sanitizers */
    return walls_not_built() && strcmp(a->bare, "lean") == 0;
}

/* In a process that plays the zygote. Returns how many went wrong. */
static int try_walls(void) {
    struct walls w;
    int failed = 0, status;

    walls_prepare(&w);
    for (int i = 0; i < attempt_count; i++) {
        const struct attempt *a = &attempts[i];
        const char *wrong = NULL;
        if (!wanted(a)) continue;
        wait_for(start_bare(a, &w, WALLS_UID + (unsigned)i), a->bare[0] ? HANG_MS : BARE_MS, &status);
        bool killed = WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS;
        if (WIFEXITED(status) && WEXITSTATUS(status) == 8) wrong = "its walls do not stand";
        if (WIFEXITED(status) && WEXITSTATUS(status) == 0 && !is_let(a)) wrong = "escapes";
        if (a->bare[0] && !killed && !is_let(a)) wrong = "is not killed for what it asks";
        if (wrong) {
            failed++;
            fprintf(stderr, "%s: %s (status %x)\n", a->name, wrong, (unsigned)status);
        }
    }
    return failed;
}

TEST(the_walls_alone_stop_what_has_all_of_luajit) {
    struct stat st;
    int status;

    unlink(WITNESS);
    fflush(NULL);
    pid_t zygote = fork();
    if (zygote == 0) _exit(try_walls() > 0);
    CHECK(wait_for(zygote, 3 * HANG_MS, &status));
    CHECK(WIFEXITED(status)); /* nobody signalled it */
    CHECK_INT(0, WEXITSTATUS(status));
    CHECK(walls_not_built() || stat(WITNESS, &st) < 0); /* with sanitizers files may be opened */
}

TEST(the_same_attempts_work_where_nothing_stands) {
    int tried = 0, status;

    for (int i = 0; i < attempt_count; i++) {
        const struct attempt *a = &attempts[i];
        if (!a->bare[0] || !wanted(a)) continue;
        tried++;
        bool ended = wait_for(start_bare(a, NULL, 0), 10000, &status);
        if (!ended || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
            fail_msg("%s does not do what it says (status %x)", a->name, (unsigned)status);
    }
    unlink(WITNESS);
    CHECK(tried >= 20 || getenv("ESCAPES"));
}

/* -- both: a cell ---------------------------------------------------------------------------------------------------- */

static const char *const options[] = {"--soft-mb", "16", "--hard-mb", "64", "--share-percent", "100", NULL};

/* What is left of a VERB or NEXT: file and line where the script stands, and no more. */
static bool is_placed(struct message *m) {
    size_t len;
    message_get_str(m, &len);
    message_get_int(m);
    return !m->bad && m->at == m->end;
}

/* Hears until the visit has ended: "next" with data, or how it failed. */
static void hear_end(struct zygote *z, struct cell *c, struct buf *data, char got[2048]) {
    static char bytes[MESSAGE_MAX];
    struct message m;
    size_t len, name_len;
    int fds[3];

    for (;;) {
        ssize_t n = readable(c->fd, HANG_MS) ? recv(c->fd, bytes, sizeof bytes, 0) : -2;
        if (n == -2) {
            snprintf(got, 2048, "a cell that hangs");
            kill(c->pid, SIGKILL);
        }
        if (n <= 0) {
            struct zygote_message end = zygote_hear(z->worker, fds);
            int status = end.value;
            if (n == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 72)
                snprintf(got, 2048, "hard");
            else if (n != -2)
                snprintf(got, 2048, "a cell that dies with status %x", (unsigned)status);
            return;
        }
        if (!message_read(&m, bytes, (size_t)n)) break;
        if (m.type == MESSAGE_LOADED) continue;
        const char *call = message_get_str(&m, &len);
        int64_t number = message_get_int(&m);
        (void)call;
        if (m.type == MESSAGE_FAILED) {
            const char *kind = message_get_str(&m, &name_len), *text = message_get_str(&m, &len);
            if (m.bad) break;
            if (name_len == 4 && memcmp(kind, "form", 4) == 0) kind = "error", name_len = 5;
            snprintf(got, 2048, "%.*s %.*s", (int)name_len, kind, (int)len, text);
            return;
        }
        if (m.type == MESSAGE_NEXT) {
            message_get_any(&m, &name_len);
            const char *value = message_get_any(&m, &len);
            if (!is_placed(&m)) break;
            buf_clear(data);
            buf_add(data, value, len);
            snprintf(got, 2048, "ok");
            return;
        }
        if (m.type != MESSAGE_VERB) break;
        int64_t step = message_get_int(&m);
        const char *name = message_get_str(&m, &name_len), *args = message_get_any(&m, &len);
        if (!is_placed(&m)) break;
        struct buf b = {0};
        lua_State *L = luaL_newstate();
        bool ok = name[0] == 's' || name[0] == 'a';
        message_begin(&b, MESSAGE_ANSWER);
        add_str(&b, "c1");
        message_int(&b, number);
        message_int(&b, step);
        message_bool(&b, ok);
        if (ok && value_unpack(L, args, args + len, NULL)) {
            lua_rawgeti(L, -1, 1);
            CHECK_INT(0, value_pack(L, -1, &b, MESSAGE_MAX, NULL));
        } else {
            add_lua(&b, name[0] == 'r' ? "{ code = 'failed', raise = true }" : "{ code = 'failed' }");
        }
        lua_close(L);
        say(c, &b);
    }
    snprintf(got, 2048, "a message that its worker would refuse");
}

static void run_visit(struct cell *c, const char *version, const char *file, const char *state, int number,
                      const struct buf *data) {
    struct buf b = {0};

    message_begin(&b, MESSAGE_RUN);
    add_str(&b, "c1");
    add_str(&b, version);
    add_str(&b, file);
    add_str(&b, state);
    message_int(&b, number);
    buf_add(&b, data->data, data->len);
    add_lua(&b, "{ id = 'c1', from = '+15550001', seed = 'x', why = 'hangup', error = { text = 'x' } }");
    say(c, &b);
}

static void load_bundle(struct cell *c, const char *version, const struct buf *bundle) {
    struct buf b = {0};
    int fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    assert_int_equal(write(fd, bundle->data, bundle->len), bundle->len);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    message_begin(&b, MESSAGE_LOAD);
    add_str(&b, version);
    send_with_fd(c->fd, b.data, b.len, fd);
    close(fd);
    buf_free(&b);
}

static struct cell new_cell(struct zygote *z, uint32_t id) {
    struct cell c = spawn_cell(z->worker, id);
    const char *probe[] = {"flows/probe.lua", PROBE, NULL};

    offer_verbs(&c, VERBS);
    load(&c, "probe", probe);
    return c;
}

TEST(a_cell_stops_every_attempt_and_serves_on) {
    struct zygote z = start_zygote(options);
    uint32_t id = 1;
    int failed = 0, number = 0, fds[3];
    struct cell c = new_cell(&z, id);

    for (int i = 0; i < attempt_count; i++) {
        const struct attempt *a = &attempts[i];
        struct buf bundle = {0}, data = {0};
        struct err e = {0};
        char got[2048] = "", name[64], version[32];
        if (!wanted(a)) continue;
        snprintf(version, sizeof version, "v%d", i);
        if (!make_bundle(a, &bundle, &e)) { /* its worker refuses it too, before a cell sees it */
            if (strcmp(a->expect, "refused") != 0) failed++;
            buf_free(&bundle);
            continue;
        }
        load_bundle(&c, version, &bundle);
        limit(&c, "c1", SLICE_MS, strcmp(a->expect, "cpu") == 0 ? SPIN_MS : CPU_MS, CPU_MS);
        const char *states = is_flow(a) ? a->states : "a";
        message_open(&data);
        message_shut(&data);
        bool well = true;
        while (well && next_state(&states, name)) {
            run_visit(&c, version, is_flow(a) ? "flows/attack.lua" : "flows/main.lua", name, ++number, &data);
            hear_end(&z, &c, &data, got);
            well = strcmp(got, "ok") == 0;
        }
        if (well) snprintf(got, sizeof got, "%s", shown_result(a, data.data, data.len));
        bool refused = strcmp(a->expect, "refused") == 0 && strncmp(got, "error ", 6) == 0;
        bool right = as_expected(a, got) || (refused && (!*a->text || strstr(got, a->text)));
        bool dead = strcmp(got, "hard") == 0 || strncmp(got, "a cell", 6) == 0;
        if (dead) {
            close_cell(&c);
            c = new_cell(&z, ++id);
        } else {
            say_one(&c, MESSAGE_UNLOAD, version);
            say_one(&c, MESSAGE_DROP, "c1");
        }
        char after[2048];
        buf_clear(&data);
        message_nil(&data);
        run_visit(&c, "probe", "flows/probe.lua", "a", ++number, &data);
        hear_end(&z, &c, &data, after);
        if (strcmp(after, "ok") != 0) {
            right = false;
            print_error("%s: harms another version: %s\n", a->name, after);
            if (strncmp(after, "a cell", 6) == 0) {
                close_cell(&c);
                c = new_cell(&z, ++id);
            }
        }
        if (!right) {
            failed++;
            print_error("%s: wanted %s %s, got %s\n", a->name, a->expect, a->text, got);
        }
        buf_free(&bundle);
        buf_free(&data);
    }
    close_cell(&c);
    CHECK_INT(ZYGOTE_ENDED, zygote_hear(z.worker, fds).type);
    stop_zygote(&z);
    CHECK_INT(0, failed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(the_sandbox_alone_stops_every_attempt), RUN(the_walls_alone_stop_what_has_all_of_luajit),
        RUN(the_same_attempts_work_where_nothing_stands), RUN(a_cell_stops_every_attempt_and_serves_on)};
    return cmocka_run_group_tests(tests, read_attempts, free_attempts);
}
