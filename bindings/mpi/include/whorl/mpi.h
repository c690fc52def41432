/* SPDX-License-Identifier: Apache-2.0 */
/**
 * @file
 * Communicators from MPI's: where mpirun starts the processes, MPI carries the id.
 *
 * MPI is used only while a communicator is made. Link with libwhorl-mpi, made for the same MPI, and
 * with libwhorl; compile with mpicc.
 */
#ifndef WHORL_MPI_H
#define WHORL_MPI_H

#include <whorl/whorl.h>

#include <mpi.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Makes a communicator of the processes of mpi_comm, with the same ranks. A collective call over
 * mpi_comm; what goes wrong on one process is an error on all.
 *
 * Memory    options may be NULL. The communicator is given back with whorl_comm_destroy(), before
 *           or after MPI_Finalize(). mpi_comm stays the caller's and may be freed at once.
 * Blocking  Until all have called it (as long as MPI waits), then as whorl_comm_create().
 * Threads   As MPI_Bcast(). Not inside a whorl_group_start().
 * Errors    As whorl_id_create() and whorl_comm_create(), and
 *           WHORL_E_ARG    comm_out is NULL, mpi_comm is MPI_COMM_NULL or an intercommunicator
 *           WHORL_E_USAGE  MPI is not initialised, or finalised already
 *           WHORL_E_SYS    MPI failed
 *           whorl_mpi_last_error() has the story, also of what went wrong elsewhere.
 */
WHORL_API whorl_result_t whorl_comm_create_from_mpi(MPI_Comm mpi_comm,
                                                    const whorl_options_t *options,
                                                    whorl_comm_t *comm_out);

/**
 * The story of this thread's last whorl_comm_create_from_mpi(): what went wrong, and on which rank.
 * Never NULL; "no error" after one that succeeded. Valid until the thread's next call.
 */
WHORL_API const char *whorl_mpi_last_error(void);

#ifdef __cplusplus
}
#endif

#endif
