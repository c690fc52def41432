/* SPDX-License-Identifier: Apache-2.0 */
/* Streams and events of whorl.h. */
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

/* What a group has collected is queued at its end: what is queued meanwhile would come before. */
static whorl_result_t check_no_group(const char *call)
{
    if (!wh_group_is_open()) {
        return WHORL_OK;
    }
    return wh_group_note(
        wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL, "%s: not allowed inside a group", call));
}

/* Both pointers are there, and no group is open. */
static whorl_result_t check_queueing(const char *call, const void *stream, const char *what,
                                     const void *other)
{
    whorl_result_t rc = check_no_group(call);
    if (rc == WHORL_OK) {
        rc = wh_check_pointer(call, "stream", stream);
    }
    return rc == WHORL_OK ? wh_check_pointer(call, what, other) : rc;
}

WHORL_API whorl_result_t whorl_stream_destroy(whorl_stream_t stream)
{
    whorl_result_t rc = check_no_group("whorl_stream_destroy");
    if (rc != WHORL_OK) {
        return rc;
    }
    if (stream != NULL && wh_stream_is_own(stream)) {
        return wh_fail(WHORL_E_USAGE, WH_SUBSYS_CALL,
                       "whorl_stream_destroy: a callback must not destroy its own stream");
    }
    wh_stream_destroy(stream);
    return WHORL_OK;
}

WHORL_API whorl_result_t whorl_stream_callback(whorl_stream_t stream, whorl_callback_fn fn,
                                               void *ctx)
{
    /* A pointer to a function need not fit in one to data: only whether it is NULL is handed on. */
    whorl_result_t rc =
        check_queueing("whorl_stream_callback", stream, "fn", fn != NULL ? "fn" : NULL);
    return rc == WHORL_OK ? wh_stream_callback(stream, fn, ctx) : rc;
}

WHORL_API whorl_result_t whorl_stream_wait_event(whorl_stream_t stream, whorl_event_t event)
{
    whorl_result_t rc = check_queueing("whorl_stream_wait_event", stream, "event", event);
    return rc == WHORL_OK ? wh_stream_wait_event(stream, event) : rc;
}

WHORL_API whorl_result_t whorl_event_create(whorl_event_t *event_out)
{
    whorl_result_t rc = wh_check_pointer("whorl_event_create", "event_out", event_out);
    return rc == WHORL_OK ? wh_event_create(event_out) : rc;
}

WHORL_API whorl_result_t whorl_event_destroy(whorl_event_t event)
{
    wh_event_destroy(event);
    return WHORL_OK;
}

WHORL_API whorl_result_t whorl_event_record(whorl_event_t event, whorl_stream_t stream)
{
    whorl_result_t rc = check_queueing("whorl_event_record", stream, "event", event);
    if (rc == WHORL_OK) {
        wh_event_record(event, stream);
    }
    return rc;
}

WHORL_API whorl_result_t whorl_event_query(whorl_event_t event)
{
    whorl_result_t rc = wh_check_pointer("whorl_event_query", "event", event);
    return rc == WHORL_OK ? wh_event_query(event) : rc;
}

WHORL_API whorl_result_t whorl_event_synchronize(whorl_event_t event)
{
    whorl_result_t rc = wh_check_pointer("whorl_event_synchronize", "event", event);
    return rc == WHORL_OK ? wh_event_synchronize(event) : rc;
}
