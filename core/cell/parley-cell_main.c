/* SPDX-License-Identifier: Apache-2.0 */
/* parley-cell: the zygote, and in its children the cells. Started by the master with its control socket as fd 3. */
#include "base/str.h"
#include "cell/zygote.h"
#include <getopt.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>

enum { CONTROL = 3 };

static int usage(void) {
    fprintf(stderr, "parley-cell is started by parleyd: parley-cell [--soft-mb 32] [--hard-mb 64] [--slice-ms 2]\n"
                    "  [--invocation-ms 1000] [--call-ms 10000] [--share-percent 50] [--ready 4] [--weak]   (control "
                    "socket: fd 3)\n");
    return 2;
}

static bool number(const char *text, long long least, long long most, int *out) {
    long long n;

    if (!str_to_int(text, &n) || n < least || n > most) return false;
    *out = (int)n;
    return true;
}

int main(int argc, char **argv) {
    static const struct option options[] = {
        {"soft-mb", 1, NULL, 's'},       {"hard-mb", 1, NULL, 'h'}, {"slice-ms", 1, NULL, 'l'},
        {"invocation-ms", 1, NULL, 'i'}, {"call-ms", 1, NULL, 'c'}, {"share-percent", 1, NULL, 'p'},
        {"ready", 1, NULL, 'r'},         {"weak", 0, NULL, 'w'},    {NULL, 0, NULL, 0}};
    struct zygote_opts o = {.ready = 4,
                            .cell = {.slice_ms = 2, .invocation_ms = 1000, .call_ms = 10000, .share_percent = 50}};
    int soft_mb = 32, hard_mb = 64, option, type;
    socklen_t len = sizeof type;

    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        bool ok = true;
        switch (option) {
        case 's':
            ok = number(optarg, 1, CELL_MB_MAX, &soft_mb);
            break;
        case 'h':
            ok = number(optarg, 1, CELL_MB_MAX, &hard_mb);
            break;
        case 'l':
            ok = number(optarg, 1, CELL_SLICE_MS_MAX, &o.cell.slice_ms);
            break;
        case 'i':
            ok = number(optarg, 1, CELL_RUN_MS_MAX, &o.cell.invocation_ms);
            break;
        case 'c':
            ok = number(optarg, 1, CELL_RUN_MS_MAX, &o.cell.call_ms);
            break;
        case 'p':
            ok = number(optarg, 1, 100, &o.cell.share_percent);
            break;
        case 'r':
            ok = number(optarg, 0, ZYGOTE_READY_MAX, &o.ready);
            break;
        case 'w':
            o.weak = true;
            break;
        default:
            ok = false;
        }
        if (!ok) return usage();
    }
    if (optind != argc || hard_mb < soft_mb) return usage();
    if (getsockopt(CONTROL, SOL_SOCKET, SO_TYPE, &type, &len) < 0 || type != SOCK_SEQPACKET) return usage();
    o.cell.soft_bytes = (size_t)soft_mb << 20;
    o.cell.hard_bytes = (size_t)hard_mb << 20;
    signal(SIGINT, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* besides the control socket, which closes as well */
    return zygote_serve(CONTROL, &o);
}
