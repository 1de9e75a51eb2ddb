/* SPDX-License-Identifier: Apache-2.0 */
/* What the two halves of core.media share: legs, audio and recorders in bind_media.c; what a conversation needs of a leg beyond
 * that (listening, plays that come in pieces, making softer) in bind_media_live.c. */
#pragma once
#include <lauxlib.h>

struct media_stream;
struct media_stream *bind_check_stream(lua_State *L,
                                       int arg); /* of a leg; NULL with nil, err pushed when it has none */

void bind_open_media_live(lua_State *L); /* makes its types */
int bind_leg_listen(lua_State *L);
int bind_leg_play_begin(lua_State *L);
int bind_leg_play_append(lua_State *L);
int bind_leg_play_end(lua_State *L);
int bind_leg_play_state(lua_State *L);
int bind_leg_duck(lua_State *L);
