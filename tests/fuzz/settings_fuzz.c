/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what is parsed from the environment and from files: every knob, the lists of algorithms,
 * and numbers. The first byte chooses which.
 */
#include "base/config.h"
#include "base/log.h"
#include "tuner/select.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

/* Gives the same text for one knob, chosen by the input. */
struct source {
    uint32_t skip;
    const char *text;
};

static const char *lookup(const char *name, void *ctx)
{
    struct source *source = ctx;
    (void)name;
    return source->skip-- == 0 ? source->text : NULL;
}

static void fuzz_config(const char *text)
{
    struct source source = {.skip = (uint8_t)text[0] % 40, .text = text};
    struct wh_config config;
    whorl_result_t rc = wh_config_init(&config, lookup, &source);
    if (rc != WHORL_OK && rc != WHORL_E_CONFIG) {
        abort();
    }
    wh_config_fini(&config);
}

static void fuzz_algos(const char *text)
{
    struct wh_algo_mask mask;
    whorl_result_t rc = wh_algo_mask_parse(text, &mask);
    if (rc != WHORL_OK && rc != WHORL_E_CONFIG) {
        abort();
    }
}

static void fuzz_numbers(const char *text)
{
    uint64_t value;
    bool flag;
    (void)wh_parse_nbytes(text, &value);
    (void)wh_parse_count(text, &value);
    (void)wh_parse_msec(text, &value);
    (void)wh_parse_flag(text, &flag);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    if (nbytes == 0) {
        return 0;
    }
    wh_log_configure("NONE", "", "");
    char *text = malloc(nbytes);
    if (text == NULL) {
        return 0;
    }
    memcpy(text, bytes + 1, nbytes - 1);
    text[nbytes - 1] = '\0';
    switch (bytes[0] % 3) {
    case 0:
        fuzz_config(text);
        break;
    case 1:
        fuzz_algos(text);
        break;
    default:
        fuzz_numbers(text);
        break;
    }
    free(text);
    return 0;
}
