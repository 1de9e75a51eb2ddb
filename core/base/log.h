/* SPDX-License-Identifier: Apache-2.0 */
/* The log: one JSON object a line, to standard error or a file, from any thread.
 *
 * {"time":"2026-11-22T10:00:00.000123Z","level":"info","event":"slot.taken","worker":1,"pid":77,"text":"node n1 slot 3"}
 * An event is noun.moment. A line is one write(2); it is cut at 8 KiB and is valid JSON whatever bytes it is given.
 */
#pragma once
#include <stdbool.h>
#include <stddef.h>

enum log_level { LOG_DEBUG = 0, LOG_INFO, LOG_WARN, LOG_ERROR };

/* program: "parleyd", "worker", "parley-cell"; worker < 0: not a worker. fd stays the caller's. */
void log_open(const char *program, int worker, int fd, enum log_level least);
void log_line(enum log_level level, const char *event, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* fields: the inside of a JSON object, already escaped ("\"call\":\"c1\",\"tenant\":\"acme\""), or NULL. */
void log_fields(enum log_level level, const char *event, const char *fields);
/* The same of members that our own writer of JSON has made on one line: they are not read once more. */
void log_members(enum log_level level, const char *event, const char *members, size_t len);
bool log_starts(enum log_level level); /* does a line of this level get out: else its members need not be made */
int log_level_parse(const char *name); /* a log_level or -1 */
/* Lines logged at error since the start (tests fail on them). */
unsigned long log_error_count(void);

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...)  log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...)  log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
