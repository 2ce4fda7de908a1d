/* SPDX-License-Identifier: MIT */
/*
 * Writes the latency distribution in milliseconds in HdrHistogram's text format, which its plotter reads:
 * five steps each time the distance to 100 % halves.
 */
#include "hgrm.h"

#include "run.h"

#include <errno.h>
#include <math.h>
#include <string.h>

#define STEPS 5

static void write_row(FILE *to, const struct hist *hist, double percent)
{
	double value_ms = (double)hist_percentile(hist, percent) / NS_PER_MS;
	double below = ceil((double)hist->count * percent / 100);

	fprintf(to, "%12.6f %14.12f %10.0f", value_ms, percent / 100, below);
	if (percent < 100)
		fprintf(to, " %14.2f", 1 / (1 - percent / 100));
	fputc('\n', to);
}

static void write_rows(FILE *to, const struct hist *hist)
{
	double percent = 0, half = 50;

	/*
	 * Once fewer than one value remains above the percentile, every further row would show the maximum.
	 */
	while (hist->count && (100 - percent) / 100 * (double)hist->count >= 1) {
		for (int i = 0; i < STEPS; i++)
			write_row(to, hist, percent + half * i / STEPS);
		percent += half;
		half /= 2;
	}
	write_row(to, hist, 100);
}

int hgrm_write(const struct run *run, const char *file, char *why)
{
	const struct hist *hist = &run->stats.latency;
	FILE *to = fopen(file, "we");
	int err = 0;

	if (!to) {
		err = -errno;
		goto out;
	}
	fprintf(to, "%12s %14s %10s %14s\n\n", "Value", "Percentile", "TotalCount", "1/(1-Percentile)");
	write_rows(to, hist);
	fprintf(to, "#[Mean    = %12.3f, Max = %12.3f]\n", hist_mean(hist) / NS_PER_MS,
		(double)hist->max / NS_PER_MS);
	fprintf(to, "#[Total count = %llu]\n", (unsigned long long)hist->count);
	if (ferror(to))
		err = -EIO;
	if (fclose(to) && !err)
		err = -errno;
out:
	if (err)
		snprintf(why, WHY_LEN, "--hgrm %.200s: %s", file, strerror(-err));
	return err;
}
