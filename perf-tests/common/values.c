/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checking n ranks costs n times what filling one costs, so these loops decide how long a checked
 * run of large sizes takes. They work on whole blocks of constant length, without branches on the
 * data: compilers turn such loops into vector code, and random signs cost no mispredictions. What
 * a block has beyond the end is computed and not stored.
 *
 * Numbers of up to 32 bits, and all SMALL and POW2 values, are "narrow"; the bits of 64-bit types
 * are "wide". A POW2 value is held as exponent * 2 + sign.
 */
#include "common/values.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 256 };

static uint64_t full_mask(const struct perf_type *type)
{
    return type->nbytes == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * type->nbytes)) - 1;
}

/* Largest integer up to which the type holds every integer, kept below 2^20 to stay in 32 bits. */
static int count_limit(const struct perf_type *type)
{
    if (type->class != PERF_FLOAT) {
        return type->nbytes == 1 ? 127 : 1 << 20;
    }
    return type->fraction_bits >= 19 ? 1 << 20 : 2 << type->fraction_bits;
}

/* Largest e for which both 2^e and 2^-e are normal numbers of the type. */
static int exponent_limit(const struct perf_type *type)
{
    return type->bias - 1;
}

static enum perf_value_kind kind_of(const struct perf_type *type, enum perf_op_kind op)
{
    if (op == PERF_OP_NONE) {
        return PERF_VALUE_BITS;
    }
    if (op == PERF_OP_MIN || op == PERF_OP_MAX) {
        return PERF_VALUE_ORDERED;
    }
    if (type->class != PERF_FLOAT) {
        return op == PERF_OP_AVG ? PERF_VALUE_SMALL : PERF_VALUE_BITS;
    }
    return op == PERF_OP_PROD ? PERF_VALUE_POW2 : PERF_VALUE_SMALL;
}

void perf_values_init(struct perf_values *out, const struct perf_type *type, enum perf_op_kind op,
                      int nranks, uint32_t seed)
{
    assert(nranks >= 1);
    *out = (struct perf_values){.type = type, .op = op, .nranks = nranks, .seed = seed};
    out->kind = kind_of(type, op);
    out->nactive = nranks;

    if (out->kind == PERF_VALUE_SMALL || out->kind == PERF_VALUE_POW2) {
        int limit = out->kind == PERF_VALUE_POW2 ? exponent_limit(type) : count_limit(type);
        if (op == PERF_OP_MULSUM) {
            limit /= 2;
        }
        out->nactive = nranks < limit ? nranks : limit;
        uint32_t most = (uint32_t)(limit / out->nactive);
        while (out->magnitude_mask * 2 + 2 <= most) {
            out->magnitude_mask = out->magnitude_mask * 2 + 1;
        }
    }

    bool exact_quotient = (nranks & (nranks - 1)) == 0 && nranks <= 64;
    if (op == PERF_OP_AVG && type->class == PERF_FLOAT && !exact_quotient) {
        out->tolerance = 2;
    }
}

int perf_values_scalar(int rank)
{
    return 1 + rank % 2;
}

/* ---- making values -------------------------------------------------------------------------- */

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static void hash_indexes(uint32_t seed, uint64_t first, uint32_t hash[BLOCK])
{
    uint32_t salt = mix(seed * 0x85ebca6bu + 1);

    for (uint32_t i = 0; i < BLOCK; i++) {
        uint64_t index = first + i;
        hash[i] = mix(((uint32_t)index + (uint32_t)(index >> 32) * 0x9e3779b9u) ^ salt);
    }
}

static uint32_t rank_hash(uint32_t index_hash, uint32_t rank_salt)
{
    uint32_t x = (index_hash ^ rank_salt) * 0xc2b2ae35u;
    return x ^ (x >> 15);
}

static uint32_t rank_salt_of(int rank)
{
    return ((uint32_t)rank + 1u) * 0x9e3779b1u;
}

/* Bits of a float type that are all set in what is no number. */
static uint64_t not_a_number(const struct perf_type *type)
{
    int bits = type->exponent_bits;
    int shift = type->fraction_bits;
    if (!type->has_inf) {
        bits += shift;
        shift = 0;
    }
    return (((uint64_t)1 << bits) - 1) << shift;
}

/* Everything of a float type but the sign. */
static uint64_t magnitude_bits(const struct perf_type *type)
{
    return ((uint64_t)1 << (type->exponent_bits + type->fraction_bits)) - 1;
}

static void narrow_bits(const struct perf_values *v, const uint32_t hash[BLOCK], int rank,
                        uint32_t one[BLOCK])
{
    uint32_t salt = rank_salt_of(rank);
    uint32_t mask = (uint32_t)full_mask(v->type);
    uint32_t odd = v->op == PERF_OP_PROD ? 1 : 0;

    for (int i = 0; i < BLOCK; i++) {
        one[i] = (rank_hash(hash[i], salt) & mask) | odd;
    }
    if (v->kind != PERF_VALUE_ORDERED || v->type->class != PERF_FLOAT) {
        return;
    }

    uint32_t nan = (uint32_t)not_a_number(v->type);
    uint32_t rest = (uint32_t)magnitude_bits(v->type);
    uint32_t fix = 1u << v->type->fraction_bits;
    for (int i = 0; i < BLOCK; i++) {
        uint32_t bits = one[i] ^ ((one[i] & nan) == nan ? fix : 0);
        one[i] = (bits & rest) == 0 ? 0 : bits;
    }
}

static void wide_bits(const struct perf_values *v, const uint32_t hash[BLOCK], int rank,
                      uint64_t one[BLOCK])
{
    uint32_t salt = rank_salt_of(rank);
    uint64_t odd = v->op == PERF_OP_PROD ? 1 : 0;

    for (int i = 0; i < BLOCK; i++) {
        uint32_t x = rank_hash(hash[i], salt);
        one[i] = (uint64_t)(x * 0x27d4eb2fu) << 32 | x | odd;
    }
    if (v->kind != PERF_VALUE_ORDERED || v->type->class != PERF_FLOAT) {
        return;
    }

    uint64_t nan = not_a_number(v->type);
    uint64_t rest = magnitude_bits(v->type);
    uint64_t fix = (uint64_t)1 << v->type->fraction_bits;
    for (int i = 0; i < BLOCK; i++) {
        uint64_t bits = one[i] ^ ((one[i] & nan) == nan ? fix : 0);
        one[i] = (bits & rest) == 0 ? 0 : bits;
    }
}

/* SMALL and POW2. */
static void narrow_numbers(const struct perf_values *v, const uint32_t hash[BLOCK], int rank,
                           uint32_t one[BLOCK])
{
    uint32_t salt = rank_salt_of(rank);
    uint32_t magnitude_mask = v->magnitude_mask;
    uint32_t sign_mask = v->type->class == PERF_UNSIGNED ? 0 : UINT32_MAX;

    for (int i = 0; i < BLOCK; i++) {
        uint32_t x = rank_hash(hash[i], salt);
        uint32_t minus = (0u - (x >> 31)) & sign_mask; /* all ones: negative */
        one[i] = (((x & magnitude_mask) + 1) ^ minus) - minus;
    }
    if (v->nactive < v->nranks) {
        uint32_t nranks = (uint32_t)v->nranks;
        for (int i = 0; i < BLOCK; i++) {
            uint32_t turn = ((hash[i] >> 8) + (uint32_t)rank) % nranks;
            one[i] = turn < (uint32_t)v->nactive ? one[i] : 0;
        }
    }
    if (v->kind == PERF_VALUE_POW2) {
        for (int i = 0; i < BLOCK; i++) {
            one[i] = one[i] * 2 + ((rank_hash(hash[i], salt) >> 30) & 1);
        }
    }
}

/* ---- combining ------------------------------------------------------------------------------ */

/* perf_type_key() for a whole block; for 32 bits and less, and for 64. */
static void narrow_keys(const struct perf_type *type, uint32_t one[BLOCK])
{
    uint32_t mask = (uint32_t)full_mask(type);
    uint32_t top = type->class == PERF_UNSIGNED ? 0 : mask ^ (mask >> 1);
    uint32_t flip = type->class == PERF_FLOAT ? mask : top; /* what a negative number flips */
    uint32_t sign = mask ^ (mask >> 1);

    for (int i = 0; i < BLOCK; i++) {
        one[i] ^= (one[i] & sign) != 0 ? flip : top;
    }
}

static void wide_keys(const struct perf_type *type, uint64_t one[BLOCK])
{
    uint64_t sign = (uint64_t)1 << 63;
    uint64_t top = type->class == PERF_UNSIGNED ? 0 : sign;
    uint64_t flip = type->class == PERF_FLOAT ? UINT64_MAX : top;

    for (int i = 0; i < BLOCK; i++) {
        one[i] ^= (one[i] & sign) != 0 ? flip : top;
    }
}

static void narrow_combine(const struct perf_values *v, uint32_t scalar, const uint32_t one[BLOCK],
                           uint32_t acc[BLOCK])
{
    if (v->op == PERF_OP_MIN) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] = one[i] < acc[i] ? one[i] : acc[i];
        }
    } else if (v->op == PERF_OP_MAX) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] = one[i] > acc[i] ? one[i] : acc[i];
        }
    } else if (v->kind == PERF_VALUE_POW2) {
        for (int i = 0; i < BLOCK; i++) { /* exponents add, signs multiply */
            acc[i] = ((acc[i] & ~1u) + (one[i] & ~1u)) | ((acc[i] ^ one[i]) & 1);
        }
    } else if (v->op == PERF_OP_PROD) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] *= one[i];
        }
    } else {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] += one[i] * scalar;
        }
    }
}

static void wide_combine(const struct perf_values *v, uint64_t scalar, const uint64_t one[BLOCK],
                         uint64_t acc[BLOCK])
{
    if (v->op == PERF_OP_MIN) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] = one[i] < acc[i] ? one[i] : acc[i];
        }
    } else if (v->op == PERF_OP_MAX) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] = one[i] > acc[i] ? one[i] : acc[i];
        }
    } else if (v->op == PERF_OP_PROD) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] *= one[i];
        }
    } else {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] += one[i] * scalar;
        }
    }
}

/* What an accumulator starts from. */
static uint64_t neutral(const struct perf_values *v)
{
    if (v->kind == PERF_VALUE_ORDERED) {
        return v->op == PERF_OP_MIN ? UINT64_MAX : 0;
    }
    return v->kind == PERF_VALUE_BITS && v->op == PERF_OP_PROD ? 1 : 0;
}

/* ---- numbers to bits ------------------------------------------------------------------------ */

/* Integers that the type holds exactly, up to 2^20 in magnitude, to the bits of a float type of 32
 * bits or less: by way of float, whose fraction is only cut and whose exponent only moves. */
static void narrow_encode_small(const struct perf_type *type, uint32_t numbers[BLOCK])
{
    uint32_t moved = (uint32_t)(127 - type->bias) << 23;
    int cut = 23 - type->fraction_bits;
    int sign_shift = type->exponent_bits + type->fraction_bits;

    for (int i = 0; i < BLOCK; i++) {
        float single = (float)(int32_t)numbers[i];
        uint32_t bits;
        memcpy(&bits, &single, sizeof(bits));
        uint32_t magnitude = bits & 0x7fffffffu;
        uint32_t coded = ((magnitude - moved) >> cut) | (bits >> 31) << sign_shift;
        numbers[i] = magnitude == 0 ? 0 : coded;
    }
}

/* POW2, and SMALL with a divisor, one by one through the general encoder where it is needed. */
static void encode_numbers(const struct perf_values *v, const uint32_t numbers[BLOCK], int divisor,
                           uint64_t bits[BLOCK])
{
    const struct perf_type *type = v->type;
    int sign_shift = type->exponent_bits + type->fraction_bits;

    for (int i = 0; i < BLOCK; i++) {
        int32_t number = (int32_t)numbers[i];
        if (v->kind == PERF_VALUE_POW2) {
            uint64_t sign = numbers[i] & 1;
            uint64_t biased = (uint64_t)((number - (int32_t)sign) / 2 + type->bias);
            bits[i] = sign << sign_shift | biased << type->fraction_bits;
        } else if (type->class != PERF_FLOAT) {
            bits[i] = (uint64_t)(int64_t)(number / divisor); /* truncates, as the library does */
        } else if (type->dtype == WHORL_FLOAT64) {
            double value = (double)number / divisor;
            memcpy(&bits[i], &value, sizeof(bits[i]));
        } else {
            bits[i] = perf_type_encode(type, (double)number / divisor);
        }
    }
}

static void narrow_store(size_t elem_nbytes, const uint32_t bits[BLOCK], size_t nelems, char *out)
{
    if (elem_nbytes == 1) {
        for (size_t i = 0; i < nelems; i++) {
            out[i] = (char)(uint8_t)bits[i];
        }
    } else if (elem_nbytes == 2) {
        uint16_t low[BLOCK];
        for (int i = 0; i < BLOCK; i++) {
            low[i] = (uint16_t)bits[i];
        }
        memcpy(out, low, nelems * sizeof(low[0]));
    } else {
        assert(elem_nbytes == sizeof(bits[0]));
        memcpy(out, bits, nelems * sizeof(bits[0]));
    }
}

/* Stores SMALL and POW2 numbers. */
static void store_numbers(const struct perf_values *v, uint32_t numbers[BLOCK], int divisor,
                          size_t nelems, char *out)
{
    const struct perf_type *type = v->type;
    bool is_direct = type->class == PERF_FLOAT && type->nbytes <= 4 && divisor == 1 &&
                     v->kind == PERF_VALUE_SMALL;
    if (is_direct) {
        narrow_encode_small(type, numbers);
        narrow_store(type->nbytes, numbers, nelems, out);
        return;
    }

    uint64_t bits[BLOCK];
    encode_numbers(v, numbers, divisor, bits);
    if (type->nbytes == 8) {
        memcpy(out, bits, nelems * sizeof(bits[0]));
        return;
    }
    for (int i = 0; i < BLOCK; i++) {
        numbers[i] = (uint32_t)bits[i];
    }
    narrow_store(type->nbytes, numbers, nelems, out);
}

/* ---- blocks --------------------------------------------------------------------------------- */

static bool holds_bits(const struct perf_values *v)
{
    return v->kind == PERF_VALUE_BITS || v->kind == PERF_VALUE_ORDERED;
}

static void input_block(const struct perf_values *v, const uint32_t hash[BLOCK], int rank,
                        size_t nelems, char *out)
{
    if (holds_bits(v) && v->type->nbytes == 8) {
        uint64_t one[BLOCK];
        wide_bits(v, hash, rank, one);
        memcpy(out, one, nelems * sizeof(one[0]));
        return;
    }

    uint32_t one[BLOCK];
    if (holds_bits(v)) {
        narrow_bits(v, hash, rank, one);
        narrow_store(v->type->nbytes, one, nelems, out);
    } else {
        narrow_numbers(v, hash, rank, one);
        store_numbers(v, one, 1, nelems, out);
    }
}

static void reduced_wide(const struct perf_values *v, const uint32_t hash[BLOCK], size_t nelems,
                         char *out)
{
    uint64_t one[BLOCK];
    uint64_t acc[BLOCK];

    for (int i = 0; i < BLOCK; i++) {
        acc[i] = neutral(v);
    }
    for (int rank = 0; rank < v->nranks; rank++) {
        int scalar = v->op == PERF_OP_MULSUM ? perf_values_scalar(rank) : 1;
        wide_bits(v, hash, rank, one);
        if (v->kind == PERF_VALUE_ORDERED) {
            wide_keys(v->type, one);
        }
        wide_combine(v, (uint64_t)scalar, one, acc);
    }
    if (v->kind == PERF_VALUE_ORDERED) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] = perf_type_unkey(v->type, acc[i]);
        }
    }
    memcpy(out, acc, nelems * sizeof(acc[0]));
}

static void reduced_narrow(const struct perf_values *v, const uint32_t hash[BLOCK], size_t nelems,
                           char *out)
{
    uint32_t one[BLOCK];
    uint32_t acc[BLOCK];

    for (int i = 0; i < BLOCK; i++) {
        acc[i] = (uint32_t)neutral(v);
    }
    for (int rank = 0; rank < v->nranks; rank++) {
        int scalar = v->op == PERF_OP_MULSUM ? perf_values_scalar(rank) : 1;
        if (holds_bits(v)) {
            narrow_bits(v, hash, rank, one);
        } else {
            narrow_numbers(v, hash, rank, one);
        }
        if (v->kind == PERF_VALUE_ORDERED) {
            narrow_keys(v->type, one);
        }
        narrow_combine(v, (uint32_t)scalar, one, acc);
    }
    if (!holds_bits(v)) {
        store_numbers(v, acc, v->op == PERF_OP_AVG ? v->nranks : 1, nelems, out);
        return;
    }
    if (v->kind == PERF_VALUE_ORDERED) {
        for (int i = 0; i < BLOCK; i++) {
            acc[i] = (uint32_t)perf_type_unkey(v->type, acc[i]);
        }
    }
    narrow_store(v->type->nbytes, acc, nelems, out);
}

void perf_values_input(const struct perf_values *values, int rank, uint64_t first, size_t nelems,
                       void *out)
{
    uint32_t hash[BLOCK];
    char *next = out;

    while (nelems > 0) {
        size_t n = nelems < BLOCK ? nelems : BLOCK;
        hash_indexes(values->seed, first, hash);
        input_block(values, hash, rank, n, next);
        next += n * values->type->nbytes;
        first += n;
        nelems -= n;
    }
}

void perf_values_reduced(const struct perf_values *values, uint64_t first, size_t nelems, void *out)
{
    uint32_t hash[BLOCK];
    char *next = out;

    while (nelems > 0) {
        size_t n = nelems < BLOCK ? nelems : BLOCK;
        hash_indexes(values->seed, first, hash);
        if (holds_bits(values) && values->type->nbytes == 8) {
            reduced_wide(values, hash, n, next);
        } else {
            reduced_narrow(values, hash, n, next);
        }
        next += n * values->type->nbytes;
        first += n;
        nelems -= n;
    }
}
