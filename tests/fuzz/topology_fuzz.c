/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes texts about the machine: lists of cores (WHORL_TOPO_CPU) on a small machine that is given
 * as a description, and the limits of cgroups. Descriptions and XML files are hwloc's own to read.
 * The first byte chooses.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "base/cpus.h"
#include "base/log.h"
#include "topology/place.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

static void fuzz_cpus(const char *text)
{
    const struct wh_topology_source source = {.file = "synthetic:numa:2 l3:2 core:2 pu:1",
                                              .cpus = text};
    struct wh_topology_place place;
    whorl_result_t rc = wh_topology_find_place(&source, &place);
    if (rc != WHORL_OK && rc != WHORL_E_CONFIG) {
        abort();
    }
}

static void fuzz_cgroups(const char *text)
{
    const char *second = strchr(text, '\n');
    second = second != NULL ? second + 1 : "100000";
    if (wh_cpus_of_cpu_max(text) == 0 || wh_cpus_of_cfs(text, second) == 0 ||
        wh_cpus_of_cgroups(text, "/nowhere") == 0) {
        abort();
    }
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
    if (bytes[0] % 2 == 0) {
        fuzz_cpus(text);
    } else {
        fuzz_cgroups(text);
    }
    free(text);
    return 0;
}
