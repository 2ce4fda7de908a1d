/* SPDX-License-Identifier: MIT */
/* The list of protocols. */
#ifndef PROTOS_H
#define PROTOS_H

#include "proto.h"

/* In the order of PROTOS, then NULL. */
extern const struct proto *const protos[];

/* The protocol of a URL. */
const struct proto *proto_of_url(void);

#endif
