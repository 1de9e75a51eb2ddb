/* SPDX-License-Identifier: Apache-2.0 */
/* Where a service's control groups are found, in a tree of plain files: what the kernel makes with a directory is made beforehand
 * here, and a directory with files is as hard to remove as a group with processes. zygote_weight_test has the real ones. */
#include "cell/weight.h"
#include "test.h"
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

enum { PATIENCE_MS = 30000, TENANT = 7 };
#define SERVICE "/system.slice/parley.service"

struct world {
    char root[64], own[96]; /* where control groups are mounted; what /proc/self/cgroup would be */
};

static const char *path_of(const struct world *w, const char *fmt, va_list args) {
    static char path[512];
    int n = snprintf(path, sizeof path, "%s/mounts", w->root);
    vsnprintf(path + n, sizeof path - (size_t)n, fmt, args);
    return path;
}

static void write_text(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    CHECK(f != NULL);
    fputs(text, f);
    fclose(f);
}

/* A directory with all above it, and in it the files of a group. */
static void add_group(const struct world *w, const char *fmt, ...) {
    static const char *const files[] = {"cgroup.procs", "cgroup.subtree_control", "cpu.weight", "cpu.shares"};
    char command[640], file[640], path[512];
    va_list args;
    va_start(args, fmt);
    snprintf(path, sizeof path, "%s", path_of(w, fmt, args));
    va_end(args);
    snprintf(command, sizeof command, "mkdir -p %s", path);
    CHECK_INT(0, system(command));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(file, sizeof file, "%s/%s", path, files[i]);
        write_text(file, "");
    }
}

/* What is in a file, within patience: the helper writes it. */
static bool says(const struct world *w, const char *text, const char *fmt, ...) {
    char got[64];
    va_list args;
    va_start(args, fmt);
    const char *path = path_of(w, fmt, args);
    va_end(args);
    for (int i = 0; i < PATIENCE_MS; i++) {
        FILE *f = fopen(path, "r");
        size_t n = f ? fread(got, 1, sizeof got - 1, f) : 0;
        got[n] = '\0';
        if (f) fclose(f);
        if (strcmp(got, text) == 0) return true;
        usleep(1000);
    }
    print_message("%s: %s\n", path, got);
    return false;
}

static bool is_there(const struct world *w, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    bool there = access(path_of(w, fmt, args), F_OK) == 0;
    va_end(args);
    return there;
}

static struct world make_world(const char *own) {
    struct world w;
    snprintf(w.root, sizeof w.root, "/tmp/weight_test.XXXXXX");
    CHECK(mkdtemp(w.root) != NULL);
    snprintf(w.own, sizeof w.own, "%s/own", w.root);
    write_text(w.own, own);
    return w;
}

static void drop_world(const struct world *w) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf %s", w->root);
    CHECK_INT(0, system(command));
}

static const char *mounts(const struct world *w) {
    static char path[96];
    snprintf(path, sizeof path, "%s/mounts", w->root);
    return path;
}

/* As systemd marks it; false where the file system of /tmp has no place for that. */
static bool delegate(const struct world *w, const char *group) {
    char path[256];
    snprintf(path, sizeof path, "%s%s", mounts(w), group);
    return setxattr(path, "user.delegate", "1", 1, 0) == 0 || setxattr(path, "trusted.delegate", "1", 1, 0) == 0;
}

/* The zygote's part, in a process of its own: with it the helper ends. */
static pid_t run_zygote(const struct world *w, void (*part)(void)) {
    pid_t pid = fork();
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* when a check fails nobody ends it */
    if (!weight_open(mounts(w), w->own)) _exit(1);
    part();
    pause();
    _exit(0);
}

static void end_zygote(pid_t pid) {
    int status;
    kill(pid, SIGTERM);
    waitpid(pid, &status, 0);
    CHECK(WIFSIGNALED(status)); /* it had groups */
}

static void one_cell(void) {
    if (weight_enter(TENANT, 250, 0, 4711) != 250) _exit(1);
}

TEST(on_version_1_the_groups_lie_below_the_services_own) {
    struct world w = make_world("9:name=systemd:" SERVICE "\n4:cpu,cpuacct:" SERVICE "\n0::" SERVICE "\n");
    add_group(&w, "/cpu/parley-cells/tenant-%u", TENANT);
    add_group(&w, "/cpu" SERVICE "/parley-cells/tenant-%u", TENANT);
    add_group(&w, "/cpu" SERVICE);
    pid_t zygote = run_zygote(&w, one_cell);
    CHECK(says(&w, "4711", "/cpu" SERVICE "/parley-cells/tenant-%u/cgroup.procs", TENANT));
    CHECK(says(&w, "2560", "/cpu" SERVICE "/parley-cells/tenant-%u/cpu.shares", TENANT));
    CHECK(says(&w, "", "/cpu/parley-cells/tenant-%u/cgroup.procs", TENANT));
    end_zygote(zygote);
    drop_world(&w);
}

TEST(on_version_1_they_lie_at_the_root_where_the_own_group_is_not_seen) {
    struct world w = make_world("4:cpu:/docker/0123\n0::/\n");
    add_group(&w, "/cpu/parley-cells/tenant-%u", TENANT);
    add_group(&w, "/cpu");
    pid_t zygote = run_zygote(&w, one_cell);
    CHECK(says(&w, "4711", "/cpu/parley-cells/tenant-%u/cgroup.procs", TENANT));
    end_zygote(zygote);
    drop_world(&w);
}

TEST(on_version_2_a_delegated_service_has_them_and_its_own_processes_go_below_it) {
    struct world w = make_world("0::" SERVICE "\n");
    add_group(&w, SERVICE "/parley-cells/tenant-%u", TENANT);
    add_group(&w, SERVICE "/parley-cells");
    add_group(&w, SERVICE "/parley-main");
    add_group(&w, SERVICE);
    add_group(&w, "/");
    if (delegate(&w, SERVICE)) {
        char path[256];
        snprintf(path, sizeof path, "%s" SERVICE "/cgroup.procs", mounts(&w));
        write_text(path, "123\n");
        pid_t zygote = run_zygote(&w, one_cell);
        CHECK(says(&w, "4711", SERVICE "/parley-cells/tenant-%u/cgroup.procs", TENANT));
        CHECK(says(&w, "250", SERVICE "/parley-cells/tenant-%u/cpu.weight", TENANT));
        CHECK(says(&w, "+cpu", SERVICE "/cgroup.subtree_control"));
        CHECK(says(&w, "+cpu", SERVICE "/parley-cells/cgroup.subtree_control"));
        CHECK(says(&w, "", "/cgroup.subtree_control"));
        char moved[64];
        snprintf(path, sizeof path, "%s" SERVICE "/parley-main/cgroup.procs", mounts(&w));
        FILE *f = fopen(path, "r");
        CHECK(f && fgets(moved, sizeof moved, f) && strncmp(moved, "123", 3) == 0);
        fclose(f);
        end_zygote(zygote);
    } else {
        print_message("no extended attributes can be set here\n");
    }
    drop_world(&w);
}

TEST(on_version_2_a_zygote_that_comes_later_finds_the_delegated_group_above_its_own) {
    struct world w = make_world("0::" SERVICE "/parley-main\n");
    add_group(&w, SERVICE "/parley-cells/tenant-%u", TENANT);
    add_group(&w, SERVICE "/parley-cells");
    add_group(&w, SERVICE "/parley-main");
    add_group(&w, SERVICE);
    if (delegate(&w, SERVICE)) {
        pid_t zygote = run_zygote(&w, one_cell);
        CHECK(says(&w, "4711", SERVICE "/parley-cells/tenant-%u/cgroup.procs", TENANT));
        CHECK(!is_there(&w, SERVICE "/parley-main/parley-cells"));
        end_zygote(zygote);
    }
    drop_world(&w);
}

TEST(on_version_2_what_is_not_delegated_is_left_alone) {
    struct world w = make_world("0::" SERVICE "\n");
    add_group(&w, SERVICE);
    add_group(&w, "/parley-cells/tenant-%u", TENANT);
    add_group(&w, "/parley-cells");
    add_group(&w, "/");
    pid_t zygote = run_zygote(&w, one_cell);
    CHECK(says(&w, "4711", "/parley-cells/tenant-%u/cgroup.procs", TENANT));
    CHECK(says(&w, "", SERVICE "/cgroup.subtree_control"));
    CHECK(!is_there(&w, SERVICE "/parley-cells") && !is_there(&w, SERVICE "/parley-main"));
    end_zygote(zygote);
    drop_world(&w);
}

static int shared_mappings(void) {
    FILE *f = fopen("/proc/self/maps", "r");
    char line[512];
    int n = 0;
    CHECK(f != NULL);
    while (fgets(line, sizeof line, f)) n += strstr(line, " rw-s ") != NULL;
    fclose(f);
    return n;
}

TEST(without_a_tree_cells_shared_a_page_that_all_of_them_could_write) {
    struct world w = make_world("0::/\n");
    int before = shared_mappings();
    CHECK(!weight_open(mounts(&w), w.own));
    CHECK_INT(before, shared_mappings());
    weight_idle(TENANT, 100, 0, 4711, true);
    weight_leave(TENANT, 0);
    drop_world(&w);
}

TEST(there_is_no_weight_without_a_tree) {
    struct world w = make_world("0::/\n");
    CHECK(!weight_open(mounts(&w), w.own));
    CHECK_INT(0, weight_enter(TENANT, 100, 0, 4711));
    drop_world(&w);
}

static void idle_and_back(void) {
    one_cell();
    weight_idle(TENANT, 250, 0, 4711, true);
    weight_enter(TENANT, 250, 1, 4712);
    weight_enter(TENANT, 250, 2, 4713);
    weight_idle(TENANT, 250, 2, 4713, false);
}

TEST(an_idle_cell_goes_to_the_least_weight_and_its_tenants_weight_stays) {
    struct world w = make_world("0::/\n");
    add_group(&w, "/parley-cells/tenant-%u", TENANT);
    add_group(&w, "/parley-cells/idle");
    add_group(&w, "/parley-cells");
    add_group(&w, "/");
    pid_t zygote = run_zygote(&w, idle_and_back);
    CHECK(says(&w, "4711", "/parley-cells/idle/cgroup.procs"));
    CHECK(says(&w, "1", "/parley-cells/idle/cpu.weight"));
    CHECK(says(&w, "4713", "/parley-cells/tenant-%u/cgroup.procs", TENANT));
    CHECK(says(&w, "250", "/parley-cells/tenant-%u/cpu.weight", TENANT));
    end_zygote(zygote);
    drop_world(&w);
}

static char hurdle[512]; /* where the helper waits until somebody reads */

/* All that is told while the helper is held up by one move. */
static void ended_before_it_was_moved(void) {
    char got[8];

    one_cell();
    weight_enter(TENANT + 1, 100, 1, 4712);
    weight_idle(TENANT + 1, 100, 1, 4712, true);
    weight_leave(TENANT + 1, 1);
    weight_enter(TENANT + 2, 100, 1, 4713); /* in the place of the one that ended */
    if (read(open(hurdle, O_RDONLY), got, sizeof got) != 4) _exit(1);
}

/* Whoever had its number by then came into a tenant's group, and had its weight. */
TEST(a_process_that_got_the_number_of_a_cell_that_ended_was_moved_in_its_place) {
    struct world w = make_world("0::/\n");
    for (unsigned i = 0; i < 3; i++) add_group(&w, "/parley-cells/tenant-%u", TENANT + i);
    add_group(&w, "/parley-cells/idle");
    add_group(&w, "/parley-cells");
    add_group(&w, "/");
    snprintf(hurdle, sizeof hurdle, "%s/parley-cells/tenant-%u/cgroup.procs", mounts(&w), TENANT);
    CHECK_INT(0, unlink(hurdle));
    CHECK_INT(0, mkfifo(hurdle, 0600));
    pid_t zygote = run_zygote(&w, ended_before_it_was_moved);
    CHECK(says(&w, "4713", "/parley-cells/tenant-%u/cgroup.procs", TENANT + 2));
    CHECK(says(&w, "", "/parley-cells/tenant-%u/cgroup.procs", TENANT + 1));
    CHECK(says(&w, "", "/parley-cells/idle/cgroup.procs"));
    end_zygote(zygote);
    drop_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        RUN(on_version_1_the_groups_lie_below_the_services_own),
        RUN(on_version_1_they_lie_at_the_root_where_the_own_group_is_not_seen),
        RUN(on_version_2_a_delegated_service_has_them_and_its_own_processes_go_below_it),
        RUN(on_version_2_a_zygote_that_comes_later_finds_the_delegated_group_above_its_own),
        RUN(on_version_2_what_is_not_delegated_is_left_alone),
        RUN(there_is_no_weight_without_a_tree),
        RUN(without_a_tree_cells_shared_a_page_that_all_of_them_could_write),
        RUN(an_idle_cell_goes_to_the_least_weight_and_its_tenants_weight_stays),
        RUN(a_process_that_got_the_number_of_a_cell_that_ended_was_moved_in_its_place),
    };
    return RUN_ALL(tests);
}
