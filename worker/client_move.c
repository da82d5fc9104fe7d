/*
 * client_move: see client_move.h. What follows a client from backend to backend is what makes its
 * session (design.md 6), so that, with its number and key, is all there is to move.
 */
#include "worker/client_move.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conf/log.h"
#include "conf/strongbox.h"
#include "proto/move.h"
#include "proto/scram_server.h"
#include "worker/backend.h"
#include "worker/client.h"
#include "worker/deadline.h"
#include "worker/facts.h"
#include "worker/handover.h"
#include "worker/keys.h"
#include "worker/pool.h"
#include "worker/replay.h"

#define FIRST_SIZE 8192

_Static_assert(MOVE_NAME_MAX == CONF_NAME_SIZE, "names");
_Static_assert(MOVE_KEY == TABLE_CLIENT_KEY, "keys of clients");
_Static_assert(MOVE_SERVER_KEY == TABLE_KEY_BYTES, "keys of servers");
_Static_assert(MOVE_ADDR_MAX == sizeof(struct sockaddr_storage), "addresses");

/* --- which may go ----------------------------------------------------------------------------- */

/* Nothing is half-way on its connection, and nothing keeps it here. */
static bool
quiet(const struct client *c)
{
	const struct conn *conn = &c->conn;

	return (c->refused == TO_NOBODY || c->refused != handover_where()) && !c->internal &&
	       c->replication == REPLICATION_NONE && c->row != TABLE_NONE && c->pool != NULL &&
	       c->dismissed == NULL && c->reject == NULL && c->refusal == NULL && c->big == NULL &&
	       c->session.scan == NULL && conn->tls == NULL && conn->left == 0 && !conn->discard &&
	       !conn->hup && !conn_unsent(conn) &&
	       (conn->in == NULL || conn->in->head == conn->in->fwd);
}

/* The same of the backend that a client keeps. */
static bool
backend_quiet(const struct backend *b)
{
	return b->state == BACKEND_ACTIVE && b->status == 'I' && expect_empty(&b->expect) &&
	       (b->replay == REPLAY_NONE || b->replay == REPLAY_OWED) && b->query_us == 0 &&
	       b->xact_us == 0 && !b->doomed && LIST_EMPTY(&b->cancels) && b->conn.tls == NULL &&
	       b->conn.in == NULL && b->conn.left == 0 && !b->conn.hup && !conn_unsent(&b->conn);
}

bool
client_may_move(const struct client *c)
{
	if (!quiet(c))
		return false;
	if (c->backend == NULL)
		return (c->state == CLIENT_IDLE || c->state == CLIENT_WAITING) &&
		       c->session.pins == 0;
	return c->state == CLIENT_ACTIVE && !c->session.probing && backend_quiet(c->backend) &&
	       (c->session.pins != 0 || c->pool->mode == POOL_SESSION);
}

void
client_moving(struct client *c)
{
	c->state = CLIENT_MOVING;
	if (c->backend != NULL)
		backend_set_state(c->backend, BACKEND_MOVING);
}

void
client_stays(struct client *c, bool for_good)
{
	struct backend *b = c->backend;

	c->state = b != NULL ? CLIENT_ACTIVE : CLIENT_IDLE;
	c->refused = (uint8_t)(for_good ? handover_where() : TO_NOBODY);
	if (b != NULL) {
		backend_set_state(b, BACKEND_ACTIVE);
		deadline_touch(b);
		loop_again(&b->conn.src); /* what the server said meanwhile */
	}
	if (!client_dismissed(c))
		loop_again(&c->conn.src);
}

static void
leave(struct client *c)
{
	struct pool *p = c->pool;

	if (c->backend != NULL) {
		session_set_pins(c, 0);
		backend_moved(client_unlink(c));
	}
	client_row_give(c, p);
	c->pool = NULL;
	pool_dismiss(c);
	pool_client_gone(p);
	client_free(c);
}

void
client_moved(struct client *c)
{
	leave(c);
}

void
client_undo(struct client *c)
{
	leave(c);
}

/* --- packing ---------------------------------------------------------------------------------- */

/* Calls fn with ever more room until it fits. */
static uint8_t *
pack(void (*fn)(struct wire_out *, const void *), const void *what, size_t *len)
{
	struct wire_out w;
	size_t size;
	uint8_t *p;

	for (size = FIRST_SIZE; size <= MOVE_RECORD_MAX; size *= 4) {
		p = strongbox_take(size);
		wire_init(&w, p, size);
		fn(&w, what);
		*len = w.len;
		if (!w.failed)
			return p;
		strongbox_put(p);
	}
	return NULL;
}

static void
put_params(struct wire_out *w, enum move_tag tag, const struct params *p)
{
	size_t at = move_field(w, tag);

	params_pack(p, w);
	move_field_end(w, at);
}

static void
put_gucs(struct wire_out *w, enum move_tag tag, const struct gucs *g)
{
	size_t len, at = move_field(w, tag);
	const char *bytes = gucs_bytes(g, &len);

	wire_bytes(w, bytes, len);
	move_field_end(w, at);
}

static void
put_name(struct wire_out *w, const struct stmt_name *n, bool unnamed)
{
	struct move_statement s = {.unnamed = unnamed, .since = n->since, .name = n->text};
	size_t at, settings;

	if (n->stmt == NULL)
		return;
	s.used = unnamed && n->used;
	s.own = n->own;
	s.stand_in = n->stand_in;
	at = move_put_statement(w, &s);
	wire_int32(w, 0);
	settings = w->len;
	params_pack(&n->stmt->settings, w);
	if (!w->failed)
		wire_put32(w->base + settings - 4, (uint32_t)(w->len - settings));
	wire_int32(w, n->stmt->len);
	wire_bytes(w, n->stmt->body, n->stmt->len);
	move_field_end(w, at);
}

static void
put_names(struct wire_out *w, const struct stmt_names *names)
{
	const struct stmt_name *n;
	uint32_t i;

	if (names == NULL)
		return;
	for (i = 0; i < names->size; i++)
		for (n = names->buckets[i]; n != NULL; n = n->next)
			put_name(w, n, false);
	if (names->unnamed != NULL)
		put_name(w, names->unnamed, true);
}

/* What its pool logs in to the server with, as far as the configuration does not say it. */
static void
find_secret(const struct pool *p, struct move_client *m)
{
	struct scram_verifier v;

	m->secret = p->own_secret;
	m->scram = *p->scram;
	if (m->scram.iterations != 0 || p->secret == NULL ||
	    scram_verifier_parse(p->secret, &v) == -1)
		return;
	memcpy(m->scram.salt, v.salt, v.salt_len);
	m->scram.salt_len = v.salt_len;
	m->scram.iterations = v.iterations;
	if (!keys_of_client(p->user, &m->scram))
		memset(&m->scram, 0, sizeof(m->scram));
}

static void
put_client(struct wire_out *w, const void *what)
{
	const struct client *c = what;
	const struct buf *in = c->conn.in;
	struct move_client m = {.db = c->pool->db,
	    .pool_user = c->pool->user,
	    .user = c->user,
	    .pid = c->pid,
	    .long_key = c->long_key,
	    .settled = c->settled,
	    .is_unix = c->conn.is_unix,
	    .port = c->port,
	    .born_us = c->born_us,
	    .active_us = c->active_us,
	    .linked = c->backend != NULL,
	    .pins = c->session.pins};
	size_t at;

	if (c->backend != NULL) {
		m.dirty = c->backend->dirty;
		m.spoiled = c->backend->spoiled;
	}

	memcpy(m.addr, &c->addr, sizeof(m.addr));
	table_client_key(wk->table, c->row, m.key);
	find_secret(c->pool, &m);
	move_put_client(w, &m);
	explicit_bzero(&m, sizeof(m));
	put_params(w, MOVE_PARAMS, &c->params);
	put_params(w, MOVE_START, &c->session.start);
	if (c->session.told_first != NULL) {
		put_gucs(w, MOVE_TOLD_FIRST, c->session.told_first);
		put_gucs(w, MOVE_TOLD_LAST, c->session.told_last);
	}
	put_names(w, c->names);
	if (in == NULL || in->head == in->tail)
		return;
	at = move_field(w, MOVE_INPUT);
	wire_bytes(w, in->data + in->head, in->tail - in->head);
	move_field_end(w, at);
}

uint8_t *
client_pack(struct client *c, size_t *len)
{
	return pack(put_client, c, len);
}

static void
put_backend(struct wire_out *w, const void *what)
{
	const struct backend *b = what;
	struct move_backend m = {.db = b->pool->db,
	    .pool_user = b->pool->user,
	    .pid = b->facts.pid,
	    .key_len = b->facts.key_len,
	    .addr_len = b->facts.addr_len,
	    .opened_us = b->facts.opened_us,
	    .dest = b->facts.dest};
	uint8_t welcome[TABLE_WELCOME_BYTES];
	size_t at, n;

	memcpy(m.key, b->facts.key, sizeof(m.key));
	memcpy(m.addr, &b->facts.addr, sizeof(m.addr));
	move_put_backend(w, &m);
	explicit_bzero(&m, sizeof(m));
	at = move_field(w, MOVE_FACTS);
	facts_put(b, w);
	move_field_end(w, at);
	n = table_welcome_get(wk->table, b->pool->index, welcome);
	at = move_field(w, MOVE_WELCOME);
	wire_bytes(w, welcome, n);
	move_field_end(w, at);
}

uint8_t *
backend_pack(const struct backend *b, size_t *len)
{
	return pack(put_backend, b, len);
}

/* --- unpacking -------------------------------------------------------------------------------- */

static bool
take_statement(struct client *c, const struct move_statement *m)
{
	struct params settings = {.tainted = false};
	struct stmt_names *names = names_of(c);
	size_t len = strlen(m->name);
	struct stmt_name *n;
	bool ok = params_unpack(&settings, m->settings.p, m->settings.len) &&
		  (m->unnamed || name_find(names, m->name, len) == NULL);

	if (ok) {
		n = m->unnamed ? name_unnamed(names) : name_add(names, m->name, len);
		ok = n->stmt == NULL;
		if (ok)
			n->stmt = statement_get(&settings, m->body.p, m->body.len);
		n->since = m->since;
		n->used = m->used;
		n->own = m->own;
		n->stand_in = m->stand_in;
	}
	params_fini(&settings);
	return ok;
}

/* Each name that is in one is in the other. */
static bool
take_told(struct session_part *s, const struct move_client *m)
{
	const struct move_bytes *first = &m->told_first, *last = &m->told_last;
	const char *name, *value;
	size_t at = 0;

	if (!gucs_of((const char *)first->p, first->len, &s->told_first) ||
	    !gucs_of((const char *)last->p, last->len, &s->told_last))
		return false;
	while (gucs_next(s->told_first, &at, &name, &value))
		if (gucs_get(s->told_last, name) == NULL)
			return false;
	return true;
}

static bool
take_session(struct client *c, const struct move_client *m)
{
	struct move_statement s;
	size_t at = 0;

	if (!params_unpack(&c->params, m->params.p, m->params.len) ||
	    !params_unpack(&c->session.start, m->start.p, m->start.len) || m->input.len > buf_cap())
		return false;
	if (m->told_first.p != NULL && !take_told(&c->session, m))
		return false;
	while (move_statement(m, &at, &s))
		if (!take_statement(c, &s))
			return false;
	if (m->input.len > 0) {
		c->conn.in = buf_get();
		memcpy(c->conn.in->data, m->input.p, m->input.len);
		c->conn.in->head = c->conn.in->fwd = 0;
		c->conn.in->tail = (uint32_t)m->input.len;
	}
	return true;
}

/* The place in pool and table. */
static bool
take_place(struct client *c, const struct move_client *m)
{
	const struct conf_database *d = conf_database(wk->conf, m->db);
	struct wire_error why;

	if (d == NULL)
		return false;
	c->row = table_client_adopt(wk->table, wk->self, m->pid, m->key);
	if (c->row == TABLE_NONE)
		return false;
	c->pool = pool_get(m->db, d->user != NULL ? d->user : m->user, d, &why);
	if (c->pool != NULL)
		return true;
	table_client_give(wk->table, wk->self, c->row);
	c->row = TABLE_NONE;
	return false;
}

static void
take_secret(struct pool *p, const struct move_client *m)
{
	bool plain = m->secret != NULL && scram_secret_kind(m->secret) == SCRAM_SECRET_PLAIN;

	if (strcmp(p->user, m->pool_user) != 0)
		return;
	pool_learn(p, p->user, m->secret, plain ? m->secret : NULL);
	if (m->scram.iterations == 0)
		return;
	keys_proved(p->user, &m->scram);
	if (p->scram->iterations == 0)
		*p->scram = m->scram;
}

static void
take_facts(struct client *c, const struct move_client *m)
{
	c->pid = m->pid;
	memcpy(&c->addr, m->addr, sizeof(c->addr));
	c->port = m->port;
	c->long_key = m->long_key;
	c->settled = m->settled;
	c->born_us = m->born_us;
	c->active_us = m->active_us;
	c->user = strdup(m->user);
	if (c->user == NULL)
		fatal("hand-over");
}

/* What is not packed: which settings are not those of its login. */
static void
take_apart(struct client *c)
{
	int i;

	for (i = 0; i < PARAMS_N; i++)
		session_has(c, i, c->params.v[i]);
}

/* It goes on with the backend that it kept; it is in no state to be used yet. */
static bool
take_link(struct client *c, const struct move_client *m, struct backend *b)
{
	if (b == NULL)
		return !m->linked;
	if (!m->linked || b->pool != c->pool)
		return false;
	b->dirty = m->dirty;
	b->spoiled = m->spoiled;
	b->quiet_us = loop_now();
	pool_relink(b, c);
	backend_set_state(b, BACKEND_MOVING);
	c->session.pins = m->pins;
	if (m->pins != 0)
		stats_add(&c->pool->row->cl_pinned, 1);
	return true;
}

struct client *
client_unpack(const uint8_t *record, size_t len, int fd, struct backend *b)
{
	struct move_client m;
	struct client *c = NULL;
	int own;

	if (!move_get_client(&m, record, len))
		log_warnx("a client's record of the generation before us is not understood");
	else if ((own = fcntl(fd, F_DUPFD_CLOEXEC, 0)) != -1)
		c = client_new(own, m.is_unix);
	if (c != NULL && (!take_session(c, &m) || !take_place(c, &m))) {
		client_free(c);
		c = NULL;
	}
	if (c != NULL) {
		take_facts(c, &m);
		take_apart(c);
		take_secret(c->pool, &m);
		pool_readmit(c);
		client_row_taken(c);
		c->state = CLIENT_MOVING;
		if (!take_link(c, &m, b)) {
			client_undo(c);
			c = NULL;
		}
	}
	if (c != NULL)
		(void)close(fd);
	explicit_bzero(&m, sizeof(m));
	return c;
}

void
client_adopted(struct client *c)
{
	struct backend *b = c->backend;

	c->state = b != NULL ? CLIENT_ACTIVE : CLIENT_IDLE;
	client_watch_from(c);
	loop_again(&c->conn.src);
	if (b == NULL)
		return;
	backend_set_state(b, BACKEND_ACTIVE);
	replay_kept(c, b);
	deadline_touch(b);
	loop_again(&b->conn.src);
}

struct backend *
backend_unpack(const uint8_t *record, size_t len, int fd, bool counted)
{
	struct ledger_backend lb = {.pool = TABLE_NONE};
	const struct conf_database *d;
	struct move_backend m;
	struct wire_error why;
	struct backend *b = NULL;
	struct pool *p;

	if (!move_get_backend(&m, record, len)) {
		log_warnx("a backend's record of the generation before us is not understood");
		return NULL;
	}
	d = conf_database(wk->conf, m.db);
	p = d == NULL ? NULL : pool_get(m.db, m.pool_user, d, &why);
	if (p == NULL)
		return NULL;
	lb.pid = m.pid;
	lb.key_len = m.key_len;
	memcpy(lb.key, m.key, sizeof(lb.key));
	lb.addr_len = m.addr_len;
	lb.host = HOSTS_NONE; /* it has no TLS, so its name is not asked for */
	memcpy(&lb.addr, m.addr, sizeof(lb.addr));
	lb.opened_us = m.opened_us;
	lb.dest = m.dest;
	b = backend_take(p, fd, &lb, m.facts.p, m.facts.len, counted);
	/* Who logs in finds a pool with backends and none that is going to say it. */
	if (b != NULL && !p->welcomed && m.welcome.len > 0)
		pool_welcome_put(p, m.welcome.p, m.welcome.len);
	explicit_bzero(&lb, sizeof(lb));
	explicit_bzero(&m, sizeof(m));
	pool_client_gone(p);
	return b;
}
