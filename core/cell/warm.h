/* SPDX-License-Identifier: Apache-2.0 */
/* What every flow touches, touched by a cell while it waits for its tenant: a page that is first used while a caller waits costs
 * some microseconds each, of which a first flow has about fifty. */
#pragma once

/* In the zygote: finds where the program's code lies. */
void warm_prepare(void);
/* In a cell that waits. Takes no more memory than its first flow would. */
void warm_touch(void);
