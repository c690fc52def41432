/* SPDX-License-Identifier: Apache-2.0 */
/* What ranks tell each other: that they have come to a call, which one, and how far they are. */
#include "base/bits.h"
#include "base/log.h"
#include "executor/arena/internal.h"

#include <stdio.h>
#include <string.h>

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return hash ^ hash >> 29;
}

static uint64_t tag_of(uint32_t seq, uint64_t hash)
{
    return (uint64_t)seq << 32 | (uint32_t)hash;
}

/* Calls from a to b; negative if b came first. */
static int32_t distance(uint32_t a, uint32_t b)
{
    return (int32_t)(b - a);
}

/* The rank that comes i places after this one. */
static uint32_t peer_at(const struct wh_arena *a, uint32_t i)
{
    uint32_t peer = a->me + 1 + i;
    return peer < a->n ? peer : peer - a->n;
}

whorl_result_t arena_may_enter(struct wh_arena *a)
{
    uint32_t oldest = a->seq - (ARENA_NSLOTS - 1);
    if (distance(oldest, a->all_entered) >= 0) {
        return WHORL_OK;
    }
    for (; a->run.nmet < a->n - 1; a->run.nmet++) {
        uint64_t tag = atomic_load_explicit(&arena_slot(a, peer_at(a, a->run.nmet), oldest)->tag,
                                            memory_order_acquire);
        if (distance(oldest, (uint32_t)(tag >> 32)) < 0) {
            return WHORL_IN_PROGRESS;
        }
    }
    a->run.nmet = 0;
    a->all_entered = oldest;
    return WHORL_OK;
}

/* A ring begins with a fence, which waits until this rank's stores are on their way to everyone; so
 * it comes late, when the rank has to wait anyway or has nothing more to do. */
void wh_arena_wake(struct wh_arena *a)
{
    if (a->is_ring_due) {
        a->is_ring_due = false;
        wh_doorbells_ring(a->region.bells, a->n, a->me);
    }
}

void arena_enter(struct wh_arena *a)
{
    struct arena_call *call = &arena_head(a, a->me)->calls[a->seq % ARENA_NCALLS];
    struct wh_signature *sig = &call->signature;

    wh_arena_signature(a, sig);
    a->hash = mix(a->hash, sig->count);
    a->hash = mix(a->hash, (uint64_t)sig->root << 32 | (uint64_t)sig->coll << 16 |
                               (uint64_t)sig->dtype << 8 | sig->redop);
    a->hash = sig->algo != 0 ? mix(a->hash, sig->algo) : a->hash;
    call->tag = tag_of(a->seq, a->hash);
    wh_shared_release();
    atomic_store_explicit(&arena_slot(a, a->me, a->seq)->tag, call->tag, memory_order_release);
    a->is_ring_due = true;
}

void wh_arena_spread(struct wh_arena *a)
{
    uint32_t cpu = wh_current_cpu();
    atomic_store_explicit(&arena_head(a, a->me)->cpu, cpu + 1, memory_order_relaxed);
    for (uint32_t r = 0; r < a->me; r++) {
        if (atomic_load_explicit(&arena_head(a, r)->cpu, memory_order_relaxed) == cpu + 1) {
            wh_leave_cpu(cpu);
            return;
        }
    }
}

/* Finds the first call in which two ranks differ; both records are copies. */
static bool first_difference(const struct arena_call *mine, const struct arena_call *theirs,
                             uint32_t seq, uint32_t *seq_out)
{
    for (uint32_t back = ARENA_NCALLS - ARENA_NSLOTS; back-- > 0;) {
        const struct arena_call *m = &mine[(seq - back) % ARENA_NCALLS];
        const struct arena_call *t = &theirs[(seq - back) % ARENA_NCALLS];
        if (m->tag >> 32 == seq - back && t->tag >> 32 == seq - back && m->tag != t->tag) {
            *seq_out = seq - back;
            return true;
        }
    }
    return false;
}

static whorl_result_t mismatch(const struct wh_arena *a, uint32_t peer)
{
    struct arena_call mine[ARENA_NCALLS], theirs[ARENA_NCALLS];
    memcpy(mine, arena_head(a, a->me)->calls, sizeof(mine));
    memcpy(theirs, arena_head(a, peer)->calls, sizeof(theirs));

    uint32_t seq;
    if (!first_difference(mine, theirs, a->seq, &seq)) {
        return wh_fail(WHORL_E_MISMATCH, WH_SUBSYS_COLL,
                       "rank %u and rank %u made different calls more than %d collectives ago",
                       a->names[a->me], a->names[peer], ARENA_NCALLS - ARENA_NSLOTS - 1);
    }
    const struct wh_signature *my_sig = &mine[seq % ARENA_NCALLS].signature;
    const struct wh_signature *their_sig = &theirs[seq % ARENA_NCALLS].signature;
    char my_text[128], their_text[128];
    wh_signature_print(my_sig, my_text, sizeof(my_text));
    wh_signature_print(their_sig, their_text, sizeof(their_text));
    return wh_fail(WHORL_E_MISMATCH, WH_SUBSYS_COLL,
                   "rank %u called %s as operation %llu, but rank %u called %s as operation %llu",
                   a->names[a->me], my_text, (unsigned long long)my_sig->seq, a->names[peer],
                   their_text, (unsigned long long)their_sig->seq);
}

/* One peer: has it entered, and with the same calls so far? */
static inline whorl_result_t meet_one(const struct wh_arena *a, uint32_t peer)
{
    uint64_t tag = atomic_load_explicit(&arena_slot(a, peer, a->seq)->tag, memory_order_acquire);
    if (tag == tag_of(a->seq, a->hash)) {
        return WHORL_OK;
    }
    int32_t ahead = distance(a->seq, (uint32_t)(tag >> 32));
    if (ahead < 0) {
        return WHORL_IN_PROGRESS;
    }
    if (ahead > 0) {
        return wh_fail(WHORL_E_PEER, WH_SUBSYS_COLL,
                       "rank %u is %d collectives ahead of rank %u in shared memory, which cannot "
                       "be: its memory is damaged",
                       a->names[peer], ahead, a->names[a->me]);
    }
    return mismatch(a, peer);
}

whorl_result_t arena_meet(struct wh_arena *a, uint32_t whom)
{
    if (whom != ARENA_ALL) {
        whorl_result_t rc = whom == a->me ? WHORL_OK : meet_one(a, whom);
        wh_shared_acquire();
        return rc;
    }
    for (; a->run.nmet < a->n - 1; a->run.nmet++) {
        whorl_result_t rc = meet_one(a, peer_at(a, a->run.nmet));
        if (rc != WHORL_OK) {
            return rc;
        }
    }
    wh_shared_acquire();
    a->run.nmet = 0;
    a->all_entered = a->seq;
    return WHORL_OK;
}

void arena_publish(struct wh_arena *a, uint64_t step)
{
    wh_shared_release();
    atomic_store_explicit(&arena_head(a, a->me)->progress, a->steps + step, memory_order_release);
    a->is_ring_due = true;
}

static bool has_done(const struct wh_arena *a, uint32_t rank, uint64_t step)
{
    uint64_t progress = atomic_load_explicit(&arena_head(a, rank)->progress, memory_order_acquire);
    return (int64_t)(progress - (a->steps + step)) >= 0;
}

whorl_result_t arena_await(struct wh_arena *a, uint64_t step, uint32_t whom)
{
    if (whom != ARENA_ALL) {
        bool is_done = whom == a->me || has_done(a, whom, step);
        wh_shared_acquire();
        return is_done ? WHORL_OK : WHORL_IN_PROGRESS;
    }
    for (; a->run.nmet < a->n - 1; a->run.nmet++) {
        if (!has_done(a, peer_at(a, a->run.nmet), step)) {
            return WHORL_IN_PROGRESS;
        }
    }
    wh_shared_acquire();
    a->run.nmet = 0;
    return WHORL_OK;
}

void arena_stage_plan(struct wh_arena *a, size_t nbytes)
{
    enum { LEAST_NBYTES = 4096 };
    size_t stride = LEAST_NBYTES;
    while (stride < nbytes) {
        stride *= 2;
    }
    a->run.staged_stride = stride;
    a->run.staged_first = wh_align_up(a->staged_end, stride);
}

void arena_stage_end(struct wh_arena *a)
{
    a->staged_end = arena_staged_at(a, a->run.nchunks);
}

void arena_finish(struct wh_arena *a, uint64_t nsteps)
{
    /* Where not everyone has waited for everyone, the next long operation has to. */
    a->must_drain = arena_is_rooted(a);
    if (a->must_drain) {
        arena_publish(a, nsteps);
    }
    a->steps += nsteps;
    a->run.stage = ARENA_IDLE;
}

/* Does the wait that is going on look at the root only? Long operations meet everyone, and in
 * reductions of vectors everyone works. */
static bool awaits_root_only(const struct wh_arena *a)
{
    const struct arena_run *run = &a->run;
    if (!arena_is_rooted(a) || a->me == run->root) {
        return false;
    }
    return run->stage == ARENA_MEET ? run->way == ARENA_SMALL
                                    : run->stage == ARENA_BODY && !run->pattern.reduces;
}

/* Whom the operation at work waits for. */
static uint32_t awaited(const struct wh_arena *a)
{
    if (awaits_root_only(a)) {
        return a->run.root;
    }
    return peer_at(a, a->run.nmet < a->n - 1 ? a->run.nmet : 0);
}

void wh_arena_describe(const struct wh_arena *a, char *text, size_t text_nbytes)
{
    const struct arena_run *run = &a->run;
    uint32_t whom = a->names[awaited(a)];
    switch (run->stage) {
    case ARENA_IDLE:
        snprintf(text, text_nbytes, "nothing is going on");
        return;
    case ARENA_ENTER:
        snprintf(text, text_nbytes, "waits for rank %u to end earlier collectives", whom);
        return;
    case ARENA_MEET:
        snprintf(text, text_nbytes, "waits for rank %u, which has not made this call", whom);
        return;
    case ARENA_MAP:
    case ARENA_FILL:
        snprintf(text, text_nbytes, "waits for rank %u, which has made this call", whom);
        return;
    case ARENA_BODY:
        snprintf(text, text_nbytes, "waits for rank %u in chunk %llu of %llu", whom,
                 (unsigned long long)run->chunk + 1, (unsigned long long)run->nchunks);
        return;
    }
}
