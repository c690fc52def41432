/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The builder: peers become links, rules are checked step by step, and seal freezes the result.
 *
 * An algorithm is a list of calls without error checks. So the first thing that goes wrong is kept
 * (rc and why), everything after it is ignored, and wh_builder_seal() reports it.
 *
 * Steps are stored in one canonical form, so that equal schedules have equal bytes: `chunk` is
 * reduced modulo nchunks, a buffer that a step does not use is 0, and a step without data keeps
 * only RECV and SEND.
 */
#include "base/bits.h"
#include "base/log.h"
#include "schedule/sched.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct wh_builder {
    struct wh_problem problem;
    const char *algo;
    uint32_t nchunks;
    uint32_t nchunks_per_step;
    bool has_entry; /* messages in front, even where the algorithm uses their links */
    bool goes_abreast;

    struct wh_lane *lanes;
    struct wh_step *steps;
    struct wh_sched_link *links;
    uint32_t *link_lanes; /* the one lane that uses each link; has room as links has */
    uint32_t nlanes, nsteps, nlinks;
    uint32_t lanes_max, steps_max, links_max; /* what there is room for */

    uint16_t *link_of; /* by link_key(), WH_NO_LINK: none yet */

    whorl_result_t rc; /* the first failure, and its text */
    char why[160];
};

/* ---- failures that stick --------------------------------------------------------------------- */

WH_PRINTF(3, 4)
static void spoil(struct wh_builder *b, whorl_result_t rc, const char *format, ...)
{
    va_list args;

    if (b->rc != WHORL_OK) {
        return;
    }
    b->rc = rc;
    va_start(args, format);
    vsnprintf(b->why, sizeof(b->why), format, args);
    va_end(args);
}

/* A step that breaks a rule. */
static void refuse(struct wh_builder *b, const char *rule)
{
    uint32_t step = b->nlanes > 0 ? b->lanes[b->nlanes - 1].nsteps : 0;
    spoil(b, WHORL_E_INTERNAL, "lane %u step %u: %s", b->nlanes > 0 ? b->nlanes - 1 : 0, step,
          rule);
}

/* ---- arrays that grow ------------------------------------------------------------------------ */

/* `array` with room for nelems_max elements; NULL, and `array` as it was, if memory ran out. */
static void *grow(struct wh_builder *b, void *array, size_t elem_nbytes, uint32_t nelems_max)
{
    void *larger = realloc(array, (size_t)nelems_max * elem_nbytes);
    if (larger == NULL) {
        spoil(b, WHORL_E_NOMEM, "no memory for %u entries", nelems_max);
    }
    return larger;
}

static uint32_t next_room(uint32_t room)
{
    return room < 8 ? 8 : room * 2;
}

static struct wh_lane *add_lane(struct wh_builder *b)
{
    if (b->nlanes == b->lanes_max) {
        uint32_t room = next_room(b->lanes_max);
        struct wh_lane *lanes = grow(b, b->lanes, sizeof(*lanes), room);
        if (lanes == NULL) {
            return NULL;
        }
        b->lanes = lanes;
        b->lanes_max = room;
    }
    return &b->lanes[b->nlanes++];
}

static struct wh_step *add_step(struct wh_builder *b)
{
    if (b->nsteps == b->steps_max) {
        uint32_t room = next_room(b->steps_max);
        struct wh_step *steps = grow(b, b->steps, sizeof(*steps), room);
        if (steps == NULL) {
            return NULL;
        }
        b->steps = steps;
        b->steps_max = room;
    }
    return &b->steps[b->nsteps++];
}

/* ---- links ----------------------------------------------------------------------------------- */

static size_t link_key(uint32_t peer, uint32_t channel, bool is_send)
{
    return ((size_t)peer * WH_NCHANNELS + channel) * 2 + (is_send ? 1 : 0);
}

/* Makes room for one more link; false if memory ran out. */
static bool grow_links(struct wh_builder *b)
{
    const uint32_t room = next_room(b->links_max);

    struct wh_sched_link *links = grow(b, b->links, sizeof(*links), room);
    if (links == NULL) {
        return false;
    }
    b->links = links;

    uint32_t *link_lanes = grow(b, b->link_lanes, sizeof(*link_lanes), room);
    if (link_lanes == NULL) {
        return false;
    }
    b->link_lanes = link_lanes;
    b->links_max = room;
    return true;
}

/* A new link of the current lane; WH_NO_LINK if it cannot be had. */
static uint16_t add_link(struct wh_builder *b, uint32_t peer, uint32_t channel, bool is_send)
{
    if (b->nlinks == WH_NO_LINK) {
        spoil(b, WHORL_E_INTERNAL, "more than %d links", WH_NO_LINK);
        return WH_NO_LINK;
    }
    if (b->nlinks == b->links_max && !grow_links(b)) {
        return WH_NO_LINK;
    }

    uint16_t link = (uint16_t)b->nlinks++;
    b->links[link] = (struct wh_sched_link){
        .peer = peer,
        .channel = (uint8_t)channel,
        .is_send = is_send,
    };
    b->link_lanes[link] = b->nlanes - 1;
    b->link_of[link_key(peer, channel, is_send)] = link;
    return link;
}

/* The link of the current lane to or from peer, made if need be; WH_NO_LINK on failure. */
static uint16_t take_link(struct wh_builder *b, uint32_t peer, bool is_send)
{
    const uint32_t channel = b->lanes[b->nlanes - 1].channel;

    if (peer >= b->problem.nranks || peer == b->problem.rank) {
        refuse(b, "the peer is no other rank");
        return WH_NO_LINK;
    }

    uint16_t link = b->link_of[link_key(peer, channel, is_send)];
    if (link == WH_NO_LINK) {
        return add_link(b, peer, channel, is_send);
    }
    if (b->link_lanes[link] != b->nlanes - 1) {
        spoil(b, WHORL_E_INTERNAL,
              "lane %u step %u: the link %s rank %u on channel %u belongs to lane %u",
              b->nlanes - 1, b->lanes[b->nlanes - 1].nsteps, is_send ? "to" : "from", peer, channel,
              b->link_lanes[link]);
        return WH_NO_LINK;
    }
    return link;
}

/* ---- create ---------------------------------------------------------------------------------- */

static const char *problem_fault(const struct wh_problem *problem, uint32_t nchunks)
{
    if ((unsigned)problem->coll >= WH_NCOLLS) {
        return "unknown collective";
    }
    if (problem->rank >= problem->nranks) {
        return "the rank is none of the ranks";
    }
    if (problem->root >= problem->nranks) {
        return "the root is none of the ranks";
    }
    if (nchunks == 0) {
        return "a pass has at least one chunk";
    }
    if ((problem->coll == WH_COLL_ALL_GATHER || problem->coll == WH_COLL_REDUCE_SCATTER) &&
        nchunks != problem->nranks) {
        return "a pass has a chunk for every rank";
    }
    if (problem->coll == WH_COLL_ALL_TO_ALL &&
        nchunks != (uint64_t)problem->nranks * problem->nranks) {
        return "a pass has a chunk for every pair of ranks";
    }
    return NULL;
}

struct wh_builder *wh_builder_create(const struct wh_problem *problem, const char *algo,
                                     uint32_t nchunks)
{
    struct wh_builder *b = calloc(1, sizeof(*b));
    if (b == NULL) {
        return NULL;
    }

    b->problem = *problem;
    b->algo = algo;
    b->nchunks = nchunks;
    b->nchunks_per_step = 1;

    const char *fault = problem_fault(problem, nchunks);
    if (fault != NULL) {
        spoil(b, WHORL_E_INTERNAL, "%s", fault);
        return b;
    }

    size_t keys_nbytes = link_key(problem->nranks, 0, false) * sizeof(*b->link_of);
    b->link_of = malloc(keys_nbytes);
    if (b->link_of == NULL) {
        spoil(b, WHORL_E_NOMEM, "no memory for %zu bytes", keys_nbytes);
        return b;
    }
    static_assert(WH_NO_LINK == 0xffff, "every byte of WH_NO_LINK is 0xff");
    memset(b->link_of, 0xff, keys_nbytes);
    return b;
}

static void builder_destroy(struct wh_builder *b)
{
    free(b->link_of);
    free(b->link_lanes);
    free(b->links);
    free(b->steps);
    free(b->lanes);
    free(b);
}

/* ---- steps ----------------------------------------------------------------------------------- */

void wh_build_lane(struct wh_builder *b, uint32_t channel)
{
    if (b == NULL || b->rc != WHORL_OK) {
        return;
    }

    /* Collectives and sends must not meet on a link: they are ordered independently. */
    bool fits =
        wh_coll_is_p2p(b->problem.coll) ? channel == WH_CHANNEL_P2P : channel < WH_CHANNELS_MAX;
    if (!fits) {
        spoil(b, WHORL_E_INTERNAL, "lane %u: a %s has no channel %u", b->nlanes,
              wh_coll_str(b->problem.coll), channel);
        return;
    }

    bool is_first = b->nlanes == 0;
    struct wh_lane *lane = !is_first && b->lanes[b->nlanes - 1].nsteps == 0
                               ? &b->lanes[b->nlanes - 1] /* an empty lane is none */
                               : add_lane(b);
    if (lane != NULL) {
        *lane = (struct wh_lane){.first_step = b->nsteps, .channel = channel};
    }
}

/* Which rule of sched.h a step breaks; NULL: none. */
static const char *move_fault(const struct wh_builder *b, const struct wh_move *move)
{
    const uint32_t flags = move->flags;
    const uint32_t all = WH_RECV | WH_REDUCE | WH_STORE | WH_SEND | WH_FINISH;

    if (flags & ~all) {
        return "unknown flags";
    }
    if (move->nchunks > b->nchunks) {
        return "more chunks than the pass has";
    }
    if (move->nchunks == 0) {
        return flags & (WH_RECV | WH_SEND) ? NULL : "neither data nor a message";
    }
    if (b->problem.coll == WH_COLL_BARRIER) {
        return "a barrier moves no data";
    }
    if (!(flags & (WH_STORE | WH_SEND))) {
        return "the value goes nowhere";
    }
    if ((flags & (WH_REDUCE | WH_FINISH)) && !wh_coll_reduces(b->problem.coll)) {
        return "REDUCE or FINISH in a collective that does not reduce";
    }
    if ((flags & (WH_RECV | WH_REDUCE | WH_STORE)) == WH_REDUCE) {
        return "REDUCE without RECV needs STORE";
    }
    if ((!(flags & WH_RECV) || (flags & WH_REDUCE)) && (unsigned)move->local >= WH_NBUFS) {
        return "unknown local buffer";
    }
    if ((flags & WH_STORE) && move->store != WH_OUTPUT && move->store != WH_SCRATCH) {
        return "STORE goes to OUTPUT or SCRATCH";
    }
    return NULL;
}

/* The canonical step of a move; without links. */
static struct wh_step step_of(const struct wh_builder *b, const struct wh_move *move)
{
    const uint32_t flags = move->nchunks == 0 ? move->flags & (WH_RECV | WH_SEND) : move->flags;
    const bool has_data = move->nchunks > 0;
    const bool reads_local = has_data && (!(flags & WH_RECV) || (flags & WH_REDUCE));

    return (struct wh_step){
        .flags = (uint8_t)flags,
        .local = reads_local ? (uint8_t)move->local : 0,
        .store = flags & WH_STORE ? (uint8_t)move->store : 0,
        .recv_link = WH_NO_LINK,
        .send_link = WH_NO_LINK,
        .chunk = has_data ? move->chunk % b->nchunks : 0,
        .nchunks = move->nchunks,
    };
}

static bool touches_scratch(const struct wh_step *step)
{
    /* Unused buffers are 0 in canonical steps, which is not SCRATCH. */
    static_assert(WH_SCRATCH != 0, "0 stands for a buffer that is not used");
    return step->local == WH_SCRATCH || step->store == WH_SCRATCH;
}

void wh_build_step(struct wh_builder *b, const struct wh_move *move)
{
    if (b == NULL || b->rc != WHORL_OK) {
        return;
    }
    if (b->nlanes == 0) {
        refuse(b, "a step before the first wh_build_lane()");
        return;
    }
    const char *fault = move_fault(b, move);
    if (fault != NULL) {
        refuse(b, fault);
        return;
    }

    struct wh_step step = step_of(b, move);
    if (step.flags & WH_RECV) {
        step.recv_link = take_link(b, move->from, false);
    }
    if (step.flags & WH_SEND) {
        step.send_link = take_link(b, move->to, true);
    }
    if (b->rc != WHORL_OK) {
        return;
    }

    struct wh_step *slot = add_step(b);
    if (slot == NULL) {
        return;
    }
    *slot = step;

    struct wh_lane *lane = &b->lanes[b->nlanes - 1];
    lane->nsteps++;
    lane->uses_scratch = lane->uses_scratch || touches_scratch(&step);
    if (step.flags & (WH_RECV | WH_SEND)) {
        wh_build_widest(b, step.nchunks);
    }
}

void wh_build_widest(struct wh_builder *b, uint32_t nchunks)
{
    if (b == NULL || b->rc != WHORL_OK) {
        return;
    }
    if (nchunks > b->nchunks) {
        spoil(b, WHORL_E_INTERNAL, "a message of %u chunks, but a pass has %u", nchunks,
              b->nchunks);
        return;
    }
    if (nchunks > b->nchunks_per_step) {
        b->nchunks_per_step = nchunks;
    }
}

void wh_build_entry(struct wh_builder *b)
{
    if (b != NULL) {
        b->has_entry = true;
    }
}

void wh_build_abreast(struct wh_builder *b)
{
    if (b != NULL) {
        b->goes_abreast = true;
    }
}

void wh_build_send(struct wh_builder *b, uint32_t to, enum wh_buf local, uint32_t chunk,
                   uint32_t nchunks)
{
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_SEND,
                         .to = to,
                         .local = local,
                         .chunk = chunk,
                         .nchunks = nchunks,
                     });
}

void wh_build_recv(struct wh_builder *b, uint32_t from, enum wh_buf store, uint32_t chunk,
                   uint32_t nchunks)
{
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_RECV | WH_STORE,
                         .from = from,
                         .store = store,
                         .chunk = chunk,
                         .nchunks = nchunks,
                     });
}

void wh_build_copy(struct wh_builder *b, enum wh_buf local, enum wh_buf store, uint32_t chunk,
                   uint32_t nchunks)
{
    if (local == store || nchunks == 0) {
        return;
    }
    wh_build_step(b, &(struct wh_move){
                         .flags = WH_STORE,
                         .local = local,
                         .store = store,
                         .chunk = chunk,
                         .nchunks = nchunks,
                     });
}

/* ---- seal ------------------------------------------------------------------------------------ */

/* Puts a message without data in front of the lane that uses the link, for the first pass. */
static void put_in_front(struct wh_builder *b, uint16_t link)
{
    const bool is_send = b->links[link].is_send;
    if (add_step(b) == NULL) {
        return;
    }
    const uint32_t owner = b->link_lanes[link];
    struct wh_step *front = &b->steps[b->lanes[owner].first_step];
    memmove(front + 1, front, (size_t)(&b->steps[b->nsteps - 1] - front) * sizeof(*front));
    *front = (struct wh_step){
        .flags = is_send ? WH_SEND : WH_RECV,
        .recv_link = is_send ? WH_NO_LINK : link,
        .send_link = is_send ? link : WH_NO_LINK,
    };
    b->lanes[owner].nsteps++;
    b->lanes[owner].nentry++;
    for (uint32_t l = owner + 1; l < b->nlanes; l++) {
        b->lanes[l].first_step++;
    }
}

/* A lane for those of the two messages that have no link yet. The send comes first: everyone's
 * message is then on its way before anyone waits for one, so the lane cannot block for ever. */
static void add_entry_lane(struct wh_builder *b, uint32_t right, bool sends, uint32_t left,
                           bool receives)
{
    if (sends && receives) {
        return;
    }
    wh_build_lane(b, 0);
    if (!sends) {
        wh_build_step(b, &(struct wh_move){.flags = WH_SEND, .to = right});
    }
    if (!receives) {
        wh_build_step(b, &(struct wh_move){.flags = WH_RECV, .from = left});
    }
    if (b->rc == WHORL_OK) {
        b->lanes[b->nlanes - 1].nentry = b->lanes[b->nlanes - 1].nsteps;
    }
}

/* The entry rule of sched.h. */
static void add_entry(struct wh_builder *b)
{
    const uint32_t n = b->problem.nranks;

    if (b->rc != WHORL_OK || n == 1 || wh_coll_is_p2p(b->problem.coll)) {
        return;
    }

    const uint32_t right = (b->problem.rank + 1) % n;
    const uint32_t left = (b->problem.rank + n - 1) % n;
    const uint16_t to = b->link_of[link_key(right, 0, true)];
    const uint16_t from = b->link_of[link_key(left, 0, false)];
    if (b->has_entry || (wh_coll_has_root(b->problem.coll) && n > 2)) {
        if (from != WH_NO_LINK) {
            put_in_front(b, from);
        }
        if (to != WH_NO_LINK && b->rc == WHORL_OK) {
            put_in_front(b, to); /* second, so it comes first if both are of one lane */
        }
    }
    if (b->rc == WHORL_OK) {
        add_entry_lane(b, right, to != WH_NO_LINK, left, from != WH_NO_LINK);
    }
}

static void drop_empty_lane(struct wh_builder *b)
{
    if (b->nlanes > 0 && b->lanes[b->nlanes - 1].nsteps == 0) {
        b->nlanes--;
    }
}

/* memcpy() that allows the NULL of an array that never grew. */
static void copy_array(void *to, const void *from, size_t nbytes)
{
    if (nbytes > 0) {
        memcpy(to, from, nbytes);
    }
}

/* The schedule in one block of memory: the struct, then steps, lanes, links. NULL: no memory. */
static struct wh_sched *freeze(const struct wh_builder *b)
{
    const size_t align = _Alignof(max_align_t);
    const size_t steps_nbytes = b->nsteps * sizeof(*b->steps);
    const size_t lanes_nbytes = b->nlanes * sizeof(*b->lanes);
    const size_t links_nbytes = b->nlinks * sizeof(*b->links);
    const size_t steps_at = wh_align_up(sizeof(struct wh_sched), align);
    const size_t lanes_at = wh_align_up(steps_at + steps_nbytes, align);
    const size_t links_at = wh_align_up(lanes_at + lanes_nbytes, align);

    char *block = malloc(links_at + links_nbytes);
    if (block == NULL) {
        return NULL;
    }

    struct wh_sched *sched = (struct wh_sched *)(void *)block;
    *sched = (struct wh_sched){
        .coll = b->problem.coll,
        .algo = b->algo,
        .rank = b->problem.rank,
        .nranks = b->problem.nranks,
        .root = b->problem.root,
        .nchunks = b->nchunks,
        .nchunks_per_step = b->nchunks_per_step,
        .goes_abreast = b->goes_abreast,
        .nlanes = b->nlanes,
        .nsteps = b->nsteps,
        .nlinks = b->nlinks,
        .lanes = (struct wh_lane *)(void *)(block + lanes_at),
        .steps = (struct wh_step *)(void *)(block + steps_at),
        .links = (struct wh_sched_link *)(void *)(block + links_at),
    };
    copy_array(sched->steps, b->steps, steps_nbytes);
    copy_array(sched->lanes, b->lanes, lanes_nbytes);
    copy_array(sched->links, b->links, links_nbytes);
    return sched;
}

whorl_result_t wh_builder_seal(struct wh_builder *b, struct wh_sched **sched_out)
{
    if (b == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_COLL, "no memory to build a schedule");
    }

    add_entry(b);
    drop_empty_lane(b);
    struct wh_sched *sched = b->rc == WHORL_OK ? freeze(b) : NULL;
    if (sched == NULL) {
        spoil(b, WHORL_E_NOMEM, "no memory for %u steps", b->nsteps);
    }

    whorl_result_t rc = b->rc;
    if (rc == WHORL_OK) {
        *sched_out = sched;
    } else {
        rc = wh_fail(rc, WH_SUBSYS_COLL, "schedule of %s %s for rank %u of %u: %s",
                     wh_coll_str(b->problem.coll), b->algo, b->problem.rank, b->problem.nranks,
                     b->why);
    }
    builder_destroy(b);
    return rc;
}
