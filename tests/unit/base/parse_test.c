/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as people write them: what is taken, and what is refused. */
#include "base/config.h"
#include "base/macros.h"

#include <criterion/criterion.h>
#include <inttypes.h>

struct good {
    const char *text;
    uint64_t value;
};

typedef bool (*parse_fn)(const char *text, uint64_t *value_out);

static void check_good(parse_fn parse, const struct good *rows, size_t nrows)
{
    for (size_t i = 0; i < nrows; i++) {
        uint64_t value = 12345;
        cr_expect(parse(rows[i].text, &value), "\"%s\" is refused", rows[i].text);
        cr_expect(value == rows[i].value, "\"%s\" is read as %" PRIu64, rows[i].text, value);
    }
}

static void check_bad(parse_fn parse, const char *const *texts, size_t ntexts)
{
    for (size_t i = 0; i < ntexts; i++) {
        uint64_t value = 12345;
        cr_expect(!parse(texts[i], &value), "\"%s\" is read as %" PRIu64, texts[i], value);
        cr_expect(value == 12345, "\"%s\" is refused, but the value changed", texts[i]);
    }
}

Test(parse, sizes_take_units_of_1024_and_fractions)
{
    static const struct good rows[] = {
        {"0", 0},
        {"4096", 4096},
        {"4096B", 4096},
        {"010", 10},
        {"0x1000", 4096},
        {"1k", 1024},
        {"64K", 65536},
        {"64KB", 65536},
        {"64kib", 65536},
        {"1.5M", 1572864},
        {"0.5MiB", 524288},
        {"2G", 2147483648u},
        {"0.000000001G", 2},
        {"18446744073709551615", UINT64_MAX},
        {"17179869183G", UINT64_MAX - (1u << 30) + 1},
    };
    check_good(wh_parse_nbytes, rows, ARRAY_LEN(rows));
}

Test(parse, what_is_no_size_is_refused)
{
    static const char *const texts[] = {
        "",
        "K",
        "4Q",
        "4 K",
        " 4",
        "4 ",
        "-1",
        "+1",
        "1.5",
        "1.K",
        ".5K",
        "1e3",
        "1,5M",
        "4KK",
        "0x",
        "0x1K",
        "0xg",
        "4KiBs",
        "1.5.5M",
        "nan",
        "1.0000000001G",
        "18446744073709551616",
        "17179869184G",
        "18446744073709551615.5K",
    };
    check_bad(wh_parse_nbytes, texts, ARRAY_LEN(texts));
}

Test(parse, counts_are_decimal_or_hexadecimal)
{
    static const struct good rows[] = {
        {"0", 0},      {"12", 12},    {"007", 7},
        {"0xff", 255}, {"0XaB", 171}, {"0xffffffffffffffff", UINT64_MAX},
    };
    check_good(wh_parse_count, rows, ARRAY_LEN(rows));

    static const char *const texts[] = {
        "",
        "-2",
        "+2",
        "1K",
        "0x",
        "0x-1",
        "ff",
        "1.0",
        " 1",
        "1 ",
        "1_000",
        "0x10000000000000000",
        "18446744073709551616",
    };
    check_bad(wh_parse_count, texts, ARRAY_LEN(texts));
}

Test(parse, durations_are_milliseconds_unless_a_unit_says_otherwise)
{
    static const struct good rows[] = {
        {"0", 0},       {"1500", 1500},   {"1500ms", 1500},  {"2s", 2000},      {"1.5s", 1500},
        {"0.0001s", 1}, {"2MIN", 120000}, {"0.5h", 1800000}, {"24h", 86400000},
    };
    check_good(wh_parse_msec, rows, ARRAY_LEN(rows));

    static const char *const texts[] = {
        "",
        "s",
        "-1s",
        "1 s",
        "1m",
        "1us",
        "1d",
        "1.5",
        "1.5ms",
        "0x10",
        "10sec",
        "1s ",
        "never",
        "18446744073709551s1",
        "18446744073709552s",
    };
    check_bad(wh_parse_msec, texts, ARRAY_LEN(texts));
}

Test(parse, flags_are_eight_words)
{
    static const char *const yes[] = {"1", "true", "TRUE", "yes", "Yes", "on"};
    static const char *const no[] = {"0", "false", "False", "no", "NO", "off"};
    static const char *const neither[] = {"", "2", "-1", "y", "t", "yes ", "enabled", "00"};

    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        bool value = false;
        cr_expect(wh_parse_flag(yes[i], &value) && value, "\"%s\" is not yes", yes[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(no); i++) {
        bool value = true;
        cr_expect(wh_parse_flag(no[i], &value) && !value, "\"%s\" is not no", no[i]);
    }
    for (size_t i = 0; i < ARRAY_LEN(neither); i++) {
        bool value = true;
        cr_expect(!wh_parse_flag(neither[i], &value) && value, "\"%s\" is taken", neither[i]);
    }
}
