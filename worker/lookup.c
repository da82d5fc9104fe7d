/*
 * lookup: see lookup.h. Called by client_auth.c. The query itself is lookup_session.c's.
 *
 * What was found lies in shm/secrets, its age with it; one that is too old counts as absent. A
 * secret that does not fit there is good for those who wait and not kept. A failure is not kept.
 */
#include "worker/lookup.h"

#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "worker/loop.h"
#include "worker/secret_id.h"
#include "worker/state.h"

#define ABSENT_US 2000000 /* a user that was just made shall not wait longer */
#define DOUBT_US  1000000 /* what is younger is not asked again: a wrong password is just that */

#define OWN_QUERY                                                                                  \
	"SELECT rolname, CASE WHEN rolvaliduntil < now() THEN NULL ELSE rolpassword END "          \
	"FROM pg_authid WHERE rolname = $1 AND rolcanlogin"

/* A value in shm/secrets. */
struct kept {
	int64_t at_us;
	uint8_t result;
	char text[LOOKUP_BYTES - 9];
};

_Static_assert(sizeof(struct kept) == LOOKUP_BYTES, "as boot.c made room for");

static LIST_HEAD(, lookup) lookups = LIST_HEAD_INITIALIZER(lookups);

static const char *
first_set(const char *a, const char *b, const char *c)
{
	if (a != NULL && a[0] != '\0')
		return a;
	return b != NULL && b[0] != '\0' ? b : c;
}

bool
lookup_source(const char *db, struct lookup_source *s)
{
	const struct conf *c = wk->conf;
	const struct conf_database *d = conf_database(c, db);
	const char *own_db = d == NULL ? NULL : d->auth_dbname;

	s->user = first_set(d == NULL ? NULL : d->auth_user, c->auth_user, NULL);
	s->query = first_set(d == NULL ? NULL : d->auth_query, c->auth_query, OWN_QUERY);
	s->db = first_set(own_db, c->auth_dbname, d == NULL ? NULL : db);
	return s->user != NULL && s->db != NULL;
}

/* --- what is kept ----------------------------------------------------------------------------- */

static void
make_id(const struct lookup_source *s, const char *user, uint8_t id[SECRETS_ID])
{
	const struct secret_piece pieces[] = {
	    {s->db, strlen(s->db)},
	    {s->user, strlen(s->user)},
	    {s->query, strlen(s->query)},
	    {user, strlen(user)},
	};

	secret_id(id, "lookup", pieces, 4);
}

static bool
still_good(const struct kept *k)
{
	int64_t age = loop_now() - k->at_us, ttl = wk->conf->auth_query_ttl_us;

	if (k->result == LOOKUP_ABSENT && ttl > ABSENT_US)
		ttl = ABSENT_US;
	return age < ttl;
}

static void
keep(const struct lookup *l, const struct lookup_answer *a)
{
	struct kept k = {.at_us = loop_now(), .result = (uint8_t)a->result};

	if (a->result != LOOKUP_FAILED && wk->conf->auth_query_ttl_us > 0 &&
	    strlcpy(k.text, a->text == NULL ? "" : a->text, sizeof(k.text)) < sizeof(k.text))
		secrets_put(wk->boot->lookups, l->id, loop_now(), &k);
	explicit_bzero(&k, sizeof(k));
}

void
lookup_doubt(const struct lookup_source *s, const char *user)
{
	uint8_t id[SECRETS_ID];
	struct kept k;

	make_id(s, user, id);
	if (secrets_get(wk->boot->lookups, id, loop_now(), &k) && loop_now() - k.at_us > DOUBT_US)
		secrets_drop(wk->boot->lookups, id);
	explicit_bzero(&k, sizeof(k));
}

/* --- asking ----------------------------------------------------------------------------------- */

static struct lookup *
lookup_new(const struct lookup_source *s, const char *user, const uint8_t id[SECRETS_ID])
{
	struct lookup *l = calloc(1, sizeof(*l));

	if (l == NULL || (l->query = strdup(s->query)) == NULL)
		fatal("auth_query");
	memcpy(l->id, id, SECRETS_ID);
	strlcpy(l->user, user, sizeof(l->user));
	TAILQ_INIT(&l->waits);
	LIST_INSERT_HEAD(&lookups, l, all);
	lookup_session_ask(s->db, s->user, l);
	return l;
}

void
lookup_ask(struct lookup_wait *w, const struct lookup_source *s, const char *user,
    void (*fn)(struct lookup_wait *, const struct lookup_answer *))
{
	struct lookup_answer a = {.result = LOOKUP_FAILED};
	uint8_t id[SECRETS_ID];
	struct lookup *l;
	struct kept k;

	ENSURE(w->lookup == NULL);
	make_id(s, user, id);
	w->fn = fn;
	if (secrets_get(wk->boot->lookups, id, loop_now(), &k) && still_good(&k)) {
		a.result = (enum lookup_result)k.result;
		a.text = k.text;
		fn(w, &a);
		explicit_bzero(&k, sizeof(k));
		return;
	}
	LIST_FOREACH (l, &lookups, all)
		if (memcmp(l->id, id, sizeof(id)) == 0)
			break;
	w->lookup = l;
	if (l == NULL)
		w->lookup = l = lookup_new(s, user, id);
	TAILQ_INSERT_TAIL(&l->waits, w, entry);
}

void
lookup_cancel(struct lookup_wait *w)
{
	if (w->lookup == NULL)
		return;
	TAILQ_REMOVE(&w->lookup->waits, w, entry);
	w->lookup = NULL;
}

void
lookup_done(struct lookup *l, const struct lookup_answer *a)
{
	struct lookup_wait *w;

	LIST_REMOVE(l, all);
	keep(l, a);
	while ((w = TAILQ_FIRST(&l->waits)) != NULL) {
		TAILQ_REMOVE(&l->waits, w, entry);
		w->lookup = NULL;
		w->fn(w, a);
	}
	free(l->query);
	free(l);
}
