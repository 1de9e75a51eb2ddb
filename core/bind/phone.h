/* SPDX-License-Identifier: Apache-2.0 */
/* Phone numbers, by libphonenumber. */
#pragma once
#include <stdbool.h>
#include <stddef.h>
#ifdef __cplusplus
extern "C" {
#endif
struct phone {
    char e164[32];
    bool possible; /* its length fits. Whether its pattern is in use costs as much again to say, and nobody asks */
};
/* region: for numbers in national form, or NULL. 0, or -1 when text is no phone number at all. Not thread safe at first use. */
int phone_parse(const char *text, size_t len, const char *region, struct phone *out);
#ifdef __cplusplus
}
#endif
