/* SPDX-License-Identifier: MIT */
#include "proxy_header.h"

#include <arpa/inet.h>
#include <assert.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Section 2.1: the longest line, its end included. */
#define V1_START "PROXY "
#define V1_MAX	 107

/* Section 2.2: the signature, the version and the command, the family, the length of what follows. */
static const char signature[12] = "\r\n\r\n\0\r\nQUIT\n";

enum { V2_LOCAL = 0x20, V2_PROXY = 0x21 };
enum {
	V2_UNSPEC = 0x00,
	V2_TCP4 = 0x11,
	V2_UDP4 = 0x12,
	V2_TCP6 = 0x21,
	V2_UDP6 = 0x22,
	V2_STREAM = 0x31,
	V2_DGRAM = 0x32
};
enum { TLV_ALPN = 0x01, TLV_AUTHORITY = 0x02, TLV_CRC32C = 0x03, TLV_TLS = 0x20 };
enum { TLV_TLS_VERSION = 0x21, TLV_TLS_NAME = 0x22, TLV_TLS_CIPHER = 0x23 };
enum { CLIENT_TLS = 0x01, CLIENT_CERT = 0x02, CLIENT_CERT_SESSION = 0x04 };

struct v2_fixed {
	char signature[12];
	uint8_t command, family;
	uint16_t len;
};

/* --- writing --- */

static sa_family_t family_of(const struct proxy_header *header)
{
	sa_family_t family = header->source.sa.sa_family;

	if (header->destination.sa.sa_family != family || (family != AF_INET && family != AF_INET6))
		return AF_UNSPEC;
	return family;
}

static void *bytes_of(union addr *addr)
{
	return addr->sa.sa_family == AF_INET6 ? (void *)&addr->v6.sin6_addr : &addr->v4.sin_addr;
}

static size_t write_v1(struct proxy_header *header, sa_family_t family, char *text, size_t size)
{
	char source[INET6_ADDRSTRLEN], destination[INET6_ADDRSTRLEN];

	if (family == AF_UNSPEC)
		return (size_t)snprintf(text, size, V1_START "UNKNOWN\r\n");
	inet_ntop(family, bytes_of(&header->source), source, sizeof(source));
	inet_ntop(family, bytes_of(&header->destination), destination, sizeof(destination));
	return (size_t)snprintf(text, size, V1_START "TCP%c %s %s %u %u\r\n", family == AF_INET ? '4' : '6',
				source, destination, addr_port(&header->source),
				addr_port(&header->destination));
}

static char *put(char *at, const void *data, size_t len)
{
	return (char *)memcpy(at, data, len) + len;
}

static char *put_tlv(char *at, uint8_t type, const void *data, size_t len)
{
	const uint8_t head[] = {type, (uint8_t)(len >> 8), (uint8_t)len};

	return put(put(at, head, sizeof(head)), data, len);
}

/* No name of a host is longer, and no word of TLS. */
#define NAME_MAX_LEN 255
#define WORD_MAX_LEN 63

static char *put_text(char *at, uint8_t type, const char *text, size_t max)
{
	return text && *text ? put_tlv(at, type, text, strnlen(text, max)) : at;
}

/* Its length is known at the end. */
static char *put_tls(char *at, const struct proxy_tls *tls)
{
	/* Which of them holds, then whether the certificate does not. */
	uint8_t value[5] = {CLIENT_TLS, 0, 0, 0, !tls->has_cert};
	char *begin = at;
	size_t len;

	if (tls->has_cert)
		value[0] |= CLIENT_CERT_SESSION | (tls->is_resumed ? 0 : CLIENT_CERT);
	at = put_tlv(at, TLV_TLS, value, sizeof(value));
	at = put_text(at, TLV_TLS_VERSION, tls->version, WORD_MAX_LEN);
	at = put_text(at, TLV_TLS_NAME, tls->has_cert ? tls->client_name : NULL, NAME_MAX_LEN);
	at = put_text(at, TLV_TLS_CIPHER, tls->cipher, WORD_MAX_LEN);
	len = (size_t)(at - begin) - 3;
	begin[1] = (char)(len >> 8);
	begin[2] = (char)len;
	return at;
}

static size_t write_v2(struct proxy_header *header, sa_family_t family, char *text)
{
	size_t each = family == AF_INET ? 4 : 16;
	struct v2_fixed fixed = {
		.command = family == AF_UNSPEC ? V2_LOCAL : V2_PROXY,
		.family = family == AF_UNSPEC ? V2_UNSPEC
			  : family == AF_INET ? V2_TCP4
					      : V2_TCP6,
	};
	uint16_t ports[] = {htons((uint16_t)addr_port(&header->source)),
			    htons((uint16_t)addr_port(&header->destination))};
	char *at = text + sizeof(fixed);

	if (family != AF_UNSPEC) {
		at = put(at, bytes_of(&header->source), each);
		at = put(at, bytes_of(&header->destination), each);
		at = put(at, ports, sizeof(ports));
		at = put_text(at, TLV_ALPN, header->alpn, WORD_MAX_LEN);
		at = put_text(at, TLV_AUTHORITY, header->authority, NAME_MAX_LEN);
		if (header->tls)
			at = put_tls(at, header->tls);
	}
	memcpy(fixed.signature, signature, sizeof(signature));
	fixed.len = htons((uint16_t)((size_t)(at - text) - sizeof(fixed)));
	memcpy(text, &fixed, sizeof(fixed));
	return (size_t)(at - text);
}

size_t proxy_header_write(const struct proxy_header *header, bool is_v2, char *text, size_t size)
{
	struct proxy_header plain = *header;
	sa_family_t family;

	/* With its addresses, two names, three words, and the head of those of TLS. */
	static_assert(sizeof(struct v2_fixed) + 36 + 2 * (3 + NAME_MAX_LEN) + 3 * (3 + WORD_MAX_LEN) + 8 <=
			      PROXY_HEADER_MAX,
		      "the longest header fits");
	assert(size >= PROXY_HEADER_MAX);
	addr_unmap(&plain.source);
	addr_unmap(&plain.destination);
	family = family_of(&plain);
	return is_v2 ? write_v2(&plain, family, text) : write_v1(&plain, family, text, size);
}

/* --- reading --- */

static enum step refuse(const char **why, const char *what)
{
	*why = what;
	return STEP_FAILED;
}

static bool parse_address(int family, const char *text, union addr *addr)
{
	addr->sa.sa_family = (sa_family_t)family;
	return inet_pton(family, text, bytes_of(addr)) == 1;
}

/* Decimal, without leading zeros. */
static bool parse_port(const char *text, union addr *addr)
{
	size_t len = strspn(text, "0123456789");
	unsigned long port = len && len <= 5 ? strtoul(text, NULL, 10) : UINT16_MAX + 1;

	if (text[len] || port > UINT16_MAX || (*text == '0' && len > 1))
		return false;
	if (addr->sa.sa_family == AF_INET6)
		addr->v6.sin6_port = htons((uint16_t)port);
	else
		addr->v4.sin_port = htons((uint16_t)port);
	return true;
}

/* @line is what follows V1_START. */
static enum step parse_v1(struct proxy_header *header, char *line, const char **why)
{
	const char *protocol = strsep(&line, " "), *source = strsep(&line, " ");
	const char *destination = strsep(&line, " "), *source_port = strsep(&line, " ");
	int family = !strcmp(protocol, "TCP4") ? AF_INET : !strcmp(protocol, "TCP6") ? AF_INET6 : AF_UNSPEC;

	if (!strcmp(protocol, "UNKNOWN"))
		return STEP_DONE;
	if (family == AF_UNSPEC)
		return refuse(why, "its protocol is none of TCP4, TCP6 and UNKNOWN");
	if (!source || !destination || !parse_address(family, source, &header->source) ||
	    !parse_address(family, destination, &header->destination))
		return refuse(why, "it has no two addresses of its protocol");
	/* The rest is one word. */
	if (!source_port || !line || !parse_port(source_port, &header->source) ||
	    !parse_port(line, &header->destination))
		return refuse(why, "it has no two ports behind its addresses");
	return STEP_DONE;
}

static enum step read_v1(struct proxy_header *header, const char *data, size_t len, size_t *used,
			 const char **why)
{
	size_t most = len < V1_MAX ? len : V1_MAX, start = strlen(V1_START);
	const char *end = memchr(data, '\n', most);
	char line[V1_MAX];
	size_t n;

	if (!end)
		return most < V1_MAX ? STEP_MORE : refuse(why, "its line is longer than 107 bytes");
	if (end[-1] != '\r')
		return refuse(why, "its line does not end in CR LF");
	n = (size_t)(end - 1 - data);
	if (memchr(data, '\0', n))
		return refuse(why, "its line is not text");
	*(char *)mempcpy(line, data + start, n - start) = '\0';
	*used = n + 2;
	return parse_v1(header, line, why);
}

/* How long the addresses of a family are; 0: there is no such family. */
static size_t addresses_len(uint8_t family)
{
	switch (family) {
	case V2_TCP4:
	case V2_UDP4:
		return 2 * (4 + 2);
	case V2_TCP6:
	case V2_UDP6:
		return 2 * (16 + 2);
	case V2_STREAM:
	case V2_DGRAM:
		return 2 * 108;
	default:
		return 0;
	}
}

/* RFC 9260, appendix A: of @len bytes, with those at @zeros taken as such. */
static uint32_t crc32c(const uint8_t *data, size_t len, const uint8_t *zeros)
{
	uint32_t crc = UINT32_MAX;

	for (size_t i = 0; i < len; i++) {
		crc ^= data + i >= zeros && data + i < zeros + 4 ? 0 : data[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78 : 0);
	}
	return ~crc;
}

/* What is not asked for is passed over; a checksum must hold (section 2.2.3). */
static enum step check_tlvs(const uint8_t *data, size_t at, size_t end, const char **why)
{
	const uint8_t *sum = NULL;
	uint32_t want;

	while (at < end) {
		size_t left = end - at, len = left < 3 ? 0 : (size_t)data[at + 1] << 8 | data[at + 2];

		if (left < 3 || len > left - 3)
			return refuse(why, "a TLV is longer than what is left of it");
		if (data[at] == TLV_CRC32C && (len != 4 || sum))
			return refuse(why, "its checksum is not one of 4 bytes");
		if (data[at] == TLV_CRC32C)
			sum = data + at + 3;
		at += 3 + len;
	}
	if (!sum)
		return STEP_DONE;
	memcpy(&want, sum, sizeof(want));
	return crc32c(data, end, sum) == ntohl(want) ? STEP_DONE : refuse(why, "its checksum does not hold");
}

/* TCP's; other addresses are none that a connection here could have. */
static void take_addresses(struct proxy_header *header, uint8_t family, const char *at)
{
	uint16_t ports[2];
	union addr *const ends[] = {&header->source, &header->destination};
	size_t each = family == V2_TCP4 ? 4 : 16;

	if (family != V2_TCP4 && family != V2_TCP6)
		return;
	memcpy(ports, at + 2 * each, sizeof(ports));
	for (int i = 0; i < 2; i++) {
		ends[i]->sa.sa_family = family == V2_TCP4 ? AF_INET : AF_INET6;
		memcpy(bytes_of(ends[i]), at + (size_t)i * each, each);
		if (family == V2_TCP4)
			ends[i]->v4.sin_port = ports[i];
		else
			ends[i]->v6.sin6_port = ports[i];
	}
}

/* What is wrong with the first @len bytes of the fixed part, NULL: nothing. */
static const char *fault_of(const struct v2_fixed *fixed, size_t len, size_t size)
{
	if (len > offsetof(struct v2_fixed, command) && fixed->command != V2_LOCAL &&
	    fixed->command != V2_PROXY)
		return "its version is not 2, or its command neither LOCAL nor PROXY";
	if (len > offsetof(struct v2_fixed, family) && fixed->command == V2_PROXY &&
	    fixed->family != V2_UNSPEC && !addresses_len(fixed->family))
		return "its family or its protocol is unknown";
	if (len < sizeof(*fixed))
		return NULL;
	if (size > PROXY_HEADER_READ_MAX)
		return "it is longer than 4096 bytes";
	if (fixed->command == V2_PROXY && size - sizeof(*fixed) < addresses_len(fixed->family))
		return "it is too short for its addresses";
	return NULL;
}

static enum step read_v2(struct proxy_header *header, const char *data, size_t len, size_t *used,
			 const char **why)
{
	struct v2_fixed fixed = {0};
	size_t size, addresses;
	enum step step;

	memcpy(&fixed, data, len < sizeof(fixed) ? len : sizeof(fixed));
	size = sizeof(fixed) + ntohs(fixed.len);
	*why = fault_of(&fixed, len, size);
	if (*why)
		return STEP_FAILED;
	if (len < sizeof(fixed) || len < size)
		return STEP_MORE;
	*used = size;
	if (fixed.command == V2_LOCAL || fixed.family == V2_UNSPEC) /* the rest means nothing */
		return STEP_DONE;
	addresses = addresses_len(fixed.family);
	step = check_tlvs((const uint8_t *)data, sizeof(fixed) + addresses, size, why);
	if (step == STEP_DONE)
		take_addresses(header, fixed.family, data + sizeof(fixed));
	return step;
}

static bool begins_with(const char *data, size_t len, const char *start, size_t start_len)
{
	return !memcmp(data, start, len < start_len ? len : start_len);
}

enum step proxy_header_read(struct proxy_header *header, const char *data, size_t len, size_t *used,
			    const char **why)
{
	memset(header, 0, sizeof(*header));
	*used = 0;
	*why = NULL;
	if (!len)
		return STEP_MORE;
	if (begins_with(data, len, signature, sizeof(signature)))
		return read_v2(header, data, len, used, why);
	if (begins_with(data, len, V1_START, strlen(V1_START)))
		return read_v1(header, data, len, used, why);
	return refuse(why, "what came first is not a PROXY protocol header");
}
