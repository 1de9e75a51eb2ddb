/* SPDX-License-Identifier: Apache-2.0 */
/* A real zygote, and the test as master and worker. */
#include "cell/walls.h"
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

TEST(the_limits_of_a_cell_can_be_set_from_outside) {
    struct cell c = {.pid = fork()};
    if (c.pid == 0)
        for (;;) pause();
    CHECK(walls_limit_again(c.pid, 40 << 20)); /* less than it has: that takes no capability */
    CHECK_INT((40 + 16) << 20, data_limit_of(&c));
    CHECK_INT(2 * (40LL << 20) + (128 << 20) + 128LL * BUNDLE_MAX, limit_of(&c, "Max address space"));
    kill(c.pid, SIGKILL);
    waitpid(c.pid, NULL, 0);
}

#endif

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
        RUN(the_limits_of_a_cell_can_be_set_from_outside),
#endif
        RUN(who_read_late_lost_what_he_had_asked_for_and_what_had_ended),
        RUN(what_waits_for_a_worker_goes_with_it),
        RUN(a_cell_was_said_to_come_back_from_idle_where_it_does_not),
        RUN(messages_of_wrong_size_cost_a_worker_its_socket_and_nobody_else),
        RUN(two_hundred_cells_come_and_go),
        RUN(wrong_options_are_refused),
    };
    return RUN_ALL(tests);
}
