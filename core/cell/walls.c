/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/walls.h"
#include "cell/cell.h"
#include "script/bundle.h"
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

uint32_t walls_not_built(void) {
#ifdef PARLEY_SANITIZED
    return WALL_RLIMIT; /* the sanitizer reserves terabytes of addresses */
#else
    return 0;
#endif
}

/* -- in the zygote --------------------------------------------------------------------------------------------------- */

static bool write_file(const char *path, const char *text) {
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0) close(fd);
    return ok;
}

/* A network without interfaces, and a root directory without files. Cells inherit both, so they cost nothing per cell. */
static bool namespaces(bool root) {
    char map[64];
    unsigned uid = getuid(), gid = getgid();

    if (!root) {
        if (unshare(CLONE_NEWUSER) < 0) return false;
        write_file("/proc/self/setgroups", "deny");
        snprintf(map, sizeof map, "%u %u 1", uid, uid);
        if (!write_file("/proc/self/uid_map", map)) return false;
        snprintf(map, sizeof map, "%u %u 1", gid, gid);
        if (!write_file("/proc/self/gid_map", map)) return false;
    }
    if (unshare(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS) < 0) return false;
    /* What we mount must not be seen outside. In a chroot / is no mount point of its own; then it is /proc that counts, as
     * nothing is mounted but over it. */
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 &&
        (errno != EINVAL || mount(NULL, "/proc", NULL, MS_PRIVATE, NULL) < 0))
        return false;
#ifdef PARLEY_SANITIZED
    return true; /* the sanitizer's reports need the program's file and /proc */
#else
    /* Over /proc, which is there on every machine, and only in this mount namespace. */
    if (mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k,mode=555") < 0)
        return false;
    return chdir("/proc") == 0 && chroot(".") == 0 && chdir("/") == 0;
#endif
}

static bool allow(scmp_filter_ctx f) {
    static const int calls[] = {
        SCMP_SYS(read),        SCMP_SYS(recvmsg),        SCMP_SYS(sendto),
        SCMP_SYS(poll),        SCMP_SYS(munmap),         SCMP_SYS(mremap),
        SCMP_SYS(brk),         SCMP_SYS(madvise),        SCMP_SYS(close),
        SCMP_SYS(lseek),       SCMP_SYS(timer_settime),  SCMP_SYS(clock_gettime),
        SCMP_SYS(futex),       SCMP_SYS(getrandom),      SCMP_SYS(rt_sigreturn),
        SCMP_SYS(exit),        SCMP_SYS(exit_group),     SCMP_SYS(restart_syscall),
#ifdef PARLEY_SANITIZED
        SCMP_SYS(write),       SCMP_SYS(rt_sigprocmask), SCMP_SYS(rt_sigaction),
        SCMP_SYS(sigaltstack), SCMP_SYS(getpid),         SCMP_SYS(gettid),
        SCMP_SYS(tgkill),      SCMP_SYS(getrlimit),      SCMP_SYS(prlimit64),
        SCMP_SYS(sched_yield), SCMP_SYS(nanosleep),      SCMP_SYS(clock_nanosleep),
        SCMP_SYS(open),        SCMP_SYS(openat),         SCMP_SYS(readlink),
        SCMP_SYS(fstat),       SCMP_SYS(newfstatat),     SCMP_SYS(stat),
        SCMP_SYS(dup),         SCMP_SYS(fcntl),          SCMP_SYS(ioctl),
        SCMP_SYS(getuid),      SCMP_SYS(geteuid),        SCMP_SYS(getgid),
        SCMP_SYS(getegid),     SCMP_SYS(sysinfo),        SCMP_SYS(getcwd),
        SCMP_SYS(access),
#endif
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (seccomp_rule_add(f, SCMP_ACT_ALLOW, calls[i], 0) < 0) return false;
    /* No memory is ever made executable: the interpreter needs none. */
    if (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mmap), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) < 0)
        return false;
    if (seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(mprotect), 1, SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)) < 0)
        return false;
    return seccomp_rule_add(f, SCMP_ACT_ALLOW, SCMP_SYS(fcntl), 1, SCMP_A1(SCMP_CMP_EQ, F_GET_SEALS, 0)) == 0 ||
           walls_not_built() != 0; /* the wider list has it whole */
}

/* In a process of its own: what the compiler leaves of its memory would lie between the things of every cell. */
static bool write_filter(int fd) {
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        scmp_filter_ctx f = seccomp_init(SCMP_ACT_KILL_PROCESS);
        _exit(f && allow(f) && seccomp_export_bpf(f, fd) == 0 ? 0 : 1);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) return false;
    return pid > 0 && status == 0;
}

/* Compiled once, so that a cell only hands it to the kernel. */
static bool make_filter(struct walls *w) {
    int fd = memfd_create("seccomp", MFD_CLOEXEC);
    bool ok = false;
    struct stat st;

    if (fd >= 0 && write_filter(fd) && fstat(fd, &st) == 0 && st.st_size > 0) {
        w->filter_len = (size_t)st.st_size;
        w->filter = malloc(w->filter_len);
        ok = w->filter && pread(fd, w->filter, w->filter_len, 0) == (ssize_t)w->filter_len;
    }
    if (fd >= 0) close(fd);
    return ok;
}

void walls_prepare(struct walls *w) {
    *w = (struct walls){.root = geteuid() == 0};
    if (!make_filter(w)) w->missing |= WALL_SECCOMP;
    if (!namespaces(w->root)) w->missing |= WALL_NAMESPACE;
    if (!w->root) w->missing |= WALL_UID;
}

/* -- in the cell ----------------------------------------------------------------------------------------------------- */

/* pid 0: this process. */
static bool limit(pid_t pid, int what, rlim_t most) {
    struct rlimit l = {.rlim_cur = most, .rlim_max = most};
    return prlimit(pid, what, &l, NULL) == 0;
}

/* Above the allocator's own hard limit, which ends the cell with a stamp; this one is for what goes around it. Bundles are
 * mapped besides, and the program with its libraries. */
static bool limit_memory(pid_t pid, size_t hard_bytes) {
    rlim_t mapped = (rlim_t)CELL_VERSIONS_MAX * BUNDLE_MAX + (128 << 20);
    return limit(pid, RLIMIT_DATA, hard_bytes + (16 << 20)) && limit(pid, RLIMIT_AS, 2 * hard_bytes + mapped);
}

uint32_t walls_limit(size_t hard_bytes) {
    bool ok = limit(0, RLIMIT_NOFILE, 16) && limit(0, RLIMIT_FSIZE, 0) && limit(0, RLIMIT_CORE, 0) &&
              limit(0, RLIMIT_NPROC, 0) && limit(0, RLIMIT_MSGQUEUE, 0) && limit(0, RLIMIT_MEMLOCK, 0);

    return ok && !walls_not_built() && limit_memory(0, hard_bytes) ? 0 : WALL_RLIMIT;
}

bool walls_limit_again(pid_t pid, size_t hard_bytes) {
    return walls_not_built() || limit_memory(pid, hard_bytes);
}

static bool change_user(unsigned uid) {
    return setgroups(0, NULL) == 0 && setresgid(uid, uid, uid) == 0 && setresuid(uid, uid, uid) == 0;
}

uint32_t walls_close(const struct walls *w, int socket, int report, unsigned uid) {
    uint32_t missing = w->missing;

    socket = fcntl(socket, F_DUPFD, 16); /* out of the way of each other's place */
    report = fcntl(report, F_DUPFD, 16);
    if (dup2(socket, WALLS_SOCKET) < 0 || dup2(report, WALLS_REPORT) < 0) _exit(70);
    if (syscall(SYS_close_range, WALLS_REPORT + 1, ~0U, 0) < 0)
        for (int fd = WALLS_REPORT + 1; fd < 65536; fd++) close(fd);
#ifndef PARLEY_SANITIZED
    for (int fd = 0; fd < WALLS_SOCKET; fd++) close(fd);
#endif
    setpgid(0, 0);
    setpriority(PRIO_PROCESS, 0, 5);
    if (w->root && !change_user(uid)) missing |= WALL_UID;
    /* A change of user undoes both of these, so they come behind it. */
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 || prctl(PR_SET_DUMPABLE, 0) < 0) missing |= WALL_UID;
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) missing |= WALL_SECCOMP;
    return missing;
}

uint32_t walls_seccomp(const struct walls *w) {
    struct sock_fprog program = {.len = (unsigned short)(w->filter_len / sizeof(struct sock_filter)),
                                 .filter = w->filter};

    if (!w->filter || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0) return WALL_SECCOMP;
    return 0;
}
