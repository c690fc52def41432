/* SPDX-License-Identifier: Apache-2.0 */
/* One hash for keys and checksums: 64-bit FNV-1a. It finds accidents, not attackers. */
#ifndef WH_BASE_HASH_H
#define WH_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define WH_HASH_START UINT64_C(0xcbf29ce484222325)

/* The hash of what gave `hash` so far, followed by these bytes. */
static inline uint64_t wh_hash(uint64_t hash, const void *bytes, size_t nbytes)
{
    for (size_t i = 0; i < nbytes; i++) {
        hash = (hash ^ ((const uint8_t *)bytes)[i]) * UINT64_C(0x100000001b3);
    }
    return hash;
}

#endif
