/* SPDX-License-Identifier: Apache-2.0 */
/* A line is put together on the stack and leaves in one write(2): no lock, no memory, so that it also works
 * when memory is out, and lines of several processes on one file do not mix. */
#include "base/log.h"
#include "base/clock.h"
#include "base/str.h"
#include <errno.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    LINE_MAX_BYTES = 8192,
    TAIL_BYTES = 2, /* kept back for "}\n" */
};

/* Set once at the start, before there are threads; atomic because a test may open it again. */
static char log_program[32] = "parley";
static atomic_int log_worker = -1;
static atomic_int log_fd = STDERR_FILENO;
static atomic_int log_least = LOG_INFO;
static atomic_ulong log_errors;

static const char *const level_names[] = {"debug", "info", "warn", "error"};

struct line {
    char data[LINE_MAX_BYTES];
    size_t len;
};

void log_open(const char *program, int worker, int fd, enum log_level least) {
    str_copy(log_program, sizeof log_program, program);
    log_worker = worker;
    log_fd = fd;
    log_least = least;
}

int log_level_parse(const char *name) {
    for (int i = LOG_DEBUG; i <= LOG_ERROR; i++)
        if (strcmp(name, level_names[i]) == 0) return i;
    return -1;
}

unsigned long log_error_count(void) {
    return log_errors;
}

static size_t room(const struct line *line) {
    return LINE_MAX_BYTES - TAIL_BYTES - line->len;
}

/* Only for our own short pieces: one that does not fit is left out whole. */
static void add_raw(struct line *line, const char *text, size_t len) {
    if (len > room(line)) return;
    memcpy(line->data + line->len, text, len);
    line->len += len;
}

/* Adds ,"key":"text" and cuts text, between two characters, where the line would get too long. */
static void add_text(struct line *line, const char *key, const char *text, size_t len) {
    char head[48];
    int head_len = snprintf(head, sizeof head, ",\"%s\":\"", key);
    if ((size_t)head_len + 1 > room(line)) return;
    add_raw(line, head, (size_t)head_len);
    while (len) {
        char piece[8];
        size_t piece_len, used = str_json_char(text, len, piece, &piece_len);
        if (piece_len + 1 > room(line)) break; /* 1: the closing quote */
        add_raw(line, piece, piece_len);
        text += used;
        len -= used;
    }
    add_raw(line, "\"", 1);
}

static void begin(struct line *line, enum log_level level, const char *event) {
    char time[28], head[128];
    clock_rfc3339(clock_wall_us(), time);
    int len = snprintf(head, sizeof head, "{\"time\":\"%s\",\"level\":\"%s\"", time, level_names[level]);
    line->len = 0;
    add_raw(line, head, (size_t)len);
    add_text(line, "event", event, strnlen(event, 128));
    add_text(line, "program", log_program, strlen(log_program));
    int worker = log_worker;
    if (worker >= 0) {
        len = snprintf(head, sizeof head, ",\"worker\":%d", worker);
        add_raw(line, head, (size_t)len);
    }
    len = snprintf(head, sizeof head, ",\"pid\":%ld", (long)getpid()); /* asked anew: we may have been forked */
    add_raw(line, head, (size_t)len);
}

static void end(struct line *line) {
    memcpy(line->data + line->len, "}\n", TAIL_BYTES);
    line->len += TAIL_BYTES;
    ssize_t n;
    do n = write(log_fd, line->data, line->len);
    while (n < 0 && errno == EINTR);
    /* What cannot be written is lost: a full disk or a reader that stands still must not stop calls. */
}

static int starts(enum log_level level) {
    if (level == LOG_ERROR) log_errors++;
    return (int)level >= log_least;
}

bool log_starts(enum log_level level) {
    return level == LOG_ERROR || (int)level >= log_least; /* errors are counted in any case */
}

void log_line(enum log_level level, const char *event, const char *fmt, ...) {
    if (!starts(level)) return;
    int saved = errno;
    char text[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    if (len < 0) len = 0;
    if (len >= (int)sizeof text) len = (int)sizeof text - 1;

    struct line line;
    begin(&line, level, event);
    add_text(&line, "text", text, (size_t)len);
    end(&line);
    errno = saved;
}

/* What a member list has to be to stand in our object: it parses when put in braces, and it is one line. */
static int fields_fit(const struct line *line, const char *fields, size_t len) {
    char object[LINE_MAX_BYTES];
    if (len + 1 > room(line) || len + 2 > sizeof object) return 0;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)fields[i] < 0x20) return 0;
    object[0] = '{';
    memcpy(object + 1, fields, len);
    object[len + 1] = '}';
    json_t *parsed = json_loadb(object, len + 2, JSON_ALLOW_NUL, NULL);
    int fits = parsed != NULL;
    json_decref(parsed);
    return fits;
}

static void write_fields(enum log_level level, const char *event, const char *fields, size_t len, bool sound) {
    if (!starts(level)) return;
    int saved = errno;
    struct line line;
    begin(&line, level, event);
    if (len && (sound ? len + 1 <= room(&line) : fields_fit(&line, fields, len))) {
        add_raw(&line, ",", 1);
        add_raw(&line, fields, len);
    } else if (len) {
        add_text(&line, "cut_fields", fields, len); /* too long or no JSON: better as text than lost */
    }
    end(&line);
    errno = saved;
}

void log_fields(enum log_level level, const char *event, const char *fields) {
    write_fields(level, event, fields, fields ? strlen(fields) : 0, false);
}

void log_members(enum log_level level, const char *event, const char *members, size_t len) {
    write_fields(level, event, members, len, true);
}
