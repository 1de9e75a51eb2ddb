/* SPDX-License-Identifier: Apache-2.0 */
#include "host/services.h"
#include "base/log.h"
#include "io/blob.h"
#include "io/http_client.h"
#include "io/http_stream.h"
#include "io/net.h"
#include "io/redis.h"
#include "io/sql.h"
#include "io/work.h"
#include <string.h>

static const char *text_or_null(const char *text) {
    return text != NULL && *text ? text : NULL;
}

static const char *field(const json_t *record, const char *name) {
    return text_or_null(json_string_value(json_object_get(record, name)));
}

static int open_sql(struct vm_services *s, struct err *e) {
    const struct config *c = s->config;
    const json_t *servers = json_object_get(json_object_get(config_tree(c), "sql"), "servers");
    struct sql_opts o = {.name = "main",
                         .socket = text_or_null(config_str(c, "sql.socket")),
                         .host = text_or_null(config_str(c, "sql.host")),
                         .port = (int)config_int(c, "sql.port"),
                         .user = config_str(c, "sql.user"),
                         .password = config_str(c, "sql.password"),
                         .connections = (int)config_int(c, "sql.connections")};
    size_t i;
    json_t *record;

    if (o.socket == NULL && o.host == NULL) return 0;
    s->sql_names[0] = "main";
    if (sql_pool_open(&s->sql[0], s->loop, &o, s->metrics, e) < 0) return e->code;
    s->sql_count = 1;
    json_array_foreach(servers, i, record) {
        if (s->sql_count == VM_SQL_MAX) return err_set(e, ERR_LIMIT, "sql.servers: at most %d", VM_SQL_MAX - 1);
        o.name = field(record, "name");
        o.socket = field(record, "socket");
        o.host = field(record, "host");
        o.port = (int)json_integer_value(json_object_get(record, "port"));
        o.user = field(record, "user");
        o.password = field(record, "password");
        s->sql_names[s->sql_count] = o.name;
        if (sql_pool_open(&s->sql[s->sql_count], s->loop, &o, s->metrics, e) < 0) return e->code;
        s->sql_count++;
    }
    return 0;
}

static int open_streams(struct vm_services *s, struct err *e) {
    struct http_pool_limits limits = {0};

    if (s->config) {
        limits.connections = (int)config_int(s->config, "http_streams.connections");
        limits.waiting = (int)config_int(s->config, "http_streams.waiting");
        limits.streams = (int)config_int(s->config, "http_streams.per_connection");
        limits.idle_ms = (int)config_int(s->config, "http_streams.idle_ms");
    }
    return http_pool_open(&s->http_pool, s->loop, &limits, s->metrics, e);
}

int services_open(struct vm_services *s, struct err *e) {
    const struct config *c = s->config;

    if (net_open(&s->net, s->loop, s->metrics, e) < 0) return e->code;
    if (http_client_open(&s->http_client, s->loop, s->metrics, e) < 0) return e->code;
    if (open_streams(s, e) < 0) return e->code;
    s->passwords = work_queue_new(s->loop, "passwords", 2, 64);
    s->packing = work_queue_new(s->loop, "packing", 1, 64);
    s->encoding = work_queue_new(s->loop, "encoding", 1, 64);
    if (c == NULL) return 0;
    if (open_sql(s, e) < 0) return e->code;
    if (text_or_null(config_str(c, "redis.url")) != NULL) {
        struct redis_opts o = {.url = config_str(c, "redis.url")};
        if (redis_open(&s->redis, s->loop, &o, s->metrics, e) < 0) return e->code;
    }
    if (text_or_null(config_str(c, "blobs.directory")) != NULL &&
        blob_open(&s->blobs, s->loop, config_str(c, "blobs.directory"), e) < 0)
        return e->code;
    return 0;
}
