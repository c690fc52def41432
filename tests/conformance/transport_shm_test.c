/* SPDX-License-Identifier: Apache-2.0 */
#include "../../transports/shm/shm.h"
#include "conformance/wire_suite.h"
#include "conformance/wire_world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

WIRE_SUITE(shm, threads)
WIRE_SUITE(shm, processes)

static const struct world_spec pair_spec = {.ops = &whorl_transport_shm,
                                            .ranks = wire_processes,
                                            .nranks = 2,
                                            .nchannels = 2,
                                            .nslots = 3,
                                            .slot_nbytes = 8192};

static struct shm_wire *shm_of(struct world_pair *pair, uint32_t rank)
{
    return (struct shm_wire *)pair->ranks[rank].wire;
}

/* How many lines of a file of /proc contain text? */
static uint32_t count_lines_with(const char *path, const char *text)
{
    char line[512];
    uint32_t n = 0;
    FILE *file = fopen(path, "r");

    cr_assert_not_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        n += strstr(line, text) != NULL;
    }
    fclose(file);
    return n;
}

/* ---- nothing has a name --------------------------------------------------------------------- */

Test(shm, dev_shm_is_not_used)
{
    struct world_pair pair;
    uint32_t nbefore = count_lines_with("/proc/self/maps", "/dev/shm"); /* Criterion has some */

    world_pair_open(&pair_spec, &pair);
    cr_assert_eq(world_pair_connect(&pair, 100), WHORL_OK);
    struct wh_link *link = world_link(&pair.ranks[0], 1, 0, true);
    cr_expect_eq(count_lines_with("/proc/self/maps", "/memfd:whorl-shm"), 3);
    cr_expect_eq(count_lines_with("/proc/self/maps", "/dev/shm"), nbefore);
    link->ops->link_close(link);
    world_pair_close(&pair);
    cr_expect_eq(count_lines_with("/proc/self/maps", "whorl-shm"), 0);
}

/* Rank 0 of two, whose guest never comes: tells its address and waits to be killed. */
static void live_until_killed(uint8_t *address, _Atomic int32_t *is_told)
{
    static struct world_pair pair;

    world_pair_open(&pair_spec, &pair);
    whorl_transport_shm.address(pair.ranks[0].wire, address);
    atomic_store(is_told, 1);
    for (;;) {
        pause();
    }
}

Test(shm, a_killed_rank_leaves_no_socket, .timeout = 20)
{
    struct shared {
        _Atomic int32_t is_told;
        uint8_t address[WH_ADDRESS_NBYTES_MAX];
    } *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    cr_assert(shared != MAP_FAILED);
    pid_t pid = fork();
    if (pid == 0) {
        live_until_killed(shared->address, &shared->is_told);
    }
    while (atomic_load(&shared->is_told) == 0) {
        usleep(1000);
    }

    char name[40];
    int used = snprintf(name, sizeof(name), "@whorl-");
    for (int i = 0; i < 16; i++) {
        used += snprintf(name + used, sizeof(name) - (size_t)used, "%02x", shared->address[32 + i]);
    }
    cr_expect_gt(count_lines_with("/proc/net/unix", name), 0, "%s", name);
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    cr_expect_eq(count_lines_with("/proc/net/unix", name), 0, "%s", name);
    munmap(shared, sizeof(*shared));
}

Test(shm, nobody_listens_after_connecting)
{
    struct world_pair pair;

    world_pair_open(&pair_spec, &pair);
    cr_expect_not_null(shm_of(&pair, 0)->offer);
    cr_assert_eq(world_pair_connect(&pair, 100), WHORL_OK);
    cr_expect_null(shm_of(&pair, 0)->offer);
    cr_expect_eq(shm_of(&pair, 1)->sock, -1);
    world_pair_close(&pair);
}

/* ---- who is in ------------------------------------------------------------------------------ */

Test(shm, another_segment_than_the_promised_one_is_refused)
{
    struct world_pair pair;
    const char *why = NULL;

    world_pair_open(&pair_spec, &pair);
    shm_of(&pair, 0)->control->header.nonce[3] ^= 1;
    cr_assert_eq(world_pair_connect(&pair, 100), WHORL_IN_PROGRESS); /* rank 0 waits for rank 1 */
    cr_expect_not(whorl_transport_shm.reaches(pair.ranks[1].wire, 0, &why));
    cr_expect_not_null(why);
    cr_expect_null(whorl_transport_shm.bell(pair.ranks[1].wire));
    world_pair_close(&pair);
}

Test(shm, a_member_that_comes_too_late_is_out_on_both_sides)
{
    struct world_pair pair;
    const char *why = NULL;

    world_pair_open(&pair_spec, &pair);
    atomic_store(&shm_of(&pair, 0)->control->members[1].state, SHM_LOST);
    cr_assert_neq(world_pair_connect(&pair, 100), WHORL_IN_PROGRESS);
    cr_expect_not(whorl_transport_shm.reaches(pair.ranks[0].wire, 1, &why));
    cr_expect(whorl_transport_shm.reaches(pair.ranks[0].wire, 0, &why));
    world_pair_close(&pair);
}

Test(shm, a_member_whose_address_makes_no_sense_is_not_waited_for)
{
    for (uint32_t byte = 0; byte < 16; byte++) { /* magic, version, channels */
        struct world_pair pair;
        uint8_t addresses[2][WH_ADDRESS_NBYTES_MAX] = {{0}};
        const char *why = NULL;

        world_pair_open(&pair_spec, &pair);
        for (uint32_t i = 0; i < 2; i++) {
            whorl_transport_shm.address(pair.ranks[i].wire, addresses[i]);
        }
        addresses[1][byte] ^= 1;
        for (uint32_t i = 0; i < 2; i++) { /* both come to the same answer, without each other */
            struct wh_transport_wire *wire = pair.ranks[i].wire;
            cr_expect_eq(whorl_transport_shm.connect(wire, addresses[0]), WHORL_OK);
            cr_expect_not(whorl_transport_shm.reaches(wire, 1 - i, &why));
            cr_expect_not_null(why);
        }
        world_pair_close(&pair);
    }
}

Test(shm, the_leader_gives_up_on_a_member_that_never_comes)
{
    struct world_pair pair;
    uint8_t addresses[2][WH_ADDRESS_NBYTES_MAX] = {{0}};
    const char *why = NULL;

    world_pair_open(&pair_spec, &pair);
    struct shm_wire *leader = shm_of(&pair, 0);
    for (uint32_t i = 0; i < 2; i++) {
        whorl_transport_shm.address(pair.ranks[i].wire, addresses[i]);
    }
    cr_assert_eq(whorl_transport_shm.connect(&leader->base, addresses[0]), WHORL_IN_PROGRESS);
    leader->deadline_ns = 0;
    cr_assert_eq(whorl_transport_shm.connect(&leader->base, addresses[0]), WHORL_OK);
    cr_expect_not(whorl_transport_shm.reaches(&leader->base, 1, &why));
    cr_expect_not_null(why);
    world_pair_close(&pair);
}

/* ---- what a peer could write ---------------------------------------------------------------- */

struct rig {
    struct world_pair pair;
    struct wh_link *out, *in;
    struct shm_window *window; /* of the link from 0 to 1, as a third party maps it */
};

static void rig_open(struct rig *rig)
{
    void *window;

    world_pair_open(&pair_spec, &rig->pair);
    cr_assert_eq(world_pair_connect(&rig->pair, 100), WHORL_OK);
    rig->out = world_link(&rig->pair.ranks[0], 1, 0, true);
    rig->in = world_link(&rig->pair.ranks[1], 0, 0, false);

    const struct shm_wire *wire = shm_of(&rig->pair, 0);
    const struct shm_layout *layout = &wire->layout;
    cr_assert_eq(wh_shmem_map(wire->fd, layout->control_nbytes + 2 * layout->window_nbytes,
                              layout->window_nbytes, &window),
                 WHORL_OK);
    rig->window = window;
}

static void rig_close(struct rig *rig)
{
    wh_shmem_unmap(rig->window, shm_of(&rig->pair, 0)->layout.window_nbytes);
    whorl_transport_shm.link_close(rig->out);
    whorl_transport_shm.link_close(rig->in);
    world_pair_close(&rig->pair);
}

static void post(struct rig *rig)
{
    struct wh_slot slot;

    cr_assert_eq(whorl_transport_shm.acquire(rig->out, &slot), WHORL_OK);
    cr_assert_eq(whorl_transport_shm.post(rig->out, 8), WHORL_OK);
}

Test(shm, a_message_larger_than_its_slot_is_refused)
{
    struct rig rig;
    struct wh_slot slot;

    rig_open(&rig);
    post(&rig);
    struct shm_slot *first = (struct shm_slot *)(void *)rig.window->slots;
    cr_assert_eq(atomic_load(&first->seq), 1);
    atomic_store(&first->nbytes, 8192);
    cr_expect_eq(whorl_transport_shm.poll(rig.in, &slot), WHORL_OK);
    atomic_store(&first->nbytes, 8193);
    cr_expect_eq(whorl_transport_shm.poll(rig.in, &slot), WHORL_E_PEER);
    atomic_store(&first->nbytes, UINT64_MAX);
    cr_expect_eq(whorl_transport_shm.poll(rig.in, &slot), WHORL_E_PEER);
    rig_close(&rig);
}

Test(shm, giving_back_more_than_was_sent_is_refused)
{
    struct rig rig;
    struct wh_slot slot;

    rig_open(&rig);
    for (uint32_t i = 0; i < pair_spec.nslots; i++) {
        post(&rig);
    }
    atomic_store(&rig.window->released, pair_spec.nslots + 1);
    cr_expect_eq(whorl_transport_shm.acquire(rig.out, &slot), WHORL_E_PEER);
    atomic_store(&rig.window->released, UINT64_MAX);
    cr_expect_eq(whorl_transport_shm.acquire(rig.out, &slot), WHORL_E_PEER);
    rig_close(&rig);
}

Test(shm, a_counter_that_goes_back_frees_no_slot)
{
    struct rig rig;
    struct wh_slot slot;

    rig_open(&rig);
    for (uint32_t i = 0; i < pair_spec.nslots; i++) {
        post(&rig);
    }
    atomic_store(&rig.window->released, 1);
    post(&rig);
    atomic_store(&rig.window->released, 0);
    cr_expect_eq(whorl_transport_shm.acquire(rig.out, &slot), WHORL_IN_PROGRESS);
    rig_close(&rig);
}

/* ---- cost ----------------------------------------------------------------------------------- */

Test(shm, untouched_windows_cost_no_memory)
{
    struct world_pair pair;
    struct world_spec spec = pair_spec;

    spec.nchannels = 64;
    spec.slot_nbytes = 64 << 20;
    world_pair_open(&spec, &pair);
    cr_assert_eq(world_pair_connect(&pair, 100), WHORL_OK);
    uint64_t before = whorl_transport_shm.memory_nbytes(pair.ranks[0].wire);
    cr_expect_leq(before, 1 << 20);
    cr_expect_eq(whorl_transport_shm.memory_nbytes(pair.ranks[1].wire), 0);

    struct wh_link *in = world_link(&pair.ranks[0], 1, 63, false);
    cr_expect_eq(whorl_transport_shm.memory_nbytes(pair.ranks[0].wire), before);
    struct wh_link *out = world_link(&pair.ranks[0], 1, 63, true);
    cr_expect_geq(whorl_transport_shm.memory_nbytes(pair.ranks[0].wire), before + 3 * (64 << 20));
    whorl_transport_shm.link_close(in);
    whorl_transport_shm.link_close(out);
    world_pair_close(&pair);
}
