/* SPDX-License-Identifier: MIT */
/* OpenSSL's error queue as one line. Each function empties the queue. */
#ifndef TLS_ERROR_H
#define TLS_ERROR_H

#include "tls_int.h"

/* Writes the line to why[TLS_WHY_LEN], which may be NULL; returns @err. */
int tls_why(char *why, int err, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Writes "@file: what the queue says"; returns -errno if a system call failed, otherwise -EINVAL. */
int tls_why_file(char *why, const char *file, const char *wanted);

/* The line for a session on which a call has failed; to be freed; NULL: no memory. Sets is_http and
 * is_untrusted.
 */
char *tls_why_session(struct tls *tls);

#endif
