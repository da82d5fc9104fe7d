/*
 * session_probe: one query that tells what a transaction has left behind on a backend. See
 * session.h. Called at a transaction's end, before anybody else has the backend; the client's next
 * message waits meanwhile.
 *
 * Each row is a kind and two texts: 's', name, value of a setting; 'p', number of a reason to pin;
 * 'n', name of a statement prepared by a message.
 * Only what is in doubt is asked. Every name is qualified, as the client's search_path is in force.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "conf/log.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/objects.h"
#include "worker/relay.h"
#include "worker/session.h"

#define EQ " OPERATOR(pg_catalog.=) "

/* --- the question ----------------------------------------------------------------------------- */

/* The next of a list of names, whose values are asked for. */
static void
put_name(FILE *f, const char *name, int *n)
{
	if (params_index(name) != -1)
		return; /* reported */
	fputs((*n)++ == 0 ? " UNION ALL SELECT 's', n, pg_catalog.current_setting(n, true) "
			    "FROM pg_catalog.unnest(ARRAY["
			  : ",",
	    f);
	params_put_literal(f, name);
}

/* The same for one that may have been reset: null unless the session has set it. Those that are in
 * no view have no default but an empty one. */
static void
put_reset_name(FILE *f, const char *name)
{
	fputs(" UNION ALL SELECT 's', n, CASE WHEN EXISTS (SELECT 1 FROM pg_catalog.pg_settings "
	      "WHERE pg_catalog.lower(name)" EQ "n AND source OPERATOR(pg_catalog.<>) 'session') "
	      "THEN NULL ELSE pg_catalog.current_setting(n, true) END FROM (SELECT "
	      "pg_catalog.lower(",
	    f);
	params_put_literal(f, name);
	fputs(") AS n) AS r", f);
}

/* A reset gives the client what it logged in with. */
static bool
maybe_reset(const struct client *c, const char *name, const char *how)
{
	return how[0] == '-' || (how[0] == '?' && gucs_get(c->session.start.set, name) != NULL);
}

/* All that the session has set, and those the client had set before: null if they are reset. */
static void
put_all(FILE *f, const struct client *c)
{
	const char *name, *value;
	size_t at = 0;

	fputs(" UNION ALL SELECT 's', name, CASE WHEN source" EQ
	      "'session' THEN pg_catalog.current_setting(name) END FROM pg_catalog.pg_settings "
	      "WHERE source" EQ "'session' OR pg_catalog.lower(name)" EQ "ANY (ARRAY[''",
	    f);
	while (gucs_next(c->params.set, &at, &name, &value)) {
		if (gucs_get(c->session.open.changes, name) != NULL)
			continue;
		fputc(',', f);
		params_put_literal(f, name);
	}
	fputs("]::pg_catalog.text[])", f);
}

static void
put_names(FILE *f, const struct client *c)
{
	const struct session_note *open = &c->session.open;
	const char *name, *value;
	size_t at = 0;
	int n = 0, i;

	if (open->all) {
		put_name(f, "session_authorization", &n);
		put_name(f, "role", &n);
	}
	while (gucs_next(open->changes, &at, &name, &value))
		if (!maybe_reset(c, name, value))
			put_name(f, name, &n);
	at = 0;
	while (open->all && gucs_next(c->params.set, &at, &name, &value))
		if (gucs_get(open->changes, name) == NULL)
			put_name(f, name, &n);
	if (n > 0)
		fputs("]::pg_catalog.text[]) AS n", f);
	at = 0;
	while (gucs_next(open->changes, &at, &name, &value))
		if (maybe_reset(c, name, value) && params_index(name) == -1)
			put_reset_name(f, name);
	for (i = 0; i < PARAMS_N; i++)
		if (session_in_doubt(c->backend, i))
			put_reset_name(f, params_name(i));
	if (open->all)
		put_all(f, c);
}

static void
put_pins(FILE *f, uint32_t pins)
{
	static const char *const exists[PINS] = {
	    [PIN_TEMP] =
		"SELECT 1 FROM pg_catalog.pg_class WHERE relnamespace" EQ
		"pg_catalog.pg_my_temp_schema() UNION ALL SELECT 1 FROM "
		"pg_catalog.pg_proc WHERE pronamespace" EQ
		"pg_catalog.pg_my_temp_schema() UNION ALL SELECT 1 FROM "
		"pg_catalog.pg_type WHERE typnamespace" EQ "pg_catalog.pg_my_temp_schema()",
	    [PIN_LISTEN] = "SELECT pg_catalog.pg_listening_channels()",
	    [PIN_LOCKS] = "SELECT 1 FROM pg_catalog.pg_locks WHERE locktype" EQ
			  "'advisory' AND pid" EQ "pg_catalog.pg_backend_pid()",
	    [PIN_CURSORS] = "SELECT 1 FROM pg_catalog.pg_cursors WHERE is_holdable",
	    [PIN_PREPARED] = "SELECT 1 FROM pg_catalog.pg_prepared_statements WHERE from_sql",
	};
	int i;

	for (i = 0; i < PINS; i++)
		if ((pins >> i & 1) != 0 && exists[i] != NULL)
			fprintf(
			    f, " UNION ALL SELECT 'p', '%d', NULL WHERE EXISTS (%s)", i, exists[i]);
}

/* What the client's names are there: a name may be SQL's by now. */
static void
put_prepared_names(FILE *f)
{
	fputs(" UNION ALL SELECT 'n', name, NULL FROM pg_catalog.pg_prepared_statements WHERE NOT "
	      "from_sql AND NOT pg_catalog.starts_with(name,",
	    f);
	params_put_literal(f, STATEMENT_PREFIX);
	fputs(")", f);
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The next column of a DataRow; *text is not terminated, NULL = null. False: there is none. */
static bool
column(struct wire_in *in, const char **text, size_t *len)
{
	uint32_t n = wire_get_int32(in);

	*text = NULL;
	*len = 0;
	if (in->failed || n == UINT32_MAX)
		return !in->failed;
	*len = n;
	*text = (const char *)wire_get_bytes(in, n);
	return *text != NULL;
}

static void
learn_setting(struct backend *b, const char *name, size_t n, const char *value, size_t v)
{
	char *text = malloc(n + v + 2), *p;

	if (text == NULL)
		fatal("settings");
	memcpy(text, name, n);
	text[n] = '\0';
	for (p = text; *p != '\0'; p++)
		if (*p >= 'A' && *p <= 'Z')
			*p = (char)(*p | 0x20);
	if (value != NULL)
		memcpy(text + n + 1, value, v);
	text[n + 1 + v] = '\0';
	session_learn(b, text, value == NULL ? NULL : text + n + 1);
	free(text);
}

static void
probe_row(struct backend *b, const uint8_t *body, size_t len)
{
	const char *kind, *name, *value;
	size_t k, n, v;
	struct wire_in in;

	if (b->client == NULL)
		return;
	wire_read(&in, body, len);
	if (wire_get_int16(&in) != 3 || !column(&in, &kind, &k) || !column(&in, &name, &n) ||
	    !column(&in, &value, &v) || k != 1 || kind == NULL || name == NULL || n == 0)
		return;
	if (*kind == 's')
		learn_setting(b, name, n, value, v);
	else if (*kind == 'n')
		session_learn_name(b, name, n);
	else if (*kind == 'p' && name[0] >= '0' && name[0] <= '9')
		b->probed |= 1U << (name[0] - '0');
}

static void
probe_done(struct backend *b, const uint8_t *error, size_t len)
{
	const char *text = error == NULL ? NULL : wire_error_field(error, len, 'M');

	if (b->client == NULL) { /* session_leave has said what must be cleared away */
		backend_clean(b);
		return;
	}
	if (error == NULL)
		session_learned(b, b->probed);
	else
		session_unknown(b, text == NULL ? "?" : text);
	relay_settled(b);
}

void
session_probe(struct backend *b)
{
	const struct client *c = b->client;
	char *sql = NULL;
	size_t len;
	FILE *f = open_memstream(&sql, &len);

	if (f == NULL)
		fatal("settings");
	/* The first part names no table and has no row: it gives the columns their types. */
	fputs(
	    "SELECT ''::pg_catalog.text, ''::pg_catalog.text, ''::pg_catalog.text WHERE false", f);
	put_names(f, c);
	put_pins(f, c->session.open.maybe);
	if ((c->session.open.maybe & PIN(PREPARED)) != 0 && names_own(c))
		put_prepared_names(f);
	if (fclose(f) != 0)
		fatal("settings");
	b->probed = 0;
	stats_add(&b->pool->row->session_probes, 1);
	backend_task(b, sql, probe_row, probe_done);
	free(sql);
}
