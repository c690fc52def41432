/* SPDX-License-Identifier: Apache-2.0 */
/* The built-in transports: the lines of transports/CMakeLists.txt, as the build writes them. */
#include "wire/wire.h"

#define TRANSPORT(name) extern const struct whorl_transport_ops whorl_transport_##name;
#include "wire/transports.def"
#undef TRANSPORT

const struct whorl_transport_ops *const wh_transports[] = {
#define TRANSPORT(name) &whorl_transport_##name,
#include "wire/transports.def"
#undef TRANSPORT
};

const size_t wh_ntransports = ARRAY_LEN(wh_transports);
