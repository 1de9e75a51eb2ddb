/* SPDX-License-Identifier: Apache-2.0 */
/* Messages over a SOCK_SEQPACKET socket, with descriptors beside them (SCM_RIGHTS): how master, zygote, workers and cells hand
 * each other sockets, pages and bundles.
 *
 * Ownership  What is sent stays the sender's too: it closes its own. What is received is the receiver's.
 * Errors     A negative errno.
 */
#pragma once
#include <stddef.h>
#include <sys/types.h>

enum { PASSING_MOST = 3 };

/* flags: MSG_DONTWAIT or 0. fds may be NULL when count is 0. Returns 0. */
int passing_send(int socket, const void *data, size_t len, const int *fds, int count, int flags);

/* Takes a message without waiting; what comes is closed on exec. Of one that has `count` descriptors, fds are those; they are
 * -1 otherwise, and other ones are closed. Returns the length, 0 when the other side is gone, -EMSGSIZE for one longer than cap. */
ssize_t passing_receive(int socket, void *data, size_t cap, int *fds, int count);
