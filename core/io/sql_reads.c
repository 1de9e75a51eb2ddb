/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_reads.h"
#include <errno.h>

static ssize_t read_if_any(MARIADB_PVIO *pvio, unsigned char *out, size_t len) {
    struct sql_reads *r = (struct sql_reads *)pvio->methods;
    if (r->in_vain) {
        errno = EAGAIN;
        return -1;
    }
    return r->read(pvio, out, len);
}

void sql_reads_watch(struct sql_reads *r, MYSQL *mysql) {
    MARIADB_PVIO *pvio = mysql->net.pvio;
    if (pvio == NULL || pvio->mysql != mysql || pvio->methods == NULL || pvio->methods->async_read == NULL) return;
    r->methods = *pvio->methods;
    r->read = r->methods.async_read;
    r->methods.async_read = read_if_any;
    r->in_vain = false;
    pvio->methods = &r->methods;
}
