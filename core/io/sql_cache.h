/* SPDX-License-Identifier: Apache-2.0 */
/* The prepared statements of one connection, by (schema, text); the one not used for longest makes room.
 *
 * A prepared statement belongs to the schema that was selected when it was prepared, also when it is executed after
 * another was selected: the server keeps that with the statement. So the schema is part of the cache's key, and it is
 * selected only to prepare. A server that thought otherwise would fail the test that asks 200 tenants.
 *
 * Ownership  The cache closes what it holds; at the server too, unless the connection was closed before. */
#pragma once
#include <mysql.h>
#include <stddef.h>
#include <stdint.h>

enum { SQL_CACHED = 64 };
struct sql_cached {
    MYSQL_STMT *stmt; /* NULL: a free place */
    char *schema, *text;
    size_t len;
    uint64_t hash;
    uint64_t used; /* larger is later */
};
struct sql_cache {
    struct sql_cached places[SQL_CACHED];
    uint64_t uses;
};

MYSQL_STMT *sql_cache_find(struct sql_cache *cache, const char *schema, const char *text, size_t len); /* or NULL */
void sql_cache_add(struct sql_cache *cache, const char *schema, const char *text, size_t len, MYSQL_STMT *stmt);
void sql_cache_forget(struct sql_cache *cache, MYSQL_STMT *stmt);
void sql_cache_clear(struct sql_cache *cache);
