/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/lint.h"
#include <ctype.h>
#include <stdbool.h>
#include <string.h>

enum kind { END, NAME, NUMBER, TEXT, OTHER };

struct word {
    enum kind kind;
    const char *at;
    size_t len; /* TEXT: between its quotes */
    int line;   /* where it starts */
    bool plain; /* TEXT: without escapes */
};

struct reader {
    const char *at, *end;
    int line;
};

/* Passes over one character, or one line's end: a carriage return is one for LuaJIT too, and so are both in either order. */
static void pass(struct reader *r) {
    char c = *r->at++;

    if (c != '\n' && c != '\r') return;
    r->line++;
    if (r->at < r->end && *r->at == (c == '\n' ? '\r' : '\n')) r->at++;
}

/* LuaJIT passes over a first line that begins with #, behind a byte order mark if there is one. */
static struct reader reader(const char *source, size_t len) {
    struct reader r = {.at = source, .end = source + len, .line = 1};

    if (len >= 3 && memcmp(source, "\xef\xbb\xbf", 3) == 0) r.at += 3;
    if (r.at < r.end && *r.at == '#')
        while (r.at < r.end && *r.at != '\n' && *r.at != '\r') r.at++;
    return r;
}

/* [==[ at r->at: how many =, or -1 when it is no long bracket. */
static int long_bracket(const struct reader *r) {
    const char *p = r->at + 1;

    while (p < r->end && *p == '=') p++;
    return p < r->end && *p == '[' ? (int)(p - r->at - 1) : -1;
}

static void skip_long(struct reader *r, int level, struct word *w) {
    r->at += level + 2;
    w->at = r->at;
    w->plain = true; /* but for a first newline, which no name has */
    while (r->at < r->end) {
        const char *p = r->at + 1;
        pass(r);
        if (p[-1] != ']') continue;
        while (p < r->end && *p == '=') p++;
        if (p < r->end && *p == ']' && p - r->at == level) {
            w->len = (size_t)(r->at - 1 - w->at);
            r->at = p + 1;
            return;
        }
    }
    w->len = (size_t)(r->at - w->at);
}

static void skip_quoted(struct reader *r, struct word *w) {
    char quote = *r->at++;

    w->at = r->at;
    w->plain = true;
    while (r->at < r->end && *r->at != quote) {
        if (*r->at == '\\') {
            w->plain = false;
            if (++r->at == r->end) break;
        }
        pass(r);
    }
    w->len = (size_t)(r->at - w->at);
    if (r->at < r->end) r->at++;
}

static bool in_name(char c) {
    return isalnum((unsigned char)c) || c == '_' || (c & 0x80);
}

/* As LuaJIT's lexer takes a number together, whether it is one or not. */
static void skip_number(struct reader *r) {
    char last = *r->at++, exponent = 'e';

    if (last == '0' && r->at < r->end && (*r->at | 0x20) == 'x') {
        exponent = 'p';
        r->at++;
    }
    while (r->at < r->end &&
           (in_name(*r->at) || *r->at == '.' || ((*r->at == '+' || *r->at == '-') && (last | 0x20) == exponent)))
        last = *r->at++;
}

static struct word next(struct reader *r) {
    struct word w = {.kind = OTHER};

    for (;;) {
        while (r->at < r->end && isspace((unsigned char)*r->at)) pass(r);
        if (r->end - r->at < 2 || r->at[0] != '-' || r->at[1] != '-') break;
        r->at += 2;
        int level = r->at < r->end && *r->at == '[' ? long_bracket(r) : -1;
        if (level >= 0)
            skip_long(r, level, &w);
        else
            while (r->at < r->end && *r->at != '\n' && *r->at != '\r') r->at++;
    }
    w = (struct word){.kind = OTHER, .at = r->at, .len = 1, .line = r->line};
    if (r->at >= r->end) {
        w.kind = END;
        w.len = 0;
    } else if (isdigit((unsigned char)*r->at) ||
               (*r->at == '.' && r->end - r->at > 1 && isdigit((unsigned char)r->at[1]))) {
        w.kind = NUMBER;
        skip_number(r);
        w.len = (size_t)(r->at - w.at);
    } else if (in_name(*r->at)) {
        w.kind = NAME;
        while (r->at < r->end && in_name(*r->at)) r->at++;
        w.len = (size_t)(r->at - w.at);
    } else if (*r->at == '"' || *r->at == '\'') {
        w.kind = TEXT;
        skip_quoted(r, &w);
    } else if (*r->at == '[' && long_bracket(r) >= 0) {
        w.kind = TEXT;
        skip_long(r, long_bracket(r), &w);
    } else if (*r->at == '.') { /* all of .. and ... at once: a number may follow, and theirs would be no part of it */
        while (r->at < r->end && *r->at == '.' && r->at - w.at < 3) r->at++;
        w.len = (size_t)(r->at - w.at);
    } else {
        r->at++;
    }
    return w;
}

static bool is(struct word w, const char *text) {
    return w.kind != TEXT && w.len == strlen(text) && memcmp(w.at, text, w.len) == 0;
}

static bool opens(struct word w) {
    return is(w, "function") || is(w, "do") || is(w, "if") || is(w, "repeat");
}

static bool closes(struct word w) {
    return is(w, "end") || is(w, "until");
}

/* Leaves a reader behind the word `function` that starts on line first and whose end is on line last. */
static bool find_function(struct reader *r, int first, int last) {
    struct reader outer = *r, body;
    int found = 0;

    for (;;) {
        struct word w = next(&outer);
        if (w.kind == END || w.line > first) break;
        if (w.line != first || !is(w, "function")) continue;
        struct reader inner = outer;
        int depth = 1;
        while (depth) {
            w = next(&inner);
            if (w.kind == END) break;
            depth += opens(w) ? 1 : closes(w) ? -1 : 0;
        }
        if (depth == 0 && w.line == last && found++ == 0) body = outer;
        if (found > 1) break;
    }
    if (found != 1) return false;
    *r = body;
    return true;
}

struct finding {
    lint_found_cb found; /* for literals, or */
    void *ud;
    const char *method; /* the method looked for */
    int line, count;
};

/* Walks one function's own statements. */
static void walk(const char *source, size_t len, int first, int last, struct finding *f) {
    struct reader r = reader(source, len);
    int depth = 1, inner = 0; /* blocks open; depth at which a function within began, or 0 */

    if (!find_function(&r, first, last)) return;
    for (struct word w = next(&r); w.kind != END && depth > 0; w = next(&r)) {
        if (opens(w)) {
            depth++;
            if (!inner && is(w, "function")) inner = depth;
        } else if (closes(w)) {
            if (depth == inner) inner = 0;
            depth--;
        }
        if (inner || !is(w, "return")) continue;
        struct reader ahead = r;
        struct word value = next(&ahead), behind = next(&ahead), name = next(&ahead);
        if (f->found && value.kind == TEXT && value.plain &&
            (behind.kind == END || closes(behind) || is(behind, "else") || is(behind, "elseif") || is(behind, ";")))
            f->found(f->ud, value.line, value.at, value.len);
        if (f->method && value.kind == NAME && is(behind, ":") && is(name, f->method)) {
            f->line = name.line;
            f->count++;
        }
    }
}

void lint_returns(const char *source, size_t len, int first, int last, lint_found_cb found, void *ud) {
    struct finding f = {.found = found, .ud = ud};
    walk(source, len, first, last, &f);
}

int lint_tail_call(const char *source, size_t len, int first, int last, const char *method) {
    struct finding f = {.method = method};
    walk(source, len, first, last, &f);
    return f.count == 1 ? f.line : 0;
}

int lint_file_return(const char *source, size_t len) {
    struct reader r = reader(source, len);
    int depth = 0, line = 1;

    for (struct word w = next(&r); w.kind != END; w = next(&r)) {
        depth += opens(w) ? 1 : closes(w) ? -1 : 0;
        if (depth == 0 && is(w, "return")) line = w.line;
    }
    return line;
}

int lint_ffi_number(const char *source, size_t len) {
    struct reader r = reader(source, len);

    for (struct word w = next(&r); w.kind != END; w = next(&r)) {
        if (w.kind != NUMBER) continue;
        char last = (char)(w.at[w.len - 1] | 0x20);
        if (last == 'l' || last == 'u' || last == 'i') return w.line; /* LuaJIT takes LLU as it takes ULL */
    }
    return 0;
}
