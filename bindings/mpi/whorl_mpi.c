/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The id goes from MPI's rank 0 to all by MPI_Bcast, on a duplicate of the caller's communicator so
 * that errors come back instead of ending the program. Before that all agree that every one of them
 * can go on; so nobody waits for ranks that have already returned.
 */
#include <whorl/mpi.h>

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { TEXT_NBYTES = 512 };

/* What one rank tells all others. */
struct news {
    whorl_result_t rc;
    whorl_id_t id;
    char text[TEXT_NBYTES];
};

static _Thread_local char last_error[TEXT_NBYTES + 64] = "no error";

static whorl_result_t fail(whorl_result_t rc, const char *text)
{
    snprintf(last_error, sizeof(last_error), "whorl_comm_create_from_mpi: %s", text);
    return rc;
}

static whorl_result_t fail_mpi(const char *call, int error)
{
    char story[MPI_MAX_ERROR_STRING], text[TEXT_NBYTES];
    int nbytes = 0;
    if (MPI_Error_string(error, story, &nbytes) != MPI_SUCCESS) {
        nbytes = 0;
    }
    snprintf(text, sizeof(text), "%s: %.*s", call, nbytes, story);
    return fail(WHORL_E_SYS, text);
}

/* What can be seen without asking anybody. */
static whorl_result_t check_mpi(MPI_Comm mpi_comm)
{
    int is_initialised = 0, is_finalised = 0, is_inter = 0;
    MPI_Initialized(&is_initialised);
    MPI_Finalized(&is_finalised);
    if (!is_initialised || is_finalised) {
        return fail(WHORL_E_USAGE, is_finalised ? "MPI is finalised" : "MPI is not initialised");
    }
    if (mpi_comm == MPI_COMM_NULL) {
        return fail(WHORL_E_ARG, "mpi_comm is MPI_COMM_NULL");
    }
    MPI_Comm_test_inter(mpi_comm, &is_inter);
    if (is_inter) {
        return fail(WHORL_E_ARG, "mpi_comm is an intercommunicator");
    }
    return WHORL_OK;
}

/* Gives all ranks the news of one. */
static whorl_result_t spread(MPI_Comm private_comm, int from, struct news *news)
{
    int error = MPI_Bcast(news, (int)sizeof(*news), MPI_BYTE, from, private_comm);
    if (error != MPI_SUCCESS) {
        return fail_mpi("MPI_Bcast", error);
    }
    if (news->rc != WHORL_OK) {
        char text[TEXT_NBYTES];
        news->text[TEXT_NBYTES - 1] = '\0';
        snprintf(text, sizeof(text), "rank %d: %.480s", from, news->text);
        return fail(news->rc, text);
    }
    return WHORL_OK;
}

/* Have all ranks come with arguments that they can use? The first that has not says why. */
static whorl_result_t agree(MPI_Comm private_comm, int rank, whorl_comm_t *comm_out)
{
    struct news news = {.rc = WHORL_OK};
    struct {
        int rc, rank;
    } mine = {WHORL_OK, rank}, worst = {WHORL_OK, 0};
    if (comm_out == NULL) {
        news.rc = WHORL_E_ARG;
        mine.rc = WHORL_E_ARG;
        snprintf(news.text, sizeof(news.text), "comm_out is NULL");
    }
    int error = MPI_Allreduce(&mine, &worst, 1, MPI_2INT, MPI_MINLOC, private_comm);
    if (error != MPI_SUCCESS) {
        return fail_mpi("MPI_Allreduce", error);
    }
    return worst.rc == WHORL_OK ? WHORL_OK : spread(private_comm, worst.rank, &news);
}

/* The id that rank 0 makes. */
static whorl_result_t share_id(MPI_Comm private_comm, int rank, whorl_id_t *id_out)
{
    struct news news = {.rc = WHORL_OK};
    if (rank == 0) {
        news.rc = whorl_id_create(&news.id);
        if (news.rc != WHORL_OK) {
            snprintf(news.text, sizeof(news.text), "%s", whorl_last_error(NULL));
        }
    }
    whorl_result_t rc = spread(private_comm, 0, &news);
    if (rc == WHORL_OK) {
        *id_out = news.id;
    }
    memset(&news, 0, sizeof(news)); /* the id is a secret */
    return rc;
}

static whorl_result_t create(MPI_Comm private_comm, const whorl_options_t *options,
                             whorl_comm_t *comm_out)
{
    int rank = 0, nranks = 0;
    whorl_id_t id;
    MPI_Comm_rank(private_comm, &rank);
    MPI_Comm_size(private_comm, &nranks);
    whorl_result_t rc = agree(private_comm, rank, comm_out);
    if (rc == WHORL_OK) {
        rc = share_id(private_comm, rank, &id);
    }
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = whorl_comm_create(nranks, rank, &id, options, comm_out);
    if (rc != WHORL_OK) {
        return fail(rc, whorl_last_error(NULL));
    }
    snprintf(last_error, sizeof(last_error), "no error");
    return WHORL_OK;
}

WHORL_API whorl_result_t whorl_comm_create_from_mpi(MPI_Comm mpi_comm,
                                                    const whorl_options_t *options,
                                                    whorl_comm_t *comm_out)
{
    MPI_Comm private_comm;
    whorl_result_t rc = check_mpi(mpi_comm);
    if (rc != WHORL_OK) {
        return rc;
    }
    int error = MPI_Comm_dup(mpi_comm, &private_comm);
    if (error != MPI_SUCCESS) {
        return fail_mpi("MPI_Comm_dup", error);
    }
    MPI_Comm_set_errhandler(private_comm, MPI_ERRORS_RETURN);
    rc = create(private_comm, options, comm_out);
    MPI_Comm_free(&private_comm);
    return rc;
}

WHORL_API const char *whorl_mpi_last_error(void)
{
    return last_error;
}
