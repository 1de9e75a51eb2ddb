/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/answers.h"
#include "base/mem.h"
#include "script/passing.h"
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { FDS = 3 };

struct answer {
    struct answer *next;
    struct zygote_message message;
    int fds[FDS], count;
};

static void close_all(const int *fds, int count) {
    for (int i = 0; i < count; i++) close(fds[i]);
}

/* False when it has to wait. */
static bool send_now(int fd, const struct zygote_message *m, const int *fds, int count) {
    int rc = passing_send(fd, m, sizeof *m, fds, count, MSG_DONTWAIT);

    if (rc == -EAGAIN || rc == -ENOBUFS || rc == -EINTR) return false;
    close_all(fds, count);
    return true;
}

bool answers_say(struct answers *a, const struct zygote_message *m, const int fds[3]) {
    int count = fds ? FDS : 0;

    if (!a->first && send_now(a->fd, m, fds, count)) return true;
    struct answer *one = mem_alloc(sizeof *one);
    *one = (struct answer){.message = *m, .count = count};
    if (fds) memcpy(one->fds, fds, sizeof one->fds);
    *(a->first ? &a->last->next : &a->first) = one;
    a->last = one;
    return false;
}

static void drop_first(struct answers *a) {
    struct answer *one = a->first;

    a->first = one->next;
    free(one);
}

bool answers_flush(struct answers *a) {
    while (a->first && send_now(a->fd, &a->first->message, a->first->fds, a->first->count)) drop_first(a);
    return !a->first;
}

void answers_free(struct answers *a) {
    while (a->first) {
        close_all(a->first->fds, a->first->count);
        drop_first(a);
    }
}
