/* SPDX-License-Identifier: MIT */
/* What a case has open: its ring and its links. Used by the case's first thread. */
#include "kmod.h"

#include <stdlib.h>

void scene_ring(struct scene *s, unsigned int entries)
{
	ring_open(&s->ring, entries);
}

struct link *scene_link(struct scene *s)
{
	struct link *link = malloc(sizeof(*link));

	CHECK(link && s->nlinks < SCENE_LINKS);
	link_make(link, s->kind);
	link_attach(s, link);
	s->links[s->nlinks++] = link;
	return link;
}

void scene_finish(struct scene *s)
{
	struct taio_ioc_info info;

	if (s->ring.ctx) {
		stay_quiet(&s->ring);
		ring_close(&s->ring);
	}
	for (unsigned int i = 0; i < s->nlinks; i++) {
		struct link *link = s->links[i];

		if (link->proxy_in >= 0) {
			proxy_info(link->proxy_in, &info);
			CHECK_EQ(info.inflight, 0);
		}
		link_destroy(link);
		free(link);
	}
	s->nlinks = 0;
}
