/* SPDX-License-Identifier: Apache-2.0 */
/* The page as Prometheus text 0.0.4. Takes no lock: a series made meanwhile shows up in the next answer. */
#include "base/buf.h"
#include "metrics/page.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The shortest text that reads back as the same number. */
static void add_number(struct buf *out, double n) {
    char text[32];
    if (isnan(n) || isinf(n)) {
        buf_add_str(out, isnan(n) ? "NaN" : n > 0 ? "+Inf" : "-Inf");
        return;
    }
    snprintf(text, sizeof text, "%.15g", n);
    if (strtod(text, NULL) != n) snprintf(text, sizeof text, "%.17g", n);
    buf_add_str(out, text);
}

/* name_suffix{labels,extra} value */
static void add_sample(struct buf *out, const char *name, const char *suffix, const char *labels, const char *extra,
                       double value) {
    buf_printf(out, "%s%s", name, suffix);
    if (*labels || *extra) buf_printf(out, "{%s%s%s}", labels, *labels && *extra ? "," : "", extra);
    buf_add_str(out, " ");
    add_number(out, value);
    buf_add_str(out, "\n");
}

static void add_histogram(struct metrics *m, const struct series *s, const char *name, const char *labels,
                          struct buf *out) {
    double seen = 0, bound = FIRST_BOUND;
    char le[48];
    for (int i = 0; i < BUCKETS; i++, bound *= 2) {
        seen += metrics_sum(m, s, i);
        snprintf(le, sizeof le, "le=\"%.6g\"", bound);
        add_sample(out, name, "_bucket", labels, le, seen);
    }
    seen += metrics_sum(m, s, BUCKETS);
    add_sample(out, name, "_bucket", labels, "le=\"+Inf\"", seen);
    add_sample(out, name, "_sum", labels, "", metrics_sum(m, s, BUCKETS + 1));
    add_sample(out, name, "_count", labels, "", seen); /* one source for both, so that they never differ */
}

static void add_head(const struct page *page, const struct series *s, struct buf *out) {
    static const char *const kinds[] = {"untyped", "counter", "gauge", "histogram"};
    const char *name = page->texts + s->name, *help = page->texts + s->help;
    if (*help) {
        buf_printf(out, "# HELP %s ", name);
        for (const char *at = help; *at; at++) buf_add(out, *at == '\\' ? "\\\\" : at, *at == '\\' ? 2 : 1);
        buf_add_str(out, "\n");
    }
    buf_printf(out, "# TYPE %s %s\n", name, kinds[s->kind]);
}

void metrics_write(struct metrics *m, struct buf *out) {
    const struct page *page = m->page;
    uint32_t count = atomic_load_explicit(&page->series_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        if (page->series[i].first != i) continue; /* written with the oldest of its name: a name must not come twice */
        add_head(page, &page->series[i], out);
        for (uint32_t at = i;;) {
            const struct series *s = &page->series[at];
            const char *name = page->texts + s->name, *labels = page->texts + s->labels;
            if (s->kind == KIND_HISTOGRAM)
                add_histogram(m, s, name, labels, out);
            else
                add_sample(out, name, "", labels, "", metrics_sum(m, s, 0));
            at = atomic_load_explicit(&s->next, memory_order_acquire);
            if (at == 0) break;
        }
    }
}
