/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/pass.h"

#include "base/bits.h"

uint32_t wh_pass_one_chunk(const struct wh_problem *problem)
{
    (void)problem;
    return 1;
}

uint32_t wh_pass_chunk_per_rank(const struct wh_problem *problem)
{
    return problem->nranks;
}

double wh_pass_count(const struct wh_fabric *fabric, size_t nbytes, double nslots)
{
    size_t pass_nbytes = wh_max_size(1, (size_t)(fabric->slot_nbytes * nslots));
    return (double)wh_max_size(1, wh_div_up(nbytes, pass_nbytes));
}
