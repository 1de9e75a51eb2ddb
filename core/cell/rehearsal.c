/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/rehearsal.h"
#include "cell/walls.h"
#include "script/bundle.h"
#include "script/message.h"
#include "script/passing.h"
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PAGE = 4096, PATIENCE_S = 5 };

/* What most flows do first. */
static const char flow[] =
    "local flow = require 'flow'\n"
    "local words = { hello = 'Hello', bye = 'Good bye' }\n"
    "return flow.define {\n"
    "  start = 'greet',\n"
    "  greet = function(call)\n"
    "    call.data.greeted = call:say(words.hello .. ', you are calling ' .. tostring(call.to))\n"
    "    return 'part'\n"
    "  end,\n"
    "  part = function(call) call:hangup() end,\n"
    "}\n";

/* -- the worker's part ----------------------------------------------------------------------------------------------- */

static void put(struct buf *b, const char *text) {
    message_str(b, text, strlen(text));
}

static void put_empty(struct buf *b) {
    message_open(b);
    message_shut(b);
}

/* fd: goes along, or -1. */
static bool say(int socket, const struct buf *b, int fd) {
    return passing_send(socket, b->data, b->len, &fd, fd >= 0, 0) == 0;
}

static bool hears(int socket, enum message_type type) {
    static char bytes[MESSAGE_MAX];
    struct message m;
    ssize_t n = recv(socket, bytes, sizeof bytes, 0);

    return n > 0 && message_read(&m, bytes, (size_t)n) && m.type == type;
}

static bool offers(int socket, struct buf *b) {
    static const char *const verbs[] = {"say", "hangup"};

    message_begin(b, MESSAGE_VERBS);
    message_open(b);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        message_int(b, (int64_t)i + 1);
        message_open(b);
        put(b, "name");
        put(b, verbs[i]);
        message_shut(b);
    }
    message_shut(b);
    return say(socket, b, -1);
}

static bool loads(int socket, struct buf *b) {
    struct buf files = {0};
    int fd = memfd_create("bundle", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    bundle_begin(&files);
    bool ok = bundle_add(&files, "flows/main.lua", 14, flow, sizeof flow - 1, NULL) == 0 &&
              write(fd, files.data, files.len) == (ssize_t)files.len &&
              fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL) == 0;
    message_begin(b, MESSAGE_LOAD);
    put(b, "v");
    ok = ok && say(socket, b, fd) && hears(socket, MESSAGE_LOADED);
    if (fd >= 0) close(fd);
    buf_free(&files);
    return ok;
}

static bool plays(int socket) {
    struct buf b = {0};
    bool ok = offers(socket, &b) && loads(socket, &b);

    message_begin(&b, MESSAGE_RUN);
    put(&b, "c");
    put(&b, "v");
    put(&b, "flows/main.lua");
    put(&b, "greet");
    message_int(&b, 1);
    put_empty(&b);
    put_empty(&b);
    ok = ok && say(socket, &b, -1) && hears(socket, MESSAGE_VERB);
    message_begin(&b, MESSAGE_ANSWER);
    put(&b, "c");
    message_int(&b, 1);
    message_int(&b, 1);
    message_bool(&b, true);
    message_bool(&b, true);
    ok = ok && say(socket, &b, -1) && hears(socket, MESSAGE_NEXT);
    buf_free(&b);
    return ok;
}

/* -- what it wrote to ------------------------------------------------------------------------------------------------ */

/* Present, of no file, and no other process has it: the zygote has all that were not written to since the fork. */
static bool is_its_own(int pagemap, unsigned long at) {
    uint64_t entry = 0;

    if (pread(pagemap, &entry, sizeof entry, (off_t)(at / PAGE * sizeof entry)) != sizeof entry) return false;
    return (entry >> 63 & 1) && !(entry >> 61 & 1) && (entry >> 56 & 1);
}

/* In memory that we have too. */
static int list(pid_t pid, struct written *found, int most) {
    char path[32], line[512], may[5], name[2];
    unsigned long from, to;
    int count = 0;

    snprintf(path, sizeof path, "/proc/%d/pagemap", pid);
    int pagemap = open(path, O_RDONLY | O_CLOEXEC);
    FILE *maps = fopen("/proc/self/maps", "re");
    while (maps && pagemap >= 0 && fgets(line, sizeof line, maps)) {
        int n = sscanf(line, "%lx-%lx %4s %*s %*s %*s %1s", &from, &to, may, name);
        if (n < 3 || strcmp(may, "rw-p") != 0 || (n == 4 && *name == '[')) continue;
        for (unsigned long at = from; at < to; at += PAGE) {
            if (!is_its_own(pagemap, at)) continue;
            struct written *last = count > 0 ? &found[count - 1] : NULL;
            if (last && last->at + last->len == (char *)at)
                last->len += PAGE;
            else if (count < most)
                found[count++] = (struct written){.at = (char *)at, .len = PAGE};
        }
    }
    if (maps) fclose(maps);
    if (pagemap >= 0) close(pagemap);
    return count;
}

/* -- both ------------------------------------------------------------------------------------------------------------ */

static int rehearse(const struct cell_opts *opts, struct written *found, int most) {
    struct cell_page *page = mmap(NULL, sizeof *page, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int ends[2], count = 0;

    alarm(PATIENCE_S);
    if (page == MAP_FAILED || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0) return 0;
    pid_t pid = fork();
    if (pid == 0) {
        close(ends[0]);
        if (cell_setup(opts, page) == 0) cell_serve(ends[1]);
        _exit(CELL_EXIT_SETUP);
    }
    close(ends[1]);
    if (pid > 0 && plays(ends[0])) count = list(pid, found, most);
    if (pid > 0) kill(pid, SIGKILL);
    if (pid > 0) waitpid(pid, NULL, 0);
    return count;
}

int rehearsal_run(const struct cell_opts *opts, struct written *found, int most) {
    if (walls_not_built()) return 0; /* a sanitizer's shadow would be taken for memory of ours */
    size_t len = (size_t)most * sizeof *found;
    struct shared {
        int count;
        struct written found[];
    } *shared = mmap(NULL, sizeof *shared + len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int count = 0;

    if (shared == MAP_FAILED) return 0;
    /* In a process of its own: what we wrote to meanwhile would look as if the flow had. */
    pid_t pid = fork();
    if (pid == 0) {
        shared->count = rehearse(opts, shared->found, most);
        _exit(0);
    }
    if (pid > 0 && waitpid(pid, NULL, 0) == pid) count = shared->count;
    memcpy(found, shared->found, (size_t)count * sizeof *found);
    munmap(shared, sizeof *shared + len);
    return count;
}
