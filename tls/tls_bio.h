/* SPDX-License-Identifier: MIT */
/* The BIO between OpenSSL and a struct tls_io; its data is the session. */
#ifndef TLS_BIO_H
#define TLS_BIO_H

#include "tls_int.h"

/* NULL: no memory. One method serves all sessions of a context. */
BIO_METHOD *tls_bio_method(void);

/* Moves held output to @io, as far as there is room. */
void tls_bio_flush(struct tls *tls, struct tls_io *io);

#endif
