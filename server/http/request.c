/* SPDX-License-Identifier: MIT */
/*
 * The header block of a request: first a strict check, then llhttp, then the rules of RFC 9112 for the fields
 * that frame the message.
 *
 * llhttp 8.1.0 accepts a lone CR as a line end (CVE-2023-30589), swallows folded lines and accepts HTTP/0.9
 * with a body. Each of these can make a proxy in front of us see different requests than we do. So nothing
 * reaches llhttp until the whole block has passed http_head_scan(): every control byte is a TAB inside a
 * header line or part of a CRLF, no header line starts with whitespace, and the request line is METHOD SP
 * TARGET SP HTTP/1.x. llhttp 9.2 is stricter; with both, the same requests are refused for the same reasons.
 *
 * Invariant: what is refused, and for which reason, does not depend on how the bytes were split.
 */
#include "request.h"

#include <string.h>
#include <strings.h>

static const struct http_refusal lone_cr = {400, REFUSE_SMUGGLING, "CR without LF"};
static const struct http_refusal lone_lf = {400, REFUSE_SMUGGLING, "LF without CR"};
static const struct http_refusal folded = {400, REFUSE_SMUGGLING, "header line starts with a blank"};
static const struct http_refusal control = {400, REFUSE_BAD, "control byte in the header"};
static const struct http_refusal line_form = {400, REFUSE_BAD, "malformed request line"};
static const struct http_refusal no_version = {400, REFUSE_SMUGGLING,
					       "request line without version 1.0 or 1.1"};
static const struct http_refusal version = {505, REFUSE_BAD, "only HTTP/1.x is supported"};
static const struct http_refusal line_too_long = {414, REFUSE_TOO_BIG, "request line too long"};
static const struct http_refusal too_big = {431, REFUSE_TOO_BIG, "header block too big"};
static const struct http_refusal too_many = {431, REFUSE_TOO_BIG, "too many lines of one field"};
static const struct http_refusal method = {501, REFUSE_BAD, "unknown method"};
static const struct http_refusal header_form = {400, REFUSE_BAD, "malformed header line"};
static const struct http_refusal host_missing = {400, REFUSE_BAD, "the Host field is missing"};
static const struct http_refusal host_repeated = {400, REFUSE_BAD, "more than one Host"};
static const struct http_refusal host_form = {400, REFUSE_BAD, "malformed Host"};
static const struct http_refusal length_form = {400, REFUSE_SMUGGLING,
						"malformed or repeated Content-Length"};
static const struct http_refusal length_and_coding = {400, REFUSE_SMUGGLING,
						      "Content-Length and Transfer-Encoding"};
static const struct http_refusal coding_old = {400, REFUSE_SMUGGLING, "Transfer-Encoding in HTTP/1.0"};
static const struct http_refusal coding_form = {400, REFUSE_SMUGGLING, "malformed Transfer-Encoding"};
static const struct http_refusal coding = {501, REFUSE_SMUGGLING,
					   "only the transfer coding chunked is understood"};
static const struct http_refusal expectation = {417, REFUSE_BAD, "only 100-continue can be expected"};

static enum http_method method_of(const char *text, size_t len)
{
	static const struct {
		const char *name;
		enum http_method method;
	} table[] = {
		{"GET", METHOD_GET},	     {"HEAD", METHOD_HEAD},	{"POST", METHOD_POST},
		{"OPTIONS", METHOD_OPTIONS}, {"PUT", METHOD_REFUSED},	{"DELETE", METHOD_DELETE},
		{"PATCH", METHOD_REFUSED},   {"TRACE", METHOD_REFUSED}, {"CONNECT", METHOD_REFUSED},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		if (strlen(table[i].name) == len && memcmp(table[i].name, text, len) == 0)
			return table[i].method;
	return METHOD_UNKNOWN;
}

/*
 * The minor version at the end of a request line: 0, 1, or -1 with the reason in *refusal. Sets *newer if it
 * is above 1, which is served as 1 (RFC 9110, section 2.5).
 */
static int line_minor(const char *line, size_t len, bool *newer, const struct http_refusal **refusal)
{
	static const char sample[] = " HTTP/1.1";
	const size_t n = sizeof(sample) - 1;
	const char *end;

	/* With a space but no version, it has the form of HTTP/0.9. */
	*refusal = memchr(line, ' ', len) ? &no_version : &line_form;
	if (len < n)
		return -1;
	end = line + len - n;
	if (memcmp(end, sample, 6) != 0 || end[7] != '.')
		return -1;
	*newer = end[8] > '1';
	if (end[6] == '1' && end[8] >= '0' && end[8] <= '9')
		return end[8] > '0';
	if (end[6] >= '0' && end[6] <= '9' && end[8] >= '0' && end[8] <= '9')
		*refusal = &version;
	return -1;
}

/* METHOD SP TARGET SP VERSION, where the target is printable ASCII. */
static const struct http_refusal *scan_request_line(struct http_scan *scan, const char *line, size_t len)
{
	const struct http_refusal *refusal;
	bool newer;
	int minor = line_minor(line, len, &newer, &refusal);
	size_t method_len = 0, end;

	if (minor < 0)
		return refusal;
	end = len - sizeof(" HTTP/1.x") + 1;
	while (method_len < end && is_token(line[method_len]))
		method_len++;
	if (method_len == 0 || method_len + 1 >= end || line[method_len] != ' ')
		return &line_form;
	for (size_t i = method_len + 1; i < end; i++)
		if (line[i] <= ' ' || (unsigned char)line[i] >= 0x7f)
			return &line_form;
	scan->method = (uint8_t)method_of(line, method_len);
	if (scan->method == METHOD_UNKNOWN)
		return &method;
	scan->minor = (uint8_t)minor;
	scan->is_unusual |= newer;
	scan->target = (uint32_t)method_len + 1;
	scan->target_len = (uint32_t)(end - method_len - 1);
	return NULL;
}

/* llhttp would accept an empty field name. */
static const struct http_refusal *scan_line_start(char c)
{
	if (c == ' ' || c == '\t')
		return &folded;
	return c == ':' ? &header_form : NULL;
}

/* Checks the control byte data[at]. If it ends a line, *line_end is where the next begins, otherwise 0. */
static const struct http_refusal *scan_control(struct http_scan *scan, const char *data, size_t at,
					       size_t len, size_t *line_end)
{
	const struct http_refusal *refusal = NULL;

	*line_end = 0;
	if (data[at] == '\t' && scan->line) {
		scan->is_unusual = true;
		return NULL;
	}
	if (data[at] == '\n')
		return &lone_lf;
	if (data[at] != '\r')
		return &control;
	if (at + 1 == len)
		return NULL;
	if (data[at + 1] != '\n')
		return &lone_cr;
	if (!scan->line)
		refusal = scan_request_line(scan, data, at);
	*line_end = at + 2;
	return refusal;
}

const struct http_refusal *http_head_scan(struct http_scan *scan, const char *data, size_t len,
					  size_t head_max, size_t *head_len)
{
	size_t limit = len < head_max ? len : head_max, at = scan->at, line_end;
	const struct http_refusal *refusal;

	*head_len = 0;
	for (;;) {
		refusal = at && at < limit && at == scan->line ? scan_line_start(data[at]) : NULL;
		if (refusal)
			return refusal;
		at = find_control(data, at, limit);
		if (at == limit)
			break;
		refusal = scan_control(scan, data, at, limit, &line_end);
		if (refusal)
			return refusal;
		if (!line_end && data[at] == '\r')
			break;
		if (line_end && at == scan->line) {
			*head_len = line_end;
			return NULL;
		}
		at = line_end ? line_end : at + 1;
		if (line_end)
			scan->line = (uint32_t)at;
	}
	scan->at = (uint32_t)at;
	if (limit < head_max)
		return NULL;
	return scan->line ? &too_big : &line_too_long;
}

static const struct span names[FIELD_COUNT] = {
#define NAME(text)                                                                                           \
	{                                                                                                    \
		text, sizeof(text) - 1                                                                       \
	}
	[FIELD_HOST] = NAME("host"),
	[FIELD_CONTENT_LENGTH] = NAME("content-length"),
	[FIELD_TRANSFER_ENCODING] = NAME("transfer-encoding"),
	[FIELD_EXPECT] = NAME("expect"),
	[FIELD_RANGE] = NAME("range"),
	[FIELD_IF_RANGE] = NAME("if-range"),
	[FIELD_IF_MATCH] = NAME("if-match"),
	[FIELD_IF_NONE_MATCH] = NAME("if-none-match"),
	[FIELD_IF_MODIFIED_SINCE] = NAME("if-modified-since"),
	[FIELD_IF_UNMODIFIED_SINCE] = NAME("if-unmodified-since"),
#undef NAME
};

/* One bit per length above, by which most fields are ruled out without a comparison. */
#define NAME_LENGTHS (1U << 4 | 1U << 5 | 1U << 6 | 1U << 8 | 1U << 13 | 1U << 14 | 1U << 17 | 1U << 19)

static bool is_name_of(struct span name, enum http_field field)
{
	return name.len == names[field].len && strncasecmp(name.at, names[field].at, name.len) == 0;
}

static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
	struct http_request *req = parser->data;

	req->name = (struct span){at, len};
	return 0;
}

/* Fields whose lines form one list. For other fields a repetition is noted, and the last line counts. */
#define LIST_FIELDS (1U << FIELD_IF_MATCH | 1U << FIELD_IF_NONE_MATCH)

static void take_field(struct http_request *req, enum http_field field, struct span value)
{
	bool again = http_has(req, field);

	if (again && LIST_FIELDS & 1U << field) {
		if (req->nmore < HTTP_MORE_MAX)
			req->more[req->nmore++] = (struct http_line){field, value};
		else
			req->has_too_many = true;
		return;
	}
	if (again)
		req->repeated |= 1U << field;
	req->present |= 1U << field;
	req->fields[field] = value;
}

/* llhttp calls this for an empty value too; a test makes sure that it does. */
static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
	struct http_request *req = parser->data;

	if (req->name.len > 19 || !(NAME_LENGTHS >> req->name.len & 1))
		return 0;
	for (unsigned int i = 0; i < FIELD_COUNT; i++) {
		if (!is_name_of(req->name, (enum http_field)i))
			continue;
		take_field(req, (enum http_field)i, span_trim(at, len));
		break;
	}
	return 0;
}

/* Stops llhttp before the body: what follows is decided by us. */
static int on_headers_complete(llhttp_t *parser)
{
	return HPE_PAUSED;
}

static const llhttp_settings_t head_settings = {
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
};

/* Whether @field has arrived, or llhttp stopped at its name. */
static bool was_sent(const struct http_request *req, enum http_field field)
{
	return http_has(req, field) || is_name_of(req->name, field);
}

/* Given both Content-Length and Transfer-Encoding, llhttp 8.1 fails at the end, 9.2 at the second name. */
static const struct http_refusal *refusal_of(llhttp_errno_t err, const struct http_request *req)
{
	switch (err) {
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
	case HPE_INVALID_TRANSFER_ENCODING:
		if (was_sent(req, FIELD_CONTENT_LENGTH) && was_sent(req, FIELD_TRANSFER_ENCODING))
			return &length_and_coding;
		return err == HPE_INVALID_TRANSFER_ENCODING ? &coding_form : &length_form;
	default:
		return &header_form;
	}
}

/* RFC 9110, section 7.2. Also excludes delimiters that a proxy might interpret differently. */
static const struct http_refusal *check_host(const struct http_request *req)
{
	struct span host = req->fields[FIELD_HOST];

	if (!http_has(req, FIELD_HOST))
		return req->minor ? &host_missing : NULL;
	if (req->repeated & 1U << FIELD_HOST)
		return &host_repeated;
	return is_authority(host) ? NULL : &host_form;
}

static const struct http_refusal *check_length(struct http_request *req)
{
	struct span text = req->fields[FIELD_CONTENT_LENGTH];

	if (req->repeated & 1U << FIELD_CONTENT_LENGTH || text.len == 0 || text.len > 19)
		return &length_form;
	req->length = 0;
	for (size_t i = 0; i < text.len; i++) {
		if (text.at[i] < '0' || text.at[i] > '9')
			return &length_form;
		req->length = req->length * 10 + (uint64_t)(text.at[i] - '0');
	}
	return NULL;
}

static bool is_chunked(struct span coding_name)
{
	return coding_name.len == 7 && strncasecmp(coding_name.at, "chunked", 7) == 0;
}

/*
 * Only "chunked" alone is supported. A well-formed list that ends in chunked or names only unknown codings
 * gets a 501; anything else is ambiguous and gets a 400.
 */
static const struct http_refusal *check_coding(struct http_request *req)
{
	struct span list = req->fields[FIELD_TRANSFER_ENCODING], name;
	const char *comma;
	size_t n;

	if (!req->minor)
		return &coding_old;
	if (req->repeated & 1U << FIELD_TRANSFER_ENCODING)
		return &coding_form;
	req->chunked = is_chunked(list);
	if (req->chunked)
		return NULL;
	for (;;) {
		comma = memchr(list.at, ',', list.len);
		name = span_trim(list.at, comma ? (size_t)(comma - list.at) : list.len);
		for (n = 0; n < name.len && is_token(name.at[n]); n++)
			;
		if (n == 0 || n < name.len || (comma && is_chunked(name)))
			return &coding_form;
		if (!comma)
			return &coding;
		list.len -= (size_t)(comma + 1 - list.at);
		list.at = comma + 1;
	}
}

static const struct http_refusal *check_expect(struct http_request *req)
{
	struct span text = req->fields[FIELD_EXPECT];

	if (text.len != 12 || strncasecmp(text.at, "100-continue", 12) != 0)
		return &expectation;
	req->expects_continue = req->minor == 1;
	return NULL;
}

static const struct http_refusal *check_fields(struct http_request *req)
{
	const struct http_refusal *refusal = NULL;

	if (http_has(req, FIELD_TRANSFER_ENCODING) && http_has(req, FIELD_CONTENT_LENGTH))
		return &length_and_coding;
	if (http_has(req, FIELD_TRANSFER_ENCODING))
		refusal = check_coding(req);
	else if (http_has(req, FIELD_CONTENT_LENGTH))
		refusal = check_length(req);
	if (!refusal)
		refusal = check_host(req);
	if (!refusal && req->has_too_many)
		refusal = &too_many;
	if (!refusal && http_has(req, FIELD_EXPECT))
		refusal = check_expect(req);
	return refusal;
}

/*
 * OWS is SP or HTAB (RFC 9110, section 5.6.3), but llhttp does not accept HTAB after a value, nor versions
 * other than 1.0 and 1.1. An HTAB in a field name is left in place and refused.
 */
static void copy_head(const struct http_scan *scan, const char *data, size_t len, char *copy)
{
	size_t minor_at = scan->target + scan->target_len + sizeof(" HTTP/1.x") - 2;
	bool in_value = false;

	for (size_t i = 0; i < len; i++) {
		copy[i] = in_value && data[i] == '\t' ? ' ' : data[i];
		in_value = data[i] != '\n' && (in_value || data[i] == ':');
	}
	if (scan->minor)
		copy[minor_at] = '1';
}

const struct http_refusal *http_head_parse(const struct http_scan *scan, const char *data, size_t head_len,
					   char *copy, llhttp_t *parser, struct http_request *req)
{
	llhttp_errno_t err;

	if (scan->is_unusual) {
		copy_head(scan, data, head_len, copy);
		data = copy;
	}

	req->method = scan->method;
	req->minor = scan->minor;
	req->target = (struct span){data + scan->target, scan->target_len};
	req->present = req->repeated = req->nmore = 0;
	req->has_too_many = false;
	req->name = (struct span){"", 0};
	req->length = 0;
	req->chunked = req->expects_continue = false;
	llhttp_init(parser, HTTP_REQUEST, &head_settings);
	parser->data = req;
	err = llhttp_execute(parser, data, head_len);
	if (err != HPE_PAUSED)
		return refusal_of(err, req);
	req->keep_alive = req->minor ? !(parser->flags & F_CONNECTION_CLOSE)
				     : (parser->flags & (F_CONNECTION_CLOSE | F_CONNECTION_KEEP_ALIVE)) ==
					       F_CONNECTION_KEEP_ALIVE;
	return check_fields(req);
}
