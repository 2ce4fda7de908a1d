/* SPDX-License-Identifier: MIT */
/*
 * TLS sockets of the kernel's. All ends have the same fixed keys, each direction of a connection counts its
 * records from 0, and no handshake takes place.
 */
#ifndef TAIO_TESTS_KMOD_KTLS_H
#define TAIO_TESTS_KMOD_KTLS_H

#include "kmod.h"

#include <linux/tls.h>

/* The versions that there are. */
#define KTLS_VERSIONS  ((const uint16_t[]){TLS_1_2_VERSION, TLS_1_3_VERSION})
#define KTLS_NVERSIONS 2

/* Types of records. */
enum { KTLS_ALERT = 21, KTLS_HANDSHAKE = 22, KTLS_DATA = 23 };

/* From here on what @fd, of a TCP connection, sends and receives are records. */
void ktls_start(int fd, uint16_t version);
/* A connection that speaks TLS at both ends. @nbytes of socket buffers; 0: the system's. */
void ktls_pair(int fds[2], uint16_t version, int nbytes);
void ktls_send(int fd, int type, const void *data, size_t nbytes);
/* Takes a record of any type by recvmsg(2) with @flags: its type, 0 at the end of the stream, or -errno. */
long ktls_receive(int fd, int flags);

/* Of a socket: a long write has to wait, and a record has room. */
#define KTLS_BUFFER 65536
/* As many bytes as one record carries. */
#define KTLS_RECORD 16384
#define KTLS_SEED   14

/* A link of the scene's, of the two ends of a connection, which are the scene's to close. */
struct link *ktls_link_of(struct scene *s, const int fds[2]);
/* Likewise of a new one. */
struct link *ktls_link(struct scene *s, uint16_t version);
/* Bytes of pattern KTLS_SEED, to be freed. */
char *ktls_pattern(size_t nbytes);
/* read(2), which no signal ends: bytes, 0 at the end of the stream, or -errno. */
long ktls_read(int fd, void *buf, size_t nbytes);

#define KTLS_WIRE_MAX 17000

/* What goes over the wire for the first records of a connection, each with @nbytes of @data; returns the size
 * of one. */
size_t ktls_wire(char *wire, unsigned int nrecords, uint16_t version, const void *data, size_t nbytes);

#endif
