/*
 * wire: PostgreSQL protocol 3 framing, the writer and the reader of message bodies.
 *
 * Called by the relay (borders), by logins on both sides and by whoever answers a client himself.
 * Owns nothing: every byte belongs to the caller. A writer that runs out of room sets `failed` and
 * leaves only whole messages before `len`; a reader that runs past its end sets `failed`.
 */
#include "proto/wire.h"

#include <string.h>

/* PostgreSQL's PQ_SMALL_MESSAGE_LIMIT and PQ_LARGE_MESSAGE_LIMIT. */
#define SMALL_MESSAGE 10000U
#define LARGE_MESSAGE 0x3ffffffeU

/* Continuation bytes a UTF-8 character may have: more in a row is some other encoding. */
#define UTF8_TAIL_MAX 3

uint32_t
wire_get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

void
wire_put32(uint8_t *p, uint32_t v)
{
	p[0] = (uint8_t)(v >> 24);
	p[1] = (uint8_t)(v >> 16);
	p[2] = (uint8_t)(v >> 8);
	p[3] = (uint8_t)v;
}

enum wire_result
wire_header(const uint8_t *p, size_t avail, uint32_t max, uint8_t *type, uint32_t *len)
{
	uint32_t length;

	if (avail < WIRE_HEADER)
		return WIRE_MORE;
	length = wire_get32(p + 1);
	/* >=, since the type byte is not counted: the sum itself could wrap. */
	if (length < 4 || length >= max)
		return WIRE_BAD;
	*type = p[0];
	*len = length + 1;
	return WIRE_OK;
}

bool
wire_frontend_type(uint8_t type)
{
	switch (type) {
	case 'Q': /* Query */
	case 'P': /* Parse */
	case 'B': /* Bind */
	case 'D': /* Describe */
	case 'E': /* Execute */
	case 'C': /* Close */
	case 'S': /* Sync */
	case 'H': /* Flush */
	case 'F': /* FunctionCall */
	case 'X': /* Terminate */
	case 'd': /* CopyData */
	case 'c': /* CopyDone */
	case 'f': /* CopyFail */
		return true;
	default:
		return false;
	}
}

uint32_t
wire_frontend_max(uint8_t type)
{
	switch (type) {
	case 'Q':
	case 'P':
	case 'B':
	case 'F':
	case 'd':
		return LARGE_MESSAGE;
	default:
		return SMALL_MESSAGE;
	}
}

bool
wire_backend_type(uint8_t type)
{
	switch (type) {
	case 'R': /* Authentication... */
	case 'K': /* BackendKeyData */
	case 'S': /* ParameterStatus */
	case 'N': /* NoticeResponse */
	case 'E': /* ErrorResponse */
	case 'Z': /* ReadyForQuery */
	case 'T': /* RowDescription */
	case 'D': /* DataRow */
	case 'C': /* CommandComplete */
	case 'I': /* EmptyQueryResponse */
	case '1': /* ParseComplete */
	case '2': /* BindComplete */
	case '3': /* CloseComplete */
	case 'n': /* NoData */
	case 't': /* ParameterDescription */
	case 's': /* PortalSuspended */
	case 'A': /* NotificationResponse */
	case 'G': /* CopyInResponse */
	case 'H': /* CopyOutResponse */
	case 'W': /* CopyBothResponse */
	case 'V': /* FunctionCallResponse */
	case 'd': /* CopyData */
	case 'c': /* CopyDone */
	case 'v': /* NegotiateProtocolVersion */
		return true;
	default:
		return false;
	}
}

void
wire_init(struct wire_out *out, void *base, size_t size)
{
	*out = (struct wire_out){.base = base, .size = size};
}

/* The next n bytes to fill, or NULL. */
static uint8_t *
out_take(struct wire_out *out, size_t n)
{
	uint8_t *p;

	if (out->failed || n > out->size - out->len) {
		out->failed = true;
		return NULL;
	}
	p = out->base + out->len;
	out->len += n;
	return p;
}

void
wire_begin(struct wire_out *out, uint8_t type)
{
	uint8_t *p;

	out->mark = out->len;
	p = out_take(out, type != 0 ? WIRE_HEADER : 4);
	if (p == NULL)
		return;
	/* An untyped packet begins with a 0 until its length is known: wire_end sees which it is.
	 */
	*p = type;
	wire_put32(type != 0 ? p + 1 : p, 0);
}

void
wire_byte(struct wire_out *out, uint8_t v)
{
	wire_bytes(out, &v, 1);
}

void
wire_int16(struct wire_out *out, uint16_t v)
{
	uint8_t *p = out_take(out, 2);

	if (p == NULL)
		return;
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

void
wire_int32(struct wire_out *out, uint32_t v)
{
	uint8_t *p = out_take(out, 4);

	if (p != NULL)
		wire_put32(p, v);
}

void
wire_bytes(struct wire_out *out, const void *bytes, size_t n)
{
	uint8_t *p = n > 0 ? out_take(out, n) : NULL;

	if (p != NULL)
		memcpy(p, bytes, n);
}

void
wire_string(struct wire_out *out, const char *s)
{
	wire_bytes(out, s, strlen(s) + 1);
}

void
wire_end(struct wire_out *out)
{
	size_t len = out->len - out->mark;
	uint8_t *start;

	if (len > INT32_MAX)
		out->failed = true;
	if (out->failed) {
		out->len = out->mark; /* half a message is worse than none */
		return;
	}
	start = out->base + out->mark;
	if (*start != 0)
		wire_put32(start + 1, (uint32_t)len - 1);
	else
		wire_put32(start, (uint32_t)len);
}

static size_t
field_size(const char *value)
{
	return value == NULL ? 0 : strlen(value) + 2;
}

static void
field_put(struct wire_out *out, char field, const char *value)
{
	if (value == NULL)
		return;
	wire_byte(out, (uint8_t)field);
	wire_string(out, value);
}

/* Bytes of s that fit into room without cutting a UTF-8 character in two. */
static size_t
utf8_fit(const char *s, size_t room)
{
	size_t len = strnlen(s, room + 1);
	size_t cut = room;

	if (len <= room)
		return len;
	for (int i = 0; i < UTF8_TAIL_MAX && cut > 0 && ((uint8_t)s[cut] & 0xC0) == 0x80; i++)
		cut--;
	return ((uint8_t)s[cut] & 0xC0) == 0x80 ? room : cut;
}

/*
 * ErrorResponse and NoticeResponse. Texts may come from outside and be of any length: what does not
 * fit is left out in the order hint, detail, end of the message text.
 */
static void
report(struct wire_out *out, uint8_t type, const struct wire_error *e)
{
	const char *detail = e->detail;
	const char *hint = e->hint;
	size_t room = out->size - out->len;
	size_t text = strlen(e->message);
	/* The header, S V C and an empty M, the end of the fields. */
	size_t fixed = WIRE_HEADER + 2 * field_size(e->severity) + field_size(e->sqlstate) + 2 + 1;

	if (out->failed || fixed > room) {
		out->failed = true;
		return;
	}
	room -= fixed;
	if (text > room || field_size(detail) + field_size(hint) > room - text)
		hint = NULL;
	if (text > room || field_size(detail) > room - text - field_size(hint))
		detail = NULL;
	wire_begin(out, type);
	field_put(out, 'S', e->severity);
	field_put(out, 'V', e->severity);
	field_put(out, 'C', e->sqlstate);
	wire_byte(out, 'M');
	wire_bytes(out, e->message, utf8_fit(e->message, room));
	wire_byte(out, 0);
	field_put(out, 'D', detail);
	field_put(out, 'H', hint);
	wire_byte(out, 0);
	wire_end(out);
}

void
wire_error(struct wire_out *out, const struct wire_error *e)
{
	report(out, 'E', e);
}

void
wire_notice(struct wire_out *out, const struct wire_error *e)
{
	report(out, 'N', e);
}

void
wire_ready(struct wire_out *out, char status)
{
	wire_begin(out, 'Z');
	wire_byte(out, (uint8_t)status);
	wire_end(out);
}

void
wire_parameter(struct wire_out *out, const char *name, const char *value)
{
	wire_begin(out, 'S');
	wire_string(out, name);
	wire_string(out, value);
	wire_end(out);
}

void
wire_query(struct wire_out *out, const char *sql)
{
	wire_begin(out, 'Q');
	wire_string(out, sql);
	wire_end(out);
}

void
wire_cancel(struct wire_out *out, int32_t pid, const uint8_t *key, size_t len)
{
	wire_begin(out, 0);
	wire_int32(out, WIRE_CODE_CANCEL);
	wire_int32(out, (uint32_t)pid);
	wire_bytes(out, key, len);
	wire_end(out);
}

void
wire_read(struct wire_in *in, const void *body, size_t len)
{
	*in = (struct wire_in){.p = body, .left = len};
}

const uint8_t *
wire_get_bytes(struct wire_in *in, size_t n)
{
	const uint8_t *p = in->p;

	if (in->failed || n > in->left) {
		in->failed = true;
		return NULL;
	}
	if (n > 0)
		in->p += n;
	in->left -= n;
	return p;
}

uint8_t
wire_get_byte(struct wire_in *in)
{
	const uint8_t *p = wire_get_bytes(in, 1);

	return p == NULL ? 0 : *p;
}

uint16_t
wire_get_int16(struct wire_in *in)
{
	const uint8_t *p = wire_get_bytes(in, 2);

	if (p == NULL)
		return 0;
	return (uint16_t)(p[0] << 8 | p[1]);
}

uint32_t
wire_get_int32(struct wire_in *in)
{
	const uint8_t *p = wire_get_bytes(in, 4);

	return p == NULL ? 0 : wire_get32(p);
}

const char *
wire_get_string(struct wire_in *in)
{
	const uint8_t *nul = NULL;

	if (!in->failed && in->left > 0)
		nul = memchr(in->p, 0, in->left);
	if (nul == NULL) {
		in->failed = true;
		return NULL;
	}
	return (const char *)wire_get_bytes(in, (size_t)(nul - in->p) + 1);
}

const char *
wire_error_field(const void *body, size_t len, char field)
{
	struct wire_in in;
	const char *value;
	uint8_t code;

	wire_read(&in, body, len);
	while ((code = wire_get_byte(&in)) != 0) {
		value = wire_get_string(&in);
		if (value == NULL || code == (uint8_t)field)
			return value;
	}
	return NULL;
}

bool
wire_error_is(const void *body, size_t len, const char *sqlstate)
{
	const char *state = wire_error_field(body, len, 'C');

	return state != NULL && strncmp(state, sqlstate, strlen(sqlstate)) == 0;
}

bool
wire_error_fatal(const void *body, size_t len)
{
	const char *severity = wire_error_field(body, len, 'V'); /* not translated, since 9.6 */

	if (severity == NULL)
		severity = wire_error_field(body, len, 'S');
	return severity != NULL &&
	       (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0);
}

/*
 * How the character at s is written inside the quotes. A backslash behind a non-ASCII byte may be
 * that character's second half (SJIS, BIG5, GBK): doubled, the other half would escape what comes
 * next, perhaps our closing quote. In octal it can do no harm in any client encoding.
 */
static const char *
quoted(const char *value, const char *s)
{
	if (*s == '\'')
		return "''";
	if (*s != '\\')
		return NULL;
	return s > value && (uint8_t)s[-1] >= 0x80 ? "\\134" : "\\\\";
}

size_t
wire_quote_literal(const char *value, char *out, size_t size)
{
	struct wire_out w;
	const char *as;

	wire_init(&w, out, size);
	/* Only E'' means the same whatever standard_conforming_strings is. */
	if (strchr(value, '\\') != NULL)
		wire_byte(&w, 'E');
	wire_byte(&w, '\'');
	for (const char *s = value; *s != '\0'; s++) {
		as = quoted(value, s);
		if (as == NULL)
			wire_byte(&w, (uint8_t)*s);
		else
			wire_bytes(&w, as, strlen(as));
	}
	wire_bytes(&w, "'", 2);
	return w.failed ? 0 : w.len - 1;
}
