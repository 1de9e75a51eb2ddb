/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/cell.h"
#include "cell/order.h"
#include "cell/reply.h"
#include "cell/sandbox.h"
#include "cell/share.h"
#include "cell/turn.h"
#include "script/message.h"
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { READ_BURST = 64 };

static struct {
    struct cell_page *page;
    int fd;
    int share_percent;
} cell;

static void on_hard_limit(void) {
    cell.page->memory = sandbox_bytes(); /* running, call, file and line stand since the slice began */
    _exit(CELL_EXIT_MEMORY);
}

void cell_budget(const struct cell_opts *opts) {
    cell.share_percent = opts->share_percent;
    task_setup(opts);
    sandbox_limit(opts->soft_bytes, opts->hard_bytes);
}

int cell_setup(const struct cell_opts *opts, struct cell_page *page) {
    struct err e;

    cell.page = page;
    turn_setup(page);
    cell_budget(opts);
    return sandbox_setup(opts->soft_bytes, opts->hard_bytes, on_hard_limit, &e) < 0 ? EAGAIN : 0;
}

/* One message, which it waits for unless flags say MSG_DONTWAIT; false when none is there. */
static bool receive(int flags) {
    static char bytes[MESSAGE_MAX];
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec io = {.iov_base = bytes, .iov_len = sizeof bytes};
    struct msghdr h = {
        .msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space};
    int fd = -1;
    ssize_t n = recvmsg(cell.fd, &h, flags | MSG_CMSG_CLOEXEC);

    if (!(flags & MSG_DONTWAIT)) share_slept();
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) return false;
    if (n <= 0) _exit(CELL_EXIT_CLOSED);
    if (h.msg_flags & MSG_TRUNC) _exit(CELL_EXIT_PROTOCOL);
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS && c->cmsg_len == CMSG_LEN(sizeof fd))
        memcpy(&fd, CMSG_DATA(c), sizeof fd);
    order_take(bytes, (size_t)n, fd);
    if (fd >= 0) close(fd);
    return true;
}

/* A cell lives on short turns: an answer comes, and its flow runs on to the next verb. So each system call here counts. With nothing
 * to do it waits in recvmsg() itself, and what that brings is dealt with before anything is asked for behind it. */
void cell_serve(int fd) {
    struct pollfd p = {.fd = fd, .events = POLLIN};

    cell.fd = fd;
    reply_open(fd);
    share_begin(cell.share_percent);
    for (;;) {
        if (!task_any_ready()) {
            share_count();
            if (share_idles()) sandbox_rest();
            receive(0);
        } else {
            for (int i = 0; i < READ_BURST && receive(MSG_DONTWAIT); i++) {
            }
        }
        if (!task_any_ready()) continue; /* or a message has dropped it */
        int wait = share_wait_ms();
        if (wait == 0) {
            turn_run(task_take_ready());
        } else {
            sandbox_rest();
            poll(&p, 1, wait);
            share_slept();
        }
    }
}
