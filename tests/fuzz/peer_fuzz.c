/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzzes what ranks tell each other once they are connected: who they are, which transports they
 * try, what they are doing, the signature at the head of a message, and what the TCP transport
 * writes. They belong to the job, but on a wire that is not encrypted somebody else may speak for
 * them. The first byte chooses.
 *
 * Build with clang -fsanitize=fuzzer,address,undefined.
 */
#include "comm/members.h"
#include "comm/status.h"
#include "executor/signature.h"
#include "tcp_frame.h"
#include "wire/choose.h"
#include "wire/wire.h"

#include <assert.h>
#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { SLOT_NBYTES = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes);

/* Not the real table: that brings the transports themselves with it. */
static const struct whorl_transport_ops some_transports[] = {{.name = "shm"}, {.name = "tcp"}};
const struct whorl_transport_ops *const wh_transports[] = {&some_transports[0],
                                                           &some_transports[1]};
const size_t wh_ntransports = ARRAY_LEN(wh_transports);

static void check(bool good)
{
    if (!good) {
        abort();
    }
}

static void fuzz_signature(const uint8_t *bytes)
{
    struct wh_signature sig;
    struct wh_msg_place place;
    uint8_t again[WH_SLOT_HEAD_NBYTES];
    char text[200], cut[7];
    wh_signature_decode(bytes, &sig);
    wh_signature_print(&sig, text, sizeof(text));
    check(memchr(text, '\0', sizeof(text)) != NULL);
    wh_signature_print(&sig, cut, sizeof(cut));
    check(memchr(cut, '\0', sizeof(cut)) != NULL);
    wh_msg_place_decode(bytes, &place);
    uint8_t encoded[WH_SIGNATURE_NBYTES];
    wh_signature_encode(&sig, encoded);
    memcpy(again, bytes, sizeof(again));
    wh_msg_head_encode(encoded, &place, again);
    check(memcmp(again, bytes, sizeof(again)) == 0);
}

static void fuzz_member(const uint8_t *bytes)
{
    struct wh_comm_member member, again;
    uint8_t encoded[WH_COMM_MEMBER_NBYTES];
    memset(&member, 0, sizeof(member));
    memset(&again, 0, sizeof(again));
    wh_comm_member_decode(bytes, &member);
    check(memchr(member.host, '\0', sizeof(member.host)) != NULL);
    for (const char *c = member.host; *c != '\0'; c++) {
        check(isgraph((unsigned char)*c));
    }
    wh_comm_member_encode(&member, encoded);
    wh_comm_member_decode(encoded, &again);
    check(strcmp(member.host, again.host) == 0 && member.host_key == again.host_key);
}

static void fuzz_status(const uint8_t *bytes)
{
    struct wh_status status, again;
    uint8_t encoded[WH_STATUS_NBYTES];
    char text[200];
    wh_status_decode(bytes, &status);
    check(memchr(status.algo, '\0', sizeof(status.algo)) != NULL);
    check(memchr(status.where, '\0', sizeof(status.where)) != NULL);
    check(memchr(status.other, '\0', sizeof(status.other)) != NULL);
    check(strlen(wh_status_print_short(&status.op, text, sizeof(text))) < sizeof(text));
    check(strlen(wh_status_print_op(&status.op, text, sizeof(text))) < sizeof(text));
    check(strlen(wh_status_print_ms(status.for_ms, text, sizeof(text))) < sizeof(text));
    wh_status_encode(&status, encoded);
    wh_status_decode(encoded, &again);
    check(again.state == status.state && strcmp(again.where, status.where) == 0);
}

static void fuzz_choice(const uint8_t *bytes)
{
    struct wh_choice choice;
    wh_choice_decode(bytes, &choice);
    check(choice.n <= WH_CHOICE_MAX && choice.n <= wh_ntransports);
    for (uint32_t i = 0; i < choice.n; i++) {
        check(choice.index[i] < wh_ntransports);
    }
}

static void fuzz_tcp_address(const uint8_t *bytes)
{
    struct tcp_address address, again;
    uint8_t encoded[WH_ADDRESS_NBYTES_MAX];
    if (!tcp_address_decode(bytes, &address)) {
        return;
    }
    check(address.naddrs >= 1 && address.naddrs <= TCP_NADDRS_MAX && address.port != 0);
    check(address.nconns >= 1 && address.nconns <= TCP_CONNS_MAX);
    tcp_address_encode(&address, encoded);
    check(tcp_address_decode(encoded, &again) && again.naddrs == address.naddrs);
}

static void fuzz_tcp_head(const uint8_t *bytes)
{
    struct tcp_intro intro;
    uint8_t encoded[TCP_INTRO_NBYTES];
    if (tcp_intro_decode(bytes, &intro)) {
        tcp_intro_encode(&intro, encoded);
        check(memcmp(encoded, bytes, 16) == 0);
    }
    struct tcp_head head;
    uint8_t again[TCP_PREFIX_NBYTES];
    if (tcp_head_decode(bytes, SLOT_NBYTES, &head)) {
        check(head.total_nbytes <= SLOT_NBYTES && head.offset <= head.total_nbytes);
        check(head.nbytes <= head.total_nbytes - head.offset);
        tcp_head_encode(&head, again);
        check(memcmp(again, bytes, sizeof(again)) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t nbytes)
{
    /* Everything here has a size that both ends know. */
    uint8_t whole[WH_STATUS_NBYTES] = {0};
    static_assert(sizeof(whole) >= WH_ADDRESS_NBYTES_MAX, "the largest of all");
    static_assert(sizeof(whole) >= WH_COMM_MEMBER_NBYTES, "the largest of all");
    if (nbytes == 0) {
        return 0;
    }
    memcpy(whole, bytes + 1, nbytes - 1 < sizeof(whole) ? nbytes - 1 : sizeof(whole));
    switch (bytes[0] % 6) {
    case 0:
        fuzz_signature(whole);
        break;
    case 1:
        fuzz_member(whole);
        break;
    case 2:
        fuzz_choice(whole);
        break;
    case 3:
        fuzz_status(whole);
        break;
    case 4:
        fuzz_tcp_address(whole);
        break;
    default:
        fuzz_tcp_head(whole);
        break;
    }
    return 0;
}
