/* SPDX-License-Identifier: Apache-2.0 */
/* parley-cell-hostile: parley-cell as it is, in the hands of who broke out of the sandbox. A bundle says so in a comment of any file:
 *
 *     -- hostile: MODE SEED [CALL]
 *
 * It loads and is checked as any other; when the first slice of a call of it would run, the attack begins. All other bundles run
 * as in the real one. CALL is a call of somebody else, for the mode "foreign".
 *
 * The zygote, its walls and the cell's loop are the real ones: the linker puts what stands here (__wrap_) before three of their
 * functions.
 */
#include "base/buf.h"
#include "base/str.h"
#include "cell/cell.h"
#include "cell/task.h"
#include "cell/walls.h"
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int __real_cell_setup(const struct cell_opts *opts, struct cell_page *page);
int __wrap_cell_setup(const struct cell_opts *opts, struct cell_page *page);
struct program *__real_program_open(const void *bytes, size_t len, const char *verbs, size_t verbs_len);
struct program *__wrap_program_open(const void *bytes, size_t len, const char *verbs, size_t verbs_len);
enum run_end __real_run_slice(struct run *r, int nargs, int slice_ms);
enum run_end __wrap_run_slice(struct run *r, int nargs, int slice_ms);

static struct cell_page *page;
static char mode[32], other[129];
static unsigned long long state;
static struct buf out;

static unsigned rnd(unsigned below) { /* 0 .. below - 1 */
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (unsigned)((state >> 16) % below);
}

/* -- what it says ---------------------------------------------------------------------------------------------------- */

/* Waits while the worker does not read. */
static void say(const void *bytes, size_t len) {
    if (send(WALLS_SOCKET, bytes, len, MSG_NOSIGNAL) < 0) _exit(0);
}

static void say_out(void) {
    say(out.data, out.len);
}

/* Takes in all that has come. Returns how many pings were among it. */
static int swallow(void) {
    static char bytes[MESSAGE_MAX];
    struct pollfd p = {.fd = WALLS_SOCKET, .events = POLLIN};
    int pings = 0;

    while (poll(&p, 1, 0) > 0) {
        if (read(WALLS_SOCKET, bytes, sizeof bytes) <= 0) _exit(0);
        pings += bytes[0] == MESSAGE_PING;
    }
    return pings;
}

static void put(const char *text) {
    message_str(&out, text, strlen(text));
}

static void begin(enum message_type type, const char *call, int64_t visit) {
    message_begin(&out, type);
    put(call);
    message_int(&out, visit);
}

static void verb(const char *call, int64_t visit, int64_t n, const char *name, const char *text) {
    begin(MESSAGE_VERB, call, visit);
    message_int(&out, n);
    put(name);
    message_open(&out);
    message_int(&out, 1);
    put(text);
    message_shut(&out);
    put("flows/main.lua");
    message_int(&out, 1);
    say_out();
}

static void next(const char *call, int64_t visit, const char *to) {
    begin(MESSAGE_NEXT, call, visit);
    put(to);
    message_open(&out);
    message_shut(&out);
    put("flows/main.lua");
    message_int(&out, 1);
    say_out();
}

static void failed(const char *call, int64_t visit, const char *kind, const char *text, size_t len) {
    begin(MESSAGE_FAILED, call, visit);
    put(kind);
    message_str(&out, text, len);
    message_str(&out, text, len < 200 ? len : 200);
    message_int(&out, 1);
    message_open(&out);
    message_int(&out, 1);
    message_str(&out, text, len < 200 ? len : 200);
    message_shut(&out);
    say_out();
}

static void pong(void) {
    message_begin(&out, MESSAGE_PONG);
    put("p");
    say_out();
}

/* What may be left over from a call that has gone: it is read and no more. */
static void left_over(size_t len) {
    static char text[MESSAGE_MAX];

    memset(text, 'p', len);
    text[len] = '\0';
    verb("gone", 1, 1, "log", text);
}

/* -- the attacks ----------------------------------------------------------------------------------------------------- */

static void noise(const struct task *t) {
    static unsigned char bytes[MESSAGE_MAX];

    (void)t;
    size_t len = 1 + rnd(rnd(2) ? 64 : MESSAGE_MAX);
    for (size_t i = 0; i < len; i++) bytes[i] = (unsigned char)rnd(256);
    say(bytes, len);
}

/* A message of its own call, with some bytes changed, cut or repeated. */
static void mutant(const struct task *t) {
    static const enum message_type all[] = {MESSAGE_LOADED, MESSAGE_CHECKED, MESSAGE_VERB,   MESSAGE_NEXT,
                                            MESSAGE_FAILED, MESSAGE_PONG,    MESSAGE_HOOKED, MESSAGE_COVERED};

    begin(all[rnd(8)], t->call, t->visit);
    for (unsigned n = rnd(5); n > 0; n--) {
        if (rnd(2))
            message_int(&out, rnd(3));
        else
            put(rnd(2) ? "log" : "error");
    }
    for (unsigned n = rnd(4); n > 0; n--) out.data[rnd((unsigned)out.len)] = (char)rnd(256);
    size_t len = rnd(4) ? out.len : 1 + rnd((unsigned)out.len);
    say(out.data, len);
    swallow();
}

static void foreign(const struct task *t) {
    static const char *const invented[] = {"c-0", "ca-n1-1-1", "", "another tenant's", "../../x"};
    const char *call = other[0] && rnd(2) ? other : invented[rnd(5)];
    int64_t visit = rnd(4);

    (void)t;
    verb(call, visit, 1 + rnd(3), rnd(2) ? "hangup" : "create_lead", "stolen");
    next(call, visit, "stolen");
    failed(call, visit, "error", "stolen", 6);
    swallow();
}

/* Verbs twice, in the wrong order, far ahead, before their answer; states behind the end of the visit. */
static void disorder(const struct task *t) {
    int64_t n = rnd(3) ? 1 + rnd(5) : 1ll << rnd(40);

    switch (rnd(4)) {
    case 0:
        next(t->call, t->visit + rnd(3), rnd(2) ? "greeting" : "nowhere");
        break;
    case 1:
        failed(t->call, t->visit + rnd(3), rnd(2) ? "cpu" : "invented", "x", 1);
        break;
    default:
        verb(t->call, t->visit + rnd(2), n, rnd(2) ? "log" : "hangup", "x");
    }
    swallow();
}

static void flood(const struct task *t) {
    (void)t;
    left_over(MESSAGE_MAX - 256);
    swallow();
}

static void small(const struct task *t) {
    (void)t;
    left_over(1);
    swallow();
}

/* Verbs that are refused, each as soon as the one before was answered. */
static void refused(const struct task *t) {
    static char bytes[MESSAGE_MAX];
    static int64_t asked;

    verb(t->call, t->visit, ++asked, "no_such_verb", "x");
    do {
        ssize_t n = read(WALLS_SOCKET, bytes, sizeof bytes);
        if (n <= 0) _exit(0);
    } while (bytes[0] != MESSAGE_ANSWER);
}

static void huge(const struct task *t) {
    static char text[60000];

    memset(text, rnd(2) ? 'x' : 0xff, sizeof text);
    begin(MESSAGE_NEXT, t->call, t->visit);
    if (rnd(2))
        message_str(&out, text, sizeof text);
    else
        put("greeting");
    message_open(&out);
    for (int i = 0; i < 1000; i++) {
        message_int(&out, i + 1);
        message_open(&out);
        message_shut(&out);
    }
    message_shut(&out);
    put("flows/main.lua");
    message_int(&out, 1);
    say_out();
    swallow();
}

static void control(const struct task *t) {
    char text[256];

    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)i;
    failed(t->call, t->visit, "error", text, sizeof text);
    swallow();
}

static void deaf(const struct task *t) {
    (void)t;
    poll(NULL, 0, 1000);
}

static void deaf_flood(const struct task *t) {
    (void)t;
    left_over(100);
}

/* Answers the worker and leaves its calls as they are. */
static void idle(const struct task *t) {
    deaf(t);
    for (int pings = swallow(); pings > 0; pings--) pong();
}

/* Writes what it likes where the worker reads which call ran, and goes. */
static void liar(const struct task *t) {
    (void)t;
    memset(page, 0x1b, sizeof *page);
    page->running = 1;
    if (other[0]) str_copy(page->call, sizeof page->call, other);
    _exit(0);
}

static void silent_end(const struct task *t) {
    (void)t;
    page->running = 0;
    close(WALLS_SOCKET);
    poll(NULL, 0, 60000);
}

static const struct {
    const char *mode;
    void (*once)(const struct task *t);
    unsigned times; /* then it goes; 0: never */
} attacks[] = {{"noise", noise, 0},           {"mutant", mutant, 0}, {"foreign", foreign, 0}, {"disorder", disorder, 0},
               {"flood", flood, 0},           {"small", small, 0},   {"refused", refused, 0}, {"huge", huge, 200},
               {"control", control, 200},     {"deaf", deaf, 0},     {"liar", liar, 0},       {"close", silent_end, 0},
               {"deaf-flood", deaf_flood, 0}, {"idle", idle, 0}};

/* -- instead of the real ones ---------------------------------------------------------------------------------------- */

int __wrap_cell_setup(const struct cell_opts *opts, struct cell_page *its_page) {
    page = its_page;
    return __real_cell_setup(opts, its_page);
}

struct program *__wrap_program_open(const void *bytes, size_t len, const char *verbs, size_t verbs_len) {
    static const char mark[] = "-- hostile: ";
    const char *at = memmem(bytes, len, mark, sizeof mark - 1);
    char line[200] = "";
    unsigned long long seed = 0;

    if (at != NULL) {
        size_t left = len - (size_t)(at - (const char *)bytes) - (sizeof mark - 1);
        memcpy(line, at + sizeof mark - 1, left < sizeof line ? left : sizeof line - 1);
        line[strcspn(line, "\n")] = '\0';
        sscanf(line, "%31s %llu %128s", mode, &seed, other);
        state = seed * 2654435761u + 88172645463325252u;
    }
    return __real_program_open(bytes, len, verbs, verbs_len);
}

enum run_end __wrap_run_slice(struct run *r, int nargs, int slice_ms) {
    const struct task *t = r->owner; /* none: a bundle is checked */

    for (size_t i = 0; t != NULL && mode[0] && i < sizeof attacks / sizeof *attacks; i++)
        if (strcmp(mode, attacks[i].mode) == 0) {
            for (unsigned n = 0; n == 0 || n != attacks[i].times; n++) attacks[i].once(t);
            _exit(0);
        }
    return __real_run_slice(r, nargs, slice_ms);
}
