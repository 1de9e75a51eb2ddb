/* SPDX-License-Identifier: Apache-2.0 */
/* A Redis cluster of three masters and three replicas on free ports of 127.0.0.1, for one test program. A node that is
 * silent for a second is replaced. */
#pragma once
#include "world.h"

enum { CLUSTER_NODES = 6 };
#define CLUSTER_PASSWORD "s3cret"

static struct cluster_server {
    int port, bus;
    pid_t pid;
} cluster[CLUSTER_NODES];
static char cluster_url[256];

/* What redis-cli prints for a command to a node. */
static inline const char *cluster_ask(int node, const char *fmt, ...) {
    static char out[65536];
    char command[1024];
    va_list args;
    int n = snprintf(command, sizeof command, "redis-cli --no-auth-warning -a " CLUSTER_PASSWORD " -p %d ",
                     cluster[node].port);
    va_start(args, fmt);
    vsnprintf(command + n, sizeof command - (size_t)n, fmt, args);
    va_end(args);
    strncat(command, " 2>&1", sizeof command - strlen(command) - 1);
    FILE *f = popen(command, "r");
    CHECK(f != NULL);
    size_t len = fread(out, 1, sizeof out - 1, f);
    pclose(f);
    while (len > 0 && (out[len - 1] == '\n' || out[len - 1] == '\r')) len--;
    out[len] = '\0';
    return out;
}

static inline void cluster_run(int node) {
    char port[8], bus[8], dir[96];
    snprintf(port, sizeof port, "%d", cluster[node].port);
    snprintf(bus, sizeof bus, "%d", cluster[node].bus);
    snprintf(dir, sizeof dir, "%s/%d", world_dir, node);
    mkdir(dir, 0700);
    char *argv[] = {"redis-server",
                    "--port",
                    port,
                    "--cluster-port",
                    bus,
                    "--bind",
                    "127.0.0.1",
                    "--dir",
                    dir,
                    "--save",
                    "",
                    "--appendonly",
                    "no",
                    "--cluster-enabled",
                    "yes",
                    "--cluster-node-timeout",
                    "1000",
                    "--cluster-replica-validity-factor",
                    "0",
                    "--repl-diskless-sync-delay",
                    "0",
                    "--requirepass",
                    CLUSTER_PASSWORD,
                    "--masterauth",
                    CLUSTER_PASSWORD,
                    "--enable-debug-command",
                    "yes",
                    NULL};
    bool packaged = access("/usr/bin/redis-server", X_OK) == 0;
    cluster[node].pid = world_spawn("redis", packaged ? "/usr/bin/redis-server" : "/usr/bin/redis-check-rdb", argv);
}

static inline bool cluster_is_master(int node) {
    return strncmp(cluster_ask(node, "role"), "master", 6) == 0;
}

/* All know of all, nobody is missed, and each master has its replica at its side. */
static inline bool cluster_is_well(void) {
    int replicas = 0;
    for (int i = 0; i < CLUSTER_NODES; i++) {
        const char *info = cluster_ask(i, "cluster info");
        if (strstr(info, "cluster_state:ok") == NULL || strstr(info, "cluster_slots_ok:16384") == NULL) return false;
        if (strstr(cluster_ask(i, "cluster nodes"), "fail") != NULL) return false;
        if (strstr(cluster_ask(i, "info replication"), "master_link_status:up") != NULL) replicas++;
    }
    return replicas == CLUSTER_NODES / 2;
}

static inline void cluster_wait(void) {
    for (int i = 0; i < 200; i++) {
        if (cluster_is_well()) return;
        usleep(100000);
    }
    CHECK(cluster_is_well());
}

static inline void cluster_start(void) {
    char command[1024];
    int fds[2 * CLUSTER_NODES];
    world_begin();
    for (int i = 0; i < 2 * CLUSTER_NODES; i++) { /* held until all are chosen */
        struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        socklen_t len = sizeof at;
        fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        CHECK_INT(0, bind(fds[i], (struct sockaddr *)&at, len));
        CHECK_INT(0, getsockname(fds[i], (struct sockaddr *)&at, &len));
        *(i % 2 ? &cluster[i / 2].bus : &cluster[i / 2].port) = ntohs(at.sin_port);
    }
    for (int i = 0; i < 2 * CLUSTER_NODES; i++) close(fds[i]);
    int n = snprintf(command, sizeof command, "redis-cli --no-auth-warning -a " CLUSTER_PASSWORD " --cluster create");
    for (int i = 0; i < CLUSTER_NODES; i++) {
        cluster_run(i);
        n += snprintf(command + n, sizeof command - (size_t)n, " 127.0.0.1:%d", cluster[i].port);
    }
    snprintf(command + n, sizeof command - (size_t)n, " --cluster-replicas 1 --cluster-yes >%s/create.log 2>&1",
             world_dir);
    for (int i = 0; i < CLUSTER_NODES; i++)
        for (int tries = 0; tries < 200 && strcmp(cluster_ask(i, "ping"), "PONG") != 0; tries++) usleep(20000);
    CHECK_INT(0, system(command));
    snprintf(cluster_url, sizeof cluster_url, "redis-cluster://:" CLUSTER_PASSWORD "@127.0.0.1:%d,127.0.0.1:%d",
             cluster[0].port, cluster[4].port);
    cluster_wait();
}

static inline void cluster_kill(int node) {
    world_kill(&cluster[node].pid, SIGKILL);
}

static inline void cluster_end(void) {
    for (int i = 0; i < CLUSTER_NODES; i++) cluster_kill(i);
    world_end();
}

static inline int cluster_node_at(int port) {
    for (int i = 0; i < CLUSTER_NODES; i++)
        if (cluster[i].port == port) return i;
    return -1;
}

/* The node that has a slot, as another says. */
static inline int cluster_owner(int slot, int asked) {
    const char *list = cluster_ask(asked, "cluster slots");
    for (const char *at = list; *at;) { /* start, end, then host, port, id of each node, a line each */
        int first, last, port;
        char host[64];
        if (sscanf(at, "%d\n%d\n%63s\n%d", &first, &last, host, &port) == 4 && last > first && strchr(host, '.') &&
            slot >= first && slot <= last)
            return cluster_node_at(port);
        const char *next = strchr(at, '\n');
        if (next == NULL) break;
        at = next + 1;
    }
    return -1;
}

static inline const char *cluster_id(int node, char out[48]) {
    snprintf(out, 48, "%s", cluster_ask(node, "cluster myid"));
    return out;
}
