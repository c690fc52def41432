/* SPDX-License-Identifier: Apache-2.0 */
#include "base/clock.h"
#include "base/log.h"
#include "base/shmem.h"
#include "wire/wire.h"

#include <criterion/criterion.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { NRANKS_MAX = 4 };

/* Wires of one process, one thread each while they connect. */
struct rig {
    uint32_t nranks;
    uint64_t host_keys[NRANKS_MAX], process_keys[NRANKS_MAX];
    struct wh_config configs[NRANKS_MAX];
    struct wh_wire *wires[NRANKS_MAX];
    whorl_result_t results[NRANKS_MAX];
    char errors[NRANKS_MAX][1024];
    uint8_t *addresses;
    _Atomic int32_t stop;
    uint64_t deadline_ns;
};

static void rig_init(struct rig *rig, uint32_t nranks, const char *transports)
{
    memset(rig, 0, sizeof(*rig));
    rig->nranks = nranks;
    for (uint32_t i = 0; i < nranks; i++) {
        rig->host_keys[i] = wh_shmem_host_key();
        rig->process_keys[i] = 77;
        rig->configs[i].transports = transports;
    }
    rig->addresses = malloc(nranks * wh_wire_address_nbytes());
    cr_assert_not_null(rig->addresses);
    rig->deadline_ns = wh_deadline_after_ms(20000);
}

static void rig_create(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->nranks; i++) {
        const struct wh_wire_env env = {.rank = i,
                                        .nranks = rig->nranks,
                                        .host_keys = rig->host_keys,
                                        .process_keys = rig->process_keys,
                                        .nchannels = 2,
                                        .nslots = 2,
                                        .slot_nbytes = 1024};
        cr_assert_eq(wh_wire_create(&env, &rig->configs[i], &rig->wires[i]), WHORL_OK);
        wh_wire_address(rig->wires[i], rig->addresses + i * wh_wire_address_nbytes());
    }
    memset(rig->host_keys, 0, sizeof(rig->host_keys)); /* the wires have their own */
    memset(rig->process_keys, 0, sizeof(rig->process_keys));
}

struct job {
    struct rig *rig;
    uint32_t rank;
};

static void *connect_one(void *arg)
{
    const struct job *job = arg;
    struct rig *rig = job->rig;

    rig->results[job->rank] =
        wh_wire_connect(rig->wires[job->rank], rig->addresses, &rig->stop, rig->deadline_ns);
    strncpy(rig->errors[job->rank], wh_error_get(), sizeof(rig->errors[0]) - 1);
    return NULL;
}

/* Connects ranks 0 to n-1. */
static void rig_connect(struct rig *rig, uint32_t n)
{
    pthread_t threads[NRANKS_MAX];
    struct job jobs[NRANKS_MAX];

    for (uint32_t i = 0; i < n; i++) {
        jobs[i] = (struct job){rig, i};
        cr_assert_eq(pthread_create(&threads[i], NULL, connect_one, &jobs[i]), 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        pthread_join(threads[i], NULL);
    }
}

static void rig_destroy(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->nranks; i++) {
        wh_wire_destroy(rig->wires[i]);
    }
    free(rig->addresses);
}

static const char *transport_of(struct rig *rig, uint32_t rank, uint32_t peer)
{
    struct wh_link *link = NULL;

    cr_assert_eq(wh_wire_link(rig->wires[rank], peer, 1, true, &link), WHORL_OK);
    return link->ops->name;
}

static void expect_message(struct rig *rig, uint32_t from, uint32_t to)
{
    struct wh_link *out, *in, *again;
    struct wh_slot slot;

    cr_assert_eq(wh_wire_link(rig->wires[from], to, 0, true, &out), WHORL_OK);
    cr_assert_eq(wh_wire_link(rig->wires[to], from, 0, false, &in), WHORL_OK);
    cr_assert_eq(wh_wire_link(rig->wires[from], to, 0, true, &again), WHORL_OK);
    cr_expect_eq(out, again);
    cr_assert_eq(out->ops->acquire(out, &slot), WHORL_OK);
    memcpy(slot.data, &from, sizeof(from));
    cr_assert_eq(out->ops->post(out, sizeof(from)), WHORL_OK);
    cr_assert_eq(in->ops->poll(in, &slot), WHORL_OK);
    cr_expect_eq(slot.nbytes, sizeof(from));
    cr_expect_eq(memcmp(slot.data, &from, sizeof(from)), 0);
    in->ops->release(in);
}

Test(wire, ranks_of_a_host_talk_through_shm)
{
    struct rig rig;

    rig_init(&rig, 4, "auto");
    rig_create(&rig);
    rig_connect(&rig, 4);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(rig.results[i], WHORL_OK, "%s", rig.errors[i]);
        cr_expect_not_null(wh_wire_bell(rig.wires[i]));
        for (uint32_t j = 0; j < 4; j++) {
            cr_expect_str_eq(transport_of(&rig, i, j), "shm");
            cr_expect(wh_wire_is_local(rig.wires[i], j));
            expect_message(&rig, i, j);
        }
        cr_expect_gt(wh_wire_memory_nbytes(rig.wires[i]), 4 * 2 * 1024);
    }
    rig_destroy(&rig);
}

Test(wire, the_order_of_the_lower_rank_counts)
{
    struct rig rig;

    rig_init(&rig, 3, "shm,loop");
    rig.configs[1].transports = "loop,shm";
    rig.configs[2].transports = "loop,shm";
    rig_create(&rig);
    rig_connect(&rig, 3);
    cr_expect_str_eq(transport_of(&rig, 0, 1), "shm");
    cr_expect_str_eq(transport_of(&rig, 1, 0), "shm");
    cr_expect_str_eq(transport_of(&rig, 1, 2), "loop");
    cr_expect_str_eq(transport_of(&rig, 2, 1), "loop");
    expect_message(&rig, 0, 2);
    expect_message(&rig, 2, 1);
    cr_expect_not_null(wh_wire_bell(rig.wires[0]), "over shm alone");
    cr_expect_null(wh_wire_bell(rig.wires[1]), "over both, and neither bell rings for both");
    rig_destroy(&rig);
}

Test(wire, a_transport_that_only_one_rank_has_is_not_used)
{
    struct rig rig;

    rig_init(&rig, 2, "auto");
    rig.configs[1].shm_disable = true;
    rig_create(&rig);
    rig_connect(&rig, 2);
    cr_assert_eq(rig.results[0], WHORL_OK, "%s", rig.errors[0]);
    cr_expect_str_eq(transport_of(&rig, 0, 1), "tcp");
    cr_expect_str_eq(transport_of(&rig, 1, 0), "tcp");
    cr_expect_not_null(wh_wire_bell(rig.wires[0]));
    cr_expect(wh_wire_bell_is_quiet(rig.wires[0]), "peers ring no bell over tcp");
    rig_destroy(&rig);
}

Test(wire, ranks_of_different_hosts_talk_through_tcp)
{
    struct rig rig;

    rig_init(&rig, 2, "auto");
    rig.host_keys[1]++;
    rig.process_keys[1]++;
    rig_create(&rig);
    rig_connect(&rig, 2);
    cr_assert_eq(rig.results[0], WHORL_OK, "%s", rig.errors[0]);
    cr_expect_str_eq(transport_of(&rig, 0, 1), "tcp");
    cr_expect_not(wh_wire_is_local(rig.wires[0], 1));
    rig_destroy(&rig);
}

Test(wire, a_peer_out_of_reach_is_named_with_every_reason)
{
    struct rig rig;

    rig_init(&rig, 2, "shm,loop");
    rig.host_keys[1]++;
    rig.process_keys[1]++;
    rig_create(&rig);
    rig_connect(&rig, 2);
    cr_expect_eq(rig.results[0], WHORL_E_UNSUPPORTED);
    cr_expect_eq(rig.results[1], WHORL_E_UNSUPPORTED);
    cr_expect_not_null(strstr(rig.errors[0], "rank 1: shm: it is on another host; loop: it is"),
                       "%s", rig.errors[0]);
    cr_expect_not_null(strstr(rig.errors[1], "rank 0: "), "%s", rig.errors[1]);
    rig_destroy(&rig);
}

Test(wire, a_lone_rank_needs_nobody)
{
    struct rig rig;

    rig_init(&rig, 1, "auto");
    rig_create(&rig);
    rig_connect(&rig, 1);
    cr_assert_eq(rig.results[0], WHORL_OK);
    expect_message(&rig, 0, 0);
    rig_destroy(&rig);
}

Test(wire, connecting_ends_at_its_deadline)
{
    struct rig rig;

    rig_init(&rig, 2, "shm");
    rig_create(&rig);
    rig.deadline_ns = wh_deadline_after_ms(20);
    rig_connect(&rig, 1); /* rank 1 never comes */
    cr_expect_eq(rig.results[0], WHORL_E_TIMEOUT);
    rig_destroy(&rig);
}

Test(wire, connecting_ends_when_it_is_stopped)
{
    struct rig rig;

    rig_init(&rig, 2, "shm");
    rig_create(&rig);
    rig.stop = 1;
    rig_connect(&rig, 1);
    cr_expect_eq(rig.results[0], WHORL_E_ABORTED);
    rig_destroy(&rig);
}

Test(wire, an_unknown_transport_is_an_error)
{
    const uint64_t key = 1;
    const struct wh_wire_env env = {.nranks = 1,
                                    .host_keys = &key,
                                    .process_keys = &key,
                                    .nchannels = 1,
                                    .nslots = 1,
                                    .slot_nbytes = 64};
    const struct wh_config config = {.transports = "smoke-signals"};
    struct wh_wire *wire = NULL;

    cr_expect_eq(wh_wire_create(&env, &config, &wire), WHORL_E_CONFIG);
    cr_expect_null(wire);
}

Test(wire, destroy_takes_null)
{
    wh_wire_destroy(NULL);
}
