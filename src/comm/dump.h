/* SPDX-License-Identifier: Apache-2.0 */
/* Flight records as JSON: of one communicator as one rank sees it. docs/operations.md describes the
 * document. */
#ifndef WH_COMM_DUMP_H
#define WH_COMM_DUMP_H

#include "comm/comm.h"
#include "observe/json.h"

/** Writes the document to put. Any thread, also while calls on comm are going on. False if put has
 *  refused. */
bool wh_dump_write(struct whorl_comm *comm, wh_json_put_fn put, void *ctx);

/** Writes it to a file, which is there whole or not at all. WHORL_E_SYS, reported. */
WH_MUST_CHECK whorl_result_t wh_dump_to_file(struct whorl_comm *comm, const char *path);

/** If comm has failed and the settings name a folder: writes a file there, once for comm; returns
 *  when it is written, whoever writes it. Any thread. */
void wh_dump_on_failure(struct whorl_comm *comm);

/** Writes a file to the folder that the settings name; without one logs what comm is doing. */
void wh_dump_on_signal(struct whorl_comm *comm);

#endif
