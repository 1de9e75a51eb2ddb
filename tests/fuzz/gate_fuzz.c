/* SPDX-License-Identifier: Apache-2.0 */
/* What a cell sends to its worker: refused whole, or one name and as many values as it holds, nothing else on the stack; and
 * what a flow may keep (call.data) is written to the record as JSON or refused with a reason. */
#include "bind/bind_cell.h"
#include "bind/vm.h"
#include "script/message.h"
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len) {
    static lua_State *L;
    const char *why = "";
    struct message m;

    if (L == NULL) L = luaL_newstate();
    int n = bind_cell_push_message(L, (const char *)bytes, len, &why);
    if (lua_gettop(L) != (n < 0 ? 0 : n) || (n < 0 && why[0] == '\0')) abort();
    if (n > 0 && (lua_type(L, 1) != LUA_TSTRING || !message_read(&m, bytes, len))) abort();
    for (int i = 2; i <= n; i++) {
        size_t part;
        struct err e = {0};
        if (message_get_any(&m, &part) == NULL) abort();
        json_t *json = bind_json_take(L, i, &e);
        if (json == NULL && e.text[0] == '\0') abort();
        json_decref(json);
    }
    if (n > 0 && m.at != m.end) abort();
    lua_settop(L, 0);
    return 0;
}
