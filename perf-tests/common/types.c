/* SPDX-License-Identifier: Apache-2.0 */
#include "common/types.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static const struct perf_type types[PERF_NTYPES] = {
    {WHORL_INT8, "int8", "int8", PERF_SIGNED, 1, 0, 0, 0, false},
    {WHORL_UINT8, "uint8", "uint8", PERF_UNSIGNED, 1, 0, 0, 0, false},
    {WHORL_INT32, "int32", "int32", PERF_SIGNED, 4, 0, 0, 0, false},
    {WHORL_UINT32, "uint32", "uint32", PERF_UNSIGNED, 4, 0, 0, 0, false},
    {WHORL_INT64, "int64", "int64", PERF_SIGNED, 8, 0, 0, 0, false},
    {WHORL_UINT64, "uint64", "uint64", PERF_UNSIGNED, 8, 0, 0, 0, false},
    {WHORL_FLOAT16, "half", "float16", PERF_FLOAT, 2, 5, 10, 15, true},
    {WHORL_FLOAT32, "float", "float32", PERF_FLOAT, 4, 8, 23, 127, true},
    {WHORL_FLOAT64, "double", "float64", PERF_FLOAT, 8, 11, 52, 1023, true},
    {WHORL_BFLOAT16, "bfloat16", "bfloat16", PERF_FLOAT, 2, 8, 7, 127, true},
    {WHORL_FLOAT8_E4M3, "f8e4m3", "float8_e4m3", PERF_FLOAT, 1, 4, 3, 7, false},
    {WHORL_FLOAT8_E5M2, "f8e5m2", "float8_e5m2", PERF_FLOAT, 1, 5, 2, 15, true},
};

static const char *const op_names[PERF_NOPS + 1] = {
    [PERF_OP_SUM] = "sum",   [PERF_OP_PROD] = "prod", [PERF_OP_MIN] = "min",
    [PERF_OP_MAX] = "max",   [PERF_OP_AVG] = "avg",   [PERF_OP_MULSUM] = "mulsum",
    [PERF_OP_NONE] = "none",
};

const struct perf_type *perf_type_at(int index)
{
    assert(index >= 0 && index < PERF_NTYPES);
    return &types[index];
}

int perf_type_find(const char *name)
{
    for (int i = 0; i < PERF_NTYPES; i++) {
        if (strcmp(name, types[i].name) == 0 || strcmp(name, types[i].other) == 0) {
            return i;
        }
    }
    return -1;
}

const char *perf_op_name(enum perf_op_kind op)
{
    return op_names[op];
}

int perf_op_find(const char *name)
{
    for (int i = 0; i < PERF_NOPS; i++) {
        if (strcmp(name, op_names[i]) == 0) {
            return i;
        }
    }
    return -1;
}

whorl_redop_t perf_op_number(enum perf_op_kind op)
{
    static const whorl_redop_t numbers[PERF_NOPS] = {
        [PERF_OP_SUM] = WHORL_SUM, [PERF_OP_PROD] = WHORL_PROD, [PERF_OP_MIN] = WHORL_MIN,
        [PERF_OP_MAX] = WHORL_MAX, [PERF_OP_AVG] = WHORL_AVG,
    };

    assert(op < PERF_OP_MULSUM);
    return numbers[op];
}

static uint64_t encode_float(const struct perf_type *type, double value)
{
    int total_bits = 1 + type->exponent_bits + type->fraction_bits;
    uint64_t sign = signbit(value) ? (uint64_t)1 << (total_bits - 1) : 0;
    double magnitude = fabs(value);
    if (magnitude == 0.0) {
        return sign;
    }

    int exponent = 0;
    frexp(magnitude, &exponent); /* magnitude = [0.5, 1) * 2^exponent */
    int biased = exponent - 1 + type->bias;
    if (biased < 1) {
        biased = 1; /* subnormal: the same spacing as the smallest normal */
    }

    /* The magnitude in units of the last place. The default rounding mode makes rint() round to
     * nearest even; a carry out of the fraction runs into the exponent as it should. */
    double units = rint(ldexp(magnitude, type->fraction_bits - (biased - type->bias)));
    uint64_t bits = (uint64_t)units;
    return sign | (bits + ((uint64_t)(biased - 1) << type->fraction_bits));
}

uint64_t perf_type_encode(const struct perf_type *type, double value)
{
    switch (type->class) {
    case PERF_SIGNED:
        return (uint64_t)(int64_t)value;
    case PERF_UNSIGNED:
        return (uint64_t)value;
    case PERF_FLOAT:
        break;
    }
    return encode_float(type, value);
}

static uint64_t mask_of(const struct perf_type *type)
{
    return type->nbytes == 8 ? UINT64_MAX : ((uint64_t)1 << (8 * type->nbytes)) - 1;
}

uint64_t perf_type_key(const struct perf_type *type, uint64_t bits)
{
    uint64_t mask = mask_of(type);
    uint64_t top = mask ^ (mask >> 1);

    bits &= mask;
    if (type->class == PERF_UNSIGNED) {
        return bits;
    }
    if (type->class == PERF_FLOAT && (bits & top) != 0) {
        return ~bits & mask; /* sign and magnitude: larger magnitude is less */
    }
    return bits ^ top;
}

uint64_t perf_type_unkey(const struct perf_type *type, uint64_t key)
{
    uint64_t mask = mask_of(type);
    uint64_t top = mask ^ (mask >> 1);

    if (type->class == PERF_UNSIGNED) {
        return key;
    }
    if (type->class == PERF_FLOAT && (key & top) == 0) {
        return ~key & mask;
    }
    return key ^ top;
}
