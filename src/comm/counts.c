/* SPDX-License-Identifier: Apache-2.0 */
#include "comm/counts.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

whorl_result_t wh_counts_own(struct wh_call *call)
{
    const size_t **arrays[] = {&call->op.send_counts, &call->op.send_displs, &call->op.recv_counts,
                               &call->op.recv_displs};
    size_t narrays = 0;
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        narrays += *arrays[i] != NULL;
    }
    if (narrays == 0 || call->counts_copy != NULL) {
        return WHORL_OK;
    }

    size_t nranks = call->comm->nranks;
    size_t *copy = malloc(narrays * nranks * sizeof(*copy));
    if (copy == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_ALLOC, "no memory for the counts of %zu ranks",
                       nranks);
    }
    call->counts_copy = copy;
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++) {
        if (*arrays[i] != NULL) {
            memcpy(copy, *arrays[i], nranks * sizeof(*copy));
            *arrays[i] = copy;
            copy += nranks;
        }
    }
    return WHORL_OK;
}

void wh_counts_drop(const struct wh_call *calls, size_t ncalls)
{
    for (size_t i = 0; i < ncalls; i++) {
        free(calls[i].counts_copy);
    }
}
