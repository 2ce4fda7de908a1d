/* SPDX-License-Identifier: MIT */
/*
 * A format is a list of parts: a function that puts something, or text to be put as it is. The names are
 * those of Apache's mod_log_config, mod_logio and, with ssl., of h2o.
 */
#include "access_format.h"

#include "base/addr.h"
#include "line.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef void access_put(struct line *line, const struct access_entry *entry,
			const struct access_clock *clock);

struct part {
	access_put *put;	 /* NULL: text */
	struct access_text text; /* in access_format.text */
};

struct access_format {
	char *text;
	size_t n;
	struct part parts[];
};

void access_clock_read(struct access_clock *clock)
{
	struct tm tm;

	clock_gettime(CLOCK_REALTIME_COARSE, &clock->now);
	if (clock->now.tv_sec == clock->second && clock->iso[0])
		return;
	clock->second = clock->now.tv_sec;
	localtime_r(&clock->second, &tm);
	strftime(clock->common, sizeof(clock->common), "[%d/%b/%Y:%H:%M:%S %z]", &tm);
	gmtime_r(&clock->second, &tm);
	strftime(clock->iso, sizeof(clock->iso), "%Y-%m-%dT%H:%M:%S", &tm);
}

/* --- values --- */

static unsigned int ms_of(const struct access_clock *clock)
{
	return (unsigned int)(clock->now.tv_nsec / 1000000);
}

static void put_iso(struct line *line, const struct access_clock *clock)
{
	char rest[8];

	line_puts(line, clock->iso);
	snprintf(rest, sizeof(rest), ".%03uZ", ms_of(clock) % 1000);
	line_puts(line, rest);
}

static void put_client(struct line *line, const union addr *addr)
{
	char text[INET6_ADDRSTRLEN] = "unix";

	if (addr->sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &addr->v6.sin6_addr, text, sizeof(text));
	else if (addr->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &addr->v4.sin_addr, text, sizeof(text));
	line_puts(line, text);
}

static bool has_port(const union addr *addr)
{
	return addr->sa.sa_family == AF_INET6 || addr->sa.sa_family == AF_INET;
}

static struct access_text text_of(const char *text)
{
	return (struct access_text){text, text ? strlen(text) : 0};
}

/* What comes from a client, cut to what a line has room for. */
static void put_any(struct line *line, struct access_text text,
		    void (*put)(struct line *line, const char *text, size_t len))
{
	bool is_long = text.len > ACCESS_TEXT_MAX;

	put(line, text.at, is_long ? ACCESS_TEXT_MAX : text.len);
	if (is_long)
		line_puts(line, "...");
}

static void put_text(struct line *line, struct access_text text)
{
	if (text.at && text.len)
		put_any(line, text, line_put_text);
	else
		line_puts(line, "-");
}

/* Of @target: what is before its query, or the query with its question mark. */
static struct access_text part_of(struct access_text target, bool is_query)
{
	const char *query = target.at ? memchr(target.at, '?', target.len) : NULL;
	size_t len = query ? (size_t)(query - target.at) : target.len;

	if (!is_query)
		return (struct access_text){target.at, len};
	return (struct access_text){target.at ? target.at + len : NULL, target.len - len};
}

/* --- sequences --- */

#define PUT(name)                                                                                            \
	static void put_##name(struct line *line, const struct access_entry *e,                              \
			       const struct access_clock *clock)

// clang-format off
PUT(percent) { line_puts(line, "%"); }
PUT(address) { put_client(line, e->client); }
PUT(nothing) { line_puts(line, "-"); }
PUT(client_name) { put_text(line, text_of(e->client_name)); }
PUT(time) { line_puts(line, clock->common); }
PUT(time_iso) { put_iso(line, clock); }
PUT(time_s) { line_put_number(line, (uint64_t)clock->now.tv_sec); }
PUT(time_ms) { line_put_number(line, (uint64_t)clock->now.tv_sec * 1000 + ms_of(clock)); }
PUT(method) { put_text(line, e->method); }
PUT(path) { put_text(line, part_of(e->target, false)); }
PUT(protocol) { put_text(line, e->protocol); }
PUT(sent) { line_put_number(line, e->sent); }
PUT(received) { line_put_number(line, e->received); }
PUT(took_us) { line_put_number(line, e->took_us); }
PUT(took_ms) { line_put_number(line, e->took_us / 1000); }
PUT(took_s) { line_put_number(line, e->took_us / 1000000); }
PUT(host) { put_text(line, e->host); }
PUT(referer) { put_text(line, e->referer); }
PUT(agent) { put_text(line, e->agent); }
PUT(cut) { line_puts(line, e->is_cut ? "X" : "+"); }
PUT(version) { put_text(line, text_of(e->version)); }
PUT(cipher) { put_text(line, text_of(e->cipher)); }
PUT(server_name) { put_text(line, text_of(e->server_name)); }
PUT(alpn) { put_text(line, text_of(e->alpn)); }
PUT(resumed) { line_puts(line, e->is_resumed ? "1" : "0"); }
PUT(listener) { put_text(line, text_of(e->listener)); }
PUT(service) { put_text(line, text_of(e->service)); }
PUT(backend) { put_text(line, e->backend); }
PUT(reason) { put_text(line, text_of(e->reason)); }
// clang-format on

PUT(port)
{
	if (has_port(e->client))
		line_put_number(line, addr_port(e->client));
	else
		line_puts(line, "-");
}

/* A connection, where a request line is expected, is that of its service, to its backend. */
PUT(request)
{
	if (!e->reason) {
		put_text(line, e->line);
		return;
	}
	put_text(line, text_of(e->service));
	line_puts(line, " ");
	put_text(line, e->backend);
}

PUT(query)
{
	struct access_text query = part_of(e->target, true);

	if (query.len)
		put_text(line, query);
}

PUT(status)
{
	if (e->status)
		line_put_number(line, e->status);
	else
		line_puts(line, "-");
}

static uint64_t body_of(const struct access_entry *e)
{
	return e->reason ? e->sent : e->body;
}

PUT(body)
{
	line_put_number(line, body_of(e));
}

PUT(body_or_nothing)
{
	if (body_of(e))
		line_put_number(line, body_of(e));
	else
		line_puts(line, "-");
}

static const struct sequence {
	const char *name; /* behind the percent sign */
	access_put *put;
	const char *help;
} sequences[] = {
	{"h", put_address, "Address of the client: with accept-proxy, the one that the header gives."},
	{"a", put_address, "The same."},
	{"{remote}p", put_port, "Its port."},
	{"l", put_nothing, "A hyphen."},
	{"u", put_client_name, "Common name in the client's certificate."},
	{"t", put_time, "Local time, as in [28/Nov/2026:06:24:05 +0000]."},
	{"{iso}t", put_time_iso, "Time as 2026-11-28T06:24:05.123Z."},
	{"{sec}t", put_time_s, "Seconds since 1970."},
	{"{msec}t", put_time_ms, "Milliseconds since 1970."},
	{"r", put_request, "Request line; of a connection its service and backend."},
	{"m", put_method, "Method."},
	{"U", put_path, "Target of the request, up to its query."},
	{"q", put_query, "Its query with the question mark, or nothing."},
	{"H", put_protocol, "HTTP version."},
	{"s", put_status, "Status of the response; >s is the same."},
	{">s", put_status, NULL},
	{"b", put_body_or_nothing, "Bytes sent without the response's head, or a hyphen for none."},
	{"B", put_body, "The same, but 0."},
	{"O", put_sent, "Bytes sent; of a connection those on the network, with TLS."},
	{"I", put_received, "Bytes received, likewise."},
	{"D", put_took_us, "How long it took, in microseconds; {us}T is the same."},
	{"{us}T", put_took_us, NULL},
	{"{ms}T", put_took_ms, "In milliseconds."},
	{"T", put_took_s, "In seconds."},
	{"X", put_cut, "X if the response or its request was cut short, otherwise +."},
	{"{Host}i", put_host, "Field Host of the request."},
	{"{Referer}i", put_referer, "Field Referer."},
	{"{User-Agent}i", put_agent, "Field User-Agent."},
	{"{ssl.protocol-version}x", put_version, "Version of TLS."},
	{"{ssl.cipher}x", put_cipher, "Its cipher."},
	{"{ssl.server-name}x", put_server_name, "Name that the client asked for (SNI)."},
	{"{ssl.alpn}x", put_alpn, "Protocol agreed on (ALPN)."},
	{"{ssl.session-reused}x", put_resumed, "1 if a session was resumed, otherwise 0."},
	{"{listener}x", put_listener, "Address of the listener."},
	{"{service}x", put_service, "Its service."},
	{"{backend}x", put_backend, "Address of the backend; the last one, if several were tried."},
	{"{reason}x", put_reason,
	 "Why the connection has ended: the name that its counter has behind closed_."},
	{"%", put_percent, "A percent sign."},
};

#define NSEQUENCES (sizeof(sequences) / sizeof(sequences[0]))

void access_format_describe(FILE *to)
{
	for (size_t i = 0; i < NSEQUENCES; i++)
		if (sequences[i].help)
			fprintf(to, "\n%%%s\t%s", sequences[i].name, sequences[i].help);
}

/* --- json --- */

static void json_key(struct line *line, const char *key)
{
	line_puts(line, line->at[-1] == '{' ? "\"" : ",\"");
	line_puts(line, key);
	line_puts(line, "\":");
}

static void json_text(struct line *line, const char *key, struct access_text text)
{
	json_key(line, key);
	if (!text.at) {
		line_puts(line, "null");
		return;
	}
	line_puts(line, "\"");
	put_any(line, text, line_put_json);
	line_puts(line, "\"");
}

static void json_number(struct line *line, const char *key, uint64_t number)
{
	json_key(line, key);
	line_put_number(line, number);
}

static void json_took(struct line *line, uint64_t took_us)
{
	char text[32];

	snprintf(text, sizeof(text), "%llu.%06llu", (unsigned long long)took_us / 1000000,
		 (unsigned long long)took_us % 1000000);
	json_key(line, "duration");
	line_puts(line, text);
}

static void json_response(struct line *line, const struct access_entry *e)
{
	if (!e->method.at) /* the line is none: it is all that there is */
		json_text(line, "line", e->line);
	json_text(line, "method", e->method);
	json_text(line, "target", e->target);
	json_text(line, "protocol", e->protocol);
	json_text(line, "host", e->host);
	json_text(line, "referer", e->referer);
	json_text(line, "user_agent", e->agent);
	json_key(line, "status");
	if (e->status)
		line_put_number(line, e->status);
	else
		line_puts(line, "null");
	json_number(line, "body", e->body);
	json_key(line, "complete");
	line_puts(line, e->is_cut ? "false" : "true");
}

static void json_connection(struct line *line, const struct access_entry *e)
{
	json_text(line, "backend", e->backend);
	json_text(line, "reason", text_of(e->reason));
}

/* Where there is none, in one way. */
static struct access_text some(const char *text)
{
	return text_of(text && *text ? text : NULL);
}

static void json_tls(struct line *line, const struct access_entry *e)
{
	json_text(line, "tls", text_of(e->version));
	json_text(line, "cipher", some(e->cipher));
	json_text(line, "server_name", some(e->server_name));
	json_text(line, "alpn", some(e->alpn));
	json_text(line, "client_name", some(e->client_name));
	json_key(line, "resumed");
	line_puts(line, e->is_resumed ? "true" : "false");
}

PUT(json)
{
	line_puts(line, "{");
	json_key(line, "time");
	line_puts(line, "\"");
	put_iso(line, clock);
	line_puts(line, "\"");
	json_key(line, "client");
	line_puts(line, "\"");
	put_client(line, e->client);
	line_puts(line, "\"");
	if (has_port(e->client))
		json_number(line, "port", addr_port(e->client));
	json_text(line, "listener", text_of(e->listener));
	json_text(line, "service", text_of(e->service));
	if (e->reason)
		json_connection(line, e);
	else
		json_response(line, e);
	json_number(line, "received", e->received);
	json_number(line, "sent", e->sent);
	json_took(line, e->took_us);
	if (e->version)
		json_tls(line, e);
	line_puts(line, "}");
}

/* The line, or the target, and three fields; names have 255 bytes at most, and the rest is short. */
_Static_assert(4 * (ACCESS_TEXT_MAX * LINE_JSON_GROWTH + 3) + 16384 <= ACCESS_LINE_MAX,
	       "a line of JSON is never cut");

/* --- parsing --- */

static const struct {
	const char *name, *format;
} known[] = {
	{"common", "%h %l %u %t \"%r\" %>s %b"},
	{"combined", "%h %l %u %t \"%r\" %>s %b \"%{Referer}i\" \"%{User-Agent}i\""},
};

/* The sequence that @text, behind a percent sign, begins with; names of fields in any case. */
static const struct sequence *find(const char *text)
{
	for (size_t i = 0; i < NSEQUENCES; i++) {
		const char *name = sequences[i].name;
		size_t len = strlen(name);

		if (name[len - 1] == 'i' ? !strncasecmp(text, name, len - 1) && text[len - 1] == 'i'
					 : !strncmp(text, name, len))
			return &sequences[i];
	}
	return NULL;
}

/* How much of @text is meant to be a sequence. */
static int sequence_len(const char *text)
{
	const char *brace = *text == '{' ? strchr(text, '}') : NULL;
	size_t len = brace ? (size_t)(brace - text) + 1 : 0;

	return (int)(len + (text[len] != '\0'));
}

static int unknown(const char *text, char *why)
{
	int len = snprintf(why, ACCESS_WHY_LEN,
			   "unknown sequence '%%%.*s'; use common, combined, json, or text with",
			   sequence_len(text) < 40 ? sequence_len(text) : 40, text);

	for (size_t i = 0; i < NSEQUENCES && len < ACCESS_WHY_LEN; i++)
		len += snprintf(why + len, (size_t)(ACCESS_WHY_LEN - len), " %%%s", sequences[i].name);
	return -EINVAL;
}

static int refuse(const char *reason, char *why)
{
	snprintf(why, ACCESS_WHY_LEN, "%s", reason);
	return -EINVAL;
}

static bool has_control(const char *text)
{
	for (; *text; text++)
		if (((unsigned char)*text < ' ' && *text != '\t') || *text == 0x7f)
			return true;
	return false;
}

/* Cuts format->text into parts. */
static int cut(struct access_format *format, char *why)
{
	const char *at = format->text;

	while (*at) {
		struct part *part = &format->parts[format->n++];
		size_t len = strcspn(at, "%");
		const struct sequence *found;

		if (len) {
			*part = (struct part){.text = {at, len}};
			at += len;
			continue;
		}
		found = find(at + 1);
		if (!found)
			return unknown(at + 1, why);
		part->put = found->put;
		at += 1 + strlen(found->name);
	}
	return 0;
}

static const char *meaning_of(const char *text)
{
	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		if (!strcmp(text, known[i].name))
			return known[i].format;
	return text;
}

static int parse(struct access_format *format, const char *text, char *why)
{
	if (!strcmp(text, "json")) {
		format->parts[format->n++].put = put_json;
		return 0;
	}
	if (!*text)
		return refuse("is empty", why);
	if (has_control(text))
		return refuse("has a control character: a line is one line", why);
	if (meaning_of(text) == text && !strchr(text, '%'))
		return refuse("is neither common, combined nor json, and has no sequence such as %h", why);
	return cut(format, why);
}

int access_format_create(struct access_format **format, const char *text, char *why)
{
	const char *meaning = meaning_of(text);
	struct access_format *made =
		calloc(1, sizeof(*made) + (strlen(meaning) + 1) * sizeof(made->parts[0]));
	int ret = -ENOMEM;

	if (made)
		made->text = strdup(meaning);
	if (made && made->text)
		ret = parse(made, text, why);
	else
		snprintf(why, ACCESS_WHY_LEN, "out of memory");
	if (ret)
		access_format_destroy(made);
	else
		*format = made;
	return ret;
}

void access_format_destroy(struct access_format *format)
{
	if (format)
		free(format->text);
	free(format);
}

int access_format_check(const char *text, char *why)
{
	struct access_format *format;
	int ret = access_format_create(&format, text, why);

	if (!ret)
		access_format_destroy(format);
	return ret;
}

size_t access_format_write(const struct access_format *format, const struct access_entry *entry,
			   const struct access_clock *clock, char *text)
{
	struct line line = {text, text + ACCESS_LINE_MAX - 1};

	for (size_t i = 0; i < format->n; i++) {
		const struct part *part = &format->parts[i];

		if (part->put)
			part->put(&line, entry, clock);
		else
			line_put(&line, part->text.at, part->text.len);
	}
	*line.at++ = '\n';
	return (size_t)(line.at - text);
}
