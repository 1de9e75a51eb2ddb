/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fault.h"
#include "base/log.h"
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { COUNTED_MAX = 128, NAME_MAX_LEN = 64 };

bool fault_armed;
static char armed[512];
static long armed_nth = 1;
static struct {
    char name[NAME_MAX_LEN];
    long passed;
} counted[COUNTED_MAX];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void fault_open(void) {
    const char *text = getenv("PARLEY_FAULT");
    char *colon;

    if (text == NULL || *text == 0) return;
    snprintf(armed, sizeof armed, "%s", text);
    colon = armed[0] == '/' ? NULL : strchr(armed, ':');
    if (colon != NULL) {
        *colon = 0;
        armed_nth = atol(colon + 1);
    }
    fault_armed = true;
    log_warn("fault.armed", "%s", text);
}

static long passings_of(const char *name) {
    for (int i = 0; i < COUNTED_MAX; i++) {
        if (counted[i].name[0] == 0) snprintf(counted[i].name, sizeof counted[i].name, "%s", name);
        if (strcmp(counted[i].name, name) == 0) return ++counted[i].passed;
    }
    return 0;
}

static void die(const char *name) {
    log_warn("fault.struck", "%s", name);
    kill(getpid(), SIGKILL);
    for (;;) pause(); /* the signal is on its way */
}

/* A file of that name: its time has come at the passing that it says, counted from when it is first seen. */
static void pass_by_folder(const char *name) {
    char path[600];
    long nth = 1;
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", armed, name);
    f = fopen(path, "re");
    if (f == NULL) return;
    if (fscanf(f, "%ld", &nth) != 1) nth = 1;
    fclose(f);
    if (passings_of(name) >= nth && unlink(path) == 0) die(name);
}

void fault_pass(const char *name) {
    pthread_mutex_lock(&lock);
    if (armed[0] == '/')
        pass_by_folder(name);
    else if (strcmp(name, armed) == 0 && passings_of(name) == armed_nth)
        die(name);
    pthread_mutex_unlock(&lock);
}
