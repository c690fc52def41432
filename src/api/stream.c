/* SPDX-License-Identifier: Apache-2.0 */
/* Streams of whorl.h. */
#include "device/stream.h"

#include "api/argcheck.h"
#include "api/group.h"
#include "base/log.h"

WHORL_API whorl_result_t whorl_stream_create(whorl_stream_t *stream_out)
{
    whorl_result_t rc = wh_check_pointer("whorl_stream_create", "stream_out", stream_out);
    return rc == WHORL_OK ? wh_stream_create(stream_out) : rc;
}

WHORL_API whorl_result_t whorl_stream_query(whorl_stream_t stream)
{
    whorl_result_t rc = wh_check_pointer("whorl_stream_query", "stream", stream);
    return rc == WHORL_OK ? wh_stream_query(stream) : rc;
}

WHORL_API whorl_result_t whorl_stream_synchronize(whorl_stream_t stream)
{
    whorl_result_t rc = wh_check_pointer("whorl_stream_synchronize", "stream", stream);
    return rc == WHORL_OK ? wh_stream_synchronize(stream) : rc;
}

WHORL_API whorl_result_t whorl_stream_destroy(whorl_stream_t stream)
{
    if (wh_group_is_open()) {
        return wh_group_note(wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL,
                                     "whorl_stream_destroy: not allowed inside a group"));
    }
    wh_stream_destroy(stream);
    return WHORL_OK;
}
