/* SPDX-License-Identifier: Apache-2.0 */
#include "io/process.h"
#include "base/buf.h"
#include "base/mem.h"
#include <dirent.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    RUNNING_MAX = 8,
    WAITING_MAX = 256,
    ERRORS_MAX = 4096,
    OUTPUT_STANDARD = 16 * 1024 * 1024,
    TIMEOUT_STANDARD = 10000
};

struct run {
    uv_loop_t *loop;
    struct run *next; /* while waiting */
    char **argv;
    char *input;
    size_t input_len;
    int timeout_ms;
    size_t output_limit;
    void (*on_done)(void *arg, int status, const char *out, size_t len, const char *errors, const struct err *e);
    void *arg;
    uv_process_t process;
    uv_pipe_t in, out, errors;
    uv_timer_t timer;
    uv_write_t write;
    struct buf output, complaint;
    int handles; /* not closed yet */
    int status;
    bool exited, out_over, errors_over;
    struct err e;
};

/* One loop a process, so one count. */
static int running, waiting;
static struct run *first, **last = &first;

static void run_start(struct run *r);

static void run_free(struct run *r) {
    for (char **a = r->argv; *a != NULL; a++) free(*a);
    free(r->argv);
    free(r->input);
    buf_free(&r->output);
    buf_free(&r->complaint);
    free(r);
}

static void run_over(struct run *r) {
    running--;
    while (running < RUNNING_MAX && first != NULL) {
        struct run *next = first;
        first = next->next;
        if (first == NULL) last = &first;
        waiting--;
        run_start(next);
    }
    r->on_done(r->arg, r->status, r->output.data == NULL ? "" : r->output.data, r->output.len,
               r->complaint.data == NULL ? "" : r->complaint.data, &r->e);
    run_free(r);
}

static void on_closed(uv_handle_t *h) {
    struct run *r = h->data;

    if (--r->handles == 0) run_over(r);
}

static void close_one(void *handle) {
    if (!uv_is_closing(handle)) uv_close(handle, on_closed);
}

/* A child of the program may hold its output open for ever: once the program has exited only what is in the pipe counts. */
static void maybe_over(struct run *r) {
    if (!r->exited || ((!r->out_over || !r->errors_over) && r->e.code == 0)) return;
    close_one(&r->timer);
    close_one(&r->in);
    close_one(&r->out);
    close_one(&r->errors);
    close_one(&r->process);
}

static void run_kill(struct run *r, int code, const char *text) {
    if (r->e.code == 0) err_set(&r->e, code, "%s %s", r->argv[0], text);
    if (!r->exited) uv_process_kill(&r->process, SIGKILL);
    maybe_over(r);
}

static void on_exit_status(uv_process_t *p, int64_t status, int signum) {
    struct run *r = p->data;

    r->exited = true;
    r->status = signum != 0 ? 128 + signum : (int)status;
    maybe_over(r);
}

static void on_timeout(uv_timer_t *t) {
    run_kill(t->data, ERR_TIMEOUT, "did not finish in time and was ended");
}

static void on_alloc(uv_handle_t *h, size_t size, uv_buf_t *b) {
    static char space[65536];

    (void)h;
    (void)size;
    *b = uv_buf_init(space, sizeof space);
}

static void on_output(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct run *r = s->data;

    if (n > 0) {
        if (r->output.len + (size_t)n > r->output_limit) {
            run_kill(r, ERR_LIMIT, "wrote more than it may and was ended");
            return;
        }
        buf_add(&r->output, b->base, (size_t)n);
    } else if (n < 0) {
        r->out_over = true;
        uv_read_stop(s);
        maybe_over(r);
    }
}

static void on_errors(uv_stream_t *s, ssize_t n, const uv_buf_t *b) {
    struct run *r = s->data;

    if (n > 0) {
        size_t room = ERRORS_MAX - r->complaint.len;
        buf_add(&r->complaint, b->base, (size_t)n < room ? (size_t)n : room);
    } else if (n < 0) {
        r->errors_over = true;
        uv_read_stop(s);
        maybe_over(r);
    }
}

/* A program may end without reading its input: that is its right, and its exit status says the rest. */
static void on_written(uv_write_t *w, int status) {
    struct run *r = w->data;

    (void)status;
    close_one(&r->in);
}

static char *inherited(const char *name) {
    const char *value = getenv(name);

    return mem_printf("%s=%s", name, value == NULL ? (strcmp(name, "PATH") == 0 ? "/usr/bin:/bin" : "") : value);
}

/* libuv closes nothing for the program: a listening socket from the master or a library's connection would go along.
 * Nothing of ours is meant for a program but the three pipes, so all that is open is marked, each time anew. */
static void keep_files(void) {
    if (syscall(SYS_close_range, 3u, ~0u, (unsigned)CLOSE_RANGE_CLOEXEC) == 0) return;
    DIR *files = opendir("/proc/self/fd"); /* before Linux 5.11 */
    if (files == NULL) return;
    for (struct dirent *d; (d = readdir(files)) != NULL;) {
        int fd = atoi(d->d_name);
        if (fd > 2) fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    closedir(files);
}

static void run_start(struct run *r) {
    uv_stdio_container_t stdio[3];
    uv_process_options_t o = {0};
    char *env[] = {inherited("PATH"), inherited("HOME"), inherited("LANG"), NULL};
    uv_buf_t input;
    int rc;

    running++;
    r->handles = 5;
    uv_pipe_init(r->loop, &r->in, 0);
    uv_pipe_init(r->loop, &r->out, 0);
    uv_pipe_init(r->loop, &r->errors, 0);
    uv_timer_init(r->loop, &r->timer);
    r->in.data = r->out.data = r->errors.data = r->timer.data = r->process.data = r->write.data = r;
    stdio[0].flags = UV_CREATE_PIPE | UV_READABLE_PIPE;
    stdio[0].data.stream = (uv_stream_t *)&r->in;
    stdio[1].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    stdio[1].data.stream = (uv_stream_t *)&r->out;
    stdio[2].flags = UV_CREATE_PIPE | UV_WRITABLE_PIPE;
    stdio[2].data.stream = (uv_stream_t *)&r->errors;
    o.file = r->argv[0];
    o.args = r->argv;
    o.env = env;
    o.stdio = stdio;
    o.stdio_count = 3;
    o.exit_cb = on_exit_status;
    keep_files();
    rc = uv_spawn(r->loop, &r->process, &o);
    for (int i = 0; i < 3; i++) free(env[i]);
    if (rc < 0) {
        err_set(&r->e, rc == UV_ENOENT ? ERR_NOT_FOUND : ERR_IO, "cannot run %s: %s", r->argv[0], uv_strerror(rc));
        r->exited = true;
        maybe_over(r);
        return;
    }
    uv_timer_start(&r->timer, on_timeout, (uint64_t)r->timeout_ms, 0);
    uv_read_start((uv_stream_t *)&r->out, on_alloc, on_output);
    uv_read_start((uv_stream_t *)&r->errors, on_alloc, on_errors);
    input = uv_buf_init(r->input, (unsigned)r->input_len);
    if (r->input_len == 0 || uv_write(&r->write, (uv_stream_t *)&r->in, &input, 1, on_written) < 0) close_one(&r->in);
}

int process_run(uv_loop_t *loop, const struct process_opts *o, struct err *e) {
    struct run *r;
    int n = 0;

    if (o->argv == NULL || o->argv[0] == NULL) return err_set(e, ERR_INVALID, "a program needs a name");
    if (running >= RUNNING_MAX && waiting >= WAITING_MAX)
        return err_set(e, ERR_BUSY, "%d programs are waiting already; try again in a moment", waiting);
    while (o->argv[n] != NULL) n++;
    r = mem_alloc(sizeof *r);
    r->loop = loop;
    r->argv = mem_alloc((size_t)(n + 1) * sizeof *r->argv);
    for (int i = 0; i < n; i++) r->argv[i] = mem_strdup(o->argv[i]);
    if (o->input_len > 0) r->input = mem_dup(o->input, o->input_len);
    r->input_len = o->input_len;
    r->timeout_ms = o->timeout_ms > 0 ? o->timeout_ms : TIMEOUT_STANDARD;
    r->output_limit = o->output_limit > 0 ? o->output_limit : OUTPUT_STANDARD;
    r->on_done = o->on_done;
    r->arg = o->arg;
    if (running < RUNNING_MAX) {
        run_start(r);
    } else {
        *last = r;
        last = &r->next;
        waiting++;
    }
    return 0;
}
