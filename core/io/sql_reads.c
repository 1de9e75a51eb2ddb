/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_reads.h"
#include <errno.h>

unsigned long (*sql_reads_library)(void) = mysql_get_client_version;

#ifdef SQL_READS_KNOWN
static ssize_t read_if_any(MARIADB_PVIO *pvio, unsigned char *out, size_t len) {
    struct sql_reads *r = (struct sql_reads *)pvio->methods;
    if (r->in_vain) {
        errno = EAGAIN;
        return -1;
    }
    return r->read(pvio, out, len);
}

bool sql_reads_watch(struct sql_reads *r, MYSQL *mysql) {
    MARIADB_PVIO *pvio = mysql->net.pvio;
    r->in_vain = false;
    if (sql_reads_library() != MARIADB_PACKAGE_VERSION_ID) return false; /* a distribution may give us a newer one */
    if (pvio == NULL || pvio->mysql != mysql || pvio->methods == NULL || pvio->methods->async_read == NULL)
        return false;
    r->methods = *pvio->methods;
    r->read = r->methods.async_read;
    r->methods.async_read = read_if_any;
    pvio->methods = &r->methods;
    return true;
}
#else
bool sql_reads_watch(struct sql_reads *r, MYSQL *mysql) {
    (void)mysql;
    r->in_vain = false;
    return false;
}
#endif
