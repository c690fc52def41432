/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranks in groups, as processes of this machine that are told to be at places of another one.
 *
 * In which order elements were combined shows in the result: ranks bring 1e8, 1, -1e8 and 1, in
 * float32, where 1e8 + 1 is 1e8. In the order of ranks that makes 1; if ranks 0 and 2 are a group
 * and 1 and 3 are one, it makes 2; if 0 and 1 are one and 2 and 3, it makes 0.
 */
#include "harness/cases.h"
#include "harness/ranks.h"
#include "topology/place.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LOG_PATH_NBYTES = 64 };

/* A machine, and where in it each process is. */
struct places {
    const char *file;
    const char *cpus[RANKS_MAX];
    const char *said; /* part of the log line about it */
    float sum;        /* of the four elements above; only with four ranks */
};

/* Two nodes with two cores each. */
static const char two_nodes[] = "synthetic:numa:2 l3:1 core:2 pu:1";

static void set_place(struct rank *rank, char log_path[LOG_PATH_NBYTES])
{
    const struct places *places = rank->arg;
    snprintf(log_path, LOG_PATH_NBYTES, "/tmp/whorl_levels_XXXXXX");
    int fd = mkstemp(log_path);
    RANK_CHECK(rank, fd >= 0, "no file for the log");
    close(fd);
    setenv("WHORL_TOPO_FILE", places->file, 1);
    setenv("WHORL_TOPO_CPU", places->cpus[rank->process], 1);
    setenv("WHORL_DEBUG", "INFO", 1);
    setenv("WHORL_DEBUG_FILE", log_path, 1);
}

static void check_log(struct rank *rank, const char *log_path)
{
    const struct places *places = rank->arg;
    static char text[1 << 16];
    FILE *file = fopen(log_path, "r");
    RANK_CHECK(rank, file != NULL, "no log");
    size_t nbytes = fread(text, 1, sizeof(text) - 1, file);
    fclose(file);
    text[nbytes] = '\0';
    RANK_TEXT(rank, text, places->said);
}

static void sum_once(struct rank *rank, float *send, float *recv, size_t count)
{
    static const float brought[] = {1e8f, 1, -1e8f, 1};
    const struct places *places = rank->arg;
    for (size_t i = 0; i < count; i++) {
        send[i] = brought[rank->rank];
    }
    RANK_OK(rank, whorl_all_reduce(send, recv, count, WHORL_FLOAT32, WHORL_SUM, rank->comm, NULL));
    for (size_t i = 0; i < count; i++) {
        RANK_CHECK(rank, recv[i] == places->sum, "element %zu of %zu is %g, not %g", i, count,
                   (double)recv[i], (double)places->sum);
    }
}

/* Beside the tag, in a slot, in one chunk, in many; and by all kinds of memory. */
static void sum_in_all_ways(struct rank *rank)
{
    static const size_t counts[] = {1, 1000, 10000, 262144, 1000003};
    size_t most_nbytes = counts[4] * sizeof(float);
    float *send = malloc(most_nbytes), *recv = malloc(most_nbytes);
    void *shared = NULL;
    RANK_OK(rank, whorl_mem_alloc(most_nbytes, &shared));
    RANK_CHECK(rank, send != NULL && recv != NULL, "no memory");
    for (size_t i = 0; i < 5; i++) {
        rank_at(rank, "sums %zu elements", counts[i]);
        sum_once(rank, send, recv, counts[i]);
        sum_once(rank, recv, recv, counts[i]);
        sum_once(rank, shared, shared, counts[i]);
    }
    RANK_OK(rank, whorl_mem_free(shared));
    free(recv);
    free(send);
}

/* Every collective, and all_reduce more often, so that its two levels meet everything else. */
static void do_cases(struct rank *rank)
{
    uint64_t state = 7;
    for (int i = 0; i < (RANKS_SLOW_BUILD ? 60 : 200); i++) {
        struct coll_case c = {
            .kind = i % 3 != 0 ? CASE_ALL_REDUCE : (enum case_kind)(i / 3 % CASE_KINDS),
            .count = ranks_random(&state) % (ranks_random(&state) % 4 == 0 ? 300000 : 5000),
            .dtype = (whorl_dtype_t)(ranks_random(&state) % WHORL_DTYPE_COUNT),
            .op = (int)(ranks_random(&state) % (VALUES_PREMUL + 1)),
            .root = (int)(ranks_random(&state) % (uint64_t)rank->nranks),
            .in_place = ranks_random(&state) % 2 == 0,
            .send_offset = (unsigned)(ranks_random(&state) % 16),
            .recv_offset = (unsigned)(ranks_random(&state) % 16),
            .seed = ranks_random(&state),
        };
        case_do(rank, rank->comm, &c);
    }
}

/* Settings are the process's: its first thread sees to them. */
static void run(struct rank *rank)
{
    char log_path[LOG_PATH_NBYTES] = "";
    if (rank->thread == 0) {
        set_place(rank, log_path);
    }
    rank_meet(rank);
    rank_create_comm(rank);
    if (rank->thread == 0) {
        check_log(rank, log_path);
        unlink(log_path);
    }
    if (rank->nranks == 4) {
        sum_in_all_ways(rank);
    }
    do_cases(rank);
}

static void run_at(int nprocesses, int nthreads, const struct places *places)
{
    struct wh_topology_place place;
    struct wh_topology_source source = {.file = "synthetic:pu:1", .cpus = ""};
    if (wh_topology_find_place(&source, &place) != WHORL_OK) {
        cr_skip_test("built without hwloc");
    }
    ranks_run(&(struct ranks_job){.nprocesses = nprocesses,
                                  .nthreads = nthreads,
                                  .run = run,
                                  .arg = places,
                                  .no_comm = true});
}

Test(levels, two_groups_of_neighbours)
{
    run_at(4, 1, &(struct places){two_nodes, {"0", "1", "2", "3"}, "2 groups of 2 ranks", 0});
}

Test(levels, two_groups_in_turns)
{
    run_at(4, 1, &(struct places){two_nodes, {"0", "2", "1", "3"}, "2 groups of 2 ranks", 2});
}

Test(levels, nodes_where_every_rank_has_a_cache_for_itself)
{
    run_at(4, 1,
           &(struct places){"synthetic:numa:2 l3:2 core:2 pu:1",
                            {"0-1", "4-5", "2-3", "7"},
                            "2 groups of 2 ranks, a NUMA node each",
                            2});
}

Test(levels, uneven_groups_are_flat)
{
    run_at(4, 1,
           &(struct places){two_nodes,
                            {"0", "1", "1", "3"},
                            "all ranks are one group; by last-level cache: not all have the "
                            "same number of ranks",
                            1});
}

Test(levels, ranks_bound_to_nothing_are_flat)
{
    run_at(4, 1,
           &(struct places){two_nodes, {"0-3", "0-3", "2", "3"}, "a rank may run in several", 1});
}

Test(levels, three_groups_of_two)
{
    run_at(6, 1,
           &(struct places){"synthetic:numa:3 l3:1 core:2 pu:1",
                            {"0", "2", "4", "5", "3", "1"},
                            "3 groups of 2 ranks, a last-level cache each",
                            0});
}

Test(levels, threads_of_two_processes)
{
    run_at(2, 2, &(struct places){two_nodes, {"0-1", "2"}, "2 groups of 2 ranks", 0});
}
