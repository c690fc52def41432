/* SPDX-License-Identifier: Apache-2.0 */
/* Random bytes from the kernel, for secrets and names. */
#ifndef WH_BASE_RANDOM_H
#define WH_BASE_RANDOM_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stddef.h>

/** Fills bytes from getrandom(). WHORL_E_SYS if the kernel has none. */
WH_MUST_CHECK whorl_result_t wh_random(void *bytes, size_t nbytes);

#endif
