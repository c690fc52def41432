/* SPDX-License-Identifier: Apache-2.0 */
/* oneCCL on host memory, for compare.py. usage: ccl_peer BOARD RANK NRANKS */
#include "peer.h"

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <oneapi/ccl.hpp>
#include <unistd.h>

/*
 * The static library of oneCCL's CPU build can be traced by Intel's ittnotify, whose pointers it
 * expects; it calls nothing through those that are null.
 */
extern "C" {
void *__itt_domain_create_ptr__3_0, *__itt_string_handle_create_ptr__3_0;
void *__itt_task_begin_ptr__3_0, *__itt_task_end_ptr__3_0, *__itt_metadata_add_ptr__3_0;
void *__itt_thread_set_name_ptr__3_0, *__itt_event_create_ptr__3_0;
void *__itt_event_start_ptr__3_0, *__itt_event_end_ptr__3_0;
}

static ccl::communicator *communicator;

static void start(const struct peer_call *call)
{
    const ccl::datatype dtype =
        call->dtype == PEER_FLOAT32 ? ccl::datatype::float32 : ccl::datatype::bfloat16;
    const ccl::reduction sum = ccl::reduction::sum;
    ccl::communicator &comm = *communicator;
    switch (call->coll) {
    case PEER_ALL_REDUCE:
        ccl::allreduce(call->in, call->out, call->count, dtype, sum, comm).wait();
        break;
    case PEER_ALL_GATHER:
        ccl::allgather(call->in, call->out, call->count, dtype, comm).wait();
        break;
    case PEER_REDUCE_SCATTER:
        ccl::reduce_scatter(call->in, call->out, call->count, dtype, sum, comm).wait();
        break;
    case PEER_BROADCAST: {
        void *buffer = comm.rank() == call->root ? const_cast<void *>(call->in) : call->out;
        ccl::broadcast(buffer, call->count, dtype, call->root, comm).wait();
        break;
    }
    default:
        ccl::alltoall(call->in, call->out, call->count, dtype, comm).wait();
        break;
    }
}

static int run(const struct peer_call *call, char *text, size_t text_nbytes)
{
    try {
        start(call);
        return 0;
    } catch (const std::exception &error) {
        std::snprintf(text, text_nbytes, "%s", error.what());
        return -1;
    }
}

/* Rank 0's address of the key-value store reaches the others over the board. */
static ccl::shared_ptr_class<ccl::kvs> meet(struct board *board, int rank)
{
    ccl::kvs::address_type address;
    static_assert(sizeof(address) <= sizeof(board->blob), "the blob is too small");
    if (rank == 0) {
        auto kvs = ccl::create_main_kvs();
        address = kvs->get_address();
        std::memcpy(board->blob, address.data(), sizeof(address));
        __atomic_store_n(&board->blob_ready, 1, __ATOMIC_RELEASE);
        return kvs;
    }
    while (__atomic_load_n(&board->blob_ready, __ATOMIC_ACQUIRE) == 0) {
        usleep(1000);
    }
    std::memcpy(address.data(), board->blob, sizeof(address));
    return ccl::create_kvs(address);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        std::fprintf(stderr, "usage: %s BOARD RANK NRANKS\n", argv[0]);
        return 2;
    }
    struct board *board = peer_attach(argv[1]);
    const int rank = std::atoi(argv[2]), nranks = std::atoi(argv[3]);
    if (board == nullptr) {
        return 2;
    }
    try {
        ccl::init();
        ccl::communicator comm = ccl::create_communicator(nranks, rank, meet(board, rank));
        communicator = &comm;
        const auto version = ccl::get_library_version();
        struct peer_library library = {};
        library.caps = peer_caps(PEER_FLOAT32) | peer_caps(PEER_BFLOAT16);
        library.run = run;
        std::snprintf(library.version, sizeof(library.version), "oneCCL %u.%u.%u", version.major,
                      version.minor, version.update);
        return peer_serve(&library, rank, nranks, board);
    } catch (const std::exception &error) {
        std::fprintf(stderr, "ccl_peer: %s\n", error.what());
        return 1;
    }
}
