/* SPDX-License-Identifier: Apache-2.0 */
/* Signatures: what comes out of the bytes is what went in, and any bytes can be printed. */
#include "executor/signature.h"

#include <criterion/criterion.h>
#include <string.h>

static const char *print(const struct wh_signature *sig)
{
    static char text[160];
    wh_signature_print(sig, text, sizeof(text));
    return text;
}

Test(signature, bytes_give_back_what_went_in)
{
    struct wh_signature sig = {
        .seq = UINT64_C(0x0102030405060708),
        .count = UINT64_MAX - 1,
        .root = 0xfffffffe,
        .coll = WH_COLL_REDUCE,
        .dtype = WHORL_BFLOAT16,
        .redop = WHORL_MIN,
    };
    uint8_t bytes[WH_SIGNATURE_NBYTES];
    struct wh_signature back;
    wh_signature_encode(&sig, bytes);
    wh_signature_decode(bytes, &back);
    cr_expect_eq(back.seq, sig.seq);
    cr_expect_eq(back.count, sig.count);
    cr_expect_eq(back.root, sig.root);
    cr_expect_eq(back.coll, sig.coll);
    cr_expect_eq(back.dtype, sig.dtype);
    cr_expect_eq(back.redop, sig.redop);
    cr_expect_eq(bytes[0], 8, "little endian");
}

Test(signature, every_field_changes_the_bytes)
{
    const struct wh_signature base = {
        .seq = 1, .count = 2, .root = 3, .coll = 1, .dtype = 1, .redop = 1};
    struct wh_signature others[] = {base, base, base, base, base, base};
    others[0].seq++;
    others[1].count++;
    others[2].root++;
    others[3].coll++;
    others[4].dtype++;
    others[5].redop++;
    uint8_t bytes[WH_SIGNATURE_NBYTES], other[WH_SIGNATURE_NBYTES];
    wh_signature_encode(&base, bytes);
    for (size_t i = 0; i < ARRAY_LEN(others); i++) {
        wh_signature_encode(&others[i], other);
        cr_expect_neq(memcmp(bytes, other, sizeof(bytes)), 0, "field %zu", i);
    }
}

Test(signature, a_head_holds_signature_and_place)
{
    uint8_t sig[WH_SIGNATURE_NBYTES], head[WH_SLOT_HEAD_NBYTES];
    memset(sig, 0x5a, sizeof(sig));
    struct wh_msg_place place = {.pass = 0x11223344, .chunk = 7, .nchunks = 0x80000001}, back;
    wh_msg_head_encode(sig, &place, head);
    wh_msg_place_decode(head, &back);
    cr_expect_eq(memcmp(head, sig, sizeof(sig)), 0);
    cr_expect_eq(back.pass, place.pass);
    cr_expect_eq(back.chunk, place.chunk);
    cr_expect_eq(back.nchunks, place.nchunks);
}

Test(signature, text_names_the_call)
{
    static const struct {
        struct wh_signature sig;
        const char *text;
    } rows[] = {
        {{.coll = WH_COLL_ALL_REDUCE, .count = 5, .dtype = WHORL_FLOAT32, .redop = WHORL_SUM},
         "all_reduce(count 5, float32, sum)"},
        {{.coll = WH_COLL_ALL_REDUCE,
          .count = 5,
          .dtype = WHORL_INT8,
          .redop = WH_REDOP_PREMUL_SUM},
         "all_reduce(count 5, int8, premulsum)"},
        {{.coll = WH_COLL_ALL_GATHER, .count = 0, .dtype = WHORL_UINT64, .redop = WH_REDOP_NONE},
         "all_gather(count 0, uint64)"},
        {{.coll = WH_COLL_REDUCE,
          .count = 9,
          .dtype = WHORL_FLOAT64,
          .redop = WHORL_AVG,
          .root = 2},
         "reduce(count 9, float64, avg, root 2)"},
        {{.coll = WH_COLL_BROADCAST,
          .count = 9,
          .dtype = WHORL_INT32,
          .redop = WH_REDOP_NONE,
          .root = 1},
         "broadcast(count 9, int32, root 1)"},
        {{.coll = WH_COLL_SEND, .count = UINT64_MAX, .dtype = WHORL_INT32, .redop = WH_REDOP_NONE},
         "send(count 18446744073709551615, int32)"},
        {{.coll = WH_COLL_BARRIER, .dtype = WHORL_UINT8, .redop = WH_REDOP_NONE}, "barrier()"},
        {{.coll = WH_COLL_BARRIER,
          .dtype = WHORL_INT8,
          .redop = WH_REDOP_PART_OF + WH_COLL_GATHER_V,
          .root = 3},
         "gather_v(int8, root 3)"},
        {{.coll = WH_COLL_BARRIER,
          .dtype = WHORL_INT8,
          .redop = WH_REDOP_PART_OF + WH_COLL_ALL_TO_ALL},
         "all_to_all(int8)"},
        {{.coll = WH_COLL_RECV,
          .count = 3,
          .dtype = WHORL_INT8,
          .redop = WH_REDOP_PART_OF + WH_COLL_SCATTER},
         "recv(count 3, int8, for scatter)"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        cr_expect_str_eq(print(&rows[i].sig), rows[i].text);
    }
}

Test(signature, any_bytes_can_be_printed_into_any_room)
{
    for (unsigned fill = 0; fill < 256; fill++) {
        uint8_t bytes[WH_SIGNATURE_NBYTES];
        memset(bytes, (int)fill, sizeof(bytes));
        for (unsigned coll = 0; coll <= WH_NCOLLS; coll++) {
            struct wh_signature sig;
            wh_signature_decode(bytes, &sig);
            sig.coll = (uint8_t)(coll < WH_NCOLLS ? coll : fill);
            for (size_t room = 1; room < 80; room += 13) {
                char text[80];
                memset(text, 'x', sizeof(text));
                wh_signature_print(&sig, text, room);
                cr_expect_lt(strnlen(text, sizeof(text)), room);
            }
        }
    }
    struct wh_signature none = {.coll = 200};
    cr_expect_str_eq(print(&none), "unknown operation 200");
    none = (struct wh_signature){.coll = WH_COLL_ALL_REDUCE, .dtype = 99, .redop = 99};
    cr_expect_str_eq(print(&none), "all_reduce(count 0, unknown, unknown reduction)");
}
