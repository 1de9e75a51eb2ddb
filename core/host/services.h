/* SPDX-License-Identifier: Apache-2.0 */
/* Opens what a platform VM can reach, as far as the configuration names it. */
#pragma once
#include "bind/vm.h"

/* Fills *s (loop, config, metrics and names are the caller's). Errors name the setting. */
int services_open(struct vm_services *s, struct err *e);
