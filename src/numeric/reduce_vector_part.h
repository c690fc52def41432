/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a vector, for instruction sets that cannot mask bytes. */
#ifndef WH_NUMERIC_REDUCE_VECTOR_PART_H
#define WH_NUMERIC_REDUCE_VECTOR_PART_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/*
 * The first and the last `piece` bytes, in one go each; together they are all of nbytes, which is
 * from piece to 2 * piece. Both are read before any is written. piece is a constant.
 */
static inline __attribute__((always_inline)) void copy_ends(uint8_t *dst, const uint8_t *src,
                                                            size_t nbytes, size_t piece)
{
    uint8_t first[16], last[16];
    memcpy(first, src, piece);
    memcpy(last, src + nbytes - piece, piece);
    memcpy(dst, first, piece);
    memcpy(dst + nbytes - piece, last, piece);
}

/* Fewer bytes than a vector, which has at most 32. */
static inline void copy_part(uint8_t *dst, const uint8_t *src, size_t nbytes)
{
    if (nbytes >= 16) {
        copy_ends(dst, src, nbytes, 16);
    } else if (nbytes >= 8) {
        copy_ends(dst, src, nbytes, 8);
    } else if (nbytes >= 4) {
        copy_ends(dst, src, nbytes, 4);
    } else if (nbytes >= 2) {
        copy_ends(dst, src, nbytes, 2);
    } else if (nbytes == 1) {
        *dst = *src;
    }
}

static inline void take_part(uint8_t *dst, const uint8_t *src, size_t nbytes)
{
    copy_part(dst, src, nbytes);
}

#endif
