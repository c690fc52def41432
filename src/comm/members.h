/* SPDX-License-Identifier: Apache-2.0 */
/* What every rank tells every other at the start. */
#ifndef WH_COMM_MEMBERS_H
#define WH_COMM_MEMBERS_H

#include "comm/comm.h"

enum { WH_COMM_MEMBER_NBYTES = 128 };

/** This process as a member: host, pid, keys, usable cores. */
WH_MUST_CHECK whorl_result_t wh_comm_member_self(struct wh_comm_member *member_out);

/** Where this process runs, by its settings; looked up once in a process. */
WH_MUST_CHECK whorl_result_t wh_comm_member_place(const struct wh_config *config,
                                                  struct wh_topology_place *place_out);

/** Fixed size, little endian. */
void wh_comm_member_encode(const struct wh_comm_member *member, uint8_t out[WH_COMM_MEMBER_NBYTES]);

/** Bytes from a peer: the host name comes out terminated and printable. */
void wh_comm_member_decode(const uint8_t in[WH_COMM_MEMBER_NBYTES], struct wh_comm_member *member);

#endif
