/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The front of a call: that ranks find out in any case if they called different things.
 *
 * In the host all ranks *meet*: a barrier in the arena, unless the first operation there is one in
 * which everyone waits for everyone. Between hosts the first ranks of all hosts *greet* each other
 * in a circle: one message without data to the next, one from the one before, unless what goes over
 * their rail finds it out by itself. README.md says why that is enough.
 */
#include "executor/hier/internal.h"

#include "base/log.h"

/* Numbers in the place of the algorithm's; number_part() of part.c does not reach them. */
enum { NUMBER_MEETING = 252, NUMBER_GREETING = 253 };

/* Does every rank wait in it until all others have come? In the others some wait for the root only,
 * or for nobody. */
static bool has_all_meet(enum wh_coll coll)
{
    return !wh_coll_has_root(coll);
}

static bool has_to_meet(const struct wh_hier *hier)
{
    const struct wh_hosts *hosts = hier->env.hosts;
    if (wh_hosts_nlocal(hosts, hosts->host[hier->env.rank]) == 1) {
        return false;
    }
    const struct wh_composition *k = hier->run.composition;
    bool has_before = k->nphases > 0 && k->phases[0].place == WH_PHASE_BEFORE;
    return !has_before || !has_all_meet(k->phases[0].coll);
}

/* What goes over the rail first. */
static const struct wh_phase *find_across(const struct wh_composition *k)
{
    for (uint32_t i = 0; i < k->nphases; i++) {
        if (k->phases[i].place == WH_PHASE_ACROSS) {
            return &k->phases[i];
        }
    }
    return NULL;
}

whorl_result_t hier_front_begin(struct wh_hier *hier)
{
    struct hier_run *run = &hier->run;
    run->meeting = has_to_meet(hier) ? HIER_FRONT_DUE : HIER_FRONT_NONE;
    run->greeting = HIER_FRONT_NONE;
    if (hier->env.hosts->local[hier->env.rank] > 0) {
        return WHORL_OK;
    }
    bool finds_out = false;
    whorl_result_t rc = WHORL_OK;
    const struct wh_phase *across = find_across(run->composition);
    if (across != NULL) {
        hier_part_make(hier, &hier->rail_part, across, 0, 0);
        rc = hier_set_plan(hier, across, &hier->rail_part);
        finds_out = hier->rail_part.finds_out;
    }
    run->greeting = finds_out ? HIER_FRONT_NONE : HIER_FRONT_DUE;
    return rc;
}

static void make_part(const struct wh_hier *hier, uint8_t number, struct hier_part *part)
{
    const struct hier_run *run = &hier->run;
    part->coll = WH_COLL_BARRIER;
    part->as = run->signature;
    part->as.algo = number;
    part->op = (struct wh_op){.dtype = run->op->dtype, .seq = run->op->seq, .as = &part->as};
    part->op.redop = WH_REDOP_NONE;
}

void hier_front_make_meeting(const struct wh_hier *hier, struct hier_part *part)
{
    make_part(hier, NUMBER_MEETING, part);
}

/* A schedule without any step of its own: what sealing adds is the greeting. */
static whorl_result_t make_plan(struct wh_hier *hier)
{
    const struct wh_hosts *hosts = hier->env.hosts;
    const struct wh_problem problem = {
        WH_COLL_BARRIER, hosts->host[hier->env.rank], hosts->nhosts, 0};
    struct wh_sched *sched;
    whorl_result_t rc = wh_builder_seal(wh_builder_create(&problem, "greeting", 1), &sched);
    if (rc == WHORL_OK) {
        rc = wh_plan_create(sched, hier->env.wire, hier->rail_ranks, &hier->greeting);
    }
    return rc;
}

whorl_result_t hier_front_make_greeting(struct wh_hier *hier, struct hier_part *part)
{
    make_part(hier, NUMBER_GREETING, part);
    whorl_result_t rc = hier->greeting == NULL ? make_plan(hier) : WHORL_OK;
    part->plan = hier->greeting;
    return rc;
}
