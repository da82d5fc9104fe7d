/*
 * pool_conf: what a pool has from the configuration, at its birth and at each reload.
 *
 * Called by pool.c (a new pool) and reload.c. A database that is no longer there, or that logs in
 * as somebody else now, leaves its clients: they finish their transactions and are sent away. One
 * whose server is another gets new backends: idle ones are closed now, others when they are
 * released, by the number of the destination they were opened for (struct ledger_backend), on
 * whichever worker that is. Limits that have shrunk close what is too much, whoever comes first:
 * one that is shed gives its slot back ahead of its end, so that no two are shed for one.
 */
#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "conf/log.h"
#include "proto/scram_server.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/deadline.h"
#include "worker/pool.h"
#include "worker/statements.h"

static const char *
secret_of(const struct conf_database *d, const char *user)
{
	const char *secret;
	bool known;

	if (d->user != NULL && d->password != NULL && strcmp(d->user, user) == 0)
		return d->password;
	secret = conf_secret(wk->conf, user, &known);
	return secret != NULL || d->user != NULL ? secret : d->password;
}

/* One that a client has brought stays if the configuration has none that is good for everything. */
static void
set_secret(struct pool *p, const char *now)
{
	bool plain = now != NULL && scram_secret_kind(now) == SCRAM_SECRET_PLAIN;

	if (p->own_secret != NULL && !plain)
		return;
	pool_forget_secret(p);
	p->secret = now;
}

static void
set_limits(struct pool *p, const struct conf_database *d)
{
	const struct conf *c = wk->conf;
	const struct conf_user *u = conf_user(c, p->user);

	p->mode = conf_pool_mode(c, d, u);
	p->session_state = d != NULL && d->session_state != -1
			       ? (enum session_state)d->session_state
			       : c->session_state;
	p->limits.pool = (uint32_t)CONF_POOL(c, d, u, pool_size);
	p->limits.group[LEDGER_DB] = (uint32_t)CONF_DATABASE(c, d, max_db_connections);
	p->limits.group[LEDGER_USER] = (uint32_t)CONF_USER(c, u, max_user_connections);
	p->min_size = (uint32_t)CONF_DATABASE(c, d, min_pool_size);
	p->reserve_size = (uint32_t)CONF_POOL(c, d, u, reserve_pool_size);
	p->wait_timeout_us = CONF_POOL(c, d, u, query_wait_timeout_us);
	p->lifetime_us = CONF_DATABASE(c, d, server_lifetime_us);
}

void
pool_configure(struct pool *p, const struct conf_database *d)
{
	p->conf = d;
	p->dest = conf_destination(d);
	pool_forget_targets(p);
	set_secret(p, secret_of(d, p->user));
	set_limits(p, d);
}

/* --- min_pool_size without any client --------------------------------------------------------- */

/* The user is known and the pool shall have backends always: it counts as a client. */
static bool
wants_pin(const struct conf_database *d)
{
	return d->user != NULL && strcmp(d->name, "*") != 0 &&
	       CONF_DATABASE(wk->conf, d, min_pool_size) > 0;
}

static void
pin(const struct conf_database *d)
{
	struct wire_error why;
	struct pool *p = pool_get(d->name, d->user, d, &why);

	if (p == NULL)
		log_warnx("database %s: min_pool_size is not kept: %s", d->name, why.message);
	else if (p->pinned)
		p->nclients--;
	else
		p->pinned = true;
}

void
pools_pin(void)
{
	size_t i;

	if (wk->boot->steward)
		return;
	for (i = 0; i < wk->conf->ndatabases; i++)
		if (wants_pin(&wk->conf->databases[i]))
			pin(&wk->conf->databases[i]);
}

static void
unpin(struct pool *p)
{
	if (!p->pinned)
		return;
	p->pinned = false;
	p->nclients--;
}

/* --- backends that are too many, or of yesterday ---------------------------------------------- */

bool
pool_stale(const struct backend *b)
{
	return b->facts.dest != b->pool->dest ||
	       (b->facts.opened_us != 0 && b->facts.opened_us < b->pool->fresh_us);
}

static struct ledger_limits
widest_limits(const struct pool *p)
{
	struct ledger_limits limits = p->limits;

	limits.pool += p->reserve_size;
	return limits;
}

static bool
too_big(const struct pool *p)
{
	struct ledger_limits limits = widest_limits(p);

	return ledger_surplus(wk->table, p->index, &limits) > 0;
}

bool
pool_sheds(struct backend *b)
{
	struct ledger_limits limits;

	if (likely(!b->pool->shrunk))
		return false;
	limits = widest_limits(b->pool);
	b->pool->shrunk = too_big(b->pool);
	if (!b->pool->shrunk || !ledger_free_surplus(wk->table, wk->self, b->slot, &limits))
		return false;
	b->slot = TABLE_NONE;
	return true;
}

static struct backend *
first_stale(const struct pool *p)
{
	struct backend *b;

	TAILQ_FOREACH (b, &p->idle, list)
		if (pool_stale(b))
			break;
	return b;
}

/* Those of a destination that is none any more, and what is too much: the coldest first. */
static void
close_idle(struct pool *p)
{
	struct backend *b;

	/* Closing one may serve others: the list is looked at anew each time. */
	while ((b = first_stale(p)) != NULL)
		backend_close(b, "database configuration changed");
	while (p->shrunk && too_big(p) && (b = pool_coldest(p)) != NULL) {
		pool_take(p, b);
		if (!pool_sheds(b)) {
			pool_put_idle(p, b);
			break;
		}
		backend_close(b, "the pool's limits were lowered");
	}
}

static void
touch_all(struct pool *p)
{
	struct backend *b;

	TAILQ_FOREACH (b, &p->idle, list)
		deadline_touch(b);
	TAILQ_FOREACH (b, &p->held, list)
		deadline_touch(b);
}

/* --- a reload --------------------------------------------------------------------------------- */

/* Its clients were let in under this entry, or would be under that one. */
static bool
same_login(const struct pool *p, const struct conf_database *now)
{
	const char *was = p->conf->user;

	return was == NULL ? now->user == NULL : now->user != NULL && strcmp(was, now->user) == 0;
}

static void
dismiss_clients(struct pool *p, const char *why)
{
	if (p->orphan == NULL)
		log_info("pool %s/%s: %s: its clients leave after their transactions", p->db,
		    p->user, why);
	unpin(p);
	clients_dismiss(p, why);
}

/* Nobody can log in to it; what is under way goes on with a copy of the old entry. */
static void
bereave(struct pool *p)
{
	if (p->orphan != NULL)
		return;
	p->orphan = conf_database_copy(p->conf);
	p->conf = p->orphan;
	p->dest = 0;
	p->min_size = 0;
	pool_forget_secret(p);
}

void
pool_end_sessions(struct pool *p, const char *why)
{
	bool all = wk->conf->server_fast_close && p->mode == POOL_SESSION;
	struct backend *b, *next;

	TAILQ_FOREACH_SAFE (b, &p->held, list, next) {
		if ((!all && !b->own) || !pool_stale(b))
			continue;
		b->client->dismissed = why;
		(void)client_dismissed(b->client);
	}
}

static void
adopt_conf(struct pool *p, const struct conf_database *d)
{
	uint64_t was = p->dest;
	bool session = p->mode == POOL_SESSION;
	struct backend *b;

	pool_configure(p, d);
	if (p->orphan != NULL)
		conf_database_free(p->orphan);
	p->orphan = NULL;
	p->shrunk = too_big(p);
	if (p->dest != was) {
		log_info("pool %s/%s: its server is another: new connections", p->db, p->user);
		table_welcome_drop(wk->table, p->index);
		p->welcomed = false;
		pool_open_worked(p); /* nothing is known of that one */
		ddl_happened();	     /* its tables least of all */
		pool_end_sessions(p, "database configuration changed");
	}
	if (session && p->mode != POOL_SESSION)
		TAILQ_FOREACH (b, &p->held, list)
			b->dirty = true; /* it may have become anything */
}

static void
conf_changed(struct pool *p)
{
	const struct conf_database *d = conf_database(wk->conf, p->db);
	bool fits = d != NULL && (d->user == NULL || strcmp(d->user, p->user) == 0);

	if (d == NULL || (p->orphan == NULL && !same_login(p, d)))
		dismiss_clients(
		    p, d == NULL ? "database removed" : "database configuration changed");
	if (fits)
		adopt_conf(p, d);
	else
		bereave(p);
	if (p->pinned && (!fits || !wants_pin(d)))
		unpin(p);
	close_idle(p);
	touch_all(p);
	if (pool_has_waiters(p))
		pool_look_again(p, loop_now());
	else if (pool_below_min(p))
		pool_look_again(p, loop_now());
}

void
pools_conf_changed(const struct conf *old)
{
	(void)old;
	pools_each(conf_changed);
	if (!wk->draining)
		pools_pin();
}
