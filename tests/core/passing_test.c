/* SPDX-License-Identifier: Apache-2.0 */
#include "script/passing.h"
#include "test.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static int ends[2];

static int begin(void **state) {
    (void)state;
    return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends);
}

static int end(void **state) {
    (void)state;
    close(ends[0]);
    close(ends[1]);
    return 0;
}

/* How many descriptors this process has. */
static int open_now(void) {
    int count = 0;
    DIR *d = opendir("/proc/self/fd");
    while (readdir(d)) count++;
    closedir(d);
    return count;
}

/* What is sent here comes out at the other end of the pipe. */
static void send_pipe_ends(int count) {
    int pipes[8];
    for (int i = 0; i < count; i++) {
        int pair[2];
        CHECK_INT(0, pipe(pair));
        pipes[i] = pair[1];
        close(pair[0]);
    }
    CHECK_INT(0, passing_send(ends[0], "here", 4, pipes, count, 0));
    for (int i = 0; i < count; i++) close(pipes[i]);
}

TEST(descriptors_come_with_their_message_in_their_order) {
    char text[8], byte = 'x';
    int here[3], there[3];
    for (int i = 0; i < 3; i++) {
        int pair[2];
        CHECK_INT(0, pipe(pair));
        here[i] = pair[0];
        there[i] = pair[1];
    }
    CHECK_INT(0, passing_send(ends[0], "three", 5, there, 3, MSG_DONTWAIT));
    CHECK_INT(0, passing_send(ends[0], "none", 4, NULL, 0, MSG_DONTWAIT));
    for (int i = 0; i < 3; i++) close(there[i]);
    CHECK_INT(5, passing_receive(ends[1], text, sizeof text, there, 3));
    for (int i = 0; i < 3; i++) {
        CHECK(fcntl(there[i], F_GETFD) & FD_CLOEXEC);
        byte = (char)('a' + i);
        CHECK_INT(1, write(there[i], &byte, 1));
        CHECK_INT(1, read(here[i], text, 1));
        CHECK_INT(byte, text[0]);
        close(there[i]);
        close(here[i]);
    }
    CHECK_INT(4, passing_receive(ends[1], text, sizeof text, there, 3));
    CHECK_INT(-1, there[0]);
    CHECK_INT(-EAGAIN, passing_receive(ends[1], text, sizeof text, there, 3));
    close(ends[0]);
    CHECK_INT(0, passing_receive(ends[1], text, sizeof text, there, 3));
    CHECK_INT(-EPIPE, passing_send(ends[1], "late", 4, NULL, 0, 0));
}

TEST(descriptors_that_nobody_asked_for_are_closed) {
    char text[8];
    int fds[3], before = open_now();
    for (int count = 1; count <= 3; count++) {
        send_pipe_ends(count);
        CHECK_INT(4, passing_receive(ends[1], text, sizeof text, fds, count % 3 + 1));
        CHECK_INT(-1, fds[0]);
        CHECK_INT(before, open_now());
    }
    send_pipe_ends(1); /* of a message that is too long, too */
    CHECK_INT(-EMSGSIZE, passing_receive(ends[1], text, 2, fds, 1));
    CHECK_INT(-1, fds[0]);
    CHECK_INT(before, open_now());
}

/* Sent by hand: passing_send() has no room for so many. */
TEST(more_descriptors_than_there_is_room_for_are_no_harm) {
    int many[5] = {0, 0, 0, 0, 0}, fds[3], before = open_now();
    char text[8], space[CMSG_SPACE(sizeof many)] = {0};
    struct iovec io = {.iov_base = "many", .iov_len = 4};
    struct msghdr h = {.msg_iov = &io, .msg_iovlen = 1, .msg_control = space, .msg_controllen = sizeof space};
    struct cmsghdr *c = CMSG_FIRSTHDR(&h);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    for (int count = 4; count <= 5; count++) {
        h.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
        c->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
        memcpy(CMSG_DATA(c), many, (size_t)count * sizeof(int));
        CHECK_INT(4, sendmsg(ends[0], &h, 0));
        CHECK_INT(4, passing_receive(ends[1], text, sizeof text, fds, 2));
        CHECK_INT(-1, fds[0]);
        CHECK_INT(before, open_now());
    }
}

int main(void) {
#define FRESH(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        FRESH(descriptors_come_with_their_message_in_their_order),
        FRESH(descriptors_that_nobody_asked_for_are_closed),
        FRESH(more_descriptors_than_there_is_room_for_are_no_harm),
    };
    return RUN_ALL(tests);
}
