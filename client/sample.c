/* SPDX-License-Identifier: MIT */
#include "sample.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>

void sample_free(struct sample *sample)
{
	metrics_free(&sample->metrics);
	conns_free(&sample->conns);
	sample->at_ns = 0;
}

bool sample_follows(const struct sample *now, const struct sample *before)
{
	double started = metrics_value(&now->metrics, "taiod_start_time_seconds");
	double started_before = metrics_value(&before->metrics, "taiod_start_time_seconds");

	return before->at_ns && (started == started_before || (isnan(started) && isnan(started_before)));
}

static int failed(struct sampling *sampling, int err)
{
	sample_free(sampling->sample);
	ask_cancel(sampling->ask);
	return err;
}

int sampling_start(struct sampling *sampling, struct sample *sample)
{
	*sample = (struct sample){0};
	sampling->sample = sample;
	sampling->has_metrics = false;
	return ask_start(sampling->ask, "GET", "/metrics");
}

static int take_metrics(struct sampling *sampling, const char *body, size_t len)
{
	size_t line;
	int err = metrics_parse(&sampling->sample->metrics, body, len, &line);

	sampling->sample->at_ns = clock_ns();
	if (err == -EINVAL)
		fail("%s: line %zu of /metrics is malformed", sampling->where, line);
	else if (err)
		fail("out of memory");
	return err;
}

static int take_connections(struct sampling *sampling, const char *body, size_t len)
{
	char why[CONNS_WHY_LEN];
	int err = conns_parse(&sampling->sample->conns, body, len, why);

	if (err)
		fail("%s: /connections: %s", sampling->where, why);
	else
		conns_sort(&sampling->sample->conns, sampling->sort);
	return err;
}

static int ask_connections(struct sampling *sampling)
{
	char path[64];

	sampling->has_metrics = true;
	snprintf(path, sizeof(path), "/connections?sort=%s&count=%u", sort_names[sampling->sort],
		 sampling->count);
	return ask_start(sampling->ask, "GET", path);
}

/* The response to one of the two requests is there. */
static int take(struct sampling *sampling)
{
	size_t len;
	const char *body = ask_body(sampling->ask, &len);
	unsigned int status = ask_status(sampling->ask);

	if (status != 200) {
		fail("%s: /%s: status %u: it is no service admin of a taiod", sampling->where,
		     sampling->has_metrics ? "connections" : "metrics", status);
		return -EPROTO;
	}
	return sampling->has_metrics ? take_connections(sampling, body, len)
				     : take_metrics(sampling, body, len);
}

int sampling_some(struct sampling *sampling)
{
	int err;

	for (;;) {
		err = ask_some(sampling->ask);
		if (err == -EAGAIN)
			return err;
		if (!err)
			err = take(sampling);
		if (err)
			return failed(sampling, err);
		if (sampling->has_metrics)
			break;
		err = ask_connections(sampling);
		if (err)
			return failed(sampling, err);
	}
	return 0;
}
