/* SPDX-License-Identifier: MIT */
/*
 * The service http: files under a root, /echo, /healthz, /metrics; and the service admin, which is the same but
 * for what there is at its paths (admin.c). The path of a request: http.c (flow) ->
 * request.c (strict check, llhttp) -> target.c (path) -> static.c (with cond.c and file.c) or body.c ->
 * response.c.
 *
 * Everything in this folder runs on the worker's thread; chars, date, mime, request, target, cond and beneath
 * keep no state and may be called on any thread.
 */
#ifndef HTTP_H
#define HTTP_H

#include "server/service.h"

extern const struct service service_http;
extern const struct service service_admin;

#endif
