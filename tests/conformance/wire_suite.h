/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every transport must do. A transport's test file is
 *
 *     #include "conformance/wire_suite.h"
 *     #include "shm/shm.h"
 *     WIRE_SUITE(shm, threads)
 *     WIRE_SUITE(shm, processes)
 *
 * and needs the second line of tests only if it connects processes.
 */
#ifndef WH_TESTS_WIRE_SUITE_H
#define WH_TESTS_WIRE_SUITE_H

#include "wire/transport.h"

#include <criterion/criterion.h>

enum wire_ranks { wire_threads, wire_processes };

#define WIRE_TEST(transport, ranks, what)                                    \
    Test(transport_##transport, what##_between_##ranks)                      \
    {                                                                        \
        extern const struct whorl_transport_ops whorl_transport_##transport; \
        wire_case_##what(&whorl_transport_##transport, wire_##ranks);        \
    }

#define WIRE_SUITE(transport, ranks)                                        \
    WIRE_TEST(transport, ranks, messages_arrive_complete_and_in_order)      \
    WIRE_TEST(transport, ranks, a_full_fifo_says_so_and_recovers)           \
    WIRE_TEST(transport, ranks, a_slot_stays_until_it_is_given_away)        \
    WIRE_TEST(transport, ranks, channels_and_directions_are_independent)    \
    WIRE_TEST(transport, ranks, eight_ranks_talk_to_all)                    \
    WIRE_TEST(transport, ranks, a_link_may_open_long_before_its_other_end)  \
    WIRE_TEST(transport, ranks, messages_outlive_their_sender)              \
    WIRE_TEST(transport, ranks, unread_messages_are_no_obstacle_to_closing) \
    WIRE_TEST(transport, ranks, sleepers_are_woken)                         \
    WIRE_TEST(transport, ranks, a_rank_can_send_to_itself)                  \
    WIRE_TEST(transport, ranks, other_hosts_and_processes_are_out_of_reach) \
    WIRE_TEST(transport, ranks, ranks_of_another_geometry_are_out_of_reach) \
    WIRE_TEST(transport, ranks, hostile_addresses_do_no_harm)               \
    WIRE_TEST(transport, ranks, a_thousand_wires_leave_nothing)

void wire_case_messages_arrive_complete_and_in_order(const struct whorl_transport_ops *ops,
                                                     enum wire_ranks ranks);
void wire_case_a_full_fifo_says_so_and_recovers(const struct whorl_transport_ops *ops,
                                                enum wire_ranks ranks);
void wire_case_a_slot_stays_until_it_is_given_away(const struct whorl_transport_ops *ops,
                                                   enum wire_ranks ranks);
void wire_case_channels_and_directions_are_independent(const struct whorl_transport_ops *ops,
                                                       enum wire_ranks ranks);
void wire_case_eight_ranks_talk_to_all(const struct whorl_transport_ops *ops,
                                       enum wire_ranks ranks);
void wire_case_a_link_may_open_long_before_its_other_end(const struct whorl_transport_ops *ops,
                                                         enum wire_ranks ranks);
void wire_case_messages_outlive_their_sender(const struct whorl_transport_ops *ops,
                                             enum wire_ranks ranks);
void wire_case_unread_messages_are_no_obstacle_to_closing(const struct whorl_transport_ops *ops,
                                                          enum wire_ranks ranks);
void wire_case_sleepers_are_woken(const struct whorl_transport_ops *ops, enum wire_ranks ranks);
void wire_case_a_rank_can_send_to_itself(const struct whorl_transport_ops *ops,
                                         enum wire_ranks ranks);
void wire_case_other_hosts_and_processes_are_out_of_reach(const struct whorl_transport_ops *ops,
                                                          enum wire_ranks ranks);
void wire_case_ranks_of_another_geometry_are_out_of_reach(const struct whorl_transport_ops *ops,
                                                          enum wire_ranks ranks);
void wire_case_hostile_addresses_do_no_harm(const struct whorl_transport_ops *ops,
                                            enum wire_ranks ranks);
void wire_case_a_thousand_wires_leave_nothing(const struct whorl_transport_ops *ops,
                                              enum wire_ranks ranks);

#endif
