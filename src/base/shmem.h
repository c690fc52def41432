/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shared memory without names: a memfd whose descriptor travels over a UNIX socket in the abstract
 * namespace. Nothing appears in /dev/shm, so its size does not matter, and nothing is left when the
 * last process that has it open dies.
 */
#ifndef WH_BASE_SHMEM_H
#define WH_BASE_SHMEM_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stddef.h>
#include <stdint.h>

enum { WH_SHMEM_TOKEN_NBYTES = 32 };

/**
 * A sparse memfd of nbytes, all zero; pages cost memory when they are touched. Its size is sealed.
 *
 * Memory    The descriptor is the caller's, close-on-exec.
 * Errors    WHORL_E_SYS, also when nbytes exceed the process's limit on file sizes
 */
WH_MUST_CHECK whorl_result_t wh_shmem_create(const char *label, uint64_t nbytes, int *fd_out);

/** Maps a page-aligned part of it, readable and writable. Given back with wh_shmem_unmap(). */
WH_MUST_CHECK whorl_result_t wh_shmem_map(int fd, uint64_t offset, size_t nbytes, void **ptr_out);
/** Asks for huge pages; a hint. */
void wh_shmem_advise_huge(void *ptr, size_t nbytes);

/** Maps at an address that is a multiple of 2 MiB. */
WH_MUST_CHECK whorl_result_t wh_shmem_map_aligned(int fd, uint64_t offset, size_t nbytes,
                                                  void **ptr_out);
/** Takes NULL. */
void wh_shmem_unmap(void *ptr, size_t nbytes);

/** Hands a descriptor to whoever shows the token. */
struct wh_shmem_offer;

/**
 * Starts offering fd to nguests guests. The token is random; it is also the name of the socket, so
 * a guest needs nothing else. fd stays the caller's. Does not wait.
 */
WH_MUST_CHECK whorl_result_t wh_shmem_offer_open(int fd, uint32_t nguests,
                                                 uint8_t token_out[WH_SHMEM_TOKEN_NBYTES],
                                                 struct wh_shmem_offer **offer_out);

/** Serves guests that have come, without waiting; WHORL_OK when all nguests have been served,
 *  else WHORL_IN_PROGRESS. Strangers are dropped with one log line each; one that is silent holds
 *  up nobody. */
WH_MUST_CHECK whorl_result_t wh_shmem_offer_serve(struct wh_shmem_offer *offer);
/** Takes NULL. */
void wh_shmem_offer_close(struct wh_shmem_offer *offer);

/**
 * Asks for an offered descriptor of nbytes. WHORL_IN_PROGRESS: call again with the same *sock,
 * which is -1 at first; whoever gives up closes it if it is not. The descriptor is the caller's.
 *
 * Blocking  Never.
 * Errors    WHORL_E_SYS  there is no such offer in reach of this process, its owner turned us away,
 *                        or what it sent is not memory of nbytes that is sealed against shrinking
 */
WH_MUST_CHECK whorl_result_t wh_shmem_fetch(const uint8_t token[WH_SHMEM_TOKEN_NBYTES],
                                            uint64_t nbytes, int *sock, int *fd_out);

/** The same for two processes that could share memory this way: a hash of the kernel's boot id and
 *  the network namespace. Equal keys do not prove that they can; only a fetch does. */
uint64_t wh_shmem_host_key(void);

/** The same for all processes of a machine, whatever their namespaces: a hash of the kernel's boot
 *  id. */
uint64_t wh_shmem_machine_key(void);

#endif
