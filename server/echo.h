/* SPDX-License-Identifier: MIT */
#ifndef ECHO_H
#define ECHO_H

#include "service.h"

extern const struct service service_echo;    /* sends back what it receives */
extern const struct service service_discard; /* receives and sends nothing */

#endif
