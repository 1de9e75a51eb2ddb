/* SPDX-License-Identifier: Apache-2.0 */
#include "base/mem.h"
#include "base/str.h"
#include "io/redis_link.h"
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* In place; false for a broken escape or an encoded NUL. */
static bool percent_decode(char *text) {
    char *out = text;
    for (const char *in = text; *in; in++) {
        if (*in != '%') {
            *out++ = *in;
            continue;
        }
        int high = hex_digit(in[1]);
        int low = high < 0 ? -1 : hex_digit(in[2]);
        if (low < 0 || high + low == 0) return false;
        *out++ = (char)(high * 16 + low);
        in += 2;
    }
    *out = '\0';
    return true;
}

static int take_number(const char *text, long long max, int *out) {
    long long n;
    if (!str_to_int(text, &n) || n < 0 || n > max) return -1;
    *out = (int)n;
    return 0;
}

static int parse_unix(struct redis_address *a, const char *path, struct err *e) {
    if (path[0] != '/')
        return err_set(e, ERR_INVALID, "a unix: redis url needs an absolute path: unix:///run/redis.sock");
    if (strlen(path) >= sizeof((struct sockaddr_un *)0)->sun_path)
        return err_set(e, ERR_INVALID, "the redis socket's path is longer than the system allows");
    a->path = mem_strdup(path);
    return 0;
}

/* The functions below cut up a copy of the url. No message repeats it, for it may hold the password. */

/* Takes ":password@" from the front. */
static int take_password(struct redis_address *a, char **rest, struct err *e) {
    char *at = strrchr(*rest, '@');
    if (at == NULL) return 0;
    *at = '\0';
    if ((*rest)[0] != ':')
        return err_set(e, ERR_INVALID, "a redis url takes a password, not a user: redis://:password@host:port");
    a->password = mem_strdup(*rest + 1);
    if (!percent_decode(a->password)) return err_set(e, ERR_INVALID, "the redis url's password has a broken %% escape");
    *rest = at + 1;
    return 0;
}

static int take_host(struct redis_address *a, char *host, struct err *e) {
    char *colon;
    if (*host == '[') {
        char *end = strchr(++host, ']');
        if (end == NULL) return err_set(e, ERR_INVALID, "the redis url's [ has no ]");
        *end = '\0';
        colon = end[1] == ':' ? end + 1 : NULL;
    } else {
        colon = strchr(host, ':');
    }
    if (colon == NULL) return err_set(e, ERR_INVALID, "the redis url has no port: redis://host:port");
    *colon = '\0';
    if (take_number(colon + 1, 65535, &a->port) < 0 || a->port == 0)
        return err_set(e, ERR_INVALID, "the redis url's port is not one of 1 to 65535");
    if (*host == '\0') return err_set(e, ERR_INVALID, "the redis url has no host: redis://host:port");
    a->host = mem_strdup(host);
    return 0;
}

static int parse_tcp(struct redis_address *a, char *rest, struct err *e) {
    int rc = take_password(a, &rest, e);
    if (rc < 0) return rc;
    char *slash = strchr(rest, '/');
    if (slash) {
        *slash = '\0';
        if (slash[1] && take_number(slash + 1, 1000000, &a->db) < 0)
            return err_set(e, ERR_INVALID, "the redis url's database is not a number: redis://host:port/0");
    }
    return take_host(a, rest, e);
}

static int parse_cluster(struct redis_address *a, char *rest, struct err *e) {
    int rc = take_password(a, &rest, e);
    if (rc < 0) return rc;
    if (strchr(rest, '/')) return err_set(e, ERR_INVALID, "a redis cluster has one database: its url ends with a port");
    for (struct redis_address *at = a;; at = at->next) {
        char *comma = strchr(rest, ',');
        if (comma) *comma = '\0';
        at->cluster = true;
        if (at != a) at->password = mem_strdup(a->password);
        rc = take_host(at, rest, e);
        if (rc < 0 || comma == NULL) return rc;
        rest = comma + 1;
        at->next = mem_alloc(sizeof *at);
    }
}

int redis_address_parse(struct redis_address *out, const char *url, struct err *e) {
    *out = (struct redis_address){0};
    int rc;
    if (url == NULL) {
        rc = err_set(e, ERR_INVALID, "no redis url is given");
    } else if (str_starts(url, "unix://")) {
        rc = parse_unix(out, url + strlen("unix://"), e);
    } else if (str_starts(url, "redis://")) {
        char *rest = mem_strdup(url + strlen("redis://"));
        rc = parse_tcp(out, rest, e);
        free(rest);
    } else if (str_starts(url, "redis-cluster://")) {
        char *rest = mem_strdup(url + strlen("redis-cluster://"));
        rc = parse_cluster(out, rest, e);
        free(rest);
    } else if (str_starts(url, "rediss://")) {
        rc = err_set(e, ERR_INVALID,
                     "rediss:// is not supported: this hiredis has no TLS; use redis:// through a local stunnel, or a "
                     "unix socket");
    } else {
        rc = err_set(
            e, ERR_INVALID,
            "a redis url is redis://[:password@]host:port[/db], redis-cluster://[:password@]host:port,host:port or "
            "unix:///path");
    }
    if (rc < 0) redis_address_free(out);
    return rc;
}

void redis_address_copy(struct redis_address *out, const struct redis_address *a) {
    *out = *a;
    out->host = mem_strdup(a->host);
    out->path = mem_strdup(a->path);
    out->password = mem_strdup(a->password);
    out->next = NULL;
}

void redis_address_free(struct redis_address *a) {
    while (a->next) {
        struct redis_address *second = a->next;
        a->next = second->next;
        second->next = NULL;
        redis_address_free(second);
        free(second);
    }
    free(a->host);
    free(a->path);
    free(a->password);
    *a = (struct redis_address){0};
}
