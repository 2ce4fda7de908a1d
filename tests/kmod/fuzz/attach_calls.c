/* SPDX-License-Identifier: MIT */
/* The calls of kmod/uapi/taio.h, with arguments that it allows and such as it does not. */
#include "fuzz.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define FLAGS_KNOWN (TAIO_ATTACH_INLINE | TAIO_ATTACH_STATE | TAIO_ATTACH_CLOEXEC | TAIO_ATTACH_COOP)
#define STATE_KNOWN (TAIO_STATE_FILE | TAIO_STATE_FS | TAIO_STATE_FILES)

/* By the header: what is refused before the file is looked at, or 0. */
static int refusal(const struct taio_ioc_attach *attach)
{
	if (attach->policy >= TAIO_NPOLICIES || attach->flags & ~FLAGS_KNOWN ||
	    attach->state & ~STATE_KNOWN || attach->reserved[0] || attach->reserved[1])
		return -EINVAL;
	if (attach->state & (TAIO_STATE_FS | TAIO_STATE_FILES))
		return -EOPNOTSUPP;
	if (attach->flags & TAIO_ATTACH_STATE)
		return attach->state & TAIO_STATE_MM ? 0 : -EINVAL;
	return attach->state ? -EINVAL : 0;
}

static bool is_documented(int ret)
{
	switch (ret) {
	case -EBADF:
	case -EINVAL:
	case -EISDIR:
	case -ELOOP:
	case -EOPNOTSUPP:
	case -EPERM:
	case -EMFILE:
	case -ENFILE:
	case -ENOMEM:
	case -EFAULT:
		return true;
	}
	return ret >= 0;
}

static int attach_checked(const struct taio_ioc_attach *attach)
{
	int device = open(TAIO_DEVICE, O_RDWR | O_CLOEXEC), want = refusal(attach), ret;

	/* By now this thread's user may not be allowed to. */
	if (device < 0)
		return -errno;
	ret = ioctl(device, TAIO_IOC_ATTACH, attach);
	if (ret < 0)
		ret = -errno;
	close(device);
	/* Another thread may have closed the device's descriptor meanwhile, and opened something else. */
	if (ret == -ENOTTY || ret == -EBADF)
		return ret;
	if (!is_documented(ret))
		fail_at(HERE(), "TAIO_IOC_ATTACH: %d", ret);
	if (want && ret != want)
		fail_at(HERE(), "TAIO_IOC_ATTACH of policy %u flags %#x state %#x: %d instead of %d",
			attach->policy, attach->flags, attach->state, ret, want);
	if (ret >= 0)
		atomic_fetch_add(&shared->attached, 1);
	return ret;
}

int attach_valid(struct rng *rng, int fd)
{
	static const uint32_t states[] = {TAIO_STATE_STREAM, TAIO_STATE_FILE, TAIO_STATE_MM,
					  TAIO_STATE_STREAM | TAIO_STATE_IOCONTEXT,
					  TAIO_STATE_FILE & ~TAIO_STATE_CRED};
	struct taio_ioc_attach attach = {.fd = fd, .policy = rng_below(rng, TAIO_NPOLICIES)};

	if (rng_percent(rng, 50))
		attach.flags |= TAIO_ATTACH_INLINE;
	if (rng_percent(rng, 20))
		attach.flags |= TAIO_ATTACH_COOP;
	if (rng_percent(rng, 30))
		attach.flags |= TAIO_ATTACH_CLOEXEC;
	if (rng_percent(rng, 20)) {
		attach.flags |= TAIO_ATTACH_STATE;
		attach.state = rng_pick(rng, states);
	}
	return attach_checked(&attach);
}

CALL(attach, 12)
{
	proxy_put(&a->rng,
		  attach_valid(&a->rng, rng_percent(&a->rng, 92) ? raw_pick(&a->rng) : proxy_pick(&a->rng)));
}

static uint32_t bits_pick(struct rng *rng, uint32_t known)
{
	uint32_t bits = (uint32_t)rng_next(rng) & known;

	return rng_percent(rng, 25) ? bits | 1u << rng_below(rng, 32) : bits;
}

CALL(attach_odd, 3)
{
	struct taio_ioc_attach attach = {
		.fd = any_pick(&a->rng),
		.policy = rng_below(&a->rng, TAIO_NPOLICIES + 2),
		.flags = bits_pick(&a->rng, FLAGS_KNOWN),
		.state = bits_pick(&a->rng, STATE_KNOWN),
	};

	if (rng_percent(&a->rng, 10))
		attach.policy = (uint32_t)rng_next(&a->rng);
	if (rng_percent(&a->rng, 15))
		attach.reserved[rng_below(&a->rng, 2)] = rng_next(&a->rng);
	proxy_put(&a->rng, attach_checked(&attach));
}

/* The structure itself is memory that comes and goes. */
CALL(attach_torn, 1)
{
	size_t unused;
	int ret = ioctl(any_pick(&a->rng), TAIO_IOC_ATTACH, memory_pick(&a->rng, &unused));

	proxy_put(&a->rng, ret);
}

CALL(info, 4)
{
	struct taio_ioc_info info;

	if (ioctl(any_pick(&a->rng), TAIO_IOC_INFO, &info))
		return;
	if (info.policy >= TAIO_NPOLICIES || info.flags & ~FLAGS_KNOWN || info.state & ~STATE_KNOWN ||
	    !(info.state & TAIO_STATE_MM) || info.reserved[0] || info.reserved[1])
		fail_at(HERE(), "TAIO_IOC_INFO: policy %u flags %#x state %#x", info.policy, info.flags,
			info.state);
}

CALL(info_torn, 1)
{
	size_t unused;

	ioctl(any_pick(&a->rng), TAIO_IOC_INFO, memory_pick(&a->rng, &unused));
}

CALL(cancel_all, 5)
{
	int ret = ioctl(any_pick(&a->rng), TAIO_IOC_CANCEL, rng_next(&a->rng));

	if (ret > 0)
		atomic_fetch_add(&shared->cancels, (uint64_t)ret);
}

CALL(ioctl_odd, 2)
{
	static const unsigned long known[] = {FIONREAD, FIONBIO,  FIOASYNC, TCFLSH,
					      TIOCOUTQ, FIGETBSZ, FIOQSIZE};
	unsigned long cmd = rng_pick(&a->rng, known);
	int number = (int)rng_below(&a->rng, 2);

	if (rng_percent(&a->rng, 40))
		cmd = _IOC(rng_below(&a->rng, 4), 0xf7, 0x5e + rng_below(&a->rng, 8), rng_below(&a->rng, 64));
	ioctl(any_pick(&a->rng), cmd, &number);
}
