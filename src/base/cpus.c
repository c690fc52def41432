/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many cores this process may use.
 *
 * In a container the affinity often shows every core of the machine while a quota of the cgroup
 * allows two. The quota may be set on any cgroup above ours. /proc/self/cgroup names ours; seen
 * from inside a container that path may not exist under the mount, and then the container's own
 * cgroup is the mount itself, which the walk upwards ends with.
 */
#include "base/cpus.h"

#include "base/hash.h"
#include "base/macros.h"
#include "base/wait.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    CGROUP_TEXT_NBYTES = 16384,
    CPUS_FIRST_GUESS = 1024,
    CPUS_MOST = 1 << 20,
};

/* ---- texts ----------------------------------------------------------------------------------- */

static uint32_t cpus_of_quota(uint64_t quota_us, uint64_t period_us)
{
    if (quota_us == 0 || period_us == 0) {
        return WH_CPUS_ANY;
    }
    uint64_t cpus = quota_us / period_us + (quota_us % period_us != 0);
    return cpus < WH_CPUS_ANY ? (uint32_t)cpus : WH_CPUS_ANY;
}

uint32_t wh_cpus_of_cpu_max(const char *text)
{
    uint64_t quota_us;
    uint64_t period_us;
    if (text[0] < '0' || text[0] > '9' ||
        sscanf(text, "%" SCNu64 " %" SCNu64, &quota_us, &period_us) != 2) {
        return WH_CPUS_ANY;
    }
    return cpus_of_quota(quota_us, period_us);
}

uint32_t wh_cpus_of_cfs(const char *quota_text, const char *period_text)
{
    int64_t quota_us;
    int64_t period_us;
    if (sscanf(quota_text, "%" SCNd64, &quota_us) != 1 ||
        sscanf(period_text, "%" SCNd64, &period_us) != 1 || quota_us <= 0 || period_us <= 0) {
        return WH_CPUS_ANY;
    }
    return cpus_of_quota((uint64_t)quota_us, (uint64_t)period_us);
}

/* ---- files ----------------------------------------------------------------------------------- */

/* Reads a small file as a string; false if that cannot be done. What does not fit is left out. */
static bool read_text(const char *path, char *text, size_t text_nbytes)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return false;
    }
    size_t used = 0;
    while (used < text_nbytes - 1) {
        ssize_t got = read(fd, text + used, text_nbytes - 1 - used);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        used += (size_t)got;
    }
    close(fd);
    text[used] = '\0';
    return used > 0;
}

/* Reads the file `name` of the cgroup `group`, a folder. */
static bool read_group_file(const char *group, const char *name, char *text, size_t text_nbytes)
{
    char path[PATH_MAX];
    int n = snprintf(path, sizeof(path), "%s/%s", group, name);
    return n > 0 && (size_t)n < sizeof(path) && read_text(path, text, text_nbytes);
}

static uint32_t cpus_of_group(const char *group)
{
    char text[64];
    char period[64];
    if (read_group_file(group, "cpu.max", text, sizeof(text))) {
        return wh_cpus_of_cpu_max(text);
    }
    if (read_group_file(group, "cpu.cfs_quota_us", text, sizeof(text)) &&
        read_group_file(group, "cpu.cfs_period_us", period, sizeof(period))) {
        return wh_cpus_of_cfs(text, period);
    }
    return WH_CPUS_ANY;
}

/* The least along path (of path_nbytes bytes, absolute in the hierarchy) and its parents, in the
 * hierarchy mounted at `mount`/`hierarchy`. */
static uint32_t cpus_along(const char *mount, const char *hierarchy, const char *path,
                           size_t path_nbytes)
{
    char group[PATH_MAX];
    int n = snprintf(group, sizeof(group), "%s%s%.*s", mount, hierarchy, (int)path_nbytes, path);
    if (n < 0 || (size_t)n >= sizeof(group)) {
        return WH_CPUS_ANY;
    }

    size_t root_nbytes = strlen(mount) + strlen(hierarchy);
    uint32_t least = WH_CPUS_ANY;
    for (;;) {
        uint32_t cpus = cpus_of_group(group);
        least = cpus < least ? cpus : least;
        char *slash = strrchr(group + root_nbytes, '/');
        if (slash == NULL) {
            return least;
        }
        *slash = '\0';
    }
}

/* Is "cpu" among the comma list of nbytes bytes? */
static bool names_cpu(const char *list, size_t nbytes)
{
    for (size_t i = 0; i < nbytes;) {
        size_t word = strcspn(list + i, ",:");
        if (word == 3 && memcmp(list + i, "cpu", 3) == 0) {
            return true;
        }
        i += word + 1;
    }
    return false;
}

uint32_t wh_cpus_of_cgroups(const char *proc_cgroup, const char *mount)
{
    static const char *const v1_mounts[] = {"/cpu", "/cpu,cpuacct", "/cpuacct,cpu"};
    static const char *const v2_mounts[] = {"", "/unified"};

    uint32_t least = WH_CPUS_ANY;
    for (const char *line = proc_cgroup; *line != '\0';) {
        size_t line_nbytes = strcspn(line, "\n");
        const char *list = memchr(line, ':', line_nbytes);
        const char *path =
            list != NULL ? memchr(list + 1, ':', (size_t)(line + line_nbytes - list - 1)) : NULL;
        if (path != NULL) {
            list++;
            size_t list_nbytes = (size_t)(path - list);
            path++;
            bool v2 = list_nbytes == 0;
            const char *const *mounts = v2 ? v2_mounts : v1_mounts;
            size_t nmounts = v2 ? ARRAY_LEN(v2_mounts) : ARRAY_LEN(v1_mounts);
            for (size_t i = 0; i < nmounts && (v2 || names_cpu(list, list_nbytes)); i++) {
                uint32_t cpus =
                    cpus_along(mount, mounts[i], path, (size_t)(line + line_nbytes - path));
                least = cpus < least ? cpus : least;
            }
        }
        line += line_nbytes;
        line += *line == '\n';
    }
    return least;
}

/* ---- the answer ------------------------------------------------------------------------------ */

/* A mask of cores, as the kernel fills it in. */
struct affinity {
    uint32_t ncpus;
    uint64_t key; /* equal for equal masks */
};

/* The affinity mask; WH_CPUS_ANY cores if the kernel does not say. A mask that is too small for the
 * machine is refused, so it grows. */
static struct affinity read_affinity(void)
{
    struct affinity affinity = {.ncpus = WH_CPUS_ANY};
    for (size_t ncpus = CPUS_FIRST_GUESS; ncpus <= CPUS_MOST; ncpus *= 2) {
        cpu_set_t *mask = CPU_ALLOC(ncpus);
        if (mask == NULL) {
            return affinity;
        }
        size_t mask_nbytes = CPU_ALLOC_SIZE(ncpus);
        CPU_ZERO_S(mask_nbytes, mask);
        /* Of the process: a thread may be tied to one core for itself. */
        int failed = sched_getaffinity(getpid(), mask_nbytes, mask);
        int why = errno;
        if (!failed) {
            affinity.ncpus = (uint32_t)CPU_COUNT_S(mask_nbytes, mask);
            affinity.key = wh_hash(WH_HASH_START, mask, mask_nbytes);
        }
        CPU_FREE(mask);
        if (!failed || why != EINVAL) {
            return affinity;
        }
    }
    return affinity;
}

static uint32_t usable_cpus = 1;
static uint64_t usable_cpus_key;

static void count_usable_cpus(void)
{
    struct affinity affinity = read_affinity();
    uint32_t cpus = affinity.ncpus;

    char proc_cgroup[CGROUP_TEXT_NBYTES];
    if (read_text("/proc/self/cgroup", proc_cgroup, sizeof(proc_cgroup))) {
        uint32_t allowed = wh_cpus_of_cgroups(proc_cgroup, "/sys/fs/cgroup");
        cpus = allowed < cpus ? allowed : cpus;
    }
    usable_cpus = cpus == 0 || cpus == WH_CPUS_ANY ? 1 : cpus;
    usable_cpus_key = affinity.key;
}

static pthread_once_t counted = PTHREAD_ONCE_INIT;

uint32_t wh_usable_cpus(void)
{
    pthread_once(&counted, count_usable_cpus);
    return usable_cpus;
}

uint64_t wh_usable_cpus_key(void)
{
    pthread_once(&counted, count_usable_cpus);
    return usable_cpus_key;
}

size_t wh_cache_nbytes(void)
{
    enum { UNKNOWN_NBYTES = 32 << 20 };
    long nbytes = -1;
#ifdef _SC_LEVEL3_CACHE_SIZE
    nbytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return nbytes > 0 ? (size_t)nbytes : UNKNOWN_NBYTES;
}

uint32_t wh_current_cpu(void)
{
    int cpu = sched_getcpu();
    return cpu >= 0 ? (uint32_t)cpu : WH_CPUS_ANY;
}

uint64_t wh_lost_cores(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)usage.ru_nivcsw : 0;
}

bool wh_sharing_should_leave(struct wh_sharing *sharing, bool paid, bool leaves_first,
                             uint64_t nlost)
{
    enum { SHIFT_MOST = 16 };
    if (paid) {
        sharing->nwaits = 0;
        return false;
    }
    if (sharing->nwaits == 0) {
        sharing->nlost = nlost;
    }
    sharing->nwaits++;
    uint32_t most = (leaves_first ? 1 : 3) * (uint32_t)WH_SHARING_NWAITS << sharing->shift;
    if (sharing->nwaits <= most) {
        return false;
    }
    bool leaves = nlost - sharing->nlost >= sharing->nwaits / 2;
    sharing->shift += leaves && sharing->shift < SHIFT_MOST;
    sharing->nwaits = 0;
    return leaves;
}

void wh_leave_cpu(uint32_t cpu)
{
    /* Machines that are too large for this mask have room enough. */
    cpu_set_t mask, others;
    if (cpu >= CPU_SETSIZE || sched_getaffinity(0, sizeof(mask), &mask) != 0) {
        return;
    }
    others = mask;
    CPU_CLR(cpu, &others);
    if (CPU_COUNT(&others) > 0 && sched_setaffinity(0, sizeof(others), &others) == 0) {
        (void)sched_setaffinity(0, sizeof(mask), &mask);
    }
}
