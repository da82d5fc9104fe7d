/*
 * replication: see replication.h. Called by client_login.c, pool_queue.c and the files of a
 * backend's login. Who waits stands in the pool's queue `replicas` until its backend has logged in,
 * so query_wait_timeout and client_login_timeout hold for it. A failure is this client's own: it is
 * told at once, since all of these clients try again by themselves; the pool learns nothing from
 * it.
 */
#include "worker/replication.h"

#include "worker/backend.h"
#include "worker/backend_login.h"
#include "worker/client.h"
#include "worker/pool.h"

#define CLEAR_US 20000 /* between two idle backends that are closed to make room */
#define AGAIN_US 10000 /* after an attempt that has shown nothing */

const char *
replication_name(enum startup_replication kind)
{
	static const char *const names[] = {[REPLICATION_NONE] = "none",
	    [REPLICATION_PHYSICAL] = "physical",
	    [REPLICATION_LOGICAL] = "logical"};

	return names[kind];
}

/* --- waiting ---------------------------------------------------------------------------------- */

static struct client *
first_waiting(const struct pool *p)
{
	struct client *c;

	TAILQ_FOREACH (c, &p->replicas, queue)
		if (c->coming == NULL)
			return c;
	return NULL;
}

int64_t
replication_waits_since(const struct pool *p)
{
	const struct client *c = first_waiting(p);

	return c == NULL ? 0 : c->since_us;
}

void
replication_login(struct client *c)
{
	struct pool *p = c->pool;

	c->state = CLIENT_LOGIN;
	c->since_us = loop_now();
	TAILQ_INSERT_TAIL(&p->replicas, c, queue);
	p->nreplicas++;
	pool_pump(p);
}

static void
unqueue(struct client *c)
{
	struct pool *p = c->pool;

	TAILQ_REMOVE(&p->replicas, c, queue);
	p->nreplicas--;
	if (c->coming != NULL)
		c->coming->meant_for = NULL;
	c->coming = NULL;
	pool_queue_changed(p);
}

void
replication_left(struct client *c)
{
	struct backend *b = c->coming;

	unqueue(c);
	if (b != NULL)
		backend_close(b, "its client left");
}

/* --- opening ---------------------------------------------------------------------------------- */

void
replication_open(struct pool *p)
{
	enum ledger_result r = LEDGER_OK;
	struct client *c;

	while (r == LEDGER_OK && (c = first_waiting(p)) != NULL && pool_may_connect(p))
		r = pool_open_own(c);
	if (r != LEDGER_POOL_FULL || loop_now() - p->cleared_us < CLEAR_US)
		return;
	/* An idle one goes. If all are busy, the next one that is released does (pool_release). */
	p->cleared_us = loop_now();
	pool_make_place(p);
}

void
replication_begin(struct backend *b, struct client *c)
{
	b->own = true;
	b->pool->nown++;
	b->meant_for = c;
	c->coming = b;
	b->facts.replication = c->replication;
}

void
replication_put_startup(const struct client *c, struct wire_out *w)
{
	const char *name, *value;
	size_t at = 0;
	int i;

	wire_string(w, "replication");
	wire_string(w, c->replication == REPLICATION_LOGICAL ? "database" : "true");
	for (i = 0; i < PARAMS_N; i++) {
		if (c->params.v[i] == NULL)
			continue;
		wire_string(w, params_name(i));
		wire_string(w, c->params.v[i]);
	}
	while (gucs_next(c->params.set, &at, &name, &value)) {
		wire_string(w, name);
		wire_string(w, value);
	}
}

/* --- its login's end -------------------------------------------------------------------------- */

void
replication_ready(struct backend *b, const uint8_t *welcome, size_t len)
{
	struct client *c = b->meant_for;

	unqueue(c);
	params_copy(&c->params, &b->params);
	client_welcome(c, welcome, len);
	pool_relink(b, c);
	c->settled = true;
	c->state = CLIENT_ACTIVE;
	stats_add(&b->pool->row->sv_assigned, 1);
}

void
replication_failed(struct backend *b, const uint8_t *error, size_t len)
{
	struct client *c = b->meant_for;

	stats_add(&b->pool->row->sv_failed, 1);
	if (c == NULL)
		return;
	if (b->login->undecided) { /* it was refused in favour of another of ours */
		c->coming = NULL;
		b->meant_for = NULL;
		pool_look_again(b->pool, loop_now() + AGAIN_US);
		return;
	}
	unqueue(c);
	c->state = CLIENT_IDLE;
	client_fail_raw(c, error, len);
}
