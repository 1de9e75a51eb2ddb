/* SPDX-License-Identifier: Apache-2.0 */
/* Listening sockets of the master.
 * Errors     a negative err_code with a text that says what to do. */
#pragma once
#include "base/err.h"

/* A listening socket (close-on-exec, non-blocking, SO_REUSEPORT). bind_to: an IP address. */
int port_listen(const char *bind_to, int port, struct err *e);
/* 0 when nobody listens there. SO_REUSEPORT would let two masters share a port without a word. */
int port_is_free(const char *bind_to, int port, struct err *e);
