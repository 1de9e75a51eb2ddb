/* SPDX-License-Identifier: Apache-2.0 */
/* The configuration: one Lua file that returns a table, environment overrides, secret references.
 *
 * The rows in config_rows.c declare every setting: path, type, default, range, doc. A key that is not declared,
 * a wrong type or a value out of range stops config_load() with one line that names file, key and what is allowed.
 * Override: PARLEY_<PATH with __ for dots, upper case>, e.g. PARLEY_HTTP__PORT=8081 (scalars only).
 * Secret: a setting of type secret takes "env:NAME", "file:/path" (trailing newline dropped) or the text itself.
 * The Lua file runs with no libraries but string, table, math and os.getenv, and a time limit of 1 s.
 * The master loads once and hands config_json() to its workers, so a file broken later cannot stop a restart.
 */
#pragma once
#include "base/err.h"
#include <jansson.h>
#include <stdbool.h>

enum config_type {
    CONFIG_STRING,
    CONFIG_INT,
    CONFIG_NUMBER,
    CONFIG_BOOL,
    CONFIG_SECRET,
    CONFIG_LIST /* of strings */,
    CONFIG_RECORDS
};

struct config_row {
    const char *path; /* "http.port"; inside records "telephony.nodes[].name" */
    enum config_type type;
    const char *standard; /* default as text; NULL: must be given */
    double min, max; /* numbers; for strings and each string of a list the length; records: how many; both 0: free */
    const char *doc; /* one line */
    const char *pattern; /* strings: an extended regular expression for the whole text, or NULL */
};
extern const struct config_row config_rows[]; /* ends with path NULL */

/* Pairs of numbers of which the first must not be above the second. Ends with low NULL. */
struct config_order {
    const char *low, *high;
};
extern const struct config_order config_orders[];

struct config;
int config_load(struct config **out, const char *file, struct err *e);
int config_from_json(struct config **out, const char *json, size_t len, struct err *e);
char *config_json(const struct config *c); /* free() it; holds secrets in clear */
void config_free(struct config *c);

/* Reading by declared path; asking for an undeclared one aborts (our mistake). Borrowed from c. */
const char *config_str(const struct config *c, const char *path);
long long config_int(const struct config *c, const char *path);
double config_num(const struct config *c, const char *path);
bool config_bool(const struct config *c, const char *path);
/* The whole tree as JSON values, borrowed: config_tree(c) -> object {"http":{"port":8080,...},"telephony":{"nodes":[...]}} */
json_t *config_tree(const struct config *c);
/* The settings as a manual: a line a row, for parleyd --settings. */
char *config_manual(void);
