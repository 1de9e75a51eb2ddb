/* SPDX-License-Identifier: Apache-2.0 */
/* The control groups that a real zygote makes, one for each tenant, where the machine has a tree of them that can be written.
 * weight_test has where they are found. */
#include "cells.h"

static const char *const options[] = {NULL};

/* Of a control group of cells: below our own group on version 1, as the zygote is of ours. NULL when there is none. */
static FILE *open_group_file(const char *name, const char *file) {
    static char own[512] = "unknown";
    char path[1024], line[1024];
    if (strcmp(own, "unknown") == 0) {
        FILE *groups = fopen("/proc/self/cgroup", "r");
        own[0] = '\0';
        while (groups && fgets(line, sizeof line, groups))
            if (strstr(line, ":cpu:") || strstr(line, ":cpu,"))
                sscanf(strchr(strchr(line, ':') + 1, ':') + 1, "%511s", own);
        if (groups) fclose(groups);
    }
    snprintf(path, sizeof path, "/sys/fs/cgroup/cpu%s/parley-cells/%s/%s", own, name, file);
    FILE *f = fopen(path, "r");
    if (f) return f;
    snprintf(path, sizeof path, "/sys/fs/cgroup/parley-cells/%s/%s", name, file);
    return fopen(path, "r");
}

/* The number in such a file, or -1. */
static long in_group(const char *name, const char *file) {
    FILE *f = open_group_file(name, file);
    long n = -1;
    if (!f) return -1;
    if (fscanf(f, "%ld", &n) != 1) n = -1;
    fclose(f);
    return n;
}

static bool group_says(const char *name, const char *file, long n) { /* within patience */
    for (int i = 0; i < PATIENCE_MS && in_group(name, file) != n; i++) usleep(1000);
    return in_group(name, file) == n;
}

/* Whether a process comes to stand in the group, or to leave it. */
static bool stands_in(const char *name, pid_t pid, bool yes) { /* within patience */
    for (int i = 0; i < PATIENCE_MS; i++) {
        FILE *f = open_group_file(name, "cgroup.procs");
        int other = 0;
        while (f && other != pid && fscanf(f, "%d", &other) == 1) {
        }
        if (f) fclose(f);
        if ((other == pid) == yes) return true;
        usleep(1000);
    }
    return false;
}

/* The helper for weights that a process has. */
static pid_t helper_of(pid_t pid) {
    char command[64];
    pid_t helper = 0;
    snprintf(command, sizeof command, "pgrep -P %d parley-weight", pid);
    FILE *f = popen(command, "r");
    CHECK(f != NULL && fscanf(f, "%d", &helper) == 1);
    pclose(f);
    return helper;
}

/* Of this process alone: others on the machine have groups in the same tree. */
#define TENANT       (4000000000U + (uint32_t)getpid())
#define OTHER        (4100000000U + (uint32_t)getpid())
#define TENANT_GROUP group_of(TENANT)
#define OTHER_GROUP  group_of(OTHER)

static const char *group_of(uint32_t tenant) {
    static char names[2][24];
    char *name = names[tenant == OTHER];
    snprintf(name, sizeof *names, "tenant-%u", tenant);
    return name;
}

static bool no_groups(const struct cell *c) { /* c: of a tenant */
    if (c->budget.weight) return false;
    print_message("no tree of control groups can be written here\n");
    return true;
}

static const char *weight_file(const char *name) {
    return in_group(name, "cpu.weight") >= 0 ? "cpu.weight" : "cpu.shares";
}

TEST(cells_of_one_tenant_share_a_weight_where_there_are_control_groups) {
    struct zygote z = start_zygote(options);
    int second = add_worker(&z, 2);
    struct cell a = spawn_with(z.worker, 1, (struct zygote_budget){.tenant = TENANT, .weight = 200}),
                b = spawn_with(second, 1, (struct zygote_budget){.tenant = TENANT, .weight = 200}),
                c = spawn_with(second, 2, (struct zygote_budget){.tenant = OTHER});
    if (!no_groups(&a)) {
        CHECK_INT(200, a.budget.weight);
        CHECK_INT(100, c.budget.weight);
        CHECK(group_says(OTHER_GROUP, "cgroup.procs", c.pid));
        const char *file = weight_file(OTHER_GROUP);
        long one = in_group(OTHER_GROUP, file);
        CHECK(group_says(TENANT_GROUP, file, 2 * one));
        zygote_say(z.worker, ZYGOTE_KILL, 1);
        CHECK(group_says(TENANT_GROUP, "cgroup.procs", b.pid)); /* the other one stays in it */
        pid_t helper = helper_of(z.pid);
        CHECK_INT(0, kill(helper, SIGKILL)); /* the next one goes on */
        for (int i = 0; i < PATIENCE_MS && kill(helper, 0) == 0; i++) usleep(1000);
        struct cell d = spawn_with(second, 3, (struct zygote_budget){.tenant = OTHER, .weight = 300});
        CHECK(group_says(OTHER_GROUP, file, 3 * one));
        close_cell(&d);
        zygote_say(second, ZYGOTE_KILL, 1);
        CHECK(group_says(TENANT_GROUP, file, -1)); /* gone with its last cell */
    }
    close(second);
    close_cell(&a);
    close_cell(&b);
    close_cell(&c);
    stop_zygote(&z);
    CHECK(group_says(OTHER_GROUP, "cpu.shares", -1) && group_says(OTHER_GROUP, "cpu.weight", -1));
}

TEST(the_weight_of_a_cell_that_was_throttled_does_not_outlive_it) {
    struct zygote z = start_zygote(options);
    struct cell a = spawn_with(z.worker, 1, (struct zygote_budget){.tenant = TENANT, .weight = 200});
    if (!no_groups(&a)) {
        CHECK(group_says(TENANT_GROUP, "cgroup.procs", a.pid));
        const char *file = weight_file(TENANT_GROUP);
        long whole = in_group(TENANT_GROUP, file);
        zygote_say(z.worker, ZYGOTE_IDLE, 1);
        CHECK(stands_in("idle", a.pid, true));
        CHECK_INT(whole / 200, in_group("idle", file));
        struct cell b = spawn_with(z.worker, 2, (struct zygote_budget){.tenant = TENANT, .weight = 200});
        CHECK(group_says(TENANT_GROUP, "cgroup.procs", b.pid));
        CHECK_INT(whole, in_group(TENANT_GROUP, file)); /* the others do not pay for the one */
        if (geteuid() == 0) {
            zygote_say(z.worker, ZYGOTE_NORMAL, 1);
            CHECK(stands_in("idle", a.pid, false)); /* back among them */
        }
        zygote_say(z.worker, ZYGOTE_IDLE, 1);
        CHECK(stands_in("idle", a.pid, true));
        zygote_say(z.worker, ZYGOTE_KILL, 1);
        expect_end(&z, 1, SIGKILL);
        struct cell c = spawn_with(z.worker, 3, (struct zygote_budget){.tenant = TENANT, .weight = 200});
        ping(&c);
        CHECK_INT(whole, in_group(TENANT_GROUP, file));
        zygote_say(z.worker, ZYGOTE_KILL, 2);
        CHECK(group_says(TENANT_GROUP, "cgroup.procs", c.pid));
        close_cell(&b);
        close_cell(&c);
    }
    close_cell(&a);
    stop_zygote(&z);
}

TEST(another_zygote_that_sweeps_takes_no_group_from_under_a_tenant) {
    struct zygote z = start_zygote(options);
    struct cell a = spawn_with(z.worker, 1, (struct zygote_budget){.tenant = TENANT, .weight = 200});
    if (!no_groups(&a)) {
        CHECK(group_says(TENANT_GROUP, "cgroup.procs", a.pid));
        const char *file = weight_file(TENANT_GROUP);
        long whole = in_group(TENANT_GROUP, file);
        zygote_say(z.worker, ZYGOTE_IDLE, 1);
        CHECK(stands_in("idle", a.pid, true)); /* so its tenant's group is empty */
        struct zygote other = start_zygote(options);
        struct cell theirs = spawn_cell(other.worker, 1);
        CHECK(group_says(TENANT_GROUP, file, -1)); /* removed as it came */
        CHECK(stands_in("idle", a.pid, true));
        struct cell b = spawn_with(z.worker, 2, (struct zygote_budget){.tenant = TENANT, .weight = 200});
        CHECK(group_says(TENANT_GROUP, "cgroup.procs", b.pid)); /* made again, with all that it had */
        CHECK_INT(whole, in_group(TENANT_GROUP, file));
        close_cell(&theirs);
        stop_zygote(&other);
        CHECK_INT(b.pid, in_group(TENANT_GROUP, "cgroup.procs"));
        close_cell(&b);
    }
    close_cell(&a);
    stop_zygote(&z);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(cells_of_one_tenant_share_a_weight_where_there_are_control_groups),
        RUN(the_weight_of_a_cell_that_was_throttled_does_not_outlive_it),
        RUN(another_zygote_that_sweeps_takes_no_group_from_under_a_tenant),
    };
    return RUN_ALL(tests);
}
