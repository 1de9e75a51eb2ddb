/* SPDX-License-Identifier: Apache-2.0 */
/* A private Redis on a unix socket in the test's folder and a free port, for one test program. */
#pragma once
#include "world.h"
#include <sys/socket.h>
#include <sys/un.h>

static pid_t world_redis_pid;
static char world_redis_socket[100];
static char world_redis_url[120];
static int world_redis_port;

static inline bool world_redis_answers(void) {
    struct sockaddr_un to = {.sun_family = AF_UNIX};
    char reply[7] = "";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(to.sun_path, sizeof to.sun_path, "%s", world_redis_socket);
    bool ok = connect(fd, (struct sockaddr *)&to, sizeof to) == 0 && write(fd, "PING\r\n", 6) == 6 &&
              read(fd, reply, 7) == 7 && (memcmp(reply, "+PONG", 5) == 0 || memcmp(reply, "-NOAUTH", 7) == 0);
    close(fd);
    return ok;
}

/* password "": none. Debian's redis-tools has the server in redis-check-rdb, which looks at the name it is called by. */
static inline void world_redis_start(const char *password) {
    char port[8];
    if (!world_dir[0]) world_begin();
    snprintf(world_redis_socket, sizeof world_redis_socket, "%s/redis.sock", world_dir);
    snprintf(world_redis_url, sizeof world_redis_url, "unix://%s", world_redis_socket);
    world_redis_port = world_free_port();
    snprintf(port, sizeof port, "%d", world_redis_port);
    char *argv[] = {"redis-server",
                    "--port",
                    port,
                    "--bind",
                    "127.0.0.1",
                    "--unixsocket",
                    world_redis_socket,
                    "--save",
                    "",
                    "--dir",
                    world_dir,
                    "--enable-debug-command",
                    "yes",
                    "--requirepass",
                    (char *)password,
                    NULL};
    bool packaged = access("/usr/bin/redis-server", X_OK) == 0;
    world_redis_pid = world_spawn("redis", packaged ? "/usr/bin/redis-server" : "/usr/bin/redis-check-rdb", argv);
    for (int i = 0; i < 500 && !world_redis_answers(); i++) usleep(10000);
    CHECK(world_redis_answers());
}

static inline void world_redis_kill(void) {
    world_kill(&world_redis_pid, SIGKILL);
    unlink(world_redis_socket);
}
