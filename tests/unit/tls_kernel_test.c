/* SPDX-License-Identifier: MIT */
/*
 * What is given to the kernel, without a kernel that takes it: with the keys, nonces and record numbers of a
 * session the test decrypts what the session writes next, and encrypts what it reads next, as net/tls does.
 */
#include "tls_link.h"

#include "tls/tls_kernel.h"

#include <errno.h>
#include <openssl/evp.h>
#include <sys/socket.h>

#define TAG 16

static const struct {
	const char *name; /* of OpenSSL */
	int version;
	const EVP_CIPHER *(*cipher)(void);
	size_t salt; /* bytes of the nonce that no record has with it; 0: all */
} suites[] = {
	{"TLS_AES_128_GCM_SHA256", TLS1_3_VERSION, EVP_aes_128_gcm, 0},
	{"TLS_AES_256_GCM_SHA384", TLS1_3_VERSION, EVP_aes_256_gcm, 0},
	{"TLS_CHACHA20_POLY1305_SHA256", TLS1_3_VERSION, EVP_chacha20_poly1305, 0},
	{"ECDHE-ECDSA-AES128-GCM-SHA256", TLS1_2_VERSION, EVP_aes_128_gcm, 4},
	{"ECDHE-ECDSA-AES256-GCM-SHA384", TLS1_2_VERSION, EVP_aes_256_gcm, 4},
	{"ECDHE-ECDSA-CHACHA20-POLY1305", TLS1_2_VERSION, EVP_chacha20_poly1305, 0},
};

#define NSUITES (sizeof(suites) / sizeof(suites[0]))

static void link_with(struct link *link, size_t i, enum tls_kernel_use kernel)
{
	struct tls_server_params server_params = {
		.cert_file = path("good.crt"), .key_file = path("good.key"), .kernel = kernel};
	struct tls_client_params client_params = {.insecure = true, .kernel = kernel};
	struct tls_ctx *server, *client;
	char why[TLS_WHY_LEN];

	if (tls_ctx_server(&server, &server_params, why) || tls_ctx_client(&client, &client_params, why))
		fail_msg("%s", why);
	link_open(link, client, server, "localhost");
	tls_ctx_put(server);
	tls_ctx_put(client);
	cap_version(link, suites[i].version);
	if (suites[i].version == TLS1_3_VERSION)
		assert_int_equal(SSL_set_ciphersuites(link->tls[CLIENT]->ssl, suites[i].name), 1);
	else
		assert_int_equal(SSL_set_cipher_list(link->tls[CLIENT]->ssl, suites[i].name), 1);
	shake_ok(link);
}

static void nonce_of(const struct tls_record_key *key, unsigned char nonce[12])
{
	memcpy(nonce, key->iv, 12);
	for (int i = 0; i < 8; i++)
		nonce[4 + i] ^= key->seq[i];
}

/* Opens the record at the head of @wire, to @plain; returns its length. The type must be data's. */
static size_t open_record(struct wire *wire, size_t i, const struct tls_record_key *key, unsigned char *plain)
{
	bool is_13 = suites[i].version == TLS1_3_VERSION;
	const unsigned char *record = wire->data + wire->begin;
	size_t len = (size_t)record[3] << 8 | record[4], explicit = suites[i].salt ? 8 : 0;
	size_t n = len - explicit - TAG;
	unsigned char nonce[12], aad[13];
	EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
	int out;

	nonce_of(key, nonce);
	if (suites[i].salt) {
		memcpy(nonce, key->iv, 4);
		memcpy(nonce + 4, record + 5, 8);
	}
	memcpy(aad, key->seq, 8);
	memcpy(aad + 8, record, 3);
	aad[11] = (unsigned char)(n >> 8);
	aad[12] = (unsigned char)n;
	assert_int_equal(record[0], SSL3_RT_APPLICATION_DATA);
	assert_int_equal(EVP_DecryptInit_ex(ctx, suites[i].cipher(), NULL, key->key, nonce), 1);
	assert_int_equal(
		EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_AEAD_SET_TAG, TAG, (void *)(record + 5 + len - TAG)), 1);
	assert_int_equal(EVP_DecryptUpdate(ctx, NULL, &out, is_13 ? record : aad, is_13 ? 5 : 13), 1);
	assert_int_equal(EVP_DecryptUpdate(ctx, plain, &out, record + 5 + explicit, (int)n), 1);
	assert_int_equal(EVP_DecryptFinal_ex(ctx, plain + out, &out), 1);
	EVP_CIPHER_CTX_free(ctx);
	wire->begin += 5 + len;
	if (!is_13)
		return n;
	assert_int_equal(plain[n - 1], SSL3_RT_APPLICATION_DATA);
	return n - 1;
}

/* A few records in both directions, so that their numbers are not those of the start. */
static void talk(struct link *link, unsigned int nrecords)
{
	unsigned char plain[64];
	size_t n;

	for (unsigned int i = 0; i < nrecords; i++) {
		for (enum side side = CLIENT; side <= SERVER; side++) {
			assert_int_equal(call(link, side, OP_WRITE, "hello", 5, &n), STEP_DONE);
			assert_int_equal(call(link, !side, OP_READ, plain, sizeof(plain), &n), STEP_DONE);
		}
	}
}

static void its_keys_open_what_is_sent_next(void **state)
{
	for (size_t i = 0; i < NSUITES; i++) {
		for (unsigned int nrecords = 0; nrecords < 4; nrecords++) {
			struct tls_record_key out, in;
			unsigned char plain[64];
			struct link link;
			size_t n;

			link_with(&link, i, TLS_KERNEL_YES);
			/* The client of TLS 1.3 has yet to read a ticket. */
			call(&link, CLIENT, OP_READ, plain, sizeof(plain), &n);
			talk(&link, nrecords);
			for (enum side side = CLIENT; side <= SERVER; side++) {
				assert_int_equal(tls_kernel_key(link.tls[side], true, &out), 0);
				assert_int_equal(tls_kernel_key(link.tls[!side], false, &in), 0);
				assert_memory_equal(out.key, in.key, sizeof(out.key));
				assert_memory_equal(out.seq, in.seq, sizeof(out.seq));
				assert_int_equal(call(&link, side, OP_WRITE, "secret", 6, &n), STEP_DONE);
				assert_int_equal(open_record(&link.to[!side], i, &in, plain), 6);
				assert_memory_equal(plain, "secret", 6);
			}
			link_close(&link);
		}
	}
}

static void without_the_switch_or_after_a_key_update_nothing_is_given(void **state)
{
	struct tls_kernel *kernel = NULL;
	struct tls_record_key key;
	unsigned char plain[64];
	struct link link;
	int fds[2];
	size_t n;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	link_with(&link, 0, TLS_KERNEL_NO);
	assert_int_equal(tls_kernel_start(&kernel, link.tls[SERVER], fds[0]), -EOPNOTSUPP);
	link_close(&link);
	link_with(&link, 0, TLS_KERNEL_YES);
	assert_int_equal(SSL_key_update(link.tls[CLIENT]->ssl, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
	talk(&link, 1);
	assert_int_equal(tls_kernel_key(link.tls[SERVER], false, &key), -EOPNOTSUPP);
	link_close(&link);
	/* No TCP socket: nothing has changed, and the session goes on. */
	link_with(&link, 0, TLS_KERNEL_YES);
	assert_int_equal(tls_kernel_start(&kernel, link.tls[SERVER], fds[0]), -EOPNOTSUPP);
	assert_null(kernel);
	assert_int_equal(call(&link, SERVER, OP_WRITE, "x", 1, &n), STEP_DONE);
	assert_int_equal(call(&link, CLIENT, OP_READ, plain, sizeof(plain), &n), STEP_DONE);
	link_close(&link);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(its_keys_open_what_is_sent_next),
		cmocka_unit_test(without_the_switch_or_after_a_key_update_nothing_is_given),
	};

	return cmocka_run_group_tests(tests, make_material, remove_material);
}
