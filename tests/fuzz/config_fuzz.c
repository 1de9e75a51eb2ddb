/* SPDX-License-Identifier: Apache-2.0 */
/* A configuration that is accepted is written as JSON that is accepted, and says the same. The Lua file is the
 * operator's own and is not fuzzed: what it returns goes through the same check. */
#include "base/config.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct config *c = NULL, *again = NULL;
    struct err e = {0};
    int rc = config_from_json(&c, (const char *)data, size, &e);
    if (rc < 0) {
        if (rc != ERR_INVALID || e.text[0] == '\0' || c != NULL) abort();
        return 0;
    }
    char *json = config_json(c);
    if (config_from_json(&again, json, strlen(json), &e) < 0 || !json_equal(config_tree(c), config_tree(again)))
        abort();
    free(json);
    config_free(again);
    config_free(c);
    return 0;
}
