/* SPDX-License-Identifier: Apache-2.0 */
/* Messages between a worker and a cell: one SOCK_SEQPACKET datagram each, at most 64 KiB.
 *
 * 4 bytes: type, 0, 0, 0. Then values (value.h) in the order given here.
 * Worker to cell
 *   LOAD   version(hash string)                 with a sealed memfd (SCM_RIGHTS) holding the bundle (bundle.h)
 *   CHECK  version                              parse and run every file of a loaded bundle, answer CHECKED
 *   UNLOAD version
 *   RUN    call, version, file, state, visit, data, info   run state's function; info: { id, from, to, direction, started_us, seed }
 *   ANSWER call, visit, n, ok, result | error   to a verb; error: { code, text }
 *   DROP   call                                 forget it: nothing more will come
 *   LIMIT  call, slice_ms, invocation_ms, call_ms          budgets of a call (optional, before RUN)
 *   PING   token
 * Cell to worker
 *   LOADED   version, ok, text                  LOAD is done, or why not
 *   CHECKED  version, ok, result                result: { flows = { ["flows/main.lua"] = { start=, states={names} } }, bundle = <bundle.lua's table>,
 *                                               problems = { { file=, line=, text= } } }
 *   VERB     call, visit, n, name, args         the flow waits for ANSWER; args: list
 *   NEXT     call, visit, next, data            the state's function returned; next: a state's name, or nil: done
 *   FAILED   call, visit, kind, text, file, line kind: "error" uncaught, "cpu" over its budget, "memory", "form" (bad return value)
 *   PONG     token
 */
#pragma once

enum { MESSAGE_MAX = 64 * 1024 };
enum message_type {
    MESSAGE_LOAD = 1, MESSAGE_CHECK, MESSAGE_UNLOAD, MESSAGE_RUN, MESSAGE_ANSWER, MESSAGE_DROP, MESSAGE_LIMIT, MESSAGE_PING,
    MESSAGE_LOADED = 65, MESSAGE_CHECKED, MESSAGE_VERB, MESSAGE_NEXT, MESSAGE_FAILED, MESSAGE_PONG
};
