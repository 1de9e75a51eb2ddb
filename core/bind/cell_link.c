/* SPDX-License-Identifier: Apache-2.0 */
#include "bind/cell_link.h"
#include "base/mem.h"
#include "script/message.h"
#include "script/passing.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    READ_BURST = 16,         /* messages in one turn of the loop, which then goes on to others */
    READ_BYTES = 128 * 1024, /* and bytes */
    READ_AT_ONCE = 2,        /* messages in one system call: that there is only one is known without asking again */
};

struct unsent {
    struct unsent *next;
    size_t len;
    int fd; /* to be passed along, or -1 */
    char bytes[];
};

static void on_io(uv_poll_t *p, int status, int events);

/* Waits for what there is to wait for. */
static void watch(struct cell_link *l) {
    int events = (l->resting ? 0 : UV_READABLE) | (l->first == NULL ? 0 : UV_WRITABLE);

    if (events)
        uv_poll_start(l->poll, events, on_io);
    else
        uv_poll_stop(l->poll);
}

/* -- sending --------------------------------------------------------------------------------------------------------- */

static int send_now(int fd, const void *data, size_t len, int pass) {
    return passing_send(fd, data, len, &pass, pass >= 0, MSG_DONTWAIT);
}

static void keep(struct cell_link *l, const struct buf *message, int pass) {
    struct unsent *u = mem_alloc(sizeof *u + message->len);

    u->len = message->len;
    u->fd = pass;
    memcpy(u->bytes, message->data, message->len);
    if (l->last != NULL)
        l->last->next = u;
    else
        l->first = u;
    l->last = u;
    l->unsent++;
    l->unsent_bytes += u->len;
}

static void drop_first(struct cell_link *l) {
    struct unsent *u = l->first;

    l->first = u->next;
    if (l->first == NULL) l->last = NULL;
    l->unsent--;
    l->unsent_bytes -= u->len;
    if (u->fd >= 0) close(u->fd);
    free(u);
}

int cell_link_send(struct cell_link *l, const struct buf *message, int pass, struct err *e) {
    int rc = l->first == NULL ? send_now(l->fd, message->data, message->len, pass) : -EAGAIN;

    if (rc == -EAGAIN || rc == -ENOBUFS) {
        if (l->unsent < CELL_LINK_UNSENT_MAX && l->unsent_bytes + message->len <= CELL_LINK_UNSENT_BYTES_MAX) {
            keep(l, message, pass);
            if (l->unsent == 1) watch(l);
            return 0;
        }
        rc = err_set(e, ERR_BUSY, "the cell does not read: %d messages wait", l->unsent);
    } else if (rc < 0) {
        rc = err_set(e, ERR_CLOSED, "the cell is gone: %s", strerror(-rc));
    }
    if (pass >= 0) close(pass);
    return rc;
}

static void flush(struct cell_link *l) {
    while (l->first != NULL) {
        int rc = send_now(l->fd, l->first->bytes, l->first->len, l->first->fd);
        if (rc == -EAGAIN || rc == -ENOBUFS) return;
        drop_first(l);
    }
    watch(l);
}

/* -- receiving ------------------------------------------------------------------------------------------------------- */

static void on_rested(uv_timer_t *t) {
    struct cell_link *l = t->data;

    l->resting = false;
    watch(l);
}

/* Counts a message that was read. */
static void take_in(struct cell_link *l, size_t len) {
    uint64_t rest_ms = l->unpaced ? 0 : intake_take(&l->intake, len, uv_now(l->loop));

    if (rest_ms == 0) return;
    l->resting = true;
    uv_timer_start(l->rest, on_rested, rest_ms, 0);
    watch(l);
}

/* How many came, 0 for none; lens: as they were sent, beyond MESSAGE_MAX too. */
static int receive(int fd, char data[][MESSAGE_MAX], size_t lens[]) {
    struct iovec io[READ_AT_ONCE];
    struct mmsghdr heads[READ_AT_ONCE];

    memset(heads, 0, sizeof heads); /* no room for descriptors: the kernel closes those that come */
    for (int i = 0; i < READ_AT_ONCE; i++) {
        io[i] = (struct iovec){.iov_base = data[i], .iov_len = MESSAGE_MAX};
        heads[i].msg_hdr.msg_iov = &io[i];
        heads[i].msg_hdr.msg_iovlen = 1;
    }
    int n = recvmmsg(fd, heads, READ_AT_ONCE, MSG_DONTWAIT | MSG_TRUNC, NULL);
    if (n < 0 && errno == ECONNRESET) n = recvmmsg(fd, heads, READ_AT_ONCE, MSG_DONTWAIT | MSG_TRUNC, NULL);
    for (int i = 0; i < n; i++) lens[i] = heads[i].msg_len;
    if (n >= 0 || errno == EAGAIN || errno == EINTR) return n > 0 ? n : 0;
    lens[0] = 0; /* broken is read as its end */
    return 1;
}

/* What is wrong with a socket, which forgets it. */
static int take_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;

    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) == 0 ? error : EBADF;
}

static void on_io(uv_poll_t *p, int status, int events) {
    static char data[READ_AT_ONCE][MESSAGE_MAX]; /* one loop thread */
    struct cell_link *l = p->data;
    size_t lens[READ_AT_ONCE], heard = 0;
    int n = READ_AT_ONCE;

    if (l == NULL) return;
    if (status < 0) {
        /* It ended with something unread, and libuv looks no more. The error is told once: behind it is what it had said. */
        int error = take_error(l->fd);
        if (error == 0 || error == ECONNRESET)
            watch(l);
        else
            l->events->over(l, "its socket failed");
        return;
    }
    if (events & UV_WRITABLE) flush(l);
    if (!(events & UV_READABLE)) return;
    for (int read = 0; n == READ_AT_ONCE && read < READ_BURST && heard < READ_BYTES && !l->resting; read += n) {
        n = receive(l->fd, data, lens);
        for (int i = 0; i < n; i++) {
            if (lens[i] == 0) {
                l->events->over(l, "died");
                return;
            }
            heard += lens[i];
            take_in(l, lens[i]);
            l->events->said(l, data[i], lens[i]);
            if (p->data == NULL) return; /* closed meanwhile, and perhaps no more */
        }
    }
}

uint64_t cell_link_dry_ms(struct cell_link *l) {
    return l->fd < 0 ? 0 : intake_dry_ms(&l->intake, uv_now(l->loop));
}

/* -- from open to close ---------------------------------------------------------------------------------------------- */

static void on_closed(uv_handle_t *h) {
    free(h);
}

void cell_link_open(struct cell_link *l, uv_loop_t *loop, int fd, const struct cell_link_events *events) {
    *l = (struct cell_link){.fd = fd, .loop = loop, .events = events, .unpaced = l->unpaced};
    l->poll = mem_alloc(sizeof *l->poll);
    uv_poll_init(loop, l->poll, fd);
    l->poll->data = l;
    l->rest = mem_alloc(sizeof *l->rest);
    uv_timer_init(loop, l->rest);
    l->rest->data = l;
    intake_open(&l->intake, uv_now(loop));
    watch(l);
}

void cell_link_close(struct cell_link *l) {
    if (l->fd < 0) return;
    l->poll->data = NULL;
    uv_close((uv_handle_t *)l->poll, on_closed);
    uv_close((uv_handle_t *)l->rest, on_closed);
    close(l->fd);
    l->fd = -1;
    while (l->first != NULL) drop_first(l);
}
