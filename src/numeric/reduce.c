/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which table of kernels this CPU gets. A new instruction set is a file reduce_<isa>.c and a row
 * below; the row's test must be a pure question to the CPU, so that the answer is the same in every
 * thread and no state has to be kept.
 */
#include "numeric/reduce.h"

#include <stdbool.h>

struct isa_row {
    const struct wh_kernels *kernels;
    bool (*runs_here)(void);
};

static bool runs_everywhere(void)
{
    return true;
}

/* Best first. The last row runs everywhere. */
static const struct isa_row isas[] = {
    {&wh_kernels_scalar, runs_everywhere},
};

const struct wh_kernels *wh_kernels_get(void)
{
    const struct isa_row *row = isas;
    while (!row->runs_here()) {
        row++;
    }
    return row->kernels;
}
