/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/warm.h"
#include "base/clock.h"
#include "cell/rehearsal.h"
#include <link.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
enum {
    MADV_POPULATE_READ = 22,
    MADV_POPULATE_WRITE = 23
}; /* Linux 5.14; before, they are refused, and pages come as they are used */
#endif
enum { READ_MAX = 64, WRITTEN_MAX = 128, HEAP = 32 * 1024, STACK = 8 * 1024, PAGE = 4096 };

static struct {
    char *at;
    size_t len;
} read_only[READ_MAX]; /* code and constants of the program and its libraries */
static int read_only_count;
static struct written written[WRITTEN_MAX];
static int written_count;

static int add_read_only(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || p->p_flags & PF_W || read_only_count == READ_MAX) continue;
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) / PAGE * PAGE;
        read_only[read_only_count].at = (char *)from;
        read_only[read_only_count++].len = info->dlpi_addr + p->p_vaddr + p->p_memsz - from;
    }
    return 0;
}

void warm_prepare(const struct cell_opts *opts) {
    dl_iterate_phdr(add_read_only, NULL);
    written_count = rehearsal_run(opts, written, WRITTEN_MAX);
}

/* A page that is mapped may still cost its first use something: under a hypervisor that keeps page tables of its own, more than all else. */
static void __attribute__((no_sanitize_address))
use(const volatile char *at, size_t len) { /* gaps between things too */
    for (size_t i = 0; i < len; i += PAGE) (void)at[i];
}

static void write_to(volatile char *at, size_t len) {
    for (size_t i = 0; i < len; i += PAGE) at[i] = at[i]; /* somebody's */
}

static void write_new(volatile char *at, size_t len) {
    for (size_t i = 0; i < len; i += PAGE) at[i] = 0;
}

static void __attribute__((noinline)) touch_stack(void) {
    char deep[STACK];

    write_new(deep, sizeof deep);
}

void warm_touch(struct cell_page *page) {
    char *heap = malloc(HEAP);

    for (int i = 0; i < read_only_count; i++)
        if (madvise(read_only[i].at, read_only[i].len, MADV_POPULATE_READ) == 0) use(read_only[i].at, read_only[i].len);
    for (int i = 0; i < written_count; i++)
        if (madvise(written[i].at, written[i].len, MADV_POPULATE_WRITE) == 0) write_to(written[i].at, written[i].len);
    if (heap) write_new(heap, HEAP);
    free(heap);
    touch_stack();
    write_to((volatile char *)page, sizeof *page);
    clock_mono_us(); /* it has a page of its own */
}
