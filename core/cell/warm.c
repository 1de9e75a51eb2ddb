/* SPDX-License-Identifier: Apache-2.0 */
#include "cell/warm.h"
#include <link.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
enum { MADV_POPULATE_READ = 22 }; /* Linux 5.14; before, it is refused, and pages come as they are used */
#endif
enum { CODE_MAX = 32, HEAP = 28 * 1024, STACK = 8 * 1024, PAGE = 4096 };

static struct {
    char *at;
    size_t len;
} code[CODE_MAX];
static int code_count;

static int add_code(struct dl_phdr_info *info, size_t size, void *arg) {
    (void)size;
    (void)arg;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        if (p->p_type != PT_LOAD || !(p->p_flags & PF_X) || code_count == CODE_MAX) continue;
        uintptr_t from = (info->dlpi_addr + p->p_vaddr) / PAGE * PAGE;
        code[code_count].at = (char *)from;
        code[code_count++].len = info->dlpi_addr + p->p_vaddr + p->p_memsz - from;
    }
    return 0;
}

void warm_prepare(void) {
    dl_iterate_phdr(add_code, NULL);
}

static void touch(volatile char *at, size_t len) {
    for (size_t i = 0; i < len; i += PAGE) at[i] = 0;
}

static void __attribute__((noinline)) touch_stack(void) {
    char deep[STACK];

    touch(deep, sizeof deep);
}

void warm_touch(void) {
    char *heap = malloc(HEAP);

    for (int i = 0; i < code_count; i++) madvise(code[i].at, code[i].len, MADV_POPULATE_READ);
    if (heap) touch(heap, HEAP);
    free(heap);
    touch_stack();
}
