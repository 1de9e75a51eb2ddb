/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/weight.h"
#include "base/map.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

enum {
    WEIGHT_LEAST = 1,
    WEIGHT_DEFAULT = 100,
    WEIGHT_MAX = 10000,
    SHARES_DEFAULT = 1024,
    SWEEPS = 50,
    TRIES = 5,
    PLACES = 65536,
    PATH_ROOM = 4096
};

struct group {
    char name[24]; /* of its directory */
    int cells;
};

static struct {
    int dir; /* of all groups; -1: there are none */
    bool shares;
    struct map groups; /* name -> group, of tenants */
} all = {.dir = -1};

/* By place, the cell that has entered and was not reaped, or 0; the zygote writes it, the helper reads it. What the helper is told may be
 * seconds old when it comes to it, and a process id belongs to somebody else by then. Cells have no sight of it. */
static _Atomic pid_t *living;

/* 0 or an errno. */
static int write_at(int dir, const char *path, const char *text) {
    int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    int error = fd < 0 || write(fd, text, strlen(text)) < 0 ? errno : 0;

    if (fd >= 0) close(fd);
    return error;
}

/* -- where the groups lie -------------------------------------------------------------------------------------------- */

/* Our own group in a tree, as the file says it: a line "4:cpu,cpuacct:/system.slice/parley.service". controller "": version 2. */
static bool own_group(const char *file, const char *controller, char path[PATH_ROOM]) {
    FILE *f = fopen(file, "re");
    char line[PATH_ROOM];
    bool found = false;

    while (f && !found && fgets(line, sizeof line, f)) {
        char *list = strchr(line, ':'), *group = list ? strchr(list + 1, ':') : NULL, *rest = NULL;
        if (!group) continue;
        *group++ = '\0';
        group[strcspn(group, "\n")] = '\0';
        found = *++list == '\0' && *controller == '\0';
        for (char *name = strtok_r(list, ",", &rest); name && !found; name = strtok_r(NULL, ",", &rest))
            found = strcmp(name, controller) == 0;
        if (found) snprintf(path, PATH_ROOM, "%s", group);
    }
    if (f) fclose(f);
    return found && !strstr(path, "/.."); /* one outside of what we are shown */
}

/* Makes "parley-cells" in a tree and opens it, if groups in it can have a weight. */
static bool open_groups(const char *path, bool shares) {
    int tree = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC), dir = -1;

    if (tree < 0) return false;
    if (faccessat(tree, shares ? "cpu.shares" : "cgroup.subtree_control", W_OK, 0) == 0 &&
        (mkdirat(tree, "parley-cells", 0755) == 0 || errno == EEXIST))
        dir = openat(tree, "parley-cells", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (dir >= 0 && !shares &&
        (write_at(tree, "cgroup.subtree_control", "+cpu") || write_at(dir, "cgroup.subtree_control", "+cpu"))) {
        close(dir);
        dir = -1;
        unlinkat(tree, "parley-cells", AT_REMOVEDIR);
    }
    close(tree);
    all.dir = dir;
    all.shares = shares;
    return dir >= 0;
}

/* How systemd marks what it leaves to us. */
static bool is_delegated(const char *path) {
    char yes[2] = "";

    return (getxattr(path, "trusted.delegate", yes, sizeof yes) == 1 ||
            getxattr(path, "user.delegate", yes, sizeof yes) == 1) &&
           yes[0] == '1';
}

/* On version 2 only a group without processes has groups with controllers: ours, the master's too, go to one below it. */
static void move_down(const char *path) {
    int dir = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    char pid[16];
    bool more = dir >= 0 && (mkdirat(dir, "parley-main", 0755) == 0 || errno == EEXIST);

    for (int i = 0; i < TRIES && more; i++) { /* one may be forked meanwhile */
        FILE *f = fdopen(openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC), "r");
        more = false;
        while (f && fgets(pid, sizeof pid, f)) {
            pid[strcspn(pid, "\n")] = '\0';
            more = write_at(dir, "parley-main/cgroup.procs", pid) == 0 || more;
        }
        if (f) fclose(f);
    }
    if (dir >= 0) close(dir);
}

static bool open_delegated(const char *mounts, const char *own) {
    char path[PATH_ROOM], group[2 * PATH_ROOM], *last;

    if (!own_group(own, "", path)) return false;
    snprintf(group, sizeof group, "%s%s", mounts, path);
    if (is_delegated(group)) {
        move_down(group);
        return open_groups(group, false);
    }
    last = strrchr(path, '/'); /* we are below it already: moved by an earlier zygote, or by DelegateSubgroup= */
    if (!last || last == path) return false;
    *last = '\0';
    snprintf(group, sizeof group, "%s%s", mounts, path);
    return is_delegated(group) && open_groups(group, false);
}

static bool open_shares(const char *mounts, const char *own) {
    char path[PATH_ROOM], group[2 * PATH_ROOM];

    snprintf(group, sizeof group, "%s/cpu", mounts);
    if (own_group(own, "cpu", path) && strcmp(path, "/") != 0) {
        snprintf(group, sizeof group, "%s/cpu%s", mounts, path);
        if (open_groups(group, true)) return true;
        snprintf(group, sizeof group, "%s/cpu", mounts); /* in a container its path is not ours */
    }
    return open_groups(group, true);
}

/* -- groups ---------------------------------------------------------------------------------------------------------- */

static struct group *find(uint32_t tenant, char name[24]) {
    snprintf(name, 24, "tenant-%u", tenant);
    return map_get(&all.groups, name);
}

static void set(const char *name, uint32_t weight) {
    char path[48], text[16];

    snprintf(path, sizeof path, "%s/%s", name, all.shares ? "cpu.shares" : "cpu.weight");
    snprintf(text, sizeof text, "%u", all.shares ? weight * SHARES_DEFAULT / WEIGHT_DEFAULT : weight);
    write_at(all.dir, path, text);
}

/* Another zygote removes what is empty, even if we have just made it or our cells were idle: then it is made again. */
static void move(const char *name, uint32_t weight, uint32_t place, pid_t pid) {
    char path[48], text[16];
    int error = ENOENT;

    snprintf(path, sizeof path, "%s/cgroup.procs", name);
    snprintf(text, sizeof text, "%d", pid);
    for (int i = 0; i < TRIES && (error == ENOENT || error == ENODEV); i++) {
        mkdirat(all.dir, name, 0755);
        set(name, weight); /* the newest cell knows best what it is now */
        if (atomic_load(&living[place]) != pid) return;
        error = write_at(all.dir, path, text);
    }
}

static void enter(uint32_t tenant, uint32_t weight, uint32_t place, pid_t pid) {
    char name[24];
    struct group *g = find(tenant, name);

    if (!g) {
        g = mem_alloc(sizeof *g);
        memcpy(g->name, name, sizeof g->name);
        map_put(&all.groups, g->name, g);
    }
    g->cells++;
    move(name, weight, place, pid);
}

static void leave(uint32_t tenant) {
    char name[24];
    struct group *g = find(tenant, name);

    if (g && --g->cells > 0) return;
    unlinkat(all.dir, name, AT_REMOVEDIR); /* stays while there is a cell that an earlier helper moved */
    if (!g) return;
    map_drop(&all.groups, g->name, g);
    free(g);
}

/* -- the helper ------------------------------------------------------------------------------------------------------ */

enum weight_type { WEIGHT_ENTER, WEIGHT_LEAVE, WEIGHT_IDLE, WEIGHT_OWN };
struct weight_message {
    uint32_t type, tenant, weight, place;
    pid_t pid;
};
static int pipe_to_helper = -1;

/* Removes the groups without a process, and returns how many are left: a helper that was killed left some behind. */
static int sweep(void) {
    DIR *list = fdopendir(openat(all.dir, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC));
    const struct dirent *d;
    int left = 0;

    while (list && (d = readdir(list)))
        if ((strncmp(d->d_name, "tenant-", 7) == 0 || strcmp(d->d_name, "idle") == 0) &&
            unlinkat(all.dir, d->d_name, AT_REMOVEDIR) < 0)
            left++;
    if (list) closedir(list);
    return left;
}

static void help(int from) {
    struct weight_message m;
    ssize_t n;

    while ((n = read(from, &m, sizeof m)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n != sizeof m) break;
        char name[24];
        find(m.tenant, name);
        if (m.type == WEIGHT_ENTER)
            enter(m.tenant, m.weight, m.place, m.pid);
        else if (m.type == WEIGHT_LEAVE)
            leave(m.tenant);
        else if (m.type == WEIGHT_IDLE)
            move("idle", WEIGHT_LEAST, m.place, m.pid);
        else
            move(name, m.weight, m.place, m.pid);
    }
}

static void close_between(int first, int last) {
    if (first <= last) syscall(SYS_close_range, first, last, 0);
}

static bool start_helper(void) {
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    madvise(living, PLACES * sizeof *living, MADV_DOFORK);
    pid_t pid = fork();
    if (pid != 0) madvise(living, PLACES * sizeof *living, MADV_DONTFORK);
    if (pid == 0) {
        int from = ends[0], low = from < all.dir ? from : all.dir, high = from < all.dir ? all.dir : from;
        close_between(STDERR_FILENO + 1, low - 1); /* the zygote's sockets are not ours */
        close_between(low + 1, high - 1);
        close_between(high + 1, INT_MAX);
        prctl(PR_SET_NAME, "parley-weight");
        sweep();
        help(from); /* until the zygote is gone; its cells die with it */
        for (int i = 0; i < SWEEPS && sweep() > 0; i++) usleep(20000);
        _exit(0);
    }
    close(ends[0]);
    if (pid > 0)
        pipe_to_helper = ends[1];
    else
        close(ends[1]);
    return pid > 0;
}

bool weight_open(const char *mounts, const char *own) {
    void *shared = mmap(NULL, PLACES * sizeof *living, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (shared == MAP_FAILED) return false;
    madvise(shared, PLACES * sizeof *living, MADV_DONTFORK);
    living = shared;
    if ((open_delegated(mounts, own) || open_groups(mounts, false) || open_shares(mounts, own)) && start_helper())
        return true;
    munmap(shared, PLACES * sizeof *living);
    living = NULL;
    return false;
}

/* Short of the pipe's size a write is whole or not at all; a helper that is 4,000 messages behind makes us wait. */
static bool tell(enum weight_type type, uint32_t tenant, uint32_t weight, unsigned place, pid_t pid) {
    struct weight_message m = {.type = type, .tenant = tenant, .weight = weight, .place = place, .pid = pid};

    if (pipe_to_helper < 0 || tenant == 0 || place >= PLACES) return false;
    if (write(pipe_to_helper, &m, sizeof m) == sizeof m) return true;
    close(pipe_to_helper); /* it was killed; the next one begins to count at nothing */
    pipe_to_helper = -1;
    return start_helper() && write(pipe_to_helper, &m, sizeof m) == sizeof m;
}

uint32_t weight_enter(uint32_t tenant, uint32_t weight, unsigned place, pid_t pid) {
    if (weight == 0) weight = WEIGHT_DEFAULT;
    if (weight > WEIGHT_MAX) weight = WEIGHT_MAX;
    if (living && place < PLACES) atomic_store(&living[place], pid);
    return tell(WEIGHT_ENTER, tenant, weight, place, pid) ? weight : 0;
}

/* A move takes the helper milliseconds, and who asks must not come to wait for it. The way back is always open. */
static bool is_behind(void) {
    int bytes = 0;
    return ioctl(pipe_to_helper, FIONREAD, &bytes) == 0 && bytes > 1024 * (int)sizeof(struct weight_message);
}

void weight_idle(uint32_t tenant, uint32_t weight, unsigned place, pid_t pid, bool yes) {
    if (yes && pipe_to_helper >= 0 && is_behind()) return;
    tell(yes ? WEIGHT_IDLE : WEIGHT_OWN, tenant, weight, place, pid);
}

void weight_leave(uint32_t tenant, unsigned place) {
    if (living && place < PLACES) atomic_store(&living[place], 0);
    tell(WEIGHT_LEAVE, tenant, 0, place, 0);
}
