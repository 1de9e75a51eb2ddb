/* SPDX-License-Identifier: Apache-2.0 */
/* Every attempt (escapes.h) against the sandbox alone, and against the walls of the process alone. */
#include "cell/walls.h"
#include "escapes.h"
#include <luajit.h>
#include <lualib.h>
#include <sys/stat.h>

enum {
    BARE_MS = 50,
    EXIT_HARD = 77,
#ifdef PARLEY_SANITIZED
    LONGEST_SLICE_MS = 5000,
#else
    LONGEST_SLICE_MS = 500,
#endif
};
static const char WITNESS[] = "/tmp/parley_escaped";

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

int main(void) {
    const struct CMUnitTest tests[] = {RUN(the_sandbox_alone_stops_every_attempt),
                                       RUN(the_walls_alone_stop_what_has_all_of_luajit),
                                       RUN(the_same_attempts_work_where_nothing_stands)};
    return cmocka_run_group_tests(tests, read_attempts, free_attempts);
}
