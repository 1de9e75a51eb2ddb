/* SPDX-License-Identifier: Apache-2.0 */
/* The cells of a real zygote that wait for a tenant. refill_test has when they are made. */
#include "cells.h"
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#ifdef PARLEY_SANITIZED
enum { NOT_BUILT = WALL_RLIMIT };
#else
enum { NOT_BUILT = 0 };
#endif

enum { READY = 3 };
static const char *const ready_options[] = {"--ready", "3", NULL};

/* Those that wait, when there are as many as there shall be and no more come. */
static void ready_of(const struct zygote *z, pid_t pids[READY]) {
    pid_t all[READY + 2];
    int n = 0;
    for (int i = 0; i < PATIENCE_MS / 10 && n < READY; i++) {
        usleep(10000);
        n = cells_of(z, all, READY + 2);
    }
    usleep(50000);
    CHECK_INT(READY, cells_of(z, all, READY + 2));
    memcpy(pids, all, READY * sizeof *pids);
}

static bool is_of(pid_t pid, const pid_t pids[READY]) {
    for (int i = 0; i < READY; i++)
        if (pids[i] == pid) return true;
    return false;
}

TEST(a_cell_that_waited_gets_the_budget_of_its_tenant_and_all_walls) {
    struct zygote z = start_zygote(ready_options);
    pid_t waiting[READY];
    ready_of(&z, waiting);
    for (int i = 0; i < READY; i++) { /* before anybody has asked for them */
        struct cell w = {.pid = waiting[i]};
        unsigned uid = uid_of(&w);
        CHECK_INT(2, atoi(status_of(w.pid, "Seccomp:")));
        CHECK_INT(1, atoi(status_of(w.pid, "NoNewPrivs:")));
        CHECK(geteuid() != 0 || uid >= 900000);
#ifndef PARLEY_SANITIZED
        CHECK_INT((64 + 16) << 20, data_limit_of(&w));
#endif
    }
    struct cell c = spawn_with(z.worker, 1, (struct zygote_budget){.tenant = 7, .soft_mb = 20, .slice_ms = 9});
    CHECK(is_of(c.pid, waiting));
    CHECK_INT(20, c.budget.soft_mb);
    CHECK_INT(9, c.budget.slice_ms);
    if (geteuid() == 0) CHECK_INT(NOT_BUILT, c.weak);
    CHECK_INT(2, atoi(status_of(c.pid, "Seccomp:")));
    ping(&c);
    close_cell(&c);
    stop_zygote(&z);
}

#ifndef PARLEY_SANITIZED
/* Whether a tenant's own memory, more and less than the usual, bounds its cells, and such a cell had waited. */
static bool own_memory_bounds(bool *waited) {
    struct zygote z = start_zygote(ready_options);
    pid_t waiting[READY];
    ready_of(&z, waiting);
    struct cell more = spawn_with(z.worker, 1, (struct zygote_budget){.hard_mb = 100}),
                less = spawn_with(z.worker, 2, (struct zygote_budget){.hard_mb = 40}), usual = spawn_cell(z.worker, 3);
    ping(&more);
    ping(&less);
    ping(&usual);
    *waited = is_of(more.pid, waiting);
    bool right = data_limit_of(&more) == (100 + 16) << 20 && data_limit_of(&less) == (40 + 16) << 20 &&
                 data_limit_of(&usual) == (64 + 16) << 20 && more.weak == usual.weak && is_of(usual.pid, waiting);
    close_cell(&more);
    close_cell(&less);
    close_cell(&usual);
    stop_zygote(&z);
    return right;
}

TEST(a_tenants_own_memory_bounds_its_cell_also_where_that_of_one_that_waits_cannot_be_changed) {
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) {
            bool waited = false;
            if (i == 1 && prctl(PR_CAPBSET_DROP, CAP_SYS_RESOURCE) < 0) _exit(0);
            if (!own_memory_bounds(&waited)) _exit(1);
            print_message("%s\n", waited ? "one that waited" : "a new one");
            _exit(i == 1 && waited ? 2 : 0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        CHECK_INT(0, WEXITSTATUS(status));
    }
}

static long faults_of(pid_t pid) {
    char path[64], line[512] = "";
    long faults = -1;
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    FILE *f = fopen(path, "r");
    CHECK(f && fgets(line, sizeof line, f));
    fclose(f);
    sscanf(strrchr(line, ')') + 2, "%*c %*d %*d %*d %*d %*d %*u %ld", &faults);
    return faults;
}

/* Some thirty pages came one by one while a caller waited. */
TEST(a_first_flow_had_to_wait_for_its_pages) {
    static const char *const files[] = {
        "flows/main.lua", "return require('flow').define { start = 'ask', ask = function(call) call:say('Hello') end }",
        NULL};
    struct zygote z = start_zygote(ready_options);
    pid_t waiting[READY];
    ready_of(&z, waiting);
    struct cell c = spawn_cell(z.worker, 1);
    long before = faults_of(c.pid);
    offer_verbs(&c, "say menu gather record transfer hangup wait answer play");
    load(&c, "v", files);
    CHECK_STR("loaded v true ", heard(&c));
    run(&c, "c", "v", "flows/main.lua", "ask", 1, NULL, NULL);
    CHECK_STR("verb c 1 1 say {Hello}", heard(&c));
    long faults = faults_of(c.pid) - before;
    print_message("%ld pages\n", faults);
    void *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    enum { POPULATE_WRITE = 23 };
    if (madvise(page, 4096, POPULATE_WRITE) == 0) CHECK(faults < 12); /* else the kernel is older than 5.14 */
    munmap(page, 4096);
    close_cell(&c);
    stop_zygote(&z);
}
#endif

TEST(a_cell_serves_one_tenant_and_another_comes_to_wait_in_its_place) {
    struct zygote z = start_zygote(ready_options);
    pid_t first[READY], then[READY];
    ready_of(&z, first);
    struct cell a = spawn_with(z.worker, 1, (struct zygote_budget){.tenant = 7}),
                b = spawn_with(z.worker, 2, (struct zygote_budget){.tenant = 8});
    CHECK(is_of(a.pid, first) && is_of(b.pid, first) && a.pid != b.pid);
    if (geteuid() == 0) CHECK(uid_of(&a) != uid_of(&b));
    zygote_say(z.worker, ZYGOTE_KILL, 1);
    expect_end(&z, 1, SIGKILL);
    zygote_say(z.worker, ZYGOTE_KILL, 2);
    expect_end(&z, 2, SIGKILL);
    ready_of(&z, then);
    CHECK(!is_of(a.pid, then) && !is_of(b.pid, then));
    close_cell(&a);
    close_cell(&b);
    stop_zygote(&z);
}

TEST(cells_that_are_killed_while_they_wait_keep_nobody_from_one) {
    struct zygote z = start_zygote(ready_options);
    pid_t waiting[READY];
    ready_of(&z, waiting);
    kill(z.pid, SIGSTOP); /* so that it has heard of none of it when it is asked */
    for (int i = 0; i < READY; i++) kill(waiting[i], SIGKILL);
    for (int i = 0; i < READY; i++) CHECK(becomes(waiting[i], 'Z'));
    struct zygote_message ask = {.type = ZYGOTE_SPAWN, .id = 1};
    CHECK_INT(sizeof ask, send(z.worker, &ask, sizeof ask, MSG_NOSIGNAL));
    kill(z.pid, SIGCONT);
    struct cell c = hear_cell(z.worker, 1);
    ping(&c);
    zygote_say(z.worker, ZYGOTE_KILL, 1);
    expect_end(&z, 1, SIGKILL);
    ready_of(&z, waiting);
    close_cell(&c);
    stop_zygote(&z);
}

TEST(cells_that_wait_end_with_their_zygote) {
    struct zygote z = start_zygote(ready_options);
    pid_t waiting[READY];
    struct cell as[READY];
    ready_of(&z, waiting);
    for (int i = 0; i < READY; i++) as[i].pidfd = (int)syscall(SYS_pidfd_open, waiting[i], 0);
    kill(z.pid, SIGKILL);
    for (int i = 0; i < READY; i++) {
        CHECK(as[i].pidfd >= 0 && gone(&as[i]));
        close(as[i].pidfd);
    }
    waitpid(z.pid, NULL, 0);
    close(z.worker);
    close(z.master);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_cell_that_waited_gets_the_budget_of_its_tenant_and_all_walls),
#ifndef PARLEY_SANITIZED
        RUN(a_tenants_own_memory_bounds_its_cell_also_where_that_of_one_that_waits_cannot_be_changed),
        RUN(a_first_flow_had_to_wait_for_its_pages),
#endif
        RUN(a_cell_serves_one_tenant_and_another_comes_to_wait_in_its_place),
        RUN(cells_that_are_killed_while_they_wait_keep_nobody_from_one),
        RUN(cells_that_wait_end_with_their_zygote),
    };
    return RUN_ALL(tests);
}
