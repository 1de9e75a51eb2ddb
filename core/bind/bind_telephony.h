/* SPDX-License-Identifier: Apache-2.0 */
/* What the host gives to telephony_open so that lua/calls hears of slots and events; arg is not used. */
#pragma once
#include "telephony/telephony.h"
#include <lua.h>

void bind_telephony_on_ready(void *arg, struct slot *s, bool first, const char *predecessor, const json_t *channels,
                             const json_t *bridges);
void bind_telephony_on_lost(void *arg, struct slot *s, enum slot_lost why);
void bind_telephony_on_giving(void *arg, struct slot *s);
void bind_telephony_on_event(void *arg, struct slot *s, const json_t *event);

struct telephony *bind_telephony_of(lua_State *L);
struct slot *bind_check_slot(lua_State *L, int arg); /* NULL when not owned here */
