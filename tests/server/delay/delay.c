/* SPDX-License-Identifier: MIT */
/*
 * The service delay, for tests: sends each line back after a timer. What it proves is the interface of
 * services that wait for something outside of their connection: the session returns STEP_BLOCKED, and
 * peer_resume() brings it back. While it waits the line stays unconsumed; lines behind it wait their turn.
 *
 *	--delay DURATION: how long a line waits
 *	copies=N, a word of the listener: how often a line is sent back
 *	push=N, likewise: send N bursts of lines "push" of its own accord, one each time the timer runs out
 */
#include "delay.h"

#include "base/opt.h"
#include "server/conn/peer.h"

#include <errno.h>
#include <ev.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct delay_options {
	uint64_t delay_us;
};

struct delay_words {
	unsigned int copies, push;
};

// clang-format off
static const struct opt options[] = {
	{ .section = "Delay",
	  .name = "delay", .type = OPT_DURATION, .offset = offsetof(struct delay_options, delay_us), .arg = "DURATION",
	  .deflt = "100ms", .on_reload = OPT_RELOAD_APPLY,
	  .help = "How long a line waits." },
	{ 0 }
};

static const struct opt words[] = {
	{ .name = "copies", .type = OPT_UINT, .offset = offsetof(struct delay_words, copies), .arg = "N", .deflt = "1",
	  .min = 1, .max = 1 << 20,
	  .help = "How often a line is sent back." },
	{ .name = "push", .type = OPT_UINT, .offset = offsetof(struct delay_words, push), .arg = "N", .deflt = "0",
	  .help = "How many lines are pushed." },
	{ 0 }
};
// clang-format on

struct site {
	struct ev_loop *loop;
	ev_tstamp delay_s;
	unsigned int copies, push;
};

enum session_state {
	SESSION_IDLE,	 /* no whole line is there */
	SESSION_WAITING, /* the timer runs for the line at the front */
	SESSION_DUE,	 /* the line may be sent back */
};

struct session {
	ev_timer timer;
	struct site *site;
	struct peer *peer;
	enum session_state state;
	unsigned int sent;	     /* copies of the line that are in the queue */
	unsigned int pushed, credit; /* bursts that were due, and lines that may come back for it */
	unsigned int burst;	     /* lines of bursts that are not in the queue yet */
	bool draining;
};

static int delay_site_open(void **opened, const void *given_options, const void *given_words,
			   const struct service_env *env, char *why)
{
	const struct delay_options *own = given_options;
	const struct delay_words *word = given_words;
	struct site *site = malloc(sizeof(*site));

	if (!site) {
		snprintf(why, 256, "no memory");
		return -ENOMEM;
	}
	*site = (struct site){.loop = env->loop,
			      .delay_s = (ev_tstamp)own->delay_us / 1e6,
			      .copies = word->copies,
			      .push = word->push};
	*opened = site;
	return 0;
}

static void on_timer(struct ev_loop *loop, ev_timer *timer, int revents)
{
	struct session *s = timer->data;

	s->state = SESSION_DUE;
	peer_resume(s->peer);
}

static void delay_open(void *session, void *site, struct peer *peer)
{
	struct session *s = session;

	s->site = site;
	s->peer = peer;
	ev_init(&s->timer, on_timer);
	s->timer.data = s;
}

static void delay_close(void *session)
{
	struct session *s = session;

	ev_timer_stop(s->site->loop, &s->timer);
}

/* Back-pressure may come between two copies. */
static enum step send_back(struct session *s, const char *line, size_t len, struct outq *out)
{
	while (s->sent < s->site->copies && out->nbytes < OUTQ_HIGH) {
		if (outq_append(out, line, len))
			return STEP_FAILED;
		s->sent++;
	}
	return s->sent == s->site->copies ? STEP_DONE : STEP_MORE;
}

static void wait_for_timer(struct session *s)
{
	s->state = SESSION_WAITING;
	s->sent = 0;
	ev_now_update(s->site->loop);
	ev_timer_set(&s->timer, s->site->delay_s, 0.);
	ev_timer_start(s->site->loop, &s->timer);
}

/* The end of the line at the start of data[0..len), or NULL. */
static const char *line_end(const char *data, size_t len)
{
	return len ? memchr(data, '\n', len) : NULL;
}

/*
 * Each time the timer has run out one more burst of lines "push" is due, and one line may come back. That
 * comes with whatever brings it: what is left is not waited for, so that a read is under way while there is
 * some.
 */
static enum step push_input(struct session *s, const char *data, size_t len, size_t *used, struct outq *out)
{
	const char *end;

	if (s->state == SESSION_DUE) {
		s->pushed++;
		s->credit++;
		s->burst += s->site->copies;
		s->state = SESSION_IDLE;
	}
	if (s->state == SESSION_IDLE && s->pushed < s->site->push)
		wait_for_timer(s);
	for (; s->burst && out->nbytes < OUTQ_HIGH; s->burst--)
		if (outq_append(out, "push\n", 5))
			return STEP_FAILED;
	while (!s->burst && (s->credit || s->pushed == s->site->push) &&
	       (end = line_end(data + *used, len - *used))) {
		size_t line = (size_t)(end + 1 - data) - *used;

		if (outq_append(out, data + *used, line))
			return STEP_FAILED;
		*used += line;
		s->credit -= s->credit > 0;
	}
	return STEP_MORE;
}

static enum step delay_input(void *session, const char *data, size_t len, size_t *used, struct outq *out)
{
	struct session *s = session;
	const char *end;

	*used = 0;
	if (s->site->push)
		return push_input(s, data, len, used, out);
	if (s->state == SESSION_WAITING)
		return STEP_BLOCKED;
	while ((end = line_end(data + *used, len - *used))) {
		size_t line = (size_t)(end + 1 - data) - *used;
		enum step step;

		if (s->state == SESSION_IDLE) {
			wait_for_timer(s);
			return STEP_BLOCKED;
		}
		step = send_back(s, data + *used, line, out);
		if (step != STEP_DONE)
			return step;
		*used += line;
		s->state = SESSION_IDLE;
		if (s->draining)
			return STEP_DONE;
	}
	return STEP_MORE;
}

static enum step delay_eof(void *session, size_t left, struct outq *out)
{
	struct session *s = session;

	return s->state == SESSION_IDLE && !s->burst ? STEP_DONE : STEP_BLOCKED;
}

static enum phase delay_phase(const void *session)
{
	const struct session *s = session;

	return s->state == SESSION_IDLE ? PHASE_IDLE : PHASE_BODY;
}

static enum step delay_drain(void *session)
{
	struct session *s = session;

	s->draining = true;
	return s->state == SESSION_IDLE ? STEP_DONE : STEP_MORE;
}

static void delay_site_close(void *site)
{
	free(site);
}

const struct service service_delay = {
	.name = "delay",
	.summary = "sends each line back after a timer",
	.session_size = sizeof(struct session),
	.options = options,
	.options_size = sizeof(struct delay_options),
	.words = words,
	.words_size = sizeof(struct delay_words),
	.site_open = delay_site_open,
	.site_close = delay_site_close,
	.open = delay_open,
	.close = delay_close,
	.input = delay_input,
	.eof = delay_eof,
	.phase = delay_phase,
	.drain = delay_drain,
};
