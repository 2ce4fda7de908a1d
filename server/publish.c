/* SPDX-License-Identifier: MIT */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

int publish(const char *file, publish_fill *fill, void *arg)
{
	char *beside;
	FILE *to;
	int fd, ret;

	if (asprintf(&beside, "%s.XXXXXX", file) < 0)
		return -ENOMEM;
	fd = mkostemp(beside, O_CLOEXEC);
	if (fd < 0) {
		ret = -errno;
		goto free_name;
	}
	fchmod(fd, 0644);
	to = fdopen(fd, "w");
	if (!to) {
		ret = -errno;
		close(fd);
		goto remove;
	}
	ret = fill(to, arg);
	if (fclose(to) && !ret)
		ret = -errno;
	if (!ret && rename(beside, file) == 0)
		goto free_name;
	ret = ret ? ret : -errno;
remove:
	unlink(beside);
free_name:
	free(beside);
	return ret;
}
