/* SPDX-License-Identifier: MIT */
/*
 * Whose credentials an operation has. An observable of the kernel's own: a write to a set-uid file clears
 * that bit unless the writer has CAP_FSETID. (No stream that a proxy may stand for asks for them on its own.)
 */
#include "semantics.h"

#include <errno.h>
#include <string.h>
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

TEST_CASE(file_write_has_the_submitters_credentials, ON(NONE), AS(CASE_BLOCK | CASE_WORKER))
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
