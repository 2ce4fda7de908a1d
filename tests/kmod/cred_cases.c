/* SPDX-License-Identifier: MIT */
/*
 * Whose credentials an operation has. Two observables of the kernel's own: a write to a set-uid file clears
 * that bit unless the writer has CAP_FSETID, and rtnetlink refuses to change an interface unless the sender
 * has CAP_NET_ADMIN (netlink_capable(): sender and opener must both have it).
 */
#include "semantics.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define NOBODY_USER 1000

static void set_uid_bit(int file)
{
	SYS(fchmod(file, 04755));
}

static bool has_uid_bit(int file)
{
	struct stat st;

	SYS(fstat(file, &st));
	return st.st_mode & S_ISUID;
}

static void start_write(struct scene *s, struct op *op, int proxy)
{
	write_start(&s->ring, op, proxy, "x", 1);
}

static bool write_keeps_bit(struct scene *s, int file, int proxy)
{
	struct op op;

	start_write(s, &op, proxy);
	CHECK_EQ(await(&s->ring, &op), 1);
	return has_uid_bit(file);
}

TEST_CASE(file_write_has_the_submitters_credentials, ON(NONE), AS(CASE_BLOCK))
{
	int file = scratch_file(100), proxy = proxy_make(s, file);

	scene_ring(s, 4);
	set_uid_bit(file);
	CHECK(write_keeps_bit(s, file, proxy));
	act_as_user(NOBODY_USER);
	CHECK(!write_keeps_bit(s, file, proxy));
	act_as_user(0);
	set_uid_bit(file);
	CHECK(write_keeps_bit(s, file, proxy));
	act_as_user(NOBODY_USER);
	CHECK_EQ(pwrite(proxy, "x", 1, 0), 1); /* and so has what is passed to the file */
	act_as_user(0);
	CHECK(!has_uid_bit(file));
}

TEST_CASE(file_write_without_cred_has_the_helpers, ON(NONE), AS(CASE_BLOCK))
{
	int file = scratch_file(100);
	int proxy = wrap_state(file, s->policy, s->flags, TAIO_STATE_FILE & ~TAIO_STATE_CRED);
	uint64_t taken = counter_get("state_cred_taken");

	scene_ring(s, 4);
	set_uid_bit(file);
	act_as_user(NOBODY_USER);
	CHECK(write_keeps_bit(s, file, proxy));
	act_as_user(0);
	CHECK_EQ(counter_get("state_cred_taken"), taken);
}

/* What rtnetlink says to a request that changes nothing: 0 or -errno. */
static int netlink_answer(int sock)
{
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[512];
	} answer;

	CHECK(recv(sock, &answer, sizeof(answer), 0) >=
	      (ssize_t)(sizeof(answer.head) + sizeof(answer.error)));
	CHECK_EQ(answer.head.nlmsg_type, NLMSG_ERROR);
	return answer.error.error;
}

static int send_by_proxy(struct scene *s, int sock, int proxy)
{
	struct {
		struct nlmsghdr head;
		struct ifinfomsg info;
	} request = {
		.head = {.nlmsg_len = sizeof(request),
			 .nlmsg_type = RTM_SETLINK,
			 .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.info = {.ifi_index = (int)if_nametoindex("lo"), .ifi_flags = IFF_UP, .ifi_change = IFF_UP},
	};
	struct op op;

	write_start(&s->ring, &op, proxy, &request, sizeof(request));
	CHECK_EQ(await(&s->ring, &op), sizeof(request));
	return netlink_answer(sock);
}

TEST_CASE(message_has_the_submitters_credentials, ON(NONE))
{
	int sock = SYS(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
	int proxy = proxy_make(s, sock);

	scene_ring(s, 4);
	CHECK_EQ(send_by_proxy(s, sock, proxy), 0);
	act_as_user(NOBODY_USER);
	CHECK_EQ(send_by_proxy(s, sock, proxy), -EPERM);
	act_as_user(0);
	CHECK_EQ(send_by_proxy(s, sock, proxy), 0);
}

/* Submitted as root and carried out after root has become somebody else, and the other way round. */
TEST_CASE(credentials_are_those_of_the_submission, ON(NONE), AS(CASE_BLOCK))
{
	int kept = scratch_file(100), cleared = scratch_file(100);
	int kept_proxy = proxy_make(s, kept), cleared_proxy = proxy_make(s, cleared);
	struct op as_root, as_user;
	struct jam jam;

	scene_ring(s, 4);
	set_uid_bit(kept);
	set_uid_bit(cleared);
	jam_start(&jam);
	start_write(s, &as_root, kept_proxy);
	act_as_user(NOBODY_USER);
	start_write(s, &as_user, cleared_proxy);
	stay_quiet(&s->ring);
	act_as_user(0);
	CHECK(has_uid_bit(cleared));
	act_as_user(NOBODY_USER);
	jam_clear(&jam);
	CHECK_EQ(await(&s->ring, &as_root), 1);
	act_as_user(0);
	CHECK_EQ(await(&s->ring, &as_user), 1);
	CHECK(has_uid_bit(kept));
	CHECK(!has_uid_bit(cleared));
	jam_end(&jam);
}
