/* SPDX-License-Identifier: Apache-2.0 */
/* The page, in this order, all offsets fixed when it is made:
 *
 *     struct page | struct series [SERIES_MAX] | texts | column 0 | column 1 | ...        column: beats | cells
 *
 * A series has a place in each column: one cell for its kind, then its values. So a handle is the address of that
 * place, an addition is one compare-and-swap, and exposition reads the same place of all columns.
 *
 * Making a series is the only thing under the lock. It may end at any instruction (kill -9), so nothing counts
 * until series_count has been raised, and what is left to do after that (the index, the chain of a name) is done
 * again by whoever finds the lock's owner dead.
 */
#include "metrics/metrics.h"
#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "metrics/page.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static size_t page_bytes(int columns) {
    return sizeof(struct page) + (size_t)columns * sizeof(struct column);
}

/* Every cell is eight bytes; the sums below need doubles in them. */
static double cell_load(const _Atomic uint64_t *cell) {
    uint64_t bits = atomic_load_explicit(cell, memory_order_relaxed);
    double n;
    memcpy(&n, &bits, sizeof n);
    return n;
}

static void cell_store(_Atomic uint64_t *cell, double n) {
    uint64_t bits;
    memcpy(&bits, &n, sizeof bits);
    atomic_store_explicit(cell, bits, memory_order_relaxed);
}

static void cell_add(_Atomic uint64_t *cell, double n) {
    uint64_t before = atomic_load_explicit(cell, memory_order_relaxed), after;
    do {
        double sum;
        memcpy(&sum, &before, sizeof sum);
        sum += n;
        memcpy(&after, &sum, sizeof after);
    } while (!atomic_compare_exchange_weak_explicit(cell, &before, after, memory_order_relaxed, memory_order_relaxed));
}

/* ---- opening ---- */

static int page_make(struct metrics *m, int columns, struct err *e) {
    pthread_mutexattr_t attr;
    size_t bytes = page_bytes(columns);
    if (ftruncate(m->fd, (off_t)bytes) < 0) return err_set(e, ERR_IO, "metrics: cannot size the page");
    /* A page that shrinks under a mapping kills its readers, so nobody can shrink it. */
    if (fcntl(m->fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return err_set(e, ERR_IO, "metrics: cannot seal the page");
    m->page = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    if (m->page == MAP_FAILED) return err_set(e, ERR_IO, "metrics: cannot map %zu bytes", bytes);
    m->bytes = bytes;

    struct page *page = m->page;
    page->columns = (uint32_t)columns;
    page->version = PAGE_VERSION;
    page->bytes = bytes;
    pthread_mutexattr_init(&attr);
    int rc = pthread_mutexattr_setpshared(&attr, PTHREAD_PROCESS_SHARED);
    if (rc == 0) rc = pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
    if (rc == 0) rc = pthread_mutex_init(&page->lock, &attr);
    pthread_mutexattr_destroy(&attr);
    return rc == 0 ? 0 : err_set(e, ERR_IO, "metrics: cannot make a lock shared by processes");
}

static int page_join(struct metrics *m, int columns, struct err *e) {
    struct stat st;
    if (fstat(m->fd, &st) < 0 || st.st_size < (off_t)sizeof(struct page))
        return err_set(e, ERR_INVALID, "metrics: the descriptor is not a page of metrics");
    m->bytes = (size_t)st.st_size;
    m->page = mmap(NULL, m->bytes, PROT_READ | PROT_WRITE, MAP_SHARED, m->fd, 0);
    if (m->page == MAP_FAILED) return err_set(e, ERR_IO, "metrics: cannot map %zu bytes", m->bytes);
    const struct page *page = m->page;
    if (page->version != PAGE_VERSION || page->columns > COLUMNS_MAX || page->bytes != m->bytes ||
        page_bytes((int)page->columns) != m->bytes)
        return err_set(e, ERR_INVALID, "metrics: the page was made by another version");
    if (columns > 0 && page->columns != (uint32_t)columns)
        return err_set(e, ERR_INVALID, "metrics: the page has %u columns, not %d", page->columns, columns);
    return 0;
}

int metrics_open(struct metrics **out, int fd, int columns, int column, struct err *e) {
    bool fresh = fd < 0;
    if (columns < (fresh ? 1 : 0) || columns > COLUMNS_MAX)
        return err_set(e, ERR_INVALID, "metrics: columns must be 1 to %d", COLUMNS_MAX);

    struct metrics *m = mem_alloc(sizeof *m);
    m->page = MAP_FAILED;
    /* A copy: the caller's descriptor stays the caller's. */
    m->fd = fresh ? memfd_create("parley-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING) : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    int rc = 0;
    if (m->fd < 0) rc = err_set(e, ERR_IO, "metrics: cannot open the page");
    if (rc == 0) rc = fresh ? page_make(m, columns, e) : page_join(m, columns, e);
    if (rc == 0 && (column < 0 || column >= (int)m->page->columns))
        rc = err_set(e, ERR_INVALID, "metrics: there is no column %d", column);
    if (rc < 0) {
        metrics_close(m);
        return rc;
    }
    m->column = &m->page->column[column];
    m->sink.kind = KIND_HISTOGRAM;
    m->dropped = metrics_counter(m, "metrics_dropped_total", "", "Series that were asked for and could not be made");
    *out = m;
    return 0;
}

int metrics_fd(const struct metrics *m) {
    return m->fd;
}

void metrics_close(struct metrics *m) {
    if (m == NULL) return;
    if (m->page != MAP_FAILED) munmap(m->page, m->bytes);
    if (m->fd >= 0) close(m->fd);
    free(m);
}

/* ---- finding and making series ---- */

/* FNV-1a over "name NUL labels". */
static uint64_t hash_of(const char *name, const char *labels) {
    uint64_t h = 14695981039346656037u;
    for (const char *at = name; *at; at++) h = (h ^ (unsigned char)*at) * 1099511628211u;
    h *= 1099511628211u;
    for (const char *at = labels; *at; at++) h = (h ^ (unsigned char)*at) * 1099511628211u;
    return h;
}

static bool is_series(const struct page *page, const struct series *s, uint64_t hash, const char *name,
                      const char *labels) {
    return s->hash == hash && strcmp(page->texts + s->name, name) == 0 && strcmp(page->texts + s->labels, labels) == 0;
}

/* The index is open addressing; an entry is a series' number + 1 and is never taken out. */
static const struct series *find(const struct page *page, uint64_t hash, const char *name, const char *labels) {
    for (uint64_t at = hash;; at++) {
        uint32_t entry = atomic_load_explicit(&page->index[at % INDEX_SIZE], memory_order_acquire);
        if (entry == 0) return NULL; /* the index is twice as large as the number of series: there is always a gap */
        const struct series *s = &page->series[entry - 1];
        if (is_series(page, s, hash, name, labels)) return s;
    }
}

/* Puts series n into the index and into the chain of its name. Doing it twice does nothing. */
static void publish(struct page *page, uint32_t n) {
    struct series *s = &page->series[n];
    for (uint64_t at = s->hash;; at++) {
        _Atomic uint32_t *entry = &page->index[at % INDEX_SIZE];
        if (*entry == n + 1) break;
        if (*entry == 0) {
            atomic_store_explicit(entry, n + 1, memory_order_release);
            break;
        }
    }
    if (s->first == n) return;
    struct series *head = &page->series[s->first], *last = &page->series[head->last];
    while (last->next) last = &page->series[last->next];
    if (last != s) atomic_store_explicit(&last->next, n, memory_order_release);
    head->last = n;
}

static bool lock(struct page *page) {
    int rc = pthread_mutex_lock(&page->lock);
    if (rc == EOWNERDEAD) {
        /* It died making the newest series: either it does not count yet, or it only has to be published. */
        if (page->series_count) publish(page, page->series_count - 1);
        rc = pthread_mutex_consistent(&page->lock);
    }
    return rc == 0;
}

static uint32_t text_put(struct page *page, const char *text) {
    uint32_t at = page->texts_used;
    size_t len = strlen(text) + 1;
    memcpy(page->texts + at, text, len);
    page->texts_used += (uint32_t)len;
    return at;
}

static uint32_t cells_of(enum kind kind) {
    return 1 + (kind == KIND_HISTOGRAM ? HISTOGRAM_CELLS : 1);
}

/* Under the lock. NULL: no room, or the name already belongs to another kind. */
static const struct series *make(struct page *page, enum kind kind, uint64_t hash, const char *name, const char *labels,
                                 const char *help) {
    uint32_t n = page->series_count, first = n;
    for (uint32_t i = 0; i < n; i++) {
        if (strcmp(page->texts + page->series[i].name, name) != 0) continue;
        if (page->series[i].kind != kind) return NULL;
        first = i; /* the oldest of the name: the others point to it */
        break;
    }
    size_t texts = strlen(labels) + 1 + (first == n ? strlen(name) + strlen(help) + 2 : 0);
    if (n == SERIES_MAX || page->texts_used + texts > TEXT_BYTES) return NULL;
    if (page->cells_used + cells_of(kind) > CELLS_MAX) return NULL;

    struct series *s = &page->series[n];
    *s = (struct series){.hash = hash, .kind = kind, .first = first, .last = n};
    s->cell = page->cells_used;
    page->cells_used += cells_of(kind);
    s->name = first == n ? text_put(page, name) : page->series[first].name;
    s->help = first == n ? text_put(page, help) : page->series[first].help;
    s->labels = text_put(page, labels);
    atomic_store_explicit(&page->series_count, n + 1, memory_order_release);
    publish(page, n);
    return s;
}

/* What may stand in an exposition without making it unreadable. */
static bool name_fits(const char *name) {
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:";
    if (*name == '\0' || strchr(letters, *name) == NULL) return false;
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_:0123456789") == strlen(name);
}

static bool text_fits(const char *text) {
    size_t len = strlen(text);
    if (len > TEXT_MAX || !str_is_utf8(text, len)) return false;
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20) return false;
    return true;
}

static struct metric *metric_of(struct metrics *m, enum kind kind, const char *name, const char *labels,
                                const char *help) {
    const struct series *s = NULL;
    if (labels == NULL) labels = "";
    if (help == NULL) help = "";
    if (name_fits(name) && text_fits(name) && text_fits(labels) && text_fits(help)) {
        uint64_t hash = hash_of(name, labels);
        s = find(m->page, hash, name, labels);
        if (s == NULL && lock(m->page)) {
            s = find(m->page, hash, name, labels); /* another process may have been faster */
            if (s == NULL) s = make(m->page, kind, hash, name, labels, help);
            pthread_mutex_unlock(&m->page->lock);
        }
    }
    if (s == NULL || s->kind != kind) {
        if (m->dropped) metric_add(m->dropped, 1);
        return &m->sink; /* takes all and shows nothing, so that callers need no other path */
    }
    struct metric *metric = (struct metric *)&m->column->cells[s->cell];
    atomic_store_explicit(&metric->kind, kind, memory_order_relaxed);
    return metric;
}

struct metric *metrics_counter(struct metrics *m, const char *name, const char *labels, const char *help) {
    return metric_of(m, KIND_COUNTER, name, labels, help);
}

struct metric *metrics_gauge(struct metrics *m, const char *name, const char *labels, const char *help) {
    return metric_of(m, KIND_GAUGE, name, labels, help);
}

struct metric *metrics_histogram(struct metrics *m, const char *name, const char *labels, const char *help) {
    return metric_of(m, KIND_HISTOGRAM, name, labels, help);
}

/* ---- values ---- */

void metric_add(struct metric *s, double n) {
    if (!isfinite(n) || s->kind == KIND_HISTOGRAM) return;
    if (s->kind == KIND_COUNTER && n < 0) return; /* a counter that falls looks like a restart */
    cell_add(&s->cells[0], n);
}

void metric_set(struct metric *s, double n) {
    if (s->kind == KIND_GAUGE) cell_store(&s->cells[0], n);
}

void metric_observe(struct metric *s, double value) {
    if (s->kind != KIND_HISTOGRAM || !isfinite(value)) return;
    int bucket = 0;
    for (double bound = FIRST_BOUND; bucket < BUCKETS && value > bound; bound *= 2) bucket++;
    cell_add(&s->cells[bucket], 1);
    cell_add(&s->cells[BUCKETS + 1], value);
}

double metric_value(const struct metric *s) {
    if (s->kind != KIND_HISTOGRAM) return cell_load(&s->cells[0]);
    double count = 0;
    for (int i = 0; i <= BUCKETS; i++) count += cell_load(&s->cells[i]);
    return count;
}

void metrics_reset_column(struct metrics *m, int column) {
    if (column < 0 || column >= (int)m->page->columns) return;
    struct column *c = &m->page->column[column];
    uint32_t count = atomic_load_explicit(&m->page->series_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct series *s = &m->page->series[i];
        if (s->kind == KIND_GAUGE) cell_store(&c->cells[s->cell + 1], 0);
    }
    c->beats[BEAT_LOOP].at_ms = 0; /* the next worker in this column has not beaten yet */
    c->beats[BEAT_MEDIA].at_ms = 0;
}

void metrics_beat(struct metrics *m, enum beat which) {
    struct beat_cell *beat = &m->column->beats[which];
    struct timespec cpu;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &cpu);
    beat->thread = (uint64_t)gettid();
    beat->cpu_ms = (uint64_t)cpu.tv_sec * 1000 + (uint64_t)cpu.tv_nsec / 1000000;
    beat->at_ms = clock_mono_ms();
}

struct heartbeat metrics_last_beat(const struct metrics *m, int column, enum beat which) {
    if (column < 0 || column >= (int)m->page->columns) return (struct heartbeat){0};
    const struct beat_cell *beat = &m->page->column[column].beats[which];
    return (struct heartbeat){.at_ms = beat->at_ms, .cpu_ms = beat->cpu_ms, .thread = (int)beat->thread};
}

double metrics_sum(const struct metrics *m, const struct series *s, int value) {
    double sum = 0;
    for (uint32_t i = 0; i < m->page->columns; i++)
        sum += cell_load(&m->page->column[i].cells[s->cell + 1 + (uint32_t)value]);
    return sum;
}
