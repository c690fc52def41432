/* SPDX-License-Identifier: Apache-2.0 */
#include "common/split.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static bool parse_value(const char *text, int base, unsigned *out)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    if (base == 0 && text[0] == '0' && (text[1] == 'b' || text[1] == 'B')) {
        base = 2;
        text += 2;
    } else if (base == 0 && (text[0] != '0' || (text[1] != 'x' && text[1] != 'X'))) {
        base = 10; /* a leading 0 is no octal */
    }
    if (!isxdigit((unsigned char)*text)) {
        return false;
    }

    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, base);
    if (errno != 0 || end == text || *end != '\0' || value > INT_MAX) {
        return false;
    }
    *out = (unsigned)value;
    return true;
}

bool perf_split_parse(const char *text, struct perf_split *out)
{
    static const struct {
        const char *word;
        enum perf_split_kind kind;
    } rows[] = {
        {"AND", PERF_SPLIT_AND}, {"&", PERF_SPLIT_AND},   {"OR", PERF_SPLIT_OR},
        {"|", PERF_SPLIT_OR},    {"MOD", PERF_SPLIT_MOD}, {"%", PERF_SPLIT_MOD},
        {"DIV", PERF_SPLIT_DIV}, {"/", PERF_SPLIT_DIV},
    };

    while (isspace((unsigned char)*text)) {
        text++;
    }
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t length = strlen(rows[i].word);
        if (strncasecmp(text, rows[i].word, length) != 0) {
            continue;
        }
        unsigned value = 0;
        bool divides = rows[i].kind == PERF_SPLIT_MOD || rows[i].kind == PERF_SPLIT_DIV;
        if (!parse_value(text + length, 0, &value) || (divides && value == 0)) {
            return false;
        }
        *out = (struct perf_split){rows[i].kind, value};
        return true;
    }
    return false;
}

bool perf_split_parse_mask(const char *text, struct perf_split *out)
{
    unsigned value = 0;
    if (!parse_value(text, 16, &value)) {
        return false;
    }
    *out = (struct perf_split){PERF_SPLIT_AND, value};
    return true;
}

int perf_split_color(const struct perf_split *split, int proc)
{
    unsigned number = (unsigned)proc;

    switch (split->kind) {
    case PERF_SPLIT_AND:
        return (int)(number & split->value);
    case PERF_SPLIT_OR:
        return (int)(number | split->value);
    case PERF_SPLIT_MOD:
        return (int)(number % split->value);
    case PERF_SPLIT_DIV:
        return (int)(number / split->value);
    case PERF_SPLIT_NONE:
        break;
    }
    return 0;
}
