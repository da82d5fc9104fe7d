/*
 * pool: which pools this worker has, and what their clients are told at login. Called by client,
 * backend and the other pool_*.c files.
 *
 * A pool lives while it has a client or a backend here, or a failure to remember. Its entry in the
 * table outlives it as long as another worker is attached. On failure: no room in the table refuses
 * the login with the reason.
 */
#include "worker/pool.h"

#include <stdlib.h>
#include <string.h>
#include <bsd/string.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "proto/scram_server.h"
#include "proto/wire.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/command.h"
#include "worker/inbox.h"

RB_HEAD(pool_names, pool);

static struct pool_names by_name = RB_INITIALIZER(&by_name);
static struct pool **by_index; /* as long as the table has pools */

static int
pool_cmp(const struct pool *a, const struct pool *b)
{
	int r = strcmp(a->db, b->db);

	return r != 0 ? r : strcmp(a->user, b->user);
}

RB_PROTOTYPE(pool_names, pool, by_name, pool_cmp)
RB_GENERATE(pool_names, pool, by_name, pool_cmp)

/* --- life ------------------------------------------------------------------------------------- */

void
pool_forget_secret(struct pool *p)
{
	if (p->own_secret == NULL)
		return;
	strongbox_put(p->own_secret);
	p->own_secret = NULL;
}

/* A password in clear text is good for everything; a secret of the configuration goes before one
 * that was looked up. */
void
pool_learn(struct pool *p, const char *user, const char *secret, const char *password)
{
	const char *best = password != NULL ? password : secret;

	if (best == NULL || strcmp(p->user, user) != 0)
		return;
	if (p->secret != NULL && (p->own_secret == NULL || strcmp(p->own_secret, best) == 0) &&
	    (password == NULL || scram_secret_kind(p->secret) == SCRAM_SECRET_PLAIN))
		return;
	pool_forget_secret(p);
	p->own_secret = strongbox_copy(best);
	p->secret = p->own_secret;
}

struct pool *
pool_by_index(uint32_t index)
{
	return index < table_shape(wk->table)->pools ? by_index[index] : NULL;
}

static struct pool *
pool_new(const char *db, const char *user, const struct conf_database *d)
{
	static uint64_t last_id;
	struct pool *p = calloc(1, sizeof(*p));

	if (p == NULL)
		return NULL;
	p->id = ++last_id;
	p->scram = strongbox_take(sizeof(*p->scram));
	strlcpy(p->db, db, sizeof(p->db));
	strlcpy(p->user, user, sizeof(p->user));
	pool_queue_init(p);
	pool_configure(p, d);
	command_pool_born(p);
	return p;
}

static bool
is_unused(const struct pool *p)
{
	return p->nclients == 0 && p->nbackends == 0;
}

static void
pool_free(struct pool *p)
{
	ledger_detach(wk->table, wk->self, p->index);
	RB_REMOVE(pool_names, &by_name, p);
	by_index[p->index] = NULL;
	timer_stop(&p->timer);
	loop_del(&p->pump);
	params_fini(&p->defaults);
	strongbox_put(p->scram);
	pool_forget_secret(p);
	if (p->orphan != NULL)
		conf_database_free(p->orphan);
	free(p->error);
	pool_forget_targets(p);
	loop_free_later(p);
}

static void
pool_free_if_unused(struct pool *p)
{
	if (is_unused(p) && !pool_open_remembers(p))
		pool_free(p);
}

/* One that is there only since its login was refused a moment ago. False: there is none. */
static bool
make_room(void)
{
	uint32_t i;

	for (i = 0; i < ledger_pools(wk->table); i++)
		if (by_index[i] != NULL && is_unused(by_index[i])) {
			pool_free(by_index[i]);
			return true;
		}
	return false;
}

static bool
pool_attach(struct pool *p, struct wire_error *why)
{
	enum ledger_result r;

	do
		r = ledger_attach(wk->table, wk->stats, wk->self, p->db, p->user, &p->index);
	while (r != LEDGER_OK && r != LEDGER_BUSY && make_room());
	if (r == LEDGER_BUSY) {
		*why = (struct wire_error){.severity = "FATAL",
		    .sqlstate = "57P03",
		    .message = "the table of connections is busy",
		    .hint = "A worker has just died holding it. Connect again."};
		return false;
	}
	if (r != LEDGER_OK) {
		*why = (struct wire_error){.severity = "FATAL",
		    .sqlstate = "53300",
		    .message = "no room for another pool (max_pools)",
		    .hint = "Raise max_pools, or connect with fewer database and user names."};
		return false;
	}
	p->row = stats_pool(wk->stats, p->index, wk->self.worker);
	p->times = stats_times(wk->stats, p->index, wk->self.worker);
	by_index[p->index] = p;
	(void)RB_INSERT(pool_names, &by_name, p);
	return true;
}

struct pool *
pool_get(const char *db, const char *user, const struct conf_database *d, struct wire_error *why)
{
	struct pool key, *p;

	strlcpy(key.db, db, sizeof(key.db));
	strlcpy(key.user, user, sizeof(key.user));
	p = RB_FIND(pool_names, &by_name, &key);
	if (p == NULL) {
		p = pool_new(key.db, key.user, d);
		if (p == NULL)
			fatal("pool");
		if (!pool_attach(p, why)) {
			free(p);
			return NULL;
		}
	}
	p->nclients++;
	if (pool_below_min(p))
		pool_look_again(p, loop_now());
	return p;
}

void
pools_init(void)
{
	by_index = calloc(table_shape(wk->table)->pools, sizeof(struct pool *));
	if (by_index == NULL)
		fatal("pools");
	pool_share_init();
	pool_limit_init();
	pools_pin();
}

void
pool_client_gone(struct pool *p)
{
	p->nclients--;
	pool_free_if_unused(p);
}

void
pool_backend_given(struct pool *p)
{
	p->nbackends--;
	pool_free_if_unused(p);
}

void
pool_backend_gone(struct pool *p)
{
	p->nbackends--;
	pool_place_free(p);
	pool_wake_others(p);
	if (pool_has_waiters(p))
		pool_pump(p);
	else if (pool_below_min(p))
		/* not at once: the server may end each one right at its login */
		pool_look_again(p, loop_now() + POOL_FILL_US);
	else
		pool_free_if_unused(p);
}

/* By index, since closing a backend of one pool may let another one go. */
void
pools_each(void (*fn)(struct pool *))
{
	uint32_t i;

	for (i = 0; i < ledger_pools(wk->table); i++) {
		struct pool *p = by_index[i];
		if (p == NULL)
			continue;
		p->nclients++;
		fn(p);
		pool_client_gone(p);
	}
}

void
pool_kick_all(void)
{
	uint32_t i;

	for (i = 0; i < ledger_pools(wk->table); i++) {
		struct pool *p = by_index[i];
		if (p != NULL && pool_has_waiters(p))
			pool_pump(p);
		else if (p != NULL)
			pool_fill(p);
	}
}

static void
close_idle(struct pool *p)
{
	struct backend *b;

	while ((b = TAILQ_FIRST(&p->idle)) != NULL)
		backend_close(b, "worker is leaving");
}

void
pool_close_idle(void)
{
	pools_each(close_idle);
}

/* --- welcome ---------------------------------------------------------------------------------- */

void
pool_login(struct pool *p, struct client *c)
{
	c->state = CLIENT_LOGIN;
	c->since_us = loop_now();
	TAILQ_INSERT_TAIL(&p->logins, c, queue);
	p->nlogins++;
	pool_pump(p);
}

static void
learn_defaults(struct pool *p, const uint8_t *bytes, size_t len)
{
	size_t at = 0;

	while (len - at >= WIRE_HEADER) {
		uint32_t n = wire_get32(bytes + at + 1) + 1;
		struct wire_in in;
		const char *name, *value;
		int i;
		wire_read(&in, bytes + at + WIRE_HEADER, n - WIRE_HEADER);
		name = wire_get_string(&in);
		value = wire_get_string(&in);
		i = name == NULL || value == NULL ? -1 : params_index(name);
		if (i != -1)
			(void)params_set(&p->defaults, i, value);
		at += n;
	}
}

static void
welcome_logins(struct pool *p, const uint8_t *bytes, size_t len)
{
	struct client *c;

	if (!p->welcomed)
		learn_defaults(p, bytes, len);
	p->welcomed = true;
	p->nclients++;
	while ((c = TAILQ_FIRST(&p->logins)) != NULL) {
		pool_unqueue(p, c);
		client_welcome(c, bytes, len);
	}
	pool_client_gone(p);
}

void
pool_welcome_look(struct pool *p)
{
	uint8_t bytes[TABLE_WELCOME_BYTES];
	size_t len = table_welcome_get(wk->table, p->index, bytes);

	if (len > 0)
		welcome_logins(p, bytes, len);
}

void
pool_welcome_put(struct pool *p, const uint8_t *bytes, size_t len)
{
	if (table_welcome_put(wk->table, p->index, bytes, len) == -1)
		log_warn("pool %s/%s: the server's parameters are not kept", p->db, p->user);
	welcome_logins(p, bytes, len); /* kept or not: those who wait here need not wait longer */
}
