/* SPDX-License-Identifier: Apache-2.0 */
/* Splits: who is in which part, in which order, and that parts and whole work side by side. */
#include "harness/cases.h"
#include "harness/ranks.h"

#include <criterion/criterion.h>
#include <string.h>

static void expect_place(struct rank *rank, whorl_comm_t comm, int want_rank, int want_nranks)
{
    int got_rank = -1, got_nranks = -1;
    RANK_OK(rank, whorl_comm_rank(comm, &got_rank));
    RANK_OK(rank, whorl_comm_size(comm, &got_nranks));
    RANK_CHECK(rank, got_rank == want_rank && got_nranks == want_nranks,
               "rank %d of %d, not %d of %d", got_rank, got_nranks, want_rank, want_nranks);
}

static void use(struct rank *rank, whorl_comm_t comm, uint64_t seed)
{
    for (int kind = 0; kind < CASE_KINDS; kind++) {
        struct coll_case c = {
            .kind = (enum case_kind)kind,
            .count = 2000,
            .dtype = WHORL_FLOAT16,
            .op = WHORL_MAX,
            .in_place = kind % 2 == 0,
            .seed = seed + (uint64_t)kind,
        };
        case_do(rank, comm, &c);
    }
}

static void split_odd_and_even(struct rank *rank)
{
    int color = rank->rank % 2;
    whorl_comm_t part = NULL;
    RANK_OK(rank, whorl_comm_split(rank->comm, color, 0, NULL, &part));
    expect_place(rank, part, rank->rank / 2, (rank->nranks + 1 - color) / 2);
    use(rank, part, 10);
    use(rank, rank->comm, 20);
    use(rank, part, 30);
    RANK_OK(rank, whorl_comm_finalize(part));
    RANK_OK(rank, whorl_comm_destroy(part));
    use(rank, rank->comm, 40);
}

Test(splits, by_color_keep_the_old_order)
{
    ranks_run(&(struct ranks_job){.nprocesses = 5, .run = split_odd_and_even});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = split_odd_and_even});
    ranks_run(&(struct ranks_job){.nprocesses = 2, .nthreads = 2, .run = split_odd_and_even});
}

static void turn_round(struct rank *rank)
{
    whorl_comm_t part = NULL;
    RANK_OK(rank, whorl_comm_split(rank->comm, 7, -rank->rank, NULL, &part));
    expect_place(rank, part, rank->nranks - 1 - rank->rank, rank->nranks);
    use(rank, part, 1);
    RANK_OK(rank, whorl_comm_destroy(part));

    RANK_OK(rank, whorl_comm_split(rank->comm, 0, rank->rank == 2 ? -5 : 9, NULL, &part));
    int places[] = {1, 2, 0, 3};
    expect_place(rank, part, places[rank->rank], rank->nranks);
    RANK_OK(rank, whorl_comm_destroy(part));
}

Test(splits, order_ranks_by_key_and_then_by_old_rank)
{
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = turn_round});
}

static void leave_some_out(struct rank *rank)
{
    bool out = rank->rank == 1;
    whorl_comm_t part = rank->comm;
    RANK_OK(rank, whorl_comm_split(rank->comm, out ? WHORL_SPLIT_NOCOLOR : 0, 0, NULL, &part));
    if (out) {
        RANK_CHECK(rank, part == NULL, "a rank without a color got a communicator");
    } else {
        expect_place(rank, part, rank->rank == 0 ? 0 : rank->rank - 1, rank->nranks - 1);
        use(rank, part, 3);
    }
    RANK_OK(rank, whorl_comm_destroy(part));
    use(rank, rank->comm, 4);
}

Test(splits, leave_out_ranks_without_a_color)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = leave_some_out});
    ranks_run(&(struct ranks_job){.nthreads = 3, .run = leave_some_out});
}

static void leave_all_out(struct rank *rank)
{
    whorl_comm_t part = rank->comm;
    RANK_OK(rank, whorl_comm_split(rank->comm, WHORL_SPLIT_NOCOLOR, 0, NULL, &part));
    RANK_CHECK(rank, part == NULL, "a communicator of nobody");
    use(rank, rank->comm, 4);
}

Test(splits, may_leave_out_everybody)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = leave_all_out});
}

static void split_alone(struct rank *rank)
{
    whorl_comm_t part = NULL;
    RANK_OK(rank, whorl_comm_split(rank->comm, rank->rank, 0, NULL, &part));
    expect_place(rank, part, 0, 1);
    use(rank, part, 1);
    RANK_OK(rank, whorl_comm_destroy(part));
}

Test(splits, make_communicators_of_one_rank)
{
    ranks_run(&(struct ranks_job){.nprocesses = 3, .run = split_alone});
    ranks_run(&(struct ranks_job){.run = split_alone});
}

static void outlive_the_parent(struct rank *rank)
{
    whorl_comm_t part = NULL, smaller = NULL;
    RANK_OK(rank, whorl_comm_split(rank->comm, rank->rank / 2, 0, NULL, &part));
    RANK_OK(rank, whorl_comm_destroy(rank->comm));
    rank->comm = NULL;
    use(rank, part, 5);
    RANK_OK(rank, whorl_comm_split(part, 0, -rank->rank, NULL, &smaller));
    use(rank, smaller, 6);
    RANK_OK(rank, whorl_comm_destroy(part));
    use(rank, smaller, 7);
    RANK_OK(rank, whorl_comm_finalize(smaller));
    RANK_OK(rank, whorl_comm_destroy(smaller));
}

Test(splits, outlive_their_parents)
{
    ranks_run(&(struct ranks_job){.nprocesses = 4, .run = outlive_the_parent});
    ranks_run(&(struct ranks_job){.nthreads = 4, .run = outlive_the_parent});
}

static void name_a_bad_color(struct rank *rank)
{
    whorl_comm_t part = NULL;
    RANK_EXPECT(rank, WHORL_E_ARG, whorl_comm_split(rank->comm, -2, 0, NULL, &part));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "color");
    RANK_CHECK(rank, part == NULL, "written on failure");
    use(rank, rank->comm, 8);
}

Test(splits, refuse_negative_colors_and_leave_the_communicator_working)
{
    ranks_run(&(struct ranks_job){.nprocesses = 2, .run = name_a_bad_color});
}
