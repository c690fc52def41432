/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Lets Criterion run under ThreadSanitizer on x86-64.
 *
 * Criterion shares an arena with the processes that run the tests. It looks for a free place
 * between 0x200000000000 and 0x7f0000000000 with mincore(), and maps the arena there with
 * MAP_FIXED. Nearly all of that is ThreadSanitizer's shadow, where nothing may be mapped, so the
 * test program stops before its first test. These two functions take the place of libc's: they
 * say that the place is free, and move the mapping to the range from 0x7e8000000000 on, which
 * ThreadSanitizer leaves to the program. Criterion uses the address that it gets, not the one
 * that it asked for.
 *
 * Only fixed file mappings in that range, and questions about it, are touched. Built without
 * -fsanitize, since both are called before ThreadSanitizer has started.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SHADOW_FIRST  0x200000000000u
#define PROGRAM_FIRST 0x7e8000000000u
#define OFFSET_MASK   0x3fffffffffu

/* ThreadSanitizer's own wrapper of mmap64(), which keeps its books. */
void *__interceptor_mmap64(void *addr, size_t nbytes, int prot, int flags, int fd, off64_t offset);

static bool in_shadow(const void *addr)
{
    return (uintptr_t)addr >= SHADOW_FIRST && (uintptr_t)addr < PROGRAM_FIRST;
}

void *mmap64(void *addr, size_t nbytes, int prot, int flags, int fd, off64_t offset)
{
    if (fd >= 0 && (flags & MAP_FIXED) != 0 && in_shadow(addr)) {
        addr = (void *)(PROGRAM_FIRST + ((uintptr_t)addr & OFFSET_MASK));
    }
    return __interceptor_mmap64(addr, nbytes, prot, flags, fd, offset);
}

int mincore(void *addr, size_t nbytes, unsigned char *resident)
{
    if (in_shadow(addr)) {
        errno = ENOMEM;
        return -1;
    }
    return (int)syscall(SYS_mincore, addr, nbytes, resident);
}
