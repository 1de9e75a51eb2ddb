/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"
#include "base/buf.h"
#include "base/config_parts.h"
#include "base/log.h"
#include "base/mem.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct config {
    json_t *tree; /* ours: every declared setting, checked */
};

static int config_new(struct config **out, json_t *given, const struct config_source *source, struct err *e) {
    json_t *tree;
    int rc = config_check(&tree, given, source, e);
    if (rc < 0) return rc;
    *out = mem_alloc(sizeof **out);
    (*out)->tree = tree;
    return 0;
}

int config_load(struct config **out, const char *file, struct err *e) {
    const struct config_source source = {.name = file, .environment = true, .references = true};
    json_t *given;
    int rc = config_run_lua(&given, file, e);
    if (rc < 0) return rc;
    rc = config_new(out, given, &source, e);
    json_decref(given);
    return rc;
}

int config_from_json(struct config **out, const char *json, size_t len, struct err *e) {
    const struct config_source source = {.name = "configuration"};
    json_error_t why;
    json_t *given = json_loadb(json, len, JSON_REJECT_DUPLICATES, &why);
    /* The parser's own text quotes what it read, which may be a secret. */
    if (given == NULL) return err_set(e, ERR_INVALID, "configuration: not JSON at byte %d", why.position);
    int rc = config_new(out, given, &source, e);
    json_decref(given);
    return rc;
}

char *config_json(const struct config *c) {
    char *text = json_dumps(c->tree, JSON_COMPACT | JSON_REAL_PRECISION(17));
    if (text == NULL) abort(); /* only for want of memory: every value has been checked */
    return text;
}

void config_free(struct config *c) {
    if (c == NULL) return;
    json_decref(c->tree);
    free(c);
}

json_t *config_tree(const struct config *c) {
    return c->tree;
}

/* types: a bit for each type that the caller can read. */
static const json_t *value_of(const struct config *c, const char *path, unsigned types) {
    const struct config_row *row = config_row_find(path);
    if (row == NULL || strchr(path, '[') || !(types & 1u << row->type)) {
        log_error("config.undeclared", "the program asks for %s, which is not declared so", path);
        abort();
    }
    const json_t *at = c->tree;
    char part[64];
    for (const char *rest = path; *rest;) {
        size_t len = strcspn(rest, ".");
        snprintf(part, sizeof part, "%.*s", (int)len, rest);
        at = json_object_get(at, part);
        rest += len + (rest[len] == '.');
    }
    return at;
}

const char *config_str(const struct config *c, const char *path) {
    return json_string_value(value_of(c, path, 1u << CONFIG_STRING | 1u << CONFIG_SECRET));
}

long long config_int(const struct config *c, const char *path) {
    return json_integer_value(value_of(c, path, 1u << CONFIG_INT));
}

double config_num(const struct config *c, const char *path) {
    return json_number_value(value_of(c, path, 1u << CONFIG_NUMBER | 1u << CONFIG_INT));
}

bool config_bool(const struct config *c, const char *path) {
    return json_is_true(value_of(c, path, 1u << CONFIG_BOOL));
}

/* ---- the manual ---- */

static void add_allowed(struct buf *out, const struct config_row *row) {
    bool text = row->type == CONFIG_STRING || row->type == CONFIG_SECRET || row->type == CONFIG_LIST;
    if (row->pattern)
        buf_add_str(out, row->pattern);
    else if (row->type == CONFIG_BOOL)
        buf_add_str(out, "true|false");
    else if (row->min == 0 && row->max == 0)
        buf_add_str(out, "any");
    else
        buf_printf(out, "%.15g..%.15g%s", row->min, row->max, text ? " bytes" : "");
}

char *config_manual(void) {
    static const char *const types[] = {"text", "integer", "number", "boolean", "secret", "list", "records"};
    struct buf out = {0};
    buf_add_str(
        &out,
        "The configuration is a Lua file that returns a table: return { http = { port = 8080 } }\n"
        "The environment goes first: PARLEY_HTTP__PORT=8081. A secret is the text itself, env:NAME or file:/path.\n\n");
    for (const struct config_row *row = config_rows; row->path; row++) {
        struct buf standard = {0}, allowed = {0};
        if (row->standard == NULL)
            buf_add_str(&standard, "(required)");
        else if (row->type == CONFIG_STRING || row->type == CONFIG_SECRET)
            buf_printf(&standard, "\"%s\"", row->standard);
        else if (row->type == CONFIG_LIST)
            buf_printf(&standard, *row->standard ? "{ \"%s\" }" : "{}%s", row->standard);
        else
            buf_add_str(&standard, row->type == CONFIG_RECORDS ? "{}" : row->standard);
        add_allowed(&allowed, row);
        buf_printf(&out, "%-27s %-8s %-12s %-20s  %s\n", row->path, types[row->type], standard.data, allowed.data,
                   row->doc);
        buf_free(&standard);
        buf_free(&allowed);
    }
    return buf_take(&out);
}
