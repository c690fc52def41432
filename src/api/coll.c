/* SPDX-License-Identifier: Apache-2.0 */
/* The collectives of whorl.h, and send and recv: check, then run or collect. */
#include "api/argcheck.h"
#include "api/group.h"

static whorl_result_t run(const struct wh_coll_args *args)
{
    struct wh_call call;
    whorl_result_t rc = wh_check_coll(args, &call);
    if (rc == WHORL_OK) {
        rc = wh_comm_failure(args->comm);
    }
    if (rc == WHORL_OK) {
        return wh_group_add_call(&call);
    }
    if (args->comm != NULL) {
        wh_comm_keep_error(args->comm);
    }
    return wh_group_note(rc);
}

WHORL_API whorl_result_t whorl_all_reduce(const void *sendbuf, void *recvbuf, size_t count,
                                          whorl_dtype_t dtype, whorl_redop_t op, whorl_comm_t comm,
                                          whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_all_reduce",
                                      .coll = WH_COLL_ALL_REDUCE,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = count,
                                      .dtype = dtype,
                                      .redop = op,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_all_gather(const void *sendbuf, void *recvbuf, size_t sendcount,
                                          whorl_dtype_t dtype, whorl_comm_t comm,
                                          whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_all_gather",
                                      .coll = WH_COLL_ALL_GATHER,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = sendcount,
                                      .dtype = dtype,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_reduce_scatter(const void *sendbuf, void *recvbuf, size_t recvcount,
                                              whorl_dtype_t dtype, whorl_redop_t op,
                                              whorl_comm_t comm, whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_reduce_scatter",
                                      .coll = WH_COLL_REDUCE_SCATTER,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = recvcount,
                                      .dtype = dtype,
                                      .redop = op,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_broadcast(const void *sendbuf, void *recvbuf, size_t count,
                                         whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                         whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_broadcast",
                                      .coll = WH_COLL_BROADCAST,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = count,
                                      .dtype = dtype,
                                      .root = root,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_reduce(const void *sendbuf, void *recvbuf, size_t count,
                                      whorl_dtype_t dtype, whorl_redop_t op, int root,
                                      whorl_comm_t comm, whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_reduce",
                                      .coll = WH_COLL_REDUCE,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = count,
                                      .dtype = dtype,
                                      .redop = op,
                                      .root = root,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_all_to_all(const void *sendbuf, void *recvbuf, size_t count,
                                          whorl_dtype_t dtype, whorl_comm_t comm,
                                          whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_all_to_all",
                                      .coll = WH_COLL_ALL_TO_ALL,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = count,
                                      .dtype = dtype,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_gather(const void *sendbuf, void *recvbuf, size_t sendcount,
                                      whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                      whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_gather",
                                      .coll = WH_COLL_GATHER,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = sendcount,
                                      .dtype = dtype,
                                      .root = root,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_scatter(const void *sendbuf, void *recvbuf, size_t recvcount,
                                       whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                       whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_scatter",
                                      .coll = WH_COLL_SCATTER,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .count = recvcount,
                                      .dtype = dtype,
                                      .root = root,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_all_gather_v(const void *sendbuf, size_t sendcount, void *recvbuf,
                                            const size_t *recvcounts, const size_t *recvdispls,
                                            whorl_dtype_t dtype, whorl_comm_t comm,
                                            whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){
        .call = "whorl_all_gather_v",
        .coll = WH_COLL_ALL_GATHER_V,
        .sendbuf = sendbuf,
        .count = sendcount,
        .recvbuf = recvbuf,
        .blocks = &(struct wh_coll_blocks){.recvcounts = recvcounts, .recvdispls = recvdispls},
        .dtype = dtype,
        .comm = comm,
        .stream = stream});
}

WHORL_API whorl_result_t whorl_reduce_scatter_v(const void *sendbuf, const size_t *sendcounts,
                                                const size_t *senddispls, void *recvbuf,
                                                size_t recvcount, whorl_dtype_t dtype,
                                                whorl_redop_t op, whorl_comm_t comm,
                                                whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){
        .call = "whorl_reduce_scatter_v",
        .coll = WH_COLL_REDUCE_SCATTER_V,
        .sendbuf = sendbuf,
        .recvbuf = recvbuf,
        .count = recvcount,
        .blocks = &(struct wh_coll_blocks){.sendcounts = sendcounts, .senddispls = senddispls},
        .dtype = dtype,
        .redop = op,
        .comm = comm,
        .stream = stream});
}

WHORL_API whorl_result_t whorl_all_to_all_v(const void *sendbuf, const size_t *sendcounts,
                                            const size_t *senddispls, void *recvbuf,
                                            const size_t *recvcounts, const size_t *recvdispls,
                                            whorl_dtype_t dtype, whorl_comm_t comm,
                                            whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_all_to_all_v",
                                      .coll = WH_COLL_ALL_TO_ALL_V,
                                      .sendbuf = sendbuf,
                                      .recvbuf = recvbuf,
                                      .blocks = &(struct wh_coll_blocks){.sendcounts = sendcounts,
                                                                         .senddispls = senddispls,
                                                                         .recvcounts = recvcounts,
                                                                         .recvdispls = recvdispls},
                                      .dtype = dtype,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_gather_v(const void *sendbuf, size_t sendcount, void *recvbuf,
                                        const size_t *recvcounts, const size_t *recvdispls,
                                        whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                        whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){
        .call = "whorl_gather_v",
        .coll = WH_COLL_GATHER_V,
        .sendbuf = sendbuf,
        .count = sendcount,
        .recvbuf = recvbuf,
        .blocks = &(struct wh_coll_blocks){.recvcounts = recvcounts, .recvdispls = recvdispls},
        .dtype = dtype,
        .root = root,
        .comm = comm,
        .stream = stream});
}

WHORL_API whorl_result_t whorl_scatter_v(const void *sendbuf, const size_t *sendcounts,
                                         const size_t *senddispls, void *recvbuf, size_t recvcount,
                                         whorl_dtype_t dtype, int root, whorl_comm_t comm,
                                         whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){
        .call = "whorl_scatter_v",
        .coll = WH_COLL_SCATTER_V,
        .sendbuf = sendbuf,
        .recvbuf = recvbuf,
        .count = recvcount,
        .blocks = &(struct wh_coll_blocks){.sendcounts = sendcounts, .senddispls = senddispls},
        .dtype = dtype,
        .root = root,
        .comm = comm,
        .stream = stream});
}

WHORL_API whorl_result_t whorl_send(const void *sendbuf, size_t count, whorl_dtype_t dtype,
                                    int peer, whorl_comm_t comm, whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_send",
                                      .coll = WH_COLL_SEND,
                                      .sendbuf = sendbuf,
                                      .count = count,
                                      .dtype = dtype,
                                      .root = peer,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_recv(void *recvbuf, size_t count, whorl_dtype_t dtype, int peer,
                                    whorl_comm_t comm, whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_recv",
                                      .coll = WH_COLL_RECV,
                                      .recvbuf = recvbuf,
                                      .count = count,
                                      .dtype = dtype,
                                      .root = peer,
                                      .comm = comm,
                                      .stream = stream});
}

WHORL_API whorl_result_t whorl_barrier(whorl_comm_t comm, whorl_stream_t stream)
{
    return run(&(struct wh_coll_args){.call = "whorl_barrier",
                                      .coll = WH_COLL_BARRIER,
                                      .dtype = WHORL_UINT8,
                                      .comm = comm,
                                      .stream = stream});
}
