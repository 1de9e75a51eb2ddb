/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a program: bytes in, bytes out, a time limit. argv[0] is looked up in PATH. No shell, nothing inherited but
 * stdin/stdout/stderr and PATH, HOME, LANG. At most 8 run at once per loop, 256 wait (then ERR_BUSY). */
#pragma once
#include "base/err.h"
#include <stddef.h>
#include <uv.h>

struct process_opts {
    const char *const *argv; /* ends with NULL */
    const void *input;
    size_t input_len;
    int timeout_ms;      /* 0: 10000; then SIGKILL and ERR_TIMEOUT */
    size_t output_limit; /* bytes of stdout; 0: 16 MiB; more: SIGKILL and ERR_LIMIT */
    /* Exactly once. e->code 0 when it exited by itself (status = exit code, or 128 + signal). errors: first 4 KiB of stderr. */
    void (*on_done)(void *arg, int status, const char *out, size_t len, const char *errors, const struct err *e);
    void *arg;
};
int process_run(uv_loop_t *loop, const struct process_opts *o, struct err *e);
