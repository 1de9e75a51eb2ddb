/* SPDX-License-Identifier: Apache-2.0 */
/* Spares the client library a read that finds nothing. Having sent a statement it reads at once, on its non-blocking calls
 * too, and is told to wait: a system call for nothing with nearly every statement. What reads the socket is in a table of
 * functions that belongs to the connection (ma_pvio.h, the library's interface for plugins).
 *
 * Ownership  Lives where the connection does, and must outlive it.
 */
#pragma once
#include <mysql.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include <ma_pvio.h> /* last: it includes nothing of what it needs */

struct sql_reads {
    PVIO_METHODS methods; /* the library's with our async_read; first, so that it leads back here */
    ssize_t (*read)(MARIADB_PVIO *pvio, unsigned char *out, size_t len);
    bool in_vain; /* nothing can have come yet */
};

/* Of a connection that stands; where the library is built in another way than its header says, nothing changes. */
void sql_reads_watch(struct sql_reads *r, MYSQL *mysql);
