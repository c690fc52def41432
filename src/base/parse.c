/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Numbers as people write them. strtoull() would take signs, blanks and octal, and knows neither
 * units nor fractions, so digits are read here; all arithmetic is on integers and checked.
 */
#include "base/config.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

enum { FRACTION_DIGITS_MOST = 9 }; /* 10^9 times the largest unit fits in 64 bits */

/* A decimal number, whole + fraction / scale. */
struct decimal {
    uint64_t whole;
    uint64_t fraction;
    uint64_t scale; /* 10 to the number of digits after the point; 1: no point */
};

struct unit {
    const char *name;
    uint64_t factor;
};

/* Reads the digits at *text and moves *text behind them; false if there are none or too many. */
static bool take_digits(const char **text, uint32_t base, uint64_t *value_out)
{
    uint64_t value = 0;
    const char *c = *text;
    for (; isxdigit((unsigned char)*c); c++) {
        int digit = isdigit((unsigned char)*c) ? *c - '0' : tolower((unsigned char)*c) - 'a' + 10;
        if ((uint32_t)digit >= base) {
            break;
        }
        if (__builtin_mul_overflow(value, base, &value) ||
            __builtin_add_overflow(value, (uint64_t)digit, &value)) {
            return false;
        }
    }
    if (c == *text) {
        return false;
    }
    *text = c;
    *value_out = value;
    return true;
}

static bool take_decimal(const char **text, struct decimal *number_out)
{
    struct decimal number = {.scale = 1};
    if (!take_digits(text, 10, &number.whole)) {
        return false;
    }
    if (**text == '.') {
        (*text)++;
        const char *digits = *text;
        if (!take_digits(text, 10, &number.fraction) || *text - digits > FRACTION_DIGITS_MOST) {
            return false;
        }
        for (const char *c = digits; c < *text; c++) {
            number.scale *= 10;
        }
    }
    *number_out = number;
    return true;
}

/* number * factor, a fraction rounded up. A fraction of the smallest unit is a mistake. */
static bool scale_up(const struct decimal *number, uint64_t factor, uint64_t *value_out)
{
    if (number->scale > 1 && factor == 1) {
        return false;
    }
    uint64_t value;
    uint64_t part = number->fraction * factor;
    part = part / number->scale + (part % number->scale != 0);
    if (__builtin_mul_overflow(number->whole, factor, &value) ||
        __builtin_add_overflow(value, part, &value)) {
        return false;
    }
    *value_out = value;
    return true;
}

static bool parse_with_units(const char *text, const struct unit *units, size_t nunits,
                             uint64_t *value_out)
{
    struct decimal number;
    if (!take_decimal(&text, &number)) {
        return false;
    }
    for (size_t i = 0; i < nunits; i++) {
        if (strcasecmp(text, units[i].name) == 0) {
            return scale_up(&number, units[i].factor, value_out);
        }
    }
    return false;
}

bool wh_parse_count(const char *text, uint64_t *value_out)
{
    bool hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    const char *rest = hex ? text + 2 : text;
    uint64_t value;
    if (!take_digits(&rest, hex ? 16 : 10, &value) || *rest != '\0') {
        return false;
    }
    *value_out = value;
    return true;
}

bool wh_parse_nbytes(const char *text, uint64_t *value_out)
{
    static const uint64_t kib = 1024;
    const struct unit units[] = {
        {"K", kib},   {"M", kib * kib},   {"G", kib * kib * kib},
        {"KB", kib},  {"MB", kib * kib},  {"GB", kib * kib * kib},
        {"KiB", kib}, {"MiB", kib * kib}, {"GiB", kib * kib * kib},
        {"B", 1},
    };
    return wh_parse_count(text, value_out) ||
           parse_with_units(text, units, ARRAY_LEN(units), value_out);
}

bool wh_parse_msec(const char *text, uint64_t *value_out)
{
    static const struct unit units[] = {
        {"", 1}, {"ms", 1}, {"s", 1000}, {"min", 60000}, {"h", 3600000},
    };
    return parse_with_units(text, units, ARRAY_LEN(units), value_out);
}

bool wh_parse_flag(const char *text, bool *value_out)
{
    static const char *const words[][2] = {
        {"0", "1"},
        {"false", "true"},
        {"no", "yes"},
        {"off", "on"},
    };
    for (size_t i = 0; i < ARRAY_LEN(words); i++) {
        for (int value = 0; value < 2; value++) {
            if (strcasecmp(text, words[i][value]) == 0) {
                *value_out = value == 1;
                return true;
            }
        }
    }
    return false;
}
