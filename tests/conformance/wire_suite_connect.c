/* SPDX-License-Identifier: Apache-2.0 */
/* Wires: who reaches whom, addresses that lie, and what is left. */
#include "base/random.h"
#include "conformance/wire_suite.h"
#include "conformance/wire_world.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>

/* ---- who reaches whom ----------------------------------------------------------------------- */

static void run_apart(struct world_rank *rank)
{
    for (uint32_t peer = 0; peer < rank->env.nranks; peer++) {
        const char *why = NULL;
        bool does = rank->wire->ops->reaches(rank->wire, peer, &why);
        REQUIRE(rank, does == (peer == rank->env.rank));
        REQUIRE(rank, does || (why != NULL && why[0] != '\0'));
    }
}

void wire_case_other_hosts_and_processes_are_out_of_reach(const struct whorl_transport_ops *ops,
                                                          enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_apart);

    spec.nranks = 3;
    spec.is_apart = true;
    world_run(&spec);
}

static void double_slot_of_odd_ranks(struct world_rank *rank)
{
    rank->env.slot_nbytes <<= rank->env.rank % 2;
}

static void run_other_geometry(struct world_rank *rank)
{
    for (uint32_t peer = 0; peer < rank->env.nranks; peer++) {
        const char *why = NULL;
        bool does = rank->wire->ops->reaches(rank->wire, peer, &why);
        REQUIRE(rank, !does || peer % 2 == rank->env.rank % 2);
        REQUIRE(rank, does || (why != NULL && why[0] != '\0'));
    }
}

void wire_case_ranks_of_another_geometry_are_out_of_reach(const struct whorl_transport_ops *ops,
                                                          enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, run_other_geometry);

    spec.nranks = 4;
    spec.alter = double_slot_of_odd_ranks;
    world_run(&spec);
}

/* ---- hostile addresses ---------------------------------------------------------------------- */

/* Lets wire `own` of a new pair connect when the other's address has been tampered with. */
static void connect_tampered(const struct world_spec *spec, uint32_t own,
                             void (*tamper)(uint8_t *address, uint32_t how), uint32_t how)
{
    struct world_pair pair;
    uint8_t addresses[2][WH_ADDRESS_NBYTES_MAX] = {{0}};
    whorl_result_t rc = WHORL_IN_PROGRESS;

    world_pair_open(spec, &pair);
    for (uint32_t i = 0; i < 2; i++) {
        pair.ranks[i].wire->ops->address(pair.ranks[i].wire, addresses[i]);
    }
    tamper(addresses[1 - own], how);

    struct wh_transport_wire *wire = pair.ranks[own].wire;
    for (uint32_t n = 0; n < 10 && rc == WHORL_IN_PROGRESS; n++) {
        rc = wire->ops->connect(wire, addresses[0]);
    }
    cr_assert(rc == WHORL_OK || rc == WHORL_IN_PROGRESS, "rank %u, change %u: result %d", own, how,
              rc);
    const char *why = NULL;
    if (rc == WHORL_OK && !wire->ops->reaches(wire, 1 - own, &why)) {
        cr_assert_not_null(why);
    }
    world_pair_close(&pair);
}

static void flip_byte(uint8_t *address, uint32_t how)
{
    address[how] ^= 0xff;
}

static void scramble(uint8_t *address, uint32_t how)
{
    (void)how;
    cr_assert_eq(wh_random(address, WH_ADDRESS_NBYTES_MAX), WHORL_OK);
}

static void erase(uint8_t *address, uint32_t how)
{
    memset(address, how == 0 ? 0 : 0xff, WH_ADDRESS_NBYTES_MAX);
}

void wire_case_hostile_addresses_do_no_harm(const struct whorl_transport_ops *ops,
                                            enum wire_ranks ranks)
{
    struct world_spec spec = world_spec_of(ops, ranks, NULL);

    for (uint32_t own = 0; own < 2; own++) {
        for (uint32_t i = 0; i < WH_ADDRESS_NBYTES_MAX; i++) {
            connect_tampered(&spec, own, flip_byte, i);
        }
        for (uint32_t i = 0; i < 20; i++) {
            connect_tampered(&spec, own, scramble, i);
        }
        connect_tampered(&spec, own, erase, 0);
        connect_tampered(&spec, own, erase, 1);
    }
}

/* ---- leaving nothing ------------------------------------------------------------------------ */

static uint32_t count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    uint32_t n = 0;

    cr_assert_not_null(folder);
    while (readdir(folder) != NULL) {
        n++;
    }
    closedir(folder);
    return n;
}

static uint32_t count_mappings(void)
{
    FILE *file = fopen("/proc/self/maps", "r");
    uint32_t n = 0;

    cr_assert_not_null(file);
    for (int c = getc(file); c != EOF; c = getc(file)) {
        n += c == '\n';
    }
    fclose(file);
    return n;
}

static void live_once(const struct world_spec *spec)
{
    struct world_pair pair;

    world_pair_open(spec, &pair);
    cr_assert_eq(world_pair_connect(&pair, 1000), WHORL_OK);
    struct wh_link *out = world_link(&pair.ranks[0], 1, 0, true);
    struct wh_link *in = world_link(&pair.ranks[1], 0, 0, false);
    world_send(&pair.ranks[0], out, 1, 10);
    world_recv(&pair.ranks[1], in, 1, 10);
    world_send(&pair.ranks[0], out, 2, 10);
    out->ops->link_close(out);
    in->ops->link_close(in);
    world_pair_close(&pair);
}

void wire_case_a_thousand_wires_leave_nothing(const struct whorl_transport_ops *ops,
                                              enum wire_ranks ranks)
{
    enum { NLIVES = 1000, SLACK = 50 }; /* the heap may map some, but not every time */
    struct world_spec spec = world_spec_of(ops, ranks, NULL);

    live_once(&spec);
    uint32_t ndescriptors = count_descriptors();
    uint32_t nmappings = count_mappings();
    for (uint32_t i = 0; i < NLIVES; i++) {
        live_once(&spec);
    }
    cr_expect_eq(count_descriptors(), ndescriptors);
    cr_expect_leq(count_mappings(), nmappings + SLACK);
}
