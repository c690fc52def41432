/* SPDX-License-Identifier: Apache-2.0 */
#include "algorithms/hier_blocks.h"

struct wh_cells wh_block_all(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)p;
    (void)member;
    return (struct wh_cells){0, arg};
}

struct wh_cells wh_block_cell(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)p;
    (void)member;
    return (struct wh_cells){arg, 1};
}

struct wh_cells wh_block_only(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)p;
    return (struct wh_cells){0, member == arg ? 1 : 0};
}

struct wh_cells wh_block_share(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)arg;
    bool has_rail = member < p->hosts->nrails;
    return (struct wh_cells){has_rail ? member : 0, has_rail ? 1 : 0};
}

struct wh_cells wh_block_rail(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)arg;
    (void)member;
    return (struct wh_cells){p->hosts->local[p->rank], 1};
}

struct wh_cells wh_block_rank(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)arg;
    return (struct wh_cells){wh_hosts_rank(p->hosts, p->hosts->host[p->rank], member), 1};
}

struct wh_cells wh_block_twin(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    return (struct wh_cells){wh_hosts_rank(p->hosts, arg, member), 1};
}

struct wh_cells wh_block_peer(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)arg;
    return (struct wh_cells){wh_hosts_rank(p->hosts, member, p->hosts->local[p->rank]), 1};
}

struct wh_cells wh_block_host(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)arg;
    return (struct wh_cells){wh_hosts_rank(p->hosts, member, 0),
                             wh_hosts_nlocal(p->hosts, member)};
}

struct wh_cells wh_block_slot(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)p;
    (void)arg;
    return (struct wh_cells){member, 1};
}

struct wh_cells wh_block_desk(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    return (struct wh_cells){arg * p->hosts->nrails + member, 1};
}

struct wh_cells wh_block_desks(const struct wh_compose_problem *p, uint32_t arg, uint32_t member)
{
    (void)arg;
    return (struct wh_cells){member * p->hosts->nrails, p->hosts->nrails};
}
