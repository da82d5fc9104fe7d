/*
 * startup: a client's first packet (StartupMessage, CancelRequest, SSLRequest, GSSENCRequest), and
 * the `options` string inside it.
 *
 * Called by the worker for every connection, with bytes from strangers. Owns nothing: strings point
 * into the caller's packet, and only to places whose NUL lies inside it. On failure: the SQLSTATE
 * and text PostgreSQL would answer with, where it has one.
 *
 * Stricter than PostgreSQL: SSLRequest and GSSENCRequest are exactly 8 bytes, a cancel key has 4 to
 * 256 bytes (PostgreSQL takes 1 to 256), and the last byte must be the terminator indeed.
 */
#include "proto/startup.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define REQUEST_SIZE   8  /* length and code: what SSLRequest and GSSENCRequest consist of */
#define CANCEL_HEAD    12 /* length, code, pid */
#define CANCEL_KEY_MIN 4
#define CANCEL_KEY_MAX 256

#define PROTO_MAJOR(v) ((v) >> 16)
#define PROTO_MINOR(v) ((v)&0xFFFFU)

static enum startup_kind bad(struct startup *s, const char *sqlstate, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

static enum startup_kind
bad(struct startup *s, const char *sqlstate, const char *fmt, ...)
{
	va_list ap;

	s->sqlstate = sqlstate;
	va_start(ap, fmt);
	(void)vsnprintf(s->error, sizeof(s->error), fmt, ap);
	va_end(ap);
	return STARTUP_BAD;
}

static enum startup_kind
parse_request(struct startup *s, enum startup_kind kind)
{
	if (s->len != REQUEST_SIZE)
		return bad(s, "08P01", "invalid length of startup packet");
	return kind;
}

static enum startup_kind
parse_cancel(const uint8_t *p, struct startup *s)
{
	if (s->len < CANCEL_HEAD)
		return bad(s, "08P01", "invalid length of cancel request packet");
	s->cancel_pid = (int32_t)wire_get32(p + REQUEST_SIZE);
	s->cancel_key = p + CANCEL_HEAD;
	s->cancel_key_len = s->len - CANCEL_HEAD;
	if (s->cancel_key_len < CANCEL_KEY_MIN || s->cancel_key_len > CANCEL_KEY_MAX)
		return bad(s, "08P01", "invalid length of cancel key in cancel request packet");
	return STARTUP_CANCEL;
}

/* Files one parameter where it belongs; the last of several user, database... wins. */
static bool
keep_param(struct startup *s, const char *name, const char *value)
{
	if (strcmp(name, "user") == 0) {
		s->user = value;
	} else if (strcmp(name, "database") == 0) {
		s->database = value;
	} else if (strcmp(name, "replication") == 0) {
		s->replication_asked = value;
	} else if (strcmp(name, "options") == 0) {
		s->options = value;
	} else if (strncmp(name, "_pq_.", 5) == 0) {
		if (s->npq == STARTUP_MAX_PARAMS)
			return false;
		s->pq_options[s->npq++] = name;
	} else {
		if (s->nparams == STARTUP_MAX_PARAMS)
			return false;
		s->params[s->nparams++] = (struct startup_param){name, value};
	}
	return true;
}

/* Name and value pairs, ended by an empty name that is the packet's last byte. */
static enum startup_kind
parse_params(struct wire_in *in, struct startup *s)
{
	const char *name;
	const char *value;

	while ((name = wire_get_string(in)) != NULL && *name != '\0') {
		value = wire_get_string(in);
		if (value == NULL)
			break;
		if (!keep_param(s, name, value))
			return bad(s, "08P01", "too many parameters in startup packet");
	}
	if (in->failed || in->left != 0)
		return bad(
		    s, "08P01", "invalid startup packet layout: expected terminator as last byte");
	return STARTUP_SESSION;
}

/* Is `text` a beginning of `word`, of so many letters at least? */
static bool
begins(const char *text, const char *word, size_t least)
{
	size_t n = strlen(text);

	return n >= least && strncasecmp(text, word, n) == 0;
}

/* As PostgreSQL reads it: "database", or a boolean. False: it is neither. */
static bool
parse_replication(struct startup *s)
{
	const char *v = s->replication_asked;

	if (v == NULL || begins(v, "false", 1) || begins(v, "no", 1) || begins(v, "off", 2) ||
	    strcmp(v, "0") == 0)
		s->replication = REPLICATION_NONE;
	else if (strcmp(v, "database") == 0)
		s->replication = REPLICATION_LOGICAL;
	else if (begins(v, "true", 1) || begins(v, "yes", 1) || begins(v, "on", 2) ||
		 strcmp(v, "1") == 0)
		s->replication = REPLICATION_PHYSICAL;
	else
		return false;
	return true;
}

static enum startup_kind
parse_session(const uint8_t *p, struct startup *s)
{
	struct wire_in in;

	if (PROTO_MAJOR(s->protocol) != PROTO_MAJOR(WIRE_PROTO_3_2))
		return bad(s, "0A000",
		    "unsupported frontend protocol %u.%u: server supports 3.0 to 3.2",
		    PROTO_MAJOR(s->protocol), PROTO_MINOR(s->protocol));
	wire_read(&in, p + REQUEST_SIZE, s->len - REQUEST_SIZE);
	if (parse_params(&in, s) == STARTUP_BAD)
		return STARTUP_BAD;
	if (!parse_replication(s))
		return bad(s, "22023", "invalid value for parameter \"replication\": \"%.64s\"",
		    s->replication_asked);
	s->negotiate = s->protocol > WIRE_PROTO_3_2 || s->npq > 0;
	if (s->user == NULL || *s->user == '\0') {
		s->user = NULL;
		return bad(s, "28000", "no PostgreSQL user name specified in startup packet");
	}
	if (s->database == NULL || *s->database == '\0')
		s->database = s->user;
	return STARTUP_SESSION;
}

/* The smallest length that the bytes seen so far can become: 0x16 or 'G' alone are too much. */
static uint32_t
length_floor(const uint8_t *p, size_t avail)
{
	uint8_t word[4] = {0};

	memcpy(word, p, avail < sizeof(word) ? avail : sizeof(word));
	return wire_get32(word);
}

enum startup_kind
startup_parse(const uint8_t *p, size_t avail, struct startup *s)
{
	memset(s, 0, sizeof(*s));
	s->len = REQUEST_SIZE;
	if (avail == 0)
		return STARTUP_MORE;
	s->len = length_floor(p, avail);
	if (s->len > WIRE_STARTUP_MAX || (avail >= 4 && s->len < REQUEST_SIZE))
		return bad(s, "08P01", "invalid length of startup packet");
	if (avail < 4)
		s->len = REQUEST_SIZE;
	if (avail < s->len)
		return STARTUP_MORE;
	s->protocol = wire_get32(p + 4);
	switch (s->protocol) {
	case WIRE_CODE_SSL:
		return parse_request(s, STARTUP_SSL);
	case WIRE_CODE_GSSENC:
		return parse_request(s, STARTUP_GSSENC);
	case WIRE_CODE_CANCEL:
		return parse_cancel(p, s);
	default:
		return parse_session(p, s);
	}
}

/*
 * PostgreSQL sends whole version numbers, not minors, and never more than the client asked for:
 * libpq takes "a higher-numbered version" for an attack.
 */
void
startup_negotiate(struct wire_out *out, const struct startup *s)
{
	wire_begin(out, 'v');
	wire_int32(out, s->protocol < WIRE_PROTO_3_2 ? s->protocol : WIRE_PROTO_3_2);
	wire_int32(out, (uint32_t)s->npq);
	for (size_t i = 0; i < s->npq; i++)
		wire_string(out, s->pq_options[i]);
	wire_end(out);
}

/*
 * The next word of an options string, unescaped into `word`, which has room for all of it. Words
 * are parted by white space; a backslash takes the next character as it is. Returns the rest, or
 * NULL when there is no word left.
 */
static const char *
next_word(const char *s, char *word)
{
	while (isspace((unsigned char)*s))
		s++;
	if (*s == '\0')
		return NULL;
	for (; *s != '\0' && !isspace((unsigned char)*s); s++) {
		if (*s == '\\' && *++s == '\0')
			break; /* a lone backslash at the end means nothing */
		*word++ = *s;
	}
	*word = '\0';
	return s;
}

/* name=value, dashes in the name meaning underscores. */
static int
setting(char *word, int (*fn)(void *, const char *, const char *), void *arg)
{
	char *eq = strchr(word, '=');

	if (eq == NULL || eq == word)
		return -1;
	*eq = '\0';
	for (char *c = word; *c != '\0'; c++)
		if (*c == '-')
			*c = '_';
	return fn(arg, word, eq + 1) == 0 ? 0 : -1;
}

int
startup_options(
    const char *options, int (*fn)(void *arg, const char *name, const char *value), void *arg)
{
	char word[WIRE_STARTUP_MAX];
	char *name;

	if (strlen(options) >= sizeof(word))
		return -1;
	while ((options = next_word(options, word)) != NULL) {
		name = word + 2;
		if (strcmp(word, "-c") == 0) {
			name = word;
			options = next_word(options, word);
			if (options == NULL)
				return -1;
		} else if (strncmp(word, "-c", 2) != 0 && strncmp(word, "--", 2) != 0) {
			return -1;
		}
		if (setting(name, fn, arg) == -1)
			return -1;
	}
	return 0;
}
