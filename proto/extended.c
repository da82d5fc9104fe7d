/*
 * extended: see extended.h. Called by worker/gate.c for every message of a client in transaction
 * mode. A field that does not end inside the body is BAD: such a message is passed on as it is, and
 * the server's own error is the answer.
 */
#include "proto/extended.h"

#include <string.h>

struct reader {
	const uint8_t *p;
	size_t at, avail, len;
};

static enum extended_result
text(struct reader *r, struct extended_text *t)
{
	const uint8_t *end;

	if (r->at >= r->len)
		return EXTENDED_BAD;
	if (r->at < r->avail && r->p[r->at] == '\0') { /* most portals have no name */
		*t = (struct extended_text){.at = (uint32_t)r->at++};
		return EXTENDED_OK;
	}
	end = r->at < r->avail ? memchr(r->p + r->at, '\0', r->avail - r->at) : NULL;
	if (end == NULL)
		return r->avail < r->len ? EXTENDED_MORE : EXTENDED_BAD;
	t->at = (uint32_t)r->at;
	t->len = (uint32_t)((size_t)(end - r->p) - r->at);
	r->at += t->len + 1;
	return EXTENDED_OK;
}

static enum extended_result
read_parse(struct reader *r, struct extended *x)
{
	enum extended_result res = text(r, &x->statement);
	size_t ntypes;

	if (res != EXTENDED_OK)
		return res;
	if (r->avail < r->len)
		return EXTENDED_MORE;
	if (text(r, &x->sql) != EXTENDED_OK || r->len - r->at < 2)
		return EXTENDED_BAD;
	ntypes = (size_t)r->p[r->at] << 8 | r->p[r->at + 1];
	return r->len - r->at == 2 + 4 * ntypes ? EXTENDED_OK : EXTENDED_BAD;
}

static enum extended_result
read_kind(struct reader *r, struct extended *x)
{
	if (r->len < 2)
		return EXTENDED_BAD;
	if (r->avail == 0)
		return EXTENDED_MORE;
	x->kind = r->p[r->at++];
	if (x->kind == 'S')
		return text(r, &x->statement);
	return x->kind == 'P' ? text(r, &x->portal) : EXTENDED_BAD;
}

enum extended_result
extended_read(uint8_t type, const uint8_t *body, size_t avail, size_t len, struct extended *x)
{
	struct reader r = {body, 0, avail < len ? avail : len, len};
	enum extended_result res;

	memset(x, 0, sizeof(*x));
	switch (type) {
	case 'P':
		return read_parse(&r, x);
	case 'B':
		res = text(&r, &x->portal);
		return res == EXTENDED_OK ? text(&r, &x->statement) : res;
	case 'D':
	case 'C':
		return read_kind(&r, x);
	case 'E':
		return text(&r, &x->portal);
	default:
		return EXTENDED_BAD;
	}
}
