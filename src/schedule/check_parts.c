/* SPDX-License-Identifier: Apache-2.0 */
/* Bit sets with reference counts, copied when a shared one changes. Not for several threads. */
#include "schedule/check_parts.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

static uint32_t nwords_of(uint32_t nranks)
{
    return nranks / 64 + (nranks % 64 != 0);
}

static size_t nbytes_of(uint32_t nranks)
{
    return sizeof(struct wh_parts) + nwords_of(nranks) * sizeof(uint64_t);
}

struct wh_parts *wh_parts_create(uint32_t nranks, uint32_t rank)
{
    assert(rank < nranks);

    struct wh_parts *parts = calloc(1, nbytes_of(nranks));
    if (parts == NULL) {
        return NULL;
    }
    parts->nrefs = 1;
    parts->nranks = nranks;
    parts->nparts = 1;
    parts->words[rank / 64] = UINT64_C(1) << rank % 64;
    return parts;
}

struct wh_parts *wh_parts_get(struct wh_parts *parts)
{
    assert(parts->nrefs > 0 && parts->nrefs < UINT32_MAX);
    parts->nrefs++;
    return parts;
}

void wh_parts_put(struct wh_parts *parts)
{
    if (parts == NULL) {
        return;
    }
    assert(parts->nrefs > 0);
    if (--parts->nrefs == 0) {
        free(parts);
    }
}

bool wh_parts_has(const struct wh_parts *parts, uint32_t rank)
{
    assert(rank < parts->nranks);
    return parts->words[rank / 64] >> rank % 64 & 1;
}

uint32_t wh_parts_missing(const struct wh_parts *parts)
{
    for (uint32_t w = 0; w < nwords_of(parts->nranks); w++) {
        if (parts->words[w] != UINT64_MAX) {
            /* Past nranks there are no bits, so a full set ends here with nranks or at the end. */
            return w * 64 + (uint32_t)__builtin_ctzll(~parts->words[w]);
        }
    }
    return parts->nranks;
}

uint32_t wh_parts_common(const struct wh_parts *a, const struct wh_parts *b)
{
    assert(a->nranks == b->nranks);

    for (uint32_t w = 0; w < nwords_of(a->nranks); w++) {
        uint64_t both = a->words[w] & b->words[w];
        if (both != 0) {
            return w * 64 + (uint32_t)__builtin_ctzll(both);
        }
    }
    return a->nranks;
}

/* Makes *parts the caller's alone. */
static whorl_result_t unshare(struct wh_parts **parts)
{
    if ((*parts)->nrefs == 1) {
        return WHORL_OK;
    }

    struct wh_parts *copy = malloc(nbytes_of((*parts)->nranks));
    if (copy == NULL) {
        return WHORL_E_NOMEM;
    }
    memcpy(copy, *parts, nbytes_of((*parts)->nranks));
    copy->nrefs = 1;
    wh_parts_put(*parts);
    *parts = copy;
    return WHORL_OK;
}

whorl_result_t wh_parts_merge(struct wh_parts **parts, const struct wh_parts *more)
{
    assert((*parts)->nranks == more->nranks);

    whorl_result_t rc = unshare(parts);
    if (rc != WHORL_OK) {
        return rc;
    }

    uint32_t nparts = 0;
    for (uint32_t w = 0; w < nwords_of(more->nranks); w++) {
        (*parts)->words[w] |= more->words[w];
        nparts += (uint32_t)__builtin_popcountll((*parts)->words[w]);
    }
    (*parts)->nparts = nparts;
    return WHORL_OK;
}

whorl_result_t wh_parts_finish(struct wh_parts **parts)
{
    whorl_result_t rc = unshare(parts);
    if (rc == WHORL_OK) {
        (*parts)->finished = true;
    }
    return rc;
}
