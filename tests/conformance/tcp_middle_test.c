/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Somebody in the middle of a TCP connection. What is encrypted arrives as it was sent, or ends in
 * WHORL_E_TRUST. What is not: no connection that ends, wherever that is, is waited for.
 */
#include "conformance/tcp_rig.h"

#include <stdlib.h>

enum {
    NMESSAGES = 6,
    MESSAGE_NBYTES = 32,
    RECORD_NBYTES = TCP_HEAD_NBYTES + MESSAGE_NBYTES,
    SEALED_NBYTES = RECORD_NBYTES + WH_SEAL_TAG_NBYTES,
};

static void say_nothing(void)
{
    setenv("WHORL_DEBUG", "NONE", 1);
}

TestSuite(tcp_middle, .init = say_nothing);

struct outcome {
    whorl_result_t rcs[2]; /* how it ended on either rank */
    uint64_t ngood;        /* messages that arrived as they were sent, in order */
    bool is_spoilt;        /* one arrived that was not so sent */
};

struct traffic {
    struct rig *rig;
    struct outcome *outcome;
    uint64_t nposted;
};

/* Rank 0 sends without end, so that nothing is over only because nothing more comes. */
static bool is_traffic_over(void *ctx)
{
    struct traffic *traffic = ctx;
    struct outcome *outcome = traffic->outcome;
    struct rig *rig = traffic->rig;

    for (uint32_t i = 0; i < 2; i++) {
        outcome->rcs[i] = outcome->rcs[i] == WHORL_OK ? rig->rcs[i] : outcome->rcs[i];
    }
    if (outcome->rcs[0] == WHORL_OK) {
        whorl_result_t rc = rig_post(rig, traffic->nposted, MESSAGE_NBYTES);
        traffic->nposted += rc == WHORL_OK;
        outcome->rcs[0] = rc == WHORL_IN_PROGRESS ? WHORL_OK : rc;
    }
    if (outcome->rcs[1] == WHORL_OK) {
        whorl_result_t rc = rig_take(rig, outcome->ngood, MESSAGE_NBYTES);
        outcome->ngood += rc == WHORL_OK;
        outcome->is_spoilt |= rc == WHORL_E_INTERNAL;
        outcome->rcs[1] = rc == WHORL_IN_PROGRESS ? WHORL_OK : rc;
    }
    return outcome->rcs[1] != WHORL_OK || outcome->rcs[0] != WHORL_OK ||
           outcome->ngood >= NMESSAGES;
}

static struct outcome meet(bool encrypts, const struct middle_plan *plan)
{
    struct rig *rig = malloc(sizeof(*rig));
    struct outcome outcome = {.ngood = 0};
    struct traffic traffic = {.rig = rig, .outcome = &outcome};

    cr_assert_not_null(rig);
    rig_open(rig, &(struct rig_spec){.encrypts = encrypts, .has_middle = true, .plan = *plan});
    cr_assert(rig_until(rig, is_traffic_over, &traffic),
              "nothing happens: change %d of record %u at %zu", (int)plan->what, plan->record,
              plan->offset);
    rig_close(rig);
    free(rig);
    return outcome;
}

Test(tcp_middle, an_honest_one_is_not_noticed)
{
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct outcome outcome = meet(encrypts, &(struct middle_plan){.what = MIDDLE_PASS});
        cr_expect_eq(outcome.ngood, NMESSAGES);
        cr_expect_eq(outcome.rcs[0], WHORL_OK);
        cr_expect_eq(outcome.rcs[1], WHORL_OK);
    }
}

/* ---- encrypted ------------------------------------------------------------------------------ */

static void require_distrust(const struct middle_plan *plan, uint64_t ngood)
{
    struct outcome outcome = meet(true, plan);

    cr_expect_not(outcome.is_spoilt, "byte %zu", plan->offset);
    cr_expect_eq(outcome.ngood, ngood, "byte %zu: %d good ones", plan->offset, (int)outcome.ngood);
    cr_expect_eq(outcome.rcs[1], WHORL_E_TRUST, "byte %zu: result %d", plan->offset,
                 (int)outcome.rcs[1]);
}

Test(tcp_middle, no_byte_of_a_sealed_record_can_be_changed)
{
    for (size_t offset = 0; offset < SEALED_NBYTES; offset++) {
        for (uint32_t mask = 1; mask <= 0x80; mask += 0x7f) {
            require_distrust(&(struct middle_plan){.what = MIDDLE_FLIP,
                                                   .record = 1,
                                                   .offset = offset,
                                                   .mask = (uint8_t)mask},
                             1);
        }
    }
}

Test(tcp_middle, a_sealed_record_cannot_be_made_longer)
{
    /* Both its size and its message's, so that it makes sense, and swallows what follows. */
    require_distrust(&(struct middle_plan){.what = MIDDLE_FLIP,
                                           .record = 2,
                                           .offset = 12,
                                           .also = 16,
                                           .mask = 0x80},
                     2);
}

Test(tcp_middle, a_sealed_record_cannot_be_repeated_dropped_or_overtaken)
{
    const enum middle_what whats[] = {MIDDLE_REPEAT, MIDDLE_DROP, MIDDLE_SWAP};

    for (size_t i = 0; i < ARRAY_LEN(whats); i++) {
        for (uint32_t record = 0; record < 3; record++) {
            uint64_t ngood = record + (whats[i] == MIDDLE_REPEAT ? 1 : 0);
            require_distrust(&(struct middle_plan){.what = whats[i], .record = record}, ngood);
        }
    }
}

Test(tcp_middle, distrust_is_final)
{
    struct rig *rig = malloc(sizeof(*rig));
    const struct middle_plan plan = {.what = MIDDLE_FLIP, .offset = 100, .mask = 4};

    cr_assert_not_null(rig);
    rig_open(rig, &(struct rig_spec){.encrypts = true, .has_middle = true, .plan = plan});
    for (uint64_t i = 0; i < 3; i++) {
        cr_assert_eq(rig_post(rig, i, MESSAGE_NBYTES), WHORL_OK);
    }
    for (uint32_t i = 0; i < 5; i++) {
        cr_expect_eq(rig_wait_take(rig, 0, MESSAGE_NBYTES), WHORL_E_TRUST);
    }
    rig_close(rig);
    free(rig);
}

/* ---- plain ---------------------------------------------------------------------------------- */

Test(tcp_middle, a_record_out_of_order_is_no_message)
{
    const enum middle_what whats[] = {MIDDLE_REPEAT, MIDDLE_DROP, MIDDLE_SWAP};

    for (size_t i = 0; i < ARRAY_LEN(whats); i++) {
        struct outcome outcome =
            meet(false, &(struct middle_plan){.what = whats[i], .record = 1});
        cr_expect_not(outcome.is_spoilt);
        cr_expect_eq(outcome.rcs[1], WHORL_E_PEER, "%d", (int)outcome.rcs[1]);
        cr_expect_eq(outcome.ngood, whats[i] == MIDDLE_REPEAT ? 2 : 1);
    }
}

/* ---- cut off -------------------------------------------------------------------------------- */

static void require_end(bool encrypts, size_t offset, bool is_back)
{
    struct outcome outcome = meet(
        encrypts,
        &(struct middle_plan){.what = MIDDLE_CUT, .offset = offset, .is_back = is_back});
    size_t nrecord = encrypts ? SEALED_NBYTES : RECORD_NBYTES;
    bool has_records = !is_back && offset >= RIG_HELLO_NBYTES;
    uint64_t most = has_records ? (offset - RIG_HELLO_NBYTES) / nrecord : 0;

    cr_expect_not(outcome.is_spoilt, "byte %zu", offset);
    cr_expect_leq(outcome.ngood, most, "byte %zu: %d good ones", offset, (int)outcome.ngood);
    cr_expect(outcome.rcs[0] == WHORL_E_PEER || outcome.rcs[1] == WHORL_E_PEER,
              "byte %zu: results %d and %d", offset, (int)outcome.rcs[0], (int)outcome.rcs[1]);
}

Test(tcp_middle, a_plain_connection_may_end_anywhere)
{
    for (size_t offset = RIG_HELLO_NBYTES; offset < RIG_HELLO_NBYTES + 2 * RECORD_NBYTES + 3;
         offset++) {
        require_end(false, offset, false);
    }
}

Test(tcp_middle, a_sealed_connection_may_end_anywhere)
{
    for (size_t offset = RIG_HELLO_NBYTES; offset < RIG_HELLO_NBYTES + 2 * SEALED_NBYTES + 3;
         offset++) {
        require_end(true, offset, false);
    }
}

Test(tcp_middle, connections_may_end_in_the_other_direction_too)
{
    /* Right after the handshake: rank 1 has nothing to say. */
    require_end(false, WH_CHALLENGE_NBYTES, true);
    require_end(true, WH_CHALLENGE_NBYTES, true);
}

Test(tcp_middle, a_handshake_that_was_cut_off_is_begun_again)
{
    /* But not the last of it: the caller is through when it has sent its proof. */
    const size_t most[2] = {WH_HELLO_NBYTES, WH_CHALLENGE_NBYTES};

    for (int is_back = 0; is_back < 2; is_back++) {
        for (size_t offset = 0; offset < most[is_back]; offset += 11) {
            const struct middle_plan plan = {
                .what = MIDDLE_CUT, .offset = offset, .is_back = is_back, .is_once = true};
            struct outcome outcome = meet(false, &plan);
            cr_expect_eq(outcome.ngood, NMESSAGES, "byte %zu", offset);
            cr_expect_eq(outcome.rcs[0], WHORL_OK);
            cr_expect_eq(outcome.rcs[1], WHORL_OK);
        }
    }
}

Test(tcp_middle, handshakes_that_are_always_cut_off_end_in_an_error)
{
    const size_t offsets[] = {WH_HELLO_NBYTES - 5, WH_HELLO_NBYTES + 5, RIG_HELLO_NBYTES - 1};

    for (size_t i = 0; i < ARRAY_LEN(offsets); i++) {
        struct outcome outcome =
            meet(true, &(struct middle_plan){.what = MIDDLE_CUT, .offset = offsets[i]});
        cr_expect_eq(outcome.rcs[0], WHORL_E_PEER, "%d", (int)outcome.rcs[0]);
        cr_expect_eq(outcome.ngood, 0);
    }
}

/* ---- several connections -------------------------------------------------------------------- */

enum { NCONNS = 3, UNIT_NBYTES = 64 << 10, SHARED_NBYTES = NCONNS * UNIT_NBYTES, NSHARED = 64 };

/* Is a later message here, but not the first? */
static bool is_overtaken(void *ctx)
{
    struct rig *rig = ctx;
    const struct tcp_wire *wire = rig_wire(rig, 1);
    bool is = false;

    for (uint32_t i = 1; wire->npairs == 1 && i < NSHARED; i++) {
        is |= wire->pairs[0]->recv.messages[i].is_done;
    }
    return is && !wire->pairs[0]->recv.messages[0].is_done;
}

Test(tcp_middle, fragments_may_come_in_any_order)
{
    for (int encrypts = 0; encrypts < 2; encrypts++) {
        struct rig *rig = malloc(sizeof(*rig));

        cr_assert_not_null(rig);
        /* The first connection is stuck: what it has no room for goes over the others. */
        rig_open(rig, &(struct rig_spec){.encrypts = encrypts,
                                         .has_middle = true,
                                         .nconns = NCONNS,
                                         .nslots = NSHARED,
                                         .slot_nbytes = SHARED_NBYTES,
                                         .plan = {.what = MIDDLE_HOLD, .record = 0}});
        for (uint64_t i = 0; i < NSHARED; i++) {
            cr_assert_eq(rig_post(rig, i, SHARED_NBYTES - i), WHORL_OK);
        }
        cr_assert(rig_until(rig, is_overtaken, rig));
        cr_expect_eq(rig_take(rig, 0, SHARED_NBYTES), WHORL_IN_PROGRESS);
        rig->middle.is_holding = false;
        for (uint64_t i = 0; i < NSHARED; i++) {
            whorl_result_t rc = rig_wait_take(rig, i, SHARED_NBYTES - i);
            cr_assert_eq(rc, WHORL_OK, "message %d: %d", (int)i, (int)rc);
        }
        rig_close(rig);
        free(rig);
    }
}
