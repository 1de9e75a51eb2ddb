/* SPDX-License-Identifier: Apache-2.0 */
#include "script/passing.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* As the kernel wants it: aligned, and with room for the head. */
union control {
    struct cmsghdr head;
    char space[CMSG_SPACE(PASSING_MOST * sizeof(int))];
};

int passing_send(int socket, const void *data, size_t len, const int *fds, int count, int flags) {
    struct iovec io = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1};
    union control control;

    if (count > 0) {
        memset(&control, 0, sizeof control);
        h.msg_control = control.space;
        h.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(&control.head), fds, (size_t)count * sizeof(int));
    }
    return sendmsg(socket, &h, flags | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

ssize_t passing_receive(int socket, void *data, size_t cap, int *fds, int count) {
    struct iovec io = {.iov_base = data, .iov_len = cap};
    union control control;
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = control.space};
    /* Not all of the space, which is padded: a fourth would come in. What is too many the kernel closes. */
    h.msg_controllen = CMSG_LEN(PASSING_MOST * sizeof(int));
    ssize_t n = recvmsg(socket, &h, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    for (int i = 0; i < count; i++) fds[i] = -1;
    if (n < 0) return -errno;
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS) {
        int came[PASSING_MOST], there = (int)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(came, CMSG_DATA(c), (size_t)there * sizeof(int));
        bool wanted = there == count && !(h.msg_flags & MSG_TRUNC);
        for (int i = 0; i < there; i++) {
            if (wanted)
                fds[i] = came[i];
            else
                close(came[i]);
        }
    }
    return h.msg_flags & MSG_TRUNC ? -EMSGSIZE : n;
}
