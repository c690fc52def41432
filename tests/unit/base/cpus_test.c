/* SPDX-License-Identifier: Apache-2.0 */
/* Quotas of cgroups, as texts and as folders like those under /sys/fs/cgroup. */
#include "base/cpus.h"
#include "base/macros.h"
#include "base/wait.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <ftw.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

Test(cpus, a_cpu_max_is_rounded_up)
{
    static const struct {
        const char *text;
        uint32_t cpus;
    } rows[] = {
        {"max 100000\n", WH_CPUS_ANY},
        {"200000 100000\n", 2},
        {"150000 100000", 2},
        {"1000 100000", 1},
        {"100001 100000", 2},
        {"0 100000", WH_CPUS_ANY},
        {"100000 0", WH_CPUS_ANY},
        {"100000", WH_CPUS_ANY},
        {"", WH_CPUS_ANY},
        {"-1 100000", WH_CPUS_ANY},
        {"what", WH_CPUS_ANY},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect(wh_cpus_of_cpu_max(rows[i].text) == rows[i].cpus, "\"%s\": %u", rows[i].text,
                  wh_cpus_of_cpu_max(rows[i].text));
    }
}

Test(cpus, a_quota_of_version_1_is_rounded_up)
{
    cr_expect(wh_cpus_of_cfs("-1\n", "100000\n") == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cfs("250000\n", "100000\n") == 3);
    cr_expect(wh_cpus_of_cfs("50000", "100000") == 1);
    cr_expect(wh_cpus_of_cfs("0", "100000") == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cfs("100000", "0") == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cfs("", "100000") == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cfs("100000", "x") == WH_CPUS_ANY);
}

/* ---- folders --------------------------------------------------------------------------------- */

static char mount[64];

static void make_mount(void)
{
    strcpy(mount, "/tmp/whorl-cpus-test-XXXXXX");
    cr_assert(mkdtemp(mount) != NULL);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
    (void)st;
    (void)type;
    (void)ftw;
    return remove(path);
}

static void remove_mount(void)
{
    cr_expect(nftw(mount, remove_one, 8, FTW_DEPTH | FTW_PHYS) == 0);
}

/* Writes mount/group/name, with the folders above it. */
static void put(const char *group, const char *name, const char *text)
{
    char path[256];
    int n = snprintf(path, sizeof(path), "%s/%s", mount, group);
    for (char *slash = strchr(path + strlen(mount) + 1, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
        *slash = '/';
    }
    cr_assert(mkdir(path, 0700) == 0 || errno == EEXIST);
    snprintf(path + n, sizeof(path) - (size_t)n, "/%s", name);
    FILE *file = fopen(path, "w");
    cr_assert(file != NULL);
    cr_assert(fputs(text, file) >= 0);
    cr_assert(fclose(file) == 0);
}

TestSuite(cpus_folders, .init = make_mount, .fini = remove_mount);

Test(cpus_folders, the_least_of_the_own_cgroup_and_all_above_counts)
{
    put("job/step/task", "cpu.max", "max 100000\n");
    put("job/step", "cpu.max", "300000 100000\n");
    put("job", "cpu.max", "800000 100000\n");
    cr_expect(wh_cpus_of_cgroups("0::/job/step/task\n", mount) == 3);
    cr_expect(wh_cpus_of_cgroups("0::/job", mount) == 8);
    cr_expect(wh_cpus_of_cgroups("0::/\n", mount) == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cgroups("0::/jobs\n", mount) == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cgroups("", mount) == WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cgroups("nonsense\n:\n\n", mount) == WH_CPUS_ANY);
}

Test(cpus_folders, a_path_of_the_host_ends_at_the_mount_of_the_container)
{
    put("", "cpu.max", "200000 100000\n");
    cr_expect(wh_cpus_of_cgroups("0::/kubepods/pod7/abc\n", mount) == 2);
}

Test(cpus_folders, version_1_is_read_where_the_cpu_controller_is)
{
    put("cpu/docker/abc", "cpu.cfs_quota_us", "450000\n");
    put("cpu/docker/abc", "cpu.cfs_period_us", "100000\n");
    cr_expect(wh_cpus_of_cgroups("5:memory:/docker/abc\n4:cpuset:/docker/abc\n", mount) ==
              WH_CPUS_ANY);
    cr_expect(wh_cpus_of_cgroups("5:memory:/x\n3:cpuacct,cpu:/docker/abc\n0::/\n", mount) == 5);
}

Test(cpus_folders, the_unified_part_of_a_mixed_mount_is_read)
{
    put("unified/a", "cpu.max", "100000 100000\n");
    cr_expect(wh_cpus_of_cgroups("4:cpu:/\n0::/a\n", mount) == 1);
}

Test(cpus, this_process_may_use_at_least_one_core)
{
    uint32_t cpus = wh_usable_cpus();
    long online = sysconf(_SC_NPROCESSORS_CONF);
    cr_expect(cpus >= 1);
    cr_expect(online < 1 || cpus <= (uint32_t)online);
    cr_expect(wh_usable_cpus() == cpus);
}

Test(cpus, the_key_of_this_process_stays_the_same)
{
    cr_assert_neq(wh_usable_cpus_key(), 0);
    cr_assert_eq(wh_usable_cpus_key(), wh_usable_cpus_key());
}

Test(cpus, a_thread_can_leave_its_core_and_keeps_its_affinity)
{
    cpu_set_t before, after;
    cr_assert_eq(sched_getaffinity(0, sizeof(before), &before), 0);
    uint32_t cpu = wh_current_cpu();
    wh_leave_cpu(cpu);
    cr_assert_eq(sched_getaffinity(0, sizeof(after), &after), 0);
    cr_expect(CPU_EQUAL(&before, &after));

    /* With one core only there is nowhere to go. */
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(wh_current_cpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    cpu = wh_current_cpu();
    wh_leave_cpu(cpu);
    cr_expect_eq(wh_current_cpu(), cpu);
    cr_assert_eq(sched_getaffinity(0, sizeof(after), &after), 0);
    cr_expect(CPU_EQUAL(&one, &after));
}

/* Waits of which every paid_every-th is paid and every lost_every-th costs the core; 0: none is and
 * does. Returns after how many the thread should leave; 0: never. */
static uint32_t waits_to_leave(struct wh_sharing *sharing, bool leaves_first, uint32_t paid_every,
                               uint32_t lost_every)
{
    enum { NWAITS_MOST = 100000 };
    uint64_t nlost = 1000;
    for (uint32_t i = 1; i <= NWAITS_MOST; i++) {
        bool paid = paid_every > 0 && i % paid_every == 0;
        nlost += lost_every > 0 && i % lost_every == 0;
        if (wh_sharing_should_leave(sharing, paid, leaves_first, nlost)) {
            return i;
        }
    }
    return 0;
}

Test(cpus, who_loses_its_core_in_most_waits_leaves_it_and_one_of_two_goes_first)
{
    struct wh_sharing first = {0}, second = {0};
    uint32_t n = waits_to_leave(&first, true, 0, 1), m = waits_to_leave(&second, false, 0, 1);
    cr_expect_eq(n, WH_SHARING_NWAITS + 1);
    cr_expect_eq(m, 3 * WH_SHARING_NWAITS + 1);
}

Test(cpus, who_only_waits_long_or_not_always_stays)
{
    struct wh_sharing slow = {0}, disturbed = {0}, lucky = {0};
    cr_expect_eq(waits_to_leave(&slow, true, 0, 0), 0, "a slow network is no shared core");
    cr_expect_eq(waits_to_leave(&disturbed, true, 0, 3), 0, "nor is who comes by now and then");
    cr_expect_eq(waits_to_leave(&lucky, true, WH_SHARING_NWAITS, 1), 0, "it was over");
}

Test(cpus, leaving_that_does_not_help_is_tried_half_as_often_each_time)
{
    struct wh_sharing sharing = {0};
    uint32_t before = waits_to_leave(&sharing, true, 0, 1);
    for (int i = 0; i < 8; i++) {
        uint32_t n = waits_to_leave(&sharing, true, 0, 1);
        cr_expect_eq(n - 1, 2 * (before - 1));
        before = n;
    }
}

static _Atomic bool is_over;

static void *yield_for_ever(void *arg)
{
    while (!is_over) {
        sched_yield();
    }
    return arg;
}

Test(cpus, who_yields_to_another_thread_has_lost_its_core, .timeout = 60)
{
    cpu_set_t one;
    pthread_t other;
    CPU_ZERO(&one);
    CPU_SET(wh_current_cpu(), &one);
    cr_assert_eq(sched_setaffinity(0, sizeof(one), &one), 0);
    uint64_t before = wh_lost_cores();
    cr_assert_eq(pthread_create(&other, NULL, yield_for_ever, NULL), 0);
    while (wh_lost_cores() < before + 10) {
        sched_yield();
    }
    is_over = true;
    pthread_join(other, NULL);
}
