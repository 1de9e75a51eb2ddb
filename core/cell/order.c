/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/order.h"
#include "base/str.h"
#include "cell/cell.h"
#include "cell/check.h"
#include "cell/hook.h"
#include "cell/reply.h"
#include "cell/task.h"
#include "script/message.h"
#include "script/value.h"
#include <string.h>
#include <unistd.h>

enum { COVER_LINES_MAX = MESSAGE_MAX - 512 /* of a file, as they go into one message */ };

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

static void on_load(struct message *m, int fd) {
    char name[129];
    struct err e = {0};

    if (!get_text(m, name, sizeof name)) return;
    bool ok = version_load(name, fd, &e) == 0;
    reply_loaded(name, ok, ok ? "" : e.text);
}

static void on_unload(struct message *m) {
    char name[129];
    struct version *v;

    if (!get_text(m, name, sizeof name) || !(v = version_find(name))) return;
    for (struct task *t = task_all(), *next; t; t = next) {
        next = t->next;
        if (t->version != v) continue;
        task_end_run(t);
        t->version = NULL;
        if (t->kind == TASK_HOOK) {
            hook_refuse(t->hook, "form", "this version was unloaded", reply_out());
            reply_send();
        }
        if (t->kind != TASK_CALL) task_end(t);
    }
    version_unload(v);
}

static void on_check(struct message *m) {
    char name[129];
    size_t len = 0;
    struct version *v;

    get_text(m, name, sizeof name);
    const char *wanted = m->at < m->end ? message_get_any(m, &len) : NULL;
    if (m->bad) return;
    v = version_find(name);
    if (!v) {
        message_begin(reply_out(), MESSAGE_CHECKED);
        reply_text(name);
        message_bool(reply_out(), false);
        message_open(reply_out());
        message_shut(reply_out());
        reply_send();
        return;
    }
    struct task *t = task_add(TASK_CHECK);
    t->version = v;
    t->program = version_program(v);
    if (wanted && !check_wants(t, wanted, len)) {
        m->bad = true;
        return;
    }
    if (check_next(t)) {
        task_ready(t);
        return;
    }
    check_report(t, reply_out());
    reply_send();
    task_end(t);
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
    struct version *loaded = version_find(version);
    struct task *t = loaded ? task_for_call(call) : NULL;
    if (!t) {
        reply_failed(call, visit, "form", loaded ? "too many calls in one cell" : "this version is not loaded",
                     &nowhere, NULL);
        return;
    }
    task_end_run(t); /* of an earlier visit, if the worker gave it up */
    t->version = loaded;
    t->program = version_program(loaded);
    t->visit = visit;
    t->n = 0;
    t->invocation_us = 0;
    str_copy(t->path, sizeof t->path, file);
    if (v.data_len > MESSAGE_DATA_MAX) {
        reply_failed(call, visit, "form", "call.data is too large", &nowhere, NULL);
        return;
    }
    t->run = program_visit(t->program, &v, &t->nargs);
    t->run->owner = t;
    task_ready(t);
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
    struct version *loaded = version_find(version);
    if (!loaded || task_hooks() >= HOOKS_MAX) {
        hook_refuse(id, loaded ? "busy" : "form", loaded ? "too many hooks at a time" : "this version is not loaded",
                    reply_out());
        reply_send();
        return;
    }
    struct task *t = task_add(TASK_HOOK);
    t->hook = id;
    t->version = loaded;
    t->program = version_program(loaded);
    str_copy(t->path, sizeof t->path, file);
    hook_begin(t, name, input, len);
    task_ready(t);
}

static void on_answer(struct message *m) {
    char call[129];
    size_t len;

    get_text(m, call, sizeof call);
    int64_t visit = message_get_int(m), n = message_get_int(m);
    bool ok = message_get_bool(m);
    const char *value = message_get_any(m, &len);
    if (m->bad) return;
    struct task *t = task_of_call(call);
    if (!t || !t->waits || t->visit != visit || t->n != n) return; /* for something that is over */
    lua_pushboolean(t->run->L, ok);
    if (!value_unpack(t->run->L, value, value + len, NULL)) {
        m->bad = true;
        return;
    }
    t->waits = false;
    t->nargs = 2;
    t->invocation_us = 0;
    task_ready(t);
}

static void on_drop(struct message *m) {
    char call[129];
    struct task *t;

    if (get_text(m, call, sizeof call) && (t = task_of_call(call))) task_end(t);
}

static void on_limit(struct message *m) {
    char call[129];

    get_text(m, call, sizeof call);
    int64_t slice = message_get_int(m), invocation = message_get_int(m), all = message_get_int(m);
    if (m->bad || slice < 1 || slice > 1000 || invocation < 1 || invocation > 1 << 30 || all < 1 || all > 1 << 30) {
        m->bad = true;
        return;
    }
    struct task *t = task_for_call(call);
    if (!t) return;
    t->slice_ms = (int)slice;
    t->invocation_ms = (int)invocation;
    t->total_ms = (int)all;
}

static void on_ping(struct message *m) {
    size_t len;
    const char *token = message_get_any(m, &len);

    if (m->bad) return;
    message_begin(reply_out(), MESSAGE_PONG);
    buf_add(reply_out(), token, len);
    reply_send();
}

static void on_verbs(struct message *m) {
    size_t len;
    const char *list = message_get_any(m, &len);

    if (!m->bad) version_verbs(list, len);
}

/* Begins to note which lines run, or tells it of a file. Programs that are worn already are not noted. */
static void on_cover(struct message *m) {
    char name[129], path[BUNDLE_PATH_MAX + 1];
    struct version *v;
    static struct buf marks;

    get_text(m, name, sizeof name);
    get_text(m, path, sizeof path);
    if (m->bad || !(v = version_find(name))) return;
    if (!*path) {
        if (!v->cover) v->cover = cover_new(v->bytes, v->len);
        sandbox_cover(program_sandbox(version_program(v)), v->cover);
        return;
    }
    message_begin(reply_out(), MESSAGE_COVERED);
    reply_text(path);
    if (v->cover && cover_report(v->cover, path, COVER_LINES_MAX, &marks))
        message_str(reply_out(), marks.data ? marks.data : "", marks.len);
    else
        message_nil(reply_out());
    reply_send();
}

void order_take(const char *bytes, size_t len, int fd) {
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
