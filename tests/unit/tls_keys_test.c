/* SPDX-License-Identifier: MIT */
/* Ticket keys: what a file may hold, which contexts resume whose sessions, and rotation. */
#include "tls_link.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

static const char *write_key(const char *name, size_t len, mode_t mode)
{
	static unsigned char salt;
	unsigned char data[128];
	const char *file = path(name);
	int fd = open(file, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	salt++;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (unsigned char)(i * 7 + salt);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fchmod(fd, mode), 0);
	close(fd);
	return file;
}

static struct tls_ticket_keys *load(const char *first, const char *second)
{
	char *files[] = {(char *)(uintptr_t)first, (char *)(uintptr_t)second};
	struct tls_ticket_keys *keys;
	char why[TLS_WHY_LEN];

	if (tls_ticket_keys_load(&keys, files, second ? 2 : 1, why))
		fail_msg("%s", why);
	return keys;
}

static struct tls_ticket_keys *made(void)
{
	struct tls_ticket_keys *keys;

	assert_int_equal(tls_ticket_keys_random(&keys, NULL), 0);
	return keys;
}

/* The ticket that the client would use next. */
static size_t ticket_of(const struct tls *tls, unsigned char bytes[1024])
{
	const unsigned char *ticket;
	size_t len;

	SSL_SESSION_get0_ticket(tls->newest ? tls->newest : SSL_get0_session(tls->ssl), &ticket, &len);
	assert_true(len <= 1024);
	if (len)
		memcpy(bytes, ticket, len);
	return len;
}

/* A visit with the ticket in *ticket, if any, which it replaces by the one that it leaves with. Resumed? */
static bool visit(struct tls_ctx *client, struct tls_ctx *server, int version, struct tls_ticket **ticket,
		  bool *renewed)
{
	unsigned char plain[16], before[1024], after[1024];
	struct tls_info info;
	struct link link;
	size_t n, len = 0;

	link_open(&link, client, server, "localhost");
	cap_version(&link, version);
	if (*ticket) {
		assert_int_equal(tls_resume(link.tls[CLIENT], *ticket), 0);
		len = ticket_of(link.tls[CLIENT], before);
	}
	shake_ok(&link);
	assert_int_equal(call(&link, SERVER, OP_WRITE, "x", 1, &n), STEP_DONE);
	assert_int_equal(call(&link, CLIENT, OP_READ, plain, 16, &n), STEP_DONE);
	tls_info(link.tls[SERVER], &info);
	if (renewed)
		*renewed = ticket_of(link.tls[CLIENT], after) != len || memcmp(before, after, len) != 0;
	tls_ticket_free(*ticket);
	*ticket = tls_ticket_get(link.tls[CLIENT]);
	assert_non_null(*ticket);
	link_close(&link);
	return info.resumed;
}

/* Does @second resume what @first began? */
static bool resumes(struct tls_ctx *first, struct tls_ctx *second, int version)
{
	struct tls_ctx *client = client_ctx(NULL, NULL);
	struct tls_ticket *ticket = NULL;
	bool resumed;

	assert_false(visit(client, first, version, &ticket, NULL));
	resumed = visit(client, second, version, &ticket, NULL);
	tls_ticket_free(ticket);
	tls_ctx_put(client);
	return resumed;
}

static void contexts_with_the_same_keys_resume_each_others_sessions(void **state)
{
	struct tls_ticket_keys *keys = made(), *others = made();
	struct tls_ctx *one = server_ctx_with_keys("good", NULL, keys),
		       *two = server_ctx_with_keys("good", NULL, keys);
	struct tls_ctx *other = server_ctx_with_keys("good", NULL, others),
		       *own = server_ctx_with_keys("good", NULL, NULL);

	/* The contexts keep them. */
	tls_ticket_keys_put(keys);
	tls_ticket_keys_put(others);
	for (size_t v = 0; v < 2; v++) {
		assert_true(resumes(one, one, versions[v]));
		assert_true(resumes(one, two, versions[v]));
		assert_false(resumes(one, other, versions[v]));
		assert_false(resumes(own, one, versions[v]));
		assert_true(resumes(own, own, versions[v]));
	}
	tls_ctx_put(one);
	tls_ctx_put(two);
	tls_ctx_put(other);
	tls_ctx_put(own);
}

/* Otherwise a client could be led to another server than the one whose certificate it has checked. */
static void sessions_stay_with_the_names_and_protocols_that_began_them(void **state)
{
	struct tls_ticket_keys *keys = made();
	struct tls_ctx *good = server_ctx_with_keys("good", NULL, keys),
		       *renewed = server_ctx_with_keys("renewed", NULL, keys);
	struct tls_ctx *other = server_ctx_with_keys("other", NULL, keys),
		       *http = server_ctx_with_keys("good", "http/1.1", keys);

	for (size_t v = 0; v < 2; v++) {
		assert_true(resumes(good, renewed, versions[v]));
		assert_false(resumes(good, other, versions[v]));
		assert_false(resumes(good, http, versions[v]));
	}
	tls_ctx_put(good);
	tls_ctx_put(renewed);
	tls_ctx_put(other);
	tls_ctx_put(http);
	tls_ticket_keys_put(keys);
}

static void made_keys_decrypt_until_they_are_rotated_twice(void **state)
{
	for (size_t v = 0; v < 2; v++) {
		for (unsigned int turns = 0; turns <= 2; turns++) {
			struct tls_ctx *client = client_ctx(NULL, NULL);
			struct tls_ticket_keys *keys = made();
			struct tls_ctx *server = server_ctx_with_keys("good", NULL, keys);
			struct tls_ticket *ticket = NULL;

			assert_false(visit(client, server, versions[v], &ticket, NULL));
			for (unsigned int i = 0; i < turns; i++)
				assert_int_equal(tls_ticket_keys_rotate(keys), 0);
			assert_int_equal(visit(client, server, versions[v], &ticket, NULL), turns < 2);
			tls_ticket_free(ticket);
			tls_ctx_put(server);
			tls_ctx_put(client);
			tls_ticket_keys_put(keys);
		}
	}
}

/* The life of a client over a rotation: new first, old still there, old gone. Both sizes. */
static void the_first_key_encrypts_and_all_decrypt(void **state)
{
	static const size_t sizes[] = {TLS_TICKET_KEY_256, TLS_TICKET_KEY_128};

	for (size_t v = 0; v < 2; v++) {
		const char *a = write_key("a.key", sizes[v], 0600), *b = write_key("b.key", sizes[!v], 0440);
		struct tls_ticket_keys *old = load(a, NULL), *both = load(b, a), *fresh = load(b, NULL);
		struct tls_ctx *servers[] = {server_ctx_with_keys("good", NULL, old),
					     server_ctx_with_keys("good", NULL, both),
					     server_ctx_with_keys("good", NULL, fresh)};
		struct tls_ctx *client = client_ctx(NULL, NULL);
		struct tls_ticket *ticket = NULL, *kept = NULL;
		bool renewed;

		assert_false(visit(client, servers[0], versions[v], &ticket, NULL));
		assert_false(visit(client, servers[0], versions[v], &kept, NULL));
		assert_true(visit(client, servers[0], versions[v], &ticket, &renewed));
		assert_int_equal(renewed, versions[v] == TLS1_3_VERSION);
		assert_true(visit(client, servers[1], versions[v], &ticket, &renewed));
		assert_true(renewed);
		/* A ticket of the first key; the one that was not renewed is refused, without an error. */
		assert_true(visit(client, servers[2], versions[v], &ticket, NULL));
		assert_false(visit(client, servers[2], versions[v], &kept, NULL));
		tls_ticket_free(ticket);
		tls_ticket_free(kept);
		for (size_t i = 0; i < 3; i++)
			tls_ctx_put(servers[i]);
		tls_ctx_put(client);
		tls_ticket_keys_put(old);
		tls_ticket_keys_put(both);
		tls_ticket_keys_put(fresh);
	}
}

static void files_that_are_no_keys_are_refused_with_a_remedy(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		mode_t mode;
		int want;
		const char *says;
	} table[] = {
		{"empty", 0, 0600, -EINVAL, "openssl rand -out FILE 80"},
		{"short", 47, 0600, -EINVAL, "openssl rand -out FILE 80"},
		{"between", 79, 0600, -EINVAL, "openssl rand -out FILE 80"},
		{"long", 81, 0600, -EINVAL, "openssl rand -out FILE 80"},
		{"hex", 128, 0600, -EINVAL, "openssl rand -out FILE 80"},
		{"world", 80, 0644, -EPERM, "chmod 600"},
		{"others", 80, 0602, -EPERM, "chmod 600"},
		{"group", 80, 0660, -EPERM, "mode 0660"},
	};
	struct tls_ticket_keys *keys;
	char why[TLS_WHY_LEN];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		char *files[] = {(char *)(uintptr_t)write_key("good.ticket", 80, 0600),
				 (char *)(uintptr_t)write_key(table[i].name, table[i].len, table[i].mode)};

		assert_int_equal(tls_ticket_keys_load(&keys, files, 2, why), table[i].want);
		assert_int_equal(strncmp(why, files[1], strlen(files[1])), 0);
		if (!strstr(why, table[i].says))
			fail_msg("%s: %s", table[i].name, why);
	}
	assert_int_equal(tls_ticket_keys_load(&keys, (char *[]){"/does/not/exist"}, 1, why), -ENOENT);
	assert_string_equal(why, "/does/not/exist: cannot open the ticket key: No such file or directory");
	assert_int_equal(tls_ticket_keys_load(&keys, (char *[]){"/dev/urandom"}, 1, why), -EINVAL);
	assert_non_null(strstr(why, "regular file"));
	assert_int_equal(tls_ticket_keys_load(&keys, (char *[]){dir}, 1, why), -EINVAL);
}

static int make_pairs(void **state)
{
	make_material(state);
	make_pair("renewed", "taio.example");
	make_pair("other", "other.example");
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(contexts_with_the_same_keys_resume_each_others_sessions),
		cmocka_unit_test(sessions_stay_with_the_names_and_protocols_that_began_them),
		cmocka_unit_test(made_keys_decrypt_until_they_are_rotated_twice),
		cmocka_unit_test(the_first_key_encrypts_and_all_decrypt),
		cmocka_unit_test(files_that_are_no_keys_are_refused_with_a_remedy),
	};

	return cmocka_run_group_tests(tests, make_pairs, remove_material);
}
