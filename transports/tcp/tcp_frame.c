/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_frame.h. */
#include "tcp_frame.h"

#include "base/bytes.h"

#include <assert.h>
#include <string.h>

enum {
    ADDRESS_MAGIC = 0x41544857, /* "WHTA" */
    INTRO_MAGIC = 0x49544857,
    HEAD_MAGIC = 0x48544857,
    VERSION = 1,
    IP_NBYTES = 16,
    /* An address: magic, version, flags, connections, number of ips, port; then: */
    AT_NALIKE = 10,
    AT_SLOT_NBYTES = 12,
    AT_NSLOTS = 16,
    AT_NCHANNELS = 20,
    AT_IPS = 24,
};
static_assert((int)AT_IPS + (int)TCP_NADDRS_MAX * (int)IP_NBYTES <= (int)WH_ADDRESS_NBYTES_MAX,
              "an address holds its ips");

void tcp_address_encode(const struct tcp_address *address, uint8_t out[WH_ADDRESS_NBYTES_MAX])
{
    assert(address->naddrs >= 1 && address->naddrs <= TCP_NADDRS_MAX);

    memset(out, 0, WH_ADDRESS_NBYTES_MAX);
    wh_put_le32(out, ADDRESS_MAGIC);
    out[4] = VERSION;
    out[5] = address->encrypts;
    out[6] = address->nconns;
    out[7] = (uint8_t)address->naddrs;
    out[AT_NALIKE] = (uint8_t)address->nalike;
    wh_put_le16(out + 8, address->port);
    wh_put_le32(out + AT_SLOT_NBYTES, address->slot_nbytes);
    wh_put_le32(out + AT_NSLOTS, address->nslots);
    wh_put_le32(out + AT_NCHANNELS, address->nchannels);
    for (uint32_t i = 0; i < address->naddrs; i++) {
        memcpy(out + AT_IPS + (size_t)i * IP_NBYTES, address->addrs[i].ip, IP_NBYTES);
    }
}

bool tcp_address_decode(const uint8_t in[WH_ADDRESS_NBYTES_MAX], struct tcp_address *address_out)
{
    struct tcp_address address = {
        .port = wh_get_le16(in + 8),
        .encrypts = in[5] == 1,
        .nconns = in[6],
        .naddrs = in[7],
        .nalike = in[AT_NALIKE],
        .slot_nbytes = wh_get_le32(in + AT_SLOT_NBYTES),
        .nslots = wh_get_le32(in + AT_NSLOTS),
        .nchannels = wh_get_le32(in + AT_NCHANNELS),
    };
    if (wh_get_le32(in) != ADDRESS_MAGIC || in[4] != VERSION || in[5] > 1 || address.nconns == 0 ||
        address.nconns > TCP_CONNS_MAX || address.naddrs == 0 || address.naddrs > TCP_NADDRS_MAX ||
        address.nalike == 0 || address.nalike > address.naddrs || address.port == 0) {
        return false;
    }
    for (uint32_t i = 0; i < address.naddrs; i++) {
        memcpy(address.addrs[i].ip, in + AT_IPS + (size_t)i * IP_NBYTES, IP_NBYTES);
        address.addrs[i].port = address.port;
    }
    *address_out = address;
    return true;
}

void tcp_address_drop_loopback(struct tcp_address *address)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < address->naddrs; i++) {
        if (!wh_addr_is_loopback(&address->addrs[i])) {
            address->addrs[kept++] = address->addrs[i];
        }
    }
    address->naddrs = kept > 0 ? kept : address->naddrs;
    address->nalike = address->nalike < address->naddrs ? address->nalike : address->naddrs;
}

void tcp_intro_encode(const struct tcp_intro *intro, uint8_t out[TCP_INTRO_NBYTES])
{
    memset(out, 0, TCP_INTRO_NBYTES);
    wh_put_le32(out, INTRO_MAGIC);
    wh_put_le32(out + 4, intro->from);
    wh_put_le32(out + 8, intro->to);
    wh_put_le32(out + 12, intro->channel);
    wh_put_le32(out + 16, intro->index);
}

bool tcp_intro_decode(const uint8_t in[TCP_INTRO_NBYTES], struct tcp_intro *intro_out)
{
    if (wh_get_le32(in) != INTRO_MAGIC) {
        return false;
    }
    *intro_out = (struct tcp_intro){
        .from = wh_get_le32(in + 4),
        .to = wh_get_le32(in + 8),
        .channel = wh_get_le32(in + 12),
        .index = wh_get_le32(in + 16),
    };
    return true;
}

void tcp_head_encode(const struct tcp_head *head, uint8_t out[TCP_PREFIX_NBYTES])
{
    wh_put_le32(out, HEAD_MAGIC);
    wh_put_le32(out + 4, head->seq);
    wh_put_le32(out + 8, head->offset);
    wh_put_le32(out + 12, head->nbytes);
    wh_put_le32(out + 16, head->total_nbytes);
}

bool tcp_head_decode(const uint8_t in[TCP_PREFIX_NBYTES], size_t slot_nbytes,
                     struct tcp_head *head_out)
{
    struct tcp_head head = {
        .seq = wh_get_le32(in + 4),
        .offset = wh_get_le32(in + 8),
        .nbytes = wh_get_le32(in + 12),
        .total_nbytes = wh_get_le32(in + 16),
    };
    bool is_empty = head.nbytes == 0;
    if (wh_get_le32(in) != HEAD_MAGIC || head.total_nbytes > slot_nbytes ||
        head.offset > head.total_nbytes || head.nbytes > head.total_nbytes - head.offset ||
        is_empty != (head.total_nbytes == 0)) {
        return false;
    }
    *head_out = head;
    return true;
}
