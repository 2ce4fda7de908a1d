/* SPDX-License-Identifier: MIT */
#include "session.h"

#include "server/access.h"
#include "server/probes.h"

void http_session_end(struct http_session *s)
{
	if (s->life == LIFE_KEEP)
		s->life = LIFE_LAST;
}

void http_request_begin(struct http_session *s, const struct http_request *req)
{
	unsigned int most = s->site->options->keepalive_max;
	bool holds_back = req->expects_continue && (req->chunked || req->length);

	s->nrequests++;
	s->progress = holds_back ? RESPONSE_CONTINUE_DUE : RESPONSE_NONE;
	s->sink = SINK_DROP;
	s->minor = (uint8_t)req->minor;
	s->is_head = req->method == METHOD_HEAD;
	if (s->life != LIFE_DRAIN)
		s->life = LIFE_KEEP;
	if (!req->keep_alive || (most && s->nrequests >= most))
		http_session_end(s);
	if (s->site->env->draining && *s->site->env->draining)
		s->life = LIFE_DRAIN;
	count(s->site->counters, requests);
	tally_count(s->site->tally, requests);
	probe4(request_begin, s, (int)req->method, req->target.at, req->target.len);
}

void http_request_done(struct http_session *s)
{
	probe2(request_end, s, s->nrequests);
	s->state = s->life == LIFE_KEEP ? STATE_HEAD : STATE_DEAD;
	s->scan = (struct http_scan){0};
	s->begun_ms = 0;
	if (s->record)
		s->record->is_whole = true;
	s->record = NULL;
}
