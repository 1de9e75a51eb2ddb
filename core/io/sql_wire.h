/* SPDX-License-Identifier: Apache-2.0 */
/* The socket of a connection, as the loop watches it. The library opens and closes its descriptor inside its calls,
 * and libuv must not watch one that was closed, so what is watched is a second descriptor of the same socket, ours.
 *
 * It stays watched for reading between statements too: that costs no system call per statement, and a server that hangs
 * up is noticed at once.
 */
#pragma once
#include <stdbool.h>
#include <uv.h>

struct sql_wire_watch;
struct sql_wire {
    uv_loop_t *loop;
    void (*ready)(void *arg, int ready); /* MYSQL_WAIT_READ, MYSQL_WAIT_WRITE */
    void (*gone)(void *arg);             /* after sql_wire_close(), when libuv has let go */
    void *arg;
    struct sql_wire_watch *watch; /* NULL: closed */
    int closing;                  /* watches that libuv still holds */
};

int sql_wire_open(struct sql_wire *w, int fd); /* a negative errno when descriptors are out */
void sql_wire_close(struct sql_wire *w);
int sql_wire_wait(struct sql_wire *w, int waits); /* until the next call; a negative errno */
/* Whatever reads or writes on the socket fails from here. */
void sql_wire_cut(struct sql_wire *w);
/* There is something to read, or nothing ever will be. */
bool sql_wire_is_readable(const struct sql_wire *w);
