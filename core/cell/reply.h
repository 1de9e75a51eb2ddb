/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell sends: one message at a time is made in a buffer and sent whole. Nobody there to hear it ends the cell. */
#pragma once
#include "base/buf.h"
#include "cell/place.h"
#include <lua.h>
#include <stdbool.h>
#include <stdint.h>

void reply_open(int fd);
/* Where the next message is made (script/message.h). */
struct buf *reply_out(void);
void reply_send(void);
/* Add a value to it. */
void reply_text(const char *text);
void reply_place(const struct place *where);
/* LOADED and FAILED, made and sent. L: where it failed, or NULL. */
void reply_loaded(const char *version, bool ok, const char *text);
void reply_failed(const char *call, int64_t visit, const char *kind, const char *text, const struct place *where,
                  lua_State *L);
