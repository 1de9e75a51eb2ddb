/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_cache.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

static uint64_t hash_of(const char *schema, const char *text, size_t len) {
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (const char *s = schema; *s; s++) h = (h ^ (unsigned char)*s) * 1099511628211u;
    h *= 1099511628211u;
    for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)text[i]) * 1099511628211u;
    return h;
}

static void clear(struct sql_cached *p) {
    if (p->stmt) mysql_stmt_close(p->stmt); /* asks no answer, and what it sends fits the socket of an idle server */
    free(p->schema);
    free(p->text);
    *p = (struct sql_cached){0};
}

MYSQL_STMT *sql_cache_find(struct sql_cache *cache, const char *schema, const char *text, size_t len) {
    uint64_t hash = hash_of(schema, text, len);
    for (int i = 0; i < SQL_CACHED; i++) {
        struct sql_cached *p = &cache->places[i];
        if (p->stmt == NULL || p->hash != hash || p->len != len) continue;
        if (memcmp(p->text, text, len) != 0 || strcmp(p->schema, schema) != 0) continue;
        p->used = ++cache->uses;
        return p->stmt;
    }
    return NULL;
}

static struct sql_cached *place(struct sql_cache *cache) {
    struct sql_cached *oldest = &cache->places[0];
    for (int i = 0; i < SQL_CACHED; i++) {
        if (cache->places[i].stmt == NULL) return &cache->places[i];
        if (cache->places[i].used < oldest->used) oldest = &cache->places[i];
    }
    clear(oldest);
    return oldest;
}

void sql_cache_add(struct sql_cache *cache, const char *schema, const char *text, size_t len, MYSQL_STMT *stmt) {
    struct sql_cached *p = place(cache);
    p->stmt = stmt;
    p->schema = mem_strdup(schema);
    p->text = mem_dup(text, len);
    p->len = len;
    p->hash = hash_of(schema, text, len);
    p->used = ++cache->uses;
}

void sql_cache_forget(struct sql_cache *cache, MYSQL_STMT *stmt) {
    for (int i = 0; i < SQL_CACHED; i++)
        if (cache->places[i].stmt == stmt) clear(&cache->places[i]);
}

void sql_cache_clear(struct sql_cache *cache) {
    for (int i = 0; i < SQL_CACHED; i++) clear(&cache->places[i]);
}
