/* SPDX-License-Identifier: Apache-2.0 */
#include "host/host.h"
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *host_bin(void) {
    static char bin[PATH_MAX];
    ssize_t n;

    if (bin[0]) return bin;
    n = readlink("/proc/self/exe", bin, sizeof bin - 1);
    if (n <= 0) return ".";
    bin[n] = 0;
    char *slash = strrchr(bin, '/');
    if (slash != NULL) *slash = 0;
    return bin;
}

/* build/release/bin/parleyd -> three folders up; an installed /opt/parley/bin/parleyd -> one up. */
const char *host_root(void) {
    static char root[PATH_MAX];
    const char *given = getenv("PARLEY_ROOT");

    if (given != NULL && *given) return given;
    if (root[0]) return root;
    snprintf(root, sizeof root, "%s", host_bin());
    for (int up = 0; up < 5; up++) {
        char probe[PATH_MAX + 16];
        char *slash;
        snprintf(probe, sizeof probe, "%s/lua/main.lua", root);
        if (access(probe, R_OK) == 0) return root;
        slash = strrchr(root, '/');
        if (slash == NULL || slash == root) break;
        *slash = 0;
    }
    snprintf(root, sizeof root, ".");
    return root;
}
