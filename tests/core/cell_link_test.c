/* SPDX-License-Identifier: Apache-2.0 */
/* The worker's end of a cell's socket, with a cell that is played here. */
#include "bind/cell_link.h"
#include "script/message.h"
#include "script/passing.h"
#include "until.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static uv_loop_t loop;
static struct cell_link l;
static int cell; /* its end */
static int heard, last, close_at;
static size_t longest;
static const char *over;

static void on_said(struct cell_link *link, const char *data, size_t len) {
    CHECK(link == &l);
    heard++;
    if (len > longest) longest = len;
    if (len >= sizeof last) memcpy(&last, data, sizeof last);
    if (heard == close_at) cell_link_close(&l);
}

static void on_over(struct cell_link *link, const char *why) {
    over = why;
    cell_link_close(link);
}

static const struct cell_link_events events = {on_said, on_over};

static int open_world(void **state) {
    int pair[2];

    (void)state;
    uv_loop_init(&loop);
    CHECK_INT(0, socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair));
    cell = pair[1];
    heard = last = close_at = 0;
    longest = 0;
    over = NULL;
    cell_link_open(&l, &loop, pair[0], &events);
    return 0;
}

static int close_world(void **state) {
    (void)state;
    cell_link_close(&l);
    close(cell);
    while (uv_run(&loop, UV_RUN_NOWAIT)) {
    }
    return uv_loop_close(&loop);
}

static int say(int n, size_t len, int pass, struct err *e) {
    struct buf b = {0};

    buf_reserve(&b, len);
    memset(b.data, 0, len);
    memcpy(b.data, &n, sizeof n);
    b.len = len;
    int rc = cell_link_send(&l, &b, pass, e);
    buf_free(&b);
    return rc;
}

/* What the cell reads next, and the descriptor that came along. */
static int next(int *fd) {
    static char bytes[MESSAGE_MAX];
    ssize_t n;
    int number;

    UNTIL((n = passing_receive(cell, bytes, sizeof bytes, fd, 1)) != -EAGAIN);
    CHECK(n >= (ssize_t)sizeof number);
    memcpy(&number, bytes, sizeof number);
    return number;
}

static void cell_says(int n, size_t len) {
    static char bytes[2 * MESSAGE_MAX];

    memcpy(bytes, &n, sizeof n);
    CHECK_INT(len, send(cell, bytes, len, MSG_NOSIGNAL));
}

TEST(what_a_cell_does_not_read_yet_comes_to_it_in_order_with_its_descriptors) {
    int fd, far;

    for (int i = 1; i <= 2000; i++) CHECK_INT(0, say(i, 100, i % 500 == 0 ? dup(cell) : -1, NULL));
    for (int i = 1; i <= 2000; i++) {
        CHECK_INT(i, next(&fd));
        CHECK_INT(i % 500 == 0, fd >= 0);
        if (fd >= 0) close(fd);
    }
    CHECK_INT(0, l.unsent);
    CHECK_INT(0, say(7, 100, -1, NULL)); /* straight again */
    CHECK_INT(0, l.unsent);
    CHECK_INT(7, next(&far));
}

TEST(a_cell_that_does_not_read_is_not_waited_for_without_end) {
    struct err e = {0};
    int said = 0, lent;

    while (say(said + 1, 60000, -1, &e) == 0) said++;
    CHECK_INT(ERR_BUSY, e.code);
    CHECK(l.unsent_bytes <= CELL_LINK_UNSENT_BYTES_MAX && l.unsent > 60);
    lent = dup(cell);
    CHECK_INT(ERR_BUSY, say(0, 60000, lent, &e));
    CHECK_INT(-1, fcntl(lent, F_GETFD)); /* ours no more, though it did not go */
    for (int i = 1, fd; i <= said; i++) CHECK_INT(i, next(&fd));
}

TEST(messages_that_came_together_are_all_heard_in_order) {
    for (int n = 1; n <= 101; n++) {
        cell_says(n, 8);
        if (n % 25 == 0 || n == 101) UNTIL(last == n);
    }
    CHECK_INT(101, heard);
    CHECK(over == NULL);
}

/* It is given on as long as it was sent, so that whoever looks into it refuses it. */
TEST(a_message_that_is_too_long_is_known_by_its_length) {
    cell_says(1, MESSAGE_MAX + 1000);
    cell_says(2, 8);
    UNTIL(heard == 2);
    CHECK_INT(MESSAGE_MAX + 1000, longest);
    CHECK_INT(2, last);
}

TEST(a_link_that_is_closed_by_a_message_hears_nothing_more) {
    close_at = 1;
    for (int n = 1; n <= 10; n++) cell_says(n, 8);
    UNTIL(heard > 0);
    RUN_FOR(20);
    CHECK_INT(1, heard);
}

TEST(a_cell_that_died_is_heard_to_its_last_word) {
    for (int n = 1; n <= 3; n++) cell_says(n, 8);
    close(cell);
    UNTIL(over != NULL);
    CHECK_STR("died", over);
    CHECK_INT(3, heard);
    cell = -1;
}

/* Its end was told as an error of the socket, and taken for all there was. */
TEST(a_cell_that_died_with_something_unread_lost_what_it_had_said) {
    CHECK_INT(0, say(7, 8, -1, NULL));
    for (int n = 1; n <= 100; n++) cell_says(n, 8);
    close(cell);
    UNTIL(over != NULL);
    CHECK_STR("died", over);
    CHECK_INT(100, heard);
    CHECK_INT(100, last);
    cell = -1;
}

TEST(a_cell_that_dies_while_we_send_to_it_is_heard_to_its_last_word) {
    for (int i = 0; l.unsent == 0; i++) CHECK_INT(0, say(i, 60000, -1, NULL));
    for (int n = 1; n <= 3; n++) cell_says(n, 8);
    close(cell);
    UNTIL(over != NULL);
    CHECK_STR("died", over);
    CHECK_INT(3, heard);
    cell = -1;
}

TEST(a_cell_that_sends_without_end_is_read_no_faster_than_it_may) {
    uint64_t began = uv_now(&loop);

    for (int n = 0; !l.resting && uv_now(&loop) - began < 20000; uv_run(&loop, UV_RUN_NOWAIT))
        while (send(cell, &n, sizeof n, MSG_NOSIGNAL | MSG_DONTWAIT) > 0) n++;
    CHECK(l.resting);
    CHECK(heard >= INTAKE_MESSAGES_BURST);
    CHECK(heard <= INTAKE_MESSAGES_BURST + (int)(uv_now(&loop) - began + 1) * INTAKE_MESSAGES / 1000 + 2);
    began = uv_now(&loop);
    int before = heard;
    UNTIL(heard > before);
    CHECK(uv_now(&loop) - began >= INTAKE_REST_MS && cell_link_dry_ms(&l) >= INTAKE_REST_MS);
}

int main(void) {
#define WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        WORLD(what_a_cell_does_not_read_yet_comes_to_it_in_order_with_its_descriptors),
        WORLD(a_cell_that_does_not_read_is_not_waited_for_without_end),
        WORLD(messages_that_came_together_are_all_heard_in_order),
        WORLD(a_message_that_is_too_long_is_known_by_its_length),
        WORLD(a_link_that_is_closed_by_a_message_hears_nothing_more),
        WORLD(a_cell_that_died_is_heard_to_its_last_word),
        WORLD(a_cell_that_died_with_something_unread_lost_what_it_had_said),
        WORLD(a_cell_that_dies_while_we_send_to_it_is_heard_to_its_last_word),
        WORLD(a_cell_that_sends_without_end_is_read_no_faster_than_it_may),
    };
    return RUN_ALL(tests);
}
