/* SPDX-License-Identifier: Apache-2.0 */
/* For tests that play the master and a worker: a real zygote, and cells of it. */
#pragma once
#include "base/buf.h"
#include "base/clock.h"
#include "script/bundle.h"
#include "script/message.h"
#include "script/passing.h"
#include "script/value.h"
#include "script/zygote.h"
#include "test.h"
#include <fcntl.h>
#include <lauxlib.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000 };

struct zygote {
    pid_t pid;
    int master, worker; /* our ends */
};
struct cell {
    int fd, pidfd;
    pid_t pid;
    uint32_t weak;
    struct zygote_budget budget; /* as it began with */
    const struct cell_page *page;
};

__attribute__((unused)) static void send_with_fd(int to, const void *bytes, size_t len, int fd) {
    CHECK_INT(0, passing_send(to, bytes, len, &fd, fd >= 0, 0));
}

/* A worker's control socket of the zygote. */
__attribute__((unused)) static int add_worker(struct zygote *z, int number) {
    struct zygote_message m = {.type = ZYGOTE_WORKER, .value = number};
    int pair[2];
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    send_with_fd(z->master, &m, sizeof m, pair[1]);
    close(pair[1]);
    return pair[0];
}

/* args: options of parley-cell, ending with NULL. */
__attribute__((unused)) static struct zygote start_zygote(const char *const *args) {
    struct zygote z;
    int pair[2];
    char path[512];
    const char *argv[24] = {"parley-cell"};
    char *empty[] = {NULL};

    if (!getenv("PARLEY_BIN")) fail_msg("PARLEY_BIN is not set");
    snprintf(path, sizeof path, "%s/parley-cell", getenv("PARLEY_BIN"));
    int n = 1;
    while (args && args[n - 1] && n < 20) argv[n] = args[n - 1], n++;
    if (geteuid() != 0) argv[n] = "--weak"; /* only root can give each cell a user id of its own */
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    z.pid = fork();
    if (z.pid == 0) {
        int high = fcntl(pair[1], F_DUPFD, 50);
        dup2(high, 3);
        close(high);
        execve(path, (char **)(uintptr_t)argv, empty);
        perror(path);
        _exit(1);
    }
    close(pair[1]);
    z.master = pair[0];
    z.worker = add_worker(&z, 1);
    return z;
}

__attribute__((unused)) static bool readable(int fd, int ms) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, ms) > 0;
}

/* The next message on a control socket, with its fds. */
__attribute__((unused)) static struct zygote_message zygote_hear(int control, int fds[3]) {
    struct zygote_message m = {0};
    if (!readable(control, PATIENCE_MS)) fail_msg("the zygote says nothing");
    assert_int_equal(passing_receive(control, &m, sizeof m, fds, 3), sizeof m);
    return m;
}

__attribute__((unused)) static void zygote_say(int control, enum zygote_type type, uint32_t id) {
    struct zygote_message m = {.type = type, .id = id};
    assert_int_equal(send(control, &m, sizeof m, MSG_NOSIGNAL), sizeof m);
}

/* CPU seconds it has used so far. */
__attribute__((unused)) static double cpu_of(const struct cell *c) {
    clockid_t clock;
    struct timespec t;
    CHECK_INT(0, clock_getcpuclockid(c->pid, &clock));
    CHECK_INT(0, clock_gettime(clock, &t));
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

/* One that was asked for. */
__attribute__((unused)) static struct cell hear_cell(int control, uint32_t id) {
    int fds[3];
    struct cell c = {0};
    struct zygote_message m = zygote_hear(control, fds);
    if (m.type != ZYGOTE_SPAWNED) fail_msg("no cell: %s, walls missing %u", strerror(m.value), m.weak);
    CHECK_INT(id, m.id);
    CHECK_INT(0, m.value);
    c.fd = fds[0];
    c.pidfd = fds[1];
    c.pid = m.pid;
    c.weak = m.weak;
    c.budget = m.budget;
    c.page = mmap(NULL, sizeof *c.page, PROT_READ, MAP_SHARED, fds[2], 0);
    CHECK(c.page != MAP_FAILED);
    close(fds[2]);
    return c;
}

__attribute__((unused)) static struct cell spawn_with(int control, uint32_t id, struct zygote_budget budget) {
    struct zygote_message ask = {.type = ZYGOTE_SPAWN, .id = id, .budget = budget};
    assert_int_equal(send(control, &ask, sizeof ask, MSG_NOSIGNAL), sizeof ask);
    return hear_cell(control, id);
}

__attribute__((unused)) static struct cell spawn_cell(int control, uint32_t id) {
    return spawn_with(control, id, (struct zygote_budget){0});
}

__attribute__((unused)) static void close_cell(struct cell *c) {
    close(c->fd);
    close(c->pidfd);
    munmap((void *)(uintptr_t)c->page, sizeof *c->page);
}

/* Ends it as the master does; it must go by itself and well. */
__attribute__((unused)) static void stop_zygote(struct zygote *z) {
    int status = 0;
    close(z->worker);
    close(z->master);
    waitpid(z->pid, &status, 0);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

__attribute__((unused)) static bool gone(const struct cell *c) { /* within patience */
    return readable(c->pidfd, PATIENCE_MS);
}

__attribute__((unused)) static void expect_end(struct zygote *z, uint32_t id, int status) {
    int fds[3];
    struct zygote_message m = zygote_hear(z->worker, fds);
    CHECK_INT(ZYGOTE_ENDED, m.type);
    CHECK_INT(id, m.id);
    CHECK_INT(status, m.value);
}

/* A line of /proc/PID/status, without its name. */
__attribute__((unused)) static const char *status_of(pid_t pid, const char *name) {
    static char line[512];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f) return NULL;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) {
            fclose(f);
            line[strcspn(line, "\n")] = '\0';
            return line + strlen(name);
        }
    fclose(f);
    return NULL;
}

__attribute__((unused)) static char state_of(pid_t pid) {
    const char *s = status_of(pid, "State:");
    return s ? s[1] : 0;
}

__attribute__((unused)) static bool becomes(pid_t pid, char state) {
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (state_of(pid) == state) return true;
        usleep(1000);
    }
    return false;
}

__attribute__((unused)) static unsigned uid_of(const struct cell *c) {
    unsigned uid = 0;
    CHECK(sscanf(status_of(c->pid, "Uid:"), "%u", &uid) == 1);
    return uid;
}

/* Bytes. In /proc, as prlimit() of another user's process takes a capability (CAP_SYS_RESOURCE) that root in a container lacks. */
__attribute__((unused)) static long long limit_of(const struct cell *c, const char *name) {
    char path[64], line[256];
    long long soft = -1, hard = -1;
    snprintf(path, sizeof path, "/proc/%d/limits", c->pid);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), "%lld %lld", &soft, &hard);
    fclose(f);
    CHECK(soft == hard);
    return soft;
}

__attribute__((unused)) static long long data_limit_of(const struct cell *c) {
    return limit_of(c, "Max data size");
}

/* The cells of a zygote, up to most of them. */
__attribute__((unused)) static int cells_of(const struct zygote *z, pid_t *pids, int most) {
    char command[64];
    int n = 0;
    snprintf(command, sizeof command, "pgrep -P %d -x parley-cell", z->pid);
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    while (n < most && fscanf(f, "%d", &pids[n]) == 1) n++;
    pclose(f);
    return n;
}

/* -- messages -------------------------------------------------------------------------------------------------------- */

__attribute__((unused)) static void say(struct cell *c, struct buf *b) {
    assert_int_equal(send(c->fd, b->data, b->len, MSG_NOSIGNAL), b->len);
    buf_free(b);
}

__attribute__((unused)) static void add_str(struct buf *b, const char *text) {
    message_str(b, text, strlen(text));
}

/* A bundle of (path, text) pairs, sorted by the caller and ending with NULL, in a sealed memory file. */
__attribute__((unused)) static int bundle_fd(const char *const *files) {
    struct buf b = {0};
    struct err e = {0};
    bundle_begin(&b);
    for (; *files; files += 2)
        if (bundle_add(&b, files[0], strlen(files[0]), files[1], strlen(files[1]), &e) < 0) fail_msg("%s", e.text);
    int fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    assert_int_equal(write(fd, b.data, b.len), b.len);
    CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0);
    buf_free(&b);
    return fd;
}

/* The next message of the cell; its bytes stay until the next one. */
__attribute__((unused)) static struct message hear(struct cell *c) {
    static char bytes[MESSAGE_MAX];
    struct message m;
    if (!readable(c->fd, PATIENCE_MS)) fail_msg("the cell says nothing");
    ssize_t n = recv(c->fd, bytes, sizeof bytes, 0);
    if (n <= 0) fail_msg("the cell is gone");
    CHECK(message_read(&m, bytes, (size_t)n));
    return m;
}

/* The value that comes next in m as Lua writes it ({a = 1, "x"}), from a static buffer. */
__attribute__((unused)) static const char *shown(struct message *m) {
    static lua_State *L;
    static char text[MESSAGE_MAX];
    static const char source[] =
        "local function show(v) if type(v) == 'string' then return v end if type(v) ~= 'table' then return tostring(v) "
        "end\n"
        "local keys, out = {}, {} for k in pairs(v) do keys[#keys + 1] = k end\n"
        "table.sort(keys, function(a, b) if type(a) == type(b) then return a < b end return type(a) == 'number' end)\n"
        "for i, k in ipairs(keys) do out[i] = (type(k) == 'number' and '' or tostring(k) .. '=') .. show(v[k]) end\n"
        "return '{' .. table.concat(out, ' ') .. '}' end return show(...)";
    size_t len;
    const char *value = message_get_any(m, &len);
    if (!value) return "(nothing)";
    if (!L) {
        L = luaL_newstate();
        int luaopen_base(lua_State *), luaopen_table(lua_State *), luaopen_string(lua_State *);
        lua_pushcfunction(L, luaopen_base), lua_call(L, 0, 0);
        lua_pushcfunction(L, luaopen_table), lua_pushstring(L, "table"), lua_call(L, 1, 0);
        lua_pushcfunction(L, luaopen_string), lua_pushstring(L, "string"), lua_call(L, 1, 0);
    }
    lua_settop(L, 0);
    CHECK(luaL_loadstring(L, source) == 0);
    CHECK(value_unpack(L, value, value + len, NULL));
    if (lua_pcall(L, 1, 1, 0) != 0) fail_msg("%s", lua_tostring(L, -1));
    snprintf(text, sizeof text, "%s", lua_tostring(L, -1));
    return text;
}

/* The traceback of the last "failed" that was heard, which its line leaves out. */
__attribute__((unused)) static char heard_trace[MESSAGE_MAX];

/* The next message as one line: "next c1 1 menu {x=1}". Where a verb or state stands in its file is in heard_at. */
__attribute__((unused)) static char heard_at[256];

__attribute__((unused)) static const char *heard(struct cell *c) {
    static struct buf line;
    struct message m = hear(c);
    buf_clear(&line);
    buf_add_str(&line, m.type == MESSAGE_LOADED    ? "loaded"
                       : m.type == MESSAGE_CHECKED ? "checked"
                       : m.type == MESSAGE_VERB    ? "verb"
                       : m.type == MESSAGE_NEXT    ? "next"
                       : m.type == MESSAGE_FAILED  ? "failed"
                       : m.type == MESSAGE_PONG    ? "pong"
                       : m.type == MESSAGE_HOOKED  ? "hooked"
                       : m.type == MESSAGE_COVERED ? "covered"
                                                   : "?");
    int values = m.type == MESSAGE_VERB ? 5 : m.type == MESSAGE_NEXT ? 4 : 16;
    for (int i = 0; i < values && m.at < m.end && !m.bad; i++) {
        const char *value = shown(&m);
        if (m.type == MESSAGE_FAILED && i == 6)
            snprintf(heard_trace, sizeof heard_trace, "%s", value);
        else
            buf_printf(&line, " %s", value);
    }
    heard_at[0] = '\0';
    if (values < 16) {
        size_t len;
        const char *file = message_get_str(&m, &len);
        snprintf(heard_at, sizeof heard_at, "%.*s:%d", (int)len, file ? file : "", (int)message_get_int(&m));
    }
    CHECK(!m.bad && m.at == m.end);
    return line.data;
}

__attribute__((unused)) static void load(struct cell *c, const char *version, const char *const *files) {
    struct buf b = {0};
    int fd = bundle_fd(files);
    message_begin(&b, MESSAGE_LOAD);
    add_str(&b, version);
    send_with_fd(c->fd, b.data, b.len, fd);
    close(fd);
    buf_free(&b);
}

/* names: separated by spaces. */
__attribute__((unused)) static void offer_verbs(struct cell *c, const char *names) {
    struct buf b = {0};
    int n = 0;
    message_begin(&b, MESSAGE_VERBS);
    message_open(&b);
    while (*names) {
        size_t len = strcspn(names, " ");
        message_int(&b, ++n);
        message_open(&b);
        message_str(&b, "name", 4);
        message_str(&b, names, len);
        message_shut(&b);
        names += len + (names[len] == ' ');
    }
    message_shut(&b);
    say(c, &b);
}

/* data and info: Lua source of a table, or NULL for an empty one. */
__attribute__((unused)) static void add_lua(struct buf *b, const char *table) {
    lua_State *L = luaL_newstate();
    char source[4096];
    snprintf(source, sizeof source, "return %s", table ? table : "{}");
    if (luaL_loadstring(L, source) || lua_pcall(L, 0, 1, 0)) fail_msg("%s", lua_tostring(L, -1));
    CHECK_INT(0, value_pack(L, -1, b, MESSAGE_MAX, NULL));
    lua_close(L);
}

__attribute__((unused)) static void run(struct cell *c, const char *call, const char *version, const char *file,
                                        const char *state, int visit, const char *data, const char *info) {
    struct buf b = {0};
    message_begin(&b, MESSAGE_RUN);
    add_str(&b, call);
    add_str(&b, version);
    add_str(&b, file);
    add_str(&b, state);
    message_int(&b, visit);
    add_lua(&b, data);
    add_lua(&b, info);
    say(c, &b);
}

__attribute__((unused)) static void answer(struct cell *c, const char *call, int visit, int n, bool ok,
                                           const char *value) {
    struct buf b = {0};
    message_begin(&b, MESSAGE_ANSWER);
    add_str(&b, call);
    message_int(&b, visit);
    message_int(&b, n);
    message_bool(&b, ok);
    add_lua(&b, value);
    say(c, &b);
}

__attribute__((unused)) static void limit(struct cell *c, const char *call, int slice, int invocation, int all) {
    struct buf b = {0};
    message_begin(&b, MESSAGE_LIMIT);
    add_str(&b, call);
    message_int(&b, slice);
    message_int(&b, invocation);
    message_int(&b, all);
    say(c, &b);
}

__attribute__((unused)) static void hook(struct cell *c, int id, const char *version, const char *file,
                                         const char *name, const char *input) {
    struct buf b = {0};
    message_begin(&b, MESSAGE_HOOK);
    message_int(&b, id);
    add_str(&b, version);
    add_str(&b, file);
    add_str(&b, name);
    add_lua(&b, input);
    say(c, &b);
}

__attribute__((unused)) static void say_one(struct cell *c, enum message_type type, const char *text) {
    struct buf b = {0};
    message_begin(&b, type);
    add_str(&b, text);
    say(c, &b);
}

__attribute__((unused)) static void ping(struct cell *c) {
    say_one(c, MESSAGE_PING, "x");
    CHECK_STR("pong x", heard(c));
}
