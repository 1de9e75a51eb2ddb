/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between a worker and a cell: one SOCK_SEQPACKET datagram each, at most 64 KiB.
 *
 * 4 bytes: type, 0, 0, 0. Then values (value.h) in the order given here.
 * Worker to cell
 *   LOAD   version(hash string)                 with a sealed memfd (SCM_RIGHTS) holding the bundle (bundle.h)
 *   CHECK  version, files                       parse and run every file of a loaded bundle, answer CHECKED; files: list of those
 *                                               that are loaded besides flows and bundle.lua (hooks, data)
 *   UNLOAD version
 *   RUN    call, version, file, state, visit, data, info   run state's function; info: { id, from, to, direction, started_us, seed }
 *   ANSWER call, visit, n, ok, result | error   to a verb; error: { code, text }
 *   DROP   call                                 forget it: nothing more will come
 *   LIMIT  call, slice_ms, invocation_ms, call_ms          budgets of a call (optional, before RUN)
 *   PING   token
 *   VERBS  list of { name=, params = { { name=, type= }, ... } }   what a call object offers; before the first LOAD
 *   HOOK   id, version, file, name, input       call the file's function of that name (or the one it returns); name "": the file's
 *                                               own value; answer HOOKED. input: a table; its seed starts math.random
 *   COVER  version, path                        "": note from now on which lines run (for tests); a file: answer COVERED
 * Cell to worker
 *   LOADED   version, ok, text                  LOAD is done, or why not
 *   CHECKED  version, ok, result                result: { flows = { ["flows/main.lua"] = { start=, states={names} } }, bundle = <bundle.lua's table>,
 *                                               files = { ["routing.lua"] = { type=, line= of its return, names={functions} } },
 *                                               problems = { { file=, line=, text= } } }
 *   VERB     call, visit, n, name, args, file, line  the flow waits for ANSWER; args: list; file, line: where it stands
 *   NEXT     call, visit, next, data, file, line     the state's function returned; next: a state's name, or nil: done;
 *                                               file, line: where the function begins, "" and 0 when there is none
 *   FAILED   call, visit, kind, text, file, line, trace
 *                                               kind: "error" uncaught, "cpu" over its budget, "memory", "form" (bad return value)
 *                                               trace: list of at most 10 lines, "file:line: in function 'name'", the innermost first
 *   PONG     token
 *   HOOKED   id, ok, result | { text=, file=, line=, kind= }   kind: as in FAILED, or "busy"
 *   COVERED  path, text                         a character a line: '-' no code, '0' code that has not run, '1' code that has; nil: not known
 * An error in ANSWER that has raise = true is raised in the script; others come back as nil, error.
 * data of RUN and NEXT: at most MESSAGE_DATA_MAX bytes.
 * What a worker makes of whatever a cell sends, and what bounds it: cell/README.md.
 */
#pragma once
#include "base/buf.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MESSAGE_MAX = 64 * 1024, MESSAGE_DATA_MAX = 16 * 1024 };
enum message_type {
    MESSAGE_LOAD = 1,
    MESSAGE_CHECK,
    MESSAGE_UNLOAD,
    MESSAGE_RUN,
    MESSAGE_ANSWER,
    MESSAGE_DROP,
    MESSAGE_LIMIT,
    MESSAGE_PING,
    MESSAGE_VERBS,
    MESSAGE_HOOK,
    MESSAGE_COVER = 12,
    MESSAGE_LOADED = 65,
    MESSAGE_CHECKED,
    MESSAGE_VERB,
    MESSAGE_NEXT,
    MESSAGE_FAILED,
    MESSAGE_PONG,
    MESSAGE_HOOKED,
    MESSAGE_COVERED = 73
};

/* Writing one into an empty buffer. */
void message_begin(struct buf *out, enum message_type type);
void message_nil(struct buf *out);
void message_bool(struct buf *out, bool yes);
void message_int(struct buf *out, int64_t n); /* |n| <= 2^53 */
void message_str(struct buf *out, const char *text, size_t len);
void message_open(struct buf *out); /* a table: keys and values in turn, until message_shut() */
void message_shut(struct buf *out);

/* Reading one without a VM. The first value that is not what was asked for sets bad, and all that follow fail too. */
struct message {
    const char *at, *end; /* borrowed */
    uint8_t type;
    bool bad;
};
bool message_read(struct message *m, const void *bytes, size_t len);
bool message_get_bool(struct message *m);
int64_t message_get_int(struct message *m);
const char *message_get_str(struct message *m, size_t *len); /* not NUL-terminated; NULL when bad */
const char *message_get_any(struct message *m, size_t *len); /* the bytes of one value, checked; NULL when bad */
