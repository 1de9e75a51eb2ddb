/* SPDX-License-Identifier: Apache-2.0 */
#include "base/config.h"
#include "host/host.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char usage[] =
    "usage: parleyd [--config FILE] [--check] [--settings] [--faults] [--help]\n"
    "  --config FILE  the configuration (default: $PARLEY_CONFIG, else deploy/parley.lua)\n"
    "  --check        reads the configuration, says whether it is right, and ends\n"
    "  --settings     prints every setting with type, default and meaning\n"
    "  --faults       prints the fault points: where PARLEY_FAULT=NAME[:NTH] lets a worker die (tests)\n"
    "Signals: TERM stops; HUP takes up new programs, scripts and configuration with calls up; "
    "TERM to a worker drains it.\n";

/* The list is the one that tests/house holds against the uses. */
static int print_faults(void) {
    char path[4200], line[256];
    FILE *f;

    snprintf(path, sizeof path, "%s/lua/faults.txt", host_root());
    f = fopen(path, "re");
    if (f == NULL) {
        fprintf(stderr, "parleyd: %s: %s\n", path, strerror(errno));
        return 1;
    }
    while (fgets(line, sizeof line, f) != NULL)
        if (line[0] != '#' && line[0] != '\n') fputs(line, stdout);
    fclose(f);
    return 0;
}

int main(int argc, char **argv) {
    const char *file = getenv("PARLEY_CONFIG"), *owner = NULL;
    static char standard[4200];
    int worker = -1, inherit = -1;
    bool check = false;

    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--config") == 0 && i + 1 < argc) {
            file = argv[++i];
        } else if (strcmp(argv[i], "--worker") == 0 && i + 1 < argc) {
            worker = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--owner") == 0 && i + 1 < argc) {
            owner = argv[++i];
        } else if (strcmp(argv[i], "--inherit") == 0 && i + 1 < argc) {
            inherit = atoi(argv[++i]);
        } else if (strcmp(argv[i], "--check") == 0) {
            check = true;
        } else if (strcmp(argv[i], "--settings") == 0) {
            char *manual = config_manual();
            fputs(manual, stdout);
            free(manual);
            return 0;
        } else if (strcmp(argv[i], "--faults") == 0) {
            return print_faults();
        } else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            return 0;
        } else {
            fprintf(stderr, "parleyd: unknown argument '%s'\n%s", argv[i], usage);
            return 2;
        }
    }
    if (worker >= 0) return worker_main(worker, owner == NULL ? "unnamed" : owner);
    if (file == NULL) {
        snprintf(standard, sizeof standard, "%s/deploy/parley.lua", host_root());
        file = standard;
    }
    if (check) {
        struct config *c;
        struct err e = {0};
        if (config_load(&c, file, &e) < 0) {
            fprintf(stderr, "parleyd: %s\n", e.text);
            return 1;
        }
        config_free(c);
        printf("%s is right\n", file);
        return 0;
    }
    return master_main(file, inherit);
}
