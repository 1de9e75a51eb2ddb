/* SPDX-License-Identifier: Apache-2.0 */
/* The zygote's words to one worker, on that worker's control socket: what the socket does not take waits, in order.
 *
 * While something waits, the zygote reads nothing of that worker. So there waits at most what one SPAWN comes to and one ENDED for
 * each of its cells, however long it does not read.
 *
 * Ownership  The socket is the caller's. Descriptors that go along are taken, whatever comes of them.
 */
#pragma once
#include "script/zygote.h"
#include <stdbool.h>

struct answer;
struct answers {
    int fd;
    struct answer *first, *last;
};
/* fds: three, or NULL. False: it waits. What a worker that is gone can have no more is dropped: it is gone when it is read. */
bool answers_say(struct answers *a, const struct zygote_message *m, const int fds[3]);
/* The socket takes something again. True: nothing waits any more. */
bool answers_flush(struct answers *a);
void answers_free(struct answers *a);
