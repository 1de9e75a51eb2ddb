/* SPDX-License-Identifier: Apache-2.0 */
/* Spares the client library a read that finds nothing. Having sent a statement it reads at once, on its non-blocking calls
 * too, and is told to wait: a system call for nothing with nearly every statement. What reads the socket is in a table of
 * functions that belongs to the connection (ma_pvio.h, the library's interface for plugins).
 *
 * Its layout is the library's own affair, and there is no call that does this. So it is touched only where the library that
 * runs is, to the digit, the one whose header we were built with, and that is of the 3 that we know; with any other each
 * statement has its read as before.
 *
 * Ownership  Lives where the connection does, and must outlive it.
 */
#pragma once
#include <mysql.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#if __has_include(<ma_pvio.h>) && defined(MARIADB_PACKAGE_VERSION_ID)
#if MARIADB_PACKAGE_VERSION_ID / 10000 == 3
#define SQL_READS_KNOWN 1
#include <ma_pvio.h> /* last: it includes nothing of what it needs */
#endif
#endif

struct sql_reads {
#ifdef SQL_READS_KNOWN
    PVIO_METHODS methods; /* the library's with our async_read; first, so that it leads back here */
    ssize_t (*read)(MARIADB_PVIO *pvio, unsigned char *out, size_t len);
#endif
    bool in_vain; /* nothing can have come yet */
};

/* The version of the library that runs: mysql_get_client_version(), or a test's. */
extern unsigned long (*sql_reads_library)(void);

/* Of a connection that stands. False: it reads as the library does. */
bool sql_reads_watch(struct sql_reads *r, MYSQL *mysql);
