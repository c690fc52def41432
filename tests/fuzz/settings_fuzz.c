/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what is parsed from the environment and from files: every knob, the lists of algorithms
 * and of transports, numbers, and whole files of settings. The first byte chooses which.
 */
#include "base/conffile.h"
#include "base/config.h"
#include "base/knobs.h"
#include "base/log.h"
#include "tuner/select.h"
#include "wire/choose.h"
#include "wire/wire.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

/* Not the real table: that brings the transports themselves with it. */
static const struct whorl_transport_ops some_transports[] = {{.name = "shm"}, {.name = "tcp"}};
const struct whorl_transport_ops *const wh_transports[] = {&some_transports[0],
                                                           &some_transports[1]};
const size_t wh_ntransports = ARRAY_LEN(wh_transports);

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

static void fill_config(wh_config_lookup_fn from, void *ctx)
{
    struct wh_config config;
    whorl_result_t rc = wh_config_init(&config, from, ctx);
    if (rc != WHORL_OK && rc != WHORL_E_CONFIG) {
        abort();
    }
    if (rc == WHORL_OK) {
        struct wh_choice choice;
        (void)!wh_choice_parse(&config, &choice);
    }
    wh_config_fini(&config);
}

static void fuzz_config(const char *text)
{
    struct source source = {.skip = (uint8_t)text[0] % (2 * (uint32_t)wh_nknobs), .text = text};
    fill_config(lookup, &source);
}

static void fuzz_file(const uint8_t *bytes, size_t nbytes)
{
    int fd = memfd_create("settings", MFD_CLOEXEC);
    if (fd < 0 || write(fd, bytes, nbytes) != (ssize_t)nbytes) {
        abort();
    }
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct wh_conffile file;
    if (wh_conffile_init(&file, path) != WHORL_OK || file.why != 0) {
        abort();
    }
    for (size_t i = 0; i < file.nlines; i++) {
        if (file.lines[i].name != NULL) {
            (void)wh_knob_is_name(file.lines[i].name);
            (void)wh_knob_nearest(file.lines[i].name);
        }
    }
    fill_config(wh_conffile_lookup, &file);
    wh_conffile_fini(&file);
    close(fd);
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
    switch (bytes[0] % 4) {
    case 0:
        fuzz_config(text);
        break;
    case 1:
        fuzz_algos(text);
        break;
    case 2:
        fuzz_file(bytes + 1, nbytes - 1);
        break;
    default:
        fuzz_numbers(text);
        break;
    }
    free(text);
    return 0;
}
