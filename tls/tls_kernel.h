/* SPDX-License-Identifier: MIT */
/* What contexts and sessions do for the kernel's sake; the rest is in tls.h. */
#ifndef TLS_KERNEL_H
#define TLS_KERNEL_H

#include "tls_int.h"

/* For a new context: the module may have been loaded since it was found missing. */
void tls_kernel_look_again(void);

/* A line of the key log. */
void tls_kernel_note_secret(struct tls *tls, const char *line);

/* OpenSSL's message callback (SSL_set_msg_callback(3)); @arg is the session. */
void tls_kernel_note_message(int is_out, int version, int type, const void *data, size_t len, SSL *ssl,
			     void *arg);

/*
 * The key of one direction, its nonce (salt and IV) and the number of its next record. 0, -EOPNOTSUPP if that
 * is not known of @tls, or -ENOMEM. The caller cleanses it.
 */
struct tls_record_key {
	unsigned char key[32], iv[12], seq[8];
};
int tls_kernel_key(struct tls *tls, bool is_out, struct tls_record_key *key);

#endif
