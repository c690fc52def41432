/* SPDX-License-Identifier: Apache-2.0 */
/* What the TCP transport writes on a wire, and reads from it. */
#include "../../transports/tcp/tcp_frame.h"
#include "base/random.h"

#include <criterion/criterion.h>
#include <string.h>

/* ---- addresses ------------------------------------------------------------------------------ */

static struct tcp_address some_address(uint32_t naddrs)
{
    struct tcp_address address = {.port = 40123,
                                  .encrypts = true,
                                  .nconns = 4,
                                  .naddrs = naddrs,
                                  .nalike = naddrs,
                                  .slot_nbytes = 131072,
                                  .nslots = 5,
                                  .nchannels = 9};
    for (uint32_t i = 0; i < naddrs; i++) {
        for (uint32_t b = 0; b < 16; b++) {
            address.addrs[i].ip[b] = (uint8_t)(16 * i + b);
        }
        address.addrs[i].port = address.port;
    }
    return address;
}

static bool is_same_address(const struct tcp_address *a, const struct tcp_address *b)
{
    bool is_same = a->port == b->port && a->encrypts == b->encrypts && a->nconns == b->nconns &&
                   a->naddrs == b->naddrs && a->nalike == b->nalike &&
                   a->slot_nbytes == b->slot_nbytes && a->nslots == b->nslots &&
                   a->nchannels == b->nchannels;
    for (uint32_t i = 0; is_same && i < a->naddrs; i++) {
        is_same =
            memcmp(a->addrs[i].ip, b->addrs[i].ip, 16) == 0 && a->addrs[i].port == b->addrs[i].port;
    }
    return is_same;
}

Test(tcp_frame, an_address_comes_back)
{
    for (uint32_t naddrs = 1; naddrs <= TCP_NADDRS_MAX; naddrs++) {
        struct tcp_address address = some_address(naddrs), back;
        uint8_t bytes[WH_ADDRESS_NBYTES_MAX];

        tcp_address_encode(&address, bytes);
        cr_assert(tcp_address_decode(bytes, &back));
        cr_expect(is_same_address(&address, &back));
    }
}

/* What is accepted is within bounds, whatever the bytes were. */
static void require_bounds(const uint8_t *bytes)
{
    struct tcp_address address;

    if (tcp_address_decode(bytes, &address)) {
        cr_assert_geq(address.naddrs, 1);
        cr_assert_leq(address.naddrs, TCP_NADDRS_MAX);
        cr_assert_geq(address.nconns, 1);
        cr_assert_leq(address.nconns, TCP_CONNS_MAX);
        cr_assert_neq(address.port, 0);
    }
}

Test(tcp_frame, an_address_with_any_byte_changed_is_within_bounds)
{
    struct tcp_address address = some_address(5);
    uint8_t bytes[WH_ADDRESS_NBYTES_MAX];

    tcp_address_encode(&address, bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        uint8_t right = bytes[i];
        for (uint32_t value = 0; value < 256; value++) {
            bytes[i] = (uint8_t)value;
            require_bounds(bytes);
        }
        bytes[i] = right;
    }
    for (uint32_t i = 0; i < 1000; i++) {
        cr_assert_eq(wh_random(bytes + (i % 2 == 0 ? 0 : 5), i % 2 == 0 ? 128 : 123), WHORL_OK);
        require_bounds(bytes);
        tcp_address_encode(&address, bytes);
    }
}

Test(tcp_frame, what_is_no_address_is_refused_and_writes_nothing)
{
    struct tcp_address address = some_address(2), untouched, back;
    uint8_t bytes[WH_ADDRESS_NBYTES_MAX];
    /* Magic, version, encryption, connections, number of addresses, port. */
    const struct {
        size_t at;
        uint8_t value;
    } changes[] = {{0, 0},
                   {1, 0},
                   {2, 0},
                   {3, 0},
                   {4, 0},
                   {4, 2},
                   {5, 2},
                   {6, 0},
                   {6, 17},
                   {7, 0},
                   {7, TCP_NADDRS_MAX + 1},
                   {7, 255},
                   {10, 0},
                   {10, 255}};

    memset(&back, 0x33, sizeof(back));
    memset(&untouched, 0x33, sizeof(untouched));
    for (size_t i = 0; i < ARRAY_LEN(changes); i++) {
        tcp_address_encode(&address, bytes);
        bytes[changes[i].at] = changes[i].value;
        cr_expect_not(tcp_address_decode(bytes, &back), "change %zu", i);
    }
    tcp_address_encode(&address, bytes);
    memset(bytes + 8, 0, 2);
    cr_expect_not(tcp_address_decode(bytes, &back), "port 0");
    memset(bytes, 0, sizeof(bytes));
    cr_expect_not(tcp_address_decode(bytes, &back), "a rank without TCP");
    cr_expect_eq(memcmp(&back, &untouched, sizeof(back)), 0);
}

static struct wh_addr addr_of(uint32_t v4)
{
    struct wh_addr addr = {.port = 1};

    memset(addr.ip + 10, 0xff, 2);
    for (uint32_t i = 0; i < 4; i++) {
        addr.ip[12 + i] = (uint8_t)(v4 >> (24 - 8 * i));
    }
    return addr;
}

Test(tcp_frame, loopback_is_dropped_unless_there_is_nothing_else)
{
    const struct wh_addr lo = addr_of(0x7f000001), one = addr_of(0x0a000001),
                         two = addr_of(0x0a000002);
    struct tcp_address address = {.naddrs = 4, .addrs = {lo, one, lo, two}};

    tcp_address_drop_loopback(&address);
    cr_assert_eq(address.naddrs, 2);
    cr_expect_eq(memcmp(&address.addrs[0], &one, sizeof(one)), 0);
    cr_expect_eq(memcmp(&address.addrs[1], &two, sizeof(two)), 0);

    address = (struct tcp_address){.naddrs = 1, .addrs = {lo}};
    tcp_address_drop_loopback(&address);
    cr_expect_eq(address.naddrs, 1);
}

/* ---- introductions -------------------------------------------------------------------------- */

Test(tcp_frame, an_introduction_comes_back)
{
    const struct tcp_intro intro = {.from = 1, .to = UINT32_MAX, .channel = 70000, .index = 15};
    struct tcp_intro back;
    uint8_t bytes[TCP_INTRO_NBYTES];

    tcp_intro_encode(&intro, bytes);
    cr_assert(tcp_intro_decode(bytes, &back));
    cr_expect_eq(back.from, intro.from);
    cr_expect_eq(back.to, intro.to);
    cr_expect_eq(back.channel, intro.channel);
    cr_expect_eq(back.index, intro.index);
    for (size_t i = 0; i < 4; i++) {
        bytes[i] ^= 1;
        cr_expect_not(tcp_intro_decode(bytes, &back));
        bytes[i] ^= 1;
    }
    memset(bytes, 0, sizeof(bytes));
    cr_expect_not(tcp_intro_decode(bytes, &back), "a rank that said nothing");
}

/* ---- heads ---------------------------------------------------------------------------------- */

Test(tcp_frame, a_head_comes_back)
{
    const struct tcp_head heads[] = {
        {.seq = 0, .offset = 0, .nbytes = 0, .total_nbytes = 0},
        {.seq = UINT32_MAX, .offset = 0, .nbytes = 4096, .total_nbytes = 4096},
        {.seq = 7, .offset = 4095, .nbytes = 1, .total_nbytes = 4096},
        {.seq = 7, .offset = 64, .nbytes = 100, .total_nbytes = 1000},
    };

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct tcp_head back;
        uint8_t bytes[TCP_PREFIX_NBYTES];
        tcp_head_encode(&heads[i], bytes);
        cr_assert(tcp_head_decode(bytes, 4096, &back), "head %zu", i);
        cr_expect_eq(memcmp(&back, &heads[i], sizeof(back)), 0, "head %zu", i);
    }
}

static void require_head_bounds(const uint8_t *bytes, size_t slot_nbytes)
{
    struct tcp_head head;

    if (tcp_head_decode(bytes, slot_nbytes, &head)) {
        cr_assert_leq(head.total_nbytes, slot_nbytes);
        cr_assert_leq((uint64_t)head.offset + head.nbytes, head.total_nbytes);
        cr_assert_eq(head.nbytes == 0, head.total_nbytes == 0);
    }
}

Test(tcp_frame, a_head_with_any_byte_changed_stays_in_its_slot)
{
    const struct tcp_head head = {.seq = 9, .offset = 64, .nbytes = 128, .total_nbytes = 192};
    uint8_t bytes[TCP_PREFIX_NBYTES];

    tcp_head_encode(&head, bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        uint8_t right = bytes[i];
        for (uint32_t value = 0; value < 256; value++) {
            bytes[i] = (uint8_t)value;
            require_head_bounds(bytes, 192);
            require_head_bounds(bytes, 191);
        }
        bytes[i] = right;
    }
    for (uint32_t i = 0; i < 10000; i++) { /* after the magic, which would refuse nearly all */
        cr_assert_eq(wh_random(bytes + 4, sizeof(bytes) - 4), WHORL_OK);
        require_head_bounds(bytes, UINT32_MAX);
    }
}

Test(tcp_frame, heads_that_leave_their_message_are_refused)
{
    const struct tcp_head heads[] = {
        {.offset = 101, .nbytes = 0, .total_nbytes = 100},
        {.offset = 100, .nbytes = 1, .total_nbytes = 100},
        {.offset = UINT32_MAX, .nbytes = 2, .total_nbytes = 100},
        {.offset = 1, .nbytes = UINT32_MAX, .total_nbytes = 100},
        {.offset = 0, .nbytes = 0, .total_nbytes = 100},
        {.offset = 0, .nbytes = 1, .total_nbytes = 0},
        {.offset = 0, .nbytes = 4097, .total_nbytes = 4097},
    };

    for (size_t i = 0; i < ARRAY_LEN(heads); i++) {
        struct tcp_head back;
        uint8_t bytes[TCP_PREFIX_NBYTES];
        tcp_head_encode(&heads[i], bytes);
        cr_expect_not(tcp_head_decode(bytes, 4096, &back), "head %zu", i);
    }
}
