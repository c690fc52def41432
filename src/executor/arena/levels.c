/* SPDX-License-Identifier: Apache-2.0 */
/*
 * all_reduce where ranks are in groups (last-level caches, NUMA nodes): two levels, so that little
 * goes from group to group.
 *
 * There are G groups of S ranks each, n = G * S. The ranks with the same place in every group are
 * *twins*. A chunk has S slices, one for each place, and a slice has G parts, one for each group.
 *
 *     fill      copy the chunk to staging, but for this rank's slice
 *     combine   this rank's slice of the group's inputs -> its slice of staging
 *     -- wait: the twins have combined --
 *     merge     this rank's part of the twins' slices -> the output, and its part of staging
 *     -- wait: the twins have merged --
 *     spread    the other parts of the slice out of the twins' staging -> output and staging
 *     -- wait: the group has spread --
 *     collect   the other slices out of the group's staging -> the output
 *
 * As in two-shot, a rank fills chunk c + 1 after it has combined chunk c, in the other buffer. So
 * whoever has waited for the group to spread c knows that it has also filled c + 1: combining needs
 * no wait of its own, and a chunk costs three.
 *
 * What crosses. Only merge and spread read staging of other groups. Merge reads one part, m / n of
 * a vector of m bytes, of each of G - 1 twins; spread reads the G - 1 other parts once. Together
 * 2 (G - 1) m / n for each rank and 2 (G - 1) m for all; with two groups 2 m. Flat two-shot reads
 * m / n of each of the n - S ranks of other groups twice: 2 (n - S) m in all, which is S times as
 * much.
 *
 * Why two buffers suffice. The readers of a rank's chunk c are its group, in combine (the other
 * slices) and collect (its own slice), and its twins, in merge (their part of its slice) and spread
 * (its part of it).
 *   fill c + 2 writes the other slices, which lie where they lay in chunk c, after this rank has
 *     collected c: the group had spread c then, and so had combined it.
 *   combine c + 2 writes the own slice. When this rank collected c + 1, the group had spread it,
 *     after it had collected c. When this rank spread c + 1, the twins had merged it, after they
 *     had spread c.
 *   merge c + 2 writes the own part, which nobody else reads before.
 *   spread c + 2 writes the other parts, each of which one twin has read in merging c + 2, which
 *     this rank has waited for.
 * The next operation's first chunk lies anywhere but where the last one does. What was there has
 * been read, as above; or, after a single chunk, before everyone entered this operation. Its second
 * chunk is filled after everyone has entered it.
 *
 * Steps: combining chunk c is 3c + 1, merging it 3c + 2, spreading it 3c + 3.
 */
#include "base/bits.h"
#include "base/log.h"
#include "executor/arena/internal.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* ---- who is in which group ------------------------------------------------------------------ */

static void take_seats(struct wh_arena *a, const uint32_t *groups)
{
    uint32_t nseated = 0;
    for (uint32_t g = 0; g < a->ngroups; g++) {
        for (uint32_t r = 0; r < a->n; r++) {
            if (groups == NULL || groups[r] == g) {
                a->seats[r] = (struct arena_seat){g, nseated - g * a->nplaces};
                a->ranks[nseated++] = r;
            }
        }
        assert(nseated == (g + 1) * a->nplaces);
    }
}

whorl_result_t arena_levels_init(struct wh_arena *a, const uint32_t *groups)
{
    a->ngroups = 1;
    for (uint32_t r = 0; groups != NULL && r < a->n; r++) {
        a->ngroups = groups[r] >= a->ngroups ? groups[r] + 1 : a->ngroups;
    }
    assert(a->ngroups <= WH_ARENA_NGROUPS_MAX && a->n % a->ngroups == 0);
    a->nplaces = a->n / a->ngroups;
    a->seats = calloc(a->n, sizeof(*a->seats));
    a->ranks = calloc(a->n, sizeof(*a->ranks));
    a->level_srcs = calloc(a->n, sizeof(void *));
    a->level_dsts = calloc(a->n, sizeof(void *));
    if (a->seats == NULL || a->ranks == NULL || a->level_srcs == NULL || a->level_dsts == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for %u groups", a->ngroups);
    }
    take_seats(a, groups);
    return WHORL_OK;
}

void arena_levels_fini(struct wh_arena *a)
{
    free(a->seats);
    free(a->ranks);
    free((void *)a->level_srcs);
    free((void *)a->level_dsts);
}

/* ---- shares of a chunk ---------------------------------------------------------------------- */

/* Elements of a chunk. */
struct span {
    size_t start, nelems;
};

/* Where chunk starts in the vector. */
static size_t chunk_start(const struct wh_arena *a, uint64_t chunk)
{
    return (size_t)chunk * a->run.chunk_nelems;
}

/* Share i of n of nelems elements; in whole lines where there are enough of them. */
static struct span share_of(const struct wh_arena *a, size_t nelems, uint32_t n, uint32_t i)
{
    size_t each = wh_align_up(wh_div_up(nelems, n), 64 / a->run.elem_nbytes);
    size_t first = wh_min_size(i * each, nelems);
    return (struct span){first, wh_min_size(each, nelems - first)};
}

/* The slice of a place: in the same bytes of all chunks, also of the last, which may be shorter. */
static struct span slice_of(const struct wh_arena *a, uint64_t chunk, uint32_t place)
{
    size_t left = a->run.op->count - chunk_start(a, chunk);
    struct span s = share_of(a, a->run.chunk_nelems, a->nplaces, place);
    s.start = wh_min_size(s.start, left);
    s.nelems = wh_min_size(s.nelems, left - s.start);
    return s;
}

/* The part of a group, of this rank's slice. */
static struct span part_of(const struct wh_arena *a, uint64_t chunk, uint32_t group)
{
    struct span slice = slice_of(a, chunk, a->seats[a->me].place);
    struct span s = share_of(a, slice.nelems, a->ngroups, group);
    s.start += slice.start;
    return s;
}

static uint8_t *staged(const struct wh_arena *a, uint32_t rank, uint64_t chunk, struct span s)
{
    return arena_staging(a, rank, chunk) + s.start * a->run.elem_nbytes;
}

static const uint8_t *input_at(const struct wh_arena *a, uint64_t chunk, size_t start)
{
    return (const uint8_t *)a->run.op->input + (chunk_start(a, chunk) + start) * a->run.elem_nbytes;
}

static uint8_t *output_at(const struct wh_arena *a, uint64_t chunk, size_t start)
{
    return (uint8_t *)a->run.op->output + (chunk_start(a, chunk) + start) * a->run.elem_nbytes;
}

/* ---- the phases ----------------------------------------------------------------------------- */

enum { NSTEPS = 3 }; /* of a chunk */

void arena_levels_fill(struct wh_arena *a, uint64_t chunk)
{
    for (uint32_t place = 0; place < a->nplaces; place++) {
        struct span s = slice_of(a, chunk, place);
        if (place != a->seats[a->me].place) {
            arena_bring(a, staged(a, a->me, chunk, s), input_at(a, chunk, s.start),
                        s.nelems * a->run.elem_nbytes);
        }
    }
}

static void combine(struct wh_arena *a, uint64_t chunk)
{
    struct arena_seat seat = a->seats[a->me];
    struct span mine = slice_of(a, chunk, seat.place);
    uint8_t *to = staged(a, a->me, chunk, mine);
    for (uint32_t place = 0; place < a->nplaces; place++) {
        a->level_srcs[place] = staged(a, arena_rank_at(a, seat.group, place), chunk, mine);
    }
    if (a->run.op->redop == WH_REDOP_PREMUL_SUM) {
        arena_bring(a, to, input_at(a, chunk, mine.start), mine.nelems * a->run.elem_nbytes);
    } else {
        a->level_srcs[seat.place] = input_at(a, chunk, mine.start);
    }
    void *const dsts[] = {to};
    arena_combine_level(a, &(struct wh_combine){
                               .dsts = dsts,
                               .ndsts = 1,
                               .srcs = a->level_srcs,
                               .nsrcs = a->nplaces,
                               .nelems = mine.nelems,
                           });
    arena_publish(a, NSTEPS * chunk + 1);
    if (chunk + 1 < a->run.nchunks) {
        arena_levels_fill(a, chunk + 1);
    }
}

static void merge(struct wh_arena *a, uint64_t chunk)
{
    struct arena_seat seat = a->seats[a->me];
    struct span mine = part_of(a, chunk, seat.group);
    for (uint32_t g = 0; g < a->ngroups; g++) {
        a->level_srcs[g] = staged(a, arena_rank_at(a, g, seat.place), chunk, mine);
    }
    void *const dsts[] = {staged(a, a->me, chunk, mine), output_at(a, chunk, mine.start)};
    arena_combine_level(a, &(struct wh_combine){
                               .dsts = dsts,
                               .ndsts = 2,
                               .srcs = a->level_srcs,
                               .nsrcs = a->ngroups,
                               .nelems = mine.nelems,
                               .divisor = arena_divisor(a),
                           });
    arena_publish(a, NSTEPS * chunk + 2);
}

static void spread(struct wh_arena *a, uint64_t chunk)
{
    struct arena_seat seat = a->seats[a->me];
    for (uint32_t i = 1; i < a->ngroups; i++) {
        uint32_t g = (seat.group + i) % a->ngroups;
        struct span s = part_of(a, chunk, g);
        size_t nbytes = s.nelems * a->run.elem_nbytes;
        uint8_t *to = staged(a, a->me, chunk, s);
        memcpy(to, staged(a, arena_rank_at(a, g, seat.place), chunk, s), nbytes);
        arena_copy(a, output_at(a, chunk, s.start), to, nbytes);
    }
    arena_publish(a, NSTEPS * chunk + 3);
}

static void collect(struct wh_arena *a, uint64_t chunk)
{
    struct arena_seat seat = a->seats[a->me];
    for (uint32_t i = 1; i < a->nplaces; i++) {
        uint32_t place = (seat.place + i) % a->nplaces;
        struct span s = slice_of(a, chunk, place);
        arena_copy(a, output_at(a, chunk, s.start),
                   staged(a, arena_rank_at(a, seat.group, place), chunk, s),
                   s.nelems * a->run.elem_nbytes);
    }
}

/* What a rank does with a chunk, and after which of its steps, by whom. */
static const struct phase {
    void (*work)(struct wh_arena *a, uint64_t chunk);
    uint32_t after; /* 0: at once */
    bool by_twins;  /* else by the group */
} phases[] = {
    {combine, 0, false},
    {merge, 1, true},
    {spread, 2, true},
    {collect, 3, false},
};

/* Has everyone that matters done the step? Peers are looked at in the order of arena_await(), so
 * that run.nmet means the same. */
static whorl_result_t await(struct wh_arena *a, uint64_t step, bool twins)
{
    struct arena_seat mine = a->seats[a->me];
    for (; a->run.nmet < a->n - 1; a->run.nmet++) {
        uint32_t peer = (a->me + 1 + a->run.nmet) % a->n;
        struct arena_seat seat = a->seats[peer];
        bool matters = twins ? seat.place == mine.place : seat.group == mine.group;
        if (matters && arena_await(a, step, peer) != WHORL_OK) {
            return WHORL_IN_PROGRESS;
        }
    }
    a->run.nmet = 0;
    return WHORL_OK;
}

whorl_result_t arena_levels_body(struct wh_arena *a, bool *moved_out)
{
    struct arena_run *run = &a->run;
    while (run->chunk < run->nchunks) {
        const struct phase *phase = &phases[run->phase];
        if (phase->after > 0) {
            whorl_result_t rc = await(a, NSTEPS * run->chunk + phase->after, phase->by_twins);
            if (rc != WHORL_OK) {
                return rc;
            }
        }
        phase->work(a, run->chunk);
        *moved_out = true;
        run->phase = (run->phase + 1) % ARRAY_LEN(phases);
        run->chunk += run->phase == 0;
    }
    arena_stage_end(a);
    arena_finish(a, NSTEPS * run->nchunks);
    return WHORL_OK;
}
