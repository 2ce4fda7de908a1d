/* SPDX-License-Identifier: MIT */
/*
 * Keys of session tickets: read or made on the main thread, used by handshakes on any thread.
 *
 * A ticket is a session in its client's keeping: name of the key, IV, AES-CBC, HMAC-SHA256 (RFC 5077, 4).
 *
 * Invariant: the first key encrypts, all decrypt; none leaves its memory uncleansed.
 */
#include "tls_keys.h"

#include "tls_error.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>
#include <pthread.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME_LEN 16
#define IV_LEN	 16
#define PART_MAX 32

/* Made keys: the one that encrypts, and the one before. */
#define NRANDOM 2

/* The two halves of a key are equally long. */
struct key {
	unsigned char name[NAME_LEN];
	unsigned char hmac[PART_MAX], aes[PART_MAX];
	size_t part_len; /* 16: AES-128, 32: AES-256 */
};

struct tls_ticket_keys {
	atomic_uint refs;
	pthread_rwlock_t lock; /* of what follows, which only tls_ticket_keys_rotate() changes */
	size_t n;
	struct key keys[];
};

static size_t size_of(size_t n)
{
	return sizeof(struct tls_ticket_keys) + n * sizeof(struct key);
}

static struct tls_ticket_keys *keys_create(size_t n)
{
	struct tls_ticket_keys *keys = OPENSSL_zalloc(size_of(n));

	if (!keys)
		return NULL;
	atomic_init(&keys->refs, 1);
	pthread_rwlock_init(&keys->lock, NULL);
	keys->n = n;
	return keys;
}

/* By the kernel: OpenSSL 3.0's RAND_bytes() crashes if memory was short when it was initialised. */
static int key_random(struct key *key)
{
	key->part_len = PART_MAX;
	/* Up to 256 bytes come whole (getrandom(2)). */
	return getrandom(key->name, NAME_LEN, 0) == NAME_LEN &&
			       getrandom(key->hmac, PART_MAX, 0) == PART_MAX &&
			       getrandom(key->aes, PART_MAX, 0) == PART_MAX
		       ? 0
		       : -EIO;
}

int tls_ticket_keys_random(struct tls_ticket_keys **keys, char *why)
{
	struct tls_ticket_keys *made = keys_create(NRANDOM);

	if (!made)
		return tls_why(why, -ENOMEM, "out of memory");
	/* The second has encrypted nothing yet, but no key is known to anyone. */
	for (size_t i = 0; i < NRANDOM; i++) {
		if (!key_random(&made->keys[i]))
			continue;
		tls_ticket_keys_put(made);
		return tls_why(why, -EIO, "cannot generate a ticket key");
	}
	*keys = made;
	return 0;
}

int tls_ticket_keys_rotate(struct tls_ticket_keys *keys)
{
	struct key fresh;
	int err = key_random(&fresh);

	if (!err) {
		pthread_rwlock_wrlock(&keys->lock);
		memmove(&keys->keys[1], &keys->keys[0], (keys->n - 1) * sizeof(fresh));
		keys->keys[0] = fresh;
		pthread_rwlock_unlock(&keys->lock);
	}
	OPENSSL_cleanse(&fresh, sizeof(fresh));
	return err;
}

/* --- files --- */

/* As nginx reads them: with 80 bytes the key of the HMAC comes first, with 48 that of AES. */
static bool key_decode(struct key *key, const unsigned char *data, size_t len)
{
	const unsigned char *half = data + NAME_LEN;

	if (len != TLS_TICKET_KEY_256 && len != TLS_TICKET_KEY_128)
		return false;
	key->part_len = (len - NAME_LEN) / 2;
	memcpy(key->name, data, NAME_LEN);
	memcpy(len == TLS_TICKET_KEY_256 ? key->hmac : key->aes, half, key->part_len);
	memcpy(len == TLS_TICKET_KEY_256 ? key->aes : key->hmac, half + key->part_len, key->part_len);
	return true;
}

void tls_ticket_keys_give(struct tls_ticket_keys *keys, unsigned char *data)
{
	assert(keys->n == NRANDOM);
	pthread_rwlock_rdlock(&keys->lock);
	for (size_t i = 0; i < NRANDOM; i++) {
		const struct key *key = &keys->keys[i];
		unsigned char *to = data + i * TLS_TICKET_KEY_256;

		memcpy(to, key->name, NAME_LEN);
		memcpy(to + NAME_LEN, key->hmac, PART_MAX);
		memcpy(to + NAME_LEN + PART_MAX, key->aes, PART_MAX);
	}
	pthread_rwlock_unlock(&keys->lock);
}

int tls_ticket_keys_take(struct tls_ticket_keys **keys, const unsigned char *data, char *why)
{
	struct tls_ticket_keys *made = keys_create(NRANDOM);

	if (!made)
		return tls_why(why, -ENOMEM, "out of memory");
	for (size_t i = 0; i < NRANDOM; i++)
		key_decode(&made->keys[i], data + i * TLS_TICKET_KEY_256, TLS_TICKET_KEY_256);
	*keys = made;
	return 0;
}

static int key_check(int fd, const char *file, char *why)
{
	struct stat st;

	if (fstat(fd, &st))
		return tls_why(why, -errno, "%s: %s", file, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return tls_why(why, -EINVAL, "%s: a ticket key must be a regular file", file);
	if (st.st_mode & (S_IWGRP | S_IRWXO))
		return tls_why(why, -EPERM,
			       "%s: a ticket key opens recorded sessions, but its mode %04o lets others "
			       "use it: chmod 600, or 640",
			       file, st.st_mode & 07777);
	return 0;
}

static int key_read(struct key *key, const char *file, char *why)
{
	unsigned char data[TLS_TICKET_KEY_256 + 1];
	/* O_NONBLOCK: a FIFO is refused rather than waited for. */
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t n;
	int err;

	if (fd < 0)
		return tls_why(why, -errno, "%s: cannot open the ticket key: %s", file, strerror(errno));
	err = key_check(fd, file, why);
	n = err ? 0 : read(fd, data, sizeof(data));
	if (n < 0)
		err = tls_why(why, -errno, "%s: cannot read the ticket key: %s", file, strerror(errno));
	else if (!err && !key_decode(key, data, (size_t)n))
		err = tls_why(why, -EINVAL,
			      "%s: a ticket key has 80 bytes, or 48 for AES-128: make one with openssl rand "
			      "-out FILE 80",
			      file);
	OPENSSL_cleanse(data, sizeof(data));
	close(fd);
	return err;
}

int tls_ticket_keys_load(struct tls_ticket_keys **keys, char *const *files, size_t n, char *why)
{
	struct tls_ticket_keys *made = keys_create(n);

	if (!made)
		return tls_why(why, -ENOMEM, "out of memory");
	for (size_t i = 0; i < n; i++) {
		int err = key_read(&made->keys[i], files[i], why);

		if (err) {
			tls_ticket_keys_put(made);
			return err;
		}
	}
	*keys = made;
	return 0;
}

/* --- handshakes --- */

static int key_use(const struct key *key, const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac,
		   int encrypt)
{
	const OSSL_PARAM params[] = {
		OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)(uintptr_t)key->hmac,
						  key->part_len),
		OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char[]){"SHA256"}, 0),
		OSSL_PARAM_construct_end(),
	};
	const EVP_CIPHER *aes = key->part_len == PART_MAX ? EVP_aes_256_cbc() : EVP_aes_128_cbc();

	return EVP_CipherInit_ex(cipher, aes, NULL, key->aes, iv, encrypt) == 1 &&
	       EVP_MAC_CTX_set_params(mac, params) == 1;
}

static const struct key *key_find(const struct tls_ticket_keys *keys, const unsigned char *name)
{
	for (size_t i = 0; i < keys->n; i++)
		if (CRYPTO_memcmp(keys->keys[i].name, name, NAME_LEN) == 0)
			return &keys->keys[i];
	return NULL;
}

/*
 * SSL_CTX_set_tlsext_ticket_key_evp_cb(3): -1 fails the handshake, 0 is no such key, 2 asks for a new
 * ticket.
 */
static int seal(struct tls_ticket_keys *keys, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		EVP_MAC_CTX *mac)
{
	memcpy(name, keys->keys[0].name, NAME_LEN);
	return RAND_bytes(iv, IV_LEN) == 1 && key_use(&keys->keys[0], iv, cipher, mac, 1) ? 1 : -1;
}

/* A new ticket replaces one of an older key, and in TLS 1.3 every one (RFC 8446, C.4). */
static int unseal(const struct tls_ticket_keys *keys, SSL *ssl, const unsigned char *name,
		  const unsigned char *iv, EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac)
{
	const struct key *key = key_find(keys, name);

	if (!key)
		return 0;
	if (!key_use(key, iv, cipher, mac, 0))
		return -1;
	return key != keys->keys || SSL_version(ssl) >= TLS1_3_VERSION ? 2 : 1;
}

static int on_ticket(SSL *ssl, unsigned char *name, unsigned char *iv, EVP_CIPHER_CTX *cipher,
		     EVP_MAC_CTX *mac, int encrypt)
{
	struct tls_ctx *ctx = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
	struct tls_ticket_keys *keys = ctx->ticket_keys;
	int ret;

	pthread_rwlock_rdlock(&keys->lock);
	ret = encrypt ? seal(keys, name, iv, cipher, mac) : unseal(keys, ssl, name, iv, cipher, mac);
	pthread_rwlock_unlock(&keys->lock);
	return ret;
}

int tls_keys_use(struct tls_ctx *ctx, struct tls_ticket_keys *keys)
{
	ctx->ticket_keys = tls_ticket_keys_get(keys);
	return SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx->ssl_ctx, on_ticket) == 1 ? 0 : -ENOMEM;
}

/* --- references --- */

struct tls_ticket_keys *tls_ticket_keys_get(struct tls_ticket_keys *keys)
{
	atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
	return keys;
}

void tls_ticket_keys_put(struct tls_ticket_keys *keys)
{
	if (!keys || atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel) != 1)
		return;
	pthread_rwlock_destroy(&keys->lock);
	OPENSSL_clear_free(keys, size_of(keys->n));
}
