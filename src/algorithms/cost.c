/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/cost.h"

#include <assert.h>

double wh_cost_ns(const struct wh_fabric *fabric, const struct wh_work *work)
{
    assert(fabric->ranks_per_core >= 1);

    double nbeside = work->nmessages > work->nhops ? work->nmessages - work->nhops : 0.0;
    return work->nhops * (double)fabric->ranks_per_core * fabric->message_ns +
           nbeside * fabric->message_ns + work->moved_nbytes * fabric->byte_ns +
           work->reduced_nbytes * fabric->reduce_byte_ns +
           work->turns_nbytes * fabric->turn_byte_ns;
}
