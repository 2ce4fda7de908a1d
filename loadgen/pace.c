/* SPDX-License-Identifier: MIT */
/* The schedule of the open loop. */
#include "pace.h"

void pace_start(struct pace *pace, unsigned int rate, uint64_t start_ns)
{
	*pace = (struct pace){.start_ns = start_ns, .rate = rate, .next_ns = start_ns};
}

uint64_t pace_take(struct pace *pace)
{
	uint64_t planned_ns = pace->next_ns;

	pace->count++;
	if (pace->rate)
		pace->next_ns = pace->start_ns + pace->count / pace->rate * NS_PER_SEC +
				pace->count % pace->rate * NS_PER_SEC / pace->rate;
	return planned_ns;
}
