/* SPDX-License-Identifier: Apache-2.0 */
/* One configuration file in memory: lines NAME=VALUE, # in column 0 is a comment. */
#ifndef WH_BASE_CONFFILE_H
#define WH_BASE_CONFFILE_H

#include "base/macros.h"

#include <whorl/whorl.h>

#include <stddef.h>

struct wh_conffile_line {
    const char *name;  /* NULL: the line is no NAME=VALUE */
    const char *value; /* blanks and quotes are part of it, as in NCCL */
    size_t number;     /* from 1 */
    char *bytes;       /* what name and value point into */
};

struct wh_conffile {
    char *path;
    int why; /* 0, or the errno that kept the file from being read; ENOENT if there is none */
    struct wh_conffile_line *lines;
    size_t nlines;
};

/**
 * Reads the file at path into *file. A file that is missing or cannot be read has no lines, and
 * file->why.
 *
 * Memory    given back with wh_conffile_fini(), also after a failure.
 * Errors    WHORL_E_NOMEM
 */
WH_MUST_CHECK whorl_result_t wh_conffile_init(struct wh_conffile *file, const char *path);
void wh_conffile_fini(struct wh_conffile *file);

/** A wh_config_lookup_fn: the value of the first line with that name, or NULL; ctx is the file. */
const char *wh_conffile_lookup(const char *name, void *ctx);

#endif
