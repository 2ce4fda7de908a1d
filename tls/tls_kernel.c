/* SPDX-License-Identifier: MIT */
/*
 * Sessions that the kernel carries on (Documentation/networking/tls.rst): the keys of an established session,
 * and how many records each has protected, are given to the socket.
 *
 * OpenSSL gives away neither. The secrets of TLS 1.3 come by the key log, those of TLS 1.2 are made from the
 * master secret; the records are counted by the message callback, which sees each header.
 */
#include "tls_kernel.h"

#include "tls_error.h"

#include <errno.h>
#include <linux/tls.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define KEY_MAX	   32
#define IV_LEN	   12
#define RECORD_MAX (16 * 1024 + 256)

/* What is kept of a session that the kernel has. */
struct tls_kernel {
	const struct suite *suite;
	bool is_13;
	struct tls_secret secrets[2]; /* TLS 1.3: in, out */
};

struct suite {
	uint16_t id; /* IANA, without the first byte that OpenSSL puts before it */
	const char *digest;
	uint16_t cipher; /* TLS_CIPHER_... */
	uint8_t key_len, salt_len, iv_len;
};

static const struct suite suites[] = {
	{0x1301, "SHA256", TLS_CIPHER_AES_GCM_128, 16, 4, 8},
	{0x1302, "SHA384", TLS_CIPHER_AES_GCM_256, 32, 4, 8},
	{0x1303, "SHA256", TLS_CIPHER_CHACHA20_POLY1305, 32, 0, 12},
	{0xc02b, "SHA256", TLS_CIPHER_AES_GCM_128, 16, 4, 8},
	{0xc02f, "SHA256", TLS_CIPHER_AES_GCM_128, 16, 4, 8},
	{0xc02c, "SHA384", TLS_CIPHER_AES_GCM_256, 32, 4, 8},
	{0xc030, "SHA384", TLS_CIPHER_AES_GCM_256, 32, 4, 8},
	{0xcca8, "SHA256", TLS_CIPHER_CHACHA20_POLY1305, 32, 0, 12},
	{0xcca9, "SHA256", TLS_CIPHER_CHACHA20_POLY1305, 32, 0, 12},
};

static const struct suite *suite_of(SSL *ssl)
{
	uint16_t id = SSL_CIPHER_get_protocol_id(SSL_get_current_cipher(ssl));

	for (size_t i = 0; i < sizeof(suites) / sizeof(suites[0]); i++)
		if (suites[i].id == id)
			return &suites[i];
	return NULL;
}

/* --- what a session notes for it --- */

static int hex_digit(char c)
{
	return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static void take_secret(struct tls_secret *secret, const char *hex)
{
	size_t len = 0;

	for (; len < sizeof(secret->bytes) && hex_digit(hex[0]) >= 0 && hex_digit(hex[1]) >= 0; hex += 2)
		secret->bytes[len++] = (unsigned char)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
	secret->len = (uint8_t)len;
}

/* A line is LABEL, the client's random, the secret. */
void tls_kernel_note_secret(struct tls *tls, const char *line)
{
	static const struct {
		const char *label;
		bool of_client;
	} rows[] = {{"CLIENT_TRAFFIC_SECRET_0 ", true}, {"SERVER_TRAFFIC_SECRET_0 ", false}};

	for (size_t i = 0; i < 2; i++) {
		bool is_out = rows[i].of_client != tls->ctx->is_server;

		if (!strncmp(line, rows[i].label, strlen(rows[i].label)))
			take_secret(&tls->records[is_out].secret, strrchr(line, ' ') + 1);
	}
}

/*
 * Finished is the last message under the keys before (TLS 1.3), or the first one under those that stay
 * (TLS 1.2), and has a record of its own.
 */
void tls_kernel_note_message(int is_out, int version, int type, const void *data, size_t len, SSL *ssl,
			     void *arg)
{
	struct tls *tls = arg;
	int message = type == SSL3_RT_HANDSHAKE && len ? *(const unsigned char *)data : -1;

	if (type == SSL3_RT_HEADER)
		tls->records[is_out].count++;
	else if (message == SSL3_MT_FINISHED)
		tls->records[is_out].count = SSL_version(ssl) == TLS1_2_VERSION;
	else if (message == SSL3_MT_KEY_UPDATE)
		tls->is_rekeyed = true;
}

/* --- keys --- */

/* RFC 8446, 7.1, with an empty context. */
static int expand_label(const struct suite *suite, const struct tls_secret *secret, const char *label,
			void *out, size_t out_len)
{
	int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY, ret;
	unsigned char info[64];
	size_t label_len = strlen(label);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)suite->digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)secret->bytes, secret->len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info, 2 + 1 + 6 + label_len + 1),
		OSSL_PARAM_construct_end(),
	};

	info[0] = 0;
	info[1] = (unsigned char)out_len;
	info[2] = (unsigned char)(6 + label_len);
	memcpy(info + 3, "tls13 ", 6);
	memcpy(info + 9, label, label_len);
	info[9 + label_len] = 0;
	ret = ctx && EVP_KDF_derive(ctx, out, out_len, params) == 1 ? 0 : -ENOMEM;
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	return ret;
}

static int keys_13(const struct suite *suite, const struct tls_secret *secret, struct tls_record_key *key)
{
	int ret = secret->len ? expand_label(suite, secret, "key", key->key, suite->key_len) : -EOPNOTSUPP;

	return ret ? ret : expand_label(suite, secret, "iv", key->iv, IV_LEN);
}

/* RFC 5246, 6.3: the keys of client and server, then their IVs; AEAD has no MAC keys. */
static int keys_12(const struct suite *suite, SSL *ssl, bool of_client, struct tls_record_key *key)
{
	unsigned char master[SSL_MAX_MASTER_KEY_LENGTH], seed[13 + 2 * SSL3_RANDOM_SIZE],
		block[2 * (KEY_MAX + IV_LEN)];
	size_t master_len = SSL_SESSION_get_master_key(SSL_get_session(ssl), master, sizeof(master));
	size_t iv_len = suite->salt_len ? suite->salt_len : IV_LEN, len = 2 * (suite->key_len + iv_len);
	EVP_KDF *kdf = EVP_KDF_fetch(NULL, "TLS1-PRF", NULL);
	EVP_KDF_CTX *ctx = kdf ? EVP_KDF_CTX_new(kdf) : NULL;
	OSSL_PARAM params[] = {
		OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)suite->digest, 0),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SECRET, master, master_len),
		OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SEED, seed, sizeof(seed)),
		OSSL_PARAM_construct_end(),
	};
	int ret;

	memcpy(seed, "key expansion", 13);
	SSL_get_server_random(ssl, seed + 13, SSL3_RANDOM_SIZE);
	SSL_get_client_random(ssl, seed + 13 + SSL3_RANDOM_SIZE, SSL3_RANDOM_SIZE);
	ret = ctx && EVP_KDF_derive(ctx, block, len, params) == 1 ? 0 : -ENOMEM;
	if (!ret) {
		memcpy(key->key, block + (of_client ? 0 : suite->key_len), suite->key_len);
		memcpy(key->iv, block + 2 * suite->key_len + (of_client ? 0 : iv_len), iv_len);
	}
	EVP_KDF_CTX_free(ctx);
	EVP_KDF_free(kdf);
	OPENSSL_cleanse(master, sizeof(master));
	OPENSSL_cleanse(block, sizeof(block));
	return ret;
}

/* GCM of TLS 1.2 sends half of its nonce with each record: any that never repeats, and the number of the
 * record does not. */
static void number_nonce(const struct suite *suite, struct tls_record_key *key)
{
	if (suite->salt_len)
		memcpy(key->iv + suite->salt_len, key->seq, sizeof(key->seq));
}

int tls_kernel_key(struct tls *tls, bool is_out, struct tls_record_key *key)
{
	const struct suite *suite = suite_of(tls->ssl);
	uint64_t count = tls->records[is_out].count;
	int ret;

	if (!suite || tls->is_rekeyed)
		return -EOPNOTSUPP;
	memset(key, 0, sizeof(*key));
	for (int i = 7; i >= 0; i--, count >>= 8)
		key->seq[i] = (unsigned char)count;
	if (SSL_version(tls->ssl) == TLS1_3_VERSION)
		return keys_13(suite, &tls->records[is_out].secret, key);
	ret = keys_12(suite, tls->ssl, is_out != tls->ctx->is_server, key);
	if (!ret)
		number_nonce(suite, key);
	return ret;
}

/* --- the socket --- */

union crypto_info {
	struct tls_crypto_info info;
	struct tls12_crypto_info_aes_gcm_128 aes_128;
	struct tls12_crypto_info_aes_gcm_256 aes_256;
	struct tls12_crypto_info_chacha20_poly1305 chacha20;
};

/* Of each cipher the same comes in the same order, by the lengths of its suite: what set_key() writes. */
#define CRYPTO_IS(type, key_len, salt_len, iv_len)                                                           \
	(sizeof(struct type) == sizeof(struct tls_crypto_info) + (iv_len) + (key_len) + (salt_len) + 8 &&    \
	 offsetof(struct type, iv) < offsetof(struct type, key) &&                                           \
	 offsetof(struct type, key) < offsetof(struct type, salt) &&                                         \
	 offsetof(struct type, salt) <= offsetof(struct type, rec_seq))
_Static_assert(CRYPTO_IS(tls12_crypto_info_aes_gcm_128, 16, 4, 8) &&
		       CRYPTO_IS(tls12_crypto_info_aes_gcm_256, 32, 4, 8) &&
		       CRYPTO_IS(tls12_crypto_info_chacha20_poly1305, 32, 0, 12),
	       "iv, key, salt, number");

static int set_key(int fd, const struct suite *suite, bool is_13, bool is_out,
		   const struct tls_record_key *key)
{
	union crypto_info crypto = {
		.info = {.version = is_13 ? TLS_1_3_VERSION : TLS_1_2_VERSION, .cipher_type = suite->cipher}};
	unsigned char *start = (unsigned char *)&crypto, *end = start + sizeof(crypto.info);
	int ret;

	end = mempcpy(end, key->iv + suite->salt_len, suite->iv_len);
	end = mempcpy(end, key->key, suite->key_len);
	end = mempcpy(end, key->iv, suite->salt_len);
	end = mempcpy(end, key->seq, sizeof(key->seq));
	ret = setsockopt(fd, SOL_TLS, is_out ? TLS_TX : TLS_RX, start, (socklen_t)(end - start));
	if (ret)
		ret = -errno;
	OPENSSL_cleanse(&crypto, sizeof(crypto));
	return ret;
}

/* A connection of this process with itself. */
static int connect_loopback(int fds[2])
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), ret = -EIO;
	socklen_t len = sizeof(addr);

	fds[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	fds[1] = -1;
	if (listener < 0 || fds[0] < 0 || bind(listener, (struct sockaddr *)&addr, len) ||
	    listen(listener, 1) || getsockname(listener, (struct sockaddr *)&addr, &len) ||
	    connect(fds[0], (struct sockaddr *)&addr, len))
		goto close_listener;
	fds[1] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ret = fds[1] < 0 ? -errno : 0;
close_listener:
	close(listener);
	return ret;
}

static pthread_once_t rekeys_once = PTHREAD_ONCE_INIT;
static bool rekeys;

/* Whether a second key is taken after the first: since Linux 6.14. */
static void find_out_rekeys(void)
{
	const struct tls_record_key key = {0};
	int fds[2];

	if (!connect_loopback(fds) && !setsockopt(fds[0], IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls")) &&
	    !set_key(fds[0], &suites[0], true, true, &key))
		rekeys = !set_key(fds[0], &suites[0], true, true, &key);
	close(fds[0]);
	close(fds[1]);
}

static bool kernel_rekeys(void)
{
	pthread_once(&rekeys_once, find_out_rekeys);
	return rekeys;
}

/* The module is not there. Each try of root's would look for it on the disk (request_module()). */
static atomic_bool is_missing;

void tls_kernel_look_again(void)
{
	atomic_store_explicit(&is_missing, false, memory_order_relaxed);
}

static int start(struct tls *tls, int fd, struct tls_kernel *kernel)
{
	struct tls_record_key keys[2];
	int ret;

	if (atomic_load_explicit(&is_missing, memory_order_relaxed))
		return -EOPNOTSUPP;
	if (setsockopt(fd, IPPROTO_TCP, TCP_ULP, "tls", sizeof("tls"))) {
		if (errno == ENOENT)
			atomic_store_explicit(&is_missing, true, memory_order_relaxed);
		return -EOPNOTSUPP;
	}
	/* From here to the first key nothing has changed: without keys, what the socket carries is left
	 * alone. */
	ret = tls_kernel_key(tls, false, &keys[0]);
	if (!ret)
		ret = tls_kernel_key(tls, true, &keys[1]);
	if (!ret && set_key(fd, kernel->suite, kernel->is_13, false, &keys[0]))
		ret = -EOPNOTSUPP;
	/* The other half has changed by now. */
	if (!ret && set_key(fd, kernel->suite, kernel->is_13, true, &keys[1]))
		ret = -EIO;
	OPENSSL_cleanse(keys, sizeof(keys));
	return ret;
}

int tls_kernel_start(struct tls_kernel **kernel, struct tls *tls, int fd)
{
	const struct suite *suite = suite_of(tls->ssl);
	struct tls_kernel *made;
	int ret;

	if (!suite || tls->ctx->kernel == TLS_KERNEL_NO || tls->failed || tls->closed)
		return -EOPNOTSUPP;
	if (tls->ctx->kernel == TLS_KERNEL_AUTO && SSL_version(tls->ssl) == TLS1_3_VERSION &&
	    !kernel_rekeys())
		return -EOPNOTSUPP;
	made = calloc(1, sizeof(*made));
	if (!made)
		return -ENOMEM;
	made->suite = suite;
	made->is_13 = SSL_version(tls->ssl) == TLS1_3_VERSION;
	made->secrets[0] = tls->records[0].secret;
	made->secrets[1] = tls->records[1].secret;
	ret = start(tls, fd, made);
	ERR_clear_error();
	if (ret) {
		tls_kernel_free(made);
		return ret;
	}
	*kernel = made;
	return 0;
}

void tls_kernel_free(struct tls_kernel *kernel)
{
	if (!kernel)
		return;
	OPENSSL_cleanse(kernel, sizeof(*kernel));
	free(kernel);
}

/* --- records that are not data --- */

static int send_record(int fd, unsigned char type, const void *data, size_t len)
{
	union {
		char buf[CMSG_SPACE(sizeof(type))];
		struct cmsghdr align;
	} control = {0};
	struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = len};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	struct cmsghdr *cmsg = CMSG_FIRSTHDR(&msg);

	cmsg->cmsg_level = SOL_TLS;
	cmsg->cmsg_type = TLS_SET_RECORD_TYPE;
	cmsg->cmsg_len = CMSG_LEN(sizeof(type));
	*CMSG_DATA(cmsg) = type;
	msg.msg_controllen = cmsg->cmsg_len;
	return sendmsg(fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int tls_kernel_shutdown(int fd)
{
	static const unsigned char close_notify[] = {SSL3_AL_WARNING, SSL3_AD_CLOSE_NOTIFY};

	return send_record(fd, SSL3_RT_ALERT, close_notify, sizeof(close_notify));
}

/* The type of the record that is next, and *len bytes of it; or -errno. */
static int receive_record(int fd, unsigned char *data, size_t cap, size_t *len)
{
	union {
		char buf[CMSG_SPACE(sizeof(unsigned char))];
		struct cmsghdr align;
	} control;
	struct iovec iov = {.iov_base = data, .iov_len = cap};
	struct msghdr msg = {
		.msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
	ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT);
	struct cmsghdr *cmsg;

	if (n < 0)
		return -errno;
	*len = (size_t)n;
	cmsg = CMSG_FIRSTHDR(&msg);
	if (!cmsg || cmsg->cmsg_level != SOL_TLS || cmsg->cmsg_type != TLS_GET_RECORD_TYPE)
		return SSL3_RT_APPLICATION_DATA;
	return *CMSG_DATA(cmsg);
}

/* RFC 8446, 7.2. The next key begins at record 0. */
static int next_key(struct tls_kernel *kernel, bool is_out, struct tls_record_key *key)
{
	struct tls_secret *secret = &kernel->secrets[is_out], next = {.len = secret->len};
	int ret = expand_label(kernel->suite, secret, "traffic upd", next.bytes, next.len);

	if (ret)
		return ret;
	*secret = next;
	OPENSSL_cleanse(&next, sizeof(next));
	memset(key, 0, sizeof(*key));
	return keys_13(kernel->suite, secret, key);
}

static int rekey(struct tls_kernel *kernel, int fd, bool is_out)
{
	struct tls_record_key key;
	int ret = next_key(kernel, is_out, &key);

	if (!ret)
		ret = set_key(fd, kernel->suite, true, is_out, &key);
	OPENSSL_cleanse(&key, sizeof(key));
	return ret;
}

/* RFC 8446, 4.6.3. Kernels before 6.14 keep their keys. */
static enum step update_keys(struct tls_kernel *kernel, int fd, bool is_asked, const char **why)
{
	static const unsigned char update[] = {SSL3_MT_KEY_UPDATE, 0, 0, 1, SSL_KEY_UPDATE_NOT_REQUESTED};

	*why = "the kernel cannot change the keys of a session";
	if (rekey(kernel, fd, false))
		return STEP_FAILED;
	if (is_asked &&
	    (send_record(fd, SSL3_RT_HANDSHAKE, update, sizeof(update)) || rekey(kernel, fd, true)))
		return STEP_FAILED;
	return STEP_MORE;
}

/* Messages of a handshake that is over: each in a record of its own, as a rule. */
static enum step handshake_record(struct tls_kernel *kernel, int fd, const unsigned char *data, size_t len,
				  const char **why)
{
	*why = "an unexpected message";
	if (!kernel->is_13 || len < 4)
		return STEP_FAILED;
	if (data[0] == SSL3_MT_NEWSESSION_TICKET) /* not kept */
		return STEP_MORE;
	if (data[0] == SSL3_MT_KEY_UPDATE && len == 5 && data[4] <= SSL_KEY_UPDATE_REQUESTED)
		return update_keys(kernel, fd, data[4] == SSL_KEY_UPDATE_REQUESTED, why);
	return STEP_FAILED;
}

static enum step alert_record(const unsigned char *data, size_t len, const char **why)
{
	if (len == 2 && data[1] == SSL3_AD_CLOSE_NOTIFY)
		return STEP_CLOSED;
	if (len == 2 && data[1] == SSL_AD_USER_CANCELLED) /* close_notify follows (RFC 8446, 6.1) */
		return STEP_MORE;
	*why = len == 2 ? SSL_alert_desc_string_long(data[1]) : "a malformed alert";
	return STEP_FAILED;
}

enum step tls_kernel_record(struct tls_kernel *kernel, int fd, const char **why)
{
	unsigned char data[RECORD_MAX];
	size_t len = 0;
	int type = receive_record(fd, data, sizeof(data), &len);

	switch (type) {
	case SSL3_RT_ALERT:
		return alert_record(data, len, why);
	case SSL3_RT_HANDSHAKE:
		return handshake_record(kernel, fd, data, len, why);
	case -EAGAIN:
		return STEP_MORE;
	default:
		*why = type < 0 ? strerror(-type) : "an unexpected record";
		return STEP_FAILED;
	}
}
