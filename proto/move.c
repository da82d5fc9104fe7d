/*
 * move: see move.h. Called by worker/handover*.c and worker/adopt.c. Owns nothing; what is read
 * points into the record.
 */
#include "proto/move.h"

#include <string.h>

#define MOVE_MAGIC 0x70674d56U /* "pgMV" */
#define HEAD	   8

enum { IDENTITY_LONG = 1, IDENTITY_SETTLED = 2 };
enum { STATEMENT_UNNAMED = 1, STATEMENT_USED = 2, STATEMENT_OWN = 4, STATEMENT_STAND_IN = 8 };
enum { LINK_DIRTY = 1, LINK_SPOILED = 2 };

/* --- writing ---------------------------------------------------------------------------------- */

static void
put64(struct wire_out *w, uint64_t v)
{
	wire_int32(w, (uint32_t)(v >> 32));
	wire_int32(w, (uint32_t)v);
}

void
move_begin(struct wire_out *w, enum move_kind kind)
{
	wire_int32(w, MOVE_MAGIC);
	wire_int16(w, MOVE_VERSION);
	wire_int16(w, (uint16_t)kind);
}

size_t
move_field(struct wire_out *w, enum move_tag tag)
{
	wire_int16(w, (uint16_t)tag);
	wire_int32(w, 0);
	return w->len;
}

void
move_field_end(struct wire_out *w, size_t at)
{
	if (!w->failed)
		wire_put32(w->base + at - 4, (uint32_t)(w->len - at));
}

void
move_text(struct wire_out *w, enum move_tag tag, const char *text)
{
	size_t at = move_field(w, tag);

	wire_string(w, text);
	move_field_end(w, at);
}

static void
put_identity(struct wire_out *w, const struct move_client *c)
{
	size_t at = move_field(w, MOVE_IDENTITY);

	wire_int32(w, (uint32_t)c->pid);
	wire_bytes(w, c->key, sizeof(c->key));
	wire_byte(
	    w, (uint8_t)((c->long_key ? IDENTITY_LONG : 0) | (c->settled ? IDENTITY_SETTLED : 0)));
	move_field_end(w, at);
}

static void
put_scram(struct wire_out *w, const struct scram_keys *k)
{
	size_t at = move_field(w, MOVE_SCRAM);

	wire_int32(w, k->iterations);
	wire_bytes(w, k->client_key, sizeof(k->client_key));
	wire_bytes(w, k->server_key, sizeof(k->server_key));
	wire_bytes(w, k->salt, k->salt_len);
	move_field_end(w, at);
}

void
move_put_client(struct wire_out *w, const struct move_client *c)
{
	size_t at;

	move_begin(w, MOVE_CLIENT);
	move_text(w, MOVE_DB, c->db);
	move_text(w, MOVE_POOL_USER, c->pool_user);
	move_text(w, MOVE_USER, c->user);
	put_identity(w, c);
	at = move_field(w, MOVE_ADDRESS);
	wire_bytes(w, c->addr, sizeof(c->addr));
	wire_int16(w, c->port);
	wire_byte(w, c->is_unix);
	move_field_end(w, at);
	at = move_field(w, MOVE_TIMES);
	put64(w, (uint64_t)c->born_us);
	put64(w, (uint64_t)c->active_us);
	move_field_end(w, at);
	if (c->secret != NULL)
		move_text(w, MOVE_SECRET, c->secret);
	if (c->scram.iterations != 0)
		put_scram(w, &c->scram);
	if (!c->linked)
		return;
	at = move_field(w, MOVE_LINK);
	wire_int32(w, c->pins);
	wire_byte(w, (uint8_t)((c->dirty ? LINK_DIRTY : 0) | (c->spoiled ? LINK_SPOILED : 0)));
	move_field_end(w, at);
}

size_t
move_put_statement(struct wire_out *w, const struct move_statement *s)
{
	size_t at = move_field(w, MOVE_STATEMENT);

	wire_byte(
	    w, (uint8_t)((s->unnamed ? STATEMENT_UNNAMED : 0) | (s->used ? STATEMENT_USED : 0) |
			 (s->own ? STATEMENT_OWN : 0) | (s->stand_in ? STATEMENT_STAND_IN : 0)));
	put64(w, s->since);
	wire_string(w, s->name);
	return at;
}

void
move_put_backend(struct wire_out *w, const struct move_backend *b)
{
	size_t at;

	move_begin(w, MOVE_BACKEND);
	move_text(w, MOVE_DB, b->db);
	move_text(w, MOVE_POOL_USER, b->pool_user);
	at = move_field(w, MOVE_SERVER);
	wire_int32(w, (uint32_t)b->pid);
	put64(w, (uint64_t)b->opened_us);
	put64(w, b->dest);
	wire_int32(w, b->key_len);
	wire_bytes(w, b->key, b->key_len);
	wire_int32(w, b->addr_len);
	wire_bytes(w, b->addr, b->addr_len);
	move_field_end(w, at);
}

/* --- reading ---------------------------------------------------------------------------------- */

static uint64_t
get64(struct wire_in *in)
{
	uint64_t high = wire_get_int32(in);

	return high << 32 | wire_get_int32(in);
}

static struct move_bytes
get_counted(struct wire_in *in)
{
	struct move_bytes b;

	b.len = wire_get_int32(in);
	b.p = wire_get_bytes(in, b.len);
	return b;
}

static bool
head(struct wire_in *in, enum move_kind kind)
{
	return wire_get_int32(in) == MOVE_MAGIC && wire_get_int16(in) == MOVE_VERSION &&
	       wire_get_int16(in) == (uint16_t)kind && !in->failed;
}

/* The next field: 1, 0 at the end, -1 = broken. */
static int
next_field(struct wire_in *in, uint16_t *tag, struct wire_in *field)
{
	struct move_bytes b;

	if (in->left == 0)
		return 0;
	*tag = wire_get_int16(in);
	b = get_counted(in);
	if (in->failed)
		return -1;
	wire_read(field, b.p, b.len);
	return 1;
}

/* The whole field, which must not be empty, or may be. */
static struct move_bytes
rest(struct wire_in *f)
{
	struct move_bytes b = {f->p, f->left};

	f->p += f->left;
	f->left = 0;
	return b;
}

static const char *
get_text(struct wire_in *f)
{
	const char *text = wire_get_string(f);

	f->failed |= text == NULL;
	return text;
}

static const char *
get_name(struct wire_in *f)
{
	const char *text = get_text(f);

	f->failed |= text == NULL || text[0] == '\0' || strlen(text) >= MOVE_NAME_MAX;
	return text;
}

static void
copy(struct wire_in *f, void *to, size_t n)
{
	const uint8_t *p = wire_get_bytes(f, n);

	if (p != NULL)
		memcpy(to, p, n);
}

static void
get_identity(struct wire_in *f, struct move_client *c)
{
	uint8_t flags;

	c->pid = (int32_t)wire_get_int32(f);
	copy(f, c->key, sizeof(c->key));
	flags = wire_get_byte(f);
	c->long_key = (flags & IDENTITY_LONG) != 0;
	c->settled = (flags & IDENTITY_SETTLED) != 0;
	f->failed |= c->pid <= 0;
}

static void
get_scram(struct wire_in *f, struct scram_keys *k)
{
	k->iterations = wire_get_int32(f);
	copy(f, k->client_key, sizeof(k->client_key));
	copy(f, k->server_key, sizeof(k->server_key));
	k->salt_len = f->left;
	f->failed |= k->salt_len > sizeof(k->salt) || k->iterations > SCRAM_ITERATIONS_MAX;
	if (!f->failed)
		copy(f, k->salt, k->salt_len);
}

static void
get_address(struct wire_in *f, struct move_client *c)
{
	copy(f, c->addr, sizeof(c->addr));
	c->port = wire_get_int16(f);
	c->is_unix = wire_get_byte(f) != 0;
}

static void
get_link(struct wire_in *f, struct move_client *c)
{
	uint8_t flags;

	c->linked = true;
	c->pins = wire_get_int32(f);
	flags = wire_get_byte(f);
	c->dirty = (flags & LINK_DIRTY) != 0;
	c->spoiled = (flags & LINK_SPOILED) != 0;
}

static bool
get_statement(struct wire_in *f, struct move_statement *s)
{
	uint8_t flags = wire_get_byte(f);

	s->unnamed = (flags & STATEMENT_UNNAMED) != 0;
	s->used = (flags & STATEMENT_USED) != 0;
	s->own = (flags & STATEMENT_OWN) != 0;
	s->stand_in = (flags & STATEMENT_STAND_IN) != 0;
	s->since = get64(f);
	s->name = get_text(f);
	s->settings = get_counted(f);
	s->body = get_counted(f);
	/* A Parse's body: a text and its NUL, a count, and so many types. */
	return !f->failed && f->left == 0 && s->unnamed == (s->name[0] == '\0') &&
	       strlen(s->name) < MOVE_NAME_MAX && s->body.len >= 3 &&
	       memchr(s->body.p, 0, s->body.len) != NULL;
}

/* False: unknown, or broken. */
static bool
client_field(struct move_client *c, uint16_t tag, struct wire_in *f)
{
	struct move_statement s;

	switch ((enum move_tag)tag) {
	case MOVE_DB:
		c->db = get_name(f);
		break;
	case MOVE_POOL_USER:
		c->pool_user = get_name(f);
		break;
	case MOVE_USER:
		c->user = get_name(f);
		break;
	case MOVE_IDENTITY:
		get_identity(f, c);
		break;
	case MOVE_ADDRESS:
		get_address(f, c);
		break;
	case MOVE_TIMES:
		c->born_us = (int64_t)get64(f);
		c->active_us = (int64_t)get64(f);
		break;
	case MOVE_PARAMS:
		c->params = rest(f);
		break;
	case MOVE_START:
		c->start = rest(f);
		break;
	case MOVE_STATEMENT:
		return get_statement(f, &s);
	case MOVE_INPUT:
		c->input = rest(f);
		break;
	case MOVE_SECRET:
		c->secret = get_text(f);
		break;
	case MOVE_SCRAM:
		get_scram(f, &c->scram);
		break;
	case MOVE_LINK:
		get_link(f, c);
		break;
	case MOVE_TOLD_FIRST:
		c->told_first = rest(f);
		break;
	case MOVE_TOLD_LAST:
		c->told_last = rest(f);
		break;
	case MOVE_SERVER:
	case MOVE_FACTS:
	case MOVE_WELCOME:
	case MOVE_MAY_SKIP:
	default:
		return (tag & MOVE_MAY_SKIP) != 0;
	}
	return !f->failed && f->left == 0;
}

bool
move_get_client(struct move_client *c, const uint8_t *bytes, size_t len)
{
	struct wire_in in, f;
	uint16_t tag;
	int more;

	memset(c, 0, sizeof(*c));
	wire_read(&in, bytes, len);
	if (!head(&in, MOVE_CLIENT))
		return false;
	c->all = (struct move_bytes){bytes, len};
	while ((more = next_field(&in, &tag, &f)) == 1)
		if (!client_field(c, tag, &f))
			return false;
	return more == 0 && c->db != NULL && c->pool_user != NULL && c->user != NULL &&
	       c->pid > 0 && c->params.p != NULL && c->start.p != NULL &&
	       (c->told_first.p == NULL) == (c->told_last.p == NULL);
}

bool
move_statement(const struct move_client *c, size_t *at, struct move_statement *s)
{
	struct wire_in in, f;
	uint16_t tag;

	if (*at == 0)
		*at = HEAD;
	wire_read(&in, c->all.p + *at, c->all.len - *at);
	while (next_field(&in, &tag, &f) == 1) {
		*at = c->all.len - in.left;
		if (tag == MOVE_STATEMENT)
			return get_statement(&f, s);
	}
	return false;
}

static void
get_server(struct wire_in *f, struct move_backend *b)
{
	struct move_bytes key, addr;

	b->pid = (int32_t)wire_get_int32(f);
	b->opened_us = (int64_t)get64(f);
	b->dest = get64(f);
	key = get_counted(f);
	addr = get_counted(f);
	f->failed |= key.len > sizeof(b->key) || addr.len > sizeof(b->addr) || addr.len < 2;
	if (f->failed)
		return;
	b->key_len = (uint32_t)key.len;
	memcpy(b->key, key.p, key.len);
	b->addr_len = (uint32_t)addr.len;
	memcpy(b->addr, addr.p, addr.len);
}

/* ParameterStatus, one after the other. */
static bool
whole_messages(const struct move_bytes *b)
{
	size_t at = 0;
	uint32_t n;

	while (b->len - at >= WIRE_HEADER && b->p[at] == 'S') {
		n = wire_get32(b->p + at + 1);
		if (n < 4 || n > b->len - at - 1)
			return false;
		at += n + 1;
	}
	return at == b->len;
}

static bool
backend_field(struct move_backend *b, uint16_t tag, struct wire_in *f)
{
	switch (tag) {
	case MOVE_DB:
		b->db = get_name(f);
		break;
	case MOVE_POOL_USER:
		b->pool_user = get_name(f);
		break;
	case MOVE_SERVER:
		get_server(f, b);
		break;
	case MOVE_FACTS:
		b->facts = rest(f);
		break;
	case MOVE_WELCOME:
		b->welcome = rest(f);
		return whole_messages(&b->welcome);
	default:
		return (tag & MOVE_MAY_SKIP) != 0;
	}
	return !f->failed && f->left == 0;
}

bool
move_get_backend(struct move_backend *b, const uint8_t *bytes, size_t len)
{
	struct wire_in in, f;
	uint16_t tag;
	int more;

	memset(b, 0, sizeof(*b));
	wire_read(&in, bytes, len);
	if (!head(&in, MOVE_BACKEND))
		return false;
	while ((more = next_field(&in, &tag, &f)) == 1)
		if (!backend_field(b, tag, &f))
			return false;
	return more == 0 && b->db != NULL && b->pool_user != NULL && b->addr_len > 0 &&
	       b->facts.p != NULL;
}
