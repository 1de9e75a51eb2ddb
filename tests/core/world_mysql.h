/* SPDX-License-Identifier: Apache-2.0 */
/* A private MariaDB (or MySQL) on a unix socket in the test's folder, for one test program. root has no password. */
#pragma once
#include "world.h"
#include <mysql.h>

static pid_t world_mysql_pid;
static char world_mysql_socket[100];

/* One statement over a connection of its own, beside the pool under test; the first value of the first row. */
static inline bool world_mysql_try(const char *text, char *out, size_t cap) {
    MYSQL m;
    bool ok = false;
    mysql_init(&m);
    if (mysql_real_connect(&m, NULL, "root", "", NULL, 0, world_mysql_socket, 0) &&
        mysql_real_query(&m, text, strlen(text)) == 0) {
        MYSQL_RES *result = mysql_store_result(&m);
        MYSQL_ROW row = result ? mysql_fetch_row(result) : NULL;
        if (out) snprintf(out, cap, "%s", row && row[0] ? row[0] : "");
        if (result) mysql_free_result(result);
        ok = true;
    }
    mysql_close(&m);
    return ok;
}

static inline void world_mysql_do(const char *text) {
    CHECK(world_mysql_try(text, NULL, 0));
}

static inline long world_mysql_number(const char *text) {
    char value[64] = "";
    CHECK(world_mysql_try(text, value, sizeof value));
    return atol(value);
}

static inline void world_mysql_spawn(void) {
    char data[100], socket_path[120], tmp[100]; /* a server that starts empties its folder of temporary tables */
    snprintf(data, sizeof data, "--datadir=%s/mysql", world_dir);
    snprintf(socket_path, sizeof socket_path, "--socket=%s", world_mysql_socket);
    snprintf(tmp, sizeof tmp, "--tmpdir=%s", world_dir);
    char *argv[] = {"mariadbd",
                    "--no-defaults",
                    data,
                    socket_path,
                    tmp,
                    "--skip-networking",
                    "--skip-log-bin",
                    "--innodb-buffer-pool-size=32M",
                    "--innodb-log-file-size=16M",
                    "--innodb-flush-log-at-trx-commit=0",
                    "--max-allowed-packet=64M",
                    "--max-connections=100",
                    "--performance-schema=OFF",
                    "--character-set-server=utf8mb4",
                    geteuid() == 0 ? "--user=root" : NULL,
                    NULL};
    world_mysql_pid =
        world_spawn("mysql", access("/usr/sbin/mariadbd", X_OK) == 0 ? "/usr/sbin/mariadbd" : "mariadbd", argv);
}

static inline void world_mysql_wait(void) {
    for (int i = 0; i < 1000; i++) {
        if (world_mysql_try("SELECT 1", NULL, 0)) return;
        usleep(10000);
    }
    fail_msg("the private MySQL does not come up; see %s/mysql.log", world_dir);
}

static inline void world_mysql_start(void) {
    char data[100], tmp[100];
    if (!world_dir[0]) world_begin();
    snprintf(world_mysql_socket, sizeof world_mysql_socket, "%s/mysql.sock", world_dir);
    snprintf(data, sizeof data, "--datadir=%s/mysql", world_dir);
    snprintf(tmp, sizeof tmp, "--tmpdir=%s", world_dir);
    if (access(data + strlen("--datadir="), F_OK) != 0) {
        char *argv[] = {"mariadb-install-db",
                        "--no-defaults",
                        data,
                        tmp,
                        "--auth-root-authentication-method=normal",
                        "--skip-test-db",
                        "--skip-name-resolve",
                        geteuid() == 0 ? "--user=root" : NULL,
                        NULL};
        pid_t pid = world_spawn("mysql-install", "mariadb-install-db", argv);
        int status = 0;
        waitpid(pid, &status, 0);
        CHECK_INT(0, status);
    }
    world_mysql_spawn();
    world_mysql_wait();
}
