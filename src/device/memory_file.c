/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is mapped where is in /proc/self/maps. That gives no descriptor, though, and one is needed:
 * one that is open in this process, the path if it still leads to the same file, or
 * /proc/self/map_files, which the kernel opens to the privileged only.
 *
 * Files on disks are left alone: their pages are not only memory.
 */
#include "device/memory_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

/* One line of /proc/self/maps. */
struct mapping {
    uintptr_t begin, end;
    uint64_t file_offset;
    uint64_t dev, ino;
    bool is_shared; /* and readable and writable */
    char *path;     /* inside the line */
};

static bool parse_mapping(char *line, struct mapping *mapping_out)
{
    struct mapping mapping;
    char mode[5];
    unsigned major, minor;
    int at = -1;
    if (sscanf(line, "%" SCNxPTR "-%" SCNxPTR " %4s %" SCNx64 " %x:%x %" SCNu64 " %n",
               &mapping.begin, &mapping.end, mode, &mapping.file_offset, &major, &minor,
               &mapping.ino, &at) != 7 ||
        at < 0) {
        return false;
    }
    mapping.dev = makedev(major, minor);
    mapping.is_shared = mode[0] == 'r' && mode[1] == 'w' && mode[3] == 's';
    mapping.path = line + at;
    mapping.path[strcspn(mapping.path, "\n")] = '\0';
    *mapping_out = mapping;
    return true;
}

/* Is it the file of the mapping? */
static bool is_file_of(const struct stat *st, const struct mapping *mapping)
{
    return S_ISREG(st->st_mode) && st->st_dev == mapping->dev && st->st_ino == mapping->ino;
}

/* Opens path if it is the file of the mapping; else -1. */
static int open_if_file_of(const char *path, const struct mapping *mapping)
{
    struct stat st;
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd >= 0 && (fstat(fd, &st) != 0 || !is_file_of(&st, mapping))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/*
 * Opens the file of a mapping anew through a descriptor that is open here; -1 if there is none. The
 * descriptors are other threads', which may close them meanwhile: they are looked at by name only,
 * and what was opened is looked at again.
 */
static int open_through_descriptors(const struct mapping *mapping)
{
    DIR *dir = opendir("/proc/self/fd");
    if (dir == NULL) {
        return -1;
    }
    int fd = -1;
    const struct dirent *item;
    while (fd < 0 && (item = readdir(dir)) != NULL) {
        char path[sizeof("/proc/self/fd/") + sizeof(item->d_name)];
        struct stat st;
        snprintf(path, sizeof(path), "/proc/self/fd/%s", item->d_name);
        if (stat(path, &st) == 0 && is_file_of(&st, mapping)) {
            fd = open_if_file_of(path, mapping);
        }
    }
    closedir(dir);
    return fd;
}

static int open_file_of(const struct mapping *mapping)
{
    int fd = open_through_descriptors(mapping);
    if (fd < 0 && mapping->path[0] == '/') {
        fd = open_if_file_of(mapping->path, mapping);
    }
    if (fd < 0) {
        char path[128];
        snprintf(path, sizeof(path), "/proc/self/map_files/%" PRIxPTR "-%" PRIxPTR, mapping->begin,
                 mapping->end);
        fd = open_if_file_of(path, mapping);
    }
    return fd;
}

/* Completes *place with the file behind it, opened; NULL, or why that cannot be. */
static const char *place_of_mapping(const struct mapping *mapping, struct wh_memory_place *place)
{
    uintptr_t begin = (uintptr_t)place->base;
    if (begin + (uintptr_t)place->region_nbytes > mapping->end) {
        return "it is more than one mapping";
    }
    if (!mapping->is_shared) {
        return "it is not shared memory";
    }
    int fd = open_file_of(mapping);
    if (fd < 0) {
        return "its file is neither open nor to be found";
    }
    struct statfs fs;
    struct stat st;
    place->file_offset = mapping->file_offset + (begin - mapping->begin);
    if (fstatfs(fd, &fs) != 0 ||
        (fs.f_type != TMPFS_MAGIC && fs.f_type != (__fsword_t)HUGETLBFS_MAGIC)) {
        close(fd);
        return "its file is not in memory";
    }
    if (fstat(fd, &st) != 0 || (uint64_t)st.st_size < place->file_offset + place->region_nbytes) {
        close(fd);
        return "its file is shorter";
    }
    int seals = fcntl(fd, F_GET_SEALS);
    place->dev = mapping->dev;
    place->ino = mapping->ino;
    place->fd = fd;
    place->is_sealed = seals > 0 && (seals & F_SEAL_SHRINK) != 0;
    return NULL;
}

const char *wh_memory_file_open(struct wh_memory_place *place)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    if (maps == NULL) {
        return "/proc/self/maps cannot be read";
    }
    const char *why = "nothing is mapped there";
    char *line = NULL;
    size_t line_capacity = 0;
    bool is_found = false;
    while (!is_found && getline(&line, &line_capacity, maps) > 0) {
        struct mapping mapping;
        is_found = parse_mapping(line, &mapping) && mapping.begin <= (uintptr_t)place->base &&
                   mapping.end > (uintptr_t)place->base;
        if (is_found) {
            why = place_of_mapping(&mapping, place);
        }
    }
    free(line);
    fclose(maps);
    return why;
}
