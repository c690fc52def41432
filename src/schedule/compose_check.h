/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The checker of compositions: runs those of all ranks symbolically and proves that they are right.
 *
 * Every collective of a group is taken as what it promises (schedules are proved by check.h). A
 * cell's value is which part of the user's data it is and whose contributions it holds. It proves
 * for one piece that
 *   1. every output holds exactly what the collective promises: nothing twice, nothing lost, every
 *      contribution scaled once (by PREMUL_SUM), sums finished once (by AVG), when they are full;
 *   2. all members of a group come to the same phases of the group in the same order, so that
 *      nobody waits for ever: as many ranks agree about a phase as the group has;
 *   3. members agree about the sizes of blocks, and in a host also about the places of all blocks
 *      that have places in everybody's buffer: executors choose by them;
 *   4. nothing is read that was not written, INPUT is never written (in place: not read either,
 *      once OUTPUT was stored over it), and a collective is given the same memory to read and to
 *      write only where collectives allow it.
 * A barrier is one if everybody ends having heard of everybody.
 */
#ifndef WH_SCHEDULE_COMPOSE_CHECK_H
#define WH_SCHEDULE_COMPOSE_CHECK_H

#include "schedule/compose.h"

/**
 * Checks compositions[0..hosts->nranks-1], those of all ranks for one collective.
 *
 * Errors    WHORL_E_INTERNAL with the first fault in `why`, which is not logged; WHORL_E_NOMEM.
 */
WH_MUST_CHECK whorl_result_t wh_compose_check(struct wh_composition *const *compositions,
                                              const struct wh_hosts *hosts, bool in_place,
                                              char *why, size_t why_nbytes);

#endif
