/* SPDX-License-Identifier: Apache-2.0 */
#include "api/sides.h"

#include "base/log.h"

#include <stdio.h>

/* So that bytes, and differences of addresses, fit in ptrdiff_t whatever the type. */
static const size_t nelems_max = PTRDIFF_MAX / WH_ELEM_NBYTES_MAX;

static const char *side_name(const struct wh_sides *s, const struct wh_side *side)
{
    return side == &s->send ? "send" : "recv";
}

static whorl_result_t measure_equal(const struct wh_sides *s, struct wh_side *side)
{
    size_t nblocks = side->per_rank ? s->nranks : 1;
    if (__builtin_mul_overflow(nblocks, side->count, &side->end) || side->end > nelems_max) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %scount %zu is too large", s->call,
                       wh_coll_is_v(s->coll) ? side_name(s, side) : "", side->count);
    }
    side->own_start = side->per_rank ? s->rank * side->count : 0;
    side->own_count = side->count;
    return WHORL_OK;
}

static whorl_result_t measure_varying(const struct wh_sides *s, struct wh_side *side)
{
    const char *name = side_name(s, side);
    if (side->counts == NULL) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %scounts is NULL", s->call, name);
    }
    size_t total = 0;
    for (uint32_t r = 0; r < s->nranks; r++) {
        size_t count = side->counts[r];
        size_t start = side->displs != NULL ? side->displs[r] : total;
        if (count > nelems_max - total) {
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %scounts[%u] %zu is too large",
                           s->call, name, r, count);
        }
        if (count > 0 && (start > nelems_max || count > nelems_max - start)) {
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %sdispls[%u] %zu is too large",
                           s->call, name, r, start);
        }
        if (count > 0) {
            side->first = total == 0 || start < side->first ? start : side->first;
            side->end = start + count > side->end ? start + count : side->end;
        }
        if (r == s->rank) {
            side->own_start = start;
            side->own_count = count;
        }
        total += count;
    }
    return WHORL_OK;
}

static whorl_result_t measure(const struct wh_sides *s, struct wh_side *side)
{
    side->first = 0;
    side->end = 0;
    if (!side->varying) {
        return measure_equal(s, side);
    }
    return side->used ? measure_varying(s, side) : WHORL_OK;
}

static whorl_result_t check_null(const struct wh_sides *s, const struct wh_side *side)
{
    if (side->used && side->end > side->first && side->buf == NULL) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: %sbuf is NULL", s->call,
                       side_name(s, side));
    }
    return WHORL_OK;
}

/* What this rank sends to itself is what it receives from itself. */
static whorl_result_t check_own(const struct wh_sides *s)
{
    const struct wh_side *send = &s->send, *recv = &s->recv;
    bool both = send->used && recv->used && (send->varying || recv->varying);
    if (!both || send->own_count == recv->own_count) {
        return WHORL_OK;
    }
    char index[16];
    snprintf(index, sizeof(index), "s[%u]", s->rank);
    return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                   "%s: sendcount%s is %zu, but recvcount%s is %zu; both are the size of this "
                   "rank's own block",
                   s->call, send->varying ? index : "", send->own_count, recv->varying ? index : "",
                   recv->own_count);
}

/* Blocks that follow one another in rank order, empty ones aside, must not overlap. */
static whorl_result_t check_neighbours(const struct wh_sides *s, const struct wh_side *side)
{
    if (!side->used || !side->varying || side->displs == NULL) {
        return WHORL_OK;
    }
    uint32_t before = s->nranks; /* none yet */
    for (uint32_t r = 0; r < s->nranks; r++) {
        if (side->counts[r] == 0) {
            continue;
        }
        if (before < s->nranks && side->displs[r] < side->displs[before] + side->counts[before] &&
            side->displs[before] < side->displs[r] + side->counts[r]) {
            const char *name = side_name(s, side);
            return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL,
                           "%s: blocks %u and %u of %sbuf overlap, by %scounts and %sdispls",
                           s->call, before, r, name, name, name);
        }
        before = r;
    }
    return WHORL_OK;
}

/* What a caller may do where two buffers overlap. */
static const char *in_place_text(const struct wh_sides *s)
{
    if (s->send.per_rank && s->recv.per_rank) {
        return "this call has no in place";
    }
    if (s->send.per_rank) {
        return "in place means recvbuf == this rank's block of sendbuf";
    }
    return s->recv.per_rank ? "in place means sendbuf == this rank's block of recvbuf"
                            : "in place means sendbuf == recvbuf";
}

/* The two sides overlap only where the API calls it "in place". */
static whorl_result_t check_overlap(const struct wh_sides *s)
{
    const struct wh_side *send = &s->send, *recv = &s->recv;
    size_t elem = s->elem_nbytes;
    uintptr_t from = (uintptr_t)send->buf, to = (uintptr_t)recv->buf;
    if (!send->used || !recv->used || send->first == send->end || recv->first == recv->end ||
        from + send->end * elem <= to + recv->first * elem ||
        to + recv->end * elem <= from + send->first * elem) {
        return WHORL_OK;
    }
    if ((send->per_rank && recv->per_rank) ||
        from + send->own_start * elem != to + recv->own_start * elem) {
        return wh_fail(WHORL_E_ARG, WH_SUBSYS_CALL, "%s: sendbuf and recvbuf overlap; %s", s->call,
                       in_place_text(s));
    }
    /* The result of this rank's block goes where others may still be read from. */
    return s->coll == WH_COLL_REDUCE_SCATTER_V ? check_neighbours(s, send) : WHORL_OK;
}

whorl_result_t wh_sides_check(struct wh_sides *s)
{
    whorl_result_t rc = measure(s, &s->send);
    if (rc == WHORL_OK) {
        rc = measure(s, &s->recv);
    }
    if (rc == WHORL_OK) {
        rc = check_null(s, &s->send);
    }
    if (rc == WHORL_OK) {
        rc = check_null(s, &s->recv);
    }
    if (rc == WHORL_OK) {
        rc = check_own(s);
    }
    if (rc == WHORL_OK) {
        rc = check_neighbours(s, &s->recv);
    }
    if (rc == WHORL_OK) {
        rc = check_overlap(s);
    }
    return rc;
}
