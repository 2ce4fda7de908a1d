/* SPDX-License-Identifier: MIT */
/*
 * The service proxy: bytes go to a backend and back, each direction at its own pace, with TLS on either side
 * or both. A client and its backend are two connections on one ring; each one's session is a side of a pair.
 */
#ifndef PROXY_H
#define PROXY_H

#include "server/service.h"

extern const struct service service_proxy;

#endif
