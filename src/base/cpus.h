/* SPDX-License-Identifier: Apache-2.0 */
/* The parts of wh_usable_cpus() (see wait.h) that can be tested on any machine. */
#ifndef WH_BASE_CPUS_H
#define WH_BASE_CPUS_H

#include <stdint.h>

/* No limit. */
#define WH_CPUS_ANY UINT32_MAX

/** Cores that a cpu.max of cgroup v2 allows, rounded up: "max 100000", "150000 100000".
 *  WH_CPUS_ANY if text is no limit or no cpu.max. */
uint32_t wh_cpus_of_cpu_max(const char *text);

/** The same of cgroup v1: the texts of cpu.cfs_quota_us ("-1": no limit) and cpu.cfs_period_us. */
uint32_t wh_cpus_of_cfs(const char *quota_text, const char *period_text);

/**
 * The least that the cgroups of a process and all their parents allow; WH_CPUS_ANY if none limits.
 *
 * proc_cgroup   the text of its /proc/PID/cgroup
 * mount         where cgroups are mounted: "/sys/fs/cgroup", or a test's folder
 */
uint32_t wh_cpus_of_cgroups(const char *proc_cgroup, const char *mount);

#endif
