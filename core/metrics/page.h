/* SPDX-License-Identifier: Apache-2.0 */
/* How the shared page of metrics lies in memory. Only for the files of this folder.
 * Whoever changes it changes PAGE_VERSION: an old worker and a new one may meet on one page. */
#pragma once
#include "metrics/metrics.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PAGE_VERSION = 0x4D455402,
    COLUMNS_MAX = 256,
    SERIES_MAX = 8192,
    INDEX_SIZE = 2 * SERIES_MAX,
    TEXT_BYTES = 1 << 20,
    TEXT_MAX = 1000,               /* bytes in a name, a label set or a help text */
    CELLS_MAX = 1 << 16,           /* per column: 512 KiB, of which only what is used becomes memory */
    BUCKETS = 16,                  /* and one more for +Inf */
    HISTOGRAM_CELLS = BUCKETS + 2, /* buckets, +Inf, sum */
};
#define FIRST_BOUND 0.001

enum kind { KIND_COUNTER = 1, KIND_GAUGE, KIND_HISTOGRAM };

struct series {
    uint64_t hash;
    uint32_t kind;
    uint32_t name, labels, help; /* offsets into texts */
    uint32_t cell;               /* its place in each column */
    uint32_t first;              /* the oldest series of the same name (its own number, when it is that) */
    uint32_t last;               /* in the oldest only: near the end of the chain; under the lock */
    _Atomic uint32_t next;       /* the next of the same name, 0 at the end */
};

/* A series' place in one column, and the handle to it. A counter or gauge has room for one value only. */
struct metric {
    _Atomic uint64_t kind;
    _Atomic uint64_t cells[HISTOGRAM_CELLS];
};

struct beat_cell {
    _Atomic uint64_t at_ms, cpu_ms, thread;
};

struct column {
    struct beat_cell beats[2];
    _Atomic uint64_t cells[CELLS_MAX];
};

struct page {
    uint32_t version, columns;
    uint64_t bytes;
    pthread_mutex_t lock;
    _Atomic uint32_t series_count;
    uint32_t texts_used, cells_used; /* under the lock */
    _Atomic uint32_t index[INDEX_SIZE];
    struct series series[SERIES_MAX];
    char texts[TEXT_BYTES];
    struct column column[];
};

struct metrics {
    int fd; /* ours */
    size_t bytes;
    struct page *page; /* ours to unmap; the memory is everybody's */
    struct column *column;
    struct metric *dropped;
    struct metric sink; /* takes the values of what could not be made */
};

/* The value-th cell of a series, summed over all columns. */
double metrics_sum(const struct metrics *m, const struct series *s, int value);
