/* SPDX-License-Identifier: MIT */
/* Any bytes mean the same at once and byte by byte. Run: client_hello_fuzz -max_len=4096 CORPUS */
#include "server/proxy/client_hello.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void must(int condition)
{
	if (!condition)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct client_hello whole = {0}, pieces = {0};
	char name[SERVER_NAME_LEN], same[SERVER_NAME_LEN];
	enum client_hello_is is = client_hello_read(&whole, data, len, name), step = CLIENT_HELLO_SHORT;
	size_t at = 0;

	while (at < len && step == CLIENT_HELLO_SHORT)
		step = client_hello_read(&pieces, data, ++at, same);
	must(step == is);
	must(!len || !strcmp(name, same));
	return 0;
}
