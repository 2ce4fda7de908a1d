/* SPDX-License-Identifier: MIT */
/* LD_PRELOAD shim: while the file $STUCK_FILE exists, io_submit(2) takes operations that never complete. */
#include <dlfcn.h>
#include <libaio.h>
#include <stdlib.h>
#include <unistd.h>

int io_submit(io_context_t ctx, long n, struct iocb **iocbs)
{
	int (*real)(io_context_t, long, struct iocb **) =
		(int (*)(io_context_t, long, struct iocb **))dlsym(RTLD_NEXT, "io_submit");
	const char *file = getenv("STUCK_FILE");

	return file && access(file, F_OK) == 0 ? (int)n : real(ctx, n, iocbs);
}
