/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which table of kernels this process uses. A new instruction set is a file reduce_<isa>.c and a
 * row below; the row's test must be a pure question to the CPU, so that the answer is the same in
 * every thread and no state has to be kept.
 */
#include "numeric/reduce.h"

#include "base/config.h"
#include "base/log.h"

#include <stdio.h>
#include <string.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

struct isa_row {
    const struct wh_kernels *kernels;
    bool (*runs_here)(void);
};

static bool runs_everywhere(void)
{
    return true;
}

#if defined(__x86_64__)
/* The compiler's question includes whether the system saves the registers. */
static bool has_avx2(void)
{
    unsigned eax, ebx, ecx, edx;
    bool has_f16c = __get_cpuid(1, &eax, &ebx, &ecx, &edx) && (ecx & bit_F16C);
    return has_f16c && __builtin_cpu_supports("avx2");
}

static bool has_avx512(void)
{
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
}
#endif

/* Best first. The last row runs everywhere. */
static const struct isa_row isas[] = {
#if defined(__x86_64__)
    {&wh_kernels_avx512, has_avx512},
    {&wh_kernels_avx2, has_avx2},
#endif
#if defined(__aarch64__)
    {&wh_kernels_neon, runs_everywhere},
#endif
    {&wh_kernels_scalar, runs_everywhere},
};

const struct wh_kernels *wh_kernels_at(size_t index)
{
    for (size_t i = 0; i < ARRAY_LEN(isas); i++) {
        if (isas[i].runs_here() && index-- == 0) {
            return isas[i].kernels;
        }
    }
    return NULL;
}

const struct wh_kernels *wh_kernels_named(const char *isa)
{
    bool any = strcmp(isa, "auto") == 0;
    const struct wh_kernels *kernels = wh_kernels_at(0);
    for (size_t i = 1; kernels != NULL && !any && strcmp(isa, kernels->isa) != 0; i++) {
        kernels = wh_kernels_at(i);
    }
    return kernels;
}

/* What WHORL_ISA says; "auto" where settings cannot be read, which is reported elsewhere. */
static const char *wanted(void)
{
    const struct wh_config *config;
    return wh_config_get(&config) == WHORL_OK ? config->isa : "auto";
}

const struct wh_kernels *wh_kernels_get(void)
{
    const struct wh_kernels *kernels = wh_kernels_named(wanted());
    return kernels != NULL ? kernels : wh_kernels_at(0);
}

whorl_result_t wh_kernels_check(void)
{
    const char *isa = wanted();
    if (wh_kernels_named(isa) != NULL) {
        return WHORL_OK;
    }
    char names[64] = "auto";
    size_t used = strlen(names);
    for (size_t i = 0; wh_kernels_at(i) != NULL && used < sizeof(names); i++) {
        used += (size_t)snprintf(names + used, sizeof(names) - used, ", %s", wh_kernels_at(i)->isa);
    }
    return wh_fail(WHORL_E_CONFIG, WH_SUBSYS_ENV, "WHORL_ISA=%s: this CPU has %s", isa, names);
}
