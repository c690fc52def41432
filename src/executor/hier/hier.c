/* SPDX-License-Identifier: Apache-2.0 */
/* A call of several hosts: its pieces, and whose turn it is in the arena and on the rail. */
#include "executor/hier/hier.h"

#include "base/bits.h"
#include "base/log.h"
#include "executor/hier/internal.h"
#include "numeric/dtype.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- life ------------------------------------------------------------------------------------ */

static whorl_result_t find_rail(struct wh_hier *hier)
{
    const struct wh_hosts *hosts = hier->env.hosts;
    if (hosts->local[hier->env.rank] >= hosts->nrails) {
        return WHORL_OK;
    }
    hier->rail_ranks = malloc(hosts->nhosts * sizeof(*hier->rail_ranks));
    if (hier->rail_ranks == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for a rail of %u hosts",
                       hosts->nhosts);
    }
    for (uint32_t h = 0; h < hosts->nhosts; h++) {
        hier->rail_ranks[h] = wh_phase_group_rank(hosts, hier->env.rank, WH_PHASE_ACROSS, h);
    }
    return WHORL_OK;
}

whorl_result_t wh_hier_create(const struct wh_hier_env *env, struct wh_hier **hier_out)
{
    assert(env->rank < env->hosts->nranks);
    uint32_t nlocal = wh_hosts_nlocal(env->hosts, env->hosts->host[env->rank]);
    assert(env->arena != NULL || nlocal == 1);

    struct wh_hier *hier = calloc(1, sizeof(*hier));
    if (hier == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for the executor of hosts");
    }
    hier->env = *env;
    whorl_result_t rc = hier_cache_init(hier);
    if (rc == WHORL_OK) {
        rc = find_rail(hier);
    }
    if (rc == WHORL_OK) {
        rc = hier_part_init(&hier->host_part, nlocal);
    }
    if (rc == WHORL_OK) {
        rc = hier_part_init(&hier->rail_part, env->hosts->nhosts);
    }
    if (rc != WHORL_OK) {
        wh_hier_destroy(hier);
        return rc;
    }
    *hier_out = hier;
    return WHORL_OK;
}

void wh_hier_destroy(struct wh_hier *hier)
{
    if (hier == NULL) {
        return;
    }
    hier_cache_fini(hier);
    hier_part_fini(&hier->host_part);
    hier_part_fini(&hier->rail_part);
    free(hier->rail_ranks);
    free(hier->scratch);
    free(hier);
}

uint64_t wh_hier_memory_nbytes(const struct wh_hier *hier)
{
    const struct wh_hosts *hosts = hier->env.hosts;
    uint64_t nmembers = hosts->nhosts + wh_hosts_nlocal(hosts, hosts->host[hier->env.rank]);
    return sizeof(*hier) + nmembers * 4 * sizeof(size_t) + hosts->nhosts * sizeof(uint32_t) +
           HIER_NSCRATCHES * hier->scratch_capacity + hier_cache_memory_nbytes(hier);
}

/* ---- start ----------------------------------------------------------------------------------- */

/* Bytes by which calls choose: of the vector, or of all blocks. */
static size_t call_nbytes(const struct wh_hier *hier, enum wh_coll coll, const struct wh_op *op)
{
    size_t nbytes = coll == WH_COLL_BARRIER ? 0 : op->count * wh_dtype_nbytes(op->dtype);
    return wh_compose_is_blockwise(coll) ? nbytes * hier->env.hosts->nranks : nbytes;
}

bool wh_hier_fits(const struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                  const struct wh_op *op)
{
    bool is_possible = coll <= WH_COLL_ALL_TO_ALL && op->redop != WH_REDOP_USER;
    return is_possible && hier_choose(hier, coll, root, call_nbytes(hier, coll, op)) != NULL;
}

static whorl_result_t reserve_scratch(struct wh_hier *hier)
{
    hier->scratch_nbytes = hier_scratch_nbytes(&hier->run.cut, hier->run.composition);
    if (hier->scratch_nbytes <= hier->scratch_capacity) {
        return WHORL_OK;
    }
    free(hier->scratch);
    hier->scratch_capacity = 0;
    hier->scratch = aligned_alloc(WH_LINE_NBYTES, HIER_NSCRATCHES * hier->scratch_nbytes);
    if (hier->scratch == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %zu bytes on their way",
                       HIER_NSCRATCHES * hier->scratch_nbytes);
    }
    hier->scratch_capacity = hier->scratch_nbytes;
    return WHORL_OK;
}

/* Puts the parts of a call to work that there are; its composition says where and when. */
static whorl_result_t start(struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                            const struct wh_op *op, const struct wh_composition *composition)
{
    hier->run = (struct hier_run){
        .coll = coll,
        .root = root,
        .op = op,
        .signature = {.seq = op->seq,
                      .count = op->count,
                      .root = root,
                      .coll = (uint8_t)coll,
                      .dtype = (uint8_t)op->dtype,
                      .redop = op->redop},
        .composition = composition,
        .algo = composition->algo,
        .cut = hier_cut_make(composition, op->count, wh_dtype_nbytes(op->dtype)),
    };
    whorl_result_t rc = reserve_scratch(hier);
    if (rc == WHORL_OK) {
        rc = hier_front_begin(hier);
    }
    hier->run.is_busy = rc == WHORL_OK;
    return rc;
}

whorl_result_t wh_hier_start(struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                             const struct wh_op *op)
{
    assert(!hier->run.is_busy);

    const void *chosen = hier_choose(hier, coll, root, call_nbytes(hier, coll, op));
    assert(chosen != NULL);
    const struct wh_composition *composition;
    whorl_result_t rc = hier_get_composition(hier, chosen, coll, root, &composition);
    return rc == WHORL_OK ? start(hier, coll, root, op, composition) : rc;
}

whorl_result_t wh_hier_start_front(struct wh_hier *hier, enum wh_coll coll, uint32_t root,
                                   const struct wh_op *op, const char *algo)
{
    static const struct wh_composition nothing = {.coll = WH_COLL_BARRIER};
    assert(!hier->run.is_busy);

    whorl_result_t rc = start(hier, coll, root, op, &nothing);
    hier->run.algo = algo;
    return rc;
}

/* ---- whose turn it is ------------------------------------------------------------------------ */

/*
 * The arena's turns: before 0, then before k and after k - 1 for k = 1, 2, ...
 *
 * So before k comes after everything of piece k - 2, whose SCRATCH it takes over.
 */
static enum wh_phase_place turn_place(uint64_t turn)
{
    return turn == 0 || turn % 2 == 1 ? WH_PHASE_BEFORE : WH_PHASE_AFTER;
}

static uint64_t turn_piece(uint64_t turn)
{
    return turn_place(turn) == WH_PHASE_BEFORE ? (turn + 1) / 2 : turn / 2 - 1;
}

static bool is_host_done(const struct hier_run *run)
{
    return run->host.turn > 2 * run->cut.npieces;
}

/* The cursor's phase, if it is one of this place; else the next one; NULL: there are no more. */
static const struct wh_phase *find_phase(const struct hier_run *run, struct hier_cursor *cursor,
                                         enum wh_phase_place place)
{
    const struct wh_composition *k = run->composition;
    while (cursor->phase < k->nphases && k->phases[cursor->phase].place != place) {
        cursor->phase++;
    }
    return cursor->phase < k->nphases ? &k->phases[cursor->phase] : NULL;
}

/* The operation under the cursor is done. */
static void step_cursor(const struct hier_run *run, struct hier_cursor *cursor)
{
    cursor->cell++;
    if (cursor->cell == hier_phase_nparts(&run->cut, &run->composition->phases[cursor->phase])) {
        cursor->cell = 0;
        cursor->phase++;
    }
}

/* ---- the arena ------------------------------------------------------------------------------- */

/* All ranks of the host meet while the first piece is between hosts, so nobody waits for it. */
static void start_meeting(struct wh_hier *hier)
{
    struct hier_part *part = &hier->host_part;
    hier_front_make_meeting(hier, part);
    wh_arena_start(hier->env.arena, part->coll, 0, &part->op);
    part->is_busy = true;
    hier->run.meeting = HIER_FRONT_AT_WORK;
}

/* Starts the arena's next operation if there is one and its time has come. */
static bool start_host(struct wh_hier *hier)
{
    struct hier_run *run = &hier->run;
    while (!is_host_done(run)) {
        enum wh_phase_place place = turn_place(run->host.turn);
        uint64_t piece = turn_piece(run->host.turn);
        if (place == WH_PHASE_AFTER && piece >= run->nacross) {
            return false;
        }
        const struct wh_phase *phase = piece < run->cut.npieces
                                           ? find_phase(run, &run->host, place)
                                           : NULL;
        if (phase != NULL) {
            hier_part_make(hier, &hier->host_part, phase, piece, run->host.cell);
            wh_arena_start(hier->env.arena, hier->host_part.coll, phase->root, &hier->host_part.op);
            hier->host_part.is_busy = true;
            return true;
        }
        run->nbefore += place == WH_PHASE_BEFORE;
        run->host = (struct hier_cursor){.turn = run->host.turn + 1};
        if (run->meeting == HIER_FRONT_DUE) {
            start_meeting(hier);
            return true;
        }
    }
    return false;
}

static whorl_result_t advance_host(struct wh_hier *hier, bool *moved_out)
{
    while (hier->host_part.is_busy || start_host(hier)) {
        whorl_result_t rc = wh_arena_advance(hier->env.arena, moved_out);
        if (rc != WHORL_OK) {
            return rc;
        }
        hier->host_part.is_busy = false;
        if (hier->run.meeting == HIER_FRONT_AT_WORK) {
            hier->run.meeting = HIER_FRONT_NONE;
        } else {
            step_cursor(&hier->run, &hier->run.host);
        }
        *moved_out = true;
    }
    return WHORL_OK;
}

/* ---- the rail -------------------------------------------------------------------------------- */

/* Starts the rail's next operation if there is one and its time has come. */
static whorl_result_t start_rail(struct wh_hier *hier)
{
    struct hier_run *run = &hier->run;
    struct hier_part *part = &hier->rail_part;
    if (run->greeting == HIER_FRONT_DUE) {
        whorl_result_t rc = hier_front_make_greeting(hier, part);
        if (rc == WHORL_OK) {
            rc = wh_run_start(part->plan, &part->op);
        }
        part->is_busy = rc == WHORL_OK;
        run->greeting = HIER_FRONT_AT_WORK;
        return rc;
    }
    while (run->nacross < run->nbefore && run->nacross < run->cut.npieces) {
        const struct wh_phase *phase = find_phase(run, &run->rail, WH_PHASE_ACROSS);
        if (phase != NULL) {
            hier_part_make(hier, part, phase, run->nacross, run->rail.cell);
            whorl_result_t rc = hier_set_plan(hier, phase, part);
            if (rc == WHORL_OK) {
                rc = wh_run_start(part->plan, &part->op);
            }
            part->is_busy = rc == WHORL_OK;
            return rc;
        }
        run->nacross++;
        run->rail = (struct hier_cursor){.turn = run->nacross};
    }
    return WHORL_OK;
}

static whorl_result_t advance_rail(struct wh_hier *hier, bool *moved_out)
{
    struct hier_part *part = &hier->rail_part;
    for (;;) {
        whorl_result_t rc = part->is_busy ? WHORL_OK : start_rail(hier);
        if (rc != WHORL_OK || !part->is_busy) {
            return rc;
        }
        rc = wh_run_advance(part->plan, moved_out);
        if (rc != WHORL_OK) {
            return rc;
        }
        part->is_busy = false;
        if (hier->run.greeting == HIER_FRONT_AT_WORK) {
            hier->run.greeting = HIER_FRONT_NONE;
        } else {
            step_cursor(&hier->run, &hier->run.rail);
        }
        *moved_out = true;
    }
}

/* ---- both ------------------------------------------------------------------------------------ */

whorl_result_t wh_hier_advance(struct wh_hier *hier, bool *moved_out)
{
    struct hier_run *run = &hier->run;
    assert(run->is_busy);

    for (;;) {
        uint64_t nacross = run->nacross;
        whorl_result_t rc = advance_host(hier, moved_out);
        if (rc == WHORL_OK || rc == WHORL_IN_PROGRESS) {
            rc = advance_rail(hier, moved_out);
        }
        if (rc != WHORL_OK && rc != WHORL_IN_PROGRESS) {
            return rc;
        }
        if (is_host_done(run) && run->nacross == run->cut.npieces) {
            run->is_busy = false;
            *moved_out = true;
            return WHORL_OK;
        }
        /* What came from other hosts may be what the arena waits for. */
        if (hier->host_part.is_busy || run->nacross == nacross) {
            return WHORL_IN_PROGRESS;
        }
    }
}

void wh_hier_wake(struct wh_hier *hier)
{
    if (hier->env.arena != NULL) {
        wh_arena_wake(hier->env.arena);
    }
}

void wh_hier_leave(struct wh_hier *hier)
{
    if (hier->host_part.is_busy) {
        wh_arena_leave(hier->env.arena);
    }
}

const char *wh_hier_algo(const struct wh_hier *hier)
{
    return hier->run.algo;
}

void wh_hier_signature(const struct wh_hier *hier, struct wh_signature *sig_out)
{
    *sig_out = hier->run.signature;
}

/* ---- for people ------------------------------------------------------------------------------ */

static size_t say(char *text, size_t text_nbytes, const char *what)
{
    return wh_min_size((size_t)snprintf(text, text_nbytes, "%s", what), text_nbytes - 1);
}

static size_t say_phase(const struct hier_run *run, const struct hier_cursor *cursor,
                        uint64_t piece, char *text, size_t text_nbytes)
{
    const struct wh_phase *phase = &run->composition->phases[cursor->phase];
    int n = snprintf(text, text_nbytes, "; piece %llu of %llu, phase %u of %u (%s %s): ",
                     (unsigned long long)piece + 1, (unsigned long long)run->cut.npieces,
                     phase->id + 1, run->composition->nids, wh_coll_str(phase->coll),
                     phase->place == WH_PHASE_ACROSS ? "between hosts" : "in the host");
    return wh_min_size((size_t)n, text_nbytes - 1);
}

/* Is the arena at the first operation of the call? */
static bool is_first(const struct hier_run *run)
{
    struct hier_cursor first = {.turn = 0};
    const struct wh_phase *phase = find_phase(run, &first, WH_PHASE_BEFORE);
    if (run->meeting == HIER_FRONT_AT_WORK) {
        return phase == NULL;
    }
    return phase != NULL && run->host.turn == 0 && run->host.phase == first.phase &&
           run->host.cell == 0;
}

/* To be late in a later operation of a call is not to have missed the call. */
static void say_arena(const struct wh_hier *hier, char *text, size_t text_nbytes)
{
    wh_arena_describe(hier->env.arena, text, text_nbytes);
    char *comma = strchr(text, ',');
    if (comma != NULL && !is_first(&hier->run)) {
        *comma = '\0';
    }
}

void wh_hier_describe(const struct wh_hier *hier, char *text, size_t text_nbytes)
{
    const struct hier_run *run = &hier->run;
    if (!run->is_busy) {
        snprintf(text, text_nbytes, "nothing is going on");
        return;
    }
    size_t used = wh_min_size(
        (size_t)snprintf(text, text_nbytes, "algorithm %s", run->algo),
        text_nbytes - 1);
    if (hier->rail_part.is_busy) {
        used += run->greeting == HIER_FRONT_AT_WORK
                    ? say(text + used, text_nbytes - used, "; greeting of the hosts: ")
                    : say_phase(run, &run->rail, run->nacross, text + used, text_nbytes - used);
        wh_run_describe(hier->rail_part.plan, text + used, text_nbytes - used);
        used += strnlen(text + used, text_nbytes - used);
    }
    if (hier->host_part.is_busy) {
        used += run->meeting == HIER_FRONT_AT_WORK
                    ? say(text + used, text_nbytes - used, "; meeting in the host: ")
                    : say_phase(run, &run->host, turn_piece(run->host.turn), text + used,
                                text_nbytes - used);
        say_arena(hier, text + used, text_nbytes - used);
    }
}
