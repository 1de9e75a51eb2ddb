/* SPDX-License-Identifier: Apache-2.0 */
/* The versions of its bundle that a cell has loaded. */
#pragma once
#include "base/err.h"
#include "cell/cover.h"
#include "cell/program.h"
#include <stddef.h>

/* A version of the bundle; kept while loaded. */
struct version {
    struct version *next;
    char name[129];
    void *bytes; /* mapped */
    size_t len;
    struct cover *cover;     /* ours; NULL unless somebody asked which lines run */
    struct program *program; /* the one new visits start in */
    struct worn *worn;       /* programs whose own data fills the memory: they end with the last visit in them */
};
struct worn {
    struct worn *next;
    struct program *program;
};

/* NULL when it is not loaded. */
struct version *version_find(const char *name);
/* Loads one from a sealed memory file. 0, or the reason in e. */
int version_load(const char *name, int fd, struct err *e);
/* No run is in it any more. */
void version_unload(struct version *v);
/* The stubs of verbs, packed, that programs begun from now on have. */
void version_verbs(const char *list, size_t len);
/* The program that new visits start in, made when there is none. */
struct program *version_program(struct version *v);
/* Worn programs without a run go. */
void version_sweep(struct version *v);
/* After a run was stopped for its memory: when what is left is the files' own data, new visits get a fresh program. */
void version_relieve(struct version *v);
