/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/hook.h"
#include "script/message.h"
#include "script/value.h"
#include <stdio.h>
#include <string.h>

enum { RESULT_MAX = MESSAGE_MAX - 64 };

void hook_begin(struct task *t, const char *name, const char *input, size_t len) {
    if (t->invocation_ms > HOOK_MS) t->invocation_ms = HOOK_MS;
    t->total_ms = t->invocation_ms;
    t->run = program_hook(t->program, t->path, name, input, len, &t->nargs);
}

static void put(struct buf *out, const char *key, const char *text) {
    message_str(out, key, strlen(key));
    message_str(out, text, strlen(text));
}

static void failed(int64_t id, const char *kind, const char *text, const struct place *where, struct buf *out) {
    message_begin(out, MESSAGE_HOOKED);
    message_int(out, id);
    message_bool(out, false);
    message_open(out);
    put(out, "kind", kind);
    put(out, "text", text);
    put(out, "file", where->file);
    message_str(out, "line", 4);
    message_int(out, where->line);
    message_shut(out);
}

void hook_report(struct task *t, enum run_end end, struct buf *out) {
    struct run *r = t->run;
    struct err e = {0};
    struct place where = r->stood;
    char text[1024];

    switch (end) {
    case RUN_DONE:
        message_begin(out, MESSAGE_HOOKED);
        message_int(out, t->hook);
        message_bool(out, true);
        if (value_pack(r->L, 1, out, RESULT_MAX, &e) == 0) return;
        snprintf(text, sizeof text, "the result: %s", e.text);
        failed(t->hook, "form", text, &r->function, out);
        return;
    case RUN_ERROR:
        program_error(r, text, &where);
        failed(t->hook, "error", text, &where, out);
        return;
    case RUN_MEMORY:
        failed(t->hook, "memory", "used too much memory", &where, out);
        return;
    case RUN_SLICED:
        failed(t->hook, "cpu", "ran too long", &where, out);
        return;
    case RUN_WAITS: /* cannot be: what waits belongs to a call */
        failed(t->hook, "form", "waited for something", &where, out);
        return;
    }
}

void hook_refuse(int64_t id, const char *kind, const char *text, struct buf *out) {
    const struct place nowhere = {.line = 0};

    failed(id, kind, text, &nowhere, out);
}
