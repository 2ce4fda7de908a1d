/* SPDX-License-Identifier: MIT */
/*
 * Time inside sendto(2) of a datagram to a socket on which many reads wait, beside that with one: what a herd
 * costs whoever wakes it. The sender is a thread of its own, on the processor that the submitter is not on.
 */
#include "bench.h"

#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define WARM	   50
#define SENDER_CPU 1

struct sender {
	pthread_t thread;
	int go, sock;
	struct sockaddr_in to;
	struct samples samples;
};

static int udp_open(struct sockaddr_in *addr)
{
	socklen_t len = sizeof(*addr);
	int fd = SYS(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	*addr = (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	SYS(bind(fd, (struct sockaddr *)addr, len));
	SYS(getsockname(fd, (struct sockaddr *)addr, &len));
	return fd;
}

/* A datagram for each event; a two ends it. */
static void *sender_run(void *arg)
{
	struct sender *sender = arg;
	uint64_t n, began;

	pin_to_cpu(SENDER_CPU);
	for (;;) {
		CHECK_EQ(read(sender->go, &n, sizeof(n)), sizeof(n));
		if (n == 2)
			return NULL;
		began = now_ns();
		SYS(sendto(sender->sock, "x", 1, 0, (struct sockaddr *)&sender->to, sizeof(sender->to)));
		samples_add(&sender->samples, now_ns() - began);
	}
}

static void sender_tell(struct sender *sender, uint64_t n)
{
	CHECK_EQ(write(sender->go, &n, sizeof(n)), sizeof(n));
}

static uint64_t send_time(const struct variant *variant, unsigned int nreads, long rounds)
{
	struct scene s = {.policy = variant->policy, .flags = variant->flags};
	struct sockaddr_in unused;
	struct sender sender = {.go = SYS(eventfd(0, EFD_CLOEXEC)), .sock = udp_open(&unused)};
	int fd = udp_open(&sender.to), proxy = proxy_make(&s, fd);
	struct op *ops = calloc(nreads, sizeof(*ops));
	uint64_t ns;
	char byte;

	CHECK(ops);
	scene_ring(&s, nreads);
	for (unsigned int i = 0; i < nreads; i++)
		read_start(&s.ring, &ops[i], proxy, &byte, 1);
	CHECK_EQ(pthread_create(&sender.thread, NULL, sender_run, &sender), 0);
	for (long i = 0; i < WARM + rounds; i++) {
		struct op *op = &ops[i % nreads];

		sender_tell(&sender, 1);
		CHECK_EQ(await(&s.ring, op), 1);
		read_start(&s.ring, op, proxy, &byte, 1);
	}
	sender_tell(&sender, 2);
	CHECK_EQ(pthread_join(sender.thread, NULL), 0);
	ns = samples_at(&sender.samples, 0.5);
	CHECK_EQ(proxy_cancel(proxy), nreads);
	for (unsigned int i = 0; i < nreads; i++)
		await(&s.ring, &ops[i]);
	samples_free(&sender.samples);
	scene_finish(&s);
	close(proxy);
	close(fd);
	close(sender.sock);
	close(sender.go);
	free(ops);
	return ns;
}

/* READS ROUNDS */
int cmd_herd(int argc, char **argv)
{
	long nreads = number_of(argv[1], "READS"), rounds = number_of(argv[2], "ROUNDS");

	CHECK_EQ(argc, 3);
	for (unsigned int i = 0; i < VARIANTS && policy_is_there(variants[i].policy); i++)
		printf("%s\"%s\": {\"one\": %ju, \"many\": %ju}", i ? ", " : "{", variants[i].name,
		       (uintmax_t)send_time(&variants[i], 1, rounds),
		       (uintmax_t)send_time(&variants[i], (unsigned int)nreads, rounds));
	printf("}\n");
	return 0;
}
