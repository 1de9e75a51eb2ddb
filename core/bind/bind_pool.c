/* SPDX-License-Identifier: Apache-2.0 */
/* core.process, core.blob, core.phone, core.file, core.bundle: work of the pool and small local things. */
#include "base/mem.h"
#include "bind/phone.h"
#include "bind/vm.h"
#include "crypto/crypto.h"
#include "io/blob.h"
#include "io/process.h"
#include "script/bundle.h"
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- process -------------------------------------------------------------------------------------------------- */

static void on_process(void *arg, int status, const char *out, size_t len, const char *errors, const struct err *e) {
    struct bind_wait *w = arg;
    lua_State *co = bind_wait_state(w);

    if (e != NULL && e->code != 0) {
        bind_wait_fail(w, e);
        return;
    }
    lua_createtable(co, 0, 3);
    lua_pushinteger(co, status);
    lua_setfield(co, -2, "status");
    lua_pushlstring(co, out == NULL ? "" : out, len);
    lua_setfield(co, -2, "output");
    lua_pushstring(co, errors == NULL ? "" : errors);
    lua_setfield(co, -2, "errors");
    bind_wait_done(w, 1);
}

static int bind_process_run(lua_State *L) {
    struct process_opts o = {0};
    const char *argv[64];
    struct err e = {0};
    struct bind_wait *w;
    size_t n;

    luaL_checktype(L, 1, LUA_TTABLE);
    lua_settop(L, 1);
    lua_getfield(L, 1, "argv");
    luaL_argcheck(L, lua_istable(L, -1), 1, "argv: a list of strings");
    n = lua_objlen(L, -1);
    luaL_argcheck(L, n >= 1 && n < 64, 1, "argv: 1 to 63 strings");
    for (size_t i = 0; i < n; i++) {
        lua_rawgeti(L, 2, (int)i + 1); /* kept on the stack: the strings stay */
        argv[i] = luaL_checkstring(L, -1);
        luaL_checkstack(L, 4, "argv");
    }
    argv[n] = NULL;
    lua_getfield(L, 1, "input");
    if (!lua_isnil(L, -1)) o.input = luaL_checklstring(L, -1, &o.input_len);
    lua_getfield(L, 1, "timeout_s");
    o.timeout_ms = (int)(luaL_optnumber(L, -1, 0) * 1000);
    lua_getfield(L, 1, "output_limit");
    o.output_limit = (size_t)luaL_optnumber(L, -1, 0);
    o.argv = argv;
    o.on_done = on_process;
    w = bind_wait_begin(L);
    o.arg = w;
    if (process_run(vm_services(L)->loop, &o, &e) < 0) bind_wait_fail(w, &e);
    return bind_wait_yield(w);
}

static const struct bind_fn process_functions[] = {
    {"run", bind_process_run, BIND_YIELDS,
     "process.run{ argv=, input=, timeout_s=, output_limit= } -> { status=, output=, errors= } | nil, err",
     "Runs a program without a shell."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_process(lua_State *L) {
    bind_module(L, process_functions);
    return 1;
}

/* -- blob ----------------------------------------------------------------------------------------------------- */

static void on_blob_done(void *arg, const void *data, size_t len, const struct err *e) {
    struct bind_wait *w = arg;

    if (e != NULL && e->code != 0) {
        bind_wait_fail(w, e);
        return;
    }
    if (data != NULL)
        lua_pushlstring(bind_wait_state(w), data, len);
    else
        lua_pushboolean(bind_wait_state(w), 1);
    bind_wait_done(w, 1);
}

static void on_blob_get(void *arg, const void *data, size_t len, const struct err *e) {
    on_blob_done(arg, e == NULL || e->code == 0 ? (data == NULL ? "" : data) : NULL, len, e);
}

static struct blob_store *blobs_of(lua_State *L) {
    struct blob_store *b = vm_services(L)->blobs;

    if (b == NULL) luaL_error(L, "this program has no blob store: set blobs.directory");
    return b;
}

static int bind_blob_put(lua_State *L) {
    struct blob_store *b = blobs_of(L);
    const char *key = luaL_checkstring(L, 1);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    struct bind_wait *w = bind_wait_begin(L);

    blob_put(b, key, data, len, on_blob_done, w);
    return bind_wait_yield(w);
}

static int bind_blob_append(lua_State *L) {
    struct blob_store *b = blobs_of(L);
    const char *key = luaL_checkstring(L, 1);
    size_t len;
    const char *data = luaL_checklstring(L, 2, &len);
    int sync = lua_toboolean(L, 3);
    struct bind_wait *w = bind_wait_begin(L);

    blob_append(b, key, data, len, sync, on_blob_done, w);
    return bind_wait_yield(w);
}

static int bind_blob_get(lua_State *L) {
    struct blob_store *b = blobs_of(L);
    const char *key = luaL_checkstring(L, 1);
    lua_Number limit = luaL_optnumber(L, 2, 256.0 * 1024 * 1024);
    struct bind_wait *w = bind_wait_begin(L);

    blob_get(b, key, (size_t)limit, on_blob_get, w);
    return bind_wait_yield(w);
}

static int bind_blob_part(lua_State *L) {
    struct blob_store *b = blobs_of(L);
    const char *key = luaL_checkstring(L, 1);
    lua_Number from = luaL_checknumber(L, 2), most = luaL_checknumber(L, 3);

    luaL_argcheck(L, from >= 0 && from < 9007199254740992.0, 2, "a position in bytes, from 0 on");
    luaL_argcheck(L, most >= 0 && most <= 16.0 * 1024 * 1024, 3, "at most 16 MiB");
    struct bind_wait *w = bind_wait_begin(L);
    blob_part(b, key, (size_t)from, (size_t)most, on_blob_get, w);
    return bind_wait_yield(w);
}

static void on_blob_older(void *arg, const void *data, size_t len, const struct err *e) {
    struct bind_wait *w = arg;
    const char *at, *end, *stop;
    int count = 0;

    if (e != NULL && e->code != 0) {
        bind_wait_fail(w, e);
        return;
    }
    lua_newtable(bind_wait_state(w));
    for (at = data, end = at + len; at < end && (stop = memchr(at, '\n', (size_t)(end - at))) != NULL; at = stop + 1) {
        lua_pushlstring(bind_wait_state(w), at, (size_t)(stop - at)); /* keys, key */
        lua_rawseti(bind_wait_state(w), -2, ++count);
    }
    bind_wait_done(w, 1);
}

static int bind_blob_older(lua_State *L) {
    struct blob_store *b = blobs_of(L);
    const char *folder = luaL_checkstring(L, 1);
    lua_Number before_s = luaL_checknumber(L, 2), most = luaL_checknumber(L, 3);

    luaL_argcheck(L, before_s >= 0 && before_s < 9007199254740992.0, 2, "seconds since 1970");
    luaL_argcheck(L, most >= 1 && most <= 10000, 3, "1 to 10000");
    struct bind_wait *w = bind_wait_begin(L);
    blob_older(b, folder, (int64_t)before_s, (size_t)most, on_blob_older, w);
    return bind_wait_yield(w);
}

static int bind_blob_remove(lua_State *L) {
    struct blob_store *b = blobs_of(L);
    const char *key = luaL_checkstring(L, 1);
    struct bind_wait *w = bind_wait_begin(L);

    blob_remove(b, key, on_blob_done, w);
    return bind_wait_yield(w);
}

static const struct bind_fn blob_functions[] = {
    {"put", bind_blob_put, BIND_YIELDS, "blob.put(key, bytes) -> true | nil, err", "There whole or not at all."},
    {"append", bind_blob_append, BIND_YIELDS, "blob.append(key, bytes [, sync]) -> true | nil, err",
     "In order per key."},
    {"get", bind_blob_get, BIND_YIELDS, "blob.get(key [, limit]) -> bytes | nil, err", ""},
    {"part", bind_blob_part, BIND_YIELDS, "blob.part(key, from, most) -> bytes | nil, err",
     "From a position on, the first is 0; fewer at the end, \"\" behind it. For what is too large to be held whole."},
    {"older", bind_blob_older, BIND_YIELDS, "blob.older(folder, before_s, most) -> keys | nil, err",
     "Of blobs right in a folder that were written before a time, in seconds since 1970; at most so many."},
    {"remove", bind_blob_remove, BIND_YIELDS, "blob.remove(key) -> true | nil, err", ""},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_blob(lua_State *L) {
    bind_module(L, blob_functions);
    return 1;
}

/* -- phone ---------------------------------------------------------------------------------------------------- */

static int bind_phone_parse(lua_State *L) {
    size_t len;
    const char *text = luaL_checklstring(L, 1, &len);
    const char *region = luaL_optstring(L, 2, NULL);
    struct phone p;

    if (len > 64 || phone_parse(text, len, region, &p) < 0)
        return bind_fail_text(L, ERR_INVALID, "not a phone number; write it as +<country code><number>");
    lua_createtable(L, 0, 2);
    lua_pushstring(L, p.e164);
    lua_setfield(L, -2, "e164");
    lua_pushboolean(L, p.possible);
    lua_setfield(L, -2, "possible");
    return 1;
}

static const struct bind_fn phone_functions[] = {
    {"parse", bind_phone_parse, BIND_PLAIN, "phone.parse(text [, region]) -> { e164=, possible= } | nil, err",
     "libphonenumber."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_phone(lua_State *L) {
    bind_module(L, phone_functions);
    return 1;
}

/* -- local files: start-up and command line only, blocking --------------------------------------------------------- */

static int bind_file_list(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    DIR *d = opendir(path);
    struct dirent *entry;
    int n = 0;

    if (d == NULL) {
        struct err e;
        err_set(&e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(errno));
        return bind_fail(L, &e);
    }
    lua_newtable(L);
    while ((entry = readdir(d)) != NULL) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        lua_pushstring(L, entry->d_name);
        lua_rawseti(L, -2, ++n);
    }
    closedir(d);
    return 1;
}

static int bind_file_kind(lua_State *L) {
    struct stat st;

    if (lstat(luaL_checkstring(L, 1), &st) != 0)
        lua_pushnil(L);
    else
        lua_pushstring(L, S_ISDIR(st.st_mode) ? "directory" : S_ISREG(st.st_mode) ? "file" : "other");
    return 1;
}

static int bind_file_read(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    FILE *f = fopen(path, "rb");
    struct buf b = {0};
    char chunk[65536];
    size_t n;

    if (f == NULL) {
        struct err e;
        err_set(&e, errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "%s: %s", path, strerror(errno));
        return bind_fail(L, &e);
    }
    while ((n = fread(chunk, 1, sizeof chunk, f)) > 0) buf_add(&b, chunk, n);
    fclose(f);
    lua_pushlstring(L, b.data == NULL ? "" : b.data, b.len);
    buf_free(&b);
    return 1;
}

/* Makes the folders above path that are missing. */
static int make_folders(const char *path) {
    char folder[PATH_MAX];

    if (strlen(path) >= sizeof folder) return -ENAMETOOLONG;
    for (const char *p = strchr(path + 1, '/'); p != NULL; p = strchr(p + 1, '/')) {
        memcpy(folder, path, (size_t)(p - path));
        folder[p - path] = '\0';
        if (mkdir(folder, 0777) < 0 && errno != EEXIST) return -errno;
    }
    return 0;
}

static int bind_file_write(lua_State *L) {
    const char *path = luaL_checkstring(L, 1);
    size_t len;
    const char *bytes = luaL_checklstring(L, 2, &len);
    int rc = *path == '\0' ? -EINVAL : make_folders(path);
    FILE *f = rc == 0 ? fopen(path, "wb") : NULL;

    if (rc == 0 && f == NULL) rc = -errno;
    if (f != NULL) {
        if (fwrite(bytes, 1, len, f) != len) rc = -EIO;
        if (fclose(f) != 0 && rc == 0) rc = -errno;
    }
    if (rc < 0) {
        struct err e;
        err_set(&e, ERR_IO, "%.150s: %s", path, strerror(-rc));
        return bind_fail(L, &e);
    }
    lua_pushboolean(L, 1);
    return 1;
}

static int bind_file_terminal(lua_State *L) {
    lua_pushboolean(L, isatty((int)luaL_checkinteger(L, 1)) == 1);
    return 1;
}

static const struct bind_fn file_functions[] = {
    {"list", bind_file_list, BIND_PLAIN, "file.list(folder) -> names | nil, err",
     "Unsorted. Blocks: for start-up and command line programs."},
    {"kind", bind_file_kind, BIND_PLAIN, "file.kind(path) -> \"file\" | \"directory\" | \"other\" | nil",
     "Does not follow links."},
    {"read", bind_file_read, BIND_PLAIN, "file.read(path) -> bytes | nil, err",
     "Blocks: for start-up and command line programs."},
    {"write", bind_file_write, BIND_PLAIN, "file.write(path, bytes) -> true | nil, err",
     "Makes the folders that are missing. Blocks: for command line programs."},
    {"terminal", bind_file_terminal, BIND_PLAIN, "file.terminal(fd) -> boolean",
     "Whether a person looks at it: 0 input, 1 output, 2 errors."},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_file(lua_State *L) {
    bind_module(L, file_functions);
    return 1;
}

/* -- bundle ----------------------------------------------------------------------------------------------------- */

static int bind_bundle_pack(lua_State *L) {
    struct buf out = {0};
    struct err e = {0};
    size_t n;

    luaL_checktype(L, 1, LUA_TTABLE); /* { { path=, data= } } sorted by the caller */
    n = lua_objlen(L, 1);
    for (size_t i = 1; i <= n; i++) { /* everything that can raise, before we own memory */
        lua_rawgeti(L, 1, (int)i);
        luaL_argcheck(L, lua_istable(L, -1), 1, "a list of { path =, data = }");
        lua_getfield(L, -1, "path");
        luaL_checkstring(L, -1);
        lua_getfield(L, -2, "data");
        luaL_checkstring(L, -1);
        lua_pop(L, 3);
    }
    bundle_begin(&out);
    for (size_t i = 1; i <= n; i++) {
        size_t path_len, len;
        const char *path, *data;
        lua_rawgeti(L, 1, (int)i);
        lua_getfield(L, -1, "path");
        lua_getfield(L, -2, "data");
        path = lua_tolstring(L, -2, &path_len);
        data = lua_tolstring(L, -1, &len);
        if (bundle_add(&out, path, path_len, data, len, &e) < 0) {
            buf_free(&out);
            return bind_fail(L, &e);
        }
        lua_pop(L, 3);
    }
    lua_pushlstring(L, out.data, out.len);
    buf_free(&out);
    return 1;
}

static int bind_bundle_files(lua_State *L) {
    size_t len, at = 0;
    const char *bytes = luaL_checklstring(L, 1, &len);
    struct bundle_file f;
    struct err e = {0};
    int n = 0, rc;

    if (bundle_check(bytes, len, &e) < 0) return bind_fail(L, &e);
    lua_newtable(L);
    while ((rc = bundle_next(bytes, len, &at, &f, &e)) > 0) {
        lua_createtable(L, 0, 2);
        lua_pushlstring(L, f.path, f.path_len);
        lua_setfield(L, -2, "path");
        lua_pushlstring(L, f.data, f.len);
        lua_setfield(L, -2, "data");
        lua_rawseti(L, -2, ++n);
    }
    if (rc < 0) return bind_fail(L, &e);
    return 1;
}

static int bind_bundle_path(lua_State *L) {
    size_t len;
    const char *path = luaL_checklstring(L, 1, &len);
    struct err e = {0};

    if (bundle_path_check(path, len, &e) < 0) return bind_fail(L, &e);
    lua_pushboolean(L, 1);
    return 1;
}

static const struct bind_fn bundle_functions[] = {
    {"pack", bind_bundle_pack, BIND_PLAIN, "bundle.pack{ { path=, data= } } -> bytes | nil, err",
     "Files sorted by path; errors name the file."},
    {"files", bind_bundle_files, BIND_PLAIN, "bundle.files(bytes) -> { { path=, data= } } | nil, err",
     "Checks the whole first."},
    {"check_path", bind_bundle_path, BIND_PLAIN, "bundle.check_path(path) -> true | nil, err", ""},
    {NULL, NULL, 0, NULL, NULL},
};

int bind_open_bundle(lua_State *L) {
    bind_module(L, bundle_functions);
    return 1;
}
