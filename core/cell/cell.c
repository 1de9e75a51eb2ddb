/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/cell.h"
#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/str.h"
#include "cell/check.h"
#include "cell/hook.h"
#include "cell/task.h"
#include "script/message.h"
#include "script/value.h"
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BURST = 64,
    COVER_LINES_MAX = MESSAGE_MAX - 512, /* of a file, as they go into one message */
    CALLS_MAX = 65536,                   /* well above limits.calls_per_tenant, as those of a dead worker come on top */
    GLANCE_US = 200,                     /* of use as the wall's clock tells it, and the CPU's is looked at */
    IDLE_US = 1000, /* a cell that waited longer for its last message is not expected to run again soon */
};

static struct {
    struct cell_opts opts;
    struct cell_page *page;
    int fd;
    struct version *versions;
    struct task *tasks;
    struct map calls;          /* call -> its task */
    int hooks;                 /* of the tasks */
    struct task *first, *last; /* ready, the next in turn first */
    struct buf out, verbs;
    uint64_t cpu_us, looked_us; /* used, at most; and when the CPU's clock was last looked at */
    uint64_t now_us;            /* as of which moment */
    bool idles;
    uint64_t window_ms, window_cpu_us; /* the second being counted: when it began, CPU paid for by then */
} cell;

static void on_hard_limit(void) {
    cell.page->memory = sandbox_bytes(); /* running, call, file and line stand since the slice began */
    _exit(CELL_EXIT_MEMORY);
}

int cell_setup(const struct cell_opts *opts, struct cell_page *page) {
    struct err e;

    cell.opts = *opts;
    cell.page = page;
    return sandbox_setup(opts->soft_bytes, opts->hard_bytes, on_hard_limit, &e) < 0 ? EAGAIN : 0;
}

/* What has been used, as if nobody else had run since the CPU's clock was looked at: that is a system call and the wall's clock is
 * none, and for so short a time it makes little difference. */
static void count_cpu(void) {
    uint64_t now = clock_mono_us();
    struct timespec t;

    cell.cpu_us += now - cell.now_us;
    cell.now_us = now;
    if (cell.cpu_us - cell.looked_us < GLANCE_US) return;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    cell.cpu_us = cell.looked_us = (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Nothing was used since it was last counted: the cell slept. */
static void count_sleep(void) {
    uint64_t now = clock_mono_us();

    cell.idles = now - cell.now_us > IDLE_US;
    cell.now_us = now;
}

/* -- answering ------------------------------------------------------------------------------------------------------- */

static void send_out(void) {
    while (send(cell.fd, cell.out.data, cell.out.len, MSG_NOSIGNAL) < 0)
        if (errno != EINTR) _exit(CELL_EXIT_CLOSED); /* nobody is there to hear it */
}

static void put_text(const char *text) {
    message_str(&cell.out, text, strlen(text));
}

static void put_place(const struct place *where) {
    put_text(where->file);
    message_int(&cell.out, where->line);
}

static void send_loaded(const char *version, bool ok, const char *text) {
    message_begin(&cell.out, MESSAGE_LOADED);
    put_text(version);
    message_bool(&cell.out, ok);
    put_text(text);
    send_out();
}

/* L: where it failed, or NULL. */
static void send_failed(const char *call, int64_t visit, const char *kind, const char *text, const struct place *where,
                        lua_State *L) {
    static char frames[PLACE_FRAMES][PLACE_FRAME_MAX];
    int n = L ? place_trace(L, frames) : 0;

    message_begin(&cell.out, MESSAGE_FAILED);
    put_text(call);
    message_int(&cell.out, visit);
    put_text(kind);
    put_text(text);
    put_place(where);
    message_open(&cell.out);
    for (int i = 0; i < n; i++) {
        message_int(&cell.out, i + 1);
        put_text(frames[i]);
    }
    message_shut(&cell.out);
    send_out();
}

/* -- tasks ----------------------------------------------------------------------------------------------------------- */

static struct task *add_task(enum task_kind kind) {
    struct task *t = mem_alloc(sizeof *t);

    t->kind = kind;
    t->slice_ms = cell.opts.slice_ms;
    t->invocation_ms = cell.opts.invocation_ms;
    t->total_ms = cell.opts.call_ms;
    t->next = cell.tasks;
    if (t->next) t->next->before = t;
    cell.tasks = t;
    return t;
}

static void make_ready(struct task *t) {
    if (t->ready) return;
    t->ready = true;
    t->ready_next = NULL;
    t->ready_before = cell.last;
    if (cell.last)
        cell.last->ready_next = t;
    else
        cell.first = t;
    cell.last = t;
}

static void unready(struct task *t) {
    if (!t->ready) return;
    *(t->ready_before ? &t->ready_before->ready_next : &cell.first) = t->ready_next;
    *(t->ready_next ? &t->ready_next->ready_before : &cell.last) = t->ready_before;
    t->ready = false;
}

static struct task *take_ready(void) {
    struct task *t = cell.first;

    unready(t);
    return t;
}

/* A worn program goes with the last run in it. */
static void sweep_worn(struct version *v) {
    for (struct worn **at = &v->worn; *at;) {
        struct worn *w = *at;
        if (sandbox_runs(program_sandbox(w->program)) > 0) {
            at = &w->next;
            continue;
        }
        *at = w->next;
        program_close(w->program);
        free(w);
    }
}

static void end_run(struct task *t) {
    unready(t);
    t->waits = false;
    run_free(t->run);
    t->run = NULL;
    t->program = NULL;
    if (t->version && t->version->worn) sweep_worn(t->version);
}

static void end_task(struct task *t) {
    end_run(t);
    check_free(t);
    if (t->kind == TASK_CALL) map_drop(&cell.calls, t->call, t);
    if (t->kind == TASK_HOOK) cell.hooks--;
    *(t->before ? &t->before->next : &cell.tasks) = t->next;
    if (t->next) t->next->before = t->before;
    free(t);
}

/* After a run was stopped for its memory: when what is left is the files' own data, new visits get a fresh program. */
static void relieve(struct version *v) {
    if (!v->program) return;
    sandbox_collect(program_sandbox(v->program));
    if (!sandbox_is_tight()) return;
    struct worn *w = mem_alloc(sizeof *w);
    w->program = v->program;
    w->next = v->worn;
    v->worn = w;
    v->program = NULL;
    sweep_worn(v);
}

static struct program *program_of(struct version *v) {
    if (!v->program) {
        v->program = program_open(v->bytes, v->len, cell.verbs.data, cell.verbs.len);
        sandbox_cover(program_sandbox(v->program), v->cover);
    }
    return v->program;
}

/* -- slices ---------------------------------------------------------------------------------------------------------- */

static void fail(struct task *t, const char *kind, const char *text, const struct place *where) {
    send_failed(t->call, t->visit, kind, text, where, t->run->L);
    end_run(t);
}

/* The function of the visit has returned. */
static void take_result(struct task *t) {
    lua_State *L = t->run->L;
    struct err e = {0};
    const char *kind = lua_tostring(L, 1);
    size_t len;

    if (kind && strcmp(kind, "next") == 0) {
        message_begin(&cell.out, MESSAGE_NEXT);
        put_text(t->call);
        message_int(&cell.out, t->visit);
        if (lua_type(L, 2) == LUA_TSTRING) {
            const char *name = lua_tolstring(L, 2, &len);
            message_str(&cell.out, name, len);
        } else {
            message_nil(&cell.out);
        }
        if (value_pack(L, 3, &cell.out, MESSAGE_DATA_MAX, &e) == 0) {
            put_place(&t->run->function);
            send_out();
            end_run(t);
            return;
        }
        char text[sizeof e.text + 16] = "call.data: ";
        str_copy(text + strlen(text), sizeof text - strlen(text), e.text);
        fail(t, "form", text, &t->run->function);
        return;
    }
    const char *text = lua_tostring(L, 2);
    fail(t, "form", text ? text : "the state returned nothing that can be used", &t->run->function);
}

static void take_end(struct task *t, enum run_end end) {
    char text[1024];
    struct place where;
    bool over = t->invocation_us > (uint64_t)t->invocation_ms * 1000,
         over_all = t->total_us > (uint64_t)t->total_ms * 1000;

    if (end == RUN_SLICED && !over && !over_all) {
        t->nargs = 0;
        make_ready(t);
        return;
    }
    if (t->kind == TASK_CHECK) {
        check_take(t, end);
        if (!over_all && check_next(t)) {
            make_ready(t);
            return;
        }
        check_report(t, &cell.out);
        send_out();
        struct version *v = t->version;
        end_task(t);
        if (end == RUN_MEMORY) relieve(v);
        return;
    }
    if (t->kind == TASK_HOOK) {
        hook_report(t, end, &cell.out);
        send_out();
        struct version *v = t->version;
        end_task(t);
        if (end == RUN_MEMORY) relieve(v);
        return;
    }
    switch (end) {
    case RUN_DONE:
        take_result(t);
        return;
    case RUN_WAITS:
        if (over_all) { /* many short steps add up too */
            place_of_stack(t->run->L, &where);
            fail(t, "cpu", "used up the call's time", where.line ? &where : &t->run->function);
            return;
        }
        t->waits = true;
        if (!place_of_stack(t->run->L, &t->run->stood)) t->run->stood = t->run->function; /* return call:verb() */
        message_begin(&cell.out, MESSAGE_VERB);
        put_text(t->call);
        message_int(&cell.out, t->visit);
        message_int(&cell.out, ++t->n);
        buf_add(&cell.out, t->run->asks.data, t->run->asks.len);
        put_place(&t->run->stood);
        send_out();
        return;
    case RUN_ERROR:
        program_error(t->run, text, &where);
        fail(t, "error", text, &where);
        return;
    case RUN_SLICED:
        where = t->run->stood;
        fail(t, "cpu", over ? "ran too long without asking for anything" : "used up the call's time", &where);
        return;
    case RUN_MEMORY:
        where = t->run->stood;
        fail(t, "memory", "used too much memory", &where);
        relieve(t->version);
        return;
    }
}

static void stamp(const struct task *t) {
    struct cell_page *page = cell.page;
    const struct run *r = t->run;
    const struct place *at = r->stood.line ? &r->stood : &r->function;

    if (t->kind == TASK_HOOK)
        snprintf(page->call, sizeof page->call, "hook %lld", (long long)t->hook);
    else
        str_copy(page->call, sizeof page->call, t->kind == TASK_CALL ? t->call : "check");
    str_copy(page->file, sizeof page->file, at->line ? at->file : t->path);
    page->line = (uint32_t)at->line;
    page->running = 1;
}

/* Right after throttled_ms(), which counts. */
static void run_one(struct task *t) {
    uint64_t before = cell.cpu_us;

    stamp(t);
    enum run_end end = run_slice(t->run, t->nargs, t->slice_ms);
    cell.page->running = 0;
    cell.page->slices++;
    cell.page->memory = sandbox_bytes();
    count_cpu();
    uint64_t used = cell.cpu_us > before ? cell.cpu_us - before : 0; /* less: too much had been counted before */
    t->invocation_us += used;
    t->total_us += used;
    if (end == RUN_SLICED && used >= (uint64_t)t->slice_ms * 1000 * 3 / 4)
        cell.page->long_turns++; /* and not one that had to wait for the core */
    take_end(t, end);
}

/* Milliseconds to wait until the cell may run again: its share of each second is bounded. */
static int throttled_ms(void) {
    uint64_t share_us = (uint64_t)cell.opts.share_percent * 10000;

    count_cpu();
    uint64_t now = cell.now_us / 1000, seconds = (now - cell.window_ms) / 1000;
    if (seconds > 0) { /* what a second took beyond its share is the next one's: the worker counts over all of them */
        uint64_t paid = cell.window_cpu_us + seconds * share_us;
        cell.window_ms = now;
        cell.window_cpu_us = cell.cpu_us < paid ? cell.cpu_us : paid;
    }
    if (cell.cpu_us < cell.window_cpu_us + share_us) return 0;
    return (int)(1000 - (now - cell.window_ms));
}

/* -- messages -------------------------------------------------------------------------------------------------------- */

/* The next value as text of at most cap - 1 bytes without NUL. */
static bool get_text(struct message *m, char *out, size_t cap) {
    size_t len;
    const char *text = message_get_str(m, &len);

    if (!text || len >= cap || memchr(text, 0, len)) {
        m->bad = true;
        return false;
    }
    memcpy(out, text, len);
    out[len] = '\0';
    return true;
}

static struct version *find_version(const char *name) {
    struct version *v = cell.versions;

    while (v && strcmp(v->name, name) != 0) v = v->next;
    return v;
}

/* Maps a sealed memfd: nobody can change or shorten it under us. */
static int map_bundle(int fd, void **bytes, size_t *len, struct err *e) {
    int seals = fcntl(fd, F_GET_SEALS), wanted = F_SEAL_SHRINK | F_SEAL_WRITE;
    off_t size = lseek(fd, 0, SEEK_END);

    if (fd < 0 || seals < 0 || (seals & wanted) != wanted || size <= 0)
        return err_set(e, ERR_INVALID, "the bundle is not in a sealed memory file");
    if (size > BUNDLE_MAX) return err_set(e, ERR_LIMIT, "the bundle has more than %d bytes", BUNDLE_MAX);
    *bytes = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (*bytes == MAP_FAILED) return err_set(e, ERR_IO, "the bundle cannot be mapped");
    *len = (size_t)size;
    int rc = bundle_check(*bytes, *len, e);
    if (rc < 0) munmap(*bytes, *len);
    return rc;
}

static void on_load(struct message *m, int fd) {
    char name[129];
    struct err e = {0};
    void *bytes;
    size_t len = 0;
    int count = 0;

    if (!get_text(m, name, sizeof name)) return;
    for (struct version *v = cell.versions; v; v = v->next) count++;
    if (find_version(name)) {
        send_loaded(name, true, "");
    } else if (count >= CELL_VERSIONS_MAX) {
        send_loaded(name, false, "too many versions are loaded");
    } else if (map_bundle(fd, &bytes, &len, &e) < 0) {
        send_loaded(name, false, e.text);
    } else {
        struct version *v = mem_alloc(sizeof *v);
        str_copy(v->name, sizeof v->name, name);
        v->bytes = bytes;
        v->len = len;
        program_of(v); /* now, so that the first call need not wait */
        v->next = cell.versions;
        cell.versions = v;
        send_loaded(name, true, "");
    }
}

static void on_unload(struct message *m) {
    char name[129];
    struct version *v, **at = &cell.versions;

    if (!get_text(m, name, sizeof name) || !(v = find_version(name))) return;
    for (struct task *t = cell.tasks, *next; t; t = next) {
        next = t->next;
        if (t->version != v) continue;
        end_run(t);
        t->version = NULL;
        if (t->kind == TASK_HOOK) {
            hook_refuse(t->hook, "form", "this version was unloaded", &cell.out);
            send_out();
        }
        if (t->kind != TASK_CALL) end_task(t);
    }
    sweep_worn(v);
    program_close(v->program);
    cover_free(v->cover);
    munmap(v->bytes, v->len);
    while (*at != v) at = &(*at)->next;
    *at = v->next;
    free(v);
}

static void on_check(struct message *m) {
    char name[129];
    size_t len = 0;
    struct version *v;

    get_text(m, name, sizeof name);
    const char *wanted = m->at < m->end ? message_get_any(m, &len) : NULL;
    if (m->bad) return;
    v = find_version(name);
    if (!v) {
        message_begin(&cell.out, MESSAGE_CHECKED);
        put_text(name);
        message_bool(&cell.out, false);
        message_open(&cell.out);
        message_shut(&cell.out);
        send_out();
        return;
    }
    struct task *t = add_task(TASK_CHECK);
    t->version = v;
    t->program = program_of(v);
    if (wanted && !check_wants(t, wanted, len)) {
        m->bad = true;
        return;
    }
    if (check_next(t)) {
        make_ready(t);
        return;
    }
    check_report(t, &cell.out);
    send_out();
    end_task(t);
}

/* The call's task, made when there is none; NULL when there are too many. */
static struct task *call_task(const char *call) {
    struct task *t = map_get(&cell.calls, call);

    if (t) return t;
    if (cell.calls.count >= CALLS_MAX) return NULL;
    t = add_task(TASK_CALL);
    str_copy(t->call, sizeof t->call, call);
    map_put(&cell.calls, t->call, t);
    return t;
}

static bool is_table(const char *value) {
    return value && *value == '{';
}

static void on_run(struct message *m) {
    char call[129], version[129], file[BUNDLE_PATH_MAX + 1], state[129];
    struct place nowhere = {.line = 0};
    struct visit v = {.file = file, .state = state};

    get_text(m, call, sizeof call);
    get_text(m, version, sizeof version);
    get_text(m, file, sizeof file);
    get_text(m, state, sizeof state);
    int64_t visit = message_get_int(m);
    v.data = message_get_any(m, &v.data_len);
    v.info = message_get_any(m, &v.info_len);
    if (m->bad || !is_table(v.info) || !(is_table(v.data) || *v.data == 'z')) {
        m->bad = true;
        return;
    }
    struct version *loaded = find_version(version);
    struct task *t = loaded ? call_task(call) : NULL;
    if (!t) {
        send_failed(call, visit, "form", loaded ? "too many calls in one cell" : "this version is not loaded", &nowhere,
                    NULL);
        return;
    }
    end_run(t); /* of an earlier visit, if the worker gave it up */
    t->version = loaded;
    t->program = program_of(loaded);
    t->visit = visit;
    t->n = 0;
    t->invocation_us = 0;
    str_copy(t->path, sizeof t->path, file);
    if (v.data_len > MESSAGE_DATA_MAX) {
        send_failed(call, visit, "form", "call.data is too large", &nowhere, NULL);
        return;
    }
    t->run = program_visit(t->program, &v, &t->nargs);
    t->run->owner = t;
    make_ready(t);
}

static void on_hook(struct message *m) {
    char version[129], file[BUNDLE_PATH_MAX + 1], name[65];
    size_t len;
    int64_t id = message_get_int(m);

    get_text(m, version, sizeof version);
    get_text(m, file, sizeof file);
    get_text(m, name, sizeof name);
    const char *input = message_get_any(m, &len);
    if (m->bad || !is_table(input)) {
        m->bad = true;
        return;
    }
    struct version *loaded = find_version(version);
    if (!loaded || cell.hooks >= HOOKS_MAX) {
        hook_refuse(id, loaded ? "busy" : "form", loaded ? "too many hooks at a time" : "this version is not loaded",
                    &cell.out);
        send_out();
        return;
    }
    struct task *t = add_task(TASK_HOOK);
    cell.hooks++;
    t->hook = id;
    t->version = loaded;
    t->program = program_of(loaded);
    str_copy(t->path, sizeof t->path, file);
    hook_begin(t, name, input, len);
    make_ready(t);
}

static void on_answer(struct message *m) {
    char call[129];
    size_t len;

    get_text(m, call, sizeof call);
    int64_t visit = message_get_int(m), n = message_get_int(m);
    bool ok = message_get_bool(m);
    const char *value = message_get_any(m, &len);
    if (m->bad) return;
    struct task *t = map_get(&cell.calls, call);
    if (!t || !t->waits || t->visit != visit || t->n != n) return; /* for something that is over */
    lua_pushboolean(t->run->L, ok);
    if (!value_unpack(t->run->L, value, value + len, NULL)) {
        m->bad = true;
        return;
    }
    t->waits = false;
    t->nargs = 2;
    t->invocation_us = 0;
    make_ready(t);
}

static void on_drop(struct message *m) {
    char call[129];
    struct task *t;

    if (get_text(m, call, sizeof call) && (t = map_get(&cell.calls, call))) end_task(t);
}

static void on_limit(struct message *m) {
    char call[129];

    get_text(m, call, sizeof call);
    int64_t slice = message_get_int(m), invocation = message_get_int(m), all = message_get_int(m);
    if (m->bad || slice < 1 || slice > 1000 || invocation < 1 || invocation > 1 << 30 || all < 1 || all > 1 << 30) {
        m->bad = true;
        return;
    }
    struct task *t = call_task(call);
    if (!t) return;
    t->slice_ms = (int)slice;
    t->invocation_ms = (int)invocation;
    t->total_ms = (int)all;
}

static void on_ping(struct message *m) {
    size_t len;
    const char *token = message_get_any(m, &len);

    if (m->bad) return;
    message_begin(&cell.out, MESSAGE_PONG);
    buf_add(&cell.out, token, len);
    send_out();
}

static void on_verbs(struct message *m) {
    size_t len;
    const char *list = message_get_any(m, &len);

    if (m->bad) return;
    buf_clear(&cell.verbs);
    buf_add(&cell.verbs, list, len);
}

/* Begins to note which lines run, or tells it of a file. Programs that are worn already are not noted. */
static void on_cover(struct message *m) {
    char name[129], path[BUNDLE_PATH_MAX + 1];
    struct version *v;
    static struct buf marks;

    get_text(m, name, sizeof name);
    get_text(m, path, sizeof path);
    if (m->bad || !(v = find_version(name))) return;
    if (!*path) {
        if (!v->cover) v->cover = cover_new(v->bytes, v->len);
        sandbox_cover(program_sandbox(program_of(v)), v->cover);
        return;
    }
    message_begin(&cell.out, MESSAGE_COVERED);
    put_text(path);
    if (v->cover && cover_report(v->cover, path, COVER_LINES_MAX, &marks))
        message_str(&cell.out, marks.data ? marks.data : "", marks.len);
    else
        message_nil(&cell.out);
    send_out();
}

static void on_message(const char *bytes, size_t len, int fd) {
    struct message m;

    message_read(&m, bytes, len);
    switch (m.type) {
    case MESSAGE_LOAD:
        on_load(&m, fd);
        break;
    case MESSAGE_CHECK:
        on_check(&m);
        break;
    case MESSAGE_UNLOAD:
        on_unload(&m);
        break;
    case MESSAGE_RUN:
        on_run(&m);
        break;
    case MESSAGE_ANSWER:
        on_answer(&m);
        break;
    case MESSAGE_DROP:
        on_drop(&m);
        break;
    case MESSAGE_LIMIT:
        on_limit(&m);
        break;
    case MESSAGE_PING:
        on_ping(&m);
        break;
    case MESSAGE_VERBS:
        on_verbs(&m);
        break;
    case MESSAGE_HOOK:
        on_hook(&m);
        break;
    case MESSAGE_COVER:
        on_cover(&m);
        break;
    default:
        m.bad = true;
    }
    if (m.bad) _exit(CELL_EXIT_PROTOCOL);
}

/* One message, which it waits for unless flags say MSG_DONTWAIT; false when none is there. */
static bool receive(int flags) {
    static char bytes[MESSAGE_MAX];
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec io = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr h = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    int fd = -1;
    ssize_t n = recvmsg(cell.fd, &h, flags | MSG_CMSG_CLOEXEC);

    if (!(flags & MSG_DONTWAIT)) count_sleep();
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) _exit(CELL_EXIT_CLOSED);
    if (h.msg_flags & MSG_TRUNC) _exit(CELL_EXIT_PROTOCOL);
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    on_message(bytes, (size_t)n, fd);
    if (fd >= 0) close(fd);
    return true;
}

/* A cell lives on short turns: an answer comes, and its flow runs on to the next verb. So each system call here counts. With nothing
 * to do it waits in recvmsg() itself, and what that brings is dealt with before anything is asked for behind it. */
void cell_serve(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};

    cell.fd = fd;
    cell.now_us = clock_mono_us();
    cell.window_ms = cell.now_us / 1000;
    cell.looked_us = 0;
    cell.cpu_us = GLANCE_US; /* so that the clock is looked at */
    count_cpu();
    cell.window_cpu_us = cell.cpu_us;
    for (;;) {
        if (!cell.first) {
            count_cpu();
            if (cell.idles) sandbox_rest();
            receive(0);
        } else {
            for (int i = 0; i < READ_BURST && receive(MSG_DONTWAIT); i++) {
            }
        }
        if (!cell.first) continue; /* or a message has dropped it */
        int wait = throttled_ms();
        if (wait == 0) {
            run_one(take_ready());
        } else {
            sandbox_rest();
            poll(&p, 1, wait);
            count_sleep();
        }
    }
}
