/* SPDX-License-Identifier: MIT */
/*
 * SSL_do_handshake(3) for taiod-gate: as long as the file TAIO_TEST_GATE exists it does not begin. A client's
 * first call, in which it has nothing but its ClientHello to make, passes.
 */
#include <dlfcn.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <unistd.h>

typedef int do_handshake(SSL *ssl);

static do_handshake *next(void)
{
	do_handshake *found;

	*(void **)&found = dlsym(RTLD_NEXT, "SSL_do_handshake");
	return found;
}

int SSL_do_handshake(SSL *ssl)
{
	const char *gate = getenv("TAIO_TEST_GATE");

	while (gate && !access(gate, F_OK) && (SSL_is_server(ssl) || !SSL_in_before(ssl)))
		usleep(1000);
	return next()(ssl);
}
