/* SPDX-License-Identifier: Apache-2.0 */
/* A real zygote, and the test as master and worker. */
#include "cells.h"
#include <linux/capability.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

static const char *const options[] = {NULL};
#ifdef PARLEY_SANITIZED
enum { NOT_BUILT = WALL_RLIMIT };
#else
enum { NOT_BUILT = 0 };
#endif

/* A line of /proc/PID/status, without its name. */
static const char *status_of(pid_t pid, const char *name) {
    static char line[512];
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", pid);
    FILE *f = fopen(path, "r");
    if (!f) return NULL;
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) {
            fclose(f);
            line[strcspn(line, "\n")] = '\0';
            return line + strlen(name);
        }
    fclose(f);
    return NULL;
}

static bool gone(const struct cell *c) { /* within patience */
    return readable(c->pidfd, PATIENCE_MS);
}

static void expect_end(struct zygote *z, uint32_t id, int status) {
    int fds[3];
    struct zygote_message m = zygote_hear(z->worker, fds);
    CHECK_INT(ZYGOTE_ENDED, m.type);
    CHECK_INT(id, m.id);
    CHECK_INT(status, m.value);
}

static void ping(struct cell *c) {
    say_one(c, MESSAGE_PING, "x");
    CHECK_STR("pong x", heard(c));
}

TEST(a_cell_is_spawned_answers_and_is_killed) {
    struct zygote z = start_zygote(options);
    struct cell c = spawn_cell(z.worker, 7);
    ping(&c);
    zygote_say(z.worker, ZYGOTE_KILL, 7);
    expect_end(&z, 7, SIGKILL);
    CHECK(gone(&c));
    close_cell(&c);
    stop_zygote(&z);
}

TEST(the_walls_stand) {
    struct zygote z = start_zygote(options);
    struct cell c = spawn_cell(z.worker, 1), d = spawn_cell(z.worker, 2);
    ping(&c);
    unsigned uid = 0, other = 0;
    if (geteuid() == 0) {
        CHECK_INT(NOT_BUILT, c.weak);
        CHECK(sscanf(status_of(c.pid, "Uid:"), "%u", &uid) == 1 && uid >= 900000);
        CHECK(sscanf(status_of(d.pid, "Uid:"), "%u", &other) == 1 && other >= 900000 && other != uid);
        CHECK(strstr(status_of(c.pid, "Uid:"), "\t0") == NULL && strstr(status_of(c.pid, "Gid:"), "\t0") == NULL);
        CHECK(strstr(status_of(c.pid, "CapEff:"), "0000000000000000"));
    }
    CHECK_INT(2, atoi(status_of(c.pid, "Seccomp:")));
    CHECK_INT(1, atoi(status_of(c.pid, "NoNewPrivs:")));
    CHECK_INT(1, atoi(status_of(c.pid, "Threads:")));
    CHECK_INT(c.pid, getpgid(c.pid));
    char ours[128] = "", theirs[128] = "", path[64];
    snprintf(path, sizeof path, "/proc/%d/ns/net", c.pid);
    CHECK(readlink("/proc/self/ns/net", ours, sizeof ours - 1) > 0);
    if (readlink(path, theirs, sizeof theirs - 1) > 0) CHECK(strcmp(ours, theirs) != 0);
#ifndef PARLEY_SANITIZED
    int count = 0; /* nothing but its socket */
    for (int fd = 0; fd < 64; fd++) {
        char target[256] = "";
        snprintf(path, sizeof path, "/proc/%d/fd/%d", c.pid, fd);
        if (readlink(path, target, sizeof target - 1) <= 0) continue;
        count++;
        if (strncmp(target, "socket:", 7) != 0) fail_msg("fd %d is %s", fd, target);
    }
    if (geteuid() == 0) CHECK_INT(1, count); /* it is not dumpable: only root may look */
#endif
    close_cell(&c);
    close_cell(&d);
    stop_zygote(&z);
}

TEST(a_cell_ends_when_its_socket_closes) {
    struct zygote z = start_zygote(options);
    struct cell c = spawn_cell(z.worker, 3);
    close(c.fd);
    expect_end(&z, 3, 0);
    c.fd = dup(c.pidfd);
    close_cell(&c);
    stop_zygote(&z);
}

TEST(a_workers_cells_end_with_its_control_socket_and_others_stay) {
    struct zygote z = start_zygote(options);
    int second = add_worker(&z, 2);
    struct cell a = spawn_cell(z.worker, 1), b = spawn_cell(second, 1), c = spawn_cell(second, 2);
    close(second);
    CHECK(gone(&b));
    CHECK(gone(&c));
    ping(&a);
    close_cell(&a);
    close_cell(&b);
    close_cell(&c);
    stop_zygote(&z);
}

TEST(everything_ends_with_the_master) {
    struct zygote z = start_zygote(options);
    struct cell a = spawn_cell(z.worker, 1);
    stop_zygote(&z);
    CHECK(gone(&a));
    close_cell(&a);
}

TEST(cells_die_with_a_zygote_that_is_killed) {
    struct zygote z = start_zygote(options);
    struct cell a = spawn_cell(z.worker, 1), b = spawn_cell(z.worker, 2);
    ping(&a);
    kill(z.pid, SIGKILL);
    CHECK(gone(&a));
    CHECK(gone(&b));
    waitpid(z.pid, NULL, 0);
    close(z.worker);
    close(z.master);
    close_cell(&a);
    close_cell(&b);
}

TEST(a_worker_cannot_touch_the_cells_of_another) {
    struct zygote z = start_zygote(options);
    int second = add_worker(&z, 2);
    struct cell a = spawn_cell(z.worker, 1), b = spawn_cell(second, 2);
    zygote_say(second, ZYGOTE_KILL, 1);
    zygote_say(second, ZYGOTE_KILL, 2);
    CHECK(gone(&b));
    ping(&a);
    close(second);
    close_cell(&a);
    close_cell(&b);
    stop_zygote(&z);
}

static char state_of(pid_t pid) {
    const char *s = status_of(pid, "State:");
    return s ? s[1] : 0;
}

static bool becomes(pid_t pid, char state) {
    for (int i = 0; i < PATIENCE_MS; i++) {
        if (state_of(pid) == state) return true;
        usleep(1000);
    }
    return false;
}

TEST(a_cell_is_stopped_goes_on_and_is_made_idle) {
    struct zygote z = start_zygote(options);
    struct cell c = spawn_cell(z.worker, 1);
    zygote_say(z.worker, ZYGOTE_STOP, 1);
    CHECK(becomes(c.pid, 'T'));
    zygote_say(z.worker, ZYGOTE_CONT, 1);
    CHECK(becomes(c.pid, 'S'));
    zygote_say(z.worker, ZYGOTE_IDLE, 1);
    for (int i = 0; i < PATIENCE_MS && sched_getscheduler(c.pid) != SCHED_IDLE; i++) usleep(1000);
    CHECK_INT(SCHED_IDLE, sched_getscheduler(c.pid));
    ping(&c);
    if (geteuid() == 0) {
        zygote_say(z.worker, ZYGOTE_NORMAL, 1);
        for (int i = 0; i < PATIENCE_MS && sched_getscheduler(c.pid) != SCHED_OTHER; i++) usleep(1000);
        CHECK_INT(SCHED_OTHER, sched_getscheduler(c.pid));
    }
    close_cell(&c);
    stop_zygote(&z);
}

TEST(a_stopped_cell_answers_when_it_goes_on_and_can_be_killed_before) {
    struct zygote z = start_zygote(options);
    struct cell c = spawn_cell(z.worker, 1), d = spawn_cell(z.worker, 2);
    zygote_say(z.worker, ZYGOTE_STOP, 1);
    CHECK(becomes(c.pid, 'T'));
    say_one(&c, MESSAGE_PING, "x");
    CHECK(!readable(c.fd, 50));
    zygote_say(z.worker, ZYGOTE_CONT, 1);
    CHECK_STR("pong x", heard(&c));
    zygote_say(z.worker, ZYGOTE_STOP, 2);
    CHECK(becomes(d.pid, 'T'));
    zygote_say(z.worker, ZYGOTE_KILL, 2);
    expect_end(&z, 2, SIGKILL);
    close_cell(&c);
    close_cell(&d);
    stop_zygote(&z);
}

static unsigned uid_of(const struct cell *c) {
    unsigned uid = 0;
    CHECK(sscanf(status_of(c->pid, "Uid:"), "%u", &uid) == 1);
    return uid;
}

TEST(a_user_id_is_used_again_when_its_cell_is_gone_and_not_before) {
    if (geteuid() != 0) return; /* they all have ours */
    enum { MANY = 20 };
    const char *const none[] = {"--ready", "0", NULL}; /* those that wait would take some of them */
    struct zygote z = start_zygote(none);
    struct cell cells[MANY];
    unsigned uids[MANY];
    for (int i = 0; i < MANY; i++) {
        cells[i] = spawn_cell(z.worker, (uint32_t)i);
        uids[i] = uid_of(&cells[i]);
        for (int k = 0; k < i; k++) CHECK(uids[k] != uids[i]);
    }
    for (int i = 5; i < 8; i++) {
        zygote_say(z.worker, ZYGOTE_KILL, (uint32_t)i);
        expect_end(&z, (uint32_t)i, SIGKILL);
        close_cell(&cells[i]);
    }
    for (int i = 5; i < 8; i++) {
        cells[i] = spawn_cell(z.worker, (uint32_t)(100 + i));
        unsigned uid = uid_of(&cells[i]);
        CHECK(uid == uids[5] || uid == uids[6] || uid == uids[7]);
        for (int k = 0; k < MANY; k++)
            if (k != i && (k < 5 || k >= 8 || k < i)) CHECK(uid_of(&cells[k]) != uid);
    }
    for (int i = 0; i < MANY; i++) close_cell(&cells[i]);
    stop_zygote(&z);
}

#ifndef PARLEY_SANITIZED
/* Bytes. In /proc, as prlimit() of another user's process takes a capability (CAP_SYS_RESOURCE) that root in a container lacks. */
static long long limit_of(const struct cell *c, const char *name) {
    char path[64], line[256];
    long long soft = -1, hard = -1;
    snprintf(path, sizeof path, "/proc/%d/limits", c->pid);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0) sscanf(line + strlen(name), "%lld %lld", &soft, &hard);
    fclose(f);
    CHECK(soft == hard);
    return soft;
}

static long long data_limit_of(const struct cell *c) {
    return limit_of(c, "Max data size");
}

TEST(a_budget_in_the_request_sets_the_limits_of_that_cell_and_is_cut_to_what_an_option_may_be) {
    const char *const own[] = {"--soft-mb", "16", "--hard-mb", "32", NULL};
    struct zygote z = start_zygote(own);
    struct cell a = spawn_with(z.worker, 1, (struct zygote_budget){.hard_mb = 100}), b = spawn_cell(z.worker, 2),
                c = spawn_with(z.worker, 3,
                               (struct zygote_budget){.tenant = UINT32_MAX,
                                                      .weight = UINT32_MAX,
                                                      .soft_mb = UINT32_MAX,
                                                      .hard_mb = UINT32_MAX,
                                                      .slice_ms = UINT32_MAX,
                                                      .invocation_ms = UINT32_MAX,
                                                      .call_ms = UINT32_MAX,
                                                      .share_percent = UINT32_MAX});
    CHECK_INT((100 + 16) << 20, data_limit_of(&a));
    CHECK_INT((32 + 16) << 20, data_limit_of(&b));
    CHECK_INT((4096LL + 16) << 20, data_limit_of(&c));
    CHECK_INT(2 * (100LL << 20) + (128 << 20) + 128LL * BUNDLE_MAX, limit_of(&a, "Max address space"));
    CHECK_INT(100, a.budget.hard_mb);
    CHECK_INT(16, a.budget.soft_mb);
    CHECK_INT(4096, c.budget.hard_mb);
    CHECK_INT(1000, c.budget.slice_ms);
    CHECK_INT(100, c.budget.share_percent);
    ping(&a);
    ping(&b);
    ping(&c);
    close_cell(&a);
    close_cell(&b);
    close_cell(&c);
    stop_zygote(&z);
}
/* Its addresses were limited to those of 32. */
TEST(the_last_of_128_versions_of_the_largest_size_could_not_be_mapped) {
    enum { VERSIONS = 128, FILES = BUNDLE_MAX / BUNDLE_FILE_MAX };
    struct zygote z = start_zygote(options);
    struct cell c = spawn_cell(z.worker, 1);
    struct buf b = {0}, text = {0};
    char paths[FILES][16], name[16], line[64];
    const char *files[2 * FILES + 1] = {NULL};
    buf_reserve(&text, BUNDLE_FILE_MAX);
    memset(text.data, 'x', BUNDLE_FILE_MAX - 100);
    text.data[BUNDLE_FILE_MAX - 100] = 0;
    for (int i = 0; i < FILES; i++) {
        snprintf(paths[i], sizeof paths[i], "kb/%02d.txt", i);
        files[2 * i] = paths[i];
        files[2 * i + 1] = text.data;
    }
    int fd = bundle_fd(files);
    for (int i = 0; i < VERSIONS; i++) {
        snprintf(name, sizeof name, "v%d", i);
        message_begin(&b, MESSAGE_LOAD);
        add_str(&b, name);
        send_with_fd(c.fd, b.data, b.len, fd);
        snprintf(line, sizeof line, "loaded %s true ", name);
        CHECK_STR(line, heard(&c));
    }
    close(fd);
    buf_free(&b);
    buf_free(&text);
    close_cell(&c);
    stop_zygote(&z);
}
#endif

enum { READY = 3 };
static const char *const ready_options[] = {"--ready", "3", NULL};

/* The cells of a zygote, up to most of them. */
static int cells_of(const struct zygote *z, pid_t *pids, int most) {
    char command[64];
    int n = 0;
    snprintf(command, sizeof command, "pgrep -P %d -x parley-cell", z->pid);
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    while (n < most && fscanf(f, "%d", &pids[n]) == 1) n++;
    pclose(f);
    return n;
}

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
    struct cell c = spawn_with(z.worker, 1, (struct zygote_budget){.tenant = 7, .hard_mb = 100, .slice_ms = 9});
    CHECK(is_of(c.pid, waiting));
    CHECK_INT(100, c.budget.hard_mb);
    CHECK_INT(9, c.budget.slice_ms);
    if (geteuid() == 0) CHECK_INT(NOT_BUILT, c.weak);
    CHECK_INT(2, atoi(status_of(c.pid, "Seccomp:")));
#ifndef PARLEY_SANITIZED
    CHECK_INT((100 + 16) << 20, data_limit_of(&c));
#endif
    ping(&c);
    close_cell(&c);
    stop_zygote(&z);
}

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
    for (int i = 0; i < READY; i++) kill(waiting[i], SIGKILL);
    struct cell c = spawn_cell(z.worker, 1);
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

/* Its place stayed empty for as long as the zygote had something to do. */
TEST(cells_that_were_given_away_were_not_replaced_while_others_kept_asking) {
    struct zygote z = start_zygote(ready_options);
    pid_t waiting[READY];
    int second = add_worker(&z, 2);
    ready_of(&z, waiting);
    pid_t asking = fork();
    if (asking == 0)
        for (;;) zygote_say(second, ZYGOTE_STOP, 4711); /* of no cell */
    struct cell a = spawn_cell(z.worker, 1), b = spawn_cell(z.worker, 2);
    int n = 0;
    for (int i = 0; i < PATIENCE_MS / 10 && n < READY + 2; i++) {
        pid_t all[READY + 3];
        n = cells_of(&z, all, READY + 3);
        usleep(10000);
    }
    CHECK_INT(READY + 2, n);
    CHECK_INT(0, kill(asking, 0)); /* it asks still */
    kill(asking, SIGKILL);
    waitpid(asking, NULL, 0);
    close(second);
    close_cell(&a);
    close_cell(&b);
    stop_zygote(&z);
}

/* A worker for which the zygote has little room. */
static int add_narrow_worker(struct zygote *z) {
    struct zygote_message m = {.type = ZYGOTE_WORKER, .value = 2};
    int pair[2], least = 1;
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    CHECK(setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &least, sizeof least) == 0);
    send_with_fd(z->master, &m, sizeof m, pair[1]);
    close(pair[1]);
    return pair[0];
}

enum { ASKED = 30 };
static const char *const no_ready[] = {"--ready", "0", NULL};

static void ask(int control, uint32_t first) {
    for (uint32_t i = 0; i < ASKED; i++) zygote_say(control, ZYGOTE_SPAWN, first + i);
}

/* How many cells there are when no more come. */
static int count_at_rest(const struct zygote *z) {
    pid_t all[2 * ASKED];
    int n = -1, before;
    do {
        before = n;
        usleep(300000);
        n = cells_of(z, all, 2 * ASKED);
    } while (n != before);
    return n;
}

TEST(who_read_late_lost_what_he_had_asked_for_and_what_had_ended) {
    struct zygote z = start_zygote(no_ready);
    int late = add_narrow_worker(&z), fds[3];
    struct cell other, cells[ASKED] = {{0}};
    ask(late, 1);
    int made = count_at_rest(&z);
    CHECK(made > 0 && made < ASKED); /* no more than it hears of, and one */
    other = spawn_cell(z.worker, 1); /* nobody else waits for it */
    for (uint32_t i = 0; i < ASKED; i++) {
        struct zygote_message m = zygote_hear(late, fds);
        CHECK_INT(ZYGOTE_SPAWNED, m.type);
        CHECK_INT(i + 1, m.id);
        CHECK(fds[0] >= 0 && fds[1] >= 0 && fds[2] >= 0);
        cells[i] = (struct cell){.fd = fds[0], .pidfd = fds[1]};
        close(fds[2]);
        ping(&cells[i]);
    }
    for (uint32_t i = 0; i < ASKED; i++) zygote_say(late, ZYGOTE_KILL, i + 1);
    for (int i = 0; i < 3; i++) CHECK(gone(&cells[i]));
    usleep(100000);
    bool ended[ASKED] = {false};
    for (int i = 0; i < ASKED; i++) {
        struct zygote_message m = zygote_hear(late, fds);
        CHECK_INT(ZYGOTE_ENDED, m.type);
        CHECK(m.id >= 1 && m.id <= ASKED && !ended[m.id - 1]);
        ended[m.id - 1] = true;
    }
    ping(&other);
    for (int i = 0; i < ASKED; i++) {
        close(cells[i].fd);
        close(cells[i].pidfd);
    }
    close(late);
    close_cell(&other);
    stop_zygote(&z);
}

TEST(what_waits_for_a_worker_goes_with_it) {
    struct zygote z = start_zygote(no_ready);
    int late = add_narrow_worker(&z);
    ask(late, 1);
    CHECK(count_at_rest(&z) > 0);
    close(late);
    for (int i = 0; i < 20 && count_at_rest(&z) > 0; i++) usleep(100000);
    CHECK_INT(0, count_at_rest(&z));
    struct cell c = spawn_cell(z.worker, 1);
    ping(&c);
    close_cell(&c);
    stop_zygote(&z);
}

/* It was tried on a process of the zygote's own user, which a cell is not. */
TEST(a_cell_was_said_to_come_back_from_idle_where_it_does_not) {
    static const char *const as_root[] = {"all", "no cap_sys_nice"};
    for (int i = 0; i < 2; i++) {
        int status;
        pid_t pid = fork();
        if (pid == 0) { /* a zygote that may do less, if we may do more */
            const struct rlimit any = {.rlim_cur = 40, .rlim_max = 40};
            setrlimit(RLIMIT_NICE, &any); /* our own processes come back */
            if (i == 1 && prctl(PR_CAPBSET_DROP, CAP_SYS_NICE) < 0) _exit(0);
            struct zygote z = start_zygote(options);
            struct cell c = spawn_cell(z.worker, 1);
            zygote_say(z.worker, ZYGOTE_IDLE, 1);
            zygote_say(z.worker, ZYGOTE_NORMAL, 1);
            ping(&c);
            struct cell d = spawn_cell(z.worker, 2); /* and both were done */
            bool idle = sched_getscheduler(c.pid) == SCHED_IDLE, may = c.budget.lets_back;
            print_message("%s: %s\n", as_root[i], may ? "comes back" : "does not");
            close_cell(&d);
            close_cell(&c);
            stop_zygote(&z);
            _exit(may && idle ? 1 : 0);
        }
        CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
        CHECK_INT(0, WEXITSTATUS(status));
    }
}

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

TEST(messages_of_wrong_size_cost_a_worker_its_socket_and_nobody_else) {
    struct zygote z = start_zygote(options);
    int second = add_worker(&z, 2);
    struct cell a = spawn_cell(z.worker, 1);
    char byte;
    CHECK_INT(3, send(second, "xyz", 3, MSG_NOSIGNAL));
    CHECK(readable(second, PATIENCE_MS));
    CHECK_INT(0, recv(second, &byte, 1, 0));
    zygote_say(z.worker, 999, 1);
    zygote_say(z.worker, ZYGOTE_KILL, 12345);
    CHECK_INT(3, send(z.master, "xyz", 3, MSG_NOSIGNAL));
    ping(&a);
    struct cell b = spawn_cell(z.worker, 2);
    ping(&b);
    close(second);
    close_cell(&a);
    close_cell(&b);
    stop_zygote(&z);
}

TEST(two_hundred_cells_come_and_go) {
    enum { MANY = 200 };
    struct zygote z = start_zygote(options);
    static struct cell cells[MANY];
    uint64_t start = clock_mono_us();
    for (int i = 0; i < MANY; i++) cells[i] = spawn_cell(z.worker, (uint32_t)i);
    print_message("%.0f us per spawn\n", (double)(clock_mono_us() - start) / MANY);
    for (int i = 0; i < MANY; i++) ping(&cells[i]);
    for (int i = 0; i < MANY; i++) zygote_say(z.worker, ZYGOTE_KILL, (uint32_t)i);
    for (int i = 0; i < MANY; i++) {
        int fds[3];
        CHECK_INT(ZYGOTE_ENDED, zygote_hear(z.worker, fds).type);
    }
    for (int i = 0; i < MANY; i++) close_cell(&cells[i]);
    stop_zygote(&z);
}

TEST(wrong_options_are_refused) {
    static const char *const bad[][3] = {{"--soft-mb", "0", NULL},   {"--soft-mb", "x", NULL},
                                         {"--nonsense", NULL, NULL}, {"--share-percent", "101", NULL},
                                         {"--ready", "65", NULL},    {"--hard-mb", "1", NULL}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int status, null = open("/dev/null", O_WRONLY);
        char path[512];
        snprintf(path, sizeof path, "%s/parley-cell", getenv("PARLEY_BIN"));
        pid_t pid = fork();
        if (pid == 0) {
            dup2(null, 2);
            execl(path, "parley-cell", bad[i][0], bad[i][1], (char *)NULL);
            _exit(1);
        }
        waitpid(pid, &status, 0);
        CHECK_INT(2, WEXITSTATUS(status));
        close(null);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(a_cell_is_spawned_answers_and_is_killed),
        RUN(the_walls_stand),
        RUN(a_cell_ends_when_its_socket_closes),
        RUN(a_workers_cells_end_with_its_control_socket_and_others_stay),
        RUN(everything_ends_with_the_master),
        RUN(cells_die_with_a_zygote_that_is_killed),
        RUN(a_worker_cannot_touch_the_cells_of_another),
        RUN(a_cell_is_stopped_goes_on_and_is_made_idle),
        RUN(a_stopped_cell_answers_when_it_goes_on_and_can_be_killed_before),
        RUN(a_user_id_is_used_again_when_its_cell_is_gone_and_not_before),
#ifndef PARLEY_SANITIZED
        RUN(the_last_of_128_versions_of_the_largest_size_could_not_be_mapped),
        RUN(a_budget_in_the_request_sets_the_limits_of_that_cell_and_is_cut_to_what_an_option_may_be),
#endif
        RUN(a_cell_that_waited_gets_the_budget_of_its_tenant_and_all_walls),
        RUN(a_cell_serves_one_tenant_and_another_comes_to_wait_in_its_place),
        RUN(cells_that_are_killed_while_they_wait_keep_nobody_from_one),
        RUN(cells_that_wait_end_with_their_zygote),
        RUN(cells_that_were_given_away_were_not_replaced_while_others_kept_asking),
        RUN(who_read_late_lost_what_he_had_asked_for_and_what_had_ended),
        RUN(what_waits_for_a_worker_goes_with_it),
        RUN(a_cell_was_said_to_come_back_from_idle_where_it_does_not),
        RUN(cells_of_one_tenant_share_a_weight_where_there_are_control_groups),
        RUN(the_weight_of_a_cell_that_was_throttled_does_not_outlive_it),
        RUN(another_zygote_that_sweeps_takes_no_group_from_under_a_tenant),
        RUN(messages_of_wrong_size_cost_a_worker_its_socket_and_nobody_else),
        RUN(two_hundred_cells_come_and_go),
        RUN(wrong_options_are_refused),
    };
    return RUN_ALL(tests);
}
