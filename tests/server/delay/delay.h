/* SPDX-License-Identifier: MIT */
/* A service of the tests: taiod-delay is taiod with it as one more. */
#ifndef DELAY_H
#define DELAY_H

#include "server/service.h"

extern const struct service service_delay;

#endif
