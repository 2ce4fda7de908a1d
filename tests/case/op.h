/* SPDX-License-Identifier: MIT */
/* An operation and its result. The owner of the ring submits it and takes its event. */
#ifndef TAIO_CASE_OP_H
#define TAIO_CASE_OP_H

#include <libaio.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/* May not move until its event. */
struct op {
	struct iocb iocb;
	uint64_t seq;	     /* a submission's own, where the suite numbers them */
	long res;	     /* valid when events is 1 */
	unsigned int events; /* a second one fails the case */
	uint64_t nth;	     /* its event was the program's nth */
};

/* Each prepares the iocb, with the operation as its data, and clears the result. */
void op_read(struct op *op, int fd, void *buf, size_t nbytes);
void op_write(struct op *op, int fd, const void *buf, size_t nbytes);
void op_readv(struct op *op, int fd, const struct iovec *iov, int niov);
void op_writev(struct op *op, int fd, const struct iovec *iov, int niov);
void op_poll(struct op *op, int fd, int events);
/* Takes the event of @op. A second one fails the case. */
void op_event(struct op *op, const struct io_event *event);

/* Prepared and submitted. op_start() is the suite's: it knows what @ring is. */
#define read_start(ring, op, fd, buf, nbytes)  (op_read(op, fd, buf, nbytes), op_start(ring, op))
#define write_start(ring, op, fd, buf, nbytes) (op_write(op, fd, buf, nbytes), op_start(ring, op))

#endif
