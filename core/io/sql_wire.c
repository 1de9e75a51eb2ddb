/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_wire.h"
#include "base/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <mysql.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

struct sql_wire_watch {
    uv_poll_t poll;
    int fd; /* ours */
    int waits;
    struct sql_wire *wire;
};

int sql_wire_open(struct sql_wire *w, int fd) {
    int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (copy < 0) return -errno;
    fcntl(fd, F_SETFD, FD_CLOEXEC); /* the library's goes to no child either */

    struct sql_wire_watch *watch = mem_alloc(sizeof *watch);
    int rc = uv_poll_init(w->loop, &watch->poll, copy);
    if (rc < 0) {
        close(copy);
        free(watch);
        return rc;
    }
    watch->poll.data = watch;
    watch->fd = copy;
    watch->wire = w;
    w->watch = watch;
    return 0;
}

static void on_closed(uv_handle_t *handle) {
    struct sql_wire_watch *watch = handle->data;
    struct sql_wire *w = watch->wire;
    free(watch);
    if (--w->closing == 0 && w->gone) w->gone(w->arg);
}

void sql_wire_close(struct sql_wire *w) {
    if (w->watch == NULL) return;
    uv_close((uv_handle_t *)&w->watch->poll, on_closed);
    close(w->watch->fd);
    w->watch = NULL;
    w->closing++;
}

static void on_poll(uv_poll_t *poll, int status, int events) {
    struct sql_wire_watch *watch = poll->data;
    int ready = 0;
    if (status < 0) { /* the library shall find out what it is; libuv has stopped watching */
        watch->waits = 0;
        ready = MYSQL_WAIT_READ | MYSQL_WAIT_WRITE;
    }
    if (events & UV_READABLE) ready |= MYSQL_WAIT_READ;
    if (events & UV_WRITABLE) ready |= MYSQL_WAIT_WRITE;
    if (ready) watch->wire->ready(watch->wire->arg, ready);
}

int sql_wire_wait(struct sql_wire *w, int waits) {
    int events = 0;
    if (w->watch->waits == waits) return 0;
    if (waits & MYSQL_WAIT_READ) events |= UV_READABLE;
    if (waits & MYSQL_WAIT_WRITE) events |= UV_WRITABLE;
    int rc = uv_poll_start(&w->watch->poll, events, on_poll);
    w->watch->waits = rc < 0 ? 0 : waits;
    return rc;
}

void sql_wire_cut(struct sql_wire *w) {
    if (w->watch) shutdown(w->watch->fd, SHUT_RDWR);
}

bool sql_wire_is_readable(const struct sql_wire *w) {
    struct pollfd p = {.fd = w->watch->fd, .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}
