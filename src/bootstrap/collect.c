/* SPDX-License-Identifier: Apache-2.0 */
/*
 * All-gather and barrier by dissemination, ceil(log2 n) rounds for any number of ranks: in round k
 * a rank sends what it has to rank + 2^k and receives from rank - 2^k. Small blocks travel many to a
 * frame: the size of a block, then the blocks of rank, rank - 1, ...
 *
 *   n = 6            has at first   round 0      round 1          round 2
 *   rank 5 receives        5        4 from 4     3, 2 from 3      1, 0 from 1
 *
 * inv. 1  Before round k a rank has the blocks of min(2^k, n) ranks: its own and those before it.
 * inv. 2  Who ends a collective knows that all have begun it. So a rank can be at most one
 *         collective ahead of another, and a rank that leaves after it has sent everything.
 */
#include "base/bytes.h"
#include "base/log.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* One all-gather, or a barrier (blocks NULL: one empty block per round). */
struct collective {
    struct wh_boot *boot;
    uint8_t *blocks;
    size_t block_nbytes;
    uint64_t deadline_ns;
    uint64_t tag;
};

static uint32_t nblocks_of(const struct collective *c, uint32_t round)
{
    uint32_t have = 1u << round, lack = c->boot->nranks - have;
    if (c->blocks == NULL) {
        return 1;
    }
    return have < lack ? have : lack;
}

/* Sends the blocks of nblocks ranks, from rank downwards. buffer has room for them and a head. */
static void send_blocks(const struct collective *c, uint32_t round, uint32_t rank, uint32_t nblocks,
                        uint8_t *buffer)
{
    const uint32_t nranks = c->boot->nranks;
    wh_put_le32(buffer, (uint32_t)c->block_nbytes);
    for (uint32_t i = 0; i < nblocks && c->block_nbytes > 0; i++) {
        uint32_t whose = (rank + nranks - i) % nranks;
        memcpy(buffer + WH_BLOCKS_HEAD_NBYTES + i * c->block_nbytes,
               c->blocks + whose * c->block_nbytes, c->block_nbytes);
    }
    const struct wh_frame frame = {
        .type = WH_FRAME_BLOCK,
        .round = round,
        .rank = rank,
        .tag = c->tag,
        .payload = buffer,
        .payload_nbytes = WH_BLOCKS_HEAD_NBYTES + nblocks * (uint32_t)c->block_nbytes,
    };
    wh_rank_post(c->boot, round, &frame);
}

/* False: no memory. */
static bool send_round(const struct collective *c, uint32_t round)
{
    const struct wh_boot *boot = c->boot;
    const uint32_t nblocks = nblocks_of(c, round);
    uint32_t most = c->block_nbytes > 0 ? WH_BLOCK_NBYTES_MAX / (uint32_t)c->block_nbytes : nblocks;
    most = most < nblocks ? most : nblocks;
    uint8_t *buffer = malloc(WH_BLOCKS_HEAD_NBYTES + most * c->block_nbytes);
    if (buffer == NULL) {
        return false;
    }
    for (uint32_t i = 0; i < nblocks; i += most) {
        uint32_t rank = (boot->rank + boot->nranks - i) % boot->nranks;
        send_blocks(c, round, rank, nblocks - i < most ? nblocks - i : most, buffer);
    }
    free(buffer);
    return true;
}

/* Takes some blocks of this collective, and adds their number to *ntaken. False: not what the peer
 * should have sent. */
static bool take_letter(const struct collective *c, const struct wh_letter *letter,
                        uint32_t *ntaken)
{
    const struct wh_boot *boot = c->boot;
    const uint32_t from = boot->edges[boot->nrounds + letter->round].peer.rank;
    const uint32_t before = (from + boot->nranks - letter->rank) % boot->nranks;
    const uint32_t nbytes = letter->nbytes - WH_BLOCKS_HEAD_NBYTES;
    const uint32_t nblocks =
        c->block_nbytes > 0 ? nbytes / (uint32_t)c->block_nbytes : nblocks_of(c, letter->round);
    if (wh_get_le32(letter->bytes) != c->block_nbytes || nbytes != nblocks * c->block_nbytes ||
        nblocks == 0 || before + nblocks > nblocks_of(c, letter->round)) {
        return false;
    }
    for (uint32_t i = 0; i < nblocks && c->block_nbytes > 0; i++) {
        uint32_t whose = (letter->rank + boot->nranks - i) % boot->nranks;
        memcpy(c->blocks + whose * c->block_nbytes,
               letter->bytes + WH_BLOCKS_HEAD_NBYTES + i * c->block_nbytes, c->block_nbytes);
    }
    *ntaken += nblocks;
    return true;
}

/* Takes all blocks of a round that are in the inbox, forgets those of collectives that were given
 * up; adds their number to *ntaken. False as take_letter(). */
static bool take_letters(const struct collective *c, uint32_t round, uint32_t *ntaken)
{
    struct wh_boot *boot = c->boot;
    bool good = true;
    struct wh_letter **link = &boot->inbox;
    while (*link != NULL) {
        struct wh_letter *letter = *link;
        bool ours = letter->tag == c->tag && letter->round == round;
        if (!ours && letter->tag >= c->tag) {
            link = &letter->next;
            continue;
        }
        if (ours) {
            good = take_letter(c, letter, ntaken) && good;
        }
        *link = letter->next;
        free(letter);
    }
    boot->inbox_end = link;
    return good;
}

/* What stops a collective: the job has failed, or the peer it needs has left. */
static void check_peer(const struct collective *c, uint32_t index)
{
    struct wh_boot *boot = c->boot;
    const struct wh_edge *edge = &boot->edges[index];
    if (boot->failed || (edge->up && !edge->left)) {
        return;
    }
    struct wh_boot_failure failure = {.rc = WHORL_E_PEER};
    char who[WH_MEMBER_TEXT_NBYTES];
    snprintf(failure.text, sizeof(failure.text),
             "%s left the communicator while rank %u was in a collective call",
             wh_member_print(&edge->peer, who), boot->rank);
    wh_log(WH_LOG_WARN, WH_SUBSYS_BOOTSTRAP, "%s", failure.text);
    wh_rank_break(boot, &failure, boot->rank, WH_NO_EDGE);
}

/* One round, with the lock. */
static whorl_result_t run_round(const struct collective *c, uint32_t round)
{
    struct wh_boot *boot = c->boot;
    const uint32_t from = boot->nrounds + round;
    check_peer(c, round);
    if (!send_round(c, round)) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_BOOTSTRAP, "no memory for an all-gather");
    }

    uint32_t ntaken = 0;
    char who[WH_MEMBER_TEXT_NBYTES];
    wh_member_print(&boot->edges[from].peer, who);
    for (;;) {
        if (!take_letters(c, round, &ntaken)) {
            return wh_fail(WHORL_E_MISMATCH, WH_SUBSYS_BOOTSTRAP,
                           "%s brought another size to an all-gather than rank %u (%zu bytes)", who,
                           boot->rank, c->block_nbytes);
        }
        if (ntaken >= nblocks_of(c, round)) {
            return WHORL_OK;
        }
        check_peer(c, from);
        if (boot->failed) {
            wh_error_set(boot->failure.text);
            return WHORL_E_PEER;
        }
        if (!wh_service_wait(boot, c->deadline_ns)) {
            return wh_fail(WHORL_E_TIMEOUT, WH_SUBSYS_BOOTSTRAP,
                           "rank %u waited in vain for %s (round %u of %u of the bootstrap's %s)",
                           boot->rank, who, round + 1, boot->nrounds,
                           c->blocks != NULL ? "all-gather" : "barrier");
        }
    }
}

static whorl_result_t run(struct collective *c)
{
    struct wh_boot *boot = c->boot;
    whorl_result_t rc = WHORL_OK;
    wh_service_lock();
    c->tag = ++boot->ncollectives;
    for (uint32_t round = 0; round < boot->nrounds && rc == WHORL_OK; round++) {
        rc = run_round(c, round);
    }
    wh_service_unlock();
    return rc;
}

whorl_result_t wh_boot_allgather(struct wh_boot *boot, void *blocks, size_t block_nbytes,
                                 uint64_t deadline_ns)
{
    assert(blocks != NULL);
    assert(block_nbytes <= WH_BLOCK_NBYTES_MAX);

    struct collective c = {
        .boot = boot,
        .blocks = blocks,
        .block_nbytes = block_nbytes,
        .deadline_ns = deadline_ns,
    };
    return run(&c);
}

whorl_result_t wh_boot_barrier(struct wh_boot *boot, uint64_t deadline_ns)
{
    struct collective c = {.boot = boot, .deadline_ns = deadline_ns};
    return run(&c);
}
