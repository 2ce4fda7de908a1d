/* SPDX-License-Identifier: MIT */
#include "ring_probe.h"

#include "aio/taio.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int ring_probe_open(struct ring_probe *probe, uint8_t kind, struct batch *batch, struct taio *ring)
{
	int ret = batch_reserve(batch, PROBE_OPS);

	if (ret)
		return ret;
	if (pipe2(probe->fds, O_CLOEXEC | O_NONBLOCK) < 0)
		return -errno;
	probe->afd = taio_attach(ring, probe->fds[0], TAIO_CLASS_STREAM);
	if (probe->afd < 0) {
		ret = probe->afd;
		close(probe->fds[0]);
		close(probe->fds[1]);
		return ret;
	}
	probe->op.kind = kind;
	probe->is_answered = true;
	probe->is_open = true;
	return 0;
}

bool ring_probe_beat(struct ring_probe *probe, struct batch *batch)
{
	if (!probe->is_open)
		return true;
	/* At the first beat; or it has failed, with the byte still in the pipe. */
	if (op_is_idle(&probe->op)) {
		io_prep_pread(&probe->op.iocb, probe->afd, &probe->byte, 1, 0);
		probe->op.iocb.data = probe;
		op_start(&probe->op, batch);
	}
	if (!probe->is_answered)
		return false;
	probe->is_answered = write(probe->fds[1], "", 1) != 1;
	return true;
}

void ring_probe_done(struct ring_probe *probe, long res)
{
	if (res == 1)
		probe->is_answered = true;
}

void ring_probe_close(struct ring_probe *probe)
{
	if (!probe->is_open)
		return;
	close(probe->fds[0]);
	close(probe->fds[1]);
	probe->is_open = false;
}
