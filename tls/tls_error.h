/* SPDX-License-Identifier: MIT */
/* OpenSSL's error queue as one line. Each function empties the queue. */
#ifndef TLS_ERROR_H
#define TLS_ERROR_H

#include <openssl/types.h>
#include <stdbool.h>
#include <stddef.h>

/* Writes the line to why[TLS_WHY_LEN], which may be NULL; returns @err. */
int tls_why(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Writes "@file: what the queue says"; returns -errno if a system call failed, otherwise -EINVAL. */
int tls_why_file(char *why, const char *file, const char *wanted);

/*
 * The line for a session on which a call has failed; to be freed; NULL: no memory. *is_http: because the peer
 * speaks HTTP without TLS, which @start, its first bytes, tells.
 */
char *tls_why_session(SSL *ssl, const unsigned char *start, size_t start_len, bool *is_http);

#endif
