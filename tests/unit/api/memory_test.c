/* SPDX-License-Identifier: Apache-2.0 */
/* Memory and registrations as users see them: what is refused, and what is given back by itself. */
#include "base/shmem.h"
#include "device/memory.h"
#include "unit/comm/local.h"

#include <stdlib.h>
#include <unistd.h>

enum { PAGE = 4096 };

static void expect_last(const char *part)
{
    cr_expect_not_null(strstr(whorl_last_error(NULL), part), "\"%s\" has no \"%s\"",
                       whorl_last_error(NULL), part);
}

Test(memory_api, memory_is_allocated_and_given_back)
{
    struct wh_memory_place place;
    void *ptr = NULL;
    cr_expect_eq(WHORL_HAS_MEM_ALLOC, 1);
    cr_assert_eq(whorl_mem_alloc(3 * PAGE + 1, &ptr), WHORL_OK);
    cr_expect(wh_memory_find(ptr, 3 * PAGE + 1, &place));
    memset(ptr, 1, 3 * PAGE + 1);
    cr_expect_eq(whorl_mem_free(ptr), WHORL_OK);
    cr_expect_eq(whorl_mem_free(NULL), WHORL_OK);
    cr_expect_eq(whorl_mem_alloc(0, &ptr), WHORL_OK);
    cr_expect_null(ptr);
}

Test(memory_api, what_makes_no_sense_is_refused)
{
    void *ptr = NULL;
    cr_expect_eq(whorl_mem_alloc(1, NULL), WHORL_E_ARG);
    expect_last("whorl_mem_alloc: ptr_out is NULL");
    cr_expect_eq(whorl_mem_alloc(SIZE_MAX, &ptr), WHORL_E_NOMEM);
    expect_last("more than this machine has");
    cr_expect_eq(whorl_mem_free(&ptr), WHORL_E_ARG);
    expect_last("was not allocated by whorl_mem_alloc");
}

Test(memory_api, a_registration_is_refused_for_its_arguments_only, .timeout = 60)
{
    struct local l = local_open(1, 0);
    void *handle = NULL;
    char byte = 0;
    cr_expect_eq(whorl_comm_register(NULL, &byte, 1, &handle), WHORL_E_ARG);
    expect_last("whorl_comm_register: comm is NULL");
    cr_expect_eq(whorl_comm_register(l.ranks[0], NULL, 1, &handle), WHORL_E_ARG);
    local_expect_error(l.ranks[0], "buf is NULL");
    cr_expect_eq(whorl_comm_register(l.ranks[0], &byte, 1, NULL), WHORL_E_ARG);
    local_expect_error(l.ranks[0], "handle_out is NULL");
    cr_expect_null(handle);
    cr_expect_eq(whorl_comm_register(l.ranks[0], &byte, 1, &handle), WHORL_OK);
    cr_expect_not_null(handle);
    cr_expect_eq(whorl_comm_deregister(NULL, handle), WHORL_E_ARG);
    cr_expect_eq(whorl_comm_deregister(l.ranks[0], NULL), WHORL_OK);
    cr_expect_eq(whorl_comm_deregister(l.ranks[0], &byte), WHORL_E_ARG);
    local_expect_error(l.ranks[0], "handle was not made by whorl_comm_register");
    cr_expect_eq(whorl_comm_deregister(l.ranks[0], handle), WHORL_OK);
    cr_expect_eq(whorl_comm_deregister(l.ranks[0], handle), WHORL_E_ARG);
    local_expect_works(&l);
    local_close(&l);
}

Test(memory_api, a_registration_ends_with_its_communicator, .timeout = 60)
{
    struct local l = local_open(2, 0);
    struct wh_memory_place place;
    void *ptr, *first, *second;
    int fd;
    cr_assert_eq(wh_shmem_create("memory-test", PAGE, &fd), WHORL_OK);
    cr_assert_eq(wh_shmem_map(fd, 0, PAGE, &ptr), WHORL_OK);
    cr_assert_eq(whorl_comm_register(l.ranks[0], ptr, PAGE, &first), WHORL_OK);
    cr_assert_eq(whorl_comm_register(l.ranks[1], ptr, PAGE, &second), WHORL_OK);
    cr_expect_eq(whorl_comm_deregister(l.ranks[1], first), WHORL_E_ARG, "another rank's");
    cr_expect_eq(whorl_comm_deregister(l.ranks[1], second), WHORL_OK);
    cr_expect(wh_memory_find(ptr, PAGE, &place), "rank 0 has it still");
    local_close(&l);
    cr_expect_not(wh_memory_find(ptr, PAGE, &place));
    wh_shmem_unmap(ptr, PAGE);
    close(fd);
}
