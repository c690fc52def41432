/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two levels, seen from outside: that every way comes to the same bits, that operations do not
 * disturb each other, and how much crosses between groups.
 */
#include "base/macros.h"
#include "levels_world.h"

#include <signal.h>

/* Next to each other, in turns, and anyhow. */
static const char *const shapes[] = {
    "0011",   "0101",   "0110",     "000111",           "010101",           "001122",
    "012012", "010212", "00001111", "0011223344556677", "0000111122223333", "0123012301230123",
};

/* ---- results -------------------------------------------------------------------------------- */

Test(levels_across, sums_are_those_of_the_groups_in_the_order_of_groups)
{
    static const size_t nbytes[] = {8200, 12288, 16384 + 4, 5 * 4096 + 64, 40000, 65536 + 8};
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        struct levels_world w;
        levels_open(&w, shapes[s], LEVELS_CHUNK_NBYTES, false);
        for (size_t i = 0; i < ARRAY_LEN(nbytes); i++) {
            for (int in_place = 0; in_place < 2; in_place++) {
                levels_do(&w, (struct levels_call){.coll = WH_COLL_ALL_REDUCE,
                                                   .count = nbytes[i] / 4,
                                                   .dtype = WHORL_FLOAT32,
                                                   .redop = WHORL_SUM,
                                                   .in_place = in_place,
                                                   .seed = 100 * s + i});
                for (uint32_t r = 0; r < w.n; r++) {
                    cr_assert_eq(w.arenas[r]->run.way, ARENA_LEVELS);
                }
            }
        }
        levels_close(&w);
    }
}

Test(levels_across, every_datatype_and_reduction_comes_out)
{
    static const char *const few[] = {"0011", "012012"};
    for (size_t s = 0; s < ARRAY_LEN(few); s++) {
        struct levels_world w;
        levels_open(&w, few[s], LEVELS_CHUNK_NBYTES, false);
        for (int dtype = 0; dtype < WHORL_DTYPE_COUNT; dtype++) {
            for (int redop = 0; redop < WHORL_REDOP_COUNT; redop++) {
                levels_do(&w, (struct levels_call){.coll = WH_COLL_ALL_REDUCE,
                                                   .count = 9001,
                                                   .dtype = (whorl_dtype_t)dtype,
                                                   .redop = (uint8_t)redop,
                                                   .in_place = (dtype + redop) % 2 == 0,
                                                   .seed = (uint64_t)(dtype * 100 + redop)});
            }
        }
        for (int in_place = 0; in_place < 2; in_place++) {
            levels_do(&w, (struct levels_call){.coll = WH_COLL_ALL_REDUCE,
                                               .count = 9001,
                                               .dtype = WHORL_FLOAT32,
                                               .redop = WH_REDOP_PREMUL_SUM,
                                               .in_place = in_place});
        }
        levels_close(&w);
    }
}

/* ---- the same bits in every way ------------------------------------------------------------- */

Test(levels_across, bits_do_not_depend_on_the_way)
{
    static const whorl_dtype_t dtypes[] = {WHORL_FLOAT32, WHORL_BFLOAT16};
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        struct levels_world w;
        levels_open(&w, shapes[s], LEVELS_CHUNK_NBYTES, false);
        /* In slots, beside the tag and behind it; two-shot; exchange; levels. */
        const struct levels_call calls[] = {
            {.coll = WH_COLL_ALL_REDUCE, .count = 3},
            {.coll = WH_COLL_ALL_REDUCE, .count = 1500},
            {.coll = WH_COLL_REDUCE, .count = 20001, .root = w.n - 1},
            {.coll = WH_COLL_REDUCE_SCATTER, .count = 3001},
            {.coll = WH_COLL_ALL_REDUCE, .count = 20001},
        };
        for (size_t i = 0; i < ARRAY_LEN(dtypes) * ARRAY_LEN(calls); i++) {
            struct levels_call c = calls[i % ARRAY_LEN(calls)];
            c.dtype = dtypes[i / ARRAY_LEN(calls)];
            c.redop = WHORL_AVG;
            levels_do(&w, c);
        }
        levels_close(&w);

        levels_open(&w, shapes[s], LEVELS_CHUNK_NBYTES, true);
        levels_do(&w, (struct levels_call){.coll = WH_COLL_ALL_REDUCE,
                                           .count = 20001,
                                           .dtype = WHORL_FLOAT32,
                                           .redop = WHORL_SUM});
        cr_assert_eq(w.arenas[0]->run.way, ARENA_DIRECT);
        levels_close(&w);
    }
}

Test(levels_across, the_order_of_groups_gives_other_bits_than_the_order_of_ranks)
{
    /* Or the tests above would show nothing. */
    static const uint32_t flat[LEVELS_RANKS_MAX] = {0};
    struct levels_world w;
    levels_open(&w, "0101", LEVELS_CHUNK_NBYTES, false);
    struct levels_call c = {
        .coll = WH_COLL_ALL_REDUCE, .count = 5000, .dtype = WHORL_FLOAT32, .redop = WHORL_SUM};
    levels_begin(&w, &c);
    uint8_t *by_groups = levels_reference(&c, w.groups, w.ngroups);
    uint8_t *by_ranks = levels_reference(&c, flat, 1);
    cr_expect_neq(memcmp(by_groups, by_ranks, 20000), 0);
    free(by_groups);
    free(by_ranks);
    levels_end(&c);
    levels_close(&w);
}

Test(levels_across, one_group_is_flat)
{
    struct levels_world w;
    levels_open(&w, "0000", LEVELS_CHUNK_NBYTES, false);
    levels_do(&w, (struct levels_call){.coll = WH_COLL_ALL_REDUCE,
                                       .count = 20001,
                                       .dtype = WHORL_FLOAT32,
                                       .redop = WHORL_SUM});
    cr_assert_eq(w.arenas[0]->run.way, ARENA_TWOSHOT);
    levels_close(&w);
}

/* Depends on the order, and on which operand is left. */
static void append(const void *in, void *inout, size_t count, whorl_dtype_t dtype, void *ctx)
{
    (void)dtype;
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        uint64_t left, right;
        memcpy(&left, (const uint8_t *)inout + 8 * i, 8);
        memcpy(&right, (const uint8_t *)in + 8 * i, 8);
        left = left * 31 + right;
        memcpy((uint8_t *)inout + 8 * i, &left, 8);
    }
}

Test(levels_across, functions_of_the_user_see_the_order_of_ranks)
{
    struct levels_world w;
    levels_open(&w, "0101", LEVELS_CHUNK_NBYTES, false);
    for (size_t count = 7; count < 3000; count += 1200) {
        struct levels_call c = {.coll = WH_COLL_ALL_REDUCE,
                                .count = count,
                                .dtype = WHORL_UINT64,
                                .redop = WH_REDOP_USER};
        levels_begin(&w, &c);
        for (uint32_t r = 0; r < w.n; r++) {
            c.ops[r].user.fn = append;
        }
        levels_play(&w, &c, 1);
        for (uint32_t r = 1; r < w.n; r++) {
            append(c.inputs[r], c.inputs[0], count, WHORL_UINT64, NULL);
        }
        for (uint32_t r = 0; r < w.n; r++) {
            cr_assert_eq(memcmp(c.recvs[r], c.inputs[0], 8 * count), 0, "rank %u", r);
        }
        levels_end(&c);
    }
    levels_close(&w);
}

/* ---- one operation after another ------------------------------------------------------------ */

static struct levels_call random_call(uint64_t *random, uint32_t n)
{
    static const enum wh_coll colls[] = {WH_COLL_ALL_REDUCE,     WH_COLL_ALL_REDUCE,
                                         WH_COLL_ALL_REDUCE,     WH_COLL_REDUCE,
                                         WH_COLL_REDUCE_SCATTER, WH_COLL_ALL_GATHER};
    struct levels_call c = {
        .coll = colls[levels_random(random) % ARRAY_LEN(colls)],
        .count = 1 + levels_random(random) % (levels_random(random) % 2 ? 100 : 6000),
        .dtype = WHORL_FLOAT32,
        .root = (uint32_t)(levels_random(random) % n),
        .seed = levels_random(random),
    };
    c.redop = c.coll == WH_COLL_ALL_GATHER ? WH_REDOP_NONE : WHORL_SUM;
    /* In place, the others want their block at another place. */
    c.in_place = c.coll == WH_COLL_ALL_REDUCE && levels_random(random) % 2;
    if (c.coll == WH_COLL_ALL_REDUCE && levels_random(random) % 4 == 0) {
        c.redop = WH_REDOP_PREMUL_SUM;
    }
    return c;
}

Test(levels_across, operations_one_after_the_other_do_not_disturb_each_other)
{
    enum { NCALLS = 40, NROUNDS = 6 };
    static struct levels_call calls[NCALLS];
    static const char *const few[] = {"0011", "010101", "001122", "00001111"};
    for (size_t s = 0; s < ARRAY_LEN(few); s++) {
        for (uint32_t round = 0; round < NROUNDS; round++) {
            struct levels_world w;
            levels_open(&w, few[s], LEVELS_CHUNK_NBYTES, false);
            w.random = 1000 * s + round;
            for (uint32_t i = 0; i < NCALLS; i++) {
                calls[i] = random_call(&w.random, w.n);
                levels_begin(&w, &calls[i]);
            }
            levels_play(&w, calls, NCALLS);
            for (uint32_t i = 0; i < NCALLS; i++) {
                levels_check(&w, &calls[i]);
                levels_end(&calls[i]);
            }
            levels_close(&w);
        }
    }
}

Test(levels_across, who_waits_says_for_whom)
{
    struct levels_world w;
    levels_open(&w, "0011", LEVELS_CHUNK_NBYTES, false);
    struct levels_call c = {
        .coll = WH_COLL_ALL_REDUCE, .count = 50000, .dtype = WHORL_FLOAT32, .redop = WHORL_SUM};
    levels_begin(&w, &c);
    bool moved = false;
    for (uint32_t r = 0; r < w.n; r++) {
        wh_arena_start(w.arenas[r], c.coll, 0, &c.ops[r]);
        cr_assert_eq(wh_arena_advance(w.arenas[r], &moved), WHORL_IN_PROGRESS);
    }
    /* Rank 3 was the last to enter, and has combined. It waits for its twin, then for its group. */
    char text[128];
    wh_arena_describe(w.arenas[3], text, sizeof(text));
    cr_expect_not_null(strstr(text, "rank 1 in chunk 1 of"), "%s", text);
    for (uint32_t i = 0; i < 4; i++) {
        cr_assert_eq(wh_arena_advance(w.arenas[i % 2 ? 3 : 1], &moved), WHORL_IN_PROGRESS);
    }
    wh_arena_describe(w.arenas[3], text, sizeof(text));
    cr_expect_not_null(strstr(text, "rank 2 in chunk 1 of"), "%s", text);
    levels_end(&c);
    levels_close(&w);
}

/* ---- what crosses --------------------------------------------------------------------------- */

/* Of every chunk of m bytes a rank may read, in the staging of other groups, what the header of
 * levels.c says: of each of its G - 1 twins two parts of m / n. Everything else of theirs is taken
 * from it, page by page; m is such that every part is whole pages. Returns what is left. */
static size_t take_away(const struct levels_world *w, uint32_t me, size_t chunk_nbytes,
                        size_t room_nbytes)
{
    const struct wh_arena *a = w->arenas[me];
    struct arena_seat mine = a->seats[me];
    size_t part_nbytes = chunk_nbytes / w->n, slice_nbytes = chunk_nbytes / a->nplaces;
    size_t left_nbytes = 0;
    for (uint32_t peer = 0; peer < w->n; peer++) {
        struct arena_seat seat = a->seats[peer];
        for (uint64_t chunk = 0; chunk < 2 && seat.group != mine.group; chunk++) {
            uint8_t *staging = w->maps[me] + peer * w->part_nbytes + chunk * room_nbytes;
            cr_assert_eq(mprotect(staging, room_nbytes, PROT_NONE), 0);
            if (seat.place != mine.place) {
                continue;
            }
            const uint32_t groups[] = {mine.group, seat.group};
            for (size_t i = 0; i < 2; i++) {
                uint8_t *part = staging + mine.place * slice_nbytes + groups[i] * part_nbytes;
                cr_assert_eq(mprotect(part, part_nbytes, PROT_READ), 0);
                left_nbytes += chunk == 0 ? part_nbytes : 0;
            }
        }
    }
    return left_nbytes;
}

Test(levels_across, two_parts_of_each_twin_are_read_and_nothing_else_of_other_groups)
{
    size_t page_nbytes = (size_t)sysconf(_SC_PAGESIZE);
    for (size_t s = 0; s < ARRAY_LEN(shapes); s++) {
        struct levels_world w;
        size_t chunk_nbytes = 2 * page_nbytes * strlen(shapes[s]);
        size_t room_nbytes = page_nbytes; /* that the arena has for it: a power of two */
        while (room_nbytes < chunk_nbytes) {
            room_nbytes *= 2;
        }
        levels_open(&w, shapes[s], room_nbytes, false);
        size_t total_nbytes = 0;
        for (uint32_t r = 0; r < w.n; r++) {
            size_t nbytes = take_away(&w, r, chunk_nbytes, room_nbytes);
            cr_expect_eq(nbytes, 2 * (w.ngroups - 1) * chunk_nbytes / w.n, "%s", shapes[s]);
            total_nbytes += nbytes;
        }
        cr_expect_eq(total_nbytes, 2 * (w.ngroups - 1) * chunk_nbytes, "%s", shapes[s]);
        /* Whoever reads more dies of it. */
        levels_do(&w, (struct levels_call){.coll = WH_COLL_ALL_REDUCE,
                                           .count = 3 * chunk_nbytes / 4,
                                           .dtype = WHORL_FLOAT32,
                                           .redop = WHORL_SUM,
                                           .seed = s});
        cr_assert_eq(w.arenas[0]->run.nchunks, 3);
        cr_assert_eq(w.arenas[0]->run.chunk_nelems, chunk_nbytes / 4);
        cr_assert_eq(arena_staging(w.arenas[0], 1, 1), w.maps[0] + w.part_nbytes + room_nbytes);
        levels_close(&w);
    }
}

/* Ends with 0 if the flat way reads more than the test above leaves, by dying of it. */
static void on_fault(int signal)
{
    (void)signal;
    _exit(0);
}

Test(levels_across, a_flat_reduction_does_read_more, .exit_code = 0)
{
    struct levels_world w;
    size_t chunk_nbytes = 8 * (size_t)sysconf(_SC_PAGESIZE);
    levels_open(&w, "0011", chunk_nbytes, false);
    take_away(&w, 0, chunk_nbytes, chunk_nbytes);
    signal(SIGSEGV, on_fault);
    levels_do(&w, (struct levels_call){.coll = WH_COLL_REDUCE,
                                       .count = chunk_nbytes,
                                       .dtype = WHORL_FLOAT32,
                                       .redop = WHORL_SUM});
    cr_assert_fail("nothing was out of reach");
}
