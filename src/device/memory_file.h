/* SPDX-License-Identifier: Apache-2.0 */
/* Which file is behind a range of this process's memory. */
#ifndef WH_DEVICE_MEMORY_FILE_H
#define WH_DEVICE_MEMORY_FILE_H

#include "device/memory.h"

/**
 * Completes a place that has base and region_nbytes: opens the file that is mapped there, shared,
 * readable and writable, all in one mapping, and kept in memory (tmpfs, memfd, hugetlbfs). Reads
 * /proc/self; never waits. Any thread.
 *
 * Memory    place->fd is the caller's, close-on-exec.
 * Returns   NULL, or a few words why there is no such file; static memory.
 */
WH_MUST_CHECK const char *wh_memory_file_open(struct wh_memory_place *place);

#endif
