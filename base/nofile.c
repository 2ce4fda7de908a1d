/* SPDX-License-Identifier: MIT */
#include "nofile.h"

#include <assert.h>
#include <sys/resource.h>

uint64_t nofile_raise(void)
{
	struct rlimit limit;
	rlim_t soft;
	int err = getrlimit(RLIMIT_NOFILE, &limit);

	assert(!err);
	soft = limit.rlim_cur;
	limit.rlim_cur = limit.rlim_max;
	if (soft != limit.rlim_max && setrlimit(RLIMIT_NOFILE, &limit) < 0)
		limit.rlim_cur = soft;
	return limit.rlim_cur == RLIM_INFINITY ? UINT64_MAX : limit.rlim_cur;
}
