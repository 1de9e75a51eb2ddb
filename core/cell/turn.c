/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/turn.h"
#include "base/str.h"
#include "cell/check.h"
#include "cell/hook.h"
#include "cell/reply.h"
#include "cell/share.h"
#include "script/message.h"
#include "script/value.h"
#include <stdio.h>
#include <string.h>

static struct cell_page *page;

void turn_setup(struct cell_page *p) {
    page = p;
}

static void fail(struct task *t, const char *kind, const char *text, const struct place *where) {
    reply_failed(t->call, t->visit, kind, text, where, t->run->L);
    task_end_run(t);
}

/* The function of the visit has returned. */
static void take_result(struct task *t) {
    lua_State *L = t->run->L;
    struct err e = {0};
    const char *kind = lua_tostring(L, 1);
    size_t len;

    if (kind && strcmp(kind, "next") == 0) {
        message_begin(reply_out(), MESSAGE_NEXT);
        reply_text(t->call);
        message_int(reply_out(), t->visit);
        if (lua_type(L, 2) == LUA_TSTRING) {
            const char *name = lua_tolstring(L, 2, &len);
            message_str(reply_out(), name, len);
        } else {
            message_nil(reply_out());
        }
        if (value_pack(L, 3, reply_out(), MESSAGE_DATA_MAX, &e) == 0) {
            reply_place(&t->run->function);
            reply_send();
            task_end_run(t);
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
        task_ready(t);
        return;
    }
    if (t->kind == TASK_CHECK) {
        check_take(t, end);
        if (!over_all && check_next(t)) {
            task_ready(t);
            return;
        }
        check_report(t, reply_out());
        reply_send();
        struct version *v = t->version;
        task_end(t);
        if (end == RUN_MEMORY) version_relieve(v);
        return;
    }
    if (t->kind == TASK_HOOK) {
        hook_report(t, end, reply_out());
        reply_send();
        struct version *v = t->version;
        task_end(t);
        if (end == RUN_MEMORY) version_relieve(v);
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
        message_begin(reply_out(), MESSAGE_VERB);
        reply_text(t->call);
        message_int(reply_out(), t->visit);
        message_int(reply_out(), ++t->n);
        buf_add(reply_out(), t->run->asks.data, t->run->asks.len);
        reply_place(&t->run->stood);
        reply_send();
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
        version_relieve(t->version);
        return;
    }
}

static void stamp(const struct task *t) {
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

void turn_run(struct task *t) {
    uint64_t before = share_used_us();

    stamp(t);
    enum run_end end = run_slice(t->run, t->nargs, t->slice_ms);
    page->running = 0;
    page->slices++;
    page->memory = sandbox_bytes();
    share_count();
    uint64_t now = share_used_us(), used = now > before ? now - before : 0; /* less: too much had been counted before */
    t->invocation_us += used;
    t->total_us += used;
    if (end == RUN_SLICED && used >= (uint64_t)t->slice_ms * 1000 * 3 / 4)
        page->long_turns++; /* and not one that had to wait for the core */
    take_end(t, end);
}
