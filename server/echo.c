/* SPDX-License-Identifier: MIT */
/*
 * The services echo (sends back what it receives) and discard (counts it and sends nothing). Called by
 * conn.c on the worker's thread. Neither has state: a session is empty and there is no site.
 */
#include "service.h"

static size_t echo_input(void *session, const char *data, size_t len, struct outq *out, enum verdict *verdict)
{
	size_t room = out->nbytes < OUTQ_HIGH ? OUTQ_HIGH - out->nbytes : 0;

	if (len > room)
		len = room;
	*verdict = outq_append(out, data, len) ? VERDICT_ABORT : VERDICT_GO;
	return len;
}

static size_t discard_input(void *session, const char *data, size_t len, struct outq *out,
			    enum verdict *verdict)
{
	*verdict = VERDICT_GO;
	return len;
}

static enum verdict stream_eof(void *session, size_t left, struct outq *out)
{
	return VERDICT_FINISH;
}

static enum phase stream_phase(const void *session)
{
	return PHASE_BODY;
}

const struct service service_echo = {
	.name = "echo",
	.summary = "sends back what it receives",
	.input = echo_input,
	.eof = stream_eof,
	.phase = stream_phase,
};

const struct service service_discard = {
	.name = "discard",
	.summary = "receives and answers nothing",
	.input = discard_input,
	.eof = stream_eof,
	.phase = stream_phase,
};
