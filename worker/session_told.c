/*
 * session_told: what a client is told of settings that it resets. See session.h. Called by relay.c
 * for reports and ReadyForQuery, by session.c when it is known what was reset.
 *
 * PostgreSQL (14 and later) reports just before it is ready. A value that RESET may have given the
 * backend and that is not the client's own is not passed on; if the transaction is over,
 * ReadyForQuery follows what the client has from now on, which may take an answer of
 * session_probe.c. Within a transaction it has the backend's value, and is told so.
 *
 * What is sent behind such a text in one go would meet the backend's value as well: it waits
 * (session_waits).
 */
#include <string.h>

#include "conf/hint.h"
#include "proto/wire.h"
#include "worker/objects.h"
#include "worker/relay.h"
#include "worker/session.h"

/* How the open texts change a reported setting, as in session_note.changes; 0 = not at all. What
 * anything may have changed is not, unless the server has said so. */
static char
open_change(const struct session_note *open, int i, bool said)
{
	const char *name, *how;
	size_t at = 0;

	while (gucs_next(open->changes, &at, &name, &how))
		if (params_index(name) == i)
			return how[0];
	return open->reset_all ? '-' : open->all && said ? '?' : '\0';
}

/* The backend has another value than the client's login. */
static bool
is_foreign(const struct backend *b, int i)
{
	const char *start = b->client->session.start.v[i];

	return start != NULL && b->params.v[i] != start;
}

static bool
is_in_doubt(const struct backend *b, int i, bool said)
{
	char how = open_change(&b->client->session.open, i, said);

	return (how == '-' || how == '?') && is_foreign(b, i);
}

static bool
is_withheld(const struct session_part *s, int i)
{
	int k;

	for (k = 0; k < s->nwithheld; k++)
		if (s->withheld[k] == i)
			return true;
	return false;
}

COLD bool
session_in_doubt(const struct backend *b, int i)
{
	return is_in_doubt(b, i, is_withheld(&b->client->session, i));
}

static void
not_withheld(struct session_part *s, int i)
{
	int k, n = 0;

	for (k = 0; k < s->nwithheld; k++)
		if (s->withheld[k] != i)
			s->withheld[n++] = s->withheld[k];
	s->nwithheld = (uint8_t)n;
}

bool
session_withholds(const struct backend *b, int i)
{
	struct session_part *s = &b->client->session;

	not_withheld(s, i);
	if (!session_watches(b->client) || !is_in_doubt(b, i, true))
		return false;
	s->withheld[s->nwithheld++] = (uint8_t)i;
	return true;
}

void
session_tell(struct client *c, int i, const char *value)
{
	not_withheld(&c->session, i);
	if (value == NULL || c->params.v[i] == value)
		return;
	conn_put_parameter(&c->conn, params_name(i), value);
	session_has(c, i, value);
}

/* --- settings known by their names ------------------------------------------------------------ */

void
session_told_at_login(struct client *c, const char *name, const char *value)
{
	struct session_part *s = &c->session;

	s->told_first = gucs_put(s->told_first, name, value);
	s->told_last = gucs_put(s->told_last, name, value);
}

static bool
is_name_in_doubt(const struct session_note *open, const char *name)
{
	const char *how = gucs_get(open->changes, name);

	return how != NULL ? how[0] != '=' : open->all || open->reset_all;
}

bool
session_withholds_report(const struct backend *b, const uint8_t *body, size_t len)
{
	struct session_part *s = &b->client->session;
	const char *name, *value;
	struct wire_in in;

	if (s->told_first == NULL)
		return false;
	wire_read(&in, body, len);
	name = wire_get_string(&in);
	value = wire_get_string(&in);
	if (name == NULL || value == NULL || gucs_get(s->told_first, name) == NULL)
		return false;
	if (is_name_in_doubt(&s->open, name)) {
		s->reports = gucs_put(s->reports, name, value);
		return true;
	}
	s->reports = gucs_put(s->reports, name, NULL);
	s->told_last = gucs_put(s->told_last, name, value);
	return false;
}

static void
tell_name(struct client *c, const char *name, const char *value)
{
	struct session_part *s = &c->session;

	s->reports = gucs_put(s->reports, name, NULL);
	if (strcmp(gucs_get(s->told_last, name), value) == 0)
		return;
	conn_put_parameter(&c->conn, name, value);
	s->told_last = gucs_put(s->told_last, name, value);
}

void
session_tell_login(struct client *c, const char *which)
{
	const char *name, *value;
	size_t at = 0;

	while (gucs_next(c->session.told_first, &at, &name, &value))
		if (which == NULL || strcmp(name, which) == 0)
			tell_name(c, name, value);
}

/* Has it been told another value than that of its login, which it may have again? */
COLD static bool
is_any_name_in_doubt(const struct session_part *s)
{
	const char *name, *value;
	size_t at = 0;

	while (gucs_next(s->told_first, &at, &name, &value))
		if (is_name_in_doubt(&s->open, name) &&
		    (gucs_get(s->reports, name) != NULL ||
			strcmp(gucs_get(s->told_last, name), value) != 0))
			return true;
	return false;
}

/* --- ReadyForQuery ---------------------------------------------------------------------------- */

COLD static void
tell_withheld(struct backend *b)
{
	const struct session_part *s = &b->client->session;
	const struct gucs *reports = gucs_hold(s->reports);
	const char *name, *value;
	size_t at = 0;

	while (s->nwithheld > 0)
		session_tell(b->client, s->withheld[0], b->params.v[s->withheld[0]]);
	while (gucs_next(reports, &at, &name, &value))
		tell_name(b->client, name, value);
	gucs_drop(reports);
}

COLD bool
session_holds_ready(struct backend *b, bool last)
{
	struct session_part *s = &b->client->session;
	int i;

	if (!session_watches(b->client))
		return false;
	if (last && session_may_reset(&s->open)) {
		s->ready = s->ready || is_any_name_in_doubt(s);
		for (i = 0; i < PARAMS_N && !s->ready; i++)
			s->ready = session_in_doubt(b, i);
	}
	if (!s->ready && (s->nwithheld > 0 || s->reports != NULL)) {
		relay_put_approved(b);
		tell_withheld(b);
	}
	return s->ready;
}

void
session_say_ready(struct backend *b)
{
	struct client *c = b->client;
	uint8_t msg[16];
	struct wire_out w;

	if (!c->session.ready)
		return;
	c->session.ready = false;
	tell_withheld(b);
	wire_init(&w, msg, sizeof(msg));
	wire_ready(&w, 'I');
	conn_put(&c->conn, msg, w.len);
	(void)conn_send(&c->conn, NULL, NULL); /* what it leaves is sent, or breaks, in its turn */
	loop_again(&c->conn.src);
}

/* --- requests that wait ----------------------------------------------------------------------- */

bool
session_resets_login(const struct client *c, const struct session_note *n)
{
	const struct params *start = &c->session.start;
	const char *name, *value;
	size_t at = 0;
	char how;
	int i;

	if (!session_may_reset(n))
		return false;
	while (gucs_next(start->set, &at, &name, &value))
		if (is_name_in_doubt(n, name))
			return true;
	for (i = 0; i < PARAMS_N; i++) {
		how = open_change(n, i, true);
		if ((how == '-' || how == '?') && start->v[i] != c->pool->defaults.v[i])
			return true;
	}
	return false;
}

bool
session_waits(const struct client *c, uint8_t type)
{
	const struct expect *x = &c->backend->expect;
	const struct expect_entry *last = expect_last(x);

	return c->session.resets && strchr("QPBDCEFS", type) != NULL && last != NULL &&
	       strchr("QSF", last->type) != NULL && !expect_in_copy(x);
}
