/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what a rank does with what comes over its connections after the handshake: as bytes, and
 * as frames whose heads are right and whose contents are anything. Over an edge, before the rank
 * begins an all-gather and asks for statuses; and at its door, in every phase of a regroup; in
 * clear and sealed. Nobody listens at the other ends, and no thread of the service runs. The first
 * byte chooses.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "base/log.h"
#include "bootstrap/rank.h"
#include "bootstrap/service.h"
#include "bootstrap/verdict.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NRANKS = 5, RANK = 1, NROUNDS = 3, BLOCK_NBYTES = 3, WIRE_NBYTES_MAX = 32 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

/* What is left of the input. */
struct input {
    const uint8_t *bytes;
    size_t nbytes;
};

/* The next byte; 0 at the end. */
static uint8_t take_byte(struct input *in)
{
    if (in->nbytes == 0) {
        return 0;
    }
    in->nbytes--;
    return *in->bytes++;
}

static void take_bytes(struct input *in, uint8_t *out, size_t nbytes)
{
    size_t have = in->nbytes < nbytes ? in->nbytes : nbytes;
    memset(out, 0, nbytes);
    if (have > 0) {
        memcpy(out, in->bytes, have);
    }
    in->bytes += have;
    in->nbytes -= have;
}

/* ---- connections ----------------------------------------------------------------------------- */

/* How what the input says is sent. */
struct manner {
    bool raw;    /* the bytes themselves, and not frames */
    bool sealed; /* over connections that encrypt; raw: by somebody without the keys */
};

static const uint8_t key[WH_SEAL_KEY_NBYTES] = "the key of both directions";

/* A connection whose handshake is over. Returns the other end. */
static int connect_to(struct wh_conn *conn, struct manner manner)
{
    int fds[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
    wh_conn_init(conn);
    conn->fd = fds[0];
    conn->proved = true;
    if (manner.sealed) {
        check(wh_seal_create(key, &conn->seal) == WHORL_OK &&
              wh_seal_create(key, &conn->unseal) == WHORL_OK);
    }
    return fds[1];
}

/* Writes one frame of the input; its payload is as long as one of its type can be. Returns its
 * bytes; 0: there is none of that type, or no room. */
static size_t write_frame(struct input *in, uint8_t *out, size_t room_nbytes)
{
    const uint32_t lengths[] = {0,
                                4,
                                WH_COME_NBYTES,
                                WH_BLOCKS_HEAD_NBYTES + BLOCK_NBYTES,
                                WH_MEMBER_NBYTES,
                                WH_ANSWER_NBYTES,
                                (uint32_t)wh_verdict_nbytes(NRANKS)};
    uint8_t type = take_byte(in), numbers = take_byte(in);
    struct wh_frame frame = {
        .type = (enum wh_frame_type)(type % 20),
        .round = numbers % 4,
        .rank = (uint32_t)(numbers >> 2) % (NRANKS + 1),
        .tag = numbers >> 5,
    };
    for (size_t i = 0; i < ARRAY_LEN(lengths); i++) {
        struct wh_frame decoded;
        /* A byte with which the fuzzer finds types with more than one length. */
        frame.payload_nbytes = lengths[(i + (type >> 5)) % ARRAY_LEN(lengths)];
        if (room_nbytes < WH_HEAD_NBYTES + frame.payload_nbytes) {
            return 0;
        }
        wh_head_encode(&frame, out);
        if (wh_head_decode(out, &decoded)) {
            take_bytes(in, out + WH_HEAD_NBYTES, frame.payload_nbytes);
            return WH_HEAD_NBYTES + frame.payload_nbytes;
        }
    }
    return 0;
}

/* Seals a frame where it is, and returns its bytes with the tag. */
static size_t seal_frame(struct wh_seal *seal, uint8_t *frame, size_t nbytes)
{
    uint8_t *payload = frame + WH_HEAD_NBYTES;
    const struct wh_bytes part = {payload, nbytes - WH_HEAD_NBYTES};
    check(wh_seal(seal, (struct wh_bytes){frame, WH_HEAD_NBYTES}, &part, 1, payload,
                  frame + nbytes) == WHORL_OK);
    return nbytes + WH_SEAL_TAG_NBYTES;
}

/* Sends what the input says. */
static void send_all(struct input *in, struct manner manner, int fd)
{
    static uint8_t wire[WIRE_NBYTES_MAX + WH_SEAL_TAG_NBYTES];
    size_t nbytes = 0, n = 1;
    struct wh_seal *seal;
    check(wh_seal_create(key, &seal) == WHORL_OK);
    if (manner.raw) {
        nbytes = in->nbytes < WIRE_NBYTES_MAX ? in->nbytes : WIRE_NBYTES_MAX;
        take_bytes(in, wire, nbytes);
    }
    while (in->nbytes > 0 && n > 0 && nbytes < WIRE_NBYTES_MAX) {
        n = write_frame(in, wire + nbytes, WIRE_NBYTES_MAX - nbytes);
        nbytes += manner.sealed && n > 0 ? seal_frame(seal, wire + nbytes, n) : n;
    }
    wh_seal_destroy(seal);
    check(nbytes == 0 || send(fd, wire, nbytes, MSG_NOSIGNAL) == (ssize_t)nbytes);
}

static struct wh_boot *create_rank(struct input *in)
{
    const struct wh_boot_join_args args = {.nranks = NRANKS, .rank = RANK};
    struct wh_boot *boot = wh_rank_create(&args);
    check(boot != NULL && boot->nrounds == NROUNDS);
    boot->contacts = malloc(NRANKS * WH_CONTACT_NBYTES);
    check(boot->contacts != NULL);
    take_bytes(in, boot->contacts, NRANKS * WH_CONTACT_NBYTES);
    for (uint32_t rank = 0; rank < NRANKS; rank++) {
        struct wh_addr addrs[WH_CONTACT_NADDRS];
        check(wh_contact_addrs(boot, rank, addrs) <= WH_CONTACT_NADDRS);
    }
    return boot;
}

/* ---- edges ----------------------------------------------------------------------------------- */

/* Frames over one of a rank's edges; what it passes on goes out over the others. */
static void fuzz_edge(struct input *in, struct manner manner)
{
    struct wh_boot *boot = create_rank(in);
    uint32_t index = take_byte(in) % (2 * NROUNDS);
    int fds[2 * NROUNDS];
    for (uint32_t i = 0; i < 2 * NROUNDS; i++) {
        uint32_t distance = 1u << i % NROUNDS;
        fds[i] = connect_to(&boot->edges[i].conn, manner);
        boot->edges[i].up = true;
        boot->edges[i].known = i != 1; /* the one of which NEXT can tell */
        boot->edges[i].peer = (struct wh_member){
            .rank = (i < NROUNDS ? RANK + distance : RANK + NRANKS - distance) % NRANKS,
            .nranks = NRANKS,
        };
    }
    send_all(in, manner, fds[index]);
    wh_service_lock();
    wh_rank_edge_ready(boot, index);
    static const uint8_t status[WH_STATUS_NBYTES] = {1};
    wh_ask_answer(boot, status);
    wh_service_unlock();
    check(boot->failed || boot->edges[index].up || boot->edges[index].left);

    uint8_t blocks[NRANKS * BLOCK_NBYTES] = {0}, statuses[NRANKS * WH_STATUS_NBYTES];
    bool answered[NRANKS];
    (void)wh_boot_allgather(boot, blocks, BLOCK_NBYTES, 1);
    check(wh_boot_ask(boot, statuses, answered, 1) == WHORL_OK);
    wh_boot_set_nops(boot, 1);
    for (uint32_t i = 0; i < 2 * NROUNDS; i++) {
        close(fds[i]);
    }
    wh_rank_destroy(boot);
}

/* ---- the door -------------------------------------------------------------------------------- */

/* Any state in which a regroup can be. */
static void set_regroup(struct input *in, struct wh_boot *boot)
{
    struct wh_regroup *regroup = &boot->regroup;
    regroup->phase = (enum wh_regroup_phase)(take_byte(in) % (WH_REGROUP_OVER + 1));
    if (regroup->phase == WH_REGROUP_IDLE) {
        return;
    }
    regroup->epoch = take_byte(in) % 8;
    regroup->epoch += regroup->epoch == 0;
    regroup->leader = take_byte(in) % NRANKS;
    regroup->states = malloc(NRANKS);
    check(regroup->states != NULL);
    take_bytes(in, regroup->states, NRANKS);
    for (uint32_t rank = 0; rank < NRANKS; rank++) {
        regroup->states[rank] %= WH_SURVIVOR_HELD + 1;
    }
    if (regroup->phase == WH_REGROUP_OVER && take_byte(in) % 4 != 0) {
        regroup->verdict = malloc(wh_verdict_nbytes(NRANKS));
        check(regroup->verdict != NULL);
        take_bytes(in, regroup->verdict, wh_verdict_nbytes(NRANKS));
    }
}

static void fuzz_door(struct input *in, struct manner manner)
{
    struct wh_boot *boot = create_rank(in);
    set_regroup(in, boot);
    boot->guests = calloc(1, sizeof(*boot->guests));
    struct wh_guest *guest = calloc(1, sizeof(*guest));
    check(boot->guests != NULL && guest != NULL);
    int fd = connect_to(&guest->conn, manner);
    guest->rank = WH_NOBODY;
    boot->guests[0] = guest;
    boot->nguest_slots = boot->nstrangers = 1;
    send_all(in, manner, fd);
    wh_service_lock();
    wh_door_guest_ready(boot, 0);
    wh_door_announce(boot);
    (void)wh_door_recheck(boot);
    check(boot->nstrangers == (boot->guests[0] != NULL && boot->guests[0]->rank == WH_NOBODY));
    check(boot->guests[0] == NULL || boot->guests[0]->rank == WH_NOBODY ||
          boot->guests[0]->rank < NRANKS);
    wh_service_unlock();
    close(fd);
    wh_rank_destroy(boot);
}

/* A greeting is what it was, whatever is in it. */
static void fuzz_greeting(struct input *in)
{
    uint8_t bytes[WH_COME_NBYTES], again[WH_COME_NBYTES];
    struct wh_come come;
    take_bytes(in, bytes, sizeof(bytes));
    wh_come_decode(bytes, &come);
    wh_come_encode(&come, again);
    check(memcmp(bytes, again, sizeof(bytes)) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    struct input in = {bytes, nbytes};
    wh_log_configure("NONE", "", "");
    uint8_t what = take_byte(&in);
    const struct manner manner = {.raw = what >> 4 == 0, .sealed = (what & 8) != 0};
    switch (what % 3) {
    case 0:
        fuzz_edge(&in, manner);
        break;
    case 1:
        fuzz_door(&in, manner);
        break;
    default:
        fuzz_greeting(&in);
        break;
    }
    return 0;
}
