/* SPDX-License-Identifier: Apache-2.0 */
/* The programs' common ground: how a master, its workers and the command line tool are put together.
 *
 *   parleyd            master: reads the configuration, opens the listeners, starts zygote and workers, watches them
 *   parleyd --worker   worker: started by the master only, with these files inherited
 *   parley             command line: the same platform VM without slots and listeners
 */
#pragma once
#include "base/config.h"
#include "base/err.h"
#include <stdbool.h>

/* Inherited by a worker. */
enum host_fd {
    HOST_FD_HTTP = 3, /* listening socket, plain; /dev/null when off */
    HOST_FD_HTTPS = 4,
    HOST_FD_METRICS = 5, /* the shared page */
    HOST_FD_CONFIG = 6,  /* the validated configuration as JSON (memfd) */
    HOST_FD_ZYGOTE = 7,  /* this worker's control socket to the zygote */
    HOST_FD_MASTER = 8,  /* line protocol, see below */
};
/* Master to worker: "dead OWNER\n" (take its leases), "stop\n" (write, release, exit; no hand-over).
 * Worker to master: "ready\n", "drained\n". SIGTERM to a worker: drain, then exit. */

/* The folder that holds lua/, plugins/, schema/: PARLEY_ROOT, else found from the program's own path. Static storage. */
const char *host_root(void);
/* The folder of the running program. Static storage. */
const char *host_bin(void);

/* inherit_fd: what the program before hands over (inherit.h); -1: nothing. */
int master_main(const char *config_file, int inherit_fd);
int worker_main(int index, const char *owner);
/* parley COMMAND ...: runs lua/cli.lua, or for "run" the given file, as a task. Returns the exit status. */
int cli_main(int argc, char **argv);
