/* SPDX-License-Identifier: Apache-2.0 */
/* The addresses of a server by name. The client library would stop the loop to find them, so it is given addresses. */
#pragma once
#include <netinet/in.h>
#include <stdbool.h>
#include <uv.h>

enum { SQL_ADDRESSES = 8 };
struct sql_addresses {
    char text[SQL_ADDRESSES][INET6_ADDRSTRLEN];
    int count;
};
bool sql_address_is(const char *host); /* an address already, no name */

/* why: NULL, or what went wrong. Never from inside sql_lookup(). */
typedef void (*sql_found_cb)(void *arg, const struct sql_addresses *found, const char *why);
struct sql_lookup; /* frees itself */
/* NULL and *why when the host cannot even be asked for. */
struct sql_lookup *sql_lookup(uv_loop_t *loop, const char *host, sql_found_cb cb, void *arg, const char **why);
void sql_lookup_forget(struct sql_lookup *l); /* its callback will not come */
