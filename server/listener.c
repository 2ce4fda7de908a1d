/* SPDX-License-Identifier: MIT */
#include "listener.h"

#include "services.h"
#include "settings.h"
#include "sockets.h"
#include "tls/tls.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX    32
#define KEYS_MAX     128
#define SERVICES_MAX 16

#define FIELD(name) offsetof(struct listener, name)

// clang-format off
static const struct opt own_rows[] = {
	{ .name = "max-connections", .type = OPT_UINT, .offset = FIELD(limits.max_connections), .arg = "N",
	  .max = 1 << 19,
	  .help = "Maximum connections of this listener, divided evenly among workers; 0 means only the general "
		  "maximum, which holds in any case." },
	{ 0 }
};

/* The rest is of no use without the first. */
static const struct opt tls_rows[] = {
	{ .name = "tls", .type = OPT_BOOL, .offset = FIELD(tls), .deflt = "no", .help = "Use of TLS." },
	{ .name = "cert", .type = OPT_STRING, .offset = FIELD(cert), .arg = "FILE",
	  .help = "Certificate chain (PEM), instead of the general one." },
	{ .name = "key", .type = OPT_STRING, .offset = FIELD(key), .arg = "FILE",
	  .help = "Private key (PEM) of that certificate." },
	{ .name = "cert-dir", .type = OPT_STRING, .offset = FIELD(cert_dir), .arg = "DIR",
	  .help = "Directory of certificates (PEM) to choose from by name, instead of the general one." },
	{ .name = "client-ca", .type = OPT_STRING, .offset = FIELD(client_ca), .arg = "FILE",
	  .help = "Certificates (PEM) of the authorities that must have signed those of clients." },
	{ .name = "client-crl", .type = OPT_STRING, .offset = FIELD(client_crl), .arg = "FILE",
	  .help = "Revocation lists (PEM) of these authorities." },
	{ .name = "client-verify", .type = OPT_STRING, .offset = FIELD(client_verify), .arg = "off|optional|required",
	  .check = listener_check_verify,
	  .help = "Whether a client must have a certificate." },
	{ .name = "tls-min-version", .type = OPT_STRING, .offset = FIELD(tls_min), .arg = "1.2|1.3",
	  .check = listener_check_tls_version,
	  .help = "Oldest TLS version to accept." },
	{ .name = "tls-ciphers", .type = OPT_STRING, .offset = FIELD(tls_ciphers), .arg = "LIST", .check = tls_check_ciphers,
	  .help = "Ciphers of TLS 1.2." },
	{ .name = "tls-ciphersuites", .type = OPT_STRING, .offset = FIELD(tls_ciphersuites), .arg = "LIST",
	  .check = tls_check_ciphersuites,
	  .help = "Cipher suites of TLS 1.3." },
	{ .name = "tls-groups", .type = OPT_STRING, .offset = FIELD(tls_groups), .arg = "LIST", .check = tls_check_groups,
	  .help = "Groups of key exchange." },
	{ 0 }
};

const struct opt listener_words[] = {
	{ .name = "accept-proxy", .type = OPT_LIST, .offset = FIELD(proxies), .arg = "NETWORK", .check = network_check,
	  .help = "Network (an address, ADDRESS/BITS or unix) whose connections begin with a PROXY protocol header; "
		  "repeatable." },
	{ .name = "accept-rate", .type = OPT_UINT, .offset = FIELD(accept_rate), .arg = "N", .max = 1 << 30,
	  .help = "Number of connections to accept a second; those that come faster wait in the backlog." },
	{ .name = "access-log", .type = OPT_BOOL, .offset = FIELD(access_log), .deflt = "yes",
	  .help = "Lines in the access log, if there is one; access-log=no leaves them out." },
	{ 0 }
};
// clang-format on

/* --- the table of all keys --- */

struct opt listener_keys[KEYS_MAX];

static bool has_key(const struct opt *rows, const char *name)
{
	for (; rows && rows->name; rows++)
		if (!strcmp(rows->name, name))
			return true;
	return false;
}

/* @section is that of the first row; a name that two services have is there once. */
static struct opt *add_keys(struct opt *next, const struct opt *rows, const char *section)
{
	for (; rows && rows->name; rows++) {
		if (has_key(listener_keys, rows->name))
			continue;
		assert(next < &listener_keys[KEYS_MAX - 1]);
		*next = *rows;
		next++->section = section;
		section = NULL;
	}
	return next;
}

void listener_init(void)
{
	static char names[256], sections[SERVICES_MAX][32];
	static struct opt service_key[] = {
		{.name = "service", .type = OPT_STRING, .arg = "NAME", .help = names}, {0}};
	struct opt *next = listener_keys;
	int len = snprintf(names, sizeof(names), "Service:");

	for (unsigned int i = 0; services[i]; i++)
		len += snprintf(names + len, sizeof(names) - (size_t)len, "%s %s", i ? "," : "",
				services[i]->name);
	snprintf(names + len, sizeof(names) - (size_t)len, ".");
	service_key->deflt = services[0]->name;
	memset(listener_keys, 0, sizeof(listener_keys));
	next = add_keys(next, service_key, NULL);
	next = add_keys(next, tls_rows, NULL);
	next = add_keys(next, own_rows, NULL);
	next = add_keys(next, listener_words, NULL);
	next = add_keys(next, limits_rows, NULL);
	for (unsigned int i = 0; services[i]; i++) {
		struct opt *first = next;

		assert(i < SERVICES_MAX);
		snprintf(sections[i], sizeof(sections[i]), "with %s", services[i]->name);
		next = add_keys(next, services[i]->words, sections[i]);
		next = add_keys(next, services[i]->options, next == first ? sections[i] : NULL);
	}
}

/* --- complaints --- */

static int no_memory(char *why)
{
	snprintf(why, LISTENER_WHY_LEN, "out of memory");
	return -ENOMEM;
}

static int no_service(const char *name, char *why)
{
	int len = snprintf(why, LISTENER_WHY_LEN, "unknown service '%.100s'; use one of", name);

	for (int i = 0; services[i]; i++)
		len += snprintf(why + len, (size_t)(LISTENER_WHY_LEN - len), "%s %s", i ? "," : "",
				services[i]->name);
	return -EINVAL;
}

static void list_fields(const struct opt *rows, char *why, int *len)
{
	for (const struct opt *row = rows; row && row->name && *len < LISTENER_WHY_LEN; row++)
		*len += snprintf(why + *len, (size_t)(LISTENER_WHY_LEN - *len), " ,%s=%s", row->name,
				 row->arg);
}

static bool is_known(const struct service *service, const char *name)
{
	return !strcmp(name, "service") || has_key(own_rows, name) || has_key(tls_rows, name) ||
	       has_key(listener_words, name) || has_key(limits_rows, name) || has_key(service->words, name) ||
	       has_key(service->options, name);
}

/* A field in one line. */
static int not_understood(const struct service *service, const char *word, char *why)
{
	char *name = strndup(word, strcspn(word, "="));
	int len;

	if (!name)
		return no_memory(why);
	if (word[strlen(name)] && is_known(service, name)) { /* see cut_field() */
		snprintf(why, LISTENER_WHY_LEN, "'%.100s' has no value", word);
		free(name);
		return -EINVAL;
	}
	len = snprintf(
		why, LISTENER_WHY_LEN,
		"unknown field '%.100s'; a listener is ADDRESS:PORT, unix:/PATH or fd:NAME, then any of "
		",service=NAME ,tls",
		name);
	free(name);

	list_fields(&tls_rows[1], why, &len);
	list_fields(listener_words, why, &len);
	list_fields(service->words, why, &len);
	if (len < LISTENER_WHY_LEN)
		snprintf(why + len, (size_t)(LISTENER_WHY_LEN - len), ", or options that taiod(8) names");
	return -EINVAL;
}

static void list_names(FILE *to, const char *before, const struct opt *rows)
{
	for (; rows && rows->name; rows++, before = ", ")
		fprintf(to, "%s%s", before, rows->name);
}

/* A key in a block. */
static int not_allowed(const struct service *service, char *why)
{
	FILE *to = fmemopen(why, LISTENER_WHY_LEN, "w");

	if (!to)
		return no_memory(why);
	fprintf(to, "not allowed with service %s; allowed are service", service->name);
	list_names(to, ", ", tls_rows);
	list_names(to, ", ", own_rows);
	list_names(to, ", ", listener_words);
	list_names(to, ", ", limits_rows);
	list_names(to, ", ", service->words);
	list_names(to, ", ", service->options);
	fclose(to);
	return -EINVAL;
}

/* --- its parts --- */

static const struct service *service_find(const char *name)
{
	for (const struct service *const *s = services; *s; s++)
		if (strcmp((*s)->name, name) == 0)
			return *s;
	return NULL;
}

int listener_check_tls_version(const char *text, char *why)
{
	if (!strcmp(text, "1.2") || !strcmp(text, "1.3"))
		return 0;
	snprintf(why, OPT_WHY_LEN, "'%.100s' is neither 1.2 nor 1.3", text);
	return -EINVAL;
}

int listener_check_verify(const char *text, char *why)
{
	if (!strcmp(text, "off") || !strcmp(text, "optional") || !strcmp(text, "required"))
		return 0;
	snprintf(why, OPT_WHY_LEN, "'%.100s' is neither off, optional nor required", text);
	return -EINVAL;
}

/* The last service named counts; it determines which other keys are allowed. */
static int set_service(struct listener *l, const struct opt_block *block, size_t *at, char *why)
{
	l->service = services[0];
	for (*at = 0; *at < block->len; ++*at) {
		const struct opt_entry *entry = &block->entries[*at];

		if (strcmp(entry->name, "service") != 0 || !entry->text)
			continue;
		l->service = service_find(entry->text);
		if (!l->service)
			return no_service(entry->text, why);
	}
	return 0;
}

/* Room for what @rows describe, with the values of @from; NULL: with the defaults. */
static int make_values(void **values, const struct opt *rows, size_t size, const void *from)
{
	struct opt_program program = {.table = rows};

	if (!rows)
		return 0;
	*values = calloc(1, size);
	if (!*values)
		return -ENOMEM;
	return from ? opt_copy(&program, from, *values) : opt_defaults(&program, *values);
}

static bool is_given(const struct opt_block *block, const char *name)
{
	for (size_t i = 0; i < block->len; i++)
		if (!strcmp(block->entries[i].name, name))
			return true;
	return false;
}

/* A list of the listener's own does not add to the general one. */
static void drop_lists(struct listener *l, const struct opt_block *block)
{
	for (const struct opt *row = l->service->options; row && row->name; row++)
		if (row->type == OPT_LIST && is_given(block, row->name))
			opt_free(&(struct opt_program){.table = (struct opt[]){*row, {0}}}, l->options);
}

/* What holds where the listener says nothing. */
static int set_general(struct listener *l, const struct settings *general)
{
	const struct service *service = l->service;
	int ret = 0;

	if (general)
		l->limits = general->limits;
	else
		ret = opt_defaults(&(struct opt_program){.table = limits_rows}, &l->limits);
	if (!ret)
		ret = make_values(&l->words, service->words, service->words_size, NULL);
	if (!ret)
		ret = make_values(&l->options, service->options, service->options_size,
				  general ? settings_of(general, service) : NULL);
	return ret;
}

/* -ENOENT: there is no key of that name. */
static int set_key(struct listener *l, const char *name, const char *text, char *why)
{
	const struct {
		const struct opt *rows;
		void *values;
	} parts[] = {
		{own_rows, l},
		{tls_rows, l},
		{listener_words, l},
		{limits_rows, &l->limits},
		{l->service->words, l->words},
		{l->service->options, l->options},
	};

	if (!text)
		return -ENOENT;
	if (!strcmp(name, "service"))
		return 0; /* set_service() */
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (has_key(parts[i].rows, name))
			return opt_set(&(struct opt_program){.table = parts[i].rows}, parts[i].values, name,
				       text, why);
	return -ENOENT;
}

static int check_where(const char *where, char *why)
{
	unsigned int port;
	char host[256];

	if (sockets_kind_of(where) == SOCKETS_HANDED_OVER || sockets_is_path(where))
		return 0;
	if (sockets_kind_of(where) == SOCKETS_ADDRESS && !addr_split(where, host, sizeof(host), &port))
		return 0;
	snprintf(why, LISTENER_WHY_LEN,
		 "'%.120s' is not an address: write 127.0.0.1:8080, [::1]:8080, :8080, unix:/PATH or fd:NAME",
		 where);
	return -EINVAL;
}

static char *make_spec(const struct opt_block *block)
{
	char *spec = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&spec, &len);

	if (!to)
		return NULL;
	fputs(block->title, to);
	for (size_t i = 0; i < block->len; i++)
		fprintf(to, "\n%s=%s", block->entries[i].name,
			block->entries[i].text ? block->entries[i].text : "");
	if (!fclose(to))
		return spec;
	free(spec);
	return NULL;
}

/* What only TLS has a use for. */
static int check_tls(const struct listener *l, const struct opt_block *block, size_t *at, char *why)
{
	for (*at = 0; !l->tls && *at < block->len; ++*at) {
		const char *name = block->entries[*at].name;

		if (!has_key(&tls_rows[1], name))
			continue;
		snprintf(why, LISTENER_WHY_LEN, "%s and the like require tls", name);
		return -EINVAL;
	}
	return 0;
}

/*
 * Fills in @l, which is empty. On failure *at is the index of the entry that is wrong (the number of entries:
 * the address is), and why says what, but for -ENOENT: the service has no such key. listener_close() frees
 * what is there.
 */
static int fill(struct listener *l, const struct opt_block *block, const struct settings *general, size_t *at,
		char *why)
{
	int ret = check_where(block->title, why);

	*at = block->len;
	if (ret)
		return ret;
	l->where = strdup(block->title);
	l->spec = make_spec(block);
	l->access_log = true;
	if (!l->where || !l->spec)
		return no_memory(why);
	ret = set_service(l, block, at, why);
	if (ret)
		return ret;
	if (set_general(l, general))
		return no_memory(why);
	drop_lists(l, block);
	for (*at = 0; *at < block->len; ++*at) {
		ret = set_key(l, block->entries[*at].name, block->entries[*at].text, why);
		if (ret)
			return ret;
	}
	if (networks_parse(&l->accept_proxy, &l->proxies))
		return no_memory(why);
	return check_tls(l, block, at, why);
}

/* --- in one line --- */

/* Whether @word alone says yes. */
static bool is_switch(const char *word)
{
	for (const struct opt *key = listener_keys; key->name; key++)
		if (key->type == OPT_BOOL && !strcmp(key->name, word))
			return true;
	return false;
}

/* Cuts a field. One that is none has no text, but its name is all of it. */
static struct opt_entry cut_field(char *word)
{
	char *value = strchr(word, '=');

	if (!value && is_switch(word))
		return (struct opt_entry){.name = word, .text = (char *)"yes"};
	if (!value || !value[1])
		return (struct opt_entry){.name = word};
	*value = '\0';
	return (struct opt_entry){.name = word, .text = value + 1};
}

static int word_complaint(const struct listener *l, const struct opt_block *block, size_t at, int ret,
			  char *why)
{
	char reason[LISTENER_WHY_LEN];

	if (ret == -ENOENT)
		return not_understood(l->service, block->entries[at].name, why);
	if (at < block->len && ret != -ENOMEM) {
		snprintf(reason, sizeof(reason), "%s", why);
		snprintf(why, LISTENER_WHY_LEN, "%s: %.900s", block->entries[at].name, reason);
	}
	return ret == -ERANGE ? -EINVAL : ret;
}

static int parse_line(struct listener *l, char *text, const struct settings *general, char *why)
{
	struct opt_entry entries[WORDS_MAX];
	struct opt_block block = {.title = strsep(&text, ","), .entries = entries};
	size_t at;
	int ret;

	while (text && block.len < WORDS_MAX)
		entries[block.len++] = cut_field(strsep(&text, ","));
	if (text) {
		snprintf(why, LISTENER_WHY_LEN, "more than %d fields after the address", WORDS_MAX);
		return -EINVAL;
	}
	ret = fill(l, &block, general, &at, why);
	return ret ? word_complaint(l, &block, at, ret, why) : 0;
}

int listener_parse(struct listener *l, const char *text, const struct settings *general, char *why)
{
	char *copy = strdup(text);
	int ret;

	*l = (struct listener){0};
	ret = copy ? parse_line(l, copy, general, why) : no_memory(why);
	free(copy);
	if (ret)
		listener_close(l);
	return ret;
}

int listener_check(const char *text, char *why)
{
	struct listener l;
	int ret = listener_parse(&l, text, NULL, why);

	if (!ret)
		listener_close(&l);
	return ret;
}

/* --- as a block --- */

static int parse_block(struct listener *l, const struct opt_block *block, const struct settings *general,
		       size_t *at, char *why)
{
	int ret;

	*l = (struct listener){0};
	ret = fill(l, block, general, at, why);
	if (ret == -ENOENT)
		ret = not_allowed(l->service, why);
	if (ret)
		listener_close(l);
	return ret == -ERANGE ? -EINVAL : ret;
}

int listener_parse_block(struct listener *l, const struct opt_block *block, const struct settings *general,
			 char *why)
{
	size_t at;

	return parse_block(l, block, general, &at, why);
}

int listener_check_block(const struct opt_block *block, size_t *at, char *why)
{
	struct listener l;
	int ret = parse_block(&l, block, NULL, at, why);

	if (!ret)
		listener_close(&l);
	return ret;
}

/* --- life --- */

static void free_values(const struct opt *rows, void *values)
{
	if (values)
		opt_free(&(struct opt_program){.table = rows}, values);
	free(values);
}

void listener_close(struct listener *l)
{
	sockets_put(l->sockets);
	if (l->service) {
		if (l->words && l->service->release)
			l->service->release(l->words);
		free_values(l->service->words, l->words);
		free_values(l->service->options, l->options);
	}
	opt_free(&(struct opt_program){.table = tls_rows}, l);
	opt_free(&(struct opt_program){.table = listener_words}, l);
	networks_free(&l->accept_proxy);
	free(l->where);
	free(l->spec);
	*l = (struct listener){0};
}

int listener_prepare(const struct listener *l, const struct listener *before, char *why)
{
	const void *was = before && before->service == l->service ? before->words : NULL;
	char reason[256];
	int ret = l->service->prepare && l->words ? l->service->prepare(l->words, was, reason) : 0;

	if (ret)
		snprintf(why, LISTENER_WHY_LEN, "%s: %s", l->where, reason);
	return ret;
}

int listener_verify(const struct listener *l, char *why)
{
	char reason[256];
	int ret = l->service->verify && l->words ? l->service->verify(l->words, l->tls, reason) : 0;

	if (ret)
		snprintf(why, LISTENER_WHY_LEN, "%s: %s", l->where, reason);
	return ret;
}
