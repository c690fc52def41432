/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_rig.h. */
#include "conformance/tcp_rig.h"

#include "base/bytes.h"
#include "base/clock.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { PATIENCE_MS = 20000 };

struct wh_addr rig_addr(const char *ip)
{
    struct wh_addr addr = {.port = 0};
    struct in_addr v4;

    if (inet_pton(AF_INET, ip, &v4) == 1) {
        memset(addr.ip + 10, 0xff, 2);
        memcpy(addr.ip + 12, &v4, 4);
    } else {
        cr_assert_eq(inet_pton(AF_INET6, ip, addr.ip), 1, "%s", ip);
    }
    return addr;
}

/* ---- the middle ----------------------------------------------------------------------------- */

static void middle_open(struct middle *middle, const struct rig_spec *spec, uint16_t peer_port)
{
    struct wh_addr addr = rig_addr("127.0.0.1");

    middle->plan = spec->plan;
    middle->is_sealed = spec->encrypts;
    middle->is_holding = spec->plan.what == MIDDLE_HOLD;
    middle->peer_port = peer_port;
    cr_assert_eq(wh_sock_listen_at(&addr, 0, &middle->listener, &middle->port), WHORL_OK);
    if (middle->is_holding) { /* the system should not take all that is held back */
        const int nbytes = 16 << 10;
        cr_assert_eq(setsockopt(middle->listener, SOL_SOCKET, SO_RCVBUF, &nbytes, sizeof(nbytes)),
                     0);
    }
}

static void hang_up(int *fd)
{
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

static void middle_close(struct middle *middle)
{
    for (uint32_t i = 0; i < middle->ncables; i++) {
        hang_up(&middle->cables[i]->fds[0]);
        hang_up(&middle->cables[i]->fds[1]);
        free(middle->cables[i]);
    }
    close(middle->listener);
}

static void middle_accept(struct middle *middle)
{
    struct wh_addr addr;

    int fd = wh_sock_accept(middle->listener, &addr);
    if (fd < 0) {
        return;
    }
    cr_assert_lt(middle->ncables, MIDDLE_CABLES_MAX);
    struct middle_cable *cable = calloc(1, sizeof(*cable));
    cr_assert_not_null(cable);
    addr = rig_addr("127.0.0.1");
    addr.port = middle->peer_port;
    cable->fds[0] = fd;
    cable->fds[1] = wh_sock_connect(&addr);
    cr_assert_geq(cable->fds[1], 0);
    middle->cables[middle->ncables++] = cable;
}

/* Passes bytes on, up to where the cable is to be cut. */
static void pass(struct middle *middle, struct middle_cable *cable, uint32_t from,
                 const uint8_t *bytes, size_t nbytes)
{
    const struct middle_plan *plan = &middle->plan;
    bool is_cut = plan->what == MIDDLE_CUT && plan->is_back == (from == 1) &&
                  (!plan->is_once || cable == middle->cables[0]) &&
                  cable->npassed[from] + nbytes >= plan->offset;

    nbytes = is_cut ? plan->offset - cable->npassed[from] : nbytes;
    while (nbytes > 0 && cable->fds[1 - from] >= 0) {
        ssize_t n = wh_sock_send(cable->fds[1 - from], bytes, nbytes);
        if (n < 0) {
            hang_up(&cable->fds[1 - from]);
            break;
        }
        bytes += n;
        nbytes -= (size_t)n;
        cable->npassed[from] += (size_t)n;
    }
    if (is_cut) {
        hang_up(&cable->fds[0]);
        hang_up(&cable->fds[1]);
    }
}

static void pass_record(struct middle *middle, struct middle_cable *cable, size_t nbytes)
{
    const struct middle_plan *plan = &middle->plan;
    bool is_it = plan->what != MIDDLE_PASS && cable->nrecords == plan->record;

    cable->nrecords++;
    if (is_it && plan->what == MIDDLE_FLIP) {
        cable->buffer[plan->offset] ^= plan->mask;
        if (plan->also > 0) {
            cable->buffer[plan->also] ^= plan->mask;
        }
    }
    if (is_it && plan->what == MIDDLE_SWAP) {
        cr_assert_leq(nbytes, sizeof(cable->kept));
        memcpy(cable->kept, cable->buffer, nbytes);
        cable->nkept = nbytes;
        return;
    }
    for (uint32_t i = 0; i < (is_it && plan->what == MIDDLE_REPEAT ? 2 : 1); i++) {
        if (!is_it || plan->what != MIDDLE_DROP) {
            pass(middle, cable, 0, cable->buffer, nbytes);
        }
    }
    if (cable->nkept > 0) {
        size_t nkept = cable->nkept;
        cable->nkept = 0;
        pass(middle, cable, 0, cable->kept, nkept);
    }
}

/* How many of the buffered bytes of rank 0 can go on in one piece; 0: more are needed. */
static size_t piece_size(const struct middle *middle, const struct middle_cable *cable)
{
    if (cable->npassed[0] < RIG_HELLO_NBYTES) {
        size_t left = RIG_HELLO_NBYTES - cable->npassed[0];
        return cable->nbuffered < left ? cable->nbuffered : left;
    }
    if (cable->nbuffered < TCP_PREFIX_NBYTES) {
        return 0;
    }
    size_t nbytes = TCP_HEAD_NBYTES + wh_get_le32(cable->buffer + 12) +
                    (middle->is_sealed ? WH_SEAL_TAG_NBYTES : 0);
    cr_assert_leq(nbytes, sizeof(cable->buffer));
    return cable->nbuffered < nbytes ? 0 : nbytes;
}

static void pass_forward(struct middle *middle, struct middle_cable *cable)
{
    if (cable->fds[0] < 0) {
        return;
    }
    size_t room = sizeof(cable->buffer) - cable->nbuffered;
    ssize_t n =
        room > 0 ? wh_sock_recv(cable->fds[0], cable->buffer + cable->nbuffered, room) : 0;
    cable->nbuffered += n > 0 ? (size_t)n : 0;
    for (size_t nbytes = piece_size(middle, cable); nbytes > 0;
         nbytes = piece_size(middle, cable)) {
        if (cable->npassed[0] < RIG_HELLO_NBYTES) {
            memcpy(middle->first + cable->npassed[0], cable->buffer, nbytes);
            pass(middle, cable, 0, cable->buffer, nbytes);
        } else if (middle->plan.what == MIDDLE_HOLD && middle->is_holding &&
                   cable == middle->cables[middle->plan.record]) {
            return;
        } else {
            pass_record(middle, cable, nbytes);
        }
        cable->nbuffered -= nbytes;
        memmove(cable->buffer, cable->buffer + nbytes, cable->nbuffered);
        if (cable->fds[0] < 0) {
            cable->nbuffered = 0;
        }
    }
    if (n < 0) {
        hang_up(&cable->fds[0]);
        hang_up(&cable->fds[1]);
    }
}

static void pass_back(struct middle *middle, struct middle_cable *cable)
{
    uint8_t bytes[4096];

    if (cable->fds[1] < 0) {
        return;
    }
    ssize_t n = wh_sock_recv(cable->fds[1], bytes, sizeof(bytes));
    if (n > 0) {
        pass(middle, cable, 1, bytes, (size_t)n);
    } else if (n < 0) {
        hang_up(&cable->fds[0]);
        hang_up(&cable->fds[1]);
    }
}

static void middle_step(struct middle *middle)
{
    middle_accept(middle);
    for (uint32_t i = 0; i < middle->ncables; i++) {
        pass_forward(middle, middle->cables[i]);
        pass_back(middle, middle->cables[i]);
    }
}

/* ---- the rig -------------------------------------------------------------------------------- */

struct tcp_wire *rig_wire(struct rig *rig, uint32_t rank)
{
    return (struct tcp_wire *)rig->pair.ranks[rank].wire;
}

struct tcp_conn *rig_conn(struct rig *rig, uint32_t rank)
{
    struct tcp_wire *wire = rig_wire(rig, rank);
    cr_assert_eq(wire->npairs, 1);
    return &wire->pairs[0]->conns[0];
}

/* What rank 0 is told about where rank 1 is. */
static void tell_addresses(struct rig *rig, const struct rig_spec *spec)
{
    struct tcp_address address;

    for (uint32_t i = 0; i < 2; i++) {
        tcp_address_encode(&rig_wire(rig, i)->address, rig->pair.addresses[i]);
    }
    cr_assert(tcp_address_decode(rig->pair.addresses[1], &address));
    address.naddrs = 1;
    address.addrs[0] = rig_addr("127.0.0.1");
    for (uint32_t i = 0; i < spec->naddrs; i++) {
        address.addrs[i] = rig_addr(spec->addrs[i]);
        address.naddrs = i + 1;
    }
    if (spec->has_middle) {
        middle_open(&rig->middle, spec, address.port);
        address.port = rig->middle.port;
    }
    tcp_address_encode(&address, rig->pair.addresses[1]);
}

void rig_open(struct rig *rig, const struct rig_spec *spec)
{
    struct world_spec world = world_spec_of(&whorl_transport_tcp, wire_threads, NULL);

    memset(rig, 0, sizeof(*rig));
    world.nslots = spec->nslots > 0 ? spec->nslots : 4;
    world.slot_nbytes = spec->slot_nbytes > 0 ? spec->slot_nbytes : RIG_SLOT_NBYTES;
    world.alter = spec->alter;
    world_pair_open(&world, &rig->pair);
    for (uint32_t i = 0; i < 2; i++) {
        rig_wire(rig, i)->address.encrypts = spec->encrypts;
        rig_wire(rig, i)->address.nconns = spec->nconns > 0 ? (uint8_t)spec->nconns : 1;
        rig->pair.ranks[i].help = rig_step;
        rig->pair.ranks[i].help_ctx = rig;
    }
    if (spec->before != NULL) {
        spec->before(&rig->pair);
    }
    rig->has_middle = spec->has_middle;
    tell_addresses(rig, spec);
    cr_assert_eq(world_pair_connect_to(&rig->pair, rig->pair.addresses[0], 2), WHORL_OK);
    rig->out = world_link(&rig->pair.ranks[0], 1, 0, true);
    rig->in = world_link(&rig->pair.ranks[1], 0, 0, false);
}

void rig_close(struct rig *rig)
{
    if (rig->out != NULL) {
        rig->out->ops->link_close(rig->out);
    }
    if (rig->in != NULL) {
        rig->in->ops->link_close(rig->in);
    }
    world_pair_close(&rig->pair);
    if (rig->has_middle) {
        middle_close(&rig->middle);
    }
}

void rig_step(void *ctx)
{
    struct rig *rig = ctx;

    for (uint32_t i = 0; i < 2; i++) {
        whorl_result_t rc = world_progress(&rig->pair.ranks[i]);
        rig->rcs[i] = rig->rcs[i] == WHORL_OK ? rc : rig->rcs[i];
        struct tcp_wire *wire = rig_wire(rig, i);
        for (uint32_t c = 0; wire->npairs > 0 && c < wire->nconns; c++) {
            wire->pairs[0]->conns[c].ended_ns = 0; /* no grace for anybody */
        }
    }
    if (rig->has_middle) {
        middle_step(&rig->middle);
    }
}

bool rig_until(struct rig *rig, bool (*done)(void *ctx), void *ctx)
{
    uint64_t deadline_ns = wh_deadline_after_ms(PATIENCE_MS);

    while (!done(ctx)) {
        if (wh_now_ns() > deadline_ns) {
            return false;
        }
        rig_step(rig);
    }
    return true;
}

whorl_result_t rig_post(struct rig *rig, uint64_t seed, size_t nbytes)
{
    struct wh_slot slot;

    whorl_result_t rc = rig->out->ops->acquire(rig->out, &slot);
    if (rc != WHORL_OK) {
        return rc;
    }
    world_fill(&slot, seed, nbytes);
    return rig->out->ops->post(rig->out, nbytes);
}

whorl_result_t rig_take(struct rig *rig, uint64_t seed, size_t nbytes)
{
    struct wh_slot slot;

    whorl_result_t rc = rig->in->ops->poll(rig->in, &slot);
    if (rc != WHORL_OK) {
        return rc;
    }
    rc = world_is_filled(&slot, seed, nbytes) ? WHORL_OK : WHORL_E_INTERNAL;
    rig->in->ops->release(rig->in);
    return rc;
}

struct taking {
    struct rig *rig;
    uint64_t seed;
    size_t nbytes;
    whorl_result_t rc;
};

static bool is_taken(void *ctx)
{
    struct taking *taking = ctx;
    taking->rc = rig_take(taking->rig, taking->seed, taking->nbytes);
    return taking->rc != WHORL_IN_PROGRESS;
}

whorl_result_t rig_wait_take(struct rig *rig, uint64_t seed, size_t nbytes)
{
    struct taking taking = {.rig = rig, .seed = seed, .nbytes = nbytes};
    return rig_until(rig, is_taken, &taking) ? taking.rc : WHORL_E_TIMEOUT;
}

static bool is_refused(void *ctx)
{
    struct taking *taking = ctx;
    taking->rc = taking->rig->rcs[0];
    if (taking->rc == WHORL_OK) {
        taking->rc = rig_post(taking->rig, 0, 1);
    }
    return taking->rc != WHORL_OK && taking->rc != WHORL_IN_PROGRESS;
}

whorl_result_t rig_wait_refusal(struct rig *rig)
{
    struct taking taking = {.rig = rig};
    return rig_until(rig, is_refused, &taking) ? taking.rc : WHORL_E_TIMEOUT;
}

/* ---- strangers ------------------------------------------------------------------------------ */

int rig_call(struct rig *rig)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons(rig_wire(rig, 1)->address.port)};

    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    cr_assert_geq(fd, 0);
    cr_assert_eq(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0, "%s", strerror(errno));
    return fd;
}

struct listening {
    int fd;
};

static bool is_over(void *ctx)
{
    uint8_t bytes[256];
    const struct listening *listening = ctx;
    return wh_sock_recv(listening->fd, bytes, sizeof(bytes)) < 0;
}

bool rig_is_hung_up(struct rig *rig, int fd)
{
    struct listening listening = {fd};
    return rig_until(rig, is_over, &listening);
}
