/* SPDX-License-Identifier: Apache-2.0 */
/* A bundle in a sandbox: its files, require, the flow library, and the functions a cell runs.
 *
 * Ownership  The bundle's bytes are borrowed and outlive the program; verbs are copied.
 * Errors     What a file does wrong shows when it runs: a program itself cannot fail to open.
 */
#pragma once
#include "cell/sandbox.h"
#include "script/bundle.h"
#include "script/message.h"

struct program;
/* In the process that cells are forked from: makes the first program_open() cheap, in time and in memory. */
void program_prepare(void);
/* bytes: checked by bundle_check(). verbs: the value of MESSAGE_VERBS, checked by value_check(), or NULL. */
struct program *program_open(const void *bytes, size_t len, const char *verbs, size_t verbs_len);
void program_close(struct program *p); /* its runs have ended */
struct sandbox *program_sandbox(struct program *p);
bool program_file(const struct program *p, const char *path, size_t path_len, struct bundle_file *f);

/* New runs, ready for run_slice(r, *nargs, ...).
 * A visit: results of the run are "next", name | nil, data or "form", text. The verb it waits for is in r->asks (name and a list
 * of arguments, as values); it goes on with two values pushed: true and the result, or false and the error. */
struct visit {
    const char *file, *state; /* NUL-terminated */
    const char *data, *info;  /* values, checked; both tables (data may be nil) */
    size_t data_len, info_len;
};
struct run *program_visit(struct program *p, const struct visit *v, int *nargs);
/* Results: { start=, states=, ended=, failed= }, list of problems. */
struct run *program_check_flow(struct program *p, const char *path, int *nargs);
/* Result: the table that bundle.lua returns. */
struct run *program_check_bundle(struct program *p, const char *path, int *nargs);
/* Result: { type=, line=, names= } of what another file returns. */
struct run *program_check_file(struct program *p, const char *path, int *nargs);
/* Result: what the function gives for input, a table as a checked value. name "": the file's own value, called when it is one. */
struct run *program_hook(struct program *p, const char *path, const char *name, const char *input, size_t len,
                         int *nargs);

/* The text and place of what went wrong: the error value on the top of L. Never raises, asks no metamethods. */
void program_error(struct run *r, char text[1024], struct place *where);
