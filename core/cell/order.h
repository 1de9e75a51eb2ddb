/* SPDX-License-Identifier: Apache-2.0 */
/* What the worker orders: one message of it, dealt with. What has no valid form ends the cell. */
#pragma once
#include <stddef.h>

/* fd: what came with it, or -1; stays the caller's. */
void order_take(const char *bytes, size_t len, int fd);
