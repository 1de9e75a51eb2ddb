/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/weight.h"
#include "base/map.h"
#include "base/mem.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WEIGHT_DEFAULT = 100, WEIGHT_MAX = 10000, SHARES_DEFAULT = 1024, SWEEPS = 50, HELPER_FDS = 64 };

struct group {
    char name[24]; /* of its directory */
    uint32_t weight;
    int cells;
};

static struct {
    int dir; /* of all tenants' groups; -1: there are none */
    bool shares;
    struct map groups; /* name -> group */
} all = {.dir = -1};

static bool write_at(int dir, const char *path, const char *text) {
    int fd = openat(dir, path, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text);

    if (fd >= 0) close(fd);
    return ok;
}

/* Makes "parley-cells" in the tree and opens it, if groups in it can have a weight. */
static bool open_tree(const char *path, bool shares) {
    int tree = open(path, O_DIRECTORY | O_RDONLY | O_CLOEXEC), dir = -1;

    if (tree < 0) return false;
    if (faccessat(tree, shares ? "cpu.shares" : "cgroup.subtree_control", W_OK, 0) == 0 &&
        (mkdirat(tree, "parley-cells", 0755) == 0 || errno == EEXIST))
        dir = openat(tree, "parley-cells", O_DIRECTORY | O_RDONLY | O_CLOEXEC);
    if (dir >= 0 && !shares &&
        (!write_at(tree, "cgroup.subtree_control", "+cpu") || !write_at(dir, "cgroup.subtree_control", "+cpu"))) {
        close(dir);
        dir = -1;
        unlinkat(tree, "parley-cells", AT_REMOVEDIR);
    }
    close(tree);
    all.dir = dir;
    all.shares = shares;
    return dir >= 0;
}

static struct group *find(uint32_t tenant, char name[24]) {
    snprintf(name, 24, "tenant-%u", tenant);
    return map_get(&all.groups, name);
}

static void set(const struct group *g, uint32_t weight) {
    char path[48], text[16];

    snprintf(path, sizeof path, "%s/%s", g->name, all.shares ? "cpu.shares" : "cpu.weight");
    snprintf(text, sizeof text, "%u", all.shares ? weight * SHARES_DEFAULT / WEIGHT_DEFAULT : weight);
    write_at(all.dir, path, text);
}

static void enter(uint32_t tenant, uint32_t weight, pid_t pid) {
    char name[24], path[48], text[16];
    struct group *g = find(tenant, name);

    if (!g) {
        if (mkdirat(all.dir, name, 0755) < 0 && errno != EEXIST) return;
        g = mem_alloc(sizeof *g);
        memcpy(g->name, name, sizeof g->name);
        map_put(&all.groups, g->name, g);
    }
    g->cells++;
    if (g->weight != weight) set(g, weight); /* the newest cell knows best what it is now */
    g->weight = weight;
    snprintf(path, sizeof path, "%s/cgroup.procs", g->name);
    snprintf(text, sizeof text, "%d", pid);
    write_at(all.dir, path, text);
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

static void least(uint32_t tenant, bool yes) {
    char name[24];
    const struct group *g = find(tenant, name);

    if (g) set(g, yes ? 1 : g->weight);
}

/* -- the helper ------------------------------------------------------------------------------------------------------ */

enum weight_type { WEIGHT_ENTER, WEIGHT_LEAVE, WEIGHT_LEAST, WEIGHT_OWN };
struct weight_message {
    uint32_t type, tenant, weight;
    pid_t pid;
};
static int pipe_to_helper = -1;

/* Removes the groups without a process, and returns how many are left: a helper that was killed left some behind. */
static int sweep(void) {
    DIR *list = fdopendir(openat(all.dir, ".", O_DIRECTORY | O_RDONLY | O_CLOEXEC));
    const struct dirent *d;
    int left = 0;

    while (list && (d = readdir(list)))
        if (strncmp(d->d_name, "tenant-", 7) == 0 && unlinkat(all.dir, d->d_name, AT_REMOVEDIR) < 0) left++;
    if (list) closedir(list);
    return left;
}

static void help(int from) {
    struct weight_message m;
    ssize_t n;

    while ((n = read(from, &m, sizeof m)) != 0) {
        if (n < 0 && errno == EINTR) continue;
        if (n != sizeof m) break;
        if (m.type == WEIGHT_ENTER)
            enter(m.tenant, m.weight, m.pid);
        else if (m.type == WEIGHT_LEAVE)
            leave(m.tenant);
        else
            least(m.tenant, m.type == WEIGHT_LEAST);
    }
}

static bool start_helper(void) {
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) < 0) return false;
    pid_t pid = fork();
    if (pid == 0) {
        int from = fcntl(ends[0], F_DUPFD, HELPER_FDS);
        all.dir = fcntl(all.dir, F_DUPFD, HELPER_FDS);
        for (int fd = STDERR_FILENO + 1; fd < HELPER_FDS; fd++) close(fd); /* the zygote's sockets are not ours */
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

bool weight_open(void) {
    return (open_tree("/sys/fs/cgroup", false) || open_tree("/sys/fs/cgroup/cpu", true)) && start_helper();
}

/* Short of the pipe's size a write is whole or not at all; a helper that is 4,000 messages behind makes us wait. */
static bool tell(enum weight_type type, uint32_t tenant, uint32_t weight, pid_t pid) {
    struct weight_message m = {.type = type, .tenant = tenant, .weight = weight, .pid = pid};

    if (pipe_to_helper < 0 || tenant == 0) return false;
    if (write(pipe_to_helper, &m, sizeof m) == sizeof m) return true;
    close(pipe_to_helper); /* it was killed; the next one begins to count at nothing */
    pipe_to_helper = -1;
    return start_helper() && write(pipe_to_helper, &m, sizeof m) == sizeof m;
}

uint32_t weight_enter(uint32_t tenant, uint32_t weight, pid_t pid) {
    if (weight == 0) weight = WEIGHT_DEFAULT;
    if (weight > WEIGHT_MAX) weight = WEIGHT_MAX;
    return tell(WEIGHT_ENTER, tenant, weight, pid) ? weight : 0;
}

void weight_least(uint32_t tenant, bool yes) {
    tell(yes ? WEIGHT_LEAST : WEIGHT_OWN, tenant, 0, 0);
}

void weight_leave(uint32_t tenant) {
    tell(WEIGHT_LEAVE, tenant, 0, 0);
}
