/* SPDX-License-Identifier: Apache-2.0 */
/* The part of the segment that all ranks of the host map whole. */
#include "base/log.h"
#include "shm.h"

#include <assert.h>
#include <stdlib.h>

/* Only where every rank of the host is in: whoever works on the region counts on all of them. */
static whorl_result_t check_members(const struct shm_wire *wire)
{
    for (uint32_t local = 0; wire->why_none == NULL && local < wire->layout.nlocal; local++) {
        if (!shm_is_attached(wire, local)) {
            return wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_SHM,
                           "shm: no region, as local rank %u is out of reach", local);
        }
    }
    return wire->why_none == NULL
               ? WHORL_OK
               : wh_fail(WHORL_E_UNSUPPORTED, WH_SUBSYS_SHM, "shm: no region: %s", wire->why_none);
}

whorl_result_t shm_region(struct wh_transport_wire *base, struct wh_region *region_out)
{
    struct shm_wire *wire = (struct shm_wire *)base;
    const struct shm_layout *layout = &wire->layout;

    assert(wire->phase == SHM_CONNECTED && wire->region == NULL);
    assert(layout->region_nbytes > 0);

    whorl_result_t rc = check_members(wire);
    if (rc != WHORL_OK) {
        return rc;
    }
    wire->bells = calloc(layout->nlocal, sizeof(struct wh_doorbell *));
    if (wire->bells == NULL) {
        return wh_fail(WHORL_E_NOMEM, WH_SUBSYS_SHM, "shm: no memory for %u bells", layout->nlocal);
    }
    for (uint32_t local = 0; local < layout->nlocal; local++) {
        wire->bells[local] = &wire->control->members[local].bell;
    }
    rc = wh_shmem_map_aligned(wire->fd, layout->region_offset,
                              layout->nlocal * layout->region_nbytes, &wire->region);
    if (rc != WHORL_OK) {
        return rc;
    }
    *region_out = (struct wh_region){
        .base = wire->region,
        .nbytes = layout->region_nbytes,
        .local = wire->local,
        .nlocal = layout->nlocal,
        .bells = wire->bells,
    };
    return WHORL_OK;
}

void shm_region_close(struct shm_wire *wire)
{
    wh_shmem_unmap(wire->region, wire->layout.nlocal * wire->layout.region_nbytes);
    free(wire->bells);
}
