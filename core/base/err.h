/* SPDX-License-Identifier: Apache-2.0 */
/* An error is a code a program can act on and one line a person can read.
 *
 * Functions that can fail return 0 (or a count) or a negative err_code and fill in *e,
 * which may be NULL where the caller does not care for the text.
 */
#pragma once

enum err_code {
    ERR_INVALID = -1, /* the caller's input is wrong; asking again will not help */
    ERR_LIMIT = -2,   /* a limit or quota is reached */
    ERR_NOT_FOUND = -3,
    ERR_EXISTS = -4,
    ERR_TIMEOUT = -5,
    ERR_CLOSED = -6, /* the other side or the thing itself is gone */
    ERR_IO = -7,     /* disk, network, system call */
    ERR_DENIED = -8,
    ERR_BUSY = -9,      /* try again later */
    ERR_PROTOCOL = -10, /* the other side said something that makes no sense */
    ERR_CANCELLED = -11,
    ERR_STALE = -12, /* fenced: somebody else owns it now */
};

struct err {
    int code;
    char text[256];
};

/* Fills *e (when not NULL) and returns code, so that a failing function is one line. */
int err_set(struct err *e, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* The code's stable name as scripts and problem documents see it: "invalid", "limit", "not_found", ... */
const char *err_name(int code);
