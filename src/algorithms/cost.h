/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an algorithm costs: it counts its work along the busiest path, this turns counts into time.
 *
 * A hop is a message that somebody waits for before anything else can go on. With several ranks on
 * a core the one who is waited for may first have to get its turn, so a hop costs
 * ranks_per_core * message_ns. A message that is under way beside others costs message_ns, the time
 * to hand it over. byte_ns and reduce_byte_ns are taken as they are: they are measured while all
 * ranks run.
 */
#ifndef WH_ALGORITHMS_COST_H
#define WH_ALGORITHMS_COST_H

#include "algorithms/algo.h"

struct wh_work {
    double nhops;          /* messages that follow from one another, first to last */
    double nmessages;      /* all messages of the busiest path, hops included */
    double moved_nbytes;   /* bytes in these messages */
    double reduced_nbytes; /* bytes combined on that path */
    double turns_nbytes;   /* of moved_nbytes: where a rank sends to several others by turns */
};

/** nhops * ranks_per_core * message_ns + (nmessages - nhops) * message_ns
 *  + moved_nbytes * byte_ns + reduced_nbytes * reduce_byte_ns
 *  + turns_nbytes * turn_byte_ns. */
double wh_cost_ns(const struct wh_fabric *fabric, const struct wh_work *work);

#endif
