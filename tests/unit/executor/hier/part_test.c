/* SPDX-License-Identifier: Apache-2.0 */
#include "world.h"

#include <criterion/criterion.h>

/* Rank 0 of "aab" (or of shape) in the middle of a call, of which parts are made. */
struct middle {
    struct world world;
    struct call *call;
    struct wh_hier *hier;
};

static void begin(struct middle *m, const struct world_shape *shape, const char *algo,
                  const struct call_spec *spec)
{
    world_open(&m->world, shape, &(struct world_choices){.algo = algo}, 1);
    m->call = call_create(spec, m->world.n);
    m->hier = m->world.hiers[0];
    const struct call_rank *mine = &m->call->ranks[0];
    cr_assert_eq(wh_hier_start(m->hier, mine->coll, mine->root, &mine->op), WHORL_OK);
}

static void end(struct middle *m)
{
    call_destroy(m->call);
    world_close(&m->world);
}

static const struct hier_part *make(struct middle *m, uint32_t phase, uint64_t piece, uint32_t cell)
{
    struct hier_part *part = &m->hier->host_part;
    hier_part_make(m->hier, part, &m->hier->run.composition->phases[phase], piece, cell);
    return part;
}

Test(part, equal_blocks_take_the_plain_collective)
{
    struct middle m;
    begin(&m, &(struct world_shape){.nlocal = {2, 2}}, "rails",
          &(struct call_spec){.coll = WH_COLL_ALL_REDUCE, .count = 100, .dtype = WHORL_INT32});
    const struct hier_part *part = make(&m, 0, 0, 0);
    cr_expect_eq(part->coll, WH_COLL_REDUCE_SCATTER);
    cr_expect_eq(part->op.count, 50);
    cr_expect_null(part->op.send_counts);
    cr_expect_eq(part->op.input, m.hier->run.op->input);
    end(&m);
}

Test(part, other_blocks_take_the_one_with_counts)
{
    struct middle m;
    begin(&m, &(struct world_shape){.nlocal = {3, 2}}, "rails",
          &(struct call_spec){.coll = WH_COLL_ALL_REDUCE, .count = 101, .dtype = WHORL_INT32});
    const struct hier_part *part = make(&m, 0, 0, 0);
    cr_expect_eq(part->coll, WH_COLL_REDUCE_SCATTER_V);
    cr_assert_not_null(part->op.send_counts);
    cr_expect_eq(part->op.count, part->op.send_counts[0]);
    cr_expect_eq(part->op.send_counts[0] + part->op.send_counts[1], 101);
    cr_expect_eq(part->op.send_counts[2], 0);
    cr_expect_eq(part->op.send_displs[1], part->op.send_counts[0]);
    end(&m);
}

Test(part, blocks_of_a_rail_are_where_its_ranks_are)
{
    struct middle m;
    begin(&m, &(struct world_shape){.nlocal = {2, 2}}, "rails",
          &(struct call_spec){.coll = WH_COLL_ALL_GATHER, .count = 10, .dtype = WHORL_INT32});
    hier_part_make(m.hier, &m.hier->rail_part, &m.hier->run.composition->phases[0], 0, 0);
    const struct hier_part *part = &m.hier->rail_part;
    cr_expect_eq(part->coll, WH_COLL_ALL_GATHER); /* schedules take counts as they are */
    cr_expect_eq(part->op.count, 10);
    cr_expect_eq(part->op.recv_displs[1], 20);
    cr_expect_eq(part->op.recv_counts[1], 10);
    end(&m);
}

Test(part, a_slice_of_several_blocks_is_done_cell_by_cell)
{
    struct middle m;
    begin(&m, &(struct world_shape){.nlocal = {2, 1}}, "leader",
          &(struct call_spec){.coll = WH_COLL_ALL_GATHER, .count = 100000, .dtype = WHORL_INT32});
    const struct hier_run *run = &m.hier->run;
    cr_assert_gt(run->cut.npieces, 1);
    hier_part_make(m.hier, &m.hier->rail_part, &run->composition->phases[1], 1, 1);
    const struct wh_op *op = &m.hier->rail_part.op;
    cr_expect_eq(op->recv_counts[0], run->cut.piece_nelems);
    cr_expect_eq(op->recv_displs[0], 100000 + run->cut.piece_nelems);
    cr_expect_eq(op->recv_counts[1], 0);
    end(&m);
}

Test(part, sums_are_scaled_first_and_divided_last)
{
    struct call_spec spec = {.coll = WH_COLL_ALL_REDUCE,
                             .count = 100,
                             .dtype = WHORL_FLOAT32,
                             .redop = WHORL_AVG};
    struct middle m;
    begin(&m, &(struct world_shape){.nlocal = {2, 2}}, "rails", &spec);
    cr_expect_eq(make(&m, 0, 0, 0)->op.redop, WHORL_SUM);
    cr_expect_eq(make(&m, 1, 0, 0)->op.redop, WHORL_AVG);
    cr_expect_eq(make(&m, 1, 0, 0)->op.avg_nparts, 4);
    cr_expect_eq(make(&m, 2, 0, 0)->op.redop, WH_REDOP_NONE);
    end(&m);
    spec.redop = WH_REDOP_PREMUL_SUM;
    begin(&m, &(struct world_shape){.nlocal = {2, 2}}, "rails", &spec);
    cr_expect_eq(make(&m, 0, 0, 0)->op.redop, WH_REDOP_PREMUL_SUM);
    cr_expect_arr_eq(make(&m, 0, 0, 0)->op.premul_scalar, m.hier->run.op->premul_scalar, 4);
    cr_expect_eq(make(&m, 1, 0, 0)->op.redop, WHORL_SUM);
    end(&m);
}

Test(part, every_operation_is_the_users_call_with_a_number_of_its_own)
{
    struct middle m;
    begin(&m, &(struct world_shape){.nlocal = {2, 2}}, "rails",
          &(struct call_spec){.coll = WH_COLL_ALL_REDUCE, .count = 500000, .dtype = WHORL_INT32});
    struct wh_signature first = make(&m, 0, 0, 0)->as, other = make(&m, 2, 0, 0)->as;
    cr_expect_eq(first.coll, WH_COLL_ALL_REDUCE);
    cr_expect_eq(first.count, 500000);
    cr_expect_neq(first.algo, other.algo);
    cr_expect_neq(first.algo, make(&m, 0, 1, 0)->as.algo);
    other.algo = first.algo;
    cr_expect_arr_eq(&first, &other, sizeof(first));
    end(&m);
}
