/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every transport must do. A transport's test file is
 *
 *     #include "conformance/wire_suite.h"
 *     WIRE_SUITE(shm, threads)
 *     WIRE_SUITE(shm, processes)
 *
 * and needs the second line of tests only if it connects processes. One that goes between hosts
 * has WIRE_SUITE_ANY instead, with the name of the suite first, so that the tests can be run more
 * than once with other settings. The cases of functions that a transport may lack are rows of
 * WIRE_SUITE_MESSAGES.
 */
#ifndef WH_TESTS_WIRE_SUITE_H
#define WH_TESTS_WIRE_SUITE_H

#include "wire/transport.h"

#include <criterion/criterion.h>

enum wire_ranks { wire_threads, wire_processes };

#define WIRE_TEST(suite, transport, ranks, what)                             \
    Test(suite, what##_between_##ranks)                                      \
    {                                                                        \
        extern const struct whorl_transport_ops whorl_transport_##transport; \
        wire_case_##what(&whorl_transport_##transport, wire_##ranks);        \
    }

/* Every transport. */
#define WIRE_SUITE_ANY(suite, transport, ranks)                                    \
    WIRE_TEST(suite, transport, ranks, messages_arrive_complete_and_in_order)      \
    WIRE_TEST(suite, transport, ranks, a_sender_is_held_back_and_loses_nothing)    \
    WIRE_TEST(suite, transport, ranks, a_slot_stays_until_it_is_given_away)        \
    WIRE_TEST(suite, transport, ranks, channels_and_directions_are_independent)    \
    WIRE_TEST(suite, transport, ranks, eight_ranks_talk_to_all)                    \
    WIRE_TEST(suite, transport, ranks, a_link_may_open_long_before_its_other_end)  \
    WIRE_TEST(suite, transport, ranks, messages_outlive_their_sender)              \
    WIRE_TEST(suite, transport, ranks, unread_messages_are_no_obstacle_to_closing) \
    WIRE_TEST(suite, transport, ranks, sleepers_are_woken)                         \
    WIRE_TEST(suite, transport, ranks, ranks_of_another_geometry_are_out_of_reach) \
    WIRE_TEST(suite, transport, ranks, hostile_addresses_do_no_harm)               \
    WIRE_TEST(suite, transport, ranks, a_thousand_wires_leave_nothing)

/* Those through memory that both ranks have: a FIFO is exact, and ends at the host. */
#define WIRE_SUITE_LOCAL(suite, transport, ranks)                        \
    WIRE_TEST(suite, transport, ranks, a_full_fifo_says_so_and_recovers) \
    WIRE_TEST(suite, transport, ranks, a_rank_can_send_to_itself)        \
    WIRE_TEST(suite, transport, ranks, other_hosts_and_processes_are_out_of_reach)

/* Those that send from and receive to memory of their users. */
#define WIRE_SUITE_MESSAGES(suite, transport, ranks)                                 \
    WIRE_TEST(suite, transport, ranks, what_was_sent_from_is_the_senders_again)      \
    WIRE_TEST(suite, transport, ranks, messages_larger_than_any_buffer_get_through)  \
    WIRE_TEST(suite, transport, ranks, a_message_goes_where_it_is_wanted)            \
    WIRE_TEST(suite, transport, ranks, a_message_of_another_size_goes_to_a_slot)     \
    WIRE_TEST(suite, transport, ranks, a_message_that_came_first_is_where_it_is)     \
    WIRE_TEST(suite, transport, ranks, all_ways_to_send_and_receive_mix)             \
    WIRE_TEST(suite, transport, ranks, both_directions_carry_large_messages_at_once) \
    WIRE_TEST(suite, transport, ranks, what_was_flushed_outlives_its_sender)

#define WIRE_SUITE(transport, ranks)                        \
    WIRE_SUITE_ANY(transport_##transport, transport, ranks) \
    WIRE_SUITE_LOCAL(transport_##transport, transport, ranks)

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
void wire_case_a_sender_is_held_back_and_loses_nothing(const struct whorl_transport_ops *ops,
                                                       enum wire_ranks ranks);
void wire_case_what_was_sent_from_is_the_senders_again(const struct whorl_transport_ops *ops,
                                                       enum wire_ranks ranks);
void wire_case_messages_larger_than_any_buffer_get_through(const struct whorl_transport_ops *ops,
                                                           enum wire_ranks ranks);
void wire_case_a_message_goes_where_it_is_wanted(const struct whorl_transport_ops *ops,
                                                 enum wire_ranks ranks);
void wire_case_a_message_of_another_size_goes_to_a_slot(const struct whorl_transport_ops *ops,
                                                        enum wire_ranks ranks);
void wire_case_a_message_that_came_first_is_where_it_is(const struct whorl_transport_ops *ops,
                                                        enum wire_ranks ranks);
void wire_case_all_ways_to_send_and_receive_mix(const struct whorl_transport_ops *ops,
                                                enum wire_ranks ranks);
void wire_case_both_directions_carry_large_messages_at_once(const struct whorl_transport_ops *ops,
                                                            enum wire_ranks ranks);
void wire_case_what_was_flushed_outlives_its_sender(const struct whorl_transport_ops *ops,
                                                    enum wire_ranks ranks);

#endif
