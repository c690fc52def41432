/* SPDX-License-Identifier: Apache-2.0 */
/* Members: what a rank says of itself arrives, and what is no text becomes harmless text. */
#include "comm/members.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

Test(members, bytes_give_back_what_went_in)
{
    struct wh_comm_member in = {
        .host_key = UINT64_C(0x1122334455667788),
        .process_key = UINT64_MAX,
        .pid = 4194304,
        .ncpus = 3,
        .cpus_key = UINT64_C(0x99aabbccddeeff00),
        .arena_colls = UINT64_C(0x123456789),
        .place = {.keys = {UINT64_C(0x8070605040302010), 2}},
        .host = "node-7.example",
    };
    struct wh_comm_member out;
    uint8_t bytes[WH_COMM_MEMBER_NBYTES];
    wh_comm_member_encode(&in, bytes);
    wh_comm_member_decode(bytes, &out);
    cr_expect_eq(out.host_key, in.host_key);
    cr_expect_eq(out.process_key, in.process_key);
    cr_expect_eq(out.pid, in.pid);
    cr_expect_eq(out.ncpus, in.ncpus);
    cr_expect_eq(out.cpus_key, in.cpus_key);
    cr_expect_eq(out.arena_colls, in.arena_colls);
    cr_expect_eq(out.place.keys[WH_TOPOLOGY_LLC], in.place.keys[WH_TOPOLOGY_LLC]);
    cr_expect_eq(out.place.keys[WH_TOPOLOGY_NUMA], in.place.keys[WH_TOPOLOGY_NUMA]);
    cr_expect_str_eq(out.host, in.host);
}

Test(members, a_host_name_of_any_bytes_ends_and_can_be_printed)
{
    for (int fill = 0; fill < 256; fill++) {
        uint8_t bytes[WH_COMM_MEMBER_NBYTES];
        struct wh_comm_member member;
        memset(bytes, fill, sizeof(bytes));
        memset(&member, 'x', sizeof(member));
        wh_comm_member_decode(bytes, &member);
        size_t nbytes = strnlen(member.host, sizeof(member.host));
        cr_expect_lt(nbytes, sizeof(member.host));
        cr_expect_eq(nbytes, fill == 0 ? 0 : sizeof(member.host) - 1);
        for (size_t i = 0; i < nbytes; i++) {
            cr_expect(member.host[i] > ' ' && member.host[i] <= '~', "byte %d", fill);
        }
    }
}

Test(members, self_is_this_process)
{
    struct wh_comm_member a, b;
    memset(&a, 0xff, sizeof(a));
    cr_assert_eq(wh_comm_member_self(&a), WHORL_OK);
    cr_assert_eq(wh_comm_member_self(&b), WHORL_OK);
    cr_expect_eq(a.pid, (uint32_t)getpid());
    cr_expect_geq(a.ncpus, 1);
    cr_expect_gt(strlen(a.host), 0);
    cr_expect_eq(a.process_key, b.process_key);
    cr_expect_eq(a.host_key, b.host_key);
    for (size_t i = strlen(a.host); i < sizeof(a.host); i++) {
        cr_expect_eq(a.host[i], 0, "nothing of the stack travels");
    }
}

Test(members, a_place_is_looked_up_once_in_a_process)
{
    const struct wh_config bad = {.topo_file = "synthetic:nonsense", .topo_cpus = ""};
    const struct wh_config none = {.topo_file = "", .topo_cpus = ""};
    struct wh_topology_place first, again;
    cr_expect_eq(wh_comm_member_place(&bad, &first), WHORL_E_CONFIG);
    cr_expect_eq(wh_comm_member_place(&none, &first), WHORL_OK, "a failure is not kept");
    cr_expect_eq(wh_comm_member_place(&bad, &again), WHORL_OK);
    cr_expect_eq(memcmp(&first, &again, sizeof(first)), 0);
}

Test(members, a_child_is_another_process)
{
    struct wh_comm_member mine;
    cr_assert_eq(wh_comm_member_self(&mine), WHORL_OK);
    pid_t child = fork();
    cr_assert_geq(child, 0);
    if (child == 0) {
        struct wh_comm_member its;
        bool ok = wh_comm_member_self(&its) == WHORL_OK && its.process_key != mine.process_key &&
                  its.host_key == mine.host_key;
        _exit(ok ? 0 : 1);
    }
    int status = -1;
    cr_assert_eq(waitpid(child, &status, 0), child);
    cr_expect_eq(status, 0);
}
