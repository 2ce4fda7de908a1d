/* SPDX-License-Identifier: MIT */
/* taio stats: two samples, and what is between them. */
#include "report.h"

#include <errno.h>

static int take(struct sampling *sampling, struct sample *sample)
{
	int err = sampling_start(sampling, sample);

	while (!err && (err = sampling_some(sampling)) == -EAGAIN) {
		err = client_wait(sampling->client, ask_deadline_ns(sampling->ask));
		err = err == -ETIMEDOUT ? 0 : err; /* sampling_some() reports it */
	}
	return err;
}

static int print(const struct settings *settings, const struct report *report)
{
	const struct conns *conns = &report->now->conns;

	if (settings->json)
		return report_json(stdout, report, settings->rows) ? fail("out of memory") : 0;
	report_head(stdout, report);
	if (settings->rows)
		report_titles(stdout, (enum sort)settings->sort);
	for (size_t i = 0; i < conns->n && i < settings->rows; i++)
		report_conn(stdout, &conns->rows[i]);
	return 0;
}

/* Only the counters of the first sample are looked at. */
static int take_both(struct sampling *sampling, struct sample *before, struct sample *now)
{
	const struct settings *settings = sampling->client->settings;
	int err = take(sampling, before);

	if (err)
		return err;
	while (!err)
		err = client_wait(sampling->client, before->at_ns + settings->delay_us * NS_PER_US);
	if (err != -ETIMEDOUT)
		return err;
	sampling->count = settings->rows;
	return take(sampling, now);
}

int stats_run(const struct settings *settings, const char *operand)
{
	struct sample before = {0}, now = {0};
	struct client client;
	struct sampling sampling = {
		.client = &client, .where = settings->admin, .sort = (enum sort)settings->sort};
	struct report report = {.where = settings->admin, .now = &now, .before = &before};
	int status = 1;

	if (client_open(&client, settings))
		return 1;
	sampling.ask = ask_create(&client, settings->admin);
	if (sampling.ask && !take_both(&sampling, &before, &now))
		status = print(settings, &report);
	sample_free(&before);
	sample_free(&now);
	ask_destroy(sampling.ask);
	client_close(&client);
	return status;
}
