/* SPDX-License-Identifier: MIT */
#include "roster.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>

struct roster_part {
	STAILQ_ENTRY(roster_part) link; /* asked of its desk; under that lock */
	struct roster *roster;
	char *text;
	size_t len;
};

/* Who takes the last part to be filled in hands the roster over; before and after that it is the asker's. */
struct roster {
	STAILQ_ENTRY(roster) link; /* in from->whole */
	struct roster_desk *from;
	void (*done)(void *arg); /* NULL: it was freed meanwhile */
	void *arg;
	bool is_whole;
	struct roster_question question;
	atomic_uint left; /* parts that are not filled in */
	unsigned int n;
	struct roster_part parts[];
};

void roster_desk_init(struct roster_desk *desk, void (*wake)(void *arg), void *arg)
{
	pthread_mutex_init(&desk->lock, NULL);
	STAILQ_INIT(&desk->asked);
	STAILQ_INIT(&desk->whole);
	desk->wake = wake;
	desk->arg = arg;
}

static void destroy(struct roster *roster)
{
	for (unsigned int i = 0; i < roster->n; i++)
		free(roster->parts[i].text);
	free(roster);
}

void roster_desk_close(struct roster_desk *desk)
{
	pthread_mutex_lock(&desk->lock);
	desk->closed = true;
	pthread_mutex_unlock(&desk->lock);
}

void roster_desk_fini(struct roster_desk *desk)
{
	struct roster *roster;

	while ((roster = STAILQ_FIRST(&desk->whole))) {
		STAILQ_REMOVE_HEAD(&desk->whole, link);
		destroy(roster);
	}
	pthread_mutex_destroy(&desk->lock);
}

static void part_done(struct roster *roster)
{
	struct roster_desk *from = roster->from;

	if (atomic_fetch_sub(&roster->left, 1) != 1)
		return;
	pthread_mutex_lock(&from->lock);
	STAILQ_INSERT_TAIL(&from->whole, roster, link);
	from->wake(from->arg);
	pthread_mutex_unlock(&from->lock);
}

static void ask_one(struct roster_desk *desk, struct roster_part *part)
{
	bool closed;

	pthread_mutex_lock(&desk->lock);
	closed = desk->closed;
	if (!closed) {
		STAILQ_INSERT_TAIL(&desk->asked, part, link);
		desk->wake(desk->arg);
	}
	pthread_mutex_unlock(&desk->lock);
	if (closed)
		part_done(part->roster);
}

struct roster *roster_ask(const struct roster_room *room, const struct roster_question *question,
			  struct roster_desk *from, void (*done)(void *arg), void *arg)
{
	struct roster *roster = calloc(1, sizeof(*roster) + room->n * sizeof(roster->parts[0]));

	if (!roster)
		return NULL;
	roster->from = from;
	roster->done = done;
	roster->arg = arg;
	roster->n = room->n;
	roster->question = *question;
	for (unsigned int i = 0; i < room->n; i++)
		roster->parts[i].roster = roster;
	if (question->ends) {
		assert(question->worker < room->n);
		atomic_init(&roster->left, 1);
		ask_one(room->desks[question->worker], &roster->parts[question->worker]);
		return roster;
	}
	atomic_init(&roster->left, room->n);
	for (unsigned int i = 0; i < room->n; i++)
		ask_one(room->desks[i], &roster->parts[i]);
	return roster;
}

void roster_free(struct roster *roster)
{
	if (roster->is_whole)
		destroy(roster);
	else
		roster->done = NULL;
}

const struct roster_question *roster_question(const struct roster *roster)
{
	return &roster->question;
}

unsigned int roster_size(const struct roster *roster)
{
	return roster->n;
}

const char *roster_text(const struct roster *roster, unsigned int i, size_t *len)
{
	*len = roster->parts[i].len;
	return roster->parts[i].text;
}

struct roster_part *roster_next(struct roster_desk *desk)
{
	struct roster_part *part;

	pthread_mutex_lock(&desk->lock);
	part = STAILQ_FIRST(&desk->asked);
	if (part)
		STAILQ_REMOVE_HEAD(&desk->asked, link);
	pthread_mutex_unlock(&desk->lock);
	return part;
}

const struct roster_question *roster_part_question(const struct roster_part *part)
{
	return &part->roster->question;
}

void roster_fill(struct roster_part *part, char *text, size_t len)
{
	part->text = text;
	part->len = len;
	part_done(part->roster);
}

static struct roster *take_whole(struct roster_desk *desk)
{
	struct roster *roster;

	pthread_mutex_lock(&desk->lock);
	roster = STAILQ_FIRST(&desk->whole);
	if (roster)
		STAILQ_REMOVE_HEAD(&desk->whole, link);
	pthread_mutex_unlock(&desk->lock);
	return roster;
}

void roster_deliver(struct roster_desk *desk)
{
	struct roster *roster;

	while ((roster = take_whole(desk))) {
		roster->is_whole = true;
		if (roster->done)
			roster->done(roster->arg);
		else
			destroy(roster);
	}
}
