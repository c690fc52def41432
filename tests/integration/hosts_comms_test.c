/* SPDX-License-Identifier: Apache-2.0 */
/* Several communicators, streams, messages and groups in jobs of several hosts; and calls that do
 * not agree. */
#include "harness/cases.h"
#include "harness/hosts.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct hosts *hosts;

static void make_hosts(void)
{
    hosts = hosts_create(4, NULL);
}

static void remove_hosts(void)
{
    hosts_destroy(hosts);
}

static void run_on_3_1_2(void (*run)(struct rank *), const void *arg)
{
    hosts_run(&(struct hosts_job){
        .job = {.run = run, .arg = arg}, .hosts = hosts, .nprocesses = {3, 1, 2}});
}

static void run_on_2_by_2(void (*run)(struct rank *), const void *arg)
{
    hosts_run(
        &(struct hosts_job){.job = {.run = run, .arg = arg}, .hosts = hosts, .nprocesses = {2, 2}});
}

static struct coll_case case_at(int i, int nranks)
{
    static const size_t counts[] = {5, 1501, 40003};
    return (struct coll_case){
        .kind = (enum case_kind)(i % CASE_KINDS),
        .count = counts[i % 3],
        .dtype = (whorl_dtype_t)(i % WHORL_DTYPE_COUNT),
        .op = i % (VALUES_PREMUL + 1),
        .root = i % nranks,
        .in_place = i % 2 == 0,
        .seed = (uint64_t)i,
    };
}

static void use(struct rank *rank, whorl_comm_t comm, int salt)
{
    int nranks = 0;
    RANK_OK(rank, whorl_comm_size(comm, &nranks));
    for (int i = 0; i < CASE_KINDS; i++) {
        struct coll_case c = case_at(i + salt * CASE_KINDS, nranks);
        case_do(rank, comm, &c);
    }
}

/* This rank's number among those of its host. */
static int number_on_host(const struct rank *rank)
{
    int n = 0;
    for (int r = 0; r < rank->rank; r++) {
        n += hosts_of_rank(rank, r) == hosts_of_rank(rank, rank->rank);
    }
    return n;
}

TestSuite(hosts_comms, .init = make_hosts, .fini = remove_hosts);

/* ---- splits --------------------------------------------------------------------------------- */

static void split_by_host_and_by_rail(struct rank *rank)
{
    whorl_comm_t node = NULL, rail = NULL;
    int host = hosts_of_rank(rank, rank->rank), number = number_on_host(rank), got = -1;
    rank_at(rank, "splits by host");
    RANK_OK(rank, whorl_comm_split(rank->comm, host, rank->rank, NULL, &node));
    rank_at(rank, "splits by rail");
    RANK_OK(rank, whorl_comm_split(rank->comm, number, -rank->rank, NULL, &rail));
    RANK_OK(rank, whorl_comm_rank(node, &got));
    RANK_CHECK(rank, got == number, "number %d on the host, not %d", got, number);
    use(rank, node, 1);
    use(rank, rail, 2);
    use(rank, rank->comm, 3);
    RANK_OK(rank, whorl_comm_destroy(node));
    use(rank, rail, 4);
    RANK_OK(rank, whorl_comm_destroy(rail));
    use(rank, rank->comm, 5);
}

Test(hosts_comms, split_by_host_and_by_rail)
{
    run_on_3_1_2(split_by_host_and_by_rail, NULL);
    run_on_2_by_2(split_by_host_and_by_rail, NULL);
}

Test(hosts_comms, split_where_everything_is_encrypted)
{
    static const char *const env[] = {"WHORL_ENCRYPT=1", NULL};
    hosts_run(&(struct hosts_job){.job = {.run = split_by_host_and_by_rail, .env = env},
                                  .hosts = hosts,
                                  .nprocesses = {2, 2}});
}

/* ---- streams and communicators at once ------------------------------------------------------ */

static void queue_on_a_stream(struct rank *rank)
{
    enum { NRUNS = 3 * CASE_KINDS };
    struct case_run *runs[NRUNS];
    whorl_stream_t stream;
    RANK_OK(rank, whorl_stream_create(&stream));
    for (int i = 0; i < NRUNS; i++) {
        struct coll_case c = case_at(i, rank->nranks);
        runs[i] = case_begin(rank, rank->comm, &c);
        RANK_OK(rank, case_call(runs[i], stream));
    }
    rank_at(rank, "synchronizes");
    RANK_OK(rank, whorl_stream_synchronize(stream));
    for (int i = 0; i < NRUNS; i++) {
        case_end(runs[i]);
    }
    RANK_OK(rank, whorl_stream_destroy(stream));
}

Test(hosts_comms, run_every_collective_on_a_stream)
{
    run_on_3_1_2(queue_on_a_stream, NULL);
}

/* Three communicators with a stream each; every rank queues on them in another order. */
static void use_three_at_once(struct rank *rank)
{
    enum { NCOMMS = 3, NEACH = 2 * CASE_KINDS };
    whorl_comm_t comms[NCOMMS] = {NULL, NULL, NULL};
    whorl_stream_t streams[NCOMMS];
    struct case_run *runs[NCOMMS][NEACH];
    for (int i = 0; i < NCOMMS; i++) {
        RANK_OK(rank, whorl_comm_split(rank->comm, 0, i == 1 ? -rank->rank : 0, NULL, &comms[i]));
        RANK_OK(rank, whorl_stream_create(&streams[i]));
    }
    for (int k = 0; k < NCOMMS; k++) {
        int which = (k + rank->rank) % NCOMMS;
        for (int i = 0; i < NEACH; i++) {
            struct coll_case c = case_at(i + which * 7, rank->nranks);
            runs[which][i] = case_begin(rank, comms[which], &c);
            RANK_OK(rank, case_call(runs[which][i], streams[which]));
        }
    }
    for (int k = 0; k < NCOMMS; k++) {
        rank_at(rank, "synchronizes communicator %d", k);
        RANK_OK(rank, whorl_stream_synchronize(streams[k]));
        for (int i = 0; i < NEACH; i++) {
            case_end(runs[k][i]);
        }
        RANK_OK(rank, whorl_stream_destroy(streams[k]));
        RANK_OK(rank, whorl_comm_destroy(comms[k]));
    }
}

Test(hosts_comms, work_side_by_side)
{
    run_on_2_by_2(use_three_at_once, NULL);
}

/* ---- messages ------------------------------------------------------------------------------- */

static unsigned char byte_of(int from, int to, size_t i)
{
    return (unsigned char)((size_t)from * 37 + (size_t)to * 11 + i * 7 + i / 251);
}

/* Every rank sends to every other one, and to itself, in one group; sizes differ by pair. */
static void send_to_all(struct rank *rank)
{
    int n = rank->nranks, me = rank->rank;
    unsigned char *out[RANKS_MAX], *in[RANKS_MAX];
    size_t sizes[] = {0, 1, 4097, 65535, 300001};
    for (int r = 0; r < n; r++) {
        size_t out_nbytes = sizes[(me + 2 * r) % 5], in_nbytes = sizes[(r + 2 * me) % 5];
        out[r] = malloc(out_nbytes + 1);
        in[r] = calloc(1, in_nbytes + 1);
        RANK_CHECK(rank, out[r] != NULL && in[r] != NULL, "no memory");
        for (size_t i = 0; i < out_nbytes; i++) {
            out[r][i] = byte_of(me, r, i);
        }
    }
    rank_at(rank, "sends to all in a group");
    RANK_OK(rank, whorl_group_start());
    for (int k = 0; k < n; k++) {
        int r = (me + k) % n;
        RANK_OK(rank,
                whorl_send(out[r], sizes[(me + 2 * r) % 5], WHORL_UINT8, r, rank->comm, NULL));
        RANK_OK(rank, whorl_recv(in[r], sizes[(r + 2 * me) % 5], WHORL_UINT8, r, rank->comm, NULL));
    }
    RANK_OK(rank, whorl_group_end());
    for (int r = 0; r < n; r++) {
        for (size_t i = 0; i < sizes[(r + 2 * me) % 5]; i++) {
            RANK_CHECK(rank, in[r][i] == byte_of(r, me, i), "byte %zu from rank %d", i, r);
        }
        free(out[r]);
        free(in[r]);
    }
}

Test(hosts_comms, carry_messages_between_all_ranks_in_a_group)
{
    run_on_3_1_2(send_to_all, NULL);
}

/* A ball that goes round, and messages of two sizes in order between one pair. */
static void send_in_order(struct rank *rank)
{
    int n = rank->nranks, me = rank->rank;
    int64_t ball = 1;
    for (int round = 0; round < 5; round++) {
        if (me != 0 || round > 0) {
            RANK_OK(rank, whorl_recv(&ball, 1, WHORL_INT64, (me + n - 1) % n, rank->comm, NULL));
            ball++;
        }
        RANK_OK(rank, whorl_send(&ball, 1, WHORL_INT64, (me + 1) % n, rank->comm, NULL));
    }
    if (me == 0) {
        RANK_OK(rank, whorl_recv(&ball, 1, WHORL_INT64, n - 1, rank->comm, NULL));
        RANK_CHECK(rank, ball == 5 * n, "the ball was passed %lld times", (long long)ball);
    }
    static unsigned char bytes[50001];
    for (int i = 0; i < 40; i++) {
        size_t nbytes = i % 2 == 0 ? 3 : sizeof(bytes);
        if (me == 0) {
            memset(bytes, i + 1, nbytes);
            RANK_OK(rank, whorl_send(bytes, nbytes, WHORL_UINT8, n - 1, rank->comm, NULL));
        } else if (me == n - 1) {
            RANK_OK(rank, whorl_recv(bytes, nbytes, WHORL_UINT8, 0, rank->comm, NULL));
            RANK_CHECK(rank, bytes[0] == i + 1 && bytes[nbytes - 1] == i + 1, "message %d", i);
        }
    }
}

Test(hosts_comms, carry_messages_in_order)
{
    run_on_3_1_2(send_in_order, NULL);
}

/* Collectives of several kinds in one group. */
static void group_collectives(struct rank *rank)
{
    struct case_run *runs[CASE_KINDS];
    RANK_OK(rank, whorl_group_start());
    for (int i = 0; i < CASE_KINDS; i++) {
        struct coll_case c = case_at(i, rank->nranks);
        c.op = c.op == VALUES_PREMUL ? WHORL_MAX : c.op;
        runs[i] = case_begin(rank, rank->comm, &c);
        RANK_OK(rank, case_call(runs[i], NULL));
    }
    rank_at(rank, "ends a group of all kinds");
    RANK_OK(rank, whorl_group_end());
    for (int i = 0; i < CASE_KINDS; i++) {
        case_end(runs[i]);
    }
}

Test(hosts_comms, run_groups_of_every_collective)
{
    run_on_3_1_2(group_collectives, NULL);
}

/* ---- a reduction of one's own --------------------------------------------------------------- */

static void add_bytes(const void *in, void *inout, size_t count, whorl_dtype_t dtype, void *ctx)
{
    (void)dtype;
    (void)ctx;
    for (size_t i = 0; i < count; i++) {
        ((unsigned char *)inout)[i] =
            (unsigned char)(((unsigned char *)inout)[i] + ((const unsigned char *)in)[i]);
    }
}

static void reduce_with_own(struct rank *rank)
{
    whorl_redop_t op;
    unsigned char x = 1;
    RANK_OK(rank, whorl_redop_create_user(add_bytes, NULL, rank->comm, &op));
    RANK_EXPECT(rank, WHORL_E_UNSUPPORTED,
                whorl_all_reduce(&x, &x, 1, WHORL_UINT8, op, rank->comm, NULL));
    RANK_OK(rank, whorl_redop_destroy(op, rank->comm));
    use(rank, rank->comm, 1);
}

Test(hosts_comms, refuse_reductions_of_ones_own_and_go_on)
{
    run_on_2_by_2(reduce_with_own, NULL);
}

/* ---- calls that do not agree ---------------------------------------------------------------- */

struct odd {
    const char *name;
    struct coll_case most; /* what all ranks but the last call */
    struct coll_case last;
    const char *most_part, *last_part; /* what shows the calls in the error */
};

#define SUM_OF(n)                                                                \
    {                                                                            \
        .kind = CASE_ALL_REDUCE, .count = (n), .dtype = WHORL_FLOAT32, .seed = 1 \
    }

static const struct odd odds[] = {
    {"count", SUM_OF(100), SUM_OF(101), "count 100", "count 101"},
    {"count, far apart", SUM_OF(262144), SUM_OF(1), "count 262144", "count 1,"},
    {"count, none", SUM_OF(0), SUM_OF(5), "count 0", "count 5"},
    {"datatype",
     SUM_OF(5000),
     {.kind = CASE_ALL_REDUCE, .count = 5000, .dtype = WHORL_INT32},
     "float32",
     "int32"},
    {"reduction",
     SUM_OF(100),
     {.kind = CASE_ALL_REDUCE, .count = 100, .dtype = WHORL_FLOAT32, .op = WHORL_MAX},
     "sum",
     "max"},
    {"root",
     {.kind = CASE_BROADCAST, .count = 5000, .dtype = WHORL_INT32, .root = 0},
     {.kind = CASE_BROADCAST, .count = 5000, .dtype = WHORL_INT32, .root = 1},
     "root 0",
     "root 1"},
    {"collective",
     {.kind = CASE_ALL_GATHER, .count = 100, .dtype = WHORL_FLOAT32},
     {.kind = CASE_REDUCE_SCATTER, .count = 100, .dtype = WHORL_FLOAT32},
     "all_gather(",
     "reduce_scatter("},
    {"collective and barrier", SUM_OF(100), {.kind = CASE_BARRIER}, "all_reduce(", "barrier("},
    {"root of a reduce",
     {.kind = CASE_REDUCE, .count = 50, .dtype = WHORL_INT32, .root = 1},
     {.kind = CASE_REDUCE, .count = 50, .dtype = WHORL_INT32, .root = 0},
     "root 1",
     "root 0"},
    {"collective without a root",
     {.kind = CASE_BROADCAST, .count = 50, .dtype = WHORL_INT32, .root = 1},
     SUM_OF(50),
     "broadcast(",
     "all_reduce("},
    {"collective that goes as messages",
     {.kind = CASE_ALL_TO_ALL, .count = 50, .dtype = WHORL_INT32},
     {.kind = CASE_SCATTER, .count = 50, .dtype = WHORL_INT32, .root = 1},
     "all_to_all", /* the call, or "a message for" it: whichever is compared first */
     "scatter"},
    {"root of a gather",
     {.kind = CASE_GATHER, .count = 50, .dtype = WHORL_INT32, .root = 0},
     {.kind = CASE_GATHER, .count = 50, .dtype = WHORL_INT32, .root = 1},
     "root 0",
     "root 1"},
};

/* The last rank, which is on the last host, makes another call. */
static void call_something_else(struct rank *rank)
{
    const struct odd *odd = rank->arg;
    bool last = rank->rank == rank->nranks - 1;
    struct case_run *run = case_begin(rank, rank->comm, last ? &odd->last : &odd->most);
    rank_at(rank, "calls with another %s", odd->name);
    whorl_result_t rc = case_call(run, NULL);
    if (rc == WHORL_OK) {
        rank_at(rank, "calls barrier after another %s", odd->name);
        rc = whorl_barrier(rank->comm, NULL);
    }
    const char *text = whorl_last_error(rank->comm);
    RANK_CHECK(rank, rc == WHORL_E_MISMATCH, "%s: %d: %s", odd->name, rc, text);
    RANK_TEXT(rank, text, odd->most_part);
    RANK_TEXT(rank, text, odd->last_part);
    char name[32];
    snprintf(name, sizeof(name), "rank %d", rank->nranks - 1);
    RANK_TEXT(rank, text, name);
    rank_meet(rank);
    case_drop(run);
}

static void try_odd(const struct odd *odd, const int nprocesses[3], const char *algo)
{
    const char *const env[] = {"WHORL_TIMEOUT=10s", algo, NULL};
    struct hosts_job job = {.job = {.run = call_something_else, .arg = odd, .env = env},
                            .hosts = hosts};
    memcpy(job.nprocesses, nprocesses, 3 * sizeof(*nprocesses));
    hosts_run(&job);
}

static void try_odds(const int nprocesses[3], const char *algo)
{
    for (size_t i = 0; i < sizeof(odds) / sizeof(odds[0]); i++) {
        try_odd(&odds[i], nprocesses, algo);
    }
}

Test(hosts_comms, tell_all_ranks_of_calls_that_do_not_agree)
{
    try_odds((int[]){1, 1, 0}, NULL);
    try_odds((int[]){2, 2, 0}, NULL);
    try_odds((int[]){3, 1, 0}, NULL);
}

/* Some calls over links, some in arenas that are put together. */
Test(hosts_comms, tell_all_ranks_of_calls_that_take_different_ways)
{
    try_odds((int[]){2, 2, 0}, "WHORL_ALGO=allreduce:ring;reduce:chain");
    try_odds((int[]){1, 2, 1}, "WHORL_ALGO=^leader,rails;broadcast:leader");
}

/* Two ranks name a root among the other two, and these one among the first: nobody is the root that
 * it names, or the end of its own chain, so all of them wait for others. */
static void name_each_other_as_root(struct rank *rank)
{
    struct coll_case c = {
        .kind = CASE_BROADCAST, .count = 50, .dtype = WHORL_INT32, .root = rank->rank < 2 ? 3 : 1};
    struct case_run *run = case_begin(rank, rank->comm, &c);
    RANK_EXPECT(rank, WHORL_E_MISMATCH, case_call(run, NULL));
    RANK_TEXT(rank, whorl_last_error(rank->comm), "root 3");
    RANK_TEXT(rank, whorl_last_error(rank->comm), "root 1");
    rank_meet(rank);
    case_drop(run);
}

Test(hosts_comms, tell_all_ranks_of_roots_that_know_of_nothing)
{
    static const char *const algos[] = {"WHORL_ALGO=broadcast:chain", "WHORL_ALGO=broadcast:tree",
                                        "WHORL_ALGO=broadcast:knomial"};
    for (size_t i = 0; i < sizeof(algos) / sizeof(algos[0]); i++) {
        const char *const env[] = {"WHORL_TIMEOUT=10s", algos[i], NULL};
        hosts_run(&(struct hosts_job){.job = {.run = name_each_other_as_root, .env = env},
                                      .hosts = hosts,
                                      .nprocesses = {1, 1, 1, 1}});
    }
}
