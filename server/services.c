/* SPDX-License-Identifier: MIT */
#include "services.h"

#include "echo.h"
#include "http/http.h"
#include "proxy/proxy.h"

#include <stddef.h>

const struct service *const services[] = {
	&service_echo, &service_discard, &service_http, &service_proxy, &service_admin, NULL,
};
