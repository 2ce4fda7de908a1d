/* SPDX-License-Identifier: MIT */
/* TLS sockets of the kernel's: keys, records of any type, and what they look like on the wire. Any thread. */
#include "ktls.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef TCP_ULP
#define TCP_ULP 31
#endif
#ifndef SOL_TLS
#define SOL_TLS 282
#endif

#define HEADER 5

void ktls_start(int fd, uint16_t version)
{
	struct tls12_crypto_info_aes_gcm_128 keys = {
		.info = {.version = version, .cipher_type = TLS_CIPHER_AES_GCM_128},
		.iv = "initial",
		.key = "sixteen letters",
		.salt = "sal",
	};

	SYS(setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")));
	SYS(setsockopt(fd, SOL_TLS, TLS_TX, &keys, sizeof(keys)));
	SYS(setsockopt(fd, SOL_TLS, TLS_RX, &keys, sizeof(keys)));
}

void ktls_pair(int fds[2], uint16_t version, int nbytes)
{
	tcp_pair(fds, nbytes);
	ktls_start(fds[0], version);
	ktls_start(fds[1], version);
}

void ktls_send(int fd, int type, const void *data, size_t nbytes)
{
	char control[CMSG_SPACE(1)] = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = nbytes};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(1);
	*CMSG_DATA(cmsg) = (unsigned char)type;
	CHECK_EQ(sendmsg(fd, &msg, 0), nbytes);
}

long ktls_receive(int fd, int flags)
{
	char control[CMSG_SPACE(1)], data[1024];
	struct iovec iov = {.iov_base = data, .iov_len = sizeof(data)};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg;
	ssize_t n;

	do
		n = recvmsg(fd, &msg, flags);
	while (n < 0 && errno == EINTR);
	if (n <= 0)
		return n ? -errno : 0;
	cmsg = CMSG_FIRSTHDR(&msg);
	return cmsg ? *CMSG_DATA(cmsg) : KTLS_DATA;
}

/* Whole, with its header. */
static size_t record_read(int fd, char *record)
{
	size_t nbytes;

	fd_read(fd, record, HEADER);
	nbytes = (size_t)(unsigned char)record[3] << 8 | (unsigned char)record[4];
	CHECK(HEADER + nbytes <= KTLS_WIRE_MAX);
	fd_read(fd, record + HEADER, nbytes);
	return HEADER + nbytes;
}

/* The other end of this connection knows no TLS. */
size_t ktls_wire(char *wire, unsigned int nrecords, uint16_t version, const void *data, size_t nbytes)
{
	size_t size = 0;
	int fds[2];

	tcp_pair(fds, 0);
	ktls_start(fds[0], version);
	for (unsigned int i = 0; i < nrecords; i++) {
		CHECK_EQ(write(fds[0], data, nbytes), nbytes);
		size = record_read(fds[1], wire + i * size);
	}
	close(fds[0]);
	close(fds[1]);
	return size;
}

struct link *ktls_link_of(struct scene *s, const int fds[2])
{
	struct link *link = malloc(sizeof(*link));

	CHECK(link && s->nlinks < SCENE_LINKS);
	*link = (struct link){.in = fds[0], .out = fds[0], .peer_in = fds[1], .peer_out = fds[1]};
	link_attach(s, link);
	s->links[s->nlinks++] = link;
	return link;
}

struct link *ktls_link(struct scene *s, uint16_t version)
{
	int fds[2];

	ktls_pair(fds, version, KTLS_BUFFER);
	return ktls_link_of(s, fds);
}

char *ktls_pattern(size_t nbytes)
{
	char *buf = malloc(nbytes);

	CHECK(buf);
	pattern_fill(buf, nbytes, 0, KTLS_SEED);
	return buf;
}

long ktls_read(int fd, void *buf, size_t nbytes)
{
	ssize_t n;

	do
		n = read(fd, buf, nbytes);
	while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : n;
}
