// SPDX-License-Identifier: GPL-2.0
/* /dev/taio: checks a TAIO_IOC_ATTACH request, makes the proxy and, last of all, publishes its descriptor. */
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/uaccess.h>

#include "dev.h"
#include "policies.h"
#include "proxy_file.h"
#include "uapi/taio.h"

#define FLAGS_KNOWN  (TAIO_ATTACH_INLINE | TAIO_ATTACH_STATE | TAIO_ATTACH_CLOEXEC | TAIO_ATTACH_COOP)
#define STATE_SHARED (TAIO_STATE_FS | TAIO_STATE_FILES)
#define STATE_KNOWN  (TAIO_STATE_FILE | STATE_SHARED)

static int request_check(const struct taio_ioc_attach *request)
{
	if (request->policy >= TAIO_NPOLICIES || request->flags & ~FLAGS_KNOWN || request->state & ~STATE_KNOWN ||
	    request->reserved[0] || request->reserved[1])
		return -EINVAL;
	if (request->state & STATE_SHARED || !policy_get(request->policy))
		return -EOPNOTSUPP;
	if (request->flags & TAIO_ATTACH_STATE)
		return request->state & TAIO_STATE_MM ? 0 : -EINVAL;
	return request->state ? -EINVAL : 0;
}

static long attach(const struct taio_ioc_attach *request)
{
	struct file *target, *file;
	int fd, ret;

	target = fget(request->fd);
	if (!target)
		return -EBADF;
	fd = get_unused_fd_flags(request->flags & TAIO_ATTACH_CLOEXEC ? O_CLOEXEC : 0);
	if (fd < 0) {
		ret = fd;
		goto put_target;
	}
	file = proxy_file_create(target, request);
	if (IS_ERR(file)) {
		ret = PTR_ERR(file);
		put_unused_fd(fd);
		goto put_target;
	}
	fd_install(fd, file);
	ret = fd;
put_target:
	fput(target);
	return ret;
}

static long dev_ioctl(struct file *file, unsigned int cmd, unsigned long arg)
{
	struct taio_ioc_attach request;
	int ret;

	if (cmd != TAIO_IOC_ATTACH)
		return -ENOTTY;
	if (copy_from_user(&request, (void __user *)arg, sizeof(request)))
		return -EFAULT;
	ret = request_check(&request);
	return ret ? ret : attach(&request);
}

static const struct file_operations dev_fops = {
	.owner = THIS_MODULE,
	.open = nonseekable_open,
	.unlocked_ioctl = dev_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
};

static struct miscdevice dev = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "taio",
	.fops = &dev_fops,
	.mode = 0660,
};

int dev_register(void)
{
	return misc_register(&dev);
}

void dev_deregister(void)
{
	misc_deregister(&dev);
}
