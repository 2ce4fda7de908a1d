/* SPDX-License-Identifier: MIT */
/* What a case has open: its ring, its links and their proxies. Used by the case's first thread. */
#include "kmod.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

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

struct link *scene_open(struct scene *s, unsigned int entries)
{
	scene_ring(s, entries);
	return scene_link(s);
}

void link_attach(struct scene *s, struct link *link)
{
	link->afd_in = proxy_make(s, link->in);
	link->afd_out = link->out == link->in ? link->afd_in : proxy_make(s, link->out);
}

void link_detach(struct link *link)
{
	fds_close(&link->afd_in, &link->afd_out);
}

void link_renew(struct scene *s, struct link *link)
{
	link_detach(link);
	link_destroy(link);
	link_make(link, s->kind);
	link_attach(s, link);
}

size_t link_fill(struct link *link, enum link_kind kind)
{
	static const char page[4096];
	int there = 0;
	size_t total = 0;
	ssize_t n;

	if (kind == LINK_PIPE) {
		SYS(fcntl(link->out, F_SETPIPE_SZ, sizeof(page)));
		SYS(ioctl(link->out, FIONREAD, &there));
		if (there < (int)sizeof(page))
			total = (size_t)SYS(write(link->out, page, sizeof(page) - (size_t)there));
		return total;
	}
	while ((n = send(link->out, page, sizeof(page), MSG_DONTWAIT)) > 0)
		total += (size_t)n;
	CHECK_EQ(errno, EAGAIN);
	return total;
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

		if (link->afd_in >= 0) {
			proxy_info(link->afd_in, &info);
			CHECK_EQ(info.inflight, 0);
		}
		link_detach(link);
		link_destroy(link);
		free(link);
	}
	s->nlinks = 0;
}
