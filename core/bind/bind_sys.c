/* SPDX-License-Identifier: Apache-2.0 */
/* core.log, core.clock, core.metrics, core.config, core.worker, core.fault: what a program knows of itself. */
#include "base/buf.h"
#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/str.h"
#include "bind/vm.h"
#include "metrics/metrics.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* -- log ---------------------------------------------------------------------------------------------------- */

static int log_at(lua_State *L, enum log_level level) {
    const char *event = luaL_checkstring(L, 1);
    struct err e = {0};
    struct buf out = {0};

    if (!log_starts(level)) return 0;
    if (lua_isnoneornil(L, 2)) {
        log_fields(level, event, NULL);
        return 0;
    }
    luaL_checktype(L, 2, LUA_TTABLE);
    lua_settop(L, 2);
    buf_reserve(&out, 511);
    /* A log call must never raise for what it is given: what JSON cannot hold is said instead. */
    if (bind_json_write(L, 2, &out, &e) < 0 || out.data[0] != '{')
        log_line(level, event, "%s", e.text[0] ? e.text : "no named fields");
    else
        log_members(level, event, out.data + 1, out.len - 2); /* the inside of the object */
    buf_free(&out);
    return 0;
}

static int bind_log_debug(lua_State *L) {
    return log_at(L, LOG_DEBUG);
}
static int bind_log_info(lua_State *L) {
    return log_at(L, LOG_INFO);
}
static int bind_log_warn(lua_State *L) {
    return log_at(L, LOG_WARN);
}
static int bind_log_error(lua_State *L) {
    return log_at(L, LOG_ERROR);
}

static const struct bind_fn log_functions[] = {
    {"debug", bind_log_debug, BIND_PLAIN, "log.debug(event [, fields])", ""},
    {"info", bind_log_info, BIND_PLAIN, "log.info(event [, fields])", "One JSON line; event is noun.moment."},
    {"warn", bind_log_warn, BIND_PLAIN, "log.warn(event [, fields])", ""},
    {"error", bind_log_error, BIND_PLAIN, "log.error(event [, fields])", ""},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_log(lua_State *L) {
    bind_module(L, log_functions);
    return 1;
}

/* -- clock --------------------------------------------------------------------------------------------------- */

static int bind_clock_wall_us(lua_State *L) {
    lua_pushnumber(L, (lua_Number)clock_wall_us());
    return 1;
}

static int bind_clock_mono_ms(lua_State *L) {
    lua_pushnumber(L, (lua_Number)clock_mono_us() / 1000);
    return 1;
}

static int bind_clock_rfc3339(lua_State *L) {
    char text[28];

    clock_rfc3339((int64_t)luaL_checknumber(L, 1), text);
    lua_pushstring(L, text);
    return 1;
}

static int bind_clock_parse(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    int64_t us;

    if (clock_parse_rfc3339(text, len, &us) < 0)
        return bind_fail_text(L, ERR_INVALID, "not an RFC 3339 time, such as 2026-11-22T10:00:00Z");
    lua_pushnumber(L, (lua_Number)us);
    return 1;
}

static const struct bind_fn clock_functions[] = {
    {"wall_us", bind_clock_wall_us, BIND_PLAIN, "clock.wall_us() -> microseconds", "UTC since 1970, a whole number."},
    {"mono_ms", bind_clock_mono_ms, BIND_PLAIN, "clock.mono_ms() -> milliseconds", "Never steps."},
    {"rfc3339", bind_clock_rfc3339, BIND_PLAIN, "clock.rfc3339(us) -> text", ""},
    {"parse", bind_clock_parse, BIND_PLAIN, "clock.parse(text) -> us | nil, err", ""},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_clock(lua_State *L) {
    bind_module(L, clock_functions);
    return 1;
}

/* -- metrics -------------------------------------------------------------------------------------------------- */

static void metrics_labels(lua_State *L, int idx, struct buf *out) {
    const char *names[8];
    int n = 0;

    if (lua_isnoneornil(L, idx)) return;
    luaL_checktype(L, idx, LUA_TTABLE);
    lua_pushnil(L);
    while (lua_next(L, idx)) {
        if (lua_type(L, -2) == LUA_TSTRING && n < 8) names[n++] = lua_tostring(L, -2);
        lua_pop(L, 1);
    }
    for (int i = 0; i < n; i++) /* sorted: the same set is the same series */
        for (int j = i + 1; j < n; j++)
            if (strcmp(names[j], names[i]) < 0) {
                const char *swap = names[i];
                names[i] = names[j];
                names[j] = swap;
            }
    for (int i = 0; i < n; i++) {
        const char *value;
        lua_getfield(L, idx, names[i]);
        lua_pushvalue(L, -1); /* tostring must not change the table's own value */
        value = lua_isboolean(L, -1) ? (lua_toboolean(L, -1) ? "true" : "false") : lua_tostring(L, -1);
        buf_printf(out, "%s%s=\"", i ? "," : "", names[i]);
        for (const char *p = value == NULL ? "" : value; *p; p++) {
            if (*p == '"' || *p == '\\') buf_add(out, "\\", 1);
            if (*p == '\n')
                buf_add_str(out, "\\n");
            else
                buf_add(out, p, 1);
        }
        buf_add_str(out, "\"");
        lua_pop(L, 2);
    }
}

static int metric(lua_State *L, int kind) {
    const char *name = luaL_checkstring(L, 1);
    lua_Number n = luaL_optnumber(L, 3, 1);
    const char *help = luaL_optstring(L, 4, "");
    struct metrics *m = vm_services(L)->metrics;
    struct buf labels = {0};
    struct metric *s;

    if (m == NULL) return 0;
    metrics_labels(L, 2, &labels);
    const char *text = labels.data == NULL ? "" : labels.data;
    if (kind == 0) {
        if ((s = metrics_counter(m, name, text, help)) != NULL) metric_add(s, n);
    } else if (kind == 1) {
        if ((s = metrics_gauge(m, name, text, help)) != NULL) metric_set(s, n);
    } else {
        if ((s = metrics_histogram(m, name, text, help)) != NULL) metric_observe(s, n);
    }
    buf_free(&labels);
    return 0;
}

static int bind_metrics_count(lua_State *L) {
    return metric(L, 0);
}
static int bind_metrics_gauge(lua_State *L) {
    return metric(L, 1);
}
static int bind_metrics_observe(lua_State *L) {
    return metric(L, 2);
}

/* A handle is a C closure over the series: who counts often does not spell the labels out each time. */
static int handle_add(lua_State *L) {
    struct metric *s = lua_touserdata(L, lua_upvalueindex(1));
    lua_Number n = luaL_optnumber(L, 1, 1);
    if (s != NULL) metric_add(s, n);
    return 0;
}

static int handle_observe(lua_State *L) {
    struct metric *s = lua_touserdata(L, lua_upvalueindex(1));
    lua_Number seconds = luaL_checknumber(L, 1);
    if (s != NULL) metric_observe(s, seconds);
    return 0;
}

static int metric_handle(lua_State *L,
                         struct metric *(*find)(struct metrics *, const char *, const char *, const char *),
                         lua_CFunction use) {
    const char *name = luaL_checkstring(L, 1), *help = luaL_optstring(L, 3, "");
    struct metrics *m = vm_services(L)->metrics;
    struct buf labels = {0};

    metrics_labels(L, 2, &labels);
    lua_pushlightuserdata(L, m == NULL ? NULL : find(m, name, labels.data == NULL ? "" : labels.data, help));
    lua_pushcclosure(L, use, 1);
    buf_free(&labels);
    return 1;
}

static int bind_metrics_counter(lua_State *L) {
    return metric_handle(L, metrics_counter, handle_add);
}
static int bind_metrics_histogram(lua_State *L) {
    return metric_handle(L, metrics_histogram, handle_observe);
}

static int bind_metrics_text(lua_State *L) {
    struct metrics *m = vm_services(L)->metrics;
    struct buf out = {0};

    if (m != NULL) metrics_write(m, &out);
    lua_pushlstring(L, out.data == NULL ? "" : out.data, out.len);
    buf_free(&out);
    return 1;
}

static const struct bind_fn metrics_functions[] = {
    {"count", bind_metrics_count, BIND_PLAIN, "metrics.count(name [, labels [, n [, help]]])", "Adds to a counter."},
    {"gauge", bind_metrics_gauge, BIND_PLAIN, "metrics.gauge(name, labels, value [, help])",
     "Sets this worker's share of a gauge."},
    {"observe", bind_metrics_observe, BIND_PLAIN, "metrics.observe(name, labels, seconds [, help])",
     "Adds to a histogram."},
    {"counter", bind_metrics_counter, BIND_PLAIN, "metrics.counter(name [, labels [, help]]) -> add(n)",
     "The counter itself, for who adds to it often."},
    {"histogram", bind_metrics_histogram, BIND_PLAIN, "metrics.histogram(name [, labels [, help]]) -> observe(seconds)",
     "The histogram itself, for who adds to it often."},
    {"text", bind_metrics_text, BIND_PLAIN, "metrics.text() -> text", "Prometheus exposition for the whole host."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_metrics(lua_State *L) {
    bind_module(L, metrics_functions);
    return 1;
}

/* -- config and worker ------------------------------------------------------------------------------------------ */

int bind_open_config(lua_State *L) {
    const struct config *c = vm_services(L)->config;
    struct err e = {0};

    if (c == NULL) {
        lua_newtable(L);
        return 1;
    }
    if (bind_json_push(L, config_tree(c), &e) < 0) return luaL_error(L, "%s", e.text);
    return 1;
}

int bind_open_worker(lua_State *L) {
    struct vm_services *s = vm_services(L);

    lua_newtable(L);
    lua_pushinteger(L, s->worker);
    lua_setfield(L, -2, "index");
    lua_pushstring(L, s->owner == NULL ? "" : s->owner);
    lua_setfield(L, -2, "owner");
    lua_pushstring(L, s->program == NULL ? "parley" : s->program);
    lua_setfield(L, -2, "program");
    lua_pushstring(L, vm_root(vm_of(L)));
    lua_setfield(L, -2, "root");
    return 1;
}

/* -- fault points ------------------------------------------------------------------------------------------------ */

static int bind_fault_point(lua_State *L) {
    fault_pass(luaL_checkstring(L, 1));
    return 0;
}

static const struct bind_fn fault_functions[] = {
    {"point", bind_fault_point, BIND_PLAIN, "fault.point(name)",
     "A place between two writes at which a test lets the worker die; see base/fault.h."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_fault(lua_State *L) {
    bind_module(L, fault_functions);
    if (fault_armed) return 1;
    /* Nobody has armed one: a function that does nothing, which the compiler sees through. */
    if (luaL_dostring(L, "return function() end") != 0) return lua_error(L);
    lua_setfield(L, -2, "point");
    return 1;
}
