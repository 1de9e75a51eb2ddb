/* SPDX-License-Identifier: Apache-2.0 */
/* What was given, against what is declared. Errors name the source, the key and what is allowed, and never a
 * secret's value. */
#include "base/buf.h"
#include "base/config_parts.h"
#include "base/str.h"
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_BYTES = 160, SECRET_MAX = 65536 };

/* ---- declared paths ---- */

const struct config_row *config_row_find(const char *path) {
    for (const struct config_row *row = config_rows; row->path; row++)
        if (strcmp(row->path, path) == 0) return row;
    return NULL;
}

bool config_is_group(const char *path) {
    size_t len = strlen(path);
    for (const struct config_row *row = config_rows; row->path; row++)
        if (strncmp(row->path, path, len) == 0 && row->path[len] == '.') return true;
    return false;
}

void config_env_name(const char *path, char *out, size_t cap) {
    size_t at = (size_t)snprintf(out, cap, "PARLEY_");
    for (; *path && at + 3 < cap; path++) {
        if (*path == '.') out[at++] = '_';
        out[at++] = *path == '.' ? '_' : (char)toupper((unsigned char)*path);
    }
    out[at] = '\0';
}

static bool in_record(const struct config_row *row) {
    return strchr(row->path, '[') != NULL;
}

/* ---- one value ---- */

static int bad(struct err *e, const char *source, const char *key, const char *allowed) {
    return err_set(e, ERR_INVALID, "%s: %s must be %s", source, key, allowed);
}

static int check_number(const struct config_row *row, const char *key, const json_t *value, const char *source,
                        struct err *e) {
    char allowed[96];
    bool whole = row->type == CONFIG_INT;
    int at = snprintf(allowed, sizeof allowed, whole ? "a whole number" : "a number");
    if (row->min != 0 || row->max != 0)
        snprintf(allowed + at, sizeof allowed - (size_t)at, " from %.15g to %.15g", row->min, row->max);
    if (!json_is_number(value) || (whole && !json_is_integer(value))) return bad(e, source, key, allowed);
    double n = json_number_value(value);
    if ((row->min != 0 || row->max != 0) && (n < row->min || n > row->max)) return bad(e, source, key, allowed);
    return 0;
}

static int check_text(const struct config_row *row, const char *key, const json_t *value, const char *source,
                      struct err *e) {
    if (!json_is_string(value)) return bad(e, source, key, "a text");
    const char *text = json_string_value(value);
    size_t len = json_string_length(value);
    if (strlen(text) != len) return bad(e, source, key, "a text without NUL bytes");
    if ((row->min != 0 || row->max != 0) && ((double)len < row->min || (double)len > row->max)) {
        char allowed[64];
        if (row->min == row->max)
            snprintf(allowed, sizeof allowed, "exactly %.0f bytes long", row->min);
        else
            snprintf(allowed, sizeof allowed, "%.0f to %.0f bytes long", row->min, row->max);
        return bad(e, source, key, allowed);
    }
    if (row->pattern == NULL) return 0;

    regex_t regex;
    char whole[256];
    snprintf(whole, sizeof whole, "^(%s)$", row->pattern);
    if (regcomp(&regex, whole, REG_EXTENDED | REG_NOSUB) != 0) abort(); /* a row of ours is wrong */
    bool fits = strchr(text, '\n') == NULL && regexec(&regex, text, 0, NULL, 0) == 0;
    regfree(&regex);
    if (fits) return 0;
    return err_set(e, ERR_INVALID, "%s: %s must look like %s (%s)", source, key, row->pattern, row->doc);
}

static int read_secret_file(const char *path, const char *key, const char *source, struct buf *out, struct err *e) {
    FILE *f = fopen(path, "re");
    if (f == NULL) return err_set(e, ERR_IO, "%s: %s: cannot read %s: %s", source, key, path, strerror(errno));
    buf_reserve(out, SECRET_MAX + 1);
    out->len = fread(out->data, 1, SECRET_MAX + 1, f);
    int failed = ferror(f) ? errno : 0;
    fclose(f);
    if (failed) return err_set(e, ERR_IO, "%s: %s: cannot read %s: %s", source, key, path, strerror(failed));
    if (out->len > SECRET_MAX)
        return err_set(e, ERR_INVALID, "%s: %s: %s is larger than %d bytes", source, key, path, SECRET_MAX);
    if (out->len && out->data[out->len - 1] == '\n') out->len--;
    if (out->len && out->data[out->len - 1] == '\r') out->len--;
    return 0;
}

/* Replaces a reference by what it refers to. */
static int resolve(json_t **value, const char *key, const char *source, struct err *e) {
    const char *text = json_string_value(*value);
    json_t *clear = NULL;
    if (str_starts(text, "env:")) {
        const char *found = getenv(text + 4);
        if (found == NULL) return err_set(e, ERR_INVALID, "%s: %s: the environment has no %s", source, key, text + 4);
        clear = json_string(found);
    } else if (str_starts(text, "file:")) {
        struct buf content = {0};
        int rc = read_secret_file(text + 5, key, source, &content, e);
        if (rc == 0) clear = json_stringn(content.data, content.len);
        buf_free(&content);
        if (rc < 0) return rc;
    } else {
        return 0;
    }
    if (clear == NULL) return bad(e, source, key, "UTF-8 where it is kept");
    json_decref(*value);
    *value = clear;
    return 0;
}

/* *value is checked, and replaced where it is a reference. Records are for the caller. */
static int check_value(const struct config_row *row, const char *key, json_t **value, const struct config_source *from,
                       const char *source, struct err *e) {
    int rc = 0;
    switch (row->type) {
    case CONFIG_INT:
    case CONFIG_NUMBER:
        return check_number(row, key, *value, source, e);
    case CONFIG_BOOL:
        return json_is_boolean(*value) ? 0 : bad(e, source, key, "true or false");
    case CONFIG_STRING:
        return check_text(row, key, *value, source, e);
    case CONFIG_SECRET:
        if (json_is_string(*value) && from->references) rc = resolve(value, key, source, e);
        return rc < 0 ? rc : check_text(row, key, *value, source, e);
    case CONFIG_LIST:
    case CONFIG_RECORDS:
        if (json_is_object(*value) && json_object_size(*value) == 0) { /* {} in Lua is either */
            json_decref(*value);
            *value = json_array();
        }
        if (!json_is_array(*value)) return bad(e, source, key, "a list");
        if (row->type == CONFIG_RECORDS) return 0;
        for (size_t i = 0; i < json_array_size(*value) && rc == 0; i++) {
            char item[PATH_BYTES];
            snprintf(item, sizeof item, "%s[%zu]", key, i + 1);
            rc = check_text(row, item, json_array_get(*value, i), source, e);
        }
        return rc;
    }
    abort();
}

/* A value written as text, as defaults and the environment have it. NULL: it is none of the row's type. */
static json_t *from_text(const struct config_row *row, const char *text) {
    long long n;
    char *end;
    json_t *list;
    switch (row->type) {
    case CONFIG_INT:
        return str_to_int(text, &n) ? json_integer(n) : NULL;
    case CONFIG_NUMBER: {
        double real = strtod(text, &end);
        return *text == '\0' || *end || isspace((unsigned char)*text) || !isfinite(real) ? NULL : json_real(real);
    }
    case CONFIG_BOOL:
        if (strcmp(text, "true") == 0) return json_true();
        return strcmp(text, "false") == 0 ? json_false() : NULL;
    case CONFIG_STRING:
    case CONFIG_SECRET:
        return json_string(text);
    case CONFIG_LIST: /* of one item, in defaults */
        list = json_array();
        if (*text) json_array_append_new(list, json_string(text));
        return list;
    case CONFIG_RECORDS:
        return json_array();
    }
    return NULL;
}

/* ---- keys nobody declared ---- */

static int unknown(struct err *e, const char *source, const char *shown, const char *path) {
    char nearest[PATH_BYTES] = "";
    config_nearest(path, nearest, sizeof nearest);
    return err_set(e, ERR_INVALID, "%s: there is no setting %s; did you mean %s?", source, shown, nearest);
}

/* prefix: declared form ("telephony.nodes[]."), shown: what the reader sees ("telephony.nodes[2]."). */
static int check_keys(json_t *object, const char *prefix, const char *shown_prefix, const char *source, struct err *e) {
    const char *name;
    json_t *value;
    int rc = 0;
    json_object_foreach(object, name, value) {
        char path[PATH_BYTES], shown[PATH_BYTES], inner[PATH_BYTES + 4], inner_shown[PATH_BYTES + 24];
        snprintf(path, sizeof path, "%s%s", prefix, name);
        snprintf(shown, sizeof shown, "%s%s", shown_prefix, name);
        /* A dot or bracket in a key would make it look like a path. */
        const struct config_row *row = strpbrk(name, ".[") ? NULL : config_row_find(path);
        if (row && row->type == CONFIG_RECORDS && json_is_array(value)) {
            snprintf(inner, sizeof inner, "%s[].", path);
            for (size_t i = 0; i < json_array_size(value) && rc == 0; i++) {
                json_t *record = json_array_get(value, i);
                snprintf(inner_shown, sizeof inner_shown, "%s[%zu]", shown, i + 1);
                if (!json_is_object(record)) return bad(e, source, inner_shown, "a table of settings");
                strcat(inner_shown, ".");
                rc = check_keys(record, inner, inner_shown, source, e);
            }
        } else if (row == NULL) {
            if (strpbrk(name, ".[") || !config_is_group(path)) return unknown(e, source, shown, path);
            if (!json_is_object(value)) return bad(e, source, shown, "a table of settings");
            snprintf(inner, sizeof inner, "%s.", path);
            snprintf(inner_shown, sizeof inner_shown, "%s.", shown);
            rc = check_keys(value, inner, inner_shown, source, e);
        }
        if (rc < 0) return rc;
    }
    return 0;
}

/* PARLEY_A__B is meant for us, PARLEY_A alone may be somebody else's. */
static int check_environment(struct err *e) {
    for (char **at = environ; *at; at++) {
        char name[PATH_BYTES], path[PATH_BYTES], known[PATH_BYTES];
        if (!str_starts(*at, "PARLEY_")) continue;
        size_t len = strcspn(*at, "=");
        if (len >= sizeof name) len = sizeof name - 1;
        memcpy(name, *at, len);
        name[len] = '\0';
        if (strstr(name + 7, "__") == NULL) continue;

        size_t n = 0;
        for (const char *c = name + 7; *c; c++) {
            bool dot = c[0] == '_' && c[1] == '_';
            path[n++] = dot ? '.' : (char)tolower((unsigned char)*c);
            if (dot) c++;
        }
        path[n] = '\0';
        const struct config_row *row = config_row_find(path);
        if (row == NULL) return unknown(e, name, path, path);
        config_env_name(path, known, sizeof known);
        if (strcmp(known, name) != 0) return err_set(e, ERR_INVALID, "%s: must be written %s", name, known);
    }
    return 0;
}

/* ---- the whole tree ---- */

static json_t *get(json_t *root, const char *path) {
    char part[PATH_BYTES];
    while (root) {
        size_t len = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)len, path);
        root = json_object_get(root, part);
        if (path[len] == '\0') return root;
        path += len + 1;
    }
    return NULL;
}

/* Takes value. */
static void put(json_t *root, const char *path, json_t *value) {
    char part[PATH_BYTES];
    for (;;) {
        size_t len = strcspn(path, ".");
        snprintf(part, sizeof part, "%.*s", (int)len, path);
        if (path[len] == '\0') break;
        json_t *next = json_object_get(root, part);
        if (next == NULL) {
            next = json_object();
            json_object_set_new(root, part, next);
        }
        root = next;
        path += len + 1;
    }
    json_object_set_new(root, part, value);
}

/* Puts the row's value into out: from the environment, else from given, else its default. */
static int take(json_t *out, const struct config_row *row, const char *inside, const char *shown, json_t *given,
                const struct config_source *from, struct err *e) {
    char env[PATH_BYTES];
    const char *source = from->name, *text = NULL;
    json_t *value;
    config_env_name(row->path, env, sizeof env);
    if (from->environment && !in_record(row)) text = getenv(env);
    if (text) {
        source = env;
        if (row->type == CONFIG_LIST || row->type == CONFIG_RECORDS)
            return err_set(e, ERR_INVALID, "%s: %s is a list and can only be set in the file", env, shown);
        value = from_text(row, text);
        if (value == NULL) value = json_null(); /* the check says what would have been right */
    } else if ((value = get(given, inside)) != NULL) {
        json_incref(value);
    } else if (row->standard) {
        value = from_text(row, row->standard);
        if (value == NULL) abort(); /* a row of ours is wrong */
    } else {
        return err_set(e, ERR_INVALID, "%s: %s must be given: %s", source, shown, row->doc);
    }
    int rc = check_value(row, shown, &value, from, source, e);
    if (rc < 0)
        json_decref(value);
    else
        put(out, inside, value);
    return rc;
}

static int names_differ(const json_t *records, const char *shown, const char *source, struct err *e) {
    for (size_t i = 0; i < json_array_size(records); i++) {
        const char *name = json_string_value(json_object_get(json_array_get(records, i), "name"));
        for (size_t k = 0; name && k < i; k++) {
            const char *other = json_string_value(json_object_get(json_array_get(records, k), "name"));
            if (other && strcmp(name, other) == 0)
                return err_set(e, ERR_INVALID, "%s: two of %s have the name %s", source, shown, name);
        }
    }
    return 0;
}

/* Fills in each record; the list in out is replaced by the filled one. */
static int take_records(json_t *out, const struct config_row *row, const struct config_source *from, struct err *e) {
    json_t *given = get(out, row->path), *filled = json_array();
    size_t prefix = strlen(row->path) + strlen("[].");
    int rc = 0;
    if (row->max != 0 && (double)json_array_size(given) > row->max)
        rc = err_set(e, ERR_INVALID, "%s: %s must be at most %.0f", from->name, row->path, row->max);
    for (size_t i = 0; i < json_array_size(given) && rc == 0; i++) {
        json_t *record = json_object();
        json_array_append_new(filled, record);
        for (const struct config_row *field = config_rows; field->path && rc == 0; field++) {
            if (!in_record(field) || strncmp(field->path, row->path, prefix - 3) != 0 || field->path[prefix - 3] != '[')
                continue;
            char shown[PATH_BYTES];
            snprintf(shown, sizeof shown, "%s[%zu].%s", row->path, i + 1, field->path + prefix);
            rc = take(record, field, field->path + prefix, shown, json_array_get(given, i), from, e);
        }
    }
    if (rc == 0) rc = names_differ(filled, row->path, from->name, e);
    put(out, row->path, filled);
    return rc;
}

int config_check(json_t **out, json_t *given, const struct config_source *from, struct err *e) {
    if (!json_is_object(given)) return bad(e, from->name, "the whole", "a table of settings");
    int rc = check_keys(given, "", "", from->name, e);
    if (rc == 0 && from->environment) rc = check_environment(e);
    if (rc < 0) return rc;

    json_t *tree = json_object();
    for (const struct config_row *row = config_rows; row->path && rc == 0; row++) {
        if (in_record(row)) continue;
        rc = take(tree, row, row->path, row->path, given, from, e);
        if (rc == 0 && row->type == CONFIG_RECORDS) rc = take_records(tree, row, from, e);
    }
    for (const struct config_order *pair = config_orders; pair->low && rc == 0; pair++)
        if (json_number_value(get(tree, pair->low)) > json_number_value(get(tree, pair->high)))
            rc = err_set(e, ERR_INVALID, "%s: %s must not be above %s", from->name, pair->low, pair->high);
    if (rc < 0) {
        json_decref(tree);
        return rc;
    }
    *out = tree;
    return 0;
}
