/* SPDX-License-Identifier: MIT */
/* The services of taiod-delay, in the place of server/services.c. */
#include "server/services.h"
#include "delay.h"
#include "server/echo.h"

#include <stddef.h>

const struct service *const services[] = {
	&service_echo,
	&service_delay,
	NULL,
};
