/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the configuration share: config.c (loading, reading), config_check.c (values against rows),
 * config_lua.c (the file), config_near.c (what a misspelt key may have meant). */
#pragma once
#include "base/config.h"

/* Runs the file and gives the table it returns as a JSON object. */
int config_run_lua(json_t **out, const char *file, struct err *e);

/* Where values come from. */
struct config_source {
    const char *name; /* the file, for errors */
    bool environment; /* PARLEY_... overrides count */
    bool references;  /* secrets may be env: and file: references; else they are clear already */
};
/* Checks everything in given and makes the whole tree of it, with defaults filled in. */
int config_check(json_t **out, json_t *given, const struct config_source *source, struct err *e);

const struct config_row *config_row_find(const char *path); /* "a.b" or "a.b[].c"; NULL: not declared */
bool config_is_group(const char *path);                     /* rows begin with "path." */
/* The declared path or group that is most like what was written. out is cut to cap. */
void config_nearest(const char *written, char *out, size_t cap);
/* PARLEY_HTTP__PORT for "http.port". */
void config_env_name(const char *path, char *out, size_t cap);
