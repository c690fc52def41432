/* SPDX-License-Identifier: Apache-2.0 */
/* The kernels for CPUs with AVX2 and F16C. */
#if defined(__x86_64__)

#include "numeric/reduce.h"

#include <immintrin.h>

enum { V = 32 };

#include "numeric/reduce_vector_types.inc"

static inline vec_f32 widen_f16(half_u16 h)
{
    return (vec_f32)_mm256_cvtph_ps((__m128i)h);
}

static inline half_u16 narrow_f16(vec_f32 x)
{
    return (half_u16)_mm256_cvtps_ph((__m256)x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static inline half_u16 low_half(vec_u16 x)
{
    return (half_u16)_mm256_castsi256_si128((__m256i)x);
}

static inline half_u16 high_half(vec_u16 x)
{
    return (half_u16)_mm256_extracti128_si256((__m256i)x, 1);
}

static inline vec_u16 join_halves(half_u16 low, half_u16 high)
{
    return (vec_u16)_mm256_set_m128i((__m128i)high, (__m128i)low);
}

static inline vec_u16 narrow_u16(vec_u32 low, vec_u32 high)
{
    __m256i crossed = _mm256_packus_epi32((__m256i)low, (__m256i)high);
    return (vec_u16)_mm256_permute4x64_epi64(crossed, 0xd8);
}

static inline vec_f32 quiet_f32(vec_f32 x)
{
    __m256 is_nan = _mm256_cmp_ps((__m256)x, (__m256)x, _CMP_UNORD_Q);
    __m256 quiet = _mm256_set1_ps(__builtin_nanf(""));
    return (vec_f32)_mm256_blendv_ps((__m256)x, quiet, is_nan);
}

static inline void put_past_caches(uint8_t *dst, vec_u8 x)
{
    _mm256_stream_si256((void *)dst, (__m256i)x);
}

static inline void fence_past_caches(void)
{
    _mm_sfence();
}

#include "numeric/reduce_vector_part.h"

#define KERNELS wh_kernels_avx2
#define ISA     "avx2"
#include "numeric/reduce_vector.inc"

#endif
