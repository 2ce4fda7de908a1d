/* SPDX-License-Identifier: MIT */
/*
 * The services echo (sends back what it receives) and discard (counts it and sends nothing). Neither has
 * state: a session is empty and there is no site.
 */
#include "echo.h"

static enum step echo_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	size_t room = out->nbytes < OUTQ_HIGH ? OUTQ_HIGH - out->nbytes : 0;

	*used = len < room ? len : room;
	return outq_append(out, data, *used) ? STEP_FAILED : STEP_MORE;
}

static enum step discard_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	*used = len;
	return STEP_MORE;
}

static enum step stream_eof(void *session, size_t left, struct outq *out)
{
	return STEP_DONE;
}

static enum phase stream_phase(const void *session)
{
	return PHASE_BODY;
}

const struct service service_echo = {
	.name = "echo",
	.summary = "sends back what it receives",
	.access = ACCESS_CONNECTIONS,
	.input = echo_input,
	.eof = stream_eof,
	.phase = stream_phase,
};

const struct service service_discard = {
	.name = "discard",
	.summary = "receives and sends nothing",
	.access = ACCESS_CONNECTIONS,
	.input = discard_input,
	.eof = stream_eof,
	.phase = stream_phase,
};
