/* SPDX-License-Identifier: Apache-2.0 */
#include "base/bytes.h"
#include "base/macros.h"
#include "bootstrap/frame.h"
#include "bootstrap/verdict.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

enum { N = 13, EPOCH = 3 };

static const uint8_t old_secret[WH_SECRET_NBYTES] = "fifteen letters";
static const bool alive[N] = {[2] = true, [3] = true, [12] = true};

/* A verdict on N ranks; the caller frees it. */
static uint8_t *make(struct wh_ticket *ticket)
{
    uint8_t *payload = malloc(wh_verdict_nbytes(N));
    *ticket = (struct wh_ticket){.port = 4711, .naddrs = 2};
    memset(ticket->addrs[0].ip, 1, 16);
    memset(ticket->addrs[1].ip, 2, 16);
    ticket->addrs[0].port = ticket->addrs[1].port = 4711;
    cr_assert_eq(wh_verdict_make(old_secret, EPOCH, alive, N, ticket, payload), WHORL_OK);
    return payload;
}

Test(verdict, a_verdict_survives_the_way)
{
    struct wh_ticket ticket;
    uint8_t *payload = make(&ticket);
    whorl_id_t id, expected;
    bool read[N];
    cr_assert_eq(wh_verdict_read(old_secret, EPOCH, payload, wh_verdict_nbytes(N), N, read, &id),
                 WHORL_OK);
    cr_assert_arr_eq(read, alive, sizeof(alive));
    wh_ticket_encode(&ticket, &expected);
    cr_assert_arr_eq(id.bytes, expected.bytes, WHORL_ID_NBYTES);
    for (uint32_t rank = 0; rank < N; rank++) {
        cr_assert_eq(wh_verdict_has(payload, rank), alive[rank]);
    }
    free(payload);
}

Test(verdict, the_new_secret_does_not_travel)
{
    struct wh_ticket ticket;
    uint8_t *payload = make(&ticket);
    for (size_t i = 0; i + WH_SECRET_NBYTES <= wh_verdict_nbytes(N); i++) {
        cr_assert_neq(memcmp(payload + i, ticket.secret, WH_SECRET_NBYTES), 0);
        cr_assert_neq(memcmp(payload + i, old_secret, WH_SECRET_NBYTES), 0);
    }
    free(payload);
}

Test(verdict, whatever_is_changed_on_the_way_changes_the_secret)
{
    struct wh_ticket ticket, other;
    uint8_t *payload = make(&ticket);
    bool read[N];
    whorl_id_t id;
    size_t nbytes = wh_verdict_nbytes(N);
    for (size_t i = 0; i < nbytes; i++) {
        payload[i] ^= 1;
        whorl_result_t rc = wh_verdict_read(old_secret, EPOCH, payload, nbytes, N, read, &id);
        if (rc == WHORL_OK) {
            cr_assert(wh_ticket_decode(&id, &other));
            cr_assert_neq(memcmp(other.secret, ticket.secret, WH_SECRET_NBYTES), 0, "byte %zu", i);
        } else {
            cr_assert_eq(rc, WHORL_E_ARG);
        }
        payload[i] ^= 1;
    }
    uint8_t wrong[WH_SECRET_NBYTES] = "another letters";
    cr_assert_eq(wh_verdict_read(wrong, EPOCH, payload, nbytes, N, read, &id), WHORL_OK);
    cr_assert(wh_ticket_decode(&id, &other));
    cr_assert_neq(memcmp(other.secret, ticket.secret, WH_SECRET_NBYTES), 0, "another old secret");
    cr_assert_eq(wh_verdict_read(old_secret, EPOCH + 1, payload, nbytes, N, read, &id), WHORL_OK);
    cr_assert(wh_ticket_decode(&id, &other));
    cr_assert_neq(memcmp(other.secret, ticket.secret, WH_SECRET_NBYTES), 0, "another epoch");
    free(payload);
}

Test(verdict, what_is_none_is_refused)
{
    struct wh_ticket ticket;
    uint8_t *payload = make(&ticket);
    bool read[N];
    whorl_id_t id;
    size_t nbytes = wh_verdict_nbytes(N);
    cr_assert_eq(wh_verdict_read(old_secret, 1, payload, nbytes - 1, N, read, &id), WHORL_E_ARG);
    cr_assert_eq(wh_verdict_read(old_secret, 1, payload, nbytes, N - 1, read, &id), WHORL_E_ARG);
    cr_assert_eq(wh_verdict_read(old_secret, 1, payload, nbytes, N + 8, read, &id), WHORL_E_ARG);
    wh_put_le16(payload + 2, WH_NADDRS_MAX + 1);
    cr_assert_eq(wh_verdict_read(old_secret, 1, payload, nbytes, N, read, &id), WHORL_E_ARG);
    wh_put_le16(payload + 2, 0);
    cr_assert_eq(wh_verdict_read(old_secret, 1, payload, nbytes, N, read, &id), WHORL_E_ARG);
    wh_put_le16(payload + 2, 1);
    wh_put_le16(payload, 0);
    cr_assert_eq(wh_verdict_read(old_secret, 1, payload, nbytes, N, read, &id), WHORL_E_ARG);
    free(payload);
}

Test(verdict, one_on_the_largest_job_fits_a_frame)
{
    struct wh_frame frame = {.type = WH_FRAME_RESULT,
                             .payload_nbytes = (uint32_t)wh_verdict_nbytes(WH_NRANKS_MAX)};
    uint8_t head[WH_HEAD_NBYTES];
    wh_head_encode(&frame, head);
    cr_assert(wh_head_decode(head, &frame));
}
