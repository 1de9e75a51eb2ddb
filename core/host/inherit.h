/* SPDX-License-Identifier: Apache-2.0 */
/* What a master hands to the program it becomes: listeners, workers with their pipes, the zygote. It travels as JSON in a
 * memory file whose number is an argument; the files themselves stay open over exec.
 *
 *   before   inherit_listener() .. inherit_worker() .. inherit_zygote() -> inherit_seal() -> execv()
 *   after    inherit_read() -> inherit_take_listener() .., inherit_close_listeners()
 */
#pragma once
#include "base/err.h"

enum { INHERIT_MAX = 64 }; /* workers */

struct inherit {
    int fd; /* of the memory file, after inherit_seal() */
    struct inherit_listener {
        char kind[8];  /* http, https */
        int index, fd; /* fd -1: taken */
    } listeners[2 * INHERIT_MAX];
    int listener_count;
    struct inherit_worker {
        int index, pid, pipe;
        char owner[64];
    } workers[INHERIT_MAX];
    int worker_count;
    int zygote, zygote_fd; /* pid, control socket; 0, -1: none */
};

void inherit_listener(struct inherit *h, const char *kind, int index, int fd);
void inherit_worker(struct inherit *h, int index, int pid, int pipe, const char *owner);
void inherit_zygote(struct inherit *h, int pid, int fd);
/* All that was named stays open over exec from now on. */
int inherit_seal(struct inherit *h, struct err *e);
void inherit_undo(struct inherit *h); /* exec did not happen */

/* Files are close-on-exec again. */
int inherit_read(struct inherit *h, int fd, struct err *e);
/* The listener of this worker when it is bound to this address; -1: there is none. It is the caller's from then on. */
int inherit_take_listener(struct inherit *h, const char *kind, int index, const char *bind_to, int port);
void inherit_close_listeners(struct inherit *h); /* those nobody took */
