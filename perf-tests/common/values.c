/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work goes block by block: hash the indexes of a block once, then derive each rank's value with
 * two multiplications. Checking n ranks costs n times filling one, so this loop decides how long
 * a checked run of large sizes takes.
 */
#include "common/values.h"

#include <assert.h>
#include <string.h>

enum { BLOCK = 256 };

/* One element on its way: an integer, an exponent with its sign, a key, or raw bits. */
struct block {
    uint32_t hash[BLOCK];
    uint64_t acc[BLOCK];
    uint64_t one[BLOCK];
};

static uint32_t mix(uint32_t x)
{
    x ^= x >> 16;
    x *= 0x7feb352du;
    x ^= x >> 15;
    x *= 0x846ca68bu;
    return x ^ (x >> 16);
}

static void hash_indexes(struct block *b, uint32_t seed, uint64_t first, size_t nelems)
{
    for (size_t i = 0; i < nelems; i++) {
        uint64_t index = first + i;
        uint32_t folded = (uint32_t)index + (uint32_t)(index >> 32) * 0x9e3779b9u;
        b->hash[i] = mix(folded ^ (seed * 0x85ebca6bu));
    }
}

static uint32_t rank_hash(uint32_t index_hash, int rank)
{
    uint32_t x = (index_hash ^ ((uint32_t)rank + 1u) * 0x9e3779b1u) * 0xc2b2ae35u;
    return x ^ (x >> 15);
}

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

/* Random bits that are a number and not -0. */
static uint64_t ordered_bits(const struct perf_type *type, uint64_t bits)
{
    if (type->class != PERF_FLOAT) {
        return bits;
    }
    uint64_t exponent = (((uint64_t)1 << type->exponent_bits) - 1) << type->fraction_bits;
    uint64_t fraction = ((uint64_t)1 << type->fraction_bits) - 1;
    uint64_t not_a_number = type->has_inf ? exponent : exponent | fraction;
    if ((bits & not_a_number) == not_a_number) {
        bits ^= (uint64_t)1 << type->fraction_bits;
    }
    return (bits & (exponent | fraction)) == 0 ? 0 : bits;
}

/* True when rank contributes at the index of that hash. */
static bool is_active(const struct perf_values *v, uint32_t index_hash, int rank)
{
    uint32_t turn = ((index_hash >> 8) + (uint32_t)rank) % (uint32_t)v->nranks;
    return turn < (uint32_t)v->nactive;
}

/* b->one[i] = rank's value: SMALL the integer, POW2 the exponent * 2 + sign, others the bits. */
static void make_values(const struct perf_values *v, struct block *b, int rank, size_t nelems)
{
    uint64_t mask = full_mask(v->type);
    bool all_active = v->nactive == v->nranks;
    bool has_sign = v->type->class != PERF_UNSIGNED;

    for (size_t i = 0; i < nelems; i++) {
        uint32_t x = rank_hash(b->hash[i], rank);
        if (v->kind == PERF_VALUE_BITS || v->kind == PERF_VALUE_ORDERED) {
            uint64_t bits = ((uint64_t)(x * 0x27d4eb2fu) << 32 | x) & mask;
            bits = v->kind == PERF_VALUE_ORDERED ? ordered_bits(v->type, bits) : bits;
            b->one[i] = v->op == PERF_OP_PROD ? bits | 1 : bits;
            continue;
        }
        int64_t value = (int64_t)(x & v->magnitude_mask) + 1;
        value = has_sign && (x >> 31) != 0 ? -value : value;
        if (!all_active && !is_active(v, b->hash[i], rank)) {
            value = 0;
        }
        b->one[i] = (uint64_t)value;
        if (v->kind == PERF_VALUE_POW2) {
            b->one[i] = (uint64_t)value * 2 + ((x >> 30) & 1);
        }
    }
}

/* Adds b->one, rank's values, to b->acc. */
static void combine(const struct perf_values *v, struct block *b, int rank, size_t nelems)
{
    uint64_t scalar = v->op == PERF_OP_MULSUM ? (uint64_t)perf_values_scalar(rank) : 1;

    for (size_t i = 0; i < nelems; i++) {
        uint64_t one = b->one[i];
        if (v->kind == PERF_VALUE_ORDERED) {
            uint64_t key = perf_type_key(v->type, one);
            bool better = v->op == PERF_OP_MIN ? key < b->acc[i] : key > b->acc[i];
            b->acc[i] = better ? key : b->acc[i];
        } else if (v->kind == PERF_VALUE_POW2) {
            /* exponents add in the upper bits, signs multiply in the lowest */
            uint64_t sign = (b->acc[i] ^ one) & 1;
            b->acc[i] = (((b->acc[i] & ~(uint64_t)1) + (one & ~(uint64_t)1)) & ~(uint64_t)1) | sign;
        } else if (v->op == PERF_OP_PROD) {
            b->acc[i] *= one;
        } else {
            b->acc[i] += one * scalar;
        }
    }
}

static uint64_t neutral(const struct perf_values *v)
{
    if (v->kind == PERF_VALUE_ORDERED) {
        return v->op == PERF_OP_MIN ? full_mask(v->type) : 0;
    }
    return v->kind == PERF_VALUE_BITS && v->op == PERF_OP_PROD ? 1 : 0;
}

/* The bits of an integer that a float type holds exactly, without going through a double. */
static uint64_t encode_small(const struct perf_type *type, int64_t value)
{
    if (value == 0) {
        return 0;
    }
    uint64_t magnitude = (uint64_t)(value < 0 ? -value : value);
    int exponent = 63 - __builtin_clzll(magnitude);
    int shift = type->fraction_bits - exponent; /* negative only for a power of two: nothing is lost */
    uint64_t fraction = shift >= 0 ? magnitude << shift : magnitude >> -shift;
    fraction &= ((uint64_t)1 << type->fraction_bits) - 1;
    uint64_t sign = value < 0 ? (uint64_t)1 << (type->exponent_bits + type->fraction_bits) : 0;
    return sign | (uint64_t)(exponent + type->bias) << type->fraction_bits | fraction;
}

/* Turns the numbers of SMALL and POW2 values, in place, into the bits to be stored. */
static void encode_all(const struct perf_values *v, uint64_t *numbers, size_t nelems,
                       double divisor)
{
    const struct perf_type *type = v->type;
    int sign_shift = type->exponent_bits + type->fraction_bits;

    if (v->kind == PERF_VALUE_BITS || v->kind == PERF_VALUE_ORDERED) {
        return;
    }
    for (size_t i = 0; i < nelems; i++) {
        int64_t number = (int64_t)numbers[i];
        if (v->kind == PERF_VALUE_POW2) {
            uint64_t sign = numbers[i] & 1;
            uint64_t biased = (uint64_t)((number - (int64_t)sign) / 2 + type->bias);
            numbers[i] = sign << sign_shift | biased << type->fraction_bits;
        } else if (divisor != 1.0) {
            /* integers: the conversion truncates towards zero, as the library promises for avg */
            numbers[i] = perf_type_encode(type, (double)number / divisor);
        } else if (type->class == PERF_FLOAT) {
            numbers[i] = encode_small(type, number);
        }
    }
}

static void store(const struct perf_type *type, const uint64_t *bits, size_t nelems, char *out)
{
    for (size_t i = 0; i < nelems; i++) {
        switch (type->nbytes) {
        case 1:
            out[i] = (char)(uint8_t)bits[i];
            break;
        case 2: {
            uint16_t low = (uint16_t)bits[i];
            memcpy(out + 2 * i, &low, sizeof(low));
            break;
        }
        case 4: {
            uint32_t low = (uint32_t)bits[i];
            memcpy(out + 4 * i, &low, sizeof(low));
            break;
        }
        default:
            memcpy(out + 8 * i, &bits[i], sizeof(bits[i]));
            break;
        }
    }
}

void perf_values_input(const struct perf_values *values, int rank, uint64_t first, size_t nelems,
                       void *out)
{
    struct block b;
    char *next = out;

    while (nelems > 0) {
        size_t n = nelems < BLOCK ? nelems : BLOCK;
        hash_indexes(&b, values->seed, first, n);
        make_values(values, &b, rank, n);
        encode_all(values, b.one, n, 1.0);
        store(values->type, b.one, n, next);
        next += n * values->type->nbytes;
        first += n;
        nelems -= n;
    }
}

void perf_values_reduced(const struct perf_values *values, uint64_t first, size_t nelems,
                         void *out)
{
    struct block b;
    char *next = out;
    double divisor = values->op == PERF_OP_AVG ? (double)values->nranks : 1.0;

    while (nelems > 0) {
        size_t n = nelems < BLOCK ? nelems : BLOCK;
        hash_indexes(&b, values->seed, first, n);
        for (size_t i = 0; i < n; i++) {
            b.acc[i] = neutral(values);
        }
        for (int rank = 0; rank < values->nranks; rank++) {
            make_values(values, &b, rank, n);
            combine(values, &b, rank, n);
        }
        if (values->kind == PERF_VALUE_ORDERED) {
            for (size_t i = 0; i < n; i++) {
                b.acc[i] = perf_type_unkey(values->type, b.acc[i]);
            }
        }
        encode_all(values, b.acc, n, divisor);
        store(values->type, b.acc, n, next);
        next += n * values->type->nbytes;
        first += n;
        nelems -= n;
    }
}
