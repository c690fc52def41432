/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The kernels for CPUs with AVX-512 F, BW, DQ and VL. The bfloat16 instructions are not used: they
 * flush subnormal numbers to zero.
 */
#if defined(__x86_64__)

#include "numeric/reduce.h"

#include <immintrin.h>

enum { V = 64 };

#include "numeric/reduce_vector_types.inc"

static inline vec_f32 widen_f16(half_u16 h)
{
    return (vec_f32)_mm512_cvtph_ps((__m256i)h);
}

static inline half_u16 narrow_f16(vec_f32 x)
{
    /* With a mask, of all elements: gcc 12 warns of what it has for the other one without -O. */
    return (half_u16)_mm512_maskz_cvtps_ph(0xffff, (__m512)x,
                                           _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline half_u16 low_half(vec_u16 x)
{
    return (half_u16)_mm512_castsi512_si256((__m512i)x);
}

static inline half_u16 high_half(vec_u16 x)
{
    return (half_u16)_mm512_extracti64x4_epi64((__m512i)x, 1);
}

static inline vec_u16 join_halves(half_u16 low, half_u16 high)
{
    __m512i x = _mm512_castsi256_si512((__m256i)low);
    return (vec_u16)_mm512_inserti64x4(x, (__m256i)high, 1);
}

static inline vec_u16 narrow_u16(vec_u32 low, vec_u32 high)
{
    return join_halves((half_u16)_mm512_cvtepi32_epi16((__m512i)low),
                       (half_u16)_mm512_cvtepi32_epi16((__m512i)high));
}

static inline vec_f32 quiet_f32(vec_f32 x)
{
    __mmask16 is_nan = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_UNORD_Q);
    return (vec_f32)_mm512_mask_mov_ps((__m512)x, is_nan, _mm512_set1_ps(__builtin_nanf("")));
}

static inline void put_past_caches(uint8_t *dst, vec_u8 x)
{
    _mm512_stream_si512((void *)dst, (__m512i)x);
}

static inline void fence_past_caches(void)
{
    _mm_sfence();
}

static inline void copy_part(uint8_t *dst, const uint8_t *src, size_t nbytes)
{
    __mmask64 mask = ((__mmask64)1 << nbytes) - 1;
    _mm512_mask_storeu_epi8(dst, mask, _mm512_maskz_loadu_epi8(mask, src));
}

static inline void take_part(uint8_t *dst, const uint8_t *src, size_t nbytes)
{
    __mmask64 mask = ((__mmask64)1 << nbytes) - 1;
    _mm512_storeu_si512(dst, _mm512_maskz_loadu_epi8(mask, src));
}

#define KERNELS wh_kernels_avx512
#define ISA     "avx512"
#include "numeric/reduce_vector.inc"

#endif
