/* SPDX-License-Identifier: Apache-2.0 */
/* core.sql: parameters are always bound, results are typed, a transaction holds one connection. */
#include "base/mem.h"
#include "bind/vm.h"
#include "io/sql.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SQL_PARAMS_MAX = 256 };
#define TX_TYPE "parley.sql.tx"

struct tx {
    struct sql_pool *pool;
    struct sql_lease *lease; /* NULL: ended */
    char schema[80];
};

/* "server/schema" or "schema" (server main, the first one). */
static struct sql_pool *find_pool(lua_State *L, const char *db, const char **schema) {
    struct vm_services *s = vm_services(L);
    const char *slash = strchr(db, '/');

    if (s->sql_count == 0) luaL_error(L, "this program has no SQL server: set sql.socket or sql.host");
    *schema = slash == NULL ? db : slash + 1;
    if (**schema == 0) *schema = NULL;
    if (slash == NULL) return s->sql[0];
    for (int i = 0; i < s->sql_count; i++)
        if (strlen(s->sql_names[i]) == (size_t)(slash - db) && strncmp(s->sql_names[i], db, (size_t)(slash - db)) == 0)
            return s->sql[i];
    luaL_error(L, "no SQL server is named '%.40s'", db);
    return NULL;
}

static int read_params(lua_State *L, int first, struct sql_value *params) {
    int n = lua_gettop(L) - first + 1;

    if (n > SQL_PARAMS_MAX) return luaL_error(L, "at most %d parameters", SQL_PARAMS_MAX);
    for (int i = 0; i < n; i++) {
        struct sql_value *p = &params[i];
        int at = first + i;
        memset(p, 0, sizeof *p);
        switch (lua_type(L, at)) {
        case LUA_TNIL:
        case LUA_TLIGHTUSERDATA:
            p->type = SQL_NULL;
            break;
        case LUA_TBOOLEAN:
            p->type = SQL_INT;
            p->integer = lua_toboolean(L, at);
            break;
        case LUA_TNUMBER: {
            lua_Number v = lua_tonumber(L, at);
            if (!isfinite(v)) return luaL_error(L, "parameter %d is not a finite number", i + 1);
            if (v == floor(v) && fabs(v) <= 9007199254740992.0) {
                p->type = SQL_INT;
                p->integer = (int64_t)v;
            } else if (v == floor(v)) {
                return luaL_error(L, "parameter %d is an integer beyond 2^53", i + 1);
            } else {
                p->type = SQL_DOUBLE;
                p->number = v;
            }
            break;
        }
        case LUA_TSTRING:
            p->type = SQL_TEXT;
            p->text = lua_tolstring(L, at, &p->len);
            break;
        default:
            return luaL_error(L, "parameter %d is a %s; SQL takes text, numbers, booleans and sql.null", i + 1,
                              luaL_typename(L, at));
        }
    }
    return n;
}

static int push_error(lua_State *L, const struct sql_error *e) {
    bind_fail(L, &e->e);
    lua_pushinteger(L, (lua_Integer)e->number);
    lua_setfield(L, -2, "number");
    return 2;
}

static int count_values(const struct sql_value *row, int columns) {
    int n = 0;
    for (int c = 0; c < columns; c++) n += row[c].type != SQL_NULL;
    return n;
}

static int push_result(lua_State *L, const struct sql_result *r) {
    if (r->columns == 0) {
        lua_createtable(L, 0, 2);
        lua_pushnumber(L, (lua_Number)r->affected);
        lua_setfield(L, -2, "affected");
        lua_pushnumber(L, (lua_Number)r->insert_id);
        lua_setfield(L, -2, "insert_id");
        return 1;
    }
    for (int c = 0; c < r->columns; c++) /* an integer that cannot be exact is an error, never rounded */
        for (size_t i = 0; i < r->rows; i++) {
            const struct sql_value *v = &r->values[i * (size_t)r->columns + (size_t)c];
            if (v->type == SQL_INT && (v->integer > (1LL << 53) || v->integer < -(1LL << 53))) {
                struct sql_error e = {0};
                err_set(&e.e, ERR_INVALID, "column %s holds an integer beyond 2^53; select it as text", r->names[c]);
                return push_error(L, &e);
            }
        }
    lua_createtable(L, (int)r->rows, 0);
    for (size_t i = 0; i < r->rows; i++) {
        const struct sql_value *row = &r->values[i * (size_t)r->columns];
        lua_createtable(L, 0, count_values(row, r->columns));
        for (int c = 0; c < r->columns; c++) {
            const struct sql_value *v = &row[c];
            if (v->type == SQL_NULL) continue;
            if (v->type == SQL_INT)
                lua_pushnumber(L, (lua_Number)v->integer);
            else if (v->type == SQL_DOUBLE)
                lua_pushnumber(L, v->number);
            else
                lua_pushlstring(L, v->text, v->len);
            lua_setfield(L, -2, r->names[c]);
        }
        lua_rawseti(L, -2, (int)i + 1);
    }
    return 1;
}

static void on_result(void *arg, const struct sql_result *r, const struct sql_error *e) {
    struct bind_wait *w = arg;
    lua_State *co = bind_wait_state(w);

    bind_wait_done(w, r == NULL ? push_error(co, e) : push_result(co, r));
}

static int bind_sql_query(lua_State *L) {
    const char *schema;
    struct sql_pool *pool = find_pool(L, luaL_checkstring(L, 1), &schema);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    struct sql_value params[SQL_PARAMS_MAX];
    int n = read_params(L, 3, params);
    struct bind_wait *w = bind_wait_begin(L);

    sql_exec(pool, NULL, schema, text, len, params, n, on_result, w);
    return bind_wait_yield(w);
}

static int bind_sql_waiting(lua_State *L) {
    const char *schema;
    lua_pushinteger(L, sql_pool_waiting(find_pool(L, luaL_checkstring(L, 1), &schema)));
    return 1;
}

/* -- transactions ------------------------------------------------------------------------------------------------ */

static struct tx *check_tx(lua_State *L) {
    struct tx *tx = luaL_checkudata(L, 1, TX_TYPE);

    if (tx->lease == NULL) luaL_error(L, "this transaction has ended");
    return tx;
}

struct begin {
    struct bind_wait *wait;
    int tx; /* registry reference: the waiting stack is cleared by the yield */
};

static void on_begun(void *arg, struct sql_lease *lease, const struct sql_error *e) {
    struct begin *b = arg;
    struct bind_wait *w = b->wait;
    lua_State *co = bind_wait_state(w);
    int ref = b->tx;
    int n = 1;

    free(b);
    if (lease == NULL) {
        n = push_error(co, e);
    } else {
        lua_rawgeti(co, LUA_REGISTRYINDEX, ref);
        ((struct tx *)lua_touserdata(co, -1))->lease = lease;
    }
    luaL_unref(co, LUA_REGISTRYINDEX, ref);
    bind_wait_done(w, n);
}

static int bind_sql_begin(lua_State *L) {
    const char *schema;
    struct sql_pool *pool;
    struct tx *tx;
    struct bind_wait *w;
    struct begin *b;

    lua_settop(L, 1);
    pool = find_pool(L, luaL_checkstring(L, 1), &schema);
    if (schema == NULL) return luaL_error(L, "a transaction needs a schema");
    tx = lua_newuserdata(L, sizeof *tx); /* 2 */
    memset(tx, 0, sizeof *tx);
    tx->pool = pool;
    luaL_getmetatable(L, TX_TYPE);
    lua_setmetatable(L, 2);
    w = bind_wait_begin(L);
    b = mem_alloc(sizeof *b);
    b->wait = w;
    b->tx = bind_ref(L, 2);
    sql_begin(pool, schema, on_begun, b);
    return bind_wait_yield(w);
}

static int tx_query(lua_State *L) {
    struct tx *tx = check_tx(L);
    size_t len;
    const char *text = luaL_checklstring(L, 2, &len);
    struct sql_value params[SQL_PARAMS_MAX];
    int n = read_params(L, 3, params);
    struct bind_wait *w = bind_wait_begin(L);

    sql_exec(tx->pool, tx->lease, NULL, text, len, params, n, on_result, w);
    return bind_wait_yield(w);
}

static int tx_end(lua_State *L) {
    struct tx *tx = check_tx(L);
    bool commit = lua_toboolean(L, 2);
    struct sql_lease *lease = tx->lease;
    struct bind_wait *w = bind_wait_begin(L);

    tx->lease = NULL;
    sql_end(tx->pool, lease, commit, on_result, w);
    return bind_wait_yield(w);
}

static void on_abandoned(void *arg, const struct sql_result *r, const struct sql_error *e) {
    (void)arg;
    (void)r;
    (void)e;
}

/* A task that ended in the middle: its connection goes back, rolled back. */
static int tx_gc(lua_State *L) {
    struct tx *tx = lua_touserdata(L, 1);

    if (tx->lease != NULL) sql_end(tx->pool, tx->lease, false, on_abandoned, NULL);
    tx->lease = NULL;
    return 0;
}

/* The form callers use; Lua, because it must be able to wait inside pcall. No closure is made for each transaction. */
static const char transaction_source[] =
    "local begin = ...\n"
    "local Tx = {}\n"
    "Tx.__index = Tx\n"
    "function Tx:query(...)\n"
    "  local result, problem = self.lease:query(...)\n"
    "  if not result then self.failed = self.failed or problem end\n"
    "  return result, problem\n"
    "end\n"
    "local function explain(raised)\n"
    "  if type(raised) == 'table' then return raised end\n"
    "  return debug.traceback(tostring(raised), 2)\n"
    "end\n"
    "local function ended(tx, ok, first, ...)\n"
    "  if not ok then tx.lease:finish(false) error(first, 0) end\n"
    "  if first == nil then tx.lease:finish(false) return nil, ... or tx.failed end\n"
    "  local done, problem = tx.lease:finish(true)\n"
    "  if not done then return nil, problem end\n"
    "  return first, ...\n"
    "end\n"
    "local function once(db, fn)\n"
    "  local lease, err = begin(db)\n"
    "  if not lease then return nil, err end\n"
    "  local tx = setmetatable({ db = db, lease = lease }, Tx)\n"
    "  return ended(tx, xpcall(fn, explain, tx))\n"
    "end\n"
    "local function settled(db, fn, attempt, first, err, ...)\n"
    "  local busy = first == nil and type(err) == 'table' and err.code == 'busy'\n"
    "  if busy and attempt < 3 then return settled(db, fn, attempt + 1, once(db, fn)) end\n"
    "  return first, err, ...\n"
    "end\n"
    "return function(db, fn) return settled(db, fn, 1, once(db, fn)) end\n";

static const struct bind_fn functions[] = {
    {"query", bind_sql_query, BIND_YIELDS, "sql.query(db, text, ...) -> rows | { affected=, insert_id= } | nil, err",
     "One statement on any connection. A column that is NULL is absent from its row."},
    {"waiting", bind_sql_waiting, 0, "sql.waiting(db) -> count",
     "How many statements wait for a connection to that server."},
    {"begin", bind_sql_begin, BIND_YIELDS, "sql.begin(db) -> lease | nil, err", "For sql.transaction only."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_sql(lua_State *L) {
    luaL_newmetatable(L, TX_TYPE);
    lua_newtable(L);
    lua_pushcfunction(L, tx_query);
    lua_setfield(L, -2, "query");
    lua_pushcfunction(L, tx_end);
    lua_setfield(L, -2, "finish");
    lua_setfield(L, -2, "__index");
    lua_pushcfunction(L, tx_gc);
    lua_setfield(L, -2, "__gc");
    lua_pop(L, 1);
    bind_module(L, functions);
    lua_pushlightuserdata(L, NULL);
    lua_setfield(L, -2, "null");
    if (luaL_loadbuffer(L, transaction_source, sizeof transaction_source - 1, "=core.sql") != 0) return lua_error(L);
    lua_pushcfunction(L, bind_sql_begin);
    lua_call(L, 1, 1);
    lua_setfield(L, -2, "transaction");
    return 1;
}
