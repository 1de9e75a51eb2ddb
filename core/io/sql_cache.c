/* SPDX-License-Identifier: Apache-2.0 */
#include "io/sql_cache.h"
#include "base/mem.h"
#include <stdlib.h>
#include <string.h>

/* Eight bytes at a time: a statement's text is long, and it is looked for each time. */
static uint64_t hash_more(uint64_t h, const char *text, size_t len) {
    static const uint64_t odd = 0x9E3779B97F4A7C15u;
    uint64_t word;
    for (; len >= sizeof word; text += sizeof word, len -= sizeof word) {
        memcpy(&word, text, sizeof word);
        h = (h ^ word) * odd;
        h ^= h >> 32;
    }
    word = 0;
    memcpy(&word, text, len);
    h = (h ^ word ^ (uint64_t)len << 56) * odd;
    return h ^ h >> 32;
}

static uint64_t hash_of(const char *schema, const char *text, size_t len) {
    return hash_more(hash_more(len, schema, strlen(schema)), text, len);
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
