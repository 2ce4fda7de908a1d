/* SPDX-License-Identifier: MIT */
/*
 * The oldest server there is, to compare with: a thread for each connection, reading and writing in a loop.
 */
#include "bench.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_NBYTES (128 * 1024)
#define BUF_NBYTES   16384

static bool write_all(int fd, const char *buf, ssize_t nbytes)
{
	for (ssize_t done = 0, n; done < nbytes; done += n) {
		n = write(fd, buf + done, (size_t)(nbytes - done));
		if (n <= 0)
			return false;
	}
	return true;
}

static void *serve(void *arg)
{
	int fd = (int)(intptr_t)arg;
	char buf[BUF_NBYTES];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0 && write_all(fd, buf, n))
		;
	close(fd);
	return NULL;
}

static int listen_at_any(const char *port_file)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = SYS(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	socklen_t len = sizeof(addr);
	char part[256];
	FILE *file;

	SYS(bind(fd, (struct sockaddr *)&addr, len));
	SYS(listen(fd, 4096));
	SYS(getsockname(fd, (struct sockaddr *)&addr, &len));
	/* Whoever sees the file sees all of it. */
	snprintf(part, sizeof(part), "%s.part", port_file);
	file = fopen(part, "we");
	CHECK(file);
	fprintf(file, "127.0.0.1:%u echo tcp\n", ntohs(addr.sin_port));
	CHECK_EQ(fclose(file), 0);
	SYS(rename(part, port_file));
	return fd;
}

int cmd_serve(int argc, char **argv)
{
	int listener, fd, on = 1;
	pthread_attr_t attr;
	pthread_t thread;

	CHECK_EQ(argc, 2);
	CHECK_EQ(pthread_attr_init(&attr), 0);
	CHECK_EQ(pthread_attr_setstacksize(&attr, STACK_NBYTES), 0);
	CHECK_EQ(pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED), 0);
	listener = listen_at_any(argv[1]);
	for (;;) {
		fd = SYS(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
		SYS(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)));
		CHECK_EQ(pthread_create(&thread, &attr, serve, (void *)(intptr_t)fd), 0);
	}
}
