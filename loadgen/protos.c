/* SPDX-License-Identifier: MIT */
#include "protos.h"

#define PROTO_ENTRY(name) &proto_##name,
const struct proto *const protos[] = {PROTOS(PROTO_ENTRY) NULL};

const struct proto *proto_of_url(void)
{
	const struct proto *const *proto = protos;

	while (!(*proto)->is_of_url)
		proto++;
	return *proto;
}
