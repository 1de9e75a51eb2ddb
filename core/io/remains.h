/* SPDX-License-Identifier: Apache-2.0 */
/* What a process has in memory and not written where it belongs, noted in a file of its own, so that it is not lost with it: others
 * take the file when it has died. Nothing is synced: it outlives the process, not the host.
 *
 * The owner holds a lock on its file (flock), which the kernel takes from the dead; so nobody has to be told who has died, and of
 * several who look one gets the file.
 *
 * Ownership  A file is whoever's who created or took it, until remains_remove() or remains_leave().
 * Threads    One at a time. The calls block as long as a write to memory does: the folder is one that is not on a slow disk.
 */
#pragma once
#include "base/buf.h"
#include "base/err.h"

struct remains;

/* Makes folder when it is missing. name: [A-Za-z0-9._-], not ending in ".new", at most 100; one that no other process has or had, for a
 * file of that name is replaced. */
int remains_create(struct remains **out, const char *folder, const char *name, struct err *e);
/* Another's: ERR_BUSY while its owner lives or somebody has taken it, ERR_NOT_FOUND. */
int remains_take(struct remains **out, const char *folder, const char *name, struct err *e);
int remains_add(struct remains *r, const void *bytes, size_t len, struct err *e); /* whole, or not at all */
int remains_clear(struct remains *r, struct err *e);                              /* nothing is waiting any more */
int remains_read(struct remains *r, size_t limit, struct buf *out, struct err *e);
void remains_remove(struct remains *r);
void remains_leave(struct remains *r); /* it stays, for the next who takes it */
